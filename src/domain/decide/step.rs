//! What a decision can return: the next step.

use std::time::Duration;

use strum::IntoStaticStr;

use crate::domain::contract::{Contract, ContractId};
use crate::domain::facts::Uptime;
use crate::domain::memory::Memory;
use crate::domain::ready_state::ReadyState;
use crate::domain::write_state::TookEffect;

/// The next step of a reconcile.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// Read something; one request.
    Query(Query),
    /// Change something; one request.
    Command(Command),
    /// Write the status, then decide again.
    Report(StatusChange),
    /// End the reconcile.
    Done {
        /// The status to write first, if there is anything to report.
        status: Option<StatusChange>,
        /// When to reconcile again.
        requeue: Requeue,
    },
}

/// Something to read.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Query {
    /// Whether a Secret of that name exists with another type.
    Secret,
    /// This plan as it is now.
    Plan,
    /// Which plan holds the tenant, and this plan as it is now. If this reconcile opened the record, every record that
    /// was opened before is considered; otherwise every record.
    Holder,
    /// Whether the CRD is being deleted.
    Crd,
    /// List: the contracts of the tenant.
    List,
    /// Show: the contract of the plan.
    Show(ContractId),
    /// Why the last operation on the contract failed.
    OperationError(ContractId),
    /// Whether the purchase guard lets this lost contract be bought again. The recreation counts from then on. Sends no
    /// request.
    Recreation {
        /// The contract.
        lost: ContractId,
        /// Whether a person approved it: the plan was held back, and changed since. It counts, and is allowed.
        approved: bool,
    },
}

/// Something to change.
#[derive(Clone, Debug, PartialEq, Eq, Hash, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Command {
    /// Add the finalizer to the Secret.
    AddSecretFinalizer,
    /// Add both marks of the record to the plan.
    OpenRecord,
    /// Add the marks that were removed from a plan with a record.
    RestoreRecord {
        /// Whether to publish an Event: the first time, and not if the marks are removed again and again.
        announce: bool,
    },
    /// Remove the marks from the plan.
    CloseRecord(ReleaseReason),
    /// Write `status.observedGeneration` alone.
    ObserveSpec,
    /// Buy the contract.
    Create,
    /// Abolish the contract.
    Delete(ContractId),
}

/// Why the record of a plan is closed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ReleaseReason {
    /// The plan has no record, only the finalizer: it is a copy of another plan, or a user added it.
    NoRecord,
    /// Nothing was bought.
    NothingBought,
    /// Another plan holds the tenant.
    Yielded,
    /// The contract is abolished.
    Abolished {
        /// The contract.
        id: ContractId,
        /// Another contract of the tenant, which the operator does not change.
        other: Option<ContractId>,
    },
    /// The contract stays at FIC.
    Retained {
        /// The contract, where its id is recorded.
        id: Option<ContractId>,
        /// What retains it.
        cause: RetainCause,
    },
}

/// What retains a contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RetainCause {
    /// The policies of the plan.
    Policy,
    /// The CRD is being deleted: an uninstall.
    Uninstall,
}

/// What to write to the status.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StatusChange {
    /// The state to report.
    pub state: ReadyState,
    /// What to show of the contract.
    pub display: ContractDisplay,
    /// How the record of the plan changes.
    pub record: RecordChange,
}

/// What the status shows of the contract.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ContractDisplay {
    /// The same as before: nothing new was read.
    Unchanged,
    /// This contract.
    Contract(Contract),
    /// Nothing: no contract exists.
    Cleared,
}

/// How the record of a plan (`status.id` and `status.ownerUID`) changes, and why.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum RecordChange {
    /// It does not change.
    Keep,
    /// The plan bought this contract.
    Purchased(ContractId),
    /// The plan adopts this contract.
    Adopted(ContractId),
    /// The plan watches this contract, without owning it.
    Watched(ContractId),
    /// The id of a contract that was only watched is removed.
    Forget,
    /// The plan lost this contract. The id is removed, so that the record is open.
    Lost(ContractId),
}

/// When to reconcile again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Requeue {
    /// After the poll interval: an operation is in progress.
    Poll,
    /// After the resync interval: no change is expected.
    Resync,
    /// With exponential backoff: something prevents progress.
    Backoff,
    /// At this time: FIC asked for it, or another process may act until then.
    At(Uptime),
    /// After this time: FIC answers no tenant, and may answer again then.
    AfterOutage(Duration),
    /// Only when the plan or its Secret changes.
    OnChange,
}

impl Step {
    /// The step was executed. The memory keeps what it made of the record.
    ///
    /// A write that had no effect opens no record: one that appears then is from another process. An adoption whose outcome is
    /// unknown is not assumed: the contract may belong to somebody else.
    pub fn remember(&self, memory: &mut Memory, took_effect: TookEffect) {
        match (took_effect, self.records_contract()) {
            (TookEffect::No, _) => return,
            (TookEffect::Yes, Some(id)) => memory.mark_owned(id),
            (TookEffect::Yes, None) | (TookEffect::Perhaps, _) => {}
        }
        if self.opens_record() {
            memory.mark_record_open();
        }
    }

    /// The contract that the step records as the plan's own.
    fn records_contract(&self) -> Option<&ContractId> {
        match self {
            Self::Report(status) | Self::Done { status: Some(status), .. } => match &status.record {
                RecordChange::Purchased(id) | RecordChange::Adopted(id) => Some(id),
                RecordChange::Keep | RecordChange::Watched(_) | RecordChange::Forget | RecordChange::Lost(_) => None,
            },
            Self::Query(_) | Self::Command(_) | Self::Done { status: None, .. } => None,
        }
    }

