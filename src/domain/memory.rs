//! What the process remembers of a plan between reconciles.
//!
//! A crash or a new leader loses all of it: what must not be lost is recorded in the plan itself. A new memory
//! therefore assumes the worst case: a create request may be open, and nothing has been read.

use std::time::Duration;

use crate::api::condition::Reason;
use crate::domain::contract::{Contract, ContractId, OperationStatus};
use crate::domain::error::{FicError, WriteOutcome};
use crate::domain::facts::{PlanFacts, Record, Settings, Uptime};
use crate::domain::run_state::StepResult;
use crate::domain::write_state::{CONFIRMATIONS_REQUIRED, CreateState, DeleteState};

/// The minimum distance of two reads that count, as a fraction of the poll interval. It is less than 1 because the
/// interval has jitter, and the requests themselves take time.
const READ_SPACING: f32 = 0.75;

/// What the process remembers of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Memory {
    /// The state of the create request.
    pub create: CreateState,
    /// Whether this process opened the record of the plan, or was about to.
    pub record_opened: bool,
    /// The state of the delete request.
    pub delete: Option<DeleteState>,
    /// The contract that was given up as lost before the next create request.
    pub lost: Option<ContractId>,
    /// How many consecutive reads have not shown the contract of the plan, in Show and in List.
    pub absences: u32,
    /// A read before this time that shows nothing new does not count: it follows the last one too closely.
    pub reads_count_from: Uptime,
    /// Since when an operation on the contract is in progress.
    pub in_progress_since: Option<Uptime>,
    /// When FIC last answered a read for this plan, or when the process first saw the plan.
    pub last_answer_at: Uptime,
    /// How many consecutive reconciles ended with backoff.
    pub failures: u32,
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

impl Memory {
    /// The memory of a plan that this process sees for the first time.
    #[must_use]
    pub fn new(plan: &PlanFacts, now: Uptime) -> Self {
        let create = if plan.record.has_finalizer() { CreateState::UNCONFIRMED } else { CreateState::Unsent };
        Self {
            create,
            record_opened: false,
            delete: None,
            lost: None,
            absences: 0,
            reads_count_from: now,
            in_progress_since: None,
            last_answer_at: now,
            failures: 0,
            retry_after: None,
        }
    }

    /// A reconcile starts with this plan. An open record that this process did not open means that a create request may
    /// have been sent: by another process, or a user removed the id from the status.
    pub fn start_reconcile(&mut self, plan: &PlanFacts) {
        let is_certain = match self.create {
            CreateState::Unsent | CreateState::Refused => true,
            CreateState::Unconfirmed { .. } | CreateState::Accepted(_) => false,
        };
        if plan.record == Record::Open && !self.record_opened && is_certain {
            self.create = CreateState::UNCONFIRMED;
        }
    }

