//! The Helm chart, with helm 3 and 4: it installs the same objects as `deploy/`, has a value for each flag, and refuses
//! values that do not fit together.

#![allow(clippy::unwrap_used, reason = "a test panics at the first unexpected result")]

mod artifact_hub;
mod equality;
mod helm;
mod installation;
#[path = "../support/make.rs"]
mod make;
mod tools;
mod unit_tests;
mod values;
