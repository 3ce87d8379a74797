//! What the process remembers of a plan between passes.
//!
//! All of it may be lost at any moment (a crash, another leader): what must not be lost stands in the plan itself. A fresh
//! memory therefore assumes the worst: that a create may be open, and that nothing has been seen.

use std::time::Duration;

use crate::domain::contract::{Contract, ContractId};
use crate::domain::error::{FicError, WriteOutcome};
use crate::domain::facts::{PlanFacts, Settings, Uptime};
use crate::domain::run_state::StepResult;

/// How many looks in a row, a poll interval apart, must find nothing before nothing is believed to be there: FIC may show a write
/// some time after it has accepted it.
pub const CONFIRMATIONS_REQUIRED: u32 = 3;

/// How far apart they are at the least, as a part of the poll interval, which is spread a little and has the calls between.
const SPACING: f32 = 0.75;

/// What the process remembers of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Memory {
    /// Where the create stands.
    pub create: CreateState,
    /// This process has left the plan with the finalizer and no id, or was about to.
    pub record_opened: bool,
    /// Where the delete stands.
    pub delete: Option<DeleteState>,
    /// The contract that was given up as lost before the create that is due.
    pub lost: Option<ContractId>,
    /// How many looks in a row have not shown the plan's contract, by two witnesses each.
    pub absences: u32,
    /// A look before this that finds nothing new counts for nothing: it follows the last one too soon to say more.
    pub looks_count_from: Uptime,
    /// Since when the contract has been in progress.
    pub in_progress_since: Option<Uptime>,
    /// When FIC last answered for this plan (or when the process first heard of the plan).
    pub last_seen: Uptime,
    /// How many passes in a row came to rest with something in the way.
    pub failures: u32,
    /// FIC asked to be left alone until then.
    pub hold_until: Option<Uptime>,
}

/// Where the create of a plan stands, as far as this process knows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum CreateState {
    /// None was sent since the finalizer was put on (by this process).
    Unsent,
    /// One may have been carried out: sent without an answer, or by a process before this one.
    Open {
        /// How many looks since have shown no contract.
        empty_looks: u32,
        /// How often a create was sent again since.
        resent: u32,
    },
    /// One was refused for certain, and no other was open: nothing was bought.
    Refused,
    /// One was accepted, and its id is not recorded yet.
    Accepted(Contract),
}

/// Where the delete of a plan's contract stands, as far as this process knows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DeleteState {
    /// When it was sent.
    pub sent_at: Uptime,
    /// Whether FIC is known to have accepted it.
    pub accepted: bool,
    /// How many looks since have shown the contract as if nothing had been sent.
    pub unchanged_looks: u32,
    /// FIC has said that it failed.
    pub failed: bool,
}

impl Memory {
    /// The memory of a plan that this process has never met.
    #[must_use]
    pub fn fresh(plan: &PlanFacts, now: Uptime) -> Self {
        let create = if plan.finalizer { CreateState::Open { empty_looks: 0, resent: 0 } } else { CreateState::Unsent };
        Self {
            create,
            record_opened: false,
            delete: None,
            lost: None,
            absences: 0,
            looks_count_from: now,
            in_progress_since: None,
            last_seen: now,
            failures: 0,
            hold_until: None,
        }
    }

    /// A pass begins with the plan as it is now. *Finalizer and no id* says that something may have been bought: if it was not this process
    /// that left it so, somebody else may have, or the id was taken out.
    pub fn meet(&mut self, plan: &PlanFacts) {
        let may_have_bought = plan.finalizer && plan.id.is_none();
        let is_certain = match self.create {
            CreateState::Unsent | CreateState::Refused => true,
            CreateState::Open { .. } | CreateState::Accepted(_) => false,
        };
        if may_have_bought && !self.record_opened && is_certain {
            self.create = CreateState::Open { empty_looks: 0, resent: 0 };
        }
    }

    /// The plan is about to be left with the finalizer and no id. That is kept before it is written: the answer may get lost.
    pub fn opens_record(&mut self) {
        self.record_opened = true;
    }

    /// Someone changed the plan, its Secret or asked for a look: whatever was waited for starts anew, but for what FIC asked.
    pub fn woken(&mut self) {
        self.failures = 0;
        if self.delete.as_ref().is_some_and(|delete| delete.failed) {
            self.delete = None;
        }
    }

