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

/// The minimum distance of two reads that count.
fn read_spacing(settings: &Settings) -> Duration {
    settings.poll_interval.mul_f32(READ_SPACING)
}

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

/// The first and the longest time between two sign-ins that Keystone refuses. After the longest one they count anew.
const SIGN_IN_BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(1));
/// The first and the longest time between two restorations of the same record.
const RESTORE_BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(5));

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

    /// A reconcile starts with this plan. An open record that this process did not open means that a create request may
    /// have been sent: by another process, or a user removed the id from the status. The other process may be about to
    /// act on it. Without an open record that request has ended.
    pub fn start_reconcile(&mut self, plan: &PlanFacts, settings: &Settings, now: Uptime) {
        let opened_here = self.record_opened && self.owned.is_none();
        match (&plan.record, &self.create) {
            (Record::Open, CreateState::Unsent | CreateState::Refused) if !opened_here => {
                self.create = CreateState::UNCONFIRMED_BY_OTHER;
                self.expect_other_process(settings, now);
            }
            // The record was closed without a response. One that appears from now on is from another process.
            (Record::None | Record::Watched(_), CreateState::Refused) => {
                self.create = CreateState::Unsent;
                self.record_opened = false;
            }
            // Another process recorded the outcome, or closed the record.
            (Record::Owned(_), CreateState::Unconfirmed { .. })
            | (Record::None | Record::Watched(_), CreateState::Unconfirmed { sent_here: false, .. }) => {
                self.create = CreateState::Unsent;
                self.foreign_until = None;
            }
            (
                Record::None | Record::Watched(_) | Record::Open | Record::Owned(_),
                CreateState::Unsent | CreateState::Refused | CreateState::Unconfirmed { .. } | CreateState::Accepted(_),
            ) => {}
        }
        // Until the contract is seen again, the cache may be older than the write that gave it up as lost.
        if let Some(owned) = plan.record.owned().filter(|_| !self.record_opened) {
            self.owned = Some(owned.clone());
        }
        self.forget_delete_of_another(plan);
        if plan.marks.are_complete() && now >= self.restore_from.saturating_add(RESTORE_BACKOFF.1) {
            self.restores = 0;
        }
    }

    /// A delete request concerns one contract. If the plan owns another one, a user changed its status.
    fn forget_delete_of_another(&mut self, plan: &PlanFacts) {
        let owned = plan.record.owned();
        self.delete.take_if(|delete| owned.is_some_and(|owned| *owned != delete.id));
    }

    /// Another process opened the record while this process led, so it may still act on it.
    pub fn expect_other_process(&mut self, settings: &Settings, now: Uptime) {
        self.foreign_until = Some(now.saturating_add(settings.lease_duration));
    }

    /// The operator wrote an open record, or does not know whether that write took effect. A write that certainly had
    /// no effect does not count: a record that appears then is from another process.
    pub fn mark_record_open(&mut self) {
        self.record_opened = true;
        self.owned = None;
    }

    /// The operator recorded a contract as the plan's own.
    pub fn mark_owned(&mut self, id: &ContractId) {
        self.owned = Some(id.clone());
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
                self.answered(now);
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
                self.answered(now);
                // An absence counts only when List confirms it.
                if shown.is_some() {
                    self.contract_read(shown.as_ref(), plan, settings, now);
                }
            }
            StepResult::Listed(Err(error)) | StepResult::Shown(Err(error)) => {
                self.request_failed(error, now);
                self.read_refused(error, settings, now);
            }
            StepResult::Created(outcome) => self.created(outcome, now),
            StepResult::Deleted(outcome) => self.deleted(outcome, plan, now),
            StepResult::RecordOpened => {
                self.create = CreateState::Unsent;
                self.foreign_until = None;
            }
            StepResult::RecordRestored => {
                let (first, longest) = RESTORE_BACKOFF;
                let wait = first.saturating_mul(1 << self.restores.min(16)).min(longest);
                self.restores = self.restores.saturating_add(1);
                self.restore_from = now.saturating_add(wait);
            }
            StepResult::RecordClosed => {
                self.create = CreateState::Unsent;
                self.owned = None;
                self.record_opened = false;
                self.foreign_until = None;
            }
            StepResult::IdRecorded => {
                self.record_changed(None);
                self.record_opened = false;
                self.foreign_until = None;
                self.forget_delete_of_another(plan);
                // An operation that was in progress before concerned another contract.
                self.in_progress_since = Some(now);
            }
            StepResult::IdCleared { lost } => {
                self.record_changed(lost.clone());
                self.owned = None;
                self.in_progress_since = None;
            }
            StepResult::SecretAbsence(_)
            | StepResult::Holder(_)
            | StepResult::Crd(_)
            | StepResult::OperationError(_)
            | StepResult::SecretFinalizerAdded
            | StepResult::SpecObserved
            | StepResult::Recreation(_)
            | StepResult::WriteRefused(_) => {}
        }
    }

    fn record_changed(&mut self, lost: Option<ContractId>) {
        self.create = CreateState::Unsent;
        self.lost = lost;
        self.absences = 0;
        self.absent_since = None;
        self.was_completed = false;
    }

    fn answered(&mut self, now: Uptime) {
        self.last_answer_at = now;
        self.refusal = None;
        self.sign_in_refused_at = None;
    }

    /// Counts a refusal that the next read, a poll interval later, may not repeat.
    fn read_refused(&mut self, error: &FicError, settings: &Settings, now: Uptime) {
        if !error.is_refusal() {
            self.refusal = None;
            return;
        }
        match &mut self.refusal {
            Some(refusal) if refusal.category == error.category() => {
                refusal.confirmed |= now.saturating_sub(refusal.since) >= read_spacing(settings);
            }
            Some(_) | None => self.refusal = Some(Refusal { category: error.category(), since: now, confirmed: false }),
        }
    }

    fn request_failed(&mut self, error: &FicError, now: Uptime) {
        let wait = match error {
            FicError::AuthenticationFailed { retry_after: None, .. } => Some(self.sign_in_refused(now)),
            FicError::AuthenticationFailed { .. }
            | FicError::Unavailable { .. }
            | FicError::RateLimited { .. }
            | FicError::PermissionDenied { .. }
            | FicError::Rejected { .. }
            | FicError::Conflict { .. }
            | FicError::Unexpected { .. } => error.retry_after(),
        };
        if let Some(wait) = wait {
            self.retry_after = Some(RetryAfter { not_before: now.saturating_add(wait), error: error.clone() });
        }
    }

    /// Keystone refused the credentials. The next sign-in waits, also if a user changes the Secret again and again.
    fn sign_in_refused(&mut self, now: Uptime) -> Duration {
        let (first, longest) = SIGN_IN_BACKOFF;
        let is_isolated = self.sign_in_refused_at.is_none_or(|at| now.saturating_sub(at) > longest);
        self.sign_in_refusals = if is_isolated { 0 } else { self.sign_in_refusals.saturating_add(1) };
        self.sign_in_refused_at = Some(now);
        first.saturating_mul(1 << self.sign_in_refusals.min(16)).min(longest)
    }

    /// Counts a read that shows nothing new, and returns whether it counted. Reads count only a poll interval apart,
    /// however often a user triggers a reconcile: a stale read would make all of them stale.
    fn count_read(&mut self, now: Uptime, settings: &Settings) -> bool {
        let counts = now >= self.reads_count_from;
        if counts {
            self.reads_count_from = now.saturating_add(read_spacing(settings));
        }
        counts
    }

    /// A read showed the contract of the plan, or Show and List both did not.
    fn contract_read(&mut self, contract: Option<&Contract>, plan: &PlanFacts, settings: &Settings, now: Uptime) {
        let Some(contract) = contract else {
            if self.count_read(now, settings) {
                self.absences = self.absences.saturating_add(1);
                self.absent_since.get_or_insert(now);
            }
            return;
        };
        self.absences = 0;
        self.absent_since = None;
        if let Some(owned) = plan.record.owned() {
            self.owned = Some(owned.clone());
            self.record_opened = false;
        }
        match contract.status {
            OperationStatus::Processing | OperationStatus::Other(_) => {
                if self.in_progress_since.is_none() {
                    self.in_progress_since = Some(now.saturating_sub(plan.reported_processing_time(settings)));
                }
            }
            OperationStatus::Completed => {
                self.was_completed = true;
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
        let (resent, sent_here) = match &self.create {
            CreateState::Unconfirmed { resent, sent_here, .. } => (Some(resent.saturating_add(1)), *sent_here),
            CreateState::Unsent | CreateState::Refused | CreateState::Accepted(_) => (None, false),
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
                    Some(resent) => CreateState::Unconfirmed { sent_here, empty_reads: 0, resent },
                    None => CreateState::Refused,
                }
            }
            WriteOutcome::Unknown(_) => {
                let resent = resent.unwrap_or(0);
                self.create = CreateState::Unconfirmed { sent_here: true, empty_reads: 0, resent };
            }
            WriteOutcome::NotSent(_) if resent.is_some() => {}
            WriteOutcome::NotSent(_) => self.create = CreateState::Refused,
        }
    }

    fn deleted(&mut self, outcome: &WriteOutcome<()>, plan: &PlanFacts, now: Uptime) {
        if let Some(error) = outcome.error() {
            self.request_failed(error, now);
        }
        let accepted = match outcome {
            WriteOutcome::Accepted(()) => true,
            WriteOutcome::Unknown(_) => false,
            WriteOutcome::Refused(_) | WriteOutcome::NotSent(_) => return,
        };
        let Some(id) = plan.record.owned().cloned() else { return };
        self.in_progress_since = Some(now);
        self.delete = Some(DeleteState { id, sent_at: now, accepted, unchanged_reads: 0, failed: false });
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
