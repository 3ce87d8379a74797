//! Deterministic simulation of the operator: the real controller, leader election and clients run against an API server
//! and a FIC in memory, with simulated time and seeded randomness.
//!
//! Each seed gives one simulation run: a script of user actions, portal actions, faults, crashes and frozen leaders. An
//! oracle that sees the whole state checks every write and every request to FIC. After the last fault the operator must
//! converge to the correct state. A failure prints its seed, which reproduces it:
//!
//! ```text
//! SEEDS=1000000 cargo test --test simulation     # run more seeds
//! SEED=4711 cargo test --test simulation         # run one seed and print its trace
//! ```

#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    clippy::indexing_slicing,
    missing_docs,
    unreachable_pub,
    reason = "a simulation run that fails must stop at once"
)]

mod agenda;
mod api_server;
mod convergence;
mod event_ledger;
mod faults;
mod fic_http;
mod freeze;
mod oracle;
mod plan_fields;
mod replica;
mod run;
mod scenario;
mod script;
mod script_builder;
mod sim_world;
mod store;
mod user_actions;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use run::outage::Figures;
use scenario::Scenario;

/// The number of seeds that are run unless `SEEDS` is set.
const SEEDS: u64 = 2_000;

/// How often a seed is repeated to reproduce a failure: with more than one plan the order of tasks that are ready at
/// the same instant may differ, see the last test.
const REPEATS: u32 = 10;

fn environment_number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap_or_else(|_| panic!("{name} must be a number")))
}

/// Figures of the runs of one scenario.
#[derive(Default)]
struct Tally {
    runs: u64,
    creates: u64,
    deletes: u64,
    processes_ended: u64,
}

type Tallies = BTreeMap<Scenario, Tally>;
type Failure = Option<(u64, String)>;

#[test]
fn every_seed_keeps_the_rules_and_converges() {
    if let Some(seed) = environment_number("SEED") {
        return run_one(seed);
    }
    let seeds = environment_number("SEEDS").unwrap_or(SEEDS);
    let started_at = Instant::now();
    let (tallies, failure) = run_all(seeds);
    if let Some((seed, failure)) = failure {
        let repeated = (0..REPEATS).map(|_| run::run(seed, true)).find(|outcome| outcome.result.is_err());
        let trace = repeated.map(|outcome| outcome.trace).unwrap_or_default();
        panic!("seed {seed} ({}): {failure}\n{trace}", Scenario::of(seed).name());
    }
    for (scenario, Tally { runs, creates, deletes, processes_ended }) in &tallies {
        println!(
            "{:>21}: {runs:6} runs, {creates:6} creates, {deletes:6} deletes, {processes_ended:6} processes ended",
            scenario.name()
        );
    }
    let seconds = started_at.elapsed().as_secs_f64();
    #[allow(clippy::cast_precision_loss, reason = "a figure for the summary")]
    let pace = seeds as f64 / seconds;
    println!("{seeds} simulation runs in {seconds:.1} s, {pace:.0} per second");
}

/// Runs one seed, prints its trace, and panics if a repetition fails.
fn run_one(seed: u64) {
    let mut outcomes = (0..REPEATS).map(|_| run::run(seed, true));
    let first = outcomes.next().unwrap();
    let outcome =
        if first.result.is_err() { first } else { outcomes.find(|other| other.result.is_err()).unwrap_or(first) };
    println!("{}", outcome.trace);
    if let Err(failure) = outcome.result {
        panic!("seed {seed} ({}): {failure}", outcome.scenario.name());
    }
}

/// Runs the seeds on every core until one fails.
fn run_all(seeds: u64) -> (Tallies, Failure) {
    let (next, failed) = (AtomicU64::new(0), AtomicBool::new(false));
    let threads = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    let results = std::thread::scope(|scope| {
        let work = || run_until_failure(seeds, &next, &failed);
        let workers = (0..threads).map(|_| scope.spawn(work)).collect::<Vec<_>>();
        workers.into_iter().map(|worker| worker.join().unwrap()).collect::<Vec<_>>()
    });
    let mut total = Tallies::new();
    let mut first_failure = None;
    for (tallies, failure) in results {
        first_failure = first_failure.or(failure);
        for (scenario, tally) in tallies {
            let sum = total.entry(scenario).or_default();
            sum.runs += tally.runs;
            sum.creates += tally.creates;
            sum.deletes += tally.deletes;
            sum.processes_ended += tally.processes_ended;
        }
    }
    (total, first_failure)
}

