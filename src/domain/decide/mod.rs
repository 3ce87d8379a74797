//! *Decide*: from the facts to the next step. Consumes [`Facts`], produces a [`Step`]; no client, no async, no clock.
//!
//! A pass of the loop asks [`decide`] again and again, each time with what the last step brought to light, until it says to
//! rest. So every effect on the world is a step of its own with a decision before and after it, and a crash may fall
//! between any two of them.
//!
//! - [`living`]: a plan that wants its contract.
//! - [`leaving`]: a plan that is being deleted.
//! - [`sighting`]: what the looks at FIC amount to, for both.
//! - [`step`]: what a decision can say.

#![allow(
    clippy::result_large_err,
    reason = "a step that ends the decision is the usual outcome of these functions, not an error to be kept small"
)]

mod active;
mod deleting;
mod observation;
mod step;
#[cfg(test)]
pub(crate) mod tests;

use crate::api::condition::Ready;
use crate::api::credentials::SecretDefect;
use crate::api::plan::{DeletionPolicy, ManagementPolicy};
use crate::domain::contract::{Contract, ContractId};
use crate::domain::error::FicError;
use crate::domain::facts::{Claim, PlanFacts, SecretState, Settings, Uptime};
use crate::domain::memory::{CreateState, Memory};
use crate::domain::ready_state::ReadyState;
use crate::domain::run_state::{CrdState, RunState, SecretAbsence};
pub use step::{Command, ContractDisplay, IdChange, Occasion, Query, ReleaseReason, Requeue, StatusChange, Step};

/// All that a decision is made from.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// Now.
    pub now: Uptime,
    /// The operator's own settings.
    pub settings: &'a Settings,
    /// The plan, as the API server last had it for us.
    pub plan: &'a PlanFacts,
    /// Its credentials.
    pub credentials: &'a SecretState,
    /// Who holds the tenant, as far as the cache knows.
    pub claim: &'a Claim,
    /// What this process remembers of the plan from earlier passes.
    pub memory: &'a Memory,
    /// What this pass has learnt so far.
    pub pass: &'a RunState,
}

/// Decides the next step.
#[must_use]
pub fn decide(facts: &Facts<'_>) -> Step {
    let step = if facts.plan.deleting { deleting::step(facts) } else { active::step(facts) };
    facts.keep_to_retry_after(step)
}

/// Reports a situation and rests.
fn rest(situation: ReadyState, wait: Requeue) -> Step {
    StatusChange::of(situation).rest(wait)
}

/// Rests without a word.
fn rest_silently(wait: Requeue) -> Step {
    Step::Rest { verdict: None, wait }
}

/// How many resync intervals a Ready plan may go unseen before it is no longer called Ready.
const SILENT_RESYNCS: u32 = 3;

