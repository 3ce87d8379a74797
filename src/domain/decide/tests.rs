//! Every row of the decision, by the decision function itself.
//!
//! Each test puts a [`World`] together, which starts from the plainest one (a plan just applied, its Secret there, nothing known
//! yet), and says what the next step must be.

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
use crate::domain::contract::OperationStatus;
use crate::domain::error::WriteOutcome;
use crate::domain::facts::Reported;
use crate::domain::memory::{CONFIRMATIONS_REQUIRED, DeleteState};
use crate::domain::ready_state::Abolishing;
use crate::domain::run_state::StepResult;

const NOW: Duration = Duration::from_secs(100_000);

#[derive(Clone)]
struct World {
    settings: Settings,
    plan: PlanFacts,
    credentials: SecretState,
    claim: Claim,
    memory: Memory,
    pass: RunState,
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

fn unavailable() -> FicError {
    FicError::Unavailable { what: "HTTP 503".into(), retry_after: None }
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
        finalizer: false,
        id: None,
        reported: None,
    }
}

impl World {
    /// A plan just applied.
    fn new() -> Self {
        let plan = plan();
        Self {
            settings: Settings {
                poll_interval: Duration::from_secs(3),
                resync_interval: Duration::from_secs(600),
                operation_timeout: Duration::from_secs(600),
            },
            memory: Memory::fresh(&plan, NOW),
            plan,
            credentials: SecretState::Found { defect: None, protected: false, deleting: false },
            claim: Claim::Ours,
            pass: RunState::default(),
        }
    }

    /// A plan whose create may have been sent, by this process or another.
    fn open() -> Self {
        let mut world = Self::new();
        world.plan.finalizer = true;
        world.credentials = SecretState::Found { defect: None, protected: true, deleting: false };
        world.memory = Memory::fresh(&world.plan, NOW);
        world
    }

    /// A plan that was Ready.
    fn ready() -> Self {
        let mut world = Self::open();
        world.plan.id = Some(ours());
        world.plan.reported = Some(Reported { ready: Ready::True, reason: Some(Reason::Contracted) });
        world
    }

    fn deleting(mut self) -> Self {
        self.plan.deleting = true;
        self
    }

    fn protected(mut self) -> Self {
        self.credentials = SecretState::Found { defect: None, protected: true, deleting: false };
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

    /// Learns as the loop does.
    fn news(mut self, news: StepResult) -> Self {
        match &news {
            StepResult::FinalizerAdded => self.plan.finalizer = true,
            StepResult::FinalizerRemoved => self.plan.finalizer = false,
            _ => {}
        }
        // Each look comes as long after the one before as the loop would have it.
        self.memory.looks_count_from = NOW;
        self.memory.learn(&news, &self.plan, &self.settings, NOW);
        self.pass.learn(&news);
        self
    }

    fn listed(self, contracts: Vec<Contract>) -> Self {
        self.news(StepResult::Listed(Ok(contracts)))
    }

    fn shown(self, contract: Option<Contract>) -> Self {
        self.news(StepResult::Shown(Ok(contract)))
    }

    /// Neither Show nor List has shown the contract for as many looks as it takes.
    fn long_absent(self) -> Self {
        self.memory(|memory| memory.absences = CONFIRMATIONS_REQUIRED)
    }

    fn holding(self) -> Self {
        self.news(StepResult::Holder(Claim::Ours))
    }

    fn step(&self) -> Step {
        decide(&Facts {
            now: NOW,
            settings: &self.settings,
            plan: &self.plan,
            credentials: &self.credentials,
            claim: &self.claim,
            memory: &self.memory,
            pass: &self.pass,
        })
    }

    /// What the plan rests with.
    fn rests(&self) -> (Option<ReadyState>, IdChange, Requeue) {
        match self.step() {
            Step::Rest { verdict: Some(verdict), wait } => (Some(verdict.situation), verdict.id, wait),
            Step::Rest { verdict: None, wait } => (None, IdChange::Keep, wait),
            step => panic!("expected to rest, not {step:?}"),
        }
    }

    fn verdict(&self) -> StatusChange {
        match self.step() {
            Step::Rest { verdict: Some(verdict), .. } | Step::Report(verdict) => verdict,
            step => panic!("expected a verdict, not {step:?}"),
        }
    }
}
