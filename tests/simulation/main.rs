//! Histories by seed: the real operator, with all that is asynchronous in it, in a made world on made time.
//!
//! Each seed is a history: a script of users, portal, faults, crashes and frozen leaders, played against the real controller,
//! election and clients, on an API server and a FIC in memory. An oracle that sees everything checks every write and every call; at the
//! end all must come to rest, at the truth. The same seed tells the same story, so what goes wrong can be
//! looked at:
//!
//! ```text
//! SEEDS=1000000 cargo test --test simulation     # more of them
//! SEED=4711 cargo test --test simulation         # one, with its story
//! ```

#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    clippy::indexing_slicing,
    missing_docs,
    unreachable_pub,
    reason = "a history that goes wrong must stop at once"
)]

mod api_server;
mod events;
mod history;
mod line;
mod oracle;
mod replica;
mod rest;
mod script;
mod store;
mod world;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use script::Theme;

/// How many histories are played unless `SEEDS` says otherwise.
const SEEDS: u64 = 2_000;

/// How often a seed is played to have its story told: see the last test.
const TELLINGS: u32 = 10;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

#[derive(Default)]
struct Tally {
    histories: u64,
    creates: u64,
    deletes: u64,
    deaths: u64,
}

#[test]
fn every_history_keeps_the_rules_and_comes_to_rest() {
    if let Some(seed) = number("SEED") {
        let mut outcomes = (0..TELLINGS).map(|_| history::play(seed, true));
        let first = outcomes.next().unwrap();
        let outcome =
            if first.broken.is_err() { first } else { outcomes.find(|other| other.broken.is_err()).unwrap_or(first) };
        println!("{}", outcome.story);
        if let Err(broken) = outcome.broken {
            panic!("seed {seed} ({}): {broken}", outcome.theme.name());
        }
        return;
    }
    let seeds = number("SEEDS").unwrap_or(SEEDS);
    let began = Instant::now();
    let (next, failed) = (AtomicU64::new(0), AtomicBool::new(false));
    let threads = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    let tallies = std::thread::scope(|scope| {
        let play = || {
            let mut tally = BTreeMap::<Theme, Tally>::new();
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= seeds || failed.load(Ordering::Relaxed) {
                    return (tally, None);
                }
                let outcome = history::play(seed, false);
                if let Err(broken) = outcome.broken {
                    failed.store(true, Ordering::Relaxed);
                    return (tally, Some((seed, broken)));
                }
                let of_theme = tally.entry(outcome.theme).or_default();
                of_theme.histories += 1;
                of_theme.creates += u64::from(outcome.creates);
                of_theme.deletes += u64::from(outcome.deletes);
                of_theme.deaths += u64::from(outcome.deaths);
            }
        };
        let workers = (0..threads).map(|_| scope.spawn(play)).collect::<Vec<_>>();
        workers.into_iter().map(|worker| worker.join().unwrap()).collect::<Vec<_>>()
    });
    let mut sum = BTreeMap::<Theme, Tally>::new();
    let mut broken = None;
    for (tally, failure) in tallies {
        broken = broken.or(failure);
        for (theme, tally) in tally {
            let sum = sum.entry(theme).or_default();
            sum.histories += tally.histories;
            sum.creates += tally.creates;
            sum.deletes += tally.deletes;
            sum.deaths += tally.deaths;
        }
    }
    if let Some((seed, broken)) = broken {
        let retold = (0..TELLINGS).map(|_| history::play(seed, true)).find(|outcome| outcome.broken.is_err());
        let story = retold.map(|outcome| outcome.story).unwrap_or_default();
        panic!("seed {seed} ({}): {broken}\n{story}", Theme::of(seed).name());
    }
    for (theme, Tally { histories, creates, deletes, deaths }) in &sum {
        println!(
            "{:>21}: {histories:6} histories, {creates:6} creates, {deletes:6} deletes, {deaths:6} processes ended",
            theme.name()
        );
    }
    let seconds = began.elapsed().as_secs_f64();
    #[allow(clippy::cast_precision_loss, reason = "a figure to read")]
    let pace = seeds as f64 / seconds;
    println!("{seeds} histories in {seconds:.1} s, {pace:.0} a second");
}

#[test]
fn every_history_of_a_succession_is_short() {
    for seed in 0..1000 {
        let (outcome, story) = history::play_succession(seed);
        if let Err(broken) = outcome {
            panic!("seed {seed} (a succession): {broken}\n{story}");
        }
    }
}

/// Of two plans that go on at the very same moment the order of a hash says which is first; one plan alone leaves nothing to it.
#[test]
fn a_seed_with_one_plan_tells_the_same_story_twice() {
    let seeds = (0..).filter(|seed| script::Script::of(*seed).plans.len() == 1);
    for seed in seeds.take(100) {
        let (one, other) = (history::play(seed, true), history::play(seed, true));
        assert_eq!(one.story, other.story, "seed {seed}");
    }
}
