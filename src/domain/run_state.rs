//! What one reconcile learns, step by step. Nothing here outlives the reconcile.

use crate::domain::contract::{Contract, ContractId};
use crate::domain::error::{FicError, WriteOutcome};
use crate::domain::facts::Claim;

/// The result of a read from FIC.
pub type ReadResult<T> = Result<T, FicError>;

/// The state of the operator's own `CustomResourceDefinition`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CrdState {
    /// It exists, or the operator is not allowed to read it and continues as if it did.
    Present,
    /// It is being deleted: an uninstall, not a request to abolish contracts.
    Deleting,
}

/// Whether the purchase guard lets a lost contract be bought again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Recreation {
    /// It does. The recreation counts from now on.
    Allowed,
    /// Too many lost contracts were bought again within an hour.
    HeldBack,
}

/// Why a Secret is not in the cache of credentials Secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SecretAbsence {
    /// No Secret of that name exists.
    NotFound,
    /// The Secret has another type.
    WrongType,
}

/// The result of one step.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum StepResult {
    /// Why the Secret is not in the cache.
    SecretAbsence(SecretAbsence),
    /// The plan as it is now is known.
    PlanRead,
    /// Which plan holds the tenant. The plan as it is now is known too.
    Holder(Claim),
    /// The state of the CRD.
    Crd(CrdState),
    /// The response to List: the contracts of the tenant.
    Listed(ReadResult<Vec<Contract>>),
    /// The response to Show: the contract of the plan.
    Shown(ReadResult<Option<Contract>>),
    /// Why the last operation on the contract failed, if FIC says so.
    OperationError(Option<Box<str>>),
    /// The Secret carries the finalizer now.
    SecretFinalizerAdded,
    /// The plan has both marks of the record now.
    RecordOpened,
    /// The plan has both marks of the record again.
    RecordRestored,
    /// The plan has no mark of a record any more.
    RecordClosed,
    /// The status covers the current spec now.
    SpecObserved,
    /// Whether a lost contract may be bought again.
    Recreation(Recreation),
    /// The API server refuses, for good, a write that the operator needs: its message.
    WriteRefused(Box<str>),
    /// The outcome of a create request.
    Created(WriteOutcome<Contract>),
    /// The outcome of a delete request.
    Deleted(WriteOutcome<()>),
    /// The id of the contract is in the status now.
    IdRecorded,
    /// The id is removed from the status.
    IdCleared {
        /// The contract, where it was lost.
        lost: Option<ContractId>,
    },
}

/// What the reconcile in progress has learned so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct RunState {
    /// Why the Secret is not in the cache.
    pub secret_absence: Option<SecretAbsence>,
    /// The plan was read from the API server.
    pub plan_read: bool,
    /// Which plan holds the tenant.
    pub holder: Option<Claim>,
    /// The state of the CRD.
    pub crd: Option<CrdState>,
    /// The response to List.
    pub listed: Option<ReadResult<Vec<Contract>>>,
    /// The response to Show.
    pub shown: Option<ReadResult<Option<Contract>>>,
    /// Why the last operation failed, once the list of operations was read. FIC may give no cause.
    pub operation_error: Option<Option<Box<str>>>,
    /// Whether a lost contract may be bought again.
    pub recreation: Option<Recreation>,
    /// The API server refused a write of this reconcile: its message.
    pub write_refused: Option<Box<str>>,
    /// The outcome of the create request of this reconcile.
    pub created: Option<WriteOutcome<Contract>>,
    /// The outcome of the delete request of this reconcile.
    pub deleted: Option<WriteOutcome<()>>,
}

impl RunState {
    /// Adds the result of a step.
    ///
    /// A write makes earlier reads stale: FIC must be read again after a create or a delete, and the holder after the
    /// record was opened, or two plans could each miss the record of the other.
    pub fn learn(&mut self, result: &StepResult) {
        match result {
            StepResult::SecretAbsence(absence) => self.secret_absence = Some(*absence),
            StepResult::PlanRead => self.plan_read = true,
            StepResult::Holder(claim) => {
                self.plan_read = true;
                self.holder = Some(claim.clone());
            }
            StepResult::Crd(crd) => self.crd = Some(*crd),
            StepResult::Listed(contracts) => self.listed = Some(contracts.clone()),
            StepResult::Shown(contract) => self.shown = Some(contract.clone()),
            StepResult::OperationError(cause) => self.operation_error = Some(cause.clone()),
            StepResult::RecordOpened => self.holder = None,
            StepResult::Recreation(recreation) => self.recreation = Some(*recreation),
            StepResult::WriteRefused(message) => self.write_refused = Some(message.clone()),
            StepResult::Created(outcome) => {
                self.forget_reads(outcome);
                self.created = Some(outcome.clone());
            }
            StepResult::Deleted(outcome) => {
                self.forget_reads(outcome);
                self.deleted = Some(outcome.clone());
            }
            StepResult::SecretFinalizerAdded
            | StepResult::RecordClosed
            | StepResult::RecordRestored
            | StepResult::SpecObserved => {}
            StepResult::IdRecorded | StepResult::IdCleared { .. } => self.shown = None,
        }
    }

    fn forget_reads<T>(&mut self, outcome: &WriteOutcome<T>) {
        match outcome {
            WriteOutcome::Accepted(_) | WriteOutcome::Unknown(_) | WriteOutcome::Refused(FicError::Conflict { .. }) => {
                self.listed = None;
                self.shown = None;
            }
            // These changed nothing, and say nothing about the contract.
            WriteOutcome::Refused(_) | WriteOutcome::NotSent(_) => {}
        }
    }
}
