//! The policies in `deploy/guard` on a real API server: what each allows and refuses, and that its expressions have the
//! types that the API server expects.
//!
//! All tests share one control plane with all policies. No operator runs; a test acts as one by impersonation.

#![allow(clippy::unwrap_used, reason = "a test panics at the first unexpected result")]
#![allow(unreachable_pub, reason = "the public items of the shared modules are public within one test binary")]

mod api_versions;
mod crd;
mod credentials;
mod environment;
mod plans;
mod record;
mod secret_writes;
#[path = "../support/mod.rs"]
#[allow(dead_code, reason = "the end-to-end tests use all of this module; these tests use a part")]
mod support;
mod tenants;
mod type_checking;