    /// Takes in one thing learnt.
    pub fn learn(&mut self, news: &StepResult, plan: &PlanFacts, settings: &Settings, now: Uptime) {
        match news {
            StepResult::Listed(Ok(contracts)) => {
                self.answered(now);
                match &plan.id {
                    Some(id) => self.witness(contracts.iter().find(|contract| contract.id == *id), plan, settings, now),
                    None if contracts.is_empty() => self.nothing_listed(settings, now),
                    None => {}
                }
            }
            StepResult::Shown(Ok(shown)) => {
                self.answered(now);
                if shown.is_some() {
                    self.witness(shown.as_ref(), plan, settings, now);
                }
            }
            StepResult::Listed(Err(trouble)) | StepResult::Shown(Err(trouble)) => self.troubled(trouble, now),
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
                // What was in progress before was another one's.
                self.in_progress_since = Some(now);
            }
            StepResult::IdForgotten(lost) => {
                self.record_changed(lost.clone());
                self.in_progress_since = None;
            }
            StepResult::Secret(_)
            | StepResult::Holder(_)
            | StepResult::Crd(_)
            | StepResult::Explained(_)
            | StepResult::SecretFinalizerAdded => {}
        }
    }

    fn record_changed(&mut self, lost: Option<ContractId>) {
        self.create = CreateState::Unsent;
        self.lost = lost;
        self.absences = 0;
    }

    /// A pass came to rest: with something in the way, which is waited out ever more slowly, or without, which ends that. A single
    /// answer ends nothing, or a create that fails between two looks that succeed would be sent at full pace.
    pub fn rested(&mut self, hindered: bool) {
        self.failures = if hindered { self.failures.saturating_add(1) } else { 0 };
    }

    fn answered(&mut self, now: Uptime) {
        self.last_seen = now;
    }

    fn troubled(&mut self, trouble: &FicError, now: Uptime) {
        if let Some(wait) = trouble.retry_after() {
            self.hold_until = Some(now.saturating_add(wait));
        }
    }

    /// Whether a look that finds nothing new says more than the one before. However often a plan is woken, looks are only counted
    /// as far apart as they would be if nobody woke it: what lags would lag for all of them.
    fn counts(&mut self, now: Uptime, settings: &Settings) -> bool {
        let counts = now >= self.looks_count_from;
        if counts {
            self.looks_count_from = now.saturating_add(settings.poll_interval.mul_f32(SPACING));
        }
        counts
    }

    /// The plan's contract was shown, or two witnesses have not seen it.
    fn witness(&mut self, contract: Option<&Contract>, plan: &PlanFacts, settings: &Settings, now: Uptime) {
        use crate::domain::contract::OperationStatus::{Completed, Error, Other, Processing};
        let Some(contract) = contract else {
            if self.counts(now, settings) {
                self.absences = self.absences.saturating_add(1);
            }
            return;
        };
        self.absences = 0;
        match contract.status {
            Processing | Other(_) => {
                if self.in_progress_since.is_none() {
                    self.in_progress_since = Some(now.saturating_sub(plan.in_progress_for(settings)));
                }
            }
            Completed => {
                self.in_progress_since = None;
                if self.delete.is_some() && self.counts(now, settings) {
                    self.delete_shows_nothing();
                }
            }
            Error => {
                self.in_progress_since = None;
                if self.delete.is_some() && self.counts(now, settings) {
                    self.delete_shows_nothing();
                }
                // The error may be an older one, as long as reads may lag.
                if let Some(delete) = &mut self.delete {
                    delete.failed |= delete.unchanged_looks >= CONFIRMATIONS_REQUIRED;
                }
            }
        }
    }

    fn delete_shows_nothing(&mut self) {
        if let Some(delete) = &mut self.delete {
            delete.unchanged_looks = delete.unchanged_looks.saturating_add(1);
        }
    }

    fn nothing_listed(&mut self, settings: &Settings, now: Uptime) {
        if !self.counts(now, settings) {
            return;
        }
        match &mut self.create {
            CreateState::Open { empty_looks, .. } => *empty_looks = empty_looks.saturating_add(1),
            CreateState::Unsent | CreateState::Refused | CreateState::Accepted(_) => {}
        }
    }

    fn created(&mut self, outcome: &WriteOutcome<Contract>, now: Uptime) {
        let resent = match &self.create {
            CreateState::Open { resent, .. } => Some(resent.saturating_add(1)),
            CreateState::Unsent | CreateState::Refused | CreateState::Accepted(_) => None,
        };
        if let Some(trouble) = outcome.trouble() {
            self.troubled(trouble, now);
        }
        match outcome {
            WriteOutcome::Accepted(contract) => self.create = CreateState::Accepted(contract.clone()),
            // There is a contract, and it may be the one that was given up as lost: that must be seen first.
            WriteOutcome::Refused(FicError::Conflict { .. }) if self.lost.is_some() && resent.is_none() => {}
            WriteOutcome::Refused(_) => {
                self.create = match resent {
                    Some(resent) => CreateState::Open { empty_looks: 0, resent },
                    None => CreateState::Refused,
                }
            }
            WriteOutcome::Unknown(_) => self.create = CreateState::Open { empty_looks: 0, resent: resent.unwrap_or(0) },
            WriteOutcome::NotSent(_) => {}
        }
    }

    fn deleted(&mut self, outcome: &WriteOutcome<()>, now: Uptime) {
        if let Some(trouble) = outcome.trouble() {
            self.troubled(trouble, now);
        }
        let accepted = match outcome {
            WriteOutcome::Accepted(()) => true,
            WriteOutcome::Unknown(_) => false,
            WriteOutcome::Refused(_) | WriteOutcome::NotSent(_) => return,
        };
        self.in_progress_since = Some(now);
        self.delete = Some(DeleteState { sent_at: now, accepted, unchanged_looks: 0, failed: false });
    }
}

impl CreateState {
    /// Whether enough looks have shown nothing to believe that an open create left nothing behind. Each time that one is sent
    /// again, twice as many are asked for.
    #[must_use]
    pub fn is_believed_void(&self) -> bool {
        match self {
            Self::Unsent | Self::Refused => true,
            Self::Open { empty_looks, resent } => *empty_looks >= CONFIRMATIONS_REQUIRED << (*resent).min(6),
            Self::Accepted(_) => false,
        }
    }
}

impl PlanFacts {
    /// How long an operation has been in progress, by what was reported before this process began to look: too long, or nobody knows.
    fn in_progress_for(&self, settings: &Settings) -> Duration {
        use crate::api::condition::Reason;
        match self.reported.as_ref().and_then(|reported| reported.reason) {
            Some(Reason::OperationTimedOut) => settings.operation_timeout,
            _ => Duration::ZERO,
        }
    }
}

#[cfg(test)]
mod tests;
