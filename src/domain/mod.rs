//! The pure core: what is known of a plan, and what to do about it. Nothing here performs I/O or reads a clock.

pub mod contract;
pub mod decide;
pub mod error;
pub mod facts;
pub mod memory;
pub mod ready_state;
pub mod run_state;
