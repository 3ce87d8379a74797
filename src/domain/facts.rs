//! The inputs of a decision as plain values: the settings, the plan and its record, the Secret, the claim.

use std::time::Duration;

use crate::api::condition::{ConditionStatus, Reason};
use crate::api::credentials::SecretDefect;
use crate::api::plan::{AdoptionPolicy, DeletionPolicy, ManagementPolicy, Menu, PremiumSupportPlan, RecreationPolicy};
use crate::domain::contract::ContractId;

/// Time since a fixed moment before the start of the process, on a clock that never jumps.
pub type Uptime = Duration;

/// The flags that decisions depend on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The interval between reconciles while an operation is in progress.
    pub poll_interval: Duration,
    /// The interval between drift checks.
    pub resync_interval: Duration,
    /// How long FIC may process an operation.
    pub operation_timeout: Duration,
}

/// A plan, reduced to what decisions depend on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PlanFacts {
    /// `spec.menu`.
    pub menu: Menu,
    /// `spec.managementPolicy`.
    pub management: ManagementPolicy,
    /// `spec.adoptionPolicy`.
    pub adoption: AdoptionPolicy,
    /// `spec.recreationPolicy`.
    pub recreation: RecreationPolicy,
    /// `spec.deletionPolicy`.
    pub deletion: DeletionPolicy,
    /// `spec.suspend`.
    pub suspend: bool,
    /// Whether the plan is being deleted.
    pub deleting: bool,
    /// What the plan records about its contract.
    pub record: Record,
    /// The last report in the status.
    pub reported: Option<Reported>,
}

impl PlanFacts {
    /// The facts of a plan.
    #[must_use]
    pub fn of(plan: &PremiumSupportPlan) -> Self {
        let spec = &plan.spec;
        Self {
            menu: spec.menu,
            management: spec.management_policy,
            adoption: spec.adoption_policy,
            recreation: spec.recreation_policy,
            deletion: spec.deletion_policy,
            suspend: spec.suspend,
            deleting: plan.is_being_deleted(),
            record: Record::of(plan),
            reported: plan.ready_condition().map(|ready| Reported {
                // Any other string cannot mean that the plan was Ready.
                ready: ready.status.parse().unwrap_or(ConditionStatus::False),
                reason: Reason::parse(&ready.reason),
            }),
        }
    }
}

/// What a plan records about its contract, by the finalizer and by `status.id`. It is the write-ahead log: only this
/// survives a crash.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Record {
    /// No finalizer and no id: nothing of this plan exists at FIC.
    None,
    /// An id without the finalizer: the plan only watches this contract.
    Watched(ContractId),
    /// The finalizer without an id: a create request may have been sent.
    Open,
    /// The finalizer and an id: this contract belongs to the plan.
    Owned(ContractId),
}

impl Record {
    /// The record of a plan.
    #[must_use]
    pub fn of(plan: &PremiumSupportPlan) -> Self {
        let id = plan.status.as_ref().and_then(|status| ContractId::parse(status.id.as_deref()?));
        Self::new(plan.has_contract_finalizer(), id)
    }

    /// The record of a plan with or without the finalizer, and with this id in its status.
    #[must_use]
    pub fn new(has_finalizer: bool, id: Option<ContractId>) -> Self {
        match (has_finalizer, id) {
            (false, None) => Self::None,
            (false, Some(id)) => Self::Watched(id),
            (true, None) => Self::Open,
            (true, Some(id)) => Self::Owned(id),
        }
    }

    /// Whether the plan carries the finalizer.
    #[must_use]
    pub fn has_finalizer(&self) -> bool {
        match self {
            Self::None | Self::Watched(_) => false,
            Self::Open | Self::Owned(_) => true,
        }
    }

    /// The id in the status.
    #[must_use]
    pub fn id(&self) -> Option<&ContractId> {
        match self {
            Self::None | Self::Open => None,
            Self::Watched(id) | Self::Owned(id) => Some(id),
        }
    }

    /// The id of the contract that belongs to the plan.
    #[must_use]
    pub fn owned(&self) -> Option<&ContractId> {
        match self {
            Self::None | Self::Watched(_) | Self::Open => None,
            Self::Owned(id) => Some(id),
        }
    }
}

/// The last report in the status of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reported {
    /// The status of the `Ready` condition.
    pub ready: ConditionStatus,
    /// Its reason. `None`: another version of the operator wrote it.
    pub reason: Option<Reason>,
}

/// The Secret that a plan refers to, as the cache of credentials Secrets has it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum SecretState {
    /// Not in the cache: the Secret does not exist, or has another type.
    NotFound,
    /// In the cache.
    Found {
        /// Why it cannot be used, if it cannot.
        defect: Option<SecretDefect>,
        /// Whether it carries the finalizer of the operator.
        has_finalizer: bool,
        /// Whether it is being deleted.
        deleting: bool,
    },
}

/// Which plan holds a tenant.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Claim {
    /// This plan holds the tenant, or may claim it.
    Ours,
    /// Another plan holds it: its namespace/name.
    HeldBy(Box<str>),
}
