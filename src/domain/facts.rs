//! What there is to know of a plan and what belongs to it, as plain values, whoever gathered them.
//!
//! With the memory and the pass they make up [`crate::domain::decide::Facts`].

use std::time::Duration;

use crate::api::condition::{Ready, Reason};
use crate::api::credentials::SecretDefect;
use crate::api::plan::{AdoptionPolicy, DeletionPolicy, ManagementPolicy, Menu, RecreationPolicy};
use crate::domain::contract::ContractId;

/// Time since the process began, on a clock that never jumps.
pub type Uptime = Duration;

/// The flags that decisions depend on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How often something in progress is looked at.
    pub poll_interval: Duration,
    /// How often a plan at rest is looked at.
    pub resync_interval: Duration,
    /// How long FIC may take for an operation.
    pub operation_timeout: Duration,
}

/// A plan, reduced to what decisions depend on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[allow(clippy::struct_excessive_bools, reason = "four independent facts of an object, not a state")]
pub struct PlanFacts {
    /// The menu wanted.
    pub menu: Menu,
    /// May anything be changed?
    pub management: ManagementPolicy,
    /// May a contract be taken over?
    pub adoption: AdoptionPolicy,
    /// May a lost contract be bought again?
    pub recreation: RecreationPolicy,
    /// Does the contract go with the plan?
    pub deletion: DeletionPolicy,
    /// Hands off?
    pub suspend: bool,
    /// Is it being deleted?
    pub deleting: bool,
    /// Does it carry our finalizer? *Finalizer and no id* means *we may have bought*; *no finalizer* means *nothing of ours is out there*.
    pub finalizer: bool,
    /// The id in its status.
    pub id: Option<ContractId>,
    /// What its status says.
    pub reported: Option<Reported>,
}

/// What was last reported of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reported {
    /// The status of `Ready`.
    pub ready: Ready,
    /// Its reason; none if it is a word of another version.
    pub reason: Option<Reason>,
}

/// The Secret that a plan names.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum SecretState {
    /// Not among the Secrets of our type: it does not exist, or it is of another type.
    NotFound,
    /// It is there.
    Found {
        /// What is wrong with it, if it cannot be used.
        defect: Option<SecretDefect>,
        /// It carries the finalizer that keeps it while a contract depends on it.
        protected: bool,
        /// It is being deleted.
        deleting: bool,
    },
}

/// Who holds a tenant.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Claim {
    /// This plan does, or may.
    Ours,
    /// Another plan, as namespace/name.
    HeldBy(Box<str>),
}
