//! The pure core: what is known of a plan, and the decision what to do next. No client, no I/O, no async, no clock:
//! time is an argument.
//!
//! - [`facts`]: what the API server holds; it survives a crash.
//! - [`memory`] with [`write_state`]: what this process remembers between reconciles; a crash or a new leader loses it.
//! - [`run_state`]: what the reconcile in progress has learned.
//! - [`decide`]: from these to the next step; [`ready_state`] is what a step reports.
//! - [`contract`] and [`error`]: what FIC answers.

pub mod contract;
pub mod decide;
pub mod error;
pub mod facts;
pub mod memory;
pub mod ready_state;
pub mod run_state;
pub mod write_state;
