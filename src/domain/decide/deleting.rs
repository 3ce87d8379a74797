//! Decisions for a plan that is being deleted: abolish the contract, confirm that it is gone, remove the finalizer.

use std::ops::ControlFlow::{Break, Continue};

use crate::domain::contract::{Contract, ContractId, OperationStatus};
use crate::domain::decide::observation::Observation;
use crate::domain::decide::{
    Command, Decision, Facts, Query, RecordChange, ReleaseReason, Requeue, RetainCause, StatusChange, Step,
    close_record, report,
};
use crate::domain::error::{FicError, WriteOutcome};
use crate::domain::ready_state::{AbolishProgress, ReadyState};
use crate::domain::run_state::CrdState;
use crate::domain::write_state::{CONFIRMATIONS_REQUIRED, DeleteState};

impl Facts<'_> {
    pub(super) fn decide_deleting(&self) -> Decision {
        if !self.plan.marks.finalizer {
            return Break(Step::wait(Requeue::OnChange));
        }
        if self.plan.suspend {
            return self.suspended_deletion();
        }
        self.report_refused_write()?;
        if !self.memory.create.is_open_here() {
            self.remove_stray_finalizer()?;
        }
        if self.is_retained() {
            return self.retain(RetainCause::Policy);
        }
        let Break(step) = self.abolish();
        self.unless_uninstalling(step)
    }

    /// A suspended plan stays, unless the CRD is being deleted. It must not hold up an uninstall that begins later.
    fn suspended_deletion(&self) -> Decision {
        match self.require_crd_state()? {
            CrdState::Present => Break(report(ReadyState::Suspended, Requeue::Backoff)),
            CrdState::Deleting => {
                self.report_refused_write()?;
                self.retain(RetainCause::Uninstall)
            }
        }
    }

    fn retain(&self, cause: RetainCause) -> Decision {
        close_record(ReleaseReason::Retained { id: self.plan.record.id().cloned(), cause })
    }

    fn abolish(&self) -> Decision {
        if let Some(contract) = self.unrecorded_purchase() {
            return Break(record_before_delete(contract));
        }
        self.restore_record()?;
        // A plan without an id whose tenant another plan holds has nothing to abolish: any contract is the holder's.
        if self.yield_to_holder()? {
            return Break(report_progress(AbolishProgress::CheckingCreate));
        }
        self.close_record_of_refused_create()?;
        self.usable_secret()?;
        if let (Some(WriteOutcome::Accepted(())), Some(id)) = (&self.run.deleted, self.plan.record.owned()) {
            return Break(report_progress(AbolishProgress::InProgress(id.clone())));
        }
        self.ensure_secret_finalizer()?;
        let observation = self.observation()?;
        self.wait_for_other_process(&observation, ReadyState::Abolishing(AbolishProgress::CheckingCreate))?;
        match observation {
            Observation::Own(contract) => self.abolish_own(contract),
            Observation::Found(contract) => self.abolish_found(contract),
            Observation::Nothing if self.memory.create.nothing_was_created() => {
                close_record(ReleaseReason::NothingBought)
            }
            Observation::Nothing => Break(report_progress(AbolishProgress::CheckingCreate)),
            Observation::Gone(id) | Observation::Replaced(id, _) if !self.absence_is_confirmed() => {
                let id = id.clone();
                Break(report_progress(if self.memory.delete.is_some() {
                    AbolishProgress::InProgress(id)
                } else {
                    AbolishProgress::ConfirmingAbsence(id)
                }))
            }
            Observation::Gone(id) => abolished(id, None),
            Observation::Replaced(id, other) => abolished(id, Some(other)),
        }
    }

    /// The record is open, and the tenant has a contract.
    fn abolish_found(&self, contract: &Contract) -> Decision {
        if self.contract_of_holder() == Some(&contract.id) || !self.is_outcome_of_create(contract) {
            return close_record(ReleaseReason::NothingBought);
        }
        self.require_live_holder()?;
        Break(record_before_delete(contract))
    }

    fn abolish_own(&self, contract: &Contract) -> Decision {
        let id = contract.id.clone();
        self.after_delete(&id)?;
        let progress =
            |progress| Break(StatusChange::new(ReadyState::Abolishing(progress)).showing(contract).done(Requeue::Poll));
        match (&contract.status, &self.memory.delete) {
            (OperationStatus::Processing | OperationStatus::Other(_), _) if self.is_overdue() => {
                let timeout = self.settings.operation_timeout;
                let status = StatusChange::new(ReadyState::OperationTimedOut { id, timeout }).showing(contract);
                Break(status.done(Requeue::Resync))
            }
            (OperationStatus::Processing | OperationStatus::Other(_), None) => {
                progress(AbolishProgress::WaitingForOperation(id))
            }
            (OperationStatus::Processing | OperationStatus::Other(_), Some(_)) => {
                progress(AbolishProgress::InProgress(id))
            }
            (OperationStatus::Completed, Some(delete)) if !self.may_resend(delete) => {
                progress(AbolishProgress::InProgress(id))
            }
            (OperationStatus::Error, Some(delete)) if !delete.failed && !self.may_resend(delete) => {
                progress(AbolishProgress::InProgress(id))
            }
            (OperationStatus::Error, Some(delete)) if !self.may_resend(delete) => match &self.run.operation_error {
                None => Break(Step::Query(Query::OperationError(id))),
                Some(cause) => {
                    let state = ReadyState::OperationFailed { id, cause: cause.clone() };
                    Break(StatusChange::new(state).showing(contract).done(Requeue::Resync))
                }
            },
            (OperationStatus::Completed | OperationStatus::Error, _) => {
                self.require_current_plan()?;
                self.require_crd_state()?;
                Break(Step::Command(Command::Delete(id)))
            }
        }
    }

    /// What follows the delete request of this reconcile, if a read came after it.
    fn after_delete(&self, id: &ContractId) -> Decision<()> {
        match &self.run.deleted {
            None | Some(WriteOutcome::Accepted(()) | WriteOutcome::Unknown(_)) => Continue(()),
            Some(WriteOutcome::Refused(FicError::Conflict { message })) => {
                let state = ReadyState::Abolishing(AbolishProgress::Conflict(id.clone(), message.clone()));
                Break(report(state, Requeue::Backoff))
            }
            Some(WriteOutcome::Refused(error) | WriteOutcome::NotSent(error)) => Break(self.after_error(error)),
        }
    }

    /// A delete request is sent once. It is sent again only if FIC evidently did not execute it: there was no response
    /// and several reads show no effect; it was accepted and has no effect after the operation timeout; or it failed a
    /// resync interval ago.
    fn may_resend(&self, delete: &DeleteState) -> bool {
        let age = self.now.saturating_sub(delete.sent_at);
        if delete.failed {
            age >= self.settings.resync_interval
        } else if delete.accepted {
            age >= self.settings.operation_timeout
        } else {
            delete.unchanged_reads >= CONFIRMATIONS_REQUIRED
        }
    }

    /// Deleting the CRD is an uninstall, so the contracts stay. The CRD is checked before a delete request, and also
    /// where the plan would have to wait: it would block the uninstall forever.
    fn unless_uninstalling(&self, step: Step) -> Decision {
        let blocks_uninstall = match &step {
            Step::Command(Command::Delete(_)) => true,
            // Once FIC abolishes the contract, nothing is left to retain.
            Step::Done { status: Some(status), .. } => {
                !matches!(status.state, ReadyState::Abolishing(AbolishProgress::InProgress(_)))
            }
            Step::Query(_)
            | Step::Command(
                Command::AddSecretFinalizer
                | Command::OpenRecord
                | Command::RestoreRecord { .. }
                | Command::CloseRecord(_)
                | Command::ObserveSpec
                | Command::Create,
            )
            | Step::Report(_)
            | Step::Done { status: None, .. } => false,
        };
        if !blocks_uninstall {
            return Break(step);
        }
        match self.require_crd_state()? {
            CrdState::Present => Break(step),
            CrdState::Deleting => self.retain(RetainCause::Uninstall),
        }
    }
}

/// The id is recorded before the delete request: the request may fail, and then the record must say that the contract
/// belongs to the plan.
fn record_before_delete(contract: &Contract) -> Step {
    let id = contract.id.clone();
    let state = ReadyState::Abolishing(AbolishProgress::WaitingForOperation(id.clone()));
    Step::Report(StatusChange::new(state).showing(contract).with_record(RecordChange::Purchased(id)))
}

fn report_progress(progress: AbolishProgress) -> Step {
    report(ReadyState::Abolishing(progress), Requeue::Poll)
}

fn abolished(id: &ContractId, other: Option<&Contract>) -> Decision {
    close_record(ReleaseReason::Abolished { id: id.clone(), other: other.map(|other| other.id.clone()) })
}
