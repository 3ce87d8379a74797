//! A Kubernetes operator for the Premium support contracts of NTT's Flexible InterConnect (FIC).
//!
//! The map of the crate, from the ground up. A module imports only from the modules listed before it;
//! `tests/architecture.rs` reads this table and checks that. `ARCHITECTURE.md` says why.
//!
//! | module | content |
//! | --- | --- |
//! | [`text`] | makes text from outside safe to show |
//! | [`backoff`] | exponential backoff and jitter |
//! | [`clock`] | the monotonic clock and the wall clock |
//! | [`proxy`] | which requests go through a proxy |
//! | [`telemetry`] | traces over OTLP |
//! | [`metrics`] | the metrics registry |
//! | [`health`] | `/healthz`, `/readyz`, `/metrics` |
//! | [`leader_election`] | which replica may act |
//! | [`api`] | what users write and read: the custom resource, its conditions, the credentials Secret |
//! | [`domain`] | the pure core: what is known of a plan, and the decision what to do next |
//! | [`fic`] | the client of FIC and Keystone |
//! | [`index`] | what is known of the cluster: plans by tenant and Secret, and which plan holds a tenant |
//! | [`secret_finalizer`] | the protocol that keeps a Secret while a plan uses it |
//! | [`reconcile`] | the reconcile loop: observe, decide, act, report |
//! | [`controller`] | watches, caches and queues, connected to the reconcile loop |
//! | [`cli`] | the command line |
//! | [`run`] | the process: set-up, leader election, shutdown |
//! | [`check`] | the command `check`: whether a plan would work |
//! | [`report`] | the command `report`: what a support case needs, as one archive |

pub mod api;
pub mod backoff;
pub mod check;
pub mod cli;
pub mod clock;
pub mod controller;
pub mod domain;
pub mod fic;
pub mod health;
pub mod index;
pub mod leader_election;
pub mod metrics;
pub mod proxy;
pub mod reconcile;
pub mod report;
pub mod run;
pub mod secret_finalizer;
pub mod telemetry;
pub mod text;

/// The name of the operator: of its binary, image, field manager and Lease.
pub const NAME: &str = env!("CARGO_PKG_NAME");

/// The User-Agent of requests to FIC and to the API server.
pub const USER_AGENT: &str = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));
