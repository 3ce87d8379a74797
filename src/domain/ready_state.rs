//! What a plan reports: one variant for each row of the table of conditions, with the values that its message needs.
//!
//! A decision names a ready state, [`crate::reconcile::message`] turns it into a sentence, and
//! [`crate::reconcile::report`] into a status. So tests of decisions compare no sentences, and each sentence exists
//! once.

use std::time::Duration;

use crate::api::condition::{ConditionStatus, Reason};
use crate::api::credentials::SecretDefect;
use crate::domain::contract::ContractId;
use crate::domain::error::FicError;
use crate::domain::facts::Uptime;

/// The state that the `Ready` condition reports.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ReadyState {
    /// The contract is active, on the right menu, and belongs to the plan (or the plan only watches it).
    Contracted {
        /// The contract.
        id: ContractId,
        /// Whether the plan only watches it.
        observed: bool,
    },
    /// The operator is about to buy or adopt a contract.
    Preparing,
    /// A create request was sent, or may have been, and the operator checks its outcome.
    Purchasing {
        /// Why the outcome is not known, if this process knows.
        cause: Option<FicError>,
    },
    /// The contract was lost outside of Kubernetes, and the operator is about to buy it again.
    Recreating {
        /// The lost contract.
        lost: ContractId,
    },
    /// FIC is processing an operation on the contract.
    Processing {
        /// The contract.
        id: ContractId,
    },
    /// The plan is being deleted, and the operator is abolishing its contract.
    Abolishing(AbolishProgress),
    /// The Secret does not exist.
    CredentialsMissing,
    /// The Secret is being deleted, so the operator buys nothing with it.
    CredentialsDeleting,
    /// The Secret cannot be used.
    CredentialsInvalid(SecretDefect),
    /// A request to FIC or Keystone failed.
    RequestFailed(FicError),
    /// FIC has not answered for a plan that was Ready for too long.
    NotObserved {
        /// The last error.
        error: FicError,
        /// For how long at least.
        duration: Duration,
    },
    /// The plan only watches, and the tenant has no contract.
    NotContracted,
    /// The plan was suspended before the first report, or is suspended while it is being deleted.
    Suspended,
    /// FIC refused a create request with a conflict, and the tenant has no contract: another order is in progress.
    OrderConflict {
        /// The message of FIC.
        message: Box<str>,
    },
    /// The tenant has a contract that does not belong to this plan.
    AlreadyContracted {
        /// Its id.
        id: ContractId,
        /// The contract of this plan that it replaced, if it did.
        replaced: Option<ContractId>,
    },
    /// The contract is out of sight, and not for long enough to count as lost.
    ContractNotFound {
        /// The contract.
        id: ContractId,
        /// From when on it counts as lost.
        lost_from: Uptime,
    },
    /// The contract was lost outside of Kubernetes, and is not bought again.
    ContractLost {
        /// The lost contract.
        id: ContractId,
        /// Why it is not bought again.
        cause: LossCause,
    },
    /// Another plan holds the tenant.
    TenantClaimed {
        /// Its namespace/name.
        holder: Box<str>,
    },
    /// The API server refuses, for good, a write that the operator needs.
    WriteRefused {
        /// The message of the API server.
        message: Box<str>,
    },
    /// FIC reports that the operation failed.
    OperationFailed {
        /// The contract.
        id: ContractId,
        /// Why, quoted from FIC.
        cause: Option<Box<str>>,
    },
    /// FIC has processed an operation for too long.
    OperationTimedOut {
        /// The contract.
        id: ContractId,
        /// The operation timeout.
        timeout: Duration,
    },
    /// The contract is on another menu.
    MenuMismatch {
        /// The contract.
        id: ContractId,
        /// Its menu.
        menu: Box<str>,
    },
}

/// Why a lost contract is not bought again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LossCause {
    /// The policy of the plan.
    Policy,
    /// The purchase guard: this many lost contracts were bought again within an hour.
    Guard {
        /// The limit.
        limit: u32,
    },
}

/// How far the operator is with abolishing a contract.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum AbolishProgress {
    /// FIC must finish another operation before it accepts a delete request.
    WaitingForOperation(ContractId),
    /// The delete request was sent. The operator waits until FIC no longer shows the contract.
    InProgress(ContractId),
    /// FIC answered the delete request with a conflict, and this message.
    Conflict(ContractId, Box<str>),
    /// A create request may have been sent. The operator checks whether it created a contract.
    CheckingCreate,
    /// FIC does not show the contract. The operator confirms that.
    ConfirmingAbsence(ContractId),
}

impl ReadyState {
    /// The status and the reason of the `Ready` condition.
    #[must_use]
    pub fn condition(&self) -> (ConditionStatus, Reason) {
        let reason = match self {
            Self::Contracted { .. } => return (ConditionStatus::True, Reason::Contracted),
            Self::NotObserved { .. } => return (ConditionStatus::Unknown, Reason::ServiceUnavailable),
            Self::ContractNotFound { .. } => return (ConditionStatus::Unknown, Reason::ContractNotFound),
            Self::Preparing | Self::Purchasing { .. } | Self::Recreating { .. } => Reason::Purchasing,
            Self::Processing { .. } => Reason::Processing,
            Self::Abolishing(_) => Reason::Abolishing,
            Self::CredentialsMissing | Self::CredentialsDeleting => Reason::CredentialsMissing,
            Self::CredentialsInvalid(_) => Reason::CredentialsInvalid,
            Self::RequestFailed(error) => reason_of(error),
            Self::NotContracted => Reason::NotContracted,
            Self::Suspended => Reason::Suspended,
            Self::OrderConflict { .. } => Reason::OrderConflict,
            Self::AlreadyContracted { .. } => Reason::AlreadyContracted,
            Self::ContractLost { .. } => Reason::ContractLost,
            Self::TenantClaimed { .. } => Reason::TenantClaimed,
            Self::WriteRefused { .. } => Reason::WriteRefused,
            Self::OperationFailed { .. } => Reason::OperationFailed,
            Self::OperationTimedOut { .. } => Reason::OperationTimedOut,
            Self::MenuMismatch { .. } => Reason::MenuMismatch,
        };
        (ConditionStatus::False, reason)
    }

    /// The reason of the `Ready` condition.
    #[must_use]
    pub fn reason(&self) -> Reason {
        self.condition().1
    }
}

/// Whether the next request may succeed without a change, or a person must act, is decided here, error by error.
fn reason_of(error: &FicError) -> Reason {
    match error {
        FicError::RateLimited { .. } => Reason::RateLimited,
        FicError::AuthenticationFailed { .. } => Reason::AuthenticationFailed,
        FicError::PermissionDenied { .. } => Reason::PermissionDenied,
        FicError::Rejected { .. } => Reason::RequestRejected,
        FicError::Unexpected { .. } => Reason::UnexpectedAnswer,
        // A conflict on a read means that FIC is busy with the tenant.
        FicError::Unavailable { .. } | FicError::Outage { .. } | FicError::Conflict { .. } => {
            Reason::ServiceUnavailable
        }
    }
}
