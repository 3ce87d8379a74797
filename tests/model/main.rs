//! A model check: the real `decide` and the real memory, in every order of events that a small world allows.
//!
//! The world has a plan and its Secret, an operator with a memory that a crash wipes, a FIC whose answers get lost and whose reads lag, a
//! portal behind its back, and a user who edits, deletes and uninstalls. (More replicas and more plans play in `tests/histories`.) Every sequence of events within the bounds is tried, breadth first, so the story of
//! a violation is the shortest there is.

#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    missing_docs,
    unreachable_pub,
    reason = "a model that goes wrong must stop at once"
)]

mod explore;
mod world;

use explore::explore;
use world::{Budget, World};

/// One kind of disturbance at a time goes deep; all of them together go less deep.
#[test]
fn nothing_is_ever_bought_twice_abolished_wrongly_or_left_behind() {
    let calm = Budget::default();
    let wide = std::env::var_os("WIDE").is_some();
    let mut states = 0;
    for (name, budget) in [
        ("crashes and lost answers", Budget { crashes: 2, losses: 2, edits: 1, ..calm }),
        (
            "lagging reads, for fewer looks than it takes to believe them",
            Budget { lags: 2, crashes: 1, losses: 1, edits: 1, ..calm },
        ),
        ("the portal", Budget { portal: 2, losses: 1, edits: 1, ..calm }),
        ("failed operations", Budget { failures: 2, crashes: 1, edits: 1, ..calm }),
        ("refusals", Budget { refusals: 2, crashes: 1, portal: 1, edits: 1, ..calm }),
        ("edits", Budget { edits: 3, crashes: 1, portal: 1, ..calm }),
        ("the Secret", Budget { secrets: 3, crashes: 1, losses: 1, edits: 1, ..calm }),
        ("uninstall", Budget { uninstalls: 1, crashes: 1, losses: 1, lags: 1, edits: 1, ..calm }),
        ("a bit of everything", Budget { crashes: 1, losses: 1, lags: 1, portal: 1, failures: 1, edits: 1, ..calm }),
    ] {
        let explored = explore(&World::start(if wide { budget.wider() } else { budget }));
        println!("{name}: {} states, {} events deep", explored.states, explored.depth);
        states += explored.states;
    }
    println!("{states} states in all");
}
