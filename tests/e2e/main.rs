//! End-to-end tests: what a user of the operator sees on a real API server.
//!
//! All tests of a run share one control plane. Each test has its own namespace, simulator and operator, so tests can
//! run in parallel. Tests wait with a watch or poll a condition; no test sleeps for a fixed time.

#![allow(clippy::unwrap_used, reason = "a test panics at the first unexpected result")]
#![allow(unreachable_pub, reason = "the public items of the shared modules are public within one test binary")]

mod api_versions;
mod commands;
mod credentials;
mod deletion;
mod fic_errors;
mod hanging_requests;
mod lifecycle;
mod policies;
mod process;
mod record;
mod rights;
mod schema;
mod scope;
mod shards;
mod start_checks;
#[path = "../support/mod.rs"]
mod support;
mod tenants;
mod traces;
