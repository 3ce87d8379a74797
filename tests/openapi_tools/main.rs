//! Two programs that others wrote read `docs/api/fic.yaml`: schemathesis makes requests of it for the simulator, and prism
//! is a mock of it for the client. `make openapi` runs these tests, since the programs need Python and Node.js.

#![allow(clippy::unwrap_used, reason = "a test stops at the first unexpected result")]

#[path = "../support/fic_calls.rs"]
mod fic_calls;
mod generated_requests;
#[path = "../support/make.rs"]
mod make;
mod mock;
mod prism;