/// The work of one thread.
fn run_until_failure(seeds: u64, next: &AtomicU64, failed: &AtomicBool) -> (Tallies, Failure) {
    let mut tallies = Tallies::new();
    loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed >= seeds || failed.load(Ordering::Relaxed) {
            return (tallies, None);
        }
        let outcome = run::run(seed, false);
        if let Err(failure) = outcome.result {
            failed.store(true, Ordering::Relaxed);
            return (tallies, Some((seed, failure)));
        }
        let tally = tallies.entry(outcome.scenario).or_default();
        tally.runs += 1;
        tally.creates += u64::from(outcome.creates);
        tally.deletes += u64::from(outcome.deletes);
        tally.processes_ended += u64::from(outcome.processes_ended);
    }
}

/// 40 plans, or as many as `PLANS` says.
#[test]
fn an_outage_of_fic_costs_few_requests_and_ends_for_all_plans_soon() {
    let plans = environment_number("PLANS").map_or(40, |plans| usize::try_from(plans).unwrap());
    println!(
        "{plans} plans | requests | most in a minute | writes | condition changes | not Ready | recovery | most in a second"
    );
    for (minutes, lasts_long) in [(10, false), (600, true)] {
        let figures = run::outage::run_outage(plans, Duration::from_mins(minutes)).unwrap();
        let Figures { requests, most_in_a_minute, writes, condition_changes, not_ready, recovery, most_in_a_second } =
            figures;
        println!(
            "{minutes} min | {requests} | {most_in_a_minute} | {writes} | {condition_changes} | {not_ready} | {recovery:?} | {most_in_a_second}"
        );
        // Each plan fails once, then one request at a time finds out whether FIC answers again.
        let most_requests = 2 * plans + usize::try_from(minutes).unwrap() * 7;
        assert!(requests <= most_requests, "{requests} requests, more than {most_requests}");
        assert!(!lasts_long || most_in_a_minute <= 7, "{most_in_a_minute} requests in a minute");
        // A plan says so when it was not read for three resync intervals, and again when it was.
        assert_eq!(usize::try_from(writes).unwrap(), if lasts_long { 2 * plans } else { 0 });
        assert_eq!(not_ready, if lasts_long { plans } else { 0 });
        // Two requests of each plan, at half of the rate, and a probe before.
        let longest = Duration::from_secs(30) + Duration::from_millis(80) * u32::try_from(plans).unwrap();
        assert!(recovery < longest, "{recovery:?}, longer than {longest:?}");
        assert!(most_in_a_second <= 100, "{most_in_a_second} requests in a second");
    }
}

#[test]
fn every_seed_passes_a_released_tenant_to_the_next_plan_at_once() {
    for seed in 0..1000 {
        let (result, trace) = run::run_tenant_handover(seed);
        if let Err(failure) = result {
            panic!("seed {seed} (a tenant handover): {failure}\n{trace}");
        }
    }
}

/// When two plans become ready at the same instant, the iteration order of a hash map decides which one runs first.
/// With one plan and one leader every run is the same.
#[test]
fn same_seed_with_one_plan_and_one_leader_gives_the_same_trace() {
    let is_deterministic =
        |script: &script::Script| script.plans.len() == 1 && (script.elects || script.replicas.len() == 1);
    let seeds = (0..).filter(|seed| is_deterministic(&script::Script::of(*seed)));
    for seed in seeds.take(100) {
        let (first, second) = (run::run(seed, true), run::run(seed, true));
        assert_eq!(first.trace, second.trace, "seed {seed}");
    }
}
