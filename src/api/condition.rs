//! The words of the status: every reason of the `Ready` condition, and what each says of progress. No word of a
//! condition stands anywhere else.

/// The reason of the `Ready` condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs, reason = "each is explained where it is decided, and for users in the README")]
pub enum Reason {
    Contracted,
    Purchasing,
    Processing,
    Abolishing,
    CredentialsMissing,
    ServiceUnavailable,
    RateLimited,
    NotContracted,
    Suspended,
    CredentialsInvalid,
    AuthenticationFailed,
    PermissionDenied,
    AlreadyContracted,
    ContractLost,
    TenantClaimed,
    RequestRejected,
    OperationFailed,
    OperationTimedOut,
    MenuMismatch,
    UnexpectedAnswer,
}

/// The status of the `Ready` condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the three words of a Kubernetes condition")]
pub enum Ready {
    True,
    False,
    Unknown,
}

impl Ready {
    /// The word in a condition.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

/// Which way a plan that is not Ready goes on: the kstatus conditions beside `Ready`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Progress {
    /// Neither: there is nothing to do.
    Still,
    /// `Reconciling`: it goes on by itself.
    Reconciling,
    /// `Stalled`: a person must act.
    Stalled,
}

impl Reason {
    /// Every reason, in the order of the table in the README.
    pub const ALL: [Self; 20] = [
        Self::Contracted,
        Self::Purchasing,
        Self::Processing,
        Self::Abolishing,
        Self::CredentialsMissing,
        Self::ServiceUnavailable,
        Self::RateLimited,
        Self::NotContracted,
        Self::Suspended,
        Self::CredentialsInvalid,
        Self::AuthenticationFailed,
        Self::PermissionDenied,
        Self::AlreadyContracted,
        Self::ContractLost,
        Self::TenantClaimed,
        Self::RequestRejected,
        Self::OperationFailed,
        Self::OperationTimedOut,
        Self::MenuMismatch,
        Self::UnexpectedAnswer,
    ];

    /// The word in a condition and in an Event.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Contracted => "Contracted",
            Self::Purchasing => "Purchasing",
            Self::Processing => "Processing",
            Self::Abolishing => "Abolishing",
            Self::CredentialsMissing => "CredentialsMissing",
            Self::ServiceUnavailable => "ServiceUnavailable",
            Self::RateLimited => "RateLimited",
            Self::NotContracted => "NotContracted",
            Self::Suspended => "Suspended",
            Self::CredentialsInvalid => "CredentialsInvalid",
            Self::AuthenticationFailed => "AuthenticationFailed",
            Self::PermissionDenied => "PermissionDenied",
            Self::AlreadyContracted => "AlreadyContracted",
            Self::ContractLost => "ContractLost",
            Self::TenantClaimed => "TenantClaimed",
            Self::RequestRejected => "RequestRejected",
            Self::OperationFailed => "OperationFailed",
            Self::OperationTimedOut => "OperationTimedOut",
            Self::MenuMismatch => "MenuMismatch",
            Self::UnexpectedAnswer => "UnexpectedAnswer",
        }
    }

    /// Reads the word of a condition that was written before; a word of another version is none.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == word)
    }

    /// Which way a plan with this reason goes on.
    #[must_use]
    pub fn progress(self) -> Progress {
        match self {
            Self::Contracted | Self::Suspended => Progress::Still,
            Self::Purchasing
            | Self::Processing
            | Self::Abolishing
            | Self::CredentialsMissing
            | Self::ServiceUnavailable
            | Self::RateLimited
            | Self::NotContracted => Progress::Reconciling,
            Self::CredentialsInvalid
            | Self::AuthenticationFailed
            | Self::PermissionDenied
            | Self::AlreadyContracted
            | Self::ContractLost
            | Self::TenantClaimed
            | Self::RequestRejected
            | Self::OperationFailed
            | Self::OperationTimedOut
            | Self::MenuMismatch
            | Self::UnexpectedAnswer => Progress::Stalled,
        }
    }
}

/// The type of the condition that is always there.
pub const READY: &str = "Ready";
/// The type of the condition that is there while it goes on by itself.
pub const RECONCILING: &str = "Reconciling";
/// The type of the condition that is there while a person must act.
pub const STALLED: &str = "Stalled";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_read_back_as_it_was_written() {
        for reason in Reason::ALL {
            assert_eq!(Reason::parse(reason.as_str()), Some(reason));
        }
        assert_eq!(Reason::parse("FromAnotherVersion"), None);
    }
}
