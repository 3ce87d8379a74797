//! The inputs of a decision as plain values: the settings, the plan and its record, the Secret, the claim.

use std::time::Duration;

use crate::api::condition::{ConditionStatus, Reason};
use crate::api::credentials::SecretDefect;
use crate::api::plan::{AdoptionPolicy, DeletionPolicy, ManagementPolicy, Menu, PremiumSupportPlan, RecreationPolicy};
use crate::domain::contract::{ContractId, OperationStatus};

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
    /// How long a contract that was completed must be out of sight to count as lost.
    pub loss_patience: Duration,
    /// How many lost contracts all plans together may buy again within an hour. `None`: no limit.
    pub max_recreations_per_hour: Option<u32>,
    /// How long another process may still act on a record that it opened.
    pub lease_duration: Duration,
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
    /// The marks of the record on the plan.
    pub marks: Marks,
    /// What the plan records about its contract.
    pub record: Record,
    /// The last report in the status.
    pub reported: Option<Reported>,
    /// Whether the status shows the contract as completed.
    pub was_completed: bool,
}

impl PlanFacts {
    /// The facts of a plan.
    #[must_use]
    pub fn of(plan: &PremiumSupportPlan) -> Self {
        let spec = &plan.spec;
        let status = plan.status.as_ref();
        Self {
            menu: spec.menu,
            management: spec.management_policy,
            adoption: spec.adoption_policy,
            recreation: spec.recreation_policy,
            deletion: spec.deletion_policy,
            suspend: spec.suspend,
            deleting: plan.is_being_deleted(),
            marks: Marks::of(plan),
            record: Record::of(plan),
            reported: plan.ready_condition().map(|ready| Reported {
                // Any other string cannot mean that the plan was Ready.
                ready: ready.status.parse().unwrap_or(ConditionStatus::False),
                reason: Reason::parse(&ready.reason),
                covers_spec: status.is_some_and(|status| status.observed_generation == plan.metadata.generation),
                covers_request: status.and_then(|status| status.last_handled_reconcile_at.as_deref())
                    == plan.reconcile_requested_at(),
            }),
            was_completed: status
                .and_then(|status| status.operation_status.as_deref())
                .is_some_and(|status| status == OperationStatus::Completed.as_str()),
        }
    }
}

/// The two marks of the record on a plan. Both are added in one write just before the first create request, and removed
/// in one write. Copies, replaced manifests and users separate them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Marks {
    /// The finalizer.
    pub finalizer: bool,
    /// The annotation with the UID of this plan. The UID of another plan is no mark.
    pub owner_uid: bool,
}

impl Marks {
    /// Both marks.
    pub const COMPLETE: Self = Self { finalizer: true, owner_uid: true };
    /// No mark.
    pub const NONE: Self = Self { finalizer: false, owner_uid: false };

    /// The marks of a plan.
    #[must_use]
    pub fn of(plan: &PremiumSupportPlan) -> Self {
        Self { finalizer: plan.has_contract_finalizer(), owner_uid: plan.is_marked_as_owner() }
    }

    /// Whether the plan has both marks.
    #[must_use]
    pub fn are_complete(self) -> bool {
        self.finalizer && self.owner_uid
    }
}

/// What a plan records about its contract, by its marks and by `status.id` and `status.ownerUID`. It is the write-ahead
/// log: only this survives a crash.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Record {
    /// Not both marks, and no id: nothing of this plan exists at FIC.
    None,
    /// Not both marks, and an id without `ownerUID`: the plan only watches this contract.
    Watched(ContractId),
    /// Both marks, and no id of the plan's own: a create request may have been sent.
    Open,
    /// An id with `ownerUID`: this contract belongs to the plan, also if a mark was removed.
    Owned(ContractId),
}

impl Record {
    /// The record of a plan.
    #[must_use]
    pub fn of(plan: &PremiumSupportPlan) -> Self {
        let id = plan.status.as_ref().and_then(|status| ContractId::parse(status.id.as_deref()?));
        let marks = Marks::of(plan);
        // The operator has let go of a plan that is being deleted without the finalizer. Another one may still keep it.
        let is_let_go = plan.is_being_deleted() && !marks.finalizer;
        Self::new(marks, id, plan.owns_reported_contract() && !is_let_go)
    }

    /// The record of a plan with these marks, and with this id in its status.
    #[must_use]
    pub fn new(marks: Marks, id: Option<ContractId>, is_owner: bool) -> Self {
        match (id, is_owner, marks.are_complete()) {
            (Some(id), true, _) => Self::Owned(id),
            (Some(_), false, true) | (None, _, true) => Self::Open,
            (Some(id), false, false) => Self::Watched(id),
            (None, _, false) => Self::None,
        }
    }

    /// Whether a contract of this plan may exist: the plan has a record.
    #[must_use]
    pub fn is_present(&self) -> bool {
        match self {
            Self::None | Self::Watched(_) => false,
            Self::Open | Self::Owned(_) => true,
        }
    }

    /// The id that the plan watches or owns.
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
    /// Whether it covers the current spec.
    pub covers_spec: bool,
    /// Whether it covers the last requested reconcile.
    pub covers_request: bool,
}

impl Reported {
    /// A report on the plan as it is.
    #[must_use]
    pub fn current(ready: ConditionStatus, reason: Reason) -> Self {
        Self { ready, reason: Some(reason), covers_spec: true, covers_request: true }
    }
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
    /// Another plan holds it.
    HeldBy {
        /// Its namespace/name.
        holder: Box<str>,
        /// Its contract, if it has recorded one.
        contract: Option<ContractId>,
    },
}
