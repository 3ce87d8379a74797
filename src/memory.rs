//! What the process remembers of a plan between passes.
//!
//! All of it may be lost at any moment (a crash, another leader): what must not be lost stands in the plan itself. A fresh
//! memory therefore assumes the worst: that a create may be open, and that nothing has been seen.

use std::time::Duration;

use crate::contract::{Contract, ContractId};
use crate::facts::{PlanFacts, Settings, Uptime};
use crate::pass::News;
use crate::trouble::{Sent, Trouble};

/// How many looks in a row, a poll interval apart, must find nothing before nothing is believed to be there: FIC may show a write
/// some time after it has accepted it.
pub const LOOKS_TO_BELIEVE: u32 = 3;

/// How far apart they are at the least, as a part of the poll interval, which is spread a little and has the calls between.
const SPACING: f32 = 0.75;

/// What the process remembers of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Memory {
    /// Where the create stands.
    pub create: Create,
    /// This process has left the plan with the finalizer and no id, or was about to.
    pub opened_record: bool,
    /// Where the delete stands.
    pub delete: Option<Delete>,
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
pub enum Create {
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
pub struct Delete {
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
        let create = if plan.finalizer { Create::Open { empty_looks: 0, resent: 0 } } else { Create::Unsent };
        Self {
            create,
            opened_record: false,
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
            Create::Unsent | Create::Refused => true,
            Create::Open { .. } | Create::Accepted(_) => false,
        };
        if may_have_bought && !self.opened_record && is_certain {
            self.create = Create::Open { empty_looks: 0, resent: 0 };
        }
    }

    /// The plan is about to be left with the finalizer and no id. That is kept before it is written: the answer may get lost.
    pub fn opens_record(&mut self) {
        self.opened_record = true;
    }

    /// Someone changed the plan, its Secret or asked for a look: whatever was waited for starts anew, but for what FIC asked.
    pub fn woken(&mut self) {
        self.failures = 0;
        if self.delete.as_ref().is_some_and(|delete| delete.failed) {
            self.delete = None;
        }
    }

    /// Takes in one thing learnt.
    pub fn learn(&mut self, news: &News, plan: &PlanFacts, settings: &Settings, now: Uptime) {
        match news {
            News::Listed(Ok(contracts)) => {
                self.answered(now);
                match &plan.id {
                    Some(id) => self.witness(contracts.iter().find(|contract| contract.id == *id), plan, settings, now),
                    None if contracts.is_empty() => self.nothing_listed(settings, now),
                    None => {}
                }
            }
            News::Shown(Ok(shown)) => {
                self.answered(now);
                if shown.is_some() {
                    self.witness(shown.as_ref(), plan, settings, now);
                }
            }
            News::Listed(Err(trouble)) | News::Shown(Err(trouble)) => self.troubled(trouble, now),
            News::Created(outcome) => self.created(outcome, now),
            News::Deleted(outcome) => self.deleted(outcome, now),
            News::FinalizerAdded => self.create = Create::Unsent,
            News::FinalizerRemoved => {
                self.create = Create::Unsent;
                self.opened_record = false;
            }
            News::IdRecorded => {
                self.record_changed(None);
                self.opened_record = false;
                // What was in progress before was another one's.
                self.in_progress_since = Some(now);
            }
            News::IdForgotten(lost) => {
                self.record_changed(lost.clone());
                self.in_progress_since = None;
            }
            News::Secret(_) | News::Holder(_) | News::Definition(_) | News::Explained(_) | News::SecretProtected => {}
        }
    }

    fn record_changed(&mut self, lost: Option<ContractId>) {
        self.create = Create::Unsent;
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

    fn troubled(&mut self, trouble: &Trouble, now: Uptime) {
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
        use crate::contract::OperationStatus::{Completed, Error, Other, Processing};
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
                    delete.failed |= delete.unchanged_looks >= LOOKS_TO_BELIEVE;
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
            Create::Open { empty_looks, .. } => *empty_looks = empty_looks.saturating_add(1),
            Create::Unsent | Create::Refused | Create::Accepted(_) => {}
        }
    }

    fn created(&mut self, outcome: &Sent<Contract>, now: Uptime) {
        let resent = match &self.create {
            Create::Open { resent, .. } => Some(resent.saturating_add(1)),
            Create::Unsent | Create::Refused | Create::Accepted(_) => None,
        };
        if let Some(trouble) = outcome.trouble() {
            self.troubled(trouble, now);
        }
        match outcome {
            Sent::Accepted(contract) => self.create = Create::Accepted(contract.clone()),
            // There is a contract, and it may be the one that was given up as lost: that must be seen first.
            Sent::Refused(Trouble::Conflict { .. }) if self.lost.is_some() && resent.is_none() => {}
            Sent::Refused(_) => {
                self.create = match resent {
                    Some(resent) => Create::Open { empty_looks: 0, resent },
                    None => Create::Refused,
                }
            }
            Sent::Unknown(_) => self.create = Create::Open { empty_looks: 0, resent: resent.unwrap_or(0) },
            Sent::NotSent(_) => {}
        }
    }

    fn deleted(&mut self, outcome: &Sent<()>, now: Uptime) {
        if let Some(trouble) = outcome.trouble() {
            self.troubled(trouble, now);
        }
        let accepted = match outcome {
            Sent::Accepted(()) => true,
            Sent::Unknown(_) => false,
            Sent::Refused(_) | Sent::NotSent(_) => return,
        };
        self.in_progress_since = Some(now);
        self.delete = Some(Delete { sent_at: now, accepted, unchanged_looks: 0, failed: false });
    }
}

impl Create {
    /// Whether enough looks have shown nothing to believe that an open create left nothing behind. Each time that one is sent
    /// again, twice as many are asked for.
    #[must_use]
    pub fn is_believed_void(&self) -> bool {
        match self {
            Self::Unsent | Self::Refused => true,
            Self::Open { empty_looks, resent } => *empty_looks >= LOOKS_TO_BELIEVE << (*resent).min(6),
            Self::Accepted(_) => false,
        }
    }
}

impl PlanFacts {
    /// How long an operation has been in progress, by what was reported before this process began to look: too long, or nobody knows.
    fn in_progress_for(&self, settings: &Settings) -> Duration {
        use crate::condition::Reason;
        match self.reported.as_ref().and_then(|reported| reported.reason) {
            Some(Reason::OperationTimedOut) => settings.operation_timeout,
            _ => Duration::ZERO,
        }
    }
}

#[cfg(test)]
mod tests;
