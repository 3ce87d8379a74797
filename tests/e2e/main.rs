//! End to end: the real operator binary under its real rights, on a real API server, against a simulator over real sockets.
//!
//! One control plane serves all tests of a run; each test has a namespace, a simulator and an operator of its own, so that they run
//! side by side. What a test waits for it waits for by a watch; nothing sleeps.

#![allow(
    clippy::unwrap_used,
    unreachable_pub,
    dead_code,
    clippy::wildcard_enum_match_arm,
    clippy::manual_assert,
    clippy::match_wild_err_arm,
    missing_docs,
    reason = "a test ends at the first thing that is not as it should be"
)]

mod credentials;
mod deletion;
mod environment;
mod fic_errors;
mod lifecycle;
mod policies;
mod schema;
mod scope;
mod tenants;
