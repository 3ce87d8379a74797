//! Decisions for a plan that is not being deleted: claim the tenant, buy or adopt the contract, keep it.

use std::ops::ControlFlow::{Break, Continue};

use crate::api::condition::Reason;
use crate::api::plan::{AdoptionPolicy, RecreationPolicy};
use crate::domain::contract::{Contract, ContractId, OperationStatus};
use crate::domain::decide::observation::Observation;
use crate::domain::decide::{
    Command, Decision, Facts, Query, RecordChange, ReleaseReason, Requeue, StatusChange, Step, UsableSecret,
    close_record, report,
};
use crate::domain::error::{FicError, WriteOutcome};
use crate::domain::facts::Record;
use crate::domain::ready_state::{LossCause, ReadyState};
use crate::domain::run_state::Recreation;

/// How many reads in a row must not show a contract before the plan says so.
const READS_BEFORE_NOT_FOUND: u32 = 2;

impl Facts<'_> {
    pub(super) fn decide_active(&self) -> Decision {
        if self.plan.suspend {
            return Break(self.suspended());
        }
        if let Some(contract) = self.unrecorded_purchase() {
            return Break(self.report_contract(contract, &RecordChange::Purchased(contract.id.clone())));
        }
        self.report_refused_write()?;
        self.restore_record()?;
        self.remove_stray_finalizer()?;
        if self.is_observed() { self.observe() } else { self.manage() }
    }

    /// A suspended plan is not touched. One without any report says that it is suspended. Another keeps its conditions,
    /// and `observedGeneration` says that the operator has seen the change.
    fn suspended(&self) -> Step {
        match &self.plan.reported {
            None => report(ReadyState::Suspended, Requeue::OnChange),
            Some(reported) if reported.covers_spec => Step::wait(Requeue::OnChange),
            Some(_) => Step::Command(Command::ObserveSpec),
        }
    }

    /// managementPolicy Observe: report the contract of the tenant. A plan with a record keeps it, whatever is read
    /// meanwhile.
    fn observe(&self) -> Decision {
        self.usable_secret()?;
        self.ensure_secret_finalizer()?;
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
                let record = if self.plan.record.is_present() { RecordChange::Keep } else { RecordChange::Forget };
                let status = StatusChange::new(ReadyState::NotContracted).with_record(record).showing_nothing();
                Break(status.done(Requeue::Resync))
            }
        }
    }

    fn manage(&self) -> Decision {
        self.require_tenant()?;
        self.close_record_of_refused_create()?;
        let secret = self.usable_secret()?;
        self.ensure_secret_finalizer()?;
        let observation = self.observation()?;
        self.wait_for_other_process(&observation, ReadyState::Purchasing { cause: None })?;
        match observation {
            Observation::Own(contract) => Break(self.report_contract(contract, &RecordChange::Keep)),
            Observation::Found(contract) if self.plan.record.is_present() => self.found_with_open_record(contract),
            Observation::Found(contract) => self.found_without_record(contract, secret),
            Observation::Replaced(own, contract) => self.replaced(own, contract, secret),
            Observation::Gone(id) => self.lost(id),
            Observation::Nothing => self.create(secret),
        }
    }

    /// One plan holds a tenant. A plan that does not hold it sends no request, and closes its record once a live read
    /// confirms that.
    fn require_tenant(&self) -> Decision<()> {
        let must_wait = self.yield_to_holder()?;
        let Some(holder) = self.other_holder() else { return Continue(()) };
        let claimed = StatusChange::new(ReadyState::TenantClaimed { holder: holder.into() });
        match self.plan.record {
            Record::Open if must_wait => Break(claimed.done(Requeue::Resync)),
            Record::Owned(_) | Record::Open => Continue(()),
            Record::None | Record::Watched(_) => Break(claimed.with_record(RecordChange::Forget).done(Requeue::Resync)),
        }
    }

    fn found_with_open_record(&self, contract: &Contract) -> Decision {
        let id = contract.id.clone();
        if self.contract_of_holder() == Some(&id) {
            return close_record(ReleaseReason::Yielded);
        }
        let record = match (self.is_outcome_of_create(contract), self.plan.adoption) {
            (true, _) => RecordChange::Purchased(id),
            (false, AdoptionPolicy::IfPresent) if self.is_wanted_menu(contract) => RecordChange::Adopted(id),
            (false, AdoptionPolicy::IfPresent | AdoptionPolicy::Never) => {
                return close_record(ReleaseReason::NothingBought);
            }
        };
        self.require_live_holder()?;
        Break(self.report_contract(contract, &record))
    }

    fn found_without_record(&self, contract: &Contract, secret: UsableSecret) -> Decision {
        match self.plan.adoption {
            AdoptionPolicy::Never => {
                let state = ReadyState::AlreadyContracted { id: contract.id.clone(), replaced: None };
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
                let (id, replaced) = (contract.id.clone(), Some(own.clone()));
                Break(report(ReadyState::AlreadyContracted { id, replaced }, Requeue::Resync))
            }
        }
    }

    fn lost(&self, id: &ContractId) -> Decision {
        self.require_patience(id)?;
        if !self.absence_is_confirmed() {
            return Break(Step::wait(Requeue::Poll));
        }
        let status = |state| StatusChange::new(state).showing_nothing();
        let stays_lost =
            |cause| Break(status(ReadyState::ContractLost { id: id.clone(), cause }).done(Requeue::Resync));
        match (self.plan.recreation, self.held_back_by_guard(id)?) {
            (RecreationPolicy::Never, _) => stays_lost(LossCause::Policy),
            (RecreationPolicy::IfLost, Some(limit)) => stays_lost(LossCause::Guard { limit }),
            // The id is removed before the next create request, so that the record is open in between.
            (RecreationPolicy::IfLost, None) => Break(Step::Report(
                status(ReadyState::Recreating { lost: id.clone() }).with_record(RecordChange::Lost(id.clone())),
            )),
        }
    }

    /// A contract that was completed is lost only after it was out of sight for some time: a wrong answer of FIC must
    /// not buy a second contract.
    fn require_patience(&self, id: &ContractId) -> Decision<()> {
        let since = self.memory.absent_since.filter(|_| self.memory.was_completed);
        let Some(lost_from) = since.map(|since| since.saturating_add(self.settings.loss_patience)) else {
            return Continue(());
        };
        if lost_from <= self.now {
            return Continue(());
        }
        Break(if self.memory.absences < READS_BEFORE_NOT_FOUND {
            Step::wait(Requeue::Poll)
        } else {
            let next = self.now.saturating_add(self.settings.poll_interval.max(self.settings.loss_patience / 10));
            report(ReadyState::ContractNotFound { id: id.clone(), lost_from }, Requeue::At(next.min(lost_from)))
        })
    }

    /// The limit, if the purchase guard holds the plan back. That stays so until a person changes the plan: many
    /// contracts that are gone at once are more likely a fault than a wish to buy them all again.
    fn held_back_by_guard(&self, id: &ContractId) -> Decision<Option<u32>> {
        let Some(limit) = self.settings.max_recreations_per_hour else { return Continue(None) };
        let reported_lost =
            self.plan.reported.as_ref().filter(|reported| reported.reason == Some(Reason::ContractLost));
        if self.plan.recreation == RecreationPolicy::Never {
            return Continue(None);
        }
        if reported_lost.is_some_and(|reported| reported.covers_spec && reported.covers_request) {
            return Continue(Some(limit));
        }
        match self.run.recreation {
            None => Break(Step::Query(Query::Recreation { lost: id.clone(), approved: reported_lost.is_some() })),
            Some(Recreation::Allowed) => Continue(None),
            Some(Recreation::HeldBack) => Continue(Some(limit)),
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
            // It did not concern the contract that was given up as lost, or List would show that one.
            Some(WriteOutcome::Refused(FicError::Conflict { .. })) if self.plan.record == Record::Open => {
                close_record(ReleaseReason::NothingBought)
            }
            Some(WriteOutcome::Refused(FicError::Conflict { message })) => {
                Break(report(ReadyState::OrderConflict { message: message.clone() }, Requeue::Backoff))
            }
            Some(WriteOutcome::Refused(error) | WriteOutcome::NotSent(error)) => Break(self.after_error(error)),
        }
    }

    /// What must hold before a contract can belong to the plan, in this order: the Secret stays, the record is open.
    fn prepare_to_own(&self, secret: UsableSecret) -> Decision<()> {
        if secret.deleting {
            return Break(report(ReadyState::CredentialsDeleting, Requeue::Backoff));
        }
        if !secret.has_finalizer {
            return Break(Step::Command(Command::AddSecretFinalizer));
        }
        match self.plan.record {
            Record::Open | Record::Owned(_) => Continue(()),
            Record::None | Record::Watched(_) => Break(Step::Command(Command::OpenRecord)),
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
