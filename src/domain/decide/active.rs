//! Decisions for a plan that wants its contract: look, claim, buy or take over, keep.

use crate::api::plan::{AdoptionPolicy, RecreationPolicy};
use crate::domain::contract::{Contract, ContractId, OperationStatus};
use crate::domain::decide::observation::Observation;
use crate::domain::decide::{
    Command, Facts, IdChange, Occasion, Query, ReleaseReason, Requeue, StatusChange, Step, UsableCredentials, rest,
    rest_silently,
};
use crate::domain::error::{FicError, WriteOutcome};
use crate::domain::facts::Claim;
use crate::domain::memory::CreateState;
use crate::domain::ready_state::ReadyState;

pub(super) fn step(facts: &Facts<'_>) -> Step {
    if facts.plan.suspend {
        return facts.suspended();
    }
    if let Some(contract) = facts.accepted() {
        let id = contract.id.clone();
        return facts.standing(contract, &IdChange::Set(id.clone()), Some(&Occasion::Purchased(id)));
    }
    let next = if facts.is_observed() { facts.observe() } else { facts.manage() };
    next.unwrap_or_else(|step| step)
}

/// Each step of these is either what to do now (`Err`, so that `?` ends the decision there) or the decision's last word.
impl Facts<'_> {
    fn observe(&self) -> Result<Step, Step> {
        self.keep_secret(self.usable_credentials()?)?;
        Ok(match self.sighting()? {
            Observation::Own(contract) | Observation::Found(contract) | Observation::Replaced(_, contract) => {
                // With the finalizer the id is the record of what is ours, and stays whatever is seen meanwhile.
                let known = self.plan.finalizer || self.plan.id.as_ref() == Some(&contract.id);
                let id = if known { IdChange::Keep } else { IdChange::Set(contract.id.clone()) };
                self.standing(contract, &id, None)
            }
            Observation::Gone(_) | Observation::Nothing => {
                let id = if self.plan.finalizer { IdChange::Keep } else { IdChange::Clear };
                StatusChange::of(ReadyState::NotContracted).with_id(id).showing_nothing().rest(Requeue::Resync)
            }
        })
    }

    fn manage(&self) -> Result<Step, Step> {
        self.claim_tenant()?;
        self.give_up_refused_create()?;
        let credentials = self.usable_credentials()?;
        self.keep_secret(credentials)?;
        match self.sighting()? {
            Observation::Own(contract) => Ok(self.standing(contract, &IdChange::Keep, None)),
            Observation::Found(contract) if self.plan.finalizer => self.found_with_finalizer(contract),
            Observation::Found(contract) => self.found_without_finalizer(contract, credentials),
            Observation::Replaced(own, contract) => self.replaced(own, contract, credentials),
            Observation::Gone(id) => Ok(self.lost(id)),
            Observation::Nothing => self.buy(credentials),
        }
    }

    /// One plan holds a tenant. A plan that is not the holder makes no calls, and gives back what it holds once the API server
    /// itself has said so.
    fn claim_tenant(&self) -> Result<(), Step> {
        let Claim::HeldBy(holder) = self.holder() else { return Ok(()) };
        if self.own_id().is_some() {
            return Ok(());
        }
        if self.plan.finalizer {
            self.confirmed()?;
            return Err(Step::Command(Command::RemoveFinalizer(ReleaseReason::Yielded)));
        }
        Err(StatusChange::of(ReadyState::TenantClaimed { holder: holder.clone() })
            .with_id(IdChange::Clear)
            .rest(Requeue::Resync))
    }

    /// A create that was refused bought nothing: the record that something may be bought goes again, before anything is looked
    /// at, so that a contract bought in the portal meanwhile is never taken for ours.
    fn give_up_refused_create(&self) -> Result<(), Step> {
        match self.memory.create {
            CreateState::Refused if self.plan.finalizer && self.plan.id.is_none() => {
                Err(Step::Command(Command::RemoveFinalizer(ReleaseReason::NothingBought)))
            }
            CreateState::Refused | CreateState::Unsent | CreateState::Open { .. } | CreateState::Accepted(_) => Ok(()),
        }
    }

    /// The finalizer is on, no id is recorded, and the tenant has a contract.
    fn found_with_finalizer(&self, contract: &Contract) -> Result<Step, Step> {
        let id = contract.id.clone();
        let occasion = match (self.is_outcome_of_create(contract), self.plan.adoption) {
            (true, _) => Occasion::Purchased(id.clone()),
            (false, AdoptionPolicy::IfPresent) if self.is_wanted_menu(contract) => Occasion::Adopted(id.clone()),
            (false, AdoptionPolicy::IfPresent | AdoptionPolicy::Never) => {
                return Ok(Step::Command(Command::RemoveFinalizer(ReleaseReason::NothingBought)));
            }
        };
        self.confirmed()?;
        Ok(self.standing(contract, &IdChange::Set(id), Some(&occasion)))
    }

    /// Our contract is gone, and the tenant has another.
    fn replaced(&self, own: &ContractId, contract: &Contract, credentials: UsableCredentials) -> Result<Step, Step> {
        if !self.absence_is_believed() {
            return Ok(rest_silently(Requeue::Poll));
        }
        match self.plan.adoption {
            AdoptionPolicy::IfPresent => self.adopt(contract, credentials),
            AdoptionPolicy::Never => {
                let (id, replaced) = (Some(contract.id.clone()), Some(own.clone()));
                Ok(rest(ReadyState::AlreadyContracted { id, replaced }, Requeue::Resync))
            }
        }
    }

    /// Our contract is gone, and the tenant has none. Buying again on a single moment's word would be rash, so several
    /// looks must agree.
    fn lost(&self, id: &ContractId) -> Step {
        if !self.absence_is_believed() {
            return rest_silently(Requeue::Poll);
        }
        let verdict = |situation| StatusChange::of(situation).showing_nothing();
        match self.plan.recreation {
            RecreationPolicy::Never => verdict(ReadyState::ContractLost { id: id.clone() }).rest(Requeue::Resync),
            // The id goes before anything is bought: "finalizer and no id" must say that something may be.
            RecreationPolicy::IfLost => Step::Report(
                verdict(ReadyState::Repurchasing { lost: id.clone() })
                    .with_id(IdChange::Clear)
                    .because(Some(Occasion::Lost(id.clone()))),
            ),
        }
    }

    /// Nothing of ours is out there, and the tenant has a contract.
    fn found_without_finalizer(&self, contract: &Contract, credentials: UsableCredentials) -> Result<Step, Step> {
        match self.plan.adoption {
            AdoptionPolicy::Never => {
                let situation = ReadyState::AlreadyContracted { id: Some(contract.id.clone()), replaced: None };
                Ok(StatusChange::of(situation).with_id(IdChange::Clear).rest(Requeue::Resync))
            }
            AdoptionPolicy::IfPresent => self.adopt(contract, credentials),
        }
    }

    fn adopt(&self, contract: &Contract, credentials: UsableCredentials) -> Result<Step, Step> {
        if !self.is_wanted_menu(contract) {
            // Taking it over would mean to abolish, one day, something that was never wanted.
            return Ok(self.standing(contract, &IdChange::Keep, None));
        }
        self.prepare_to_own(credentials)?;
        self.confirmed()?;
        let id = contract.id.clone();
        Ok(self.standing(contract, &IdChange::Set(id.clone()), Some(&Occasion::Adopted(id))))
    }

    /// Nothing is out there: buy, unless that has just been tried.
    fn buy(&self, credentials: UsableCredentials) -> Result<Step, Step> {
        if let Some(step) = self.after_create() {
            return Ok(step);
        }
        if !self.memory.create.is_believed_void() {
            return Ok(rest(ReadyState::Purchasing { cause: None }, Requeue::Poll));
        }
        self.prepare_to_own(credentials)?;
        self.confirmed()?;
        Ok(Step::Command(Command::Create))
    }

    /// What the create of this very pass has come to, where List still shows nothing.
    fn after_create(&self) -> Option<Step> {
        let open = match self.memory.create {
            CreateState::Open { .. } => true,
            CreateState::Unsent | CreateState::Refused | CreateState::Accepted(_) => false,
        };
        Some(match self.pass.created.as_ref()? {
            // It is in the memory, and was dealt with from there.
            WriteOutcome::Accepted(_) => return None,
            WriteOutcome::Unknown(trouble) => {
                rest(ReadyState::Purchasing { cause: Some(trouble.clone()) }, Requeue::Poll)
            }
            WriteOutcome::Refused(conflict @ FicError::Conflict { .. }) if open => {
                rest(ReadyState::Purchasing { cause: Some(conflict.clone()) }, Requeue::Poll)
            }
            WriteOutcome::Refused(FicError::Conflict { .. }) => {
                rest(ReadyState::AlreadyContracted { id: None, replaced: None }, Requeue::Backoff)
            }
            WriteOutcome::Refused(trouble) | WriteOutcome::NotSent(trouble) => self.troubled(trouble),
        })
    }

    /// What must stand before anything can become ours: a Secret that stays, no old id, and the finalizer, in this order.
    fn prepare_to_own(&self, credentials: UsableCredentials) -> Result<(), Step> {
        if credentials.deleting {
            return Err(rest(ReadyState::CredentialsLeaving, Requeue::Backoff));
        }
        if !credentials.protected {
            return Err(Step::Command(Command::AddSecretFinalizer));
        }
        if self.plan.finalizer {
            return Ok(());
        }
        if self.plan.id.is_some() {
            // An id that was only watched must not become a claim by the finalizer alone.
            return Err(Step::Report(
                StatusChange::of(ReadyState::Purchasing { cause: None }).with_id(IdChange::Clear),
            ));
        }
        Err(Step::Command(Command::AddFinalizer))
    }

    /// The contract is there and this plan's (or watched): how does it do?
    fn standing(&self, contract: &Contract, id: &IdChange, occasion: Option<&Occasion>) -> Step {
        let verdict =
            |situation| StatusChange::of(situation).showing(contract).with_id(id.clone()).because(occasion.cloned());
        let cid = contract.id.clone();
        match (&contract.status, &contract.current_menu) {
            (OperationStatus::Completed, Some(menu)) if **menu == *self.plan.menu.as_str() => {
                verdict(ReadyState::Contracted { id: cid, observed: self.is_observed() }).rest(Requeue::Resync)
            }
            (OperationStatus::Completed, Some(menu)) => {
                verdict(ReadyState::MenuMismatch { id: cid, menu: menu.clone() }).rest(Requeue::Resync)
            }
            (OperationStatus::Error, _) => match (&self.pass.explained, id) {
                // Explaining takes a call; the id is recorded before anything that may fail.
                (None, IdChange::Keep) => Step::Query(Query::Explain(cid)),
                (None, IdChange::Set(_) | IdChange::Clear) => {
                    Step::Report(verdict(ReadyState::OperationFailed { id: cid, why: None }))
                }
                (Some(why), _) => {
                    verdict(ReadyState::OperationFailed { id: cid, why: why.clone() }).rest(Requeue::Resync)
                }
            },
            (OperationStatus::Processing | OperationStatus::Other(_), _) | (OperationStatus::Completed, None) => {
                if self.is_overdue(self.memory) {
                    let after = self.settings.operation_timeout;
                    verdict(ReadyState::OperationTimedOut { id: cid, after }).rest(Requeue::Resync)
                } else {
                    verdict(ReadyState::Processing { id: cid }).rest(Requeue::Poll)
                }
            }
        }
    }

    fn is_wanted_menu(&self, contract: &Contract) -> bool {
        // While an operation goes on the menu may be missing; what is not said cannot be wrong.
        contract.current_menu.as_deref().is_none_or(|menu| menu == self.plan.menu.as_str())
    }
}
