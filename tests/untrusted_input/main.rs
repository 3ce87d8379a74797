//! Property tests of untrusted input: responses of FIC and Keystone, Secrets, plans of other versions, flags and text.
//!
//! No input makes the operator panic, counts as a response for something else, or shows a secret or a control character
//! to a reader. proptest chooses the inputs at random: mutated files of `corpus/`, JSON of the right shape with wrong
//! values, and random bytes. The seeds of past failures are kept next to the tests (`*.failed`) and run first.

#![allow(clippy::unwrap_used, reason = "a test stops at the first unexpected result")]
#![allow(missing_docs, reason = "a test has no public API")]

mod fic_responses;
mod flags;
mod kubernetes_objects;
mod strategies;
mod text;

use proptest::prelude::ProptestConfig;
use proptest::test_runner::{FileFailurePersistence, RngSeed};

const TENANT: &str = "db8b0e40743f460685040c46167cf19e";
const ID: &str = "F520123456789";
const API_KEY: &str = "a-key-that-must-not-show";
const API_SECRET: &str = "a-secret-that-must-not-show";
const TOKEN: &str = "a-token-that-must-not-show";
const CREDENTIALS: [&str; 2] = [API_KEY, API_SECRET];
const ALL_SECRETS: [&str; 3] = [API_KEY, API_SECRET, TOKEN];

/// The same cases in every run, so that only a change of the code changes the result; with `FUZZ=n`, n new random
/// cases.
fn config() -> ProptestConfig {
    let fuzz = std::env::var("FUZZ").ok().map(|cases| cases.parse().unwrap());
    ProptestConfig {
        cases: fuzz.unwrap_or(3000),
        rng_seed: if fuzz.is_some() { RngSeed::Random } else { RngSeed::Fixed(1) },
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("failed"))),
        ..ProptestConfig::default()
    }
}

/// One line of limited length.
fn is_clean(message: &str) -> bool {
    message.chars().count() <= 500 && !message.chars().any(char::is_control)
}
