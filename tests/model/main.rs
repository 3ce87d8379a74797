//! A model check: it runs the real `decide`, the real memory and the real claim rule through every order of events in a
//! small world.
//!
//! A world has one plan or two plans of one tenant, their Secret, a process that leads, a previous leader whose last
//! request may be in flight, a FIC that loses messages and returns stale reads, a portal that the operator does not
//! control, and a user who edits, deletes and uninstalls. The search is breadth-first, so the trace of a violation is
//! the shortest one. (Asynchronous code, and replicas that run at the same time, are tested in `tests/simulation`.)

#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    missing_docs,
    unreachable_pub,
    reason = "an error in the model must stop the test at once"
)]

mod budget;
mod convergence;
mod diagram;
mod effects;
mod environment;
mod events;
mod explore;
mod plan;
mod reconcile;
mod rules;
mod state;
mod transitions;

use std::collections::BTreeSet;
use std::env;
use std::num::NonZero;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use budget::Budget;
use explore::explore;
use state::ModelState;

/// One plan.
const ONE_PLAN: &[u8] = &[0];
/// A second plan of the same tenant, whose creation timestamp and UID put it after the first plan in the claim, or
/// before it.
const TWO_PLANS: [&[u8]; 2] = [&[0, 1], &[1, 0]];

/// A name, a budget, and the creation ranks of the plans.
type World = (&'static str, Budget, &'static [u8]);

/// One kind of fault at a time, deep; all kinds together, less deep.
fn worlds() -> Vec<World> {
    let none = Budget::default();
    let one_plan = [
        ("crashes and lost messages", Budget { crashes: 2, losses: 2, edits: 1, ..none }),
        ("failovers", Budget { failovers: 2, crashes: 1, losses: 1, edits: 1, ..none }),
        (
            "stale reads, fewer than are required to confirm an absence",
            Budget { stale_reads: 2, crashes: 1, losses: 1, edits: 1, ..none },
        ),
        ("changes in the portal", Budget { portal_changes: 2, losses: 1, edits: 1, ..none }),
        ("failed operations", Budget { failed_operations: 2, crashes: 1, edits: 1, ..none }),
        ("refused requests", Budget { refusals: 2, crashes: 1, portal_changes: 1, edits: 1, ..none }),
        ("edits", Budget { edits: 3, crashes: 1, portal_changes: 1, ..none }),
        ("changes of the Secret", Budget { secret_changes: 3, crashes: 1, losses: 1, edits: 1, ..none }),
        ("changes of the record", Budget { record_changes: 2, crashes: 1, losses: 1, edits: 1, ..none }),
        ("changes of the record and in the portal", Budget { record_changes: 1, portal_changes: 1, losses: 1, ..none }),
        ("changes of the record and failovers", Budget { record_changes: 1, failovers: 1, crashes: 1, ..none }),
        ("uninstall", Budget { uninstalls: 1, crashes: 1, losses: 1, stale_reads: 1, edits: 1, ..none }),
        (
            "several kinds of faults",
            Budget { crashes: 1, losses: 1, stale_reads: 1, portal_changes: 1, failed_operations: 1, ..none },
        ),
    ];
    let two_plans = [
        ("two plans, crashes and lost messages", Budget { crashes: 1, losses: 2, ..none }),
        ("two plans, failovers", Budget { failovers: 1, losses: 1, ..none }),
        ("two plans, changes in the portal", Budget { portal_changes: 1, crashes: 1, edits: 1, ..none }),
        ("two plans, stale reads", Budget { stale_reads: 1, losses: 1, ..none }),
        ("two plans, refused requests", Budget { refusals: 1, crashes: 1, portal_changes: 1, ..none }),
        ("two plans, changes of the record", Budget { record_changes: 2, ..none }),
        ("two plans, changes of the record and lost messages", Budget { record_changes: 1, losses: 1, ..none }),
        ("two plans, changes of the record and crashes", Budget { record_changes: 1, crashes: 1, ..none }),
        ("two plans, edits", Budget { edits: 2, ..none }),
    ];
    let one_plan = one_plan.map(|(name, budget)| (name, budget, ONE_PLAN));
    let two_plans = two_plans.into_iter().flat_map(|(name, budget)| TWO_PLANS.map(|ranks| (name, budget, ranks)));
    one_plan.into_iter().chain(two_plans).collect()
}

/// `WIDE` explores wider budgets, `ONLY` selects worlds by a part of their name, `UPDATE` writes the state diagram.
#[test]
fn every_order_of_events_follows_the_rules_and_converges() {
    let wide = env::var_os("WIDE").is_some();
    let only = env::var("ONLY").unwrap_or_default();
    let worlds = worlds().into_iter().filter(|(name, ..)| name.contains(&only)).collect::<Vec<_>>();
    let next = AtomicUsize::new(0);
    let states = AtomicUsize::new(0);
    let transitions = Mutex::new(BTreeSet::new());
    let explore_some = || {
        while let Some((name, budget, ranks)) = worlds.get(next.fetch_add(1, Ordering::Relaxed)) {
            let explored = explore(&ModelState::initial(if wide { budget.wider() } else { *budget }, ranks));
            println!("{name}: {} states, {} events deep", explored.states, explored.depth);
            states.fetch_add(explored.states, Ordering::Relaxed);
            transitions.lock().unwrap().extend(explored.transitions);
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(2, NonZero::get) {
            scope.spawn(explore_some);
        }
    });
    println!("{} states in all", states.into_inner());
    if only.is_empty() {
        diagram::check(&transitions.into_inner().unwrap(), env::var_os("UPDATE").is_some());
    }
}
