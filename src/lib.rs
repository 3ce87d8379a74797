//! A Kubernetes operator that keeps the Premium support contract of a tenant of NTT's Flexible InterConnect (FIC).
//!
//! The loop, a file each: [`observe`] → [`decide`] → [`act`] → [`report`]; [`reconcile`] goes round. `ARCHITECTURE.md` is the map.
//!
//! - What users write and read: [`plan`], [`crd`], [`condition`], [`credentials`], [`cli`].
//! - What a decision is made from: [`facts`], [`memory`], [`pass`], [`claim`]; what it says: [`situation`], put into [`words`].
//! - The world: [`fic`] with [`contract`], [`trouble`] and [`text`]; [`watch`], [`directory`], [`bells`], [`guard`] and [`release`];
//!   [`lead`] and [`clock`].
//! - The process: [`run`], [`controller`], [`context`], [`turns`], [`notes`], [`interrupt`], [`health`], [`metrics`].

pub mod api;
pub mod backoff;
pub mod cli;
pub mod clock;
pub mod controller;
pub mod domain;
pub mod fic;
pub mod health;
pub mod index;
pub mod leader_election;
pub mod metrics;
pub mod reconcile;
pub mod run;
pub mod secret_finalizer;
pub mod text;

/// The name of the operator: of its binary, its image, its field manager, its Lease.
pub const NAME: &str = env!("CARGO_PKG_NAME");

/// How the operator introduces itself, to FIC and to the API server alike.
pub const USER_AGENT: &str = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));
