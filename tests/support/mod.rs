//! The test environment of the end-to-end tests and of the cluster tests: the real operator binary with the
//! permissions of its service account, a real API server, and a simulator of FIC over real sockets.

pub mod api_proxy;
pub mod audit;
pub mod cluster;
#[allow(dead_code, reason = "only the end-to-end tests use it")]
pub mod connect_proxy;
pub mod daemon;
pub mod environment;
pub mod examples;
pub mod kubectl;
pub mod make;
pub mod operator;
pub mod plan;
#[allow(dead_code, reason = "only the end-to-end tests use it")]
pub mod rights;
pub mod texts;
pub mod waiting;

pub use environment::{SECRET, TestEnvironment, new_tenant};
