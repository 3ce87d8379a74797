//! A model check: the real `decide`, the real memory and the real rule of who holds a tenant, in every order of events that a small
//! world allows.
//!
//! The world has one plan or two of one tenant and their Secret, a process that leads, one before it whose last request may still
//! be on its way, a FIC whose answers get lost and whose reads lag, a portal behind its back, and a user who edits, deletes and
//! uninstalls. Every sequence of events within the bounds is tried, breadth first, so the story of a violation is the shortest
//! there is. (The asynchronous code, and replicas at the same time, play in `tests/simulation`.)

#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    missing_docs,
    unreachable_pub,
    reason = "a model that goes wrong must stop at once"
)]

mod budget;
mod explore;
mod outside;
mod process;
mod rest;
mod world;

use std::sync::atomic::{AtomicUsize, Ordering};

use budget::Budget;
use explore::explore;
use world::World;

/// One plan.
const ALONE: &[u8] = &[0];
/// Another of the same tenant, made later, or in the same second with a name that goes first.
const PAIRS: [&[u8]; 2] = [&[0, 1], &[1, 0]];

/// One kind of disturbance at a time goes deep; all of them together go less deep.
#[test]
fn nothing_is_ever_bought_twice_abolished_wrongly_or_left_behind() {
    let calm = Budget::default();
    let alone = [
        ("crashes and lost answers", Budget { crashes: 2, losses: 2, edits: 1, ..calm }),
        ("another replica leads", Budget { successions: 2, crashes: 1, losses: 1, edits: 1, ..calm }),
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
        ("a bit of everything", Budget { crashes: 1, losses: 1, lags: 1, portal: 1, failures: 1, ..calm }),
    ];
    let pairs = [
        ("two plans, crashes and lost answers", Budget { crashes: 1, losses: 2, ..calm }),
        ("two plans, another replica leads", Budget { successions: 1, losses: 1, ..calm }),
        ("two plans, the portal", Budget { portal: 1, crashes: 1, edits: 1, ..calm }),
        ("two plans, lagging reads", Budget { lags: 1, losses: 1, ..calm }),
        ("two plans, refusals", Budget { refusals: 1, crashes: 1, portal: 1, ..calm }),
        ("two plans, edits", Budget { edits: 2, ..calm }),
    ];
    let alone = alone.map(|(name, budget)| (name, budget, ALONE));
    let pairs = pairs.into_iter().flat_map(|(name, budget)| PAIRS.map(|ranks| (name, budget, ranks)));
    let wide = std::env::var_os("WIDE").is_some();
    let only = std::env::var("ONLY").unwrap_or_default();
    let worlds = alone.into_iter().chain(pairs).filter(|(name, ..)| name.contains(&only)).collect::<Vec<_>>();
    let next = AtomicUsize::new(0);
    let states = AtomicUsize::new(0);
    let explore_some = || {
        while let Some((name, budget, ranks)) = worlds.get(next.fetch_add(1, Ordering::Relaxed)) {
            let explored = explore(&World::start(if wide { budget.wider() } else { *budget }, ranks));
            println!("{name}: {} states, {} events deep", explored.states, explored.depth);
            states.fetch_add(explored.states, Ordering::Relaxed);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, std::num::NonZero::get) {
            scope.spawn(explore_some);
        }
    });
    println!("{} states in all", states.into_inner());
}
