//! *Decide*: from the facts to the next step. Consumes [`Facts`], produces a [`Step`]; no client, no async, no clock.
//!
//! A pass of the loop asks [`decide`] again and again, each time with what the last step brought to light, until it says to
//! rest. So every effect on the world is a step of its own with a decision before and after it, and a crash may fall
//! between any two of them.
//!
//! - [`living`]: a plan that wants its contract.
//! - [`leaving`]: a plan that is being deleted.
//! - [`sighting`]: what the looks at FIC amount to, for both.

#![allow(
    clippy::result_large_err,
    reason = "a step that ends the decision is the usual outcome of these functions, not an error to be kept small"
)]

mod leaving;
mod living;
mod sighting;
#[cfg(test)]
mod tests;

use crate::condition::Ready;
use crate::contract::{Contract, ContractId};
use crate::facts::{Claim, Credentials, Facts, Uptime};
use crate::memory::{Create, Memory};
use crate::pass::{Definition, Unseen};
use crate::plan::{DeletionPolicy, ManagementPolicy};
use crate::situation::{Defect, Situation};
use crate::trouble::Trouble;

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// Find something out.
    Look(Look),
    /// Change something; one call.
    Act(Act),
    /// Write the status, and go on.
    Report(Verdict),
    /// Write the status if there is something to say, and end the pass.
    Rest {
        /// What to say.
        verdict: Option<Verdict>,
        /// When to look again.
        wait: Wait,
    },
}

/// Something to find out.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Look {
    /// Whether there is a Secret of that name, of another type.
    Secret,
    /// The plans of the tenant, and with them this one, by the API server's own word.
    Holder,
    /// Whether the definition of our resource is being deleted.
    Definition,
    /// The contracts of the tenant.
    List,
    /// The plan's contract.
    Show(ContractId),
    /// Why the last operation on the contract failed.
    Explain(ContractId),
}

/// Something to change.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Act {
    /// Put the finalizer on the Secret.
    ProtectSecret,
    /// Put the finalizer on the plan: the record that something may be bought.
    AddFinalizer,
    /// Take it off again.
    RemoveFinalizer(Farewell),
    /// Buy.
    Create,
    /// Abolish.
    Delete(ContractId),
}

/// Why a plan lets go.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Farewell {
    /// Nothing was bought.
    NothingBought,
    /// Another plan holds the tenant.
    Yielded,
    /// The contract is gone.
    Abolished {
        /// The contract.
        id: ContractId,
        /// Another contract that the tenant holds now; it is left alone.
        other: Option<ContractId>,
    },
    /// The contract stays.
    Retained {
        /// The contract, where it is known.
        id: Option<ContractId>,
        /// Because the definition is being deleted, not because the plan says so.
        uninstall: bool,
    },
}

/// What to report.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Verdict {
    /// Where the plan stands.
    pub situation: Situation,
    /// What to show of the contract.
    pub shown: Shown,
    /// What becomes of the id in the status.
    pub id: IdChange,
    /// What has just happened, beyond what the change of the condition says.
    pub occasion: Option<Occasion>,
}

/// What to show of the contract in the status.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Shown {
    /// What is shown already: nothing new was seen.
    AsBefore,
    /// This.
    Contract(Contract),
    /// Nothing: there is none.
    Nothing,
}

/// What becomes of the id in the status: the record of what is ours.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum IdChange {
    /// It stays as it is.
    Keep,
    /// It is recorded.
    Set(ContractId),
    /// It goes.
    Clear,
}

/// Something that happened once and deserves an Event of its own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Occasion {
    /// Our create was accepted, or found to have been.
    Purchased(ContractId),
    /// A contract was taken over.
    Adopted(ContractId),
    /// Our contract is gone.
    Lost(ContractId),
}

/// When to look again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Wait {
    /// After the poll interval: something is in progress.
    Poll,
    /// After the resync interval: nothing is expected to change.
    Resync,
    /// Doubling from pass to pass: something is in the way.
    Backoff,
    /// Not before this moment: FIC asked for it.
    Until(Uptime),
    /// When something of it changes; nothing else could help.
    Change,
}

/// Decides the next step.
#[must_use]
pub fn decide(facts: &Facts<'_>) -> Step {
    let step = if facts.plan.deleting { leaving::step(facts) } else { living::step(facts) };
    facts.keep_to_retry_after(step)
}

impl Verdict {
    fn of(situation: Situation) -> Self {
        Self { situation, shown: Shown::AsBefore, id: IdChange::Keep, occasion: None }
    }

    fn showing(mut self, contract: &Contract) -> Self {
        self.shown = Shown::Contract(contract.clone());
        self
    }

    fn showing_nothing(mut self) -> Self {
        self.shown = Shown::Nothing;
        self
    }

