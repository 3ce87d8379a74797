//! Decisions for a plan that is not being deleted: claim the tenant, buy or adopt the contract, keep it.

use std::ops::ControlFlow::{Break, Continue};

use crate::api::plan::{AdoptionPolicy, RecreationPolicy};
use crate::domain::contract::{Contract, ContractId, OperationStatus};
use crate::domain::decide::observation::Observation;
use crate::domain::decide::{
    Command, Decision, Facts, Query, RecordChange, ReleaseReason, Requeue, StatusChange, Step, UsableSecret,
    remove_finalizer, report,
};
use crate::domain::error::{FicError, WriteOutcome};
use crate::domain::facts::{Claim, Record};
use crate::domain::ready_state::ReadyState;

impl Facts<'_> {
    pub(super) fn decide_active(&self) -> Decision {
        if self.plan.suspend {
            return Break(self.suspended());
        }
        if let Some(contract) = self.unrecorded_purchase() {
            return Break(self.report_contract(contract, &RecordChange::Purchased(contract.id.clone())));
        }
        if self.is_observed() { self.observe() } else { self.manage() }
    }

    /// managementPolicy Observe: report the contract of the tenant. A plan with a record keeps it, whatever is read
    /// meanwhile.
    fn observe(&self) -> Decision {
        self.ensure_secret_finalizer(self.usable_secret()?)?;
        match self.observation()? {
            Observation::Own(contract) | Observation::Found(contract) | Observation::Replaced(_, contract) => {
                let record = match &self.plan.record {
                    Record::Open | Record::Owned(_) => RecordChange::Keep,
                    Record::Watched(id) if *id == contract.id => RecordChange::Keep,
                    Record::None | Record::Watched(_) => RecordChange::Watched(contract.id.clone()),
                };
                Break(self.report_contract(contract, &record))
            }
            Observation::Gone(_) | Observation::Nothing => {
                let record = if self.plan.record.has_finalizer() { RecordChange::Keep } else { RecordChange::Forget };
                let status = StatusChange::new(ReadyState::NotContracted).with_record(record).showing_nothing();
                Break(status.done(Requeue::Resync))
            }
        }
    }

    fn manage(&self) -> Decision {
        self.require_tenant()?;
        self.close_record_of_refused_create()?;
        let secret = self.usable_secret()?;
        self.ensure_secret_finalizer(secret)?;
        match self.observation()? {
            Observation::Own(contract) => Break(self.report_contract(contract, &RecordChange::Keep)),
            Observation::Found(contract) if self.plan.record.has_finalizer() => self.found_with_open_record(contract),
            Observation::Found(contract) => self.found_without_record(contract, secret),
            Observation::Replaced(own, contract) => self.replaced(own, contract, secret),
            Observation::Gone(id) => Break(self.lost(id)),
            Observation::Nothing => self.create(secret),
        }
    }

    /// One plan holds a tenant. A plan that does not hold it sends no request, and removes its finalizer once a live
    /// read confirms that.
    fn require_tenant(&self) -> Decision<()> {
        let Claim::HeldBy(holder) = self.holder() else { return Continue(()) };
        match self.plan.record {
            Record::Owned(_) => Continue(()),
            Record::Open => {
                self.require_live_holder()?;
                remove_finalizer(ReleaseReason::Yielded)
            }
            Record::None | Record::Watched(_) => {
                let status = StatusChange::new(ReadyState::TenantClaimed { holder: holder.clone() });
                Break(status.with_record(RecordChange::Forget).done(Requeue::Resync))
            }
        }
    }

    fn found_with_open_record(&self, contract: &Contract) -> Decision {
        let id = contract.id.clone();
        let record = match (self.is_outcome_of_create(contract), self.plan.adoption) {
            (true, _) => RecordChange::Purchased(id),
            (false, AdoptionPolicy::IfPresent) if self.is_wanted_menu(contract) => RecordChange::Adopted(id),
            (false, AdoptionPolicy::IfPresent | AdoptionPolicy::Never) => {
                return remove_finalizer(ReleaseReason::NothingBought);
            }
        };
        self.require_live_holder()?;
        Break(self.report_contract(contract, &record))
    }

    fn found_without_record(&self, contract: &Contract, secret: UsableSecret) -> Decision {
        match self.plan.adoption {
            AdoptionPolicy::Never => {
                let state = ReadyState::AlreadyContracted { id: Some(contract.id.clone()), replaced: None };
                Break(StatusChange::new(state).with_record(RecordChange::Forget).done(Requeue::Resync))
            }
            AdoptionPolicy::IfPresent => self.adopt(contract, secret),
        }
    }

    fn replaced(&self, own: &ContractId, contract: &Contract, secret: UsableSecret) -> Decision {
        if !self.absence_is_confirmed() {
            return Break(Step::wait(Requeue::Poll));
        }
        match self.plan.adoption {
            AdoptionPolicy::IfPresent => self.adopt(contract, secret),
            AdoptionPolicy::Never => {
                let (id, replaced) = (Some(contract.id.clone()), Some(own.clone()));
                Break(report(ReadyState::AlreadyContracted { id, replaced }, Requeue::Resync))
            }
        }
    }

    fn lost(&self, id: &ContractId) -> Step {
        if !self.absence_is_confirmed() {
            return Step::wait(Requeue::Poll);
        }
        let status = |state| StatusChange::new(state).showing_nothing();
        match self.plan.recreation {
            RecreationPolicy::Never => status(ReadyState::ContractLost { id: id.clone() }).done(Requeue::Resync),
            // The id is removed before the next create request, so that the record is open in between.
            RecreationPolicy::IfLost => Step::Report(
                status(ReadyState::Recreating { lost: id.clone() }).with_record(RecordChange::Lost(id.clone())),
            ),
        }
    }

    fn adopt(&self, contract: &Contract, secret: UsableSecret) -> Decision {
        if !self.is_wanted_menu(contract) {
            // The plan would later abolish a contract that it never asked for.
            return Break(self.report_contract(contract, &RecordChange::Keep));
        }
        self.prepare_to_own(secret)?;
        self.require_live_holder()?;
        Break(self.report_contract(contract, &RecordChange::Adopted(contract.id.clone())))
    }

    /// The tenant has no contract: buy one, unless this reconcile or an earlier one has just tried.
    fn create(&self, secret: UsableSecret) -> Decision {
        self.after_create()?;
        if !self.memory.create.nothing_was_created() {
            return Break(report(ReadyState::Purchasing { cause: None }, Requeue::Poll));
        }
        self.prepare_to_own(secret)?;
        self.require_live_holder()?;
        Break(Step::Command(Command::Create))
    }

    /// What follows the create request of this reconcile while List still shows no contract.
    fn after_create(&self) -> Decision<()> {
        match &self.run.created {
            // The memory has an accepted contract, and its id was recorded from there.
            None | Some(WriteOutcome::Accepted(_)) => Continue(()),
            Some(WriteOutcome::Unknown(error)) => {
                Break(report(ReadyState::Purchasing { cause: Some(error.clone()) }, Requeue::Poll))
            }
            Some(WriteOutcome::Refused(conflict @ FicError::Conflict { .. }))
                if self.memory.create.is_unconfirmed() =>
            {
                Break(report(ReadyState::Purchasing { cause: Some(conflict.clone()) }, Requeue::Poll))
            }
            Some(WriteOutcome::Refused(FicError::Conflict { .. })) => {
                Break(report(ReadyState::AlreadyContracted { id: None, replaced: None }, Requeue::Backoff))
            }
            Some(WriteOutcome::Refused(error) | WriteOutcome::NotSent(error)) => Break(self.after_error(error)),
        }
    }

    /// What must hold before a contract can belong to the plan, in this order: the Secret stays, no watched id is left,
    /// the record is open.
    fn prepare_to_own(&self, secret: UsableSecret) -> Decision<()> {
        if secret.deleting {
            return Break(report(ReadyState::CredentialsDeleting, Requeue::Backoff));
        }
        if !secret.has_finalizer {
            return Break(Step::Command(Command::AddSecretFinalizer));
        }
        match self.plan.record {
            Record::Open | Record::Owned(_) => Continue(()),
            // The finalizer alone would turn an id that was only watched into an owned contract.
            Record::Watched(_) => {
                let status = StatusChange::new(ReadyState::Preparing);
                Break(Step::Report(status.with_record(RecordChange::Forget)))
            }
            Record::None => Break(Step::Command(Command::AddFinalizer)),
        }
    }

    /// Reports the state of a contract that the plan owns or watches.
    fn report_contract(&self, contract: &Contract, record: &RecordChange) -> Step {
        let id = contract.id.clone();
        let is_recorded = *record == RecordChange::Keep;
        let status_change = |state| StatusChange::new(state).showing(contract).with_record(record.clone());
        match (&contract.status, &contract.current_menu) {
            (OperationStatus::Completed, Some(menu)) if **menu == *self.plan.menu.as_str() => {
                status_change(ReadyState::Contracted { id, observed: self.is_observed() }).done(Requeue::Resync)
            }
            (OperationStatus::Completed, Some(menu)) => {
                status_change(ReadyState::MenuMismatch { id, menu: menu.clone() }).done(Requeue::Resync)
            }
            (OperationStatus::Error, _) => match &self.run.operation_error {
                None if is_recorded => Step::Query(Query::OperationError(id)),
                // The query may fail, and the id must be recorded before anything that may fail.
                None => Step::Report(status_change(ReadyState::OperationFailed { id, cause: None })),
                Some(cause) => {
                    status_change(ReadyState::OperationFailed { id, cause: cause.clone() }).done(Requeue::Resync)
                }
            },
            (OperationStatus::Processing | OperationStatus::Other(_), _) | (OperationStatus::Completed, None) => {
                if self.is_overdue() {
                    let timeout = self.settings.operation_timeout;
                    status_change(ReadyState::OperationTimedOut { id, timeout }).done(Requeue::Resync)
                } else {
                    status_change(ReadyState::Processing { id }).done(Requeue::Poll)
                }
            }
        }
    }

    /// While an operation is in progress FIC may omit the menu. A missing menu is not a wrong one.
    fn is_wanted_menu(&self, contract: &Contract) -> bool {
        contract.current_menu.as_deref().is_none_or(|menu| menu == self.plan.menu.as_str())
    }
}