    /// The operator is about to write an open record. It remembers that before the write, since the response may be
    /// lost.
    pub fn mark_record_open(&mut self) {
        self.record_opened = true;
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
            StepResult::Listed(Ok(contracts)) => {
                self.last_answer_at = now;
                match plan.record.id() {
                    Some(id) => {
                        let own = contracts.iter().find(|contract| contract.id == *id);
                        self.contract_read(own, plan, settings, now);
                    }
                    None if contracts.is_empty() => self.nothing_listed(settings, now),
                    None => {}
                }
            }
            StepResult::Shown(Ok(shown)) => {
                self.last_answer_at = now;
                // An absence counts only when List confirms it.
                if shown.is_some() {
                    self.contract_read(shown.as_ref(), plan, settings, now);
                }
            }
            StepResult::Listed(Err(error)) | StepResult::Shown(Err(error)) => self.request_failed(error, now),
            StepResult::Created(outcome) => self.created(outcome, now),
            StepResult::Deleted(outcome) => self.deleted(outcome, now),
            StepResult::FinalizerAdded => self.create = CreateState::Unsent,
            StepResult::FinalizerRemoved => {
                self.create = CreateState::Unsent;
                self.record_opened = false;
            }
            StepResult::IdRecorded => {
                self.record_changed(None);
                self.record_opened = false;
                // An operation that was in progress before concerned another contract.
                self.in_progress_since = Some(now);
            }
            StepResult::IdCleared { lost } => {
                self.record_changed(lost.clone());
                self.in_progress_since = None;
            }
            StepResult::SecretAbsence(_)
            | StepResult::Holder(_)
            | StepResult::Crd(_)
            | StepResult::OperationError(_)
            | StepResult::SecretFinalizerAdded => {}
        }
    }

    fn record_changed(&mut self, lost: Option<ContractId>) {
        self.create = CreateState::Unsent;
        self.lost = lost;
        self.absences = 0;
    }

    fn request_failed(&mut self, error: &FicError, now: Uptime) {
        if let Some(wait) = error.retry_after() {
            self.retry_after = Some(RetryAfter { not_before: now.saturating_add(wait), error: error.clone() });
        }
    }

    /// Counts a read that shows nothing new, and returns whether it counted. Reads count only a poll interval apart,
    /// however often a user triggers a reconcile: a stale read would make all of them stale.
    fn count_read(&mut self, now: Uptime, settings: &Settings) -> bool {
        let counts = now >= self.reads_count_from;
        if counts {
            self.reads_count_from = now.saturating_add(settings.poll_interval.mul_f32(READ_SPACING));
        }
        counts
    }

    /// A read showed the contract of the plan, or Show and List both did not.
    fn contract_read(&mut self, contract: Option<&Contract>, plan: &PlanFacts, settings: &Settings, now: Uptime) {
        let Some(contract) = contract else {
            if self.count_read(now, settings) {
                self.absences = self.absences.saturating_add(1);
            }
            return;
        };
        self.absences = 0;
        match contract.status {
            OperationStatus::Processing | OperationStatus::Other(_) => {
                if self.in_progress_since.is_none() {
                    self.in_progress_since = Some(now.saturating_sub(plan.reported_processing_time(settings)));
                }
            }
            OperationStatus::Completed => {
                self.in_progress_since = None;
                self.count_unchanged_read(settings, now);
            }
            OperationStatus::Error => {
                self.in_progress_since = None;
                self.count_unchanged_read(settings, now);
                // As long as reads may be stale, the error may belong to an earlier operation.
                if let Some(delete) = &mut self.delete {
                    delete.failed |= delete.unchanged_reads >= CONFIRMATIONS_REQUIRED;
                }
            }
        }
    }

    /// A read shows no effect of the delete request.
    fn count_unchanged_read(&mut self, settings: &Settings, now: Uptime) {
        if self.delete.is_some()
            && self.count_read(now, settings)
            && let Some(delete) = &mut self.delete
        {
            delete.unchanged_reads = delete.unchanged_reads.saturating_add(1);
        }
    }

    fn nothing_listed(&mut self, settings: &Settings, now: Uptime) {
        if !self.count_read(now, settings) {
            return;
        }
        match &mut self.create {
            CreateState::Unconfirmed { empty_reads, .. } => *empty_reads = empty_reads.saturating_add(1),
            CreateState::Unsent | CreateState::Refused | CreateState::Accepted(_) => {}
        }
    }

    fn created(&mut self, outcome: &WriteOutcome<Contract>, now: Uptime) {
        let resent = match &self.create {
            CreateState::Unconfirmed { resent, .. } => Some(resent.saturating_add(1)),
            CreateState::Unsent | CreateState::Refused | CreateState::Accepted(_) => None,
        };
        if let Some(error) = outcome.error() {
            self.request_failed(error, now);
        }
        match outcome {
            WriteOutcome::Accepted(contract) => self.create = CreateState::Accepted(contract.clone()),
            // A contract exists. It may be the one that was given up as lost, which must be checked first.
            WriteOutcome::Refused(FicError::Conflict { .. }) if self.lost.is_some() && resent.is_none() => {}
            WriteOutcome::Refused(_) => {
                self.create = match resent {
                    Some(resent) => CreateState::Unconfirmed { empty_reads: 0, resent },
                    None => CreateState::Refused,
                }
            }
            WriteOutcome::Unknown(_) => {
                self.create = CreateState::Unconfirmed { empty_reads: 0, resent: resent.unwrap_or(0) };
            }
            WriteOutcome::NotSent(_) => {}
        }
    }

    fn deleted(&mut self, outcome: &WriteOutcome<()>, now: Uptime) {
        if let Some(error) = outcome.error() {
            self.request_failed(error, now);
        }
        let accepted = match outcome {
            WriteOutcome::Accepted(()) => true,
            WriteOutcome::Unknown(_) => false,
            WriteOutcome::Refused(_) | WriteOutcome::NotSent(_) => return,
        };
        self.in_progress_since = Some(now);
        self.delete = Some(DeleteState { sent_at: now, accepted, unchanged_reads: 0, failed: false });
    }
}

impl PlanFacts {
    /// How long an operation has been in progress according to the last report: longer than the timeout, or unknown.
    fn reported_processing_time(&self, settings: &Settings) -> Duration {
        match self.reported.as_ref().and_then(|reported| reported.reason) {
            Some(Reason::OperationTimedOut) => settings.operation_timeout,
            Some(_) | None => Duration::ZERO,
        }
    }
}

#[cfg(test)]
mod tests;
