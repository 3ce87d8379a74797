//! What follows from the record of a plan, and from writes of it.

use std::time::Duration;

use super::Memory;
use crate::backoff;
use crate::domain::contract::ContractId;
use crate::domain::facts::{PlanFacts, Record, Settings, Uptime};
use crate::domain::write_state::CreateState;

/// The first and the longest time between two restorations of the same record.
const RESTORE_BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(5));

impl Memory {
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

    /// The operator wrote an open record, or does not know whether that write took effect.
    pub fn mark_record_open(&mut self) {
        self.record_opened = true;
        self.owned = None;
    }

    /// The operator recorded a contract as the plan's own.
    pub fn mark_owned(&mut self, id: &ContractId) {
        self.owned = Some(id.clone());
    }

    /// The operator opened the record.
    pub(super) fn opened_record(&mut self) {
        self.create = CreateState::Unsent;
        self.foreign_until = None;
    }

    /// The operator restored the marks of the record.
    pub(super) fn restored_record(&mut self, now: Uptime) {
        let (first, longest) = RESTORE_BACKOFF;
        self.restore_from = now.saturating_add(backoff::doubled(first, self.restores, longest));
        self.restores = self.restores.saturating_add(1);
    }

    /// The operator closed the record.
    pub(super) fn closed_record(&mut self) {
        self.create = CreateState::Unsent;
        self.owned = None;
        self.record_opened = false;
        self.foreign_until = None;
    }

    /// The operator recorded an id.
    pub(super) fn recorded_id(&mut self, plan: &PlanFacts, now: Uptime) {
        self.record_changed(None);
        self.record_opened = false;
        self.foreign_until = None;
        self.forget_delete_of_another(plan);
        // An operation that was in progress before concerned another contract.
        self.in_progress_since = Some(now);
    }

    /// The operator removed the id, of a contract that is lost or not of interest any more.
    pub(super) fn cleared_id(&mut self, lost: Option<&ContractId>) {
        self.record_changed(lost.cloned());
        self.owned = None;
        self.in_progress_since = None;
    }

    fn record_changed(&mut self, lost: Option<ContractId>) {
        self.create = CreateState::Unsent;
        self.lost = lost;
        self.absences = 0;
        self.absent_since = None;
        self.was_completed = false;
    }
}
