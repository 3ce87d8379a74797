//! How far a create request and a delete request are, as far as this process knows.

use crate::domain::contract::{Contract, ContractId};
use crate::domain::facts::Uptime;

/// How many consecutive reads, a poll interval apart, must find nothing before the operator acts on it: FIC may show a
/// write some time after it accepted it.
pub const CONFIRMATIONS_REQUIRED: u32 = 3;

/// Whether a write to the API server took effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TookEffect {
    /// It did.
    Yes,
    /// Its outcome is unknown.
    Perhaps,
    /// It was refused or not sent.
    No,
}

/// The state of the create request of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum CreateState {
    /// This process has sent none since it added the finalizer.
    Unsent,
    /// FIC may have accepted one: its outcome is unknown, or another process may have sent it.
    Unconfirmed {
        /// Whether this process sent it.
        sent_here: bool,
        /// How many reads since then have shown no contract.
        empty_reads: u32,
        /// How many create requests were sent again since then.
        resent: u32,
    },
    /// FIC refused it or it was not sent, and no other was unconfirmed: nothing was bought.
    Refused,
    /// FIC accepted it, and its id is not recorded yet.
    Accepted(Contract),
}

impl CreateState {
    /// Another process may have sent a create request, and nothing has been read since.
    pub(super) const UNCONFIRMED_BY_OTHER: Self = Self::Unconfirmed { sent_here: false, empty_reads: 0, resent: 0 };

    /// Whether FIC may have accepted a create request whose outcome is unknown.
    #[must_use]
    pub fn is_unconfirmed(&self) -> bool {
        match self {
            Self::Unconfirmed { .. } => true,
            Self::Unsent | Self::Refused | Self::Accepted(_) => false,
        }
    }

    /// Whether this process sent a create request that FIC accepted or may have accepted. While it did, the contract may
    /// belong to the plan, whatever the plan says.
    #[must_use]
    pub fn is_open_here(&self) -> bool {
        match self {
            Self::Accepted(_) => true,
            Self::Unconfirmed { sent_here, .. } => *sent_here,
            Self::Unsent | Self::Refused => false,
        }
    }

    /// Whether it is certain that no create request was accepted: none was sent, or enough reads have shown no
    /// contract. Each further create request doubles the number of reads.
    #[must_use]
    pub fn nothing_was_created(&self) -> bool {
        match self {
            Self::Unsent | Self::Refused => true,
            Self::Unconfirmed { empty_reads, resent, .. } => *empty_reads >= CONFIRMATIONS_REQUIRED << (*resent).min(6),
            Self::Accepted(_) => false,
        }
    }
}

/// The state of the delete request for the contract of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DeleteState {
    /// The contract.
    pub id: ContractId,
    /// When it was sent.
    pub sent_at: Uptime,
    /// Whether FIC accepted it.
    pub accepted: bool,
    /// How many reads since then have shown the contract unchanged.
    pub unchanged_reads: u32,
    /// Whether FIC reported that the operation failed.
    pub failed: bool,
}
