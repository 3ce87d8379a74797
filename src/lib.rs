//! A Kubernetes operator that keeps the Premium support contract of a tenant of NTT's Flexible InterConnect (FIC).
//!
//! The loop, a file each: [`observe`] → [`decide`] → [`act`] → [`report`]; [`reconcile`] goes round. `ARCHITECTURE.md` is the map.
//!
//! - What users write and read: [`plan`], [`crd`], [`condition`], [`credentials`], [`cli`].
//! - What a decision is made from: [`facts`], [`memory`], [`pass`], [`claim`]; what it says: [`situation`], put into [`words`].
//! - The world: [`fic`] with [`contract`], [`trouble`] and [`text`]; [`watch`], [`directory`], [`bells`], [`guard`] and [`release`];
//!   [`lead`] and [`clock`].
//! - The process: [`run`], [`controller`], [`context`], [`turns`], [`notes`], [`interrupt`], [`health`], [`metrics`].

pub mod act;
pub mod backoff;
pub mod bells;
pub mod claim;
pub mod cli;
pub mod clock;
pub mod condition;
pub mod context;
pub mod contract;
pub mod controller;
pub mod crd;
pub mod credentials;
pub mod decide;
pub mod directory;
pub mod facts;
pub mod fic;
pub mod guard;
pub mod health;
pub mod interrupt;
pub mod key;
pub mod lead;
pub mod memory;
pub mod metrics;
pub mod notes;
pub mod observe;
pub mod pass;
#[allow(unreachable_pub, reason = "the derive of the schema repeats the struct where it is not reached")]
#[allow(clippy::doc_markdown, reason = "its comments are for kubectl explain, which shows back-ticks as they are")]
pub mod plan;
pub mod reconcile;
pub mod release;
pub mod report;
pub mod run;
pub mod situation;
pub mod text;
pub mod trouble;
pub mod turns;
pub mod watch;
pub mod words;

/// The name of the operator: of its binary, its image, its field manager, its Lease.
pub const NAME: &str = env!("CARGO_PKG_NAME");

/// How the operator introduces itself, to FIC and to the API server alike.
pub const USER_AGENT: &str = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));
