//! The situations a plan can be in, one for each row of the table of conditions, with what a reader needs to know of it.
//!
//! A decision names a situation; [`crate::reconcile::message`] puts it into words, [`crate::reconcile::report`] into a status. So decisions are tested without
//! comparing sentences, and sentences are written in one place.

use std::time::Duration;

use crate::api::condition::{Ready, Reason};
use crate::api::credentials::SecretDefect;
use crate::domain::contract::ContractId;
use crate::domain::error::FicError;

/// Where a plan stands.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ReadyState {
    /// The contract is there, on the wanted menu, and the plan's (or only watched).
    Contracted {
        /// The contract.
        id: ContractId,
        /// Whether the plan only watches it.
        observed: bool,
    },
    /// A create was sent, or may have been, and its outcome is being looked up.
    Purchasing {
        /// Why the outcome is not known, where this process knows.
        cause: Option<FicError>,
    },
    /// The contract was lost outside of Kubernetes and is about to be bought again.
    Repurchasing {
        /// The contract that is gone.
        lost: ContractId,
    },
    /// FIC is working on the create.
    Processing {
        /// The contract.
        id: ContractId,
    },
    /// The plan is being deleted and its contract is on the way out.
    Abolishing(Abolishing),
    /// The Secret does not exist.
    CredentialsMissing,
    /// The Secret is being deleted, so nothing new is bought with it.
    CredentialsLeaving,
    /// The Secret cannot be used as it is.
    CredentialsInvalid(SecretDefect),
    /// Something stands between the operator and FIC.
    Troubled(FicError),
    /// A plan that was Ready has not been seen for too long.
    NotObserved {
        /// What stands between.
        trouble: FicError,
        /// How long it has not been seen at the least.
        silence: Duration,
    },
    /// Only watched, and the tenant has no contract.
    NotContracted,
    /// Suspended before the first report.
    Suspended,
    /// The tenant has a contract that is not this plan's.
    AlreadyContracted {
        /// Its id; none while FIC says that there is one but does not show it yet.
        id: Option<ContractId>,
        /// The plan's own contract that it replaced, if it did.
        replaced: Option<ContractId>,
    },
    /// Gone outside of Kubernetes, and not to be bought again.
    ContractLost {
        /// The contract that is gone.
        id: ContractId,
    },
    /// Another plan holds the tenant.
    TenantClaimed {
        /// The plan that does, as namespace/name.
        holder: Box<str>,
    },
    /// FIC says that the operation failed.
    OperationFailed {
        /// The contract.
        id: ContractId,
        /// FIC's own words on why, where it gives any.
        why: Option<Box<str>>,
    },
    /// FIC is still working on it after the time an operation may take.
    OperationTimedOut {
        /// The contract.
        id: ContractId,
        /// The time it may take.
        after: Duration,
    },
    /// The contract is on another menu.
    MenuMismatch {
        /// The contract.
        id: ContractId,
        /// The menu it is on.
        menu: Box<str>,
    },
}

/// How far the delete is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Abolishing {
    /// FIC must finish the operation under way before it takes a delete.
    WaitingForOperation(ContractId),
    /// The delete was sent; waiting until the contract is gone.
    UnderWay(ContractId),
    /// FIC does not take the delete yet.
    Busy(ContractId, Box<str>),
    /// A create may still be open; making sure that it left nothing.
    LookingForCreate,
    /// The contract does not show; making sure that this is so.
    MakingSure(ContractId),
}

impl ReadyState {
    /// The reason of the `Ready` condition.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self {
            Self::Contracted { .. } => Reason::Contracted,
            Self::Purchasing { .. } | Self::Repurchasing { .. } => Reason::Purchasing,
            Self::Processing { .. } => Reason::Processing,
            Self::Abolishing(_) => Reason::Abolishing,
            Self::CredentialsMissing | Self::CredentialsLeaving => Reason::CredentialsMissing,
            Self::CredentialsInvalid(_) => Reason::CredentialsInvalid,
            Self::Troubled(trouble) => reason_of(trouble),
            Self::NotObserved { .. } => Reason::ServiceUnavailable,
            Self::NotContracted => Reason::NotContracted,
            Self::Suspended => Reason::Suspended,
            Self::AlreadyContracted { .. } => Reason::AlreadyContracted,
            Self::ContractLost { .. } => Reason::ContractLost,
            Self::TenantClaimed { .. } => Reason::TenantClaimed,
            Self::OperationFailed { .. } => Reason::OperationFailed,
            Self::OperationTimedOut { .. } => Reason::OperationTimedOut,
            Self::MenuMismatch { .. } => Reason::MenuMismatch,
        }
    }

    /// The status of the `Ready` condition.
    #[must_use]
    pub fn ready(&self) -> Ready {
        match self {
            Self::Contracted { .. } => Ready::True,
            Self::NotObserved { .. } => Ready::Unknown,
            Self::Purchasing { .. }
            | Self::Repurchasing { .. }
            | Self::Processing { .. }
            | Self::Abolishing(_)
            | Self::CredentialsMissing
            | Self::CredentialsLeaving
            | Self::CredentialsInvalid(_)
            | Self::Troubled(_)
            | Self::NotContracted
            | Self::Suspended
            | Self::AlreadyContracted { .. }
            | Self::ContractLost { .. }
            | Self::TenantClaimed { .. }
            | Self::OperationFailed { .. }
            | Self::OperationTimedOut { .. }
            | Self::MenuMismatch { .. } => Ready::False,
        }
    }
}

/// Whether the next look may find it better by itself, or a person must act: decided here, trouble by trouble.
fn reason_of(trouble: &FicError) -> Reason {
    match trouble {
        FicError::RateLimited { .. } => Reason::RateLimited,
        FicError::AuthenticationFailed { .. } => Reason::AuthenticationFailed,
        FicError::PermissionDenied { .. } => Reason::PermissionDenied,
        FicError::Rejected { .. } => Reason::RequestRejected,
        FicError::Unexpected { .. } => Reason::UnexpectedAnswer,
        // A conflict on a look means that FIC is busy with the tenant.
        FicError::Unavailable { .. } | FicError::Conflict { .. } => Reason::ServiceUnavailable,
    }
}