    fn with_id(mut self, id: IdChange) -> Self {
        if id == IdChange::Clear {
            self.shown = Shown::Nothing;
        }
        self.id = id;
        self
    }

    fn because(mut self, occasion: Option<Occasion>) -> Self {
        self.occasion = occasion;
        self
    }

    fn rest(self, wait: Wait) -> Step {
        Step::Rest { verdict: Some(self), wait }
    }
}

/// Reports a situation and rests.
fn rest(situation: Situation, wait: Wait) -> Step {
    Verdict::of(situation).rest(wait)
}

/// Rests without a word.
fn rest_silently(wait: Wait) -> Step {
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
            None => Err(Step::Look(Look::Holder)),
        }
    }

    /// The id of the contract that is this plan's: an id without the finalizer is only something that was watched.
    fn own_id(&self) -> Option<&ContractId> {
        if self.plan.finalizer { self.plan.id.as_ref() } else { None }
    }

    /// A living plan with a create of unknown outcome: that says more than what stands in the way of looking it up.
    fn may_have_bought(&self) -> bool {
        let open = match self.memory.create {
            Create::Open { .. } => true,
            Create::Unsent | Create::Refused | Create::Accepted(_) => false,
        };
        open && self.plan.finalizer && self.plan.id.is_none() && !self.plan.deleting && !self.is_observed()
    }

    /// The contract of a create that was accepted and whose id is not recorded yet: that comes before anything else.
    fn accepted(&self) -> Option<&Contract> {
        match &self.memory.create {
            Create::Accepted(contract) if self.plan.id.is_none() => Some(contract),
            Create::Accepted(_) | Create::Unsent | Create::Open { .. } | Create::Refused => None,
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
            None => rest(Situation::Suspended, Wait::Change),
            Some(_) => rest_silently(Wait::Change),
        }
    }

    /// The credentials, if calls can be made with them, or what to do instead.
    fn usable_credentials(&self) -> Result<UsableCredentials, Step> {
        match self.credentials {
            Credentials::Usable { protected, deleting } => {
                Ok(UsableCredentials { protected: *protected, deleting: *deleting })
            }
            Credentials::Invalid(defect) => Err(rest(Situation::CredentialsInvalid(defect.clone()), Wait::Resync)),
            Credentials::NotSeen => Err(match self.pass.secret {
                None => Step::Look(Look::Secret),
                Some(Unseen::Absent) => rest(Situation::CredentialsMissing, Wait::Backoff),
                Some(Unseen::WrongType) => rest(Situation::CredentialsInvalid(Defect::WrongType), Wait::Backoff),
            }),
        }
    }

    /// What a look or an act that failed means for the plan.
    ///
    /// A plan that was Ready is still taken to be: not being able to look says nothing about the contract. Only after some
    /// silence is it called unknown.
    fn troubled(&self, trouble: &Trouble) -> Step {
        let wait = match trouble {
            Trouble::Unavailable { .. } | Trouble::RateLimited { .. } | Trouble::Conflict { .. } => Wait::Backoff,
            Trouble::AuthenticationFailed { .. }
            | Trouble::PermissionDenied { .. }
            | Trouble::Rejected { .. }
            | Trouble::Unexpected { .. } => return rest(Situation::Troubled(trouble.clone()), Wait::Resync),
        };
        let wait = match self.memory.hold_until {
            Some(until) if until > self.now => Wait::Until(until),
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
                    Situation::Purchasing { cause: Some(cause) }
                } else {
                    Situation::Troubled(cause)
                },
                wait,
            );
        }
        let silence = self.settings.resync_interval.saturating_mul(SILENT_RESYNCS);
        if self.now.saturating_sub(self.memory.last_seen) < silence {
            return rest_silently(wait);
        }
        rest(Situation::Unseen { trouble: trouble.clone(), silence }, wait)
    }

    /// While FIC has asked to be left alone, no step that calls it is taken, whoever asks.
    fn keep_to_retry_after(&self, step: Step) -> Step {
        let calls_fic = match &step {
            Step::Look(Look::List | Look::Show(_) | Look::Explain(_)) | Step::Act(Act::Create | Act::Delete(_)) => true,
            Step::Look(Look::Secret | Look::Holder | Look::Definition)
            | Step::Act(Act::ProtectSecret | Act::AddFinalizer | Act::RemoveFinalizer(_))
            | Step::Report(_)
            | Step::Rest { .. } => false,
        };
        match self.memory.hold_until {
            Some(until) if calls_fic && until > self.now => self.troubled(&Trouble::RateLimited { retry_after: None }),
            Some(_) | None => step,
        }
    }

    /// Whether our own definition is being deleted, or the look that tells.
    fn definition(&self) -> Result<Definition, Step> {
        self.pass.definition.ok_or(Step::Look(Look::Definition))
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
