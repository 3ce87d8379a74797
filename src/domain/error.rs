//! The errors of FIC and Keystone, and the outcome of a write request.
//!
//! [`FicError::from_status`] is the only place that reads an HTTP status. The rest of the operator uses these types.

use std::time::Duration;

use strum::IntoStaticStr;

/// Why a call did not return what it was made for. Every message is short and free of control characters and secrets.
#[derive(Clone, Debug, PartialEq, Eq, Hash, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum FicError {
    /// No connection, a timeout, a 5xx, or a response that cannot be parsed. A retry may succeed.
    Unavailable {
        /// What happened.
        message: Box<str>,
        /// How long FIC asks the client to wait.
        retry_after: Option<Duration>,
    },
    /// FIC answers no tenant. The last request of this tenant was not answered either, and other ones are not sent yet.
    #[strum(serialize = "unavailable")]
    Outage {
        /// What happened to the last request of this tenant.
        message: Box<str>,
        /// When to try again.
        wait: Duration,
    },
    /// 429.
    RateLimited {
        /// How long FIC asks the client to wait.
        retry_after: Option<Duration>,
    },
    /// Keystone refuses the credentials.
    AuthenticationFailed {
        /// The message of Keystone.
        message: Box<str>,
        /// How long the client waits before it tries these credentials again. `None`: it has just tried.
        retry_after: Option<Duration>,
    },
    /// 403, or a second 401 with a new token: the API user lacks the permission.
    PermissionDenied {
        /// The message of the API.
        message: Box<str>,
    },
    /// 400.
    Rejected {
        /// The message of the API.
        message: Box<str>,
    },
    /// 409.
    Conflict {
        /// The message of the API.
        message: Box<str>,
    },
    /// The response is for another tenant or another contract than the request.
    #[strum(serialize = "unexpected_answer")]
    Unexpected {
        /// What the response contains instead.
        message: Box<str>,
    },
}

impl FicError {
    /// A service that is unavailable and does not ask the client to wait.
    pub fn unavailable(message: impl Into<Box<str>>) -> Self {
        Self::Unavailable { message: message.into(), retry_after: None }
    }

    /// The error for an HTTP status that is not the expected success.
    ///
    /// 401 is handled like 403, because the client has already retried with a new token. A status that the API
    /// reference does not list for the call (a redirect, 404 for a collection, 418) says nothing about the contract, so
    /// it counts as no response.
    #[must_use]
    pub fn from_status(status: u16, message: Box<str>, retry_after: Option<Duration>) -> Self {
        match status {
            400 => Self::Rejected { message },
            401 | 403 => Self::PermissionDenied { message },
            409 => Self::Conflict { message },
            429 => Self::RateLimited { retry_after },
            other => Self::Unavailable { message: format!("HTTP {other}").into(), retry_after },
        }
    }

    /// How long to wait before the next request: FIC asks for it, or the credentials were refused a short time ago.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Unavailable { retry_after, .. }
            | Self::RateLimited { retry_after }
            | Self::AuthenticationFailed { retry_after, .. } => *retry_after,
            Self::Outage { .. }
            | Self::PermissionDenied { .. }
            | Self::Rejected { .. }
            | Self::Conflict { .. }
            | Self::Unexpected { .. } => None,
        }
    }

    /// Whether FIC or Keystone refuses the request, so that a person must act if it stays so.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::AuthenticationFailed { .. } | Self::PermissionDenied { .. } | Self::Rejected { .. } => true,
            Self::Unavailable { .. }
            | Self::Outage { .. }
            | Self::RateLimited { .. }
            | Self::Conflict { .. }
            | Self::Unexpected { .. } => false,
        }
    }

    /// The name of this kind of error.
    #[must_use]
    pub fn category(&self) -> &'static str {
        self.into()
    }
}

/// The outcome of a create or delete request.
///
/// After [`Refused`](Self::Refused) the request certainly had no effect. After [`Unknown`](Self::Unknown) it may have
/// created or deleted a contract, and the operator must find out before it sends the request again.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum WriteOutcome<T> {
    /// FIC accepted the request.
    Accepted(T),
    /// FIC refused the request: it had no effect.
    Refused(FicError),
    /// The request was sent, and whether it had an effect is unknown.
    Unknown(FicError),
    /// The request was not sent, or FIC returned 429 before it processed the request: it had no effect.
    NotSent(FicError),
}

impl<T> WriteOutcome<T> {
    /// The outcome for a response with an error.
    ///
    /// By the API reference, 400, 401, 403 and 409 mean that FIC did not execute the request. The gateway returns 429
    /// before FIC processes the request. Every other error leaves it open.
    #[must_use]
    pub fn from_error(error: FicError) -> Self {
        match error {
            FicError::Rejected { .. } | FicError::PermissionDenied { .. } | FicError::Conflict { .. } => {
                Self::Refused(error)
            }
            FicError::RateLimited { .. } | FicError::AuthenticationFailed { .. } => Self::NotSent(error),
            FicError::Unavailable { .. } | FicError::Outage { .. } | FicError::Unexpected { .. } => {
                Self::Unknown(error)
            }
        }
    }

    /// The error, unless the request was accepted.
    #[must_use]
    pub fn error(&self) -> Option<&FicError> {
        match self {
            Self::Accepted(_) => None,
            Self::Refused(error) | Self::Unknown(error) | Self::NotSent(error) => Some(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By the API reference: which statuses mean that the request had no effect, and which leave it open.
    #[test]
    fn http_status_determines_error_and_write_outcome() {
        let wait = Some(Duration::from_secs(7));
        for (status, category, expected, retry_after) in [
            (400, "rejected", "refused", None),
            (401, "permission_denied", "refused", None),
            (403, "permission_denied", "refused", None),
            (409, "conflict", "refused", None),
            (429, "rate_limited", "not sent", wait),
            (404, "unavailable", "unknown", wait),
            (418, "unavailable", "unknown", wait),
            (302, "unavailable", "unknown", wait),
            (500, "unavailable", "unknown", wait),
            (503, "unavailable", "unknown", wait),
        ] {
            let error = FicError::from_status(status, "message".into(), wait);
            assert_eq!((error.category(), error.retry_after()), (category, retry_after), "{status}");
            let outcome = WriteOutcome::<()>::from_error(error.clone());
            let name = match &outcome {
                WriteOutcome::Accepted(()) => "accepted",
                WriteOutcome::Refused(_) => "refused",
                WriteOutcome::Unknown(_) => "unknown",
                WriteOutcome::NotSent(_) => "not sent",
            };
            assert_eq!(name, expected, "{status}");
            assert_eq!(outcome.error(), Some(&error));
        }
        assert_eq!(WriteOutcome::Accepted(()).error(), None);
    }

    #[test]
    fn errors_without_http_status_determine_write_outcome() {
        let refused = FicError::AuthenticationFailed { message: "".into(), retry_after: None };
        assert_eq!(refused.category(), "authentication_failed");
        assert_eq!(WriteOutcome::<()>::from_error(refused.clone()), WriteOutcome::NotSent(refused));
        let outage = FicError::Outage { message: "".into(), wait: Duration::ZERO };
        assert_eq!((outage.category(), outage.retry_after()), ("unavailable", None));
        assert_eq!(WriteOutcome::<()>::from_error(outage.clone()), WriteOutcome::Unknown(outage));
        let other = FicError::Unexpected { message: "".into() };
        assert_eq!((other.category(), other.retry_after()), ("unexpected_answer", None));
        assert_eq!(WriteOutcome::<()>::from_error(other.clone()), WriteOutcome::Unknown(other));
    }
}