impl Facts<'_> {
    /// Who holds the tenant: the API server's word where this pass has asked for it, else the cache's.
    fn holder(&self) -> &Claim {
        self.pass.holder.as_ref().unwrap_or(self.claim)
    }

    /// The effects that matter need the API server's own word on the plan and its rivals; a cache may be behind.
    fn confirmed(&self) -> Result<(), Step> {
        match self.pass.holder {
            Some(_) => Ok(()),
            None => Err(Step::Query(Query::Holder)),
        }
    }

    /// The id of the contract that is this plan's: an id without the finalizer is only something that was watched.
    fn own_id(&self) -> Option<&ContractId> {
        if self.plan.finalizer { self.plan.id.as_ref() } else { None }
    }

    /// A living plan with a create of unknown outcome: that says more than what stands in the way of looking it up.
    fn may_have_bought(&self) -> bool {
        let open = match self.memory.create {
            CreateState::Open { .. } => true,
            CreateState::Unsent | CreateState::Refused | CreateState::Accepted(_) => false,
        };
        open && self.plan.finalizer && self.plan.id.is_none() && !self.plan.deleting && !self.is_observed()
    }

    /// Whether a contract that is found under the finalizer, with no id recorded, is ours: a create of ours may be open, or it is
    /// the one that was given up as lost.
    fn is_outcome_of_create(&self, contract: &Contract) -> bool {
        match &self.memory.create {
            CreateState::Open { .. } => true,
            CreateState::Unsent => self.memory.lost.as_ref() == Some(&contract.id),
            CreateState::Refused | CreateState::Accepted(_) => false,
        }
    }

    /// The contract of a create that was accepted and whose id is not recorded yet: that comes before anything else.
    fn accepted(&self) -> Option<&Contract> {
        match &self.memory.create {
            CreateState::Accepted(contract) if self.plan.id.is_none() => Some(contract),
            CreateState::Accepted(_) | CreateState::Unsent | CreateState::Open { .. } | CreateState::Refused => None,
        }
    }

    fn is_observed(&self) -> bool {
        self.plan.management == ManagementPolicy::Observe
    }

    fn is_retained(&self) -> bool {
        self.is_observed() || self.plan.deletion == DeletionPolicy::Retain
    }

    /// Suspended: nothing is touched. Only a plan that has never been reported is told about it.
    fn suspended(&self) -> Step {
        match self.plan.reported {
            None => rest(ReadyState::Suspended, Requeue::Change),
            Some(_) => rest_silently(Requeue::Change),
        }
    }

    /// The credentials, if calls can be made with them, or what to do instead.
    fn usable_credentials(&self) -> Result<UsableCredentials, Step> {
        match self.credentials {
            SecretState::Found { defect, protected, deleting } => {
                let credentials = UsableCredentials { protected: *protected, deleting: *deleting };
                let Some(defect) = defect else { return Ok(credentials) };
                // Kept it can be mended, even where nothing new can be created any more.
                self.keep_secret(credentials)?;
                Err(rest(ReadyState::CredentialsInvalid(defect.clone()), Requeue::Resync))
            }
            SecretState::NotFound => Err(match self.pass.secret {
                None => Step::Query(Query::Secret),
                Some(SecretAbsence::Absent) => rest(ReadyState::CredentialsMissing, Requeue::Backoff),
                Some(SecretAbsence::WrongType) => {
                    rest(ReadyState::CredentialsInvalid(SecretDefect::WrongType), Requeue::Backoff)
                }
            }),
        }
    }

    /// A Secret that a plan with the finalizer uses is kept. One that is being deleted takes no finalizer any more.
    fn keep_secret(&self, credentials: UsableCredentials) -> Result<(), Step> {
        if self.plan.finalizer && !credentials.protected && !credentials.deleting {
            return Err(Step::Command(Command::AddSecretFinalizer));
        }
        Ok(())
    }

    /// What a look or an act that failed means for the plan.
    ///
    /// A plan that was Ready is still taken to be: not being able to look says nothing about the contract. Only after some
    /// silence is it called unknown.
    fn troubled(&self, trouble: &FicError) -> Step {
        let wait = match trouble {
            FicError::Unavailable { .. } | FicError::RateLimited { .. } | FicError::Conflict { .. } => Requeue::Backoff,
            FicError::AuthenticationFailed { .. }
            | FicError::PermissionDenied { .. }
            | FicError::Rejected { .. }
            | FicError::Unexpected { .. } => return rest(ReadyState::Troubled(trouble.clone()), Requeue::Resync),
        };
        let wait = match self.memory.hold_until {
            Some(until) if until > self.now => Requeue::Until(until),
            Some(_) | None => wait,
        };
        let was_ready = !self.plan.deleting
            && self.plan.reported.as_ref().is_some_and(|reported| match reported.ready {
                Ready::True | Ready::Unknown => true,
                Ready::False => false,
            });
        if !was_ready {
            let cause = trouble.clone();
            return rest(
                if self.may_have_bought() {
                    ReadyState::Purchasing { cause: Some(cause) }
                } else {
                    ReadyState::Troubled(cause)
                },
                wait,
            );
        }
        let silence = self.settings.resync_interval.saturating_mul(SILENT_RESYNCS);
        if self.now.saturating_sub(self.memory.last_seen) < silence {
            return rest_silently(wait);
        }
        rest(ReadyState::NotObserved { trouble: trouble.clone(), silence }, wait)
    }

    /// While FIC has asked to be left alone, no step that calls it is taken, whoever asks.
    fn keep_to_retry_after(&self, step: Step) -> Step {
        let calls_fic = match &step {
            Step::Query(Query::List | Query::Show(_) | Query::Explain(_))
            | Step::Command(Command::Create | Command::Delete(_)) => true,
            Step::Query(Query::Secret | Query::Holder | Query::Crd)
            | Step::Command(Command::AddSecretFinalizer | Command::AddFinalizer | Command::RemoveFinalizer(_))
            | Step::Report(_)
            | Step::Rest { .. } => false,
        };
        match self.memory.hold_until {
            Some(until) if calls_fic && until > self.now => self.troubled(&FicError::RateLimited { retry_after: None }),
            Some(_) | None => step,
        }
    }

    /// Whether our own definition is being deleted, or the look that tells.
    fn definition(&self) -> Result<CrdState, Step> {
        self.pass.definition.ok_or(Step::Query(Query::Crd))
    }

    /// Whether the operation under way has taken longer than it may.
    fn is_overdue(&self, memory: &Memory) -> bool {
        memory.in_progress_since.is_some_and(|since| self.now.saturating_sub(since) >= self.settings.operation_timeout)
    }
}

/// Credentials that calls can be made with.
#[derive(Clone, Copy, Debug)]
struct UsableCredentials {
    protected: bool,
    deleting: bool,
}
