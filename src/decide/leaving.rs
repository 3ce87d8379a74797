//! Decisions for a plan that is being deleted: abolish what is ours, see it gone, let go.

use crate::contract::{Contract, ContractId, OperationStatus};
use crate::decide::sighting::Sighting;
use crate::decide::{Act, Facts, Farewell, IdChange, Look, Occasion, Step, Verdict, Wait, rest, rest_silently};
use crate::facts::Claim;
use crate::memory::{Create, Delete, LOOKS_TO_BELIEVE};
use crate::pass::Definition;
use crate::situation::{Abolishing, Situation};
use crate::trouble::{Sent, Trouble};

pub(super) fn step(facts: &Facts<'_>) -> Step {
    if !facts.plan.finalizer {
        return rest_silently(Wait::Change);
    }
    if facts.plan.suspend {
        return facts.suspended();
    }
    if facts.is_retained() {
        return Step::Act(Act::RemoveFinalizer(Farewell::Retained { id: facts.plan.id.clone(), uninstall: false }));
    }
    let step = facts.abolish().unwrap_or_else(|step| step);
    facts.unless_uninstalled(step)
}

impl Facts<'_> {
    fn abolish(&self) -> Result<Step, Step> {
        if let Some(contract) = self.accepted() {
            return Ok(record(contract));
        }
        self.yield_tenant()?;
        match self.memory.create {
            Create::Refused if self.plan.id.is_none() => {
                return Ok(Step::Act(Act::RemoveFinalizer(Farewell::NothingBought)));
            }
            Create::Refused | Create::Unsent | Create::Open { .. } | Create::Accepted(_) => {}
        }
        let credentials = self.usable_credentials()?;
        if let (Some(Sent::Accepted(())), Some(id)) = (&self.pass.deleted, &self.plan.id) {
            return Ok(rest(Situation::Abolishing(Abolishing::UnderWay(id.clone())), Wait::Poll));
        }
        self.keep_secret(credentials)?;
        match self.sighting()? {
            Sighting::Own(contract) => self.abolish_own(contract),
            Sighting::Found(contract) => self.abolish_found(contract),
            Sighting::Nothing if self.memory.create.is_believed_void() => {
                Ok(Step::Act(Act::RemoveFinalizer(Farewell::NothingBought)))
            }
            Sighting::Nothing => Ok(rest(Situation::Abolishing(Abolishing::LookingForCreate), Wait::Poll)),
            Sighting::Gone(id) | Sighting::Replaced(id, _) if !self.absence_is_believed() => {
                let id = id.clone();
                let how =
                    if self.memory.delete.is_some() { Abolishing::UnderWay(id) } else { Abolishing::MakingSure(id) };
                Ok(rest(Situation::Abolishing(how), Wait::Poll))
            }
            Sighting::Gone(id) => Ok(gone(id, None)),
            Sighting::Replaced(id, other) => Ok(gone(id, Some(other))),
        }
    }

    /// Without an id, a plan whose tenant another one holds has nothing to abolish: whatever is there is the holder's.
    fn yield_tenant(&self) -> Result<(), Step> {
        match self.holder() {
            Claim::HeldBy(_) if self.plan.id.is_none() => {
                self.confirmed()?;
                Err(Step::Act(Act::RemoveFinalizer(Farewell::Yielded)))
            }
            Claim::HeldBy(_) | Claim::Ours => Ok(()),
        }
    }

    /// The finalizer is on, no id is recorded, and the tenant has a contract.
    fn abolish_found(&self, contract: &Contract) -> Result<Step, Step> {
        if !self.is_outcome_of_create(contract) {
            return Ok(Step::Act(Act::RemoveFinalizer(Farewell::NothingBought)));
        }
        self.confirmed()?;
        Ok(record(contract))
    }

    fn abolish_own(&self, contract: &Contract) -> Result<Step, Step> {
        let id = contract.id.clone();
        if let Some(step) = self.after_delete(&id) {
            return Ok(step);
        }
        let under_way = |abolishing| Verdict::of(Situation::Abolishing(abolishing)).showing(contract);
        match (&contract.status, &self.memory.delete) {
            (OperationStatus::Processing | OperationStatus::Other(_), _) if self.is_overdue(self.memory) => {
                let after = self.settings.operation_timeout;
                Ok(Verdict::of(Situation::OperationTimedOut { id, after }).showing(contract).rest(Wait::Resync))
            }
            (OperationStatus::Processing | OperationStatus::Other(_), None) => {
                Ok(under_way(Abolishing::WaitingForOperation(id)).rest(Wait::Poll))
            }
            (OperationStatus::Processing | OperationStatus::Other(_), Some(_)) => {
                Ok(under_way(Abolishing::UnderWay(id)).rest(Wait::Poll))
            }
            (OperationStatus::Completed, Some(delete)) if !self.may_send_again(delete) => {
                Ok(under_way(Abolishing::UnderWay(id)).rest(Wait::Poll))
            }
            (OperationStatus::Error, Some(delete)) if !delete.failed && !self.may_send_again(delete) => {
                Ok(under_way(Abolishing::UnderWay(id)).rest(Wait::Poll))
            }
            (OperationStatus::Error, Some(delete)) if !self.may_send_again(delete) => match &self.pass.explained {
                None => Ok(Step::Look(Look::Explain(id))),
                Some(why) => Ok(Verdict::of(Situation::OperationFailed { id, why: why.clone() })
                    .showing(contract)
                    .rest(Wait::Resync)),
            },
            (OperationStatus::Completed | OperationStatus::Error, _) => {
                self.confirmed()?;
                self.definition()?;
                Ok(Step::Act(Act::Delete(id)))
            }
        }
    }

    /// What the delete of this very pass has come to, where a look came after it.
    fn after_delete(&self, id: &ContractId) -> Option<Step> {
        Some(match self.pass.deleted.as_ref()? {
            Sent::Accepted(()) | Sent::Unknown(_) => return None,
            Sent::Refused(Trouble::Conflict { words }) => {
                rest(Situation::Abolishing(Abolishing::Busy(id.clone(), words.clone())), Wait::Backoff)
            }
            Sent::Refused(trouble) | Sent::NotSent(trouble) => self.troubled(trouble),
        })
    }

    /// A delete is sent once. Only one that FIC has evidently never carried out is sent again: unanswered and without a trace
    /// over several looks, accepted and without a trace for as long as an operation may take, or failed, at the slow pace.
    fn may_send_again(&self, delete: &Delete) -> bool {
        let age = self.now.saturating_sub(delete.sent_at);
        if delete.failed {
            age >= self.settings.resync_interval
        } else if delete.accepted {
            age >= self.settings.operation_timeout
        } else {
            delete.unchanged_looks >= LOOKS_TO_BELIEVE
        }
    }

    /// The definition being deleted is an uninstall. That is asked before a delete, and also where a plan would have to stay for lack of
    /// something: it would hold up the uninstall for ever.
    fn unless_uninstalled(&self, step: Step) -> Step {
        let matters = match &step {
            Step::Act(Act::Delete(_)) => true,
            Step::Rest { verdict: Some(verdict), .. } => match verdict.situation {
                Situation::Abolishing(
                    Abolishing::WaitingForOperation(_)
                    | Abolishing::Busy(..)
                    | Abolishing::LookingForCreate
                    | Abolishing::MakingSure(_),
                )
                | Situation::CredentialsMissing
                | Situation::CredentialsLeaving
                | Situation::CredentialsInvalid(_)
                | Situation::Troubled(_)
                | Situation::Unseen { .. }
                | Situation::OperationFailed { .. }
                | Situation::OperationTimedOut { .. } => true,
                Situation::Abolishing(Abolishing::UnderWay(_))
                | Situation::Contracted { .. }
                | Situation::Purchasing { .. }
                | Situation::Repurchasing { .. }
                | Situation::Processing { .. }
                | Situation::NotContracted
                | Situation::Suspended
                | Situation::AlreadyContracted { .. }
                | Situation::ContractLost { .. }
                | Situation::TenantClaimed { .. }
                | Situation::MenuMismatch { .. } => false,
            },
            Step::Look(_)
            | Step::Act(Act::ProtectSecret | Act::AddFinalizer | Act::RemoveFinalizer(_) | Act::Create)
            | Step::Report(_)
            | Step::Rest { verdict: None, .. } => false,
        };
        if !matters {
            return step;
        }
        match self.definition() {
            Err(look) => look,
            Ok(Definition::Stands) => step,
            Ok(Definition::Leaving) => {
                Step::Act(Act::RemoveFinalizer(Farewell::Retained { id: self.plan.id.clone(), uninstall: true }))
            }
        }
    }
}

/// The id is recorded before the delete is sent: the delete may fail, and then it must be known what is ours.
fn record(contract: &Contract) -> Step {
    let id = contract.id.clone();
    Step::Report(
        Verdict::of(Situation::Abolishing(Abolishing::WaitingForOperation(id.clone())))
            .showing(contract)
            .with_id(IdChange::Set(id.clone()))
            .because(Some(Occasion::Purchased(id))),
    )
}

fn gone(id: &ContractId, other: Option<&Contract>) -> Step {
    Step::Act(Act::RemoveFinalizer(Farewell::Abolished { id: id.clone(), other: other.map(|c| c.id.clone()) }))
}
