//! What ends a pass before its decision has come to rest. None of it is the plan's own state, so none of it is reported there.

use thiserror::Error;

/// Why a pass was broken off.
#[derive(Debug, Error)]
pub enum Error {
    /// The object was changed meanwhile; the watch brings the change.
    #[error("the object was changed meanwhile")]
    Conflict,
    /// The plan is gone.
    #[error("the plan is gone")]
    Gone,
    /// The Secret is just being let go by another plan.
    #[error("the Secret is just being let go")]
    SecretBusy,
    /// This replica is not sure to lead.
    #[error("this replica is not sure to lead")]
    NotLeading,
    /// The process is to end.
    #[error("the operator is shutting down")]
    Stopping,
    /// The API server could not be asked.
    #[error("the API server")]
    Kubernetes(#[source] kube::Error),
    /// A decision that cannot be carried out: a defect of the operator.
    #[error("defect: {0}")]
    Bug(&'static str),
}

impl Error {
    /// Whether a write may have taken effect all the same.
    #[must_use]
    pub fn leaves_in_doubt(&self) -> bool {
        match self {
            Self::Kubernetes(_) => true,
            Self::Conflict | Self::Gone | Self::SecretBusy | Self::NotLeading | Self::Stopping | Self::Bug(_) => false,
        }
    }

    /// A fixed name for metrics.
    #[must_use]
    pub fn category(&self) -> &'static str {
        match self {
            Self::Conflict => "conflict",
            Self::Gone => "gone",
            Self::SecretBusy => "secret_busy",
            Self::NotLeading => "not_leading",
            Self::Stopping => "stopping",
            Self::Kubernetes(_) => "kubernetes_error",
            Self::Bug(_) => "defect",
        }
    }
}

impl From<kube::Error> for Error {
    fn from(error: kube::Error) -> Self {
        // Not there any more is a change like any other.
        if let kube::Error::Api(status) = &error
            && (status.code == 409 || status.code == 404)
        {
            return Self::Conflict;
        }
        Self::Kubernetes(error)
    }
}
