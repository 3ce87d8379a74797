//! The protocol of the finalizer that keeps a credentials Secret while a plan uses it.

pub mod release;
pub mod worker;
