//! One plan in the model: the object at the API server, and what the leader knows of it.

use std::time::Duration;

use fic_support_operator::api::plan::{AdoptionPolicy, DeletionPolicy, ManagementPolicy, Menu, RecreationPolicy};
use fic_support_operator::domain::contract::{ContractId, OperationStatus};
use fic_support_operator::domain::decide::Step;
use fic_support_operator::domain::facts::{Claim, Marks, PlanFacts, Record, SecretState, Settings};
use fic_support_operator::domain::memory::Memory;
use fic_support_operator::domain::run_state::{RunState, StepResult};
use fic_support_operator::domain::write_state::CreateState;

pub const SETTINGS: Settings = Settings {
    poll_interval: Duration::from_secs(1),
    resync_interval: Duration::from_secs(1),
    operation_timeout: Duration::MAX,
    loss_patience: Duration::ZERO,
    max_recreations_per_hour: None,
    lease_duration: Duration::ZERO,
};

/// A plan, and what the leader knows of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Plan {
    /// The order of the creation timestamps.
    pub creation_rank: u8,
    /// The plan at the API server. `None`: not created yet, or deleted.
    pub object: Option<PlanFacts>,
    pub was_created: bool,
    /// How many contracts may be bought for the plan: one, and one more for each that was lost.
    pub purchases_allowed: u8,
    /// The contract stays at FIC without a plan, by the request or the fault of a user.
    pub retained: bool,
    /// The plan in the cache of the leader. Decisions about other plans use it until a live read.
    pub cached: Option<PlanFacts>,
    pub memory: Option<Memory>,
    pub reconcile: Option<RunningReconcile>,
    /// Hidden from the operator: the contracts that belong to the plan.
    pub owned: Vec<ContractId>,
    /// Hidden from the operator: no process can know whether a create request is open. By rule 3 the plan may then own
    /// a contract that it finds.
    pub create_is_ambiguous: bool,
}

/// A reconcile in progress.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RunningReconcile {
    pub plan: PlanFacts,
    /// The plan changed since: a write with its resourceVersion fails.
    pub stale: bool,
    pub secret: SecretState,
    pub claim: Claim,
    pub run: RunState,
    /// Whether it opened the record of its plan.
    pub opening: Opening,
    /// The reconcile started after its requeue interval, and has not read FIC yet.
    pub read_is_due: bool,
    /// A read of this reconcile returned an earlier state.
    pub had_stale_read: bool,
}

/// Whether a reconcile opened the record of its plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Opening {
    No,
    /// The watch has not delivered a change of another plan that came before.
    AwaitsWatch,
    /// The watch has delivered every change that came before.
    Delivered,
}

/// A request in flight that was sent by a process that no longer leads.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct InFlight {
    pub plan: usize,
    pub reconcile: RunningReconcile,
    pub step: Step,
    /// Meanwhile the finalizer was removed, and whatever the request may buy stays at FIC.
    pub retained: bool,
}

/// The marks of a plan change.
pub fn set_marks(plan: &mut PlanFacts, marks: Marks) {
    plan.marks = marks;
    plan.record = match plan.record.clone() {
        Record::Owned(id) => Record::Owned(id),
        Record::None | Record::Watched(_) | Record::Open if marks.are_complete() => Record::Open,
        Record::Watched(id) => Record::Watched(id),
        Record::None | Record::Open => Record::None,
    };
}

/// Whether the contract stays at FIC when this plan is deleted.
pub fn retains_contract(plan: &PlanFacts) -> bool {
    plan.deletion == DeletionPolicy::Retain || plan.management == ManagementPolicy::Observe
}

impl RunningReconcile {
    /// A plan that only watches claims nothing, and a plan that records its contract keeps its claim. (So does one with a
    /// create request that may have been accepted.)
    pub fn is_claimed_by_another(&self) -> bool {
        let claim = self.run.holder.as_ref().unwrap_or(&self.claim);
        let owns = self.plan.record.owned().is_some();
        *claim != Claim::Ours && !owns && self.plan.management == ManagementPolicy::Manage
    }

    /// The status of a contract according to the reads of this reconcile.
    pub fn observed_status(&self, id: &ContractId) -> Option<OperationStatus> {
        let shown = self.run.shown.iter().flatten().flatten();
        let listed = self.run.listed.iter().flatten().flatten();
        shown.chain(listed).find(|contract| contract.id == *id).map(|contract| contract.status.clone())
    }
}

impl Plan {
    pub fn new(creation_rank: u8) -> Self {
        Self {
            creation_rank,
            object: None,
            was_created: false,
            purchases_allowed: 1,
            retained: false,
            cached: None,
            memory: None,
            reconcile: None,
            owned: vec![],
            create_is_ambiguous: false,
        }
    }

    pub fn create(&mut self) {
        self.was_created = true;
        self.object = Some(PlanFacts {
            menu: Menu::PremiumPlan,
            management: ManagementPolicy::Manage,
            adoption: AdoptionPolicy::Never,
            recreation: RecreationPolicy::IfLost,
            deletion: DeletionPolicy::Delete,
            suspend: false,
            deleting: false,
            marks: Marks::NONE,
            record: Record::None,
            reported: None,
            was_completed: false,
        });
    }

    /// The API server removes the object, and the process drops everything about the plan.
    pub fn remove(&mut self) {
        self.object = None;
        self.cached = None;
        self.reconcile = None;
        self.memory = None;
    }

    /// The object changed, and not by the reconcile in progress.
    pub fn outdate_reconcile(&mut self) {
        if let Some(reconcile) = &mut self.reconcile {
            reconcile.stale = true;
        }
    }

    /// From now on no process can know whether a create request of this plan took effect.
    pub fn mark_ambiguous_if_open(&mut self) {
        if self.object.as_ref().is_some_and(|plan| plan.record == Record::Open) {
            self.create_is_ambiguous = true;
        }
    }

    pub fn has_record(&self) -> bool {
        self.object.as_ref().is_some_and(|plan| plan.record.is_present())
    }

    /// The process that leads sent a create request that FIC may have accepted.
    pub fn is_create_open(&self) -> bool {
        self.memory.as_ref().is_some_and(|memory| memory.create.is_open_here())
    }

    /// Adds the result of a step to the memory and to the reconcile in progress.
    pub fn learn(&mut self, result: &StepResult) {
        let (Some(reconcile), Some(memory)) = (&mut self.reconcile, &mut self.memory) else { return };
        memory.learn(result, &reconcile.plan, &SETTINGS, Duration::ZERO);
        reconcile.run.learn(result);
        // Counters are capped where a higher value changes no decision. Otherwise the number of states would be
        // infinite.
        memory.failures = 0;
        memory.absences = memory.absences.min(3);
        memory.in_progress_since = None;
        memory.restores = memory.restores.min(1);
        memory.restore_from = Duration::ZERO;
        memory.absent_since = None;
        memory.was_completed = false;
        if let CreateState::Unconfirmed { empty_reads, resent, .. } = &mut memory.create {
            *resent = (*resent).min(1);
            *empty_reads = (*empty_reads).min(6);
        }
        if let Some(delete) = &mut memory.delete {
            delete.unchanged_reads = delete.unchanged_reads.min(3);
        }
    }
}
