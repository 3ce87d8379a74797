//! Every row of the decision, tested through [`decide`] itself.
//!
//! Each test builds a [`Case`], which starts as a plan that was just applied, with its Secret and nothing read yet, and
//! states the next step.

#![allow(
    clippy::wildcard_enum_match_arm,
    clippy::needless_pass_by_value,
    clippy::unchecked_time_subtraction,
    clippy::duration_suboptimal_units,
    clippy::maybe_infinite_iter,
    reason = "a test names what it expects and may panic on everything else"
)]

mod blocked;
mod creating;
mod deleting;
mod maintaining;

use std::time::Duration;

use super::*;
use crate::api::condition::Reason;
use crate::api::plan::{AdoptionPolicy, Menu, RecreationPolicy};
use crate::domain::contract::{ContractId, OperationStatus};
use crate::domain::error::WriteOutcome;
use crate::domain::facts::{Marks, Reported};
use crate::domain::ready_state::{AbolishProgress, LossCause};
use crate::domain::run_state::{Recreation, StepResult};
use crate::domain::write_state::{CONFIRMATIONS_REQUIRED, DeleteState, TookEffect};

const NOW: Duration = Duration::from_secs(100_000);

#[derive(Clone)]
struct Case {
    settings: Settings,
    plan: PlanFacts,
    secret: SecretState,
    claim: Claim,
    memory: Memory,
    run: RunState,
}

fn id(text: &str) -> ContractId {
    ContractId::parse(text).expect("well formed")
}

fn ours() -> ContractId {
    id("F000000000001")
}

fn other() -> ContractId {
    id("F000000000002")
}

fn contract(id: ContractId, status: OperationStatus) -> Contract {
    Contract { id, status, current_menu: Some("PremiumPlan".into()), menus: vec![] }
}

/// The claim of a plan whose tenant another plan holds.
fn held_by_other(contract: Option<ContractId>) -> Claim {
    Claim::HeldBy { holder: "team/other".into(), contract }
}

fn unavailable() -> FicError {
    FicError::Unavailable { message: "HTTP 503".into(), retry_after: None }
}

/// A plan just applied.
pub(crate) fn plan() -> PlanFacts {
    PlanFacts {
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
    }
}

impl Case {
    /// A plan just applied.
    fn new() -> Self {
        let plan = plan();
        Self {
            settings: Settings {
                poll_interval: Duration::from_secs(3),
                resync_interval: Duration::from_secs(600),
                operation_timeout: Duration::from_secs(600),
                loss_patience: Duration::from_secs(300),
                max_recreations_per_hour: Some(3),
                lease_duration: Duration::from_secs(15),
            },
            memory: Memory::new(&plan, NOW),
            plan,
            secret: SecretState::Found { defect: None, has_finalizer: false, deleting: false },
            claim: Claim::Ours,
            run: RunState::default(),
        }
    }

    /// A plan with an open record: this process or another one may have sent a create request.
    fn open() -> Self {
        let mut case = Self::new();
        case.plan.record = Record::Open;
        case.plan.marks = Marks::COMPLETE;
        case.secret = SecretState::Found { defect: None, has_finalizer: true, deleting: false };
        case.memory = Memory::new(&case.plan, NOW);
        case
    }

    /// A plan that was Ready.
    fn ready() -> Self {
        let mut case = Self::open();
        case.plan.record = Record::Owned(ours());
        case.plan.reported = Some(Reported::current(ConditionStatus::True, Reason::Contracted));
        case
    }

    fn deleting(mut self) -> Self {
        self.plan.deleting = true;
        self
    }

    fn with_secret_finalizer(mut self) -> Self {
        self.secret = SecretState::Found { defect: None, has_finalizer: true, deleting: false };
        self
    }

    fn plan(mut self, change: impl FnOnce(&mut PlanFacts)) -> Self {
        change(&mut self.plan);
        self
    }

    fn memory(mut self, change: impl FnOnce(&mut Memory)) -> Self {
        change(&mut self.memory);
        self
    }

    /// Adds the result of a step, as the loop does.
    fn learns(mut self, result: StepResult) -> Self {
        match &result {
            StepResult::RecordOpened => (self.plan.record, self.plan.marks) = (Record::Open, Marks::COMPLETE),
            StepResult::RecordRestored => self.plan.marks = Marks::COMPLETE,
            StepResult::RecordClosed => (self.plan.record, self.plan.marks) = (Record::None, Marks::NONE),
            StepResult::SpecObserved => self.reported().covers_spec = true,
            _ => {}
        }
        // Each read counts, as if it came a poll interval after the last one.
        self.memory.reads_count_from = NOW;
        self.memory.learn(&result, &self.plan, &self.settings, NOW);
        self.run.learn(&result);
        self
    }

    fn listed(self, contracts: Vec<Contract>) -> Self {
        self.learns(StepResult::Listed(Ok(contracts)))
    }

    fn shown(self, contract: Option<Contract>) -> Self {
        self.learns(StepResult::Shown(Ok(contract)))
    }

    /// As many reads as required have not shown the contract.
    fn absent(self) -> Self {
        self.memory(|memory| memory.absences = CONFIRMATIONS_REQUIRED)
    }

    /// The last report of the plan.
    fn reported(&mut self) -> &mut Reported {
        self.plan.reported.as_mut().expect("the plan was reported")
    }

    fn with_crd(self) -> Self {
        self.learns(StepResult::Crd(CrdState::Present))
    }

    fn holds_tenant(self) -> Self {
        self.learns(StepResult::Holder(Claim::Ours))
    }

    fn step(&self) -> Step {
        decide(&Facts {
            now: NOW,
            settings: &self.settings,
            plan: &self.plan,
            secret: &self.secret,
            claim: &self.claim,
            memory: &self.memory,
            run: &self.run,
        })
    }

    /// What the reconcile ends with.
    fn done(&self) -> (Option<ReadyState>, RecordChange, Requeue) {
        match self.step() {
            Step::Done { status: Some(status), requeue } => (Some(status.state), status.record, requeue),
            Step::Done { status: None, requeue } => (None, RecordChange::Keep, requeue),
            step => panic!("expected the reconcile to end, not {step:?}"),
        }
    }

    /// The state that the reconcile ends with.
    fn state(&self) -> ReadyState {
        self.done().0.expect("a status change")
    }

    /// The next status change, whether or not the reconcile ends with it.
    fn status(&self) -> StatusChange {
        match self.step() {
            Step::Done { status: Some(status), .. } | Step::Report(status) => status,
            step => panic!("expected a status change, not {step:?}"),
        }
    }
}