    /// Whether the step leaves the plan with an open record.
    fn opens_record(&self) -> bool {
        match self {
            Self::Command(Command::OpenRecord) => true,
            Self::Report(status) | Self::Done { status: Some(status), .. } => match status.record {
                RecordChange::Lost(_) => true,
                RecordChange::Keep
                | RecordChange::Purchased(_)
                | RecordChange::Adopted(_)
                | RecordChange::Watched(_)
                | RecordChange::Forget => false,
            },
            Self::Command(
                Command::AddSecretFinalizer
                | Command::RestoreRecord { .. }
                | Command::CloseRecord(_)
                | Command::ObserveSpec
                | Command::Create
                | Command::Delete(_),
            )
            | Self::Query(_)
            | Self::Done { status: None, .. } => false,
        }
    }

    /// The name of what the step changes, for the log. `None`: it only reads, or changes nothing. `written`: whether it
    /// has written the plan; a report that says the same as before is not written.
    #[must_use]
    pub fn effect(&self, written: bool) -> Option<&'static str> {
        match self {
            Self::Command(command) => Some(command.into()),
            Self::Report(_) | Self::Done { status: Some(_), .. } => written.then_some("report"),
            Self::Query(_) | Self::Done { status: None, .. } => None,
        }
    }

    /// Whether the step sends a request to FIC.
    #[must_use]
    pub fn calls_fic(&self) -> bool {
        match self {
            Self::Query(Query::List | Query::Show(_) | Query::OperationError(_))
            | Self::Command(Command::Create | Command::Delete(_)) => true,
            Self::Query(Query::Secret | Query::Plan | Query::Holder | Query::Crd | Query::Recreation { .. })
            | Self::Command(
                Command::AddSecretFinalizer
                | Command::OpenRecord
                | Command::RestoreRecord { .. }
                | Command::CloseRecord(_)
                | Command::ObserveSpec,
            )
            | Self::Report(_)
            | Self::Done { .. } => false,
        }
    }

    /// The same step, with the next reconcile at this time, if it ends the reconcile.
    pub(super) fn requeued_at(self, time: Uptime) -> Self {
        match self {
            Self::Done { status, .. } => Self::Done { status, requeue: Requeue::At(time) },
            Self::Query(_) | Self::Command(_) | Self::Report(_) => self,
        }
    }

    /// Ends the reconcile without a report.
    pub(super) fn wait(requeue: Requeue) -> Self {
        Self::Done { status: None, requeue }
    }
}

impl RecordChange {
    /// Whether the id is removed from the status.
    #[must_use]
    pub fn clears_id(&self) -> bool {
        match self {
            Self::Forget | Self::Lost(_) => true,
            Self::Keep | Self::Purchased(_) | Self::Adopted(_) | Self::Watched(_) => false,
        }
    }
}

impl StatusChange {
    pub(super) fn new(state: ReadyState) -> Self {
        Self { state, display: ContractDisplay::Unchanged, record: RecordChange::Keep }
    }

    pub(super) fn showing(mut self, contract: &Contract) -> Self {
        self.display = ContractDisplay::Contract(contract.clone());
        self
    }

    pub(super) fn showing_nothing(mut self) -> Self {
        self.display = ContractDisplay::Cleared;
        self
    }

    pub(super) fn with_record(mut self, record: RecordChange) -> Self {
        if record.clears_id() {
            self.display = ContractDisplay::Cleared;
        }
        self.record = record;
        self
    }

    pub(super) fn done(self, requeue: Requeue) -> Step {
        Step::Done { status: Some(self), requeue }
    }
}

impl Requeue {
    /// Whether something prevents progress, so that the next reconcile waits longer.
    #[must_use]
    pub fn uses_backoff(self) -> bool {
        match self {
            Self::Backoff | Self::At(_) => true,
            Self::Poll | Self::Resync | Self::AfterOutage(_) | Self::OnChange => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id() -> ContractId {
        ContractId::parse("F000000000001").expect("well formed")
    }

    /// The steps that change the record by this change of the status.
    fn reports(record: &RecordChange) -> [Step; 2] {
        let status = StatusChange::new(ReadyState::Preparing).with_record(record.clone());
        [Step::Report(status.clone()), status.done(Requeue::Poll)]
    }

    #[test]
    fn a_step_opens_the_record_or_records_a_contract_or_neither() {
        let changes = [
            (RecordChange::Keep, false, None),
            (RecordChange::Purchased(id()), false, Some(id())),
            (RecordChange::Adopted(id()), false, Some(id())),
            (RecordChange::Watched(id()), false, None),
            (RecordChange::Forget, false, None),
            (RecordChange::Lost(id()), true, None),
        ];
        for (record, opens, records) in changes {
            for step in reports(&record) {
                assert_eq!(
                    (step.opens_record(), step.records_contract().cloned()),
                    (opens, records.clone()),
                    "{step:?}"
                );
            }
        }
        assert!(Step::Command(Command::OpenRecord).opens_record());
        for step in [
            Step::Command(Command::RestoreRecord { announce: true }),
            Step::Command(Command::CloseRecord(ReleaseReason::NothingBought)),
            Step::Command(Command::Create),
            Step::Query(Query::List),
            Step::wait(Requeue::Poll),
        ] {
            assert!(!step.opens_record() && step.records_contract().is_none(), "{step:?}");
        }
    }
}
