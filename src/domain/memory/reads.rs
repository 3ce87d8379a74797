//! What follows from reads of FIC.

use std::time::Duration;

use super::{Memory, Refusal};
use crate::api::condition::Reason;
use crate::domain::contract::{Contract, OperationStatus};
use crate::domain::error::FicError;
use crate::domain::facts::{PlanFacts, Settings, Uptime};
use crate::domain::write_state::{CONFIRMATIONS_REQUIRED, CreateState};

/// The minimum distance of two reads that count, as a fraction of the poll interval. It is less than 1 because the
/// interval has jitter, and the requests themselves take time.
const READ_SPACING: f32 = 0.75;

/// The minimum distance of two reads that count.
fn read_spacing(settings: &Settings) -> Duration {
    settings.poll_interval.mul_f32(READ_SPACING)
}

impl Memory {
    /// List was answered.
    pub(super) fn listed(&mut self, contracts: &[Contract], plan: &PlanFacts, settings: &Settings, now: Uptime) {
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

    /// Show was answered. An absence counts only when List confirms it.
    pub(super) fn shown(&mut self, contract: Option<&Contract>, plan: &PlanFacts, settings: &Settings, now: Uptime) {
        self.answered(now);
        if contract.is_some() {
            self.contract_read(contract, plan, settings, now);
        }
    }

    fn answered(&mut self, now: Uptime) {
        self.last_answer_at = now;
        self.refusal = None;
        self.sign_in_refused_at = None;
    }

    /// Counts a refusal that the next read, a poll interval later, may not repeat.
    pub(super) fn read_refused(&mut self, error: &FicError, settings: &Settings, now: Uptime) {
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
