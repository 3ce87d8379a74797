//! What follows from writes to FIC, and from any request that failed.

use std::time::Duration;

use super::{Memory, RetryAfter};
use crate::backoff;
use crate::domain::contract::Contract;
use crate::domain::error::{FicError, WriteOutcome};
use crate::domain::facts::{PlanFacts, Uptime};
use crate::domain::write_state::{CreateState, DeleteState};

/// The first and the longest time between two sign-ins that Keystone refuses. After the longest one they count anew.
const SIGN_IN_BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(1));
impl Memory {
    pub(super) fn created(&mut self, outcome: &WriteOutcome<Contract>, now: Uptime) {
        let (resent, sent_here) = match &self.create {
            CreateState::Unconfirmed { resent, sent_here, .. } => (Some(resent.saturating_add(1)), *sent_here),
            CreateState::Unsent | CreateState::Refused | CreateState::Accepted(_) => (None, false),
        };
        if let Some(error) = outcome.error() {
            self.request_failed(error, now);
        }
        match outcome {
            WriteOutcome::Accepted(contract) => self.create = CreateState::Accepted(contract.clone()),
            // A contract exists. It may be the one that was given up as lost, which must be checked first.
            WriteOutcome::Refused(FicError::Conflict { .. }) if self.lost.is_some() && resent.is_none() => {}
            WriteOutcome::Refused(_) => {
                self.create = match resent {
                    Some(resent) => CreateState::Unconfirmed { sent_here, empty_reads: 0, resent },
                    None => CreateState::Refused,
                }
            }
            WriteOutcome::Unknown(_) => {
                let resent = resent.unwrap_or(0);
                self.create = CreateState::Unconfirmed { sent_here: true, empty_reads: 0, resent };
            }
            WriteOutcome::NotSent(_) if resent.is_some() => {}
            WriteOutcome::NotSent(_) => self.create = CreateState::Refused,
        }
    }

    pub(super) fn deleted(&mut self, outcome: &WriteOutcome<()>, plan: &PlanFacts, now: Uptime) {
        if let Some(error) = outcome.error() {
            self.request_failed(error, now);
        }
        let accepted = match outcome {
            WriteOutcome::Accepted(()) => true,
            WriteOutcome::Unknown(_) => false,
            WriteOutcome::Refused(_) | WriteOutcome::NotSent(_) => return,
        };
        let Some(id) = plan.record.owned().cloned() else { return };
        self.in_progress_since = Some(now);
        self.delete = Some(DeleteState { id, sent_at: now, accepted, unchanged_reads: 0, failed: false });
    }

    pub(super) fn request_failed(&mut self, error: &FicError, now: Uptime) {
        let wait = match error {
            FicError::AuthenticationFailed { retry_after: None, .. } => Some(self.sign_in_refused(now)),
            FicError::AuthenticationFailed { .. }
            | FicError::Unavailable { .. }
            | FicError::Outage { .. }
            | FicError::RateLimited { .. }
            | FicError::PermissionDenied { .. }
            | FicError::Rejected { .. }
            | FicError::Conflict { .. }
            | FicError::Unexpected { .. } => error.retry_after(),
        };
        if let Some(wait) = wait {
            self.retry_after = Some(RetryAfter { not_before: now.saturating_add(wait), error: error.clone() });
        }
    }

    /// Keystone refused the credentials. The next sign-in waits, also if a user changes the Secret again and again.
    fn sign_in_refused(&mut self, now: Uptime) -> Duration {
        let (first, longest) = SIGN_IN_BACKOFF;
        let is_isolated = self.sign_in_refused_at.is_none_or(|at| now.saturating_sub(at) > longest);
        self.sign_in_refusals = if is_isolated { 0 } else { self.sign_in_refusals.saturating_add(1) };
        self.sign_in_refused_at = Some(now);
        backoff::doubled(first, self.sign_in_refusals, longest)
    }
}
