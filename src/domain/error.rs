//! What can go wrong between the operator and FIC, sorted once, here, by what it means for a plan.
//!
//! HTTP codes are read in one place ([`FicError::from_status`]); from there on only these words travel.

use std::time::Duration;

/// A call that did not give what was asked for. The texts inside are short, and clean of control characters and secrets.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum FicError {
    /// No connection, a time-out, a 5xx, an answer that cannot be read: it may work the next time.
    Unavailable {
        /// What was seen.
        what: Box<str>,
        /// How long FIC asks to be left alone, where it says so.
        retry_after: Option<Duration>,
    },
    /// 429.
    RateLimited {
        /// How long FIC asks to be left alone, where it says so.
        retry_after: Option<Duration>,
    },
    /// Keystone refuses the credentials.
    AuthenticationFailed {
        /// Keystone's own words.
        words: Box<str>,
    },
    /// 403, or 401 again with a fresh token: the API user may not do this.
    PermissionDenied {
        /// The API's own words.
        words: Box<str>,
    },
    /// 400.
    Rejected {
        /// The API's own words.
        words: Box<str>,
    },
    /// 409.
    Conflict {
        /// The API's own words.
        words: Box<str>,
    },
    /// An answer that speaks of another tenant or another contract than the one asked about.
    Unexpected {
        /// What was seen.
        what: Box<str>,
    },
}

impl FicError {
    /// Sorts an HTTP status that is not the success the call knows.
    ///
    /// 401 stands with 403: the caller has already tried a fresh token. A code that no reference names (a redirect, 404 on a
    /// collection, 418) tells nothing about the contract, so it is as good as no answer.
    #[must_use]
    pub fn from_status(status: u16, words: Box<str>, retry_after: Option<Duration>) -> Self {
        match status {
            400 => Self::Rejected { words },
            401 | 403 => Self::PermissionDenied { words },
            409 => Self::Conflict { words },
            429 => Self::RateLimited { retry_after },
            other => Self::Unavailable { what: format!("HTTP {other}").into(), retry_after },
        }
    }

    /// How long FIC asked to be left alone.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Unavailable { retry_after, .. } | Self::RateLimited { retry_after } => *retry_after,
            Self::AuthenticationFailed { .. }
            | Self::PermissionDenied { .. }
            | Self::Rejected { .. }
            | Self::Conflict { .. }
            | Self::Unexpected { .. } => None,
        }
    }

    /// A fixed name for metrics and logs.
    #[must_use]
    pub fn category(&self) -> &'static str {
        match self {
            Self::Unavailable { .. } => "unavailable",
            Self::RateLimited { .. } => "rate_limited",
            Self::AuthenticationFailed { .. } => "authentication_failed",
            Self::PermissionDenied { .. } => "permission_denied",
            Self::Rejected { .. } => "rejected",
            Self::Conflict { .. } => "conflict",
            Self::Unexpected { .. } => "unexpected_answer",
        }
    }
}

/// What became of a call that changes something.
///
/// The difference between *refused* and *unknown* is what the operator lives by: after a refusal nothing was bought,
/// after silence something may have been.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum WriteOutcome<T> {
    /// Accepted.
    Accepted(T),
    /// Refused for certain: it had no effect.
    Refused(FicError),
    /// It went out, and whether it had an effect is not known.
    Unknown(FicError),
    /// It never went out, or was turned away at the door unread: nothing happened.
    NotSent(FicError),
}

impl<T> WriteOutcome<T> {
    /// Sorts an answer that is not the acceptance: what the reference and its gateway say of a request they did not carry out.
    #[must_use]
    pub fn from_error(trouble: FicError) -> Self {
        match trouble {
            FicError::Rejected { .. } | FicError::PermissionDenied { .. } | FicError::Conflict { .. } => {
                Self::Refused(trouble)
            }
            FicError::RateLimited { .. } | FicError::AuthenticationFailed { .. } => Self::NotSent(trouble),
            FicError::Unavailable { .. } | FicError::Unexpected { .. } => Self::Unknown(trouble),
        }
    }

    /// The trouble, where there is one.
    #[must_use]
    pub fn trouble(&self) -> Option<&FicError> {
        match self {
            Self::Accepted(_) => None,
            Self::Refused(trouble) | Self::Unknown(trouble) | Self::NotSent(trouble) => Some(trouble),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By the reference: which codes say for certain that nothing was done, and which say nothing.
    #[test]
    fn an_http_status_says_whether_a_change_was_made() {
        let pause = Some(Duration::from_secs(7));
        for (status, category, sent, retry_after) in [
            (400, "rejected", "refused", None),
            (401, "permission_denied", "refused", None),
            (403, "permission_denied", "refused", None),
            (409, "conflict", "refused", None),
            (429, "rate_limited", "not sent", pause),
            (404, "unavailable", "unknown", pause),
            (418, "unavailable", "unknown", pause),
            (302, "unavailable", "unknown", pause),
            (500, "unavailable", "unknown", pause),
            (503, "unavailable", "unknown", pause),
        ] {
            let trouble = FicError::from_status(status, "words".into(), pause);
            assert_eq!((trouble.category(), trouble.retry_after()), (category, retry_after), "{status}");
            let outcome = WriteOutcome::<()>::from_error(trouble.clone());
            let is = match &outcome {
                WriteOutcome::Accepted(()) => "accepted",
                WriteOutcome::Refused(_) => "refused",
                WriteOutcome::Unknown(_) => "unknown",
                WriteOutcome::NotSent(_) => "not sent",
            };
            assert_eq!(is, sent, "{status}");
            assert_eq!(outcome.trouble(), Some(&trouble));
        }
        assert_eq!(WriteOutcome::Accepted(()).trouble(), None);
    }

    #[test]
    fn what_no_status_says_is_sorted_too() {
        let refused = FicError::AuthenticationFailed { words: "".into() };
        assert_eq!(refused.category(), "authentication_failed");
        assert_eq!(WriteOutcome::<()>::from_error(refused.clone()), WriteOutcome::NotSent(refused));
        let other = FicError::Unexpected { what: "".into() };
        assert_eq!((other.category(), other.retry_after()), ("unexpected_answer", None));
        assert_eq!(WriteOutcome::<()>::from_error(other.clone()), WriteOutcome::Unknown(other));
    }
}
