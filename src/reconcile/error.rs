//! What aborts a reconcile before it has decided to end. None of it is a state of the plan, so none of it is reported
//! in the status.

use strum::{IntoStaticStr, VariantNames};
use thiserror::Error;

use crate::secret_finalizer;
use crate::text;

/// Why a reconcile was aborted.
#[derive(Debug, Error, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "snake_case")]
pub enum Error {
    /// An object changed since it was read. The watch returns the change.
    #[error("the object changed since it was read")]
    Conflict,
    /// The plan was deleted, or moved to another shard.
    #[error("the plan was deleted, or does not match --label-selector any more")]
    Gone,
    /// The finalizer of the Secret is being removed.
    #[error("the finalizer of the Secret is being removed")]
    SecretBusy,
    /// This replica may not hold the lease any more.
    #[error("this replica does not hold the lease")]
    #[strum(serialize = "not_leading")]
    NotLeader,
    /// The process is shutting down.
    #[error("the operator is shutting down")]
    Stopping,
    /// The API server refuses the write, and will refuse it again: its message.
    #[error("the API server refuses the write: {0}")]
    #[strum(serialize = "write_refused")]
    Refused(Box<str>),
    /// A request to the API server failed.
    #[error("the request to the API server failed")]
    #[strum(serialize = "kubernetes_error")]
    Kubernetes(#[source] kube::Error),
    /// A decision cannot be executed: a bug in the operator.
    #[error("bug: {0}")]
    Bug(&'static str),
}

impl Error {
    /// Whether a write may have taken effect anyway.
    #[must_use]
    pub fn leaves_in_doubt(&self) -> bool {
        match self {
            Self::Kubernetes(_) => true,
            Self::Conflict
            | Self::Gone
            | Self::SecretBusy
            | Self::NotLeader
            | Self::Stopping
            | Self::Refused(_)
            | Self::Bug(_) => false,
        }
    }

    /// A fixed name for metrics.
    #[must_use]
    pub fn category(&self) -> &'static str {
        self.into()
    }
}

impl From<kube::Error> for Error {
    fn from(error: kube::Error) -> Self {
        let kube::Error::Api(status) = &error else { return Self::Kubernetes(error) };
        match status.code {
            // A deleted object is a change like any other.
            404 | 409 => Self::Conflict,
            // An admission policy, a missing right, a quota, or an object that the API server finds invalid.
            400 | 403 | 405 | 413 | 422 => Self::Refused(text::sanitize_message(&status.message, &[])),
            _ => Self::Kubernetes(error),
        }
    }
}

impl From<secret_finalizer::Error> for Error {
    fn from(error: secret_finalizer::Error) -> Self {
        match error {
            secret_finalizer::Error::Conflict => Self::Conflict,
            secret_finalizer::Error::Releasing => Self::SecretBusy,
            secret_finalizer::Error::NotLeader => Self::NotLeader,
            secret_finalizer::Error::Kubernetes(error) => error.into(),
        }
    }
}
