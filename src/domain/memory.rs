//! What the process remembers of a plan between reconciles.
//!
//! A crash or a new leader loses all of it: what must not be lost is recorded in the plan itself. A new memory
//! therefore assumes the worst case: a create request may be open, and nothing has been read. This file has what is
//! remembered; the files below it have how that follows from the record, from reads and from writes.

mod reads;
mod record;
mod writes;

use crate::domain::contract::ContractId;
use crate::domain::error::FicError;
use crate::domain::facts::{PlanFacts, Record, Settings, Uptime};
use crate::domain::run_state::StepResult;
use crate::domain::write_state::{CreateState, DeleteState};

/// What the process remembers of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Memory {
    /// The state of the create request.
    pub create: CreateState,
    /// Whether this process opened the record of the plan, or sent that write without a response.
    pub record_opened: bool,
    /// Another process may still act on the record before this time, so nothing is concluded from it.
    pub foreign_until: Option<Uptime>,
    /// How often in a row this process restored the marks of the record.
    pub restores: u32,
    /// The marks are not restored again before this time.
    pub restore_from: Uptime,
    /// The state of the delete request.
    pub delete: Option<DeleteState>,
    /// The contract that the plan owns, as far as this process knows. A user may remove it from the status.
    pub owned: Option<ContractId>,
    /// The contract that was given up as lost before the next create request.
    pub lost: Option<ContractId>,
    /// How many consecutive reads have not shown the contract of the plan, in Show and in List.
    pub absences: u32,
    /// Since when.
    pub absent_since: Option<Uptime>,
    /// Whether the contract was completed before.
    pub was_completed: bool,
    /// The refusal of the last read, and when it was first returned. `None`: the last read was not refused.
    pub refusal: Option<Refusal>,
    /// A read before this time that shows nothing new does not count: it follows the last one too closely.
    pub reads_count_from: Uptime,
    /// Since when an operation on the contract is in progress.
    pub in_progress_since: Option<Uptime>,
    /// When FIC last answered a read for this plan, or when the process first saw the plan.
    pub last_answer_at: Uptime,
    /// How many consecutive reconciles ended with backoff.
    pub failures: u32,
    /// When Keystone last refused the credentials of the plan.
    pub sign_in_refused_at: Option<Uptime>,
    /// How often in a row it had refused them before.
    pub sign_in_refusals: u32,
    /// FIC asked the operator to wait.
    pub retry_after: Option<RetryAfter>,
}

/// A request of FIC to wait.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RetryAfter {
    /// No request may be sent before this time.
    pub not_before: Uptime,
    /// The error that asked for it.
    pub error: FicError,
}

/// A refusal of a read, such as missing permissions.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Refusal {
    /// The category of the error.
    pub category: &'static str,
    /// When it was first returned.
    pub since: Uptime,
    /// Whether another read, a poll interval later, was refused for the same cause.
    pub confirmed: bool,
}

impl Memory {
    /// The memory of a plan that this process sees for the first time.
    #[must_use]
    pub fn new(plan: &PlanFacts, now: Uptime) -> Self {
        let is_open = plan.record == Record::Open;
        let create = if is_open { CreateState::UNCONFIRMED_BY_OTHER } else { CreateState::Unsent };
        Self {
            create,
            record_opened: false,
            foreign_until: None,
            restores: 0,
            restore_from: now,
            delete: None,
            owned: plan.record.owned().cloned(),
            lost: None,
            absences: 0,
            absent_since: None,
            was_completed: plan.was_completed,
            refusal: None,
            reads_count_from: now,
            in_progress_since: None,
            last_answer_at: now,
            failures: 0,
            sign_in_refused_at: None,
            sign_in_refusals: 0,
            retry_after: None,
        }
    }

    /// The memory after a reconcile that panicked. What it did is not known, as after a crash.
    #[must_use]
    pub fn after_panic(&self, plan: &PlanFacts, now: Uptime) -> Self {
        let mut memory = Self { failures: self.failures.saturating_add(1), ..Self::new(plan, now) };
        if self.create.is_open_here() {
            memory.create = CreateState::Unconfirmed { sent_here: true, empty_reads: 0, resent: 0 };
        }
        memory
    }

    /// The plan or its Secret changed, or a user requested a reconcile: backoff starts again, but not a `Retry-After`.
    pub fn inputs_changed(&mut self) {
        self.failures = 0;
        if self.delete.as_ref().is_some_and(|delete| delete.failed) {
            self.delete = None;
        }
    }

    /// A reconcile ended, with or without backoff. Only the end of a reconcile changes the count: a successful read
    /// within it must not, or a create request that fails between two successful reads would be sent without backoff.
    pub fn end_reconcile(&mut self, uses_backoff: bool) {
        self.failures = if uses_backoff { self.failures.saturating_add(1) } else { 0 };
    }

    /// Adds the result of a step.
    pub fn learn(&mut self, result: &StepResult, plan: &PlanFacts, settings: &Settings, now: Uptime) {
        match result {
            StepResult::Listed(Ok(contracts)) => self.listed(contracts, plan, settings, now),
            StepResult::Shown(Ok(contract)) => self.shown(contract.as_ref(), plan, settings, now),
            StepResult::Listed(Err(error)) | StepResult::Shown(Err(error)) => {
                self.request_failed(error, now);
                self.read_refused(error, settings, now);
            }
            StepResult::Created(outcome) => self.created(outcome, now),
            StepResult::Deleted(outcome) => self.deleted(outcome, plan, now),
            StepResult::RecordOpened => self.opened_record(),
            StepResult::RecordRestored => self.restored_record(now),
            StepResult::RecordClosed => self.closed_record(),
            StepResult::IdRecorded => self.recorded_id(plan, now),
            StepResult::IdCleared { lost } => self.cleared_id(lost.as_ref()),
            StepResult::SecretAbsence(_)
            | StepResult::PlanRead
            | StepResult::Holder(_)
            | StepResult::Crd(_)
            | StepResult::OperationError(_)
            | StepResult::SecretFinalizerAdded
            | StepResult::SpecObserved
            | StepResult::Recreation(_)
            | StepResult::WriteRefused(_) => {}
        }
    }
}

#[cfg(test)]
mod tests;
