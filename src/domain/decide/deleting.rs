//! Decisions for a plan that is being deleted: abolish what is ours, see it gone, let go.

use crate::domain::contract::{Contract, ContractId, OperationStatus};
use crate::domain::decide::observation::Observation;
use crate::domain::decide::{
    Command, Facts, IdChange, Occasion, Query, ReleaseReason, Requeue, StatusChange, Step, rest, rest_silently,
};
use crate::domain::error::{FicError, WriteOutcome};
use crate::domain::facts::Claim;
use crate::domain::memory::{CONFIRMATIONS_REQUIRED, CreateState, DeleteState};
use crate::domain::ready_state::{Abolishing, ReadyState};
use crate::domain::run_state::CrdState;

pub(super) fn step(facts: &Facts<'_>) -> Step {
    if !facts.plan.finalizer {
        return rest_silently(Requeue::Change);
    }
    if facts.plan.suspend {
        return facts.suspended();
    }
    if facts.is_retained() {
        return Step::Command(Command::RemoveFinalizer(ReleaseReason::Retained {
            id: facts.plan.id.clone(),
            uninstall: false,
        }));
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
            CreateState::Refused if self.plan.id.is_none() => {
                return Ok(Step::Command(Command::RemoveFinalizer(ReleaseReason::NothingBought)));
            }
            CreateState::Refused | CreateState::Unsent | CreateState::Open { .. } | CreateState::Accepted(_) => {}
        }
        let credentials = self.usable_credentials()?;
        if let (Some(WriteOutcome::Accepted(())), Some(id)) = (&self.pass.deleted, &self.plan.id) {
            return Ok(rest(ReadyState::Abolishing(Abolishing::UnderWay(id.clone())), Requeue::Poll));
        }
        self.keep_secret(credentials)?;
        match self.sighting()? {
            Observation::Own(contract) => self.abolish_own(contract),
            Observation::Found(contract) => self.abolish_found(contract),
            Observation::Nothing if self.memory.create.is_believed_void() => {
                Ok(Step::Command(Command::RemoveFinalizer(ReleaseReason::NothingBought)))
            }
            Observation::Nothing => Ok(rest(ReadyState::Abolishing(Abolishing::LookingForCreate), Requeue::Poll)),
            Observation::Gone(id) | Observation::Replaced(id, _) if !self.absence_is_believed() => {
                let id = id.clone();
                let how =
                    if self.memory.delete.is_some() { Abolishing::UnderWay(id) } else { Abolishing::MakingSure(id) };
                Ok(rest(ReadyState::Abolishing(how), Requeue::Poll))
            }
            Observation::Gone(id) => Ok(gone(id, None)),
            Observation::Replaced(id, other) => Ok(gone(id, Some(other))),
        }
    }

    /// Without an id, a plan whose tenant another one holds has nothing to abolish: whatever is there is the holder's.
    fn yield_tenant(&self) -> Result<(), Step> {
        match self.holder() {
            Claim::HeldBy(_) if self.plan.id.is_none() => {
                self.confirmed()?;
                Err(Step::Command(Command::RemoveFinalizer(ReleaseReason::Yielded)))
            }
            Claim::HeldBy(_) | Claim::Ours => Ok(()),
        }
    }

    /// The finalizer is on, no id is recorded, and the tenant has a contract.
    fn abolish_found(&self, contract: &Contract) -> Result<Step, Step> {
        if !self.is_outcome_of_create(contract) {
            return Ok(Step::Command(Command::RemoveFinalizer(ReleaseReason::NothingBought)));
        }
        self.confirmed()?;
        Ok(record(contract))
    }

    fn abolish_own(&self, contract: &Contract) -> Result<Step, Step> {
        let id = contract.id.clone();
        if let Some(step) = self.after_delete(&id) {
            return Ok(step);
        }
        let under_way = |abolishing| StatusChange::of(ReadyState::Abolishing(abolishing)).showing(contract);
        match (&contract.status, &self.memory.delete) {
            (OperationStatus::Processing | OperationStatus::Other(_), _) if self.is_overdue(self.memory) => {
                let after = self.settings.operation_timeout;
                Ok(StatusChange::of(ReadyState::OperationTimedOut { id, after })
                    .showing(contract)
                    .rest(Requeue::Resync))
            }
            (OperationStatus::Processing | OperationStatus::Other(_), None) => {
                Ok(under_way(Abolishing::WaitingForOperation(id)).rest(Requeue::Poll))
            }
            (OperationStatus::Processing | OperationStatus::Other(_), Some(_)) => {
                Ok(under_way(Abolishing::UnderWay(id)).rest(Requeue::Poll))
            }
            (OperationStatus::Completed, Some(delete)) if !self.may_send_again(delete) => {
                Ok(under_way(Abolishing::UnderWay(id)).rest(Requeue::Poll))
            }
            (OperationStatus::Error, Some(delete)) if !delete.failed && !self.may_send_again(delete) => {
                Ok(under_way(Abolishing::UnderWay(id)).rest(Requeue::Poll))
            }
            (OperationStatus::Error, Some(delete)) if !self.may_send_again(delete) => match &self.pass.explained {
                None => Ok(Step::Query(Query::Explain(id))),
                Some(why) => Ok(StatusChange::of(ReadyState::OperationFailed { id, why: why.clone() })
                    .showing(contract)
                    .rest(Requeue::Resync)),
            },
            (OperationStatus::Completed | OperationStatus::Error, _) => {
                self.confirmed()?;
                self.definition()?;
                Ok(Step::Command(Command::Delete(id)))
            }
        }
    }

    /// What the delete of this very pass has come to, where a look came after it.
    fn after_delete(&self, id: &ContractId) -> Option<Step> {
        Some(match self.pass.deleted.as_ref()? {
            WriteOutcome::Accepted(()) | WriteOutcome::Unknown(_) => return None,
            WriteOutcome::Refused(FicError::Conflict { words }) => {
                rest(ReadyState::Abolishing(Abolishing::Busy(id.clone(), words.clone())), Requeue::Backoff)
            }
            WriteOutcome::Refused(trouble) | WriteOutcome::NotSent(trouble) => self.troubled(trouble),
        })
    }

    /// A delete is sent once. Only one that FIC has evidently never carried out is sent again: unanswered and without a trace
    /// over several looks, accepted and without a trace for as long as an operation may take, or failed, at the slow pace.
    fn may_send_again(&self, delete: &DeleteState) -> bool {
        let age = self.now.saturating_sub(delete.sent_at);
        if delete.failed {
            age >= self.settings.resync_interval
        } else if delete.accepted {
            age >= self.settings.operation_timeout
        } else {
            delete.unchanged_looks >= CONFIRMATIONS_REQUIRED
        }
    }

    /// The definition being deleted is an uninstall. That is asked before a delete, and also where a plan would have to stay for lack of
    /// something: it would hold up the uninstall for ever.
    fn unless_uninstalled(&self, step: Step) -> Step {
        let matters = match &step {
            Step::Command(Command::Delete(_)) => true,
            Step::Rest { verdict: Some(verdict), .. } => match verdict.situation {
                ReadyState::Abolishing(
                    Abolishing::WaitingForOperation(_)
                    | Abolishing::Busy(..)
                    | Abolishing::LookingForCreate
                    | Abolishing::MakingSure(_),
                )
                | ReadyState::CredentialsMissing
                | ReadyState::CredentialsLeaving
                | ReadyState::CredentialsInvalid(_)
                | ReadyState::Troubled(_)
                | ReadyState::NotObserved { .. }
                | ReadyState::OperationFailed { .. }
                | ReadyState::OperationTimedOut { .. } => true,
                ReadyState::Abolishing(Abolishing::UnderWay(_))
                | ReadyState::Contracted { .. }
                | ReadyState::Purchasing { .. }
                | ReadyState::Repurchasing { .. }
                | ReadyState::Processing { .. }
                | ReadyState::NotContracted
                | ReadyState::Suspended
                | ReadyState::AlreadyContracted { .. }
                | ReadyState::ContractLost { .. }
                | ReadyState::TenantClaimed { .. }
                | ReadyState::MenuMismatch { .. } => false,
            },
            Step::Query(_)
            | Step::Command(
                Command::AddSecretFinalizer | Command::AddFinalizer | Command::RemoveFinalizer(_) | Command::Create,
            )
            | Step::Report(_)
            | Step::Rest { verdict: None, .. } => false,
        };
        if !matters {
            return step;
        }
        match self.definition() {
            Err(look) => look,
            Ok(CrdState::Present) => step,
            Ok(CrdState::Deleting) => Step::Command(Command::RemoveFinalizer(ReleaseReason::Retained {
                id: self.plan.id.clone(),
                uninstall: true,
            })),
        }
    }
}

/// The id is recorded before the delete is sent: the delete may fail, and then it must be known what is ours.
fn record(contract: &Contract) -> Step {
    let id = contract.id.clone();
    Step::Report(
        StatusChange::of(ReadyState::Abolishing(Abolishing::WaitingForOperation(id.clone())))
            .showing(contract)
            .with_id(IdChange::Set(id.clone()))
            .because(Some(Occasion::Purchased(id))),
    )
}

fn gone(id: &ContractId, other: Option<&Contract>) -> Step {
    Step::Command(Command::RemoveFinalizer(ReleaseReason::Abolished {
        id: id.clone(),
        other: other.map(|c| c.id.clone()),
    }))
}
