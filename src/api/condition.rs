//! The conditions of a plan: their types, their status, and the one table of reasons.
//!
//! The enum, the strings, the progress and the table in the reference all come from the macro `reasons!` below: a new
//! reason is one line there.

use strum::{EnumString, IntoStaticStr, VariantArray};

/// The type of the condition that is present from the first report on.
pub const READY: &str = "Ready";
/// The type of the condition that is present while the operator continues by itself.
pub const RECONCILING: &str = "Reconciling";
/// The type of the condition that is present while a person must act.
pub const STALLED: &str = "Stalled";

/// The status of a condition, as in `metav1.ConditionStatus`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EnumString, IntoStaticStr)]
#[allow(missing_docs, reason = "the three values of a Kubernetes condition")]
pub enum ConditionStatus {
    True,
    False,
    Unknown,
}

impl ConditionStatus {
    /// The string in a condition.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// How a plan continues: the kstatus condition beside `Ready`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, IntoStaticStr)]
pub enum Progress {
    /// No condition beside `Ready`: the operator waits for a change.
    Settled,
    /// `Reconciling`: the operator continues by itself.
    Reconciling,
    /// `Stalled`: a person must act.
    Stalled,
}

macro_rules! reasons {
    ($($reason:ident: $progress:ident, $meaning:literal, $action:literal;)+) => {
        /// The reason of the `Ready` condition.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, EnumString, IntoStaticStr, VariantArray)]
        pub enum Reason {
            $(#[doc = $meaning] $reason,)+
        }

        impl Reason {
            /// How a plan with this reason continues.
            #[must_use]
            pub fn progress(self) -> Progress {
                match self { $(Self::$reason => Progress::$progress,)+ }
            }

            /// What the reason means, for the table in the reference.
            #[must_use]
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$reason => $meaning,)+ }
            }

            /// What the reader can do about it, for the table in the reference.
            #[must_use]
            pub fn action(self) -> &'static str {
                match self { $(Self::$reason => $action,)+ }
            }
        }
    };
}

reasons! {
    Contracted: Settled, "The contract is active.", "Nothing.";
    Purchasing: Reconciling, "The operator is about to buy a contract, or has sent a create request whose outcome is not known.", "Nothing.";
    Processing: Reconciling, "FIC is processing an operation on the contract.", "Nothing.";
    Abolishing: Reconciling, "The operator is abolishing the contract.", "Nothing.";
    CredentialsMissing: Reconciling, "The Secret does not exist, or is being deleted.", "Create the Secret.";
    ServiceUnavailable: Reconciling, "FIC or Keystone cannot be reached, timed out, answered with an unexpected status such as 5xx, or sent a response that cannot be read. `Unknown` instead of `False`: the contract was active, and no read has succeeded for three resync intervals.", "Nothing. If it lasts, check the network and the endpoints of the operator.";
    RateLimited: Reconciling, "FIC or Keystone answered 429. The operator honours `Retry-After`, or uses backoff.", "Nothing.";
    OrderConflict: Reconciling, "FIC refused the create request with a conflict (409), and the tenant has no contract: another order is in progress. The operator tries again with backoff.", "Nothing. If it lasts, contact NTT support.";
    ContractNotFound: Reconciling, "The contract was active, and two reads in a row do not show it. After `--loss-patience` it counts as lost.", "Nothing. If the contract exists, check the network and the endpoints of the operator.";
    NotContracted: Reconciling, "`managementPolicy` is `Observe`, and the tenant has no contract.", "Nothing.";
    Suspended: Settled, "The plan was suspended before the first report, or is suspended while it is being deleted.", "Set `suspend: false`.";
    CredentialsInvalid: Stalled, "The Secret has another type, or a key is missing, empty, too long or not UTF-8 text.", "Fix the Secret.";
    AuthenticationFailed: Stalled, "Keystone rejected the credentials.", "Correct the Secret.";
    PermissionDenied: Stalled, "The API user is not allowed to make the request (403, or 401 with a new token).", "Grant the IAM permissions.";
    AlreadyContracted: Stalled, "The tenant has a contract that this plan did not create.", "Set `adoptionPolicy: IfPresent` or `managementPolicy: Observe`.";
    ContractLost: Stalled, "The contract was abolished outside of Kubernetes, and `recreationPolicy` is `Never`, or `--max-recreations-per-hour` lost contracts were bought again within an hour.", "Check whether the contract is really gone. To buy it again, set `recreationPolicy: IfLost`, or change the annotation `fic.ntt.com/reconcile-requested-at`. Otherwise delete the plan.";
    TenantClaimed: Stalled, "Another plan holds the tenant.", "Delete this plan, or the other one. Deleting the other one abolishes its contract, unless it has `deletionPolicy: Retain`.";
    RequestRejected: Stalled, "FIC or Keystone answered 400. The message quotes the answer.", "Fix what the message names.";
    OperationFailed: Stalled, "FIC reports that the operation failed.", "Contact NTT support.";
    OperationTimedOut: Stalled, "FIC has processed the operation for longer than `--operation-timeout`.", "Contact NTT support.";
    MenuMismatch: Stalled, "The contract is on another menu.", "Change the menu in the portal.";
    WriteRefused: Stalled, "The API server refuses a write that the operator needs: an admission policy, a missing right or a quota. The message quotes the API server.", "Allow the write. The operator tries again with backoff.";
    UnexpectedAnswer: Stalled, "FIC answered for another tenant or contract, with several contracts, or with an invalid ID. The operator does not act on it.", "Contact NTT support.";
}

impl Reason {
    /// The string in a condition and in an Event.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// Whether the message of a plan that is being deleted must say how to delete it at once.
    #[must_use]
    pub fn blocks_deletion(self) -> bool {
        match self.progress() {
            Progress::Settled => false,
            Progress::Reconciling | Progress::Stalled => true,
        }
    }

    /// Reads the reason of a stored condition. `None`: another version of the operator wrote it.
    #[must_use]
    pub fn parse(reason: &str) -> Option<Self> {
        reason.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_parsed_back() {
        for reason in Reason::VARIANTS {
            assert_eq!(Reason::parse(reason.as_str()), Some(*reason));
        }
        assert_eq!(Reason::parse("FromAnotherVersion"), None);
        assert_eq!(Reason::parse("contracted"), None);
    }
}
