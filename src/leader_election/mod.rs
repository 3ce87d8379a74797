//! Leader election with a Lease: only the replica that holds the Lease changes plans, Secrets and contracts.
//!
//! The rules and names are client-go's: a Lease is valid for 15 s, its holder renews it every 2 s, and a holder that
//! has not renewed it for 10 s stops leading.
//!
//! - [`LeaderElector`] never compares a timestamp of the Lease with its own clock. It counts the 15 s from the moment
//!   it observed the last change of the Lease, so clock skew between nodes cannot expire a Lease early.
//! - Stricter than client-go, because a second create request costs money: [`Leadership::holds_lease`] is checked right
//!   before every write. The 10 s count from before the last renewal was sent, on the monotonic clock and on the wall
//!   clock. The monotonic clock runs while the process is frozen; the wall clock also runs while the machine sleeps. A
//!   leader that resumes too late sends nothing.
//! - One attempt to acquire or renew the Lease takes 4 s at most, so that one lost response does not lose the lead.
//! - A holder renews only a Lease that names it. One that was deleted or cleared by hand is lost at once.
//! - Who acquires such a Lease does not know when the predecessor stops. It waits for as long as a Lease is valid, unless
//!   the predecessor can have nothing to do.

mod elector;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

pub use elector::LeaderElector;

/// How long other replicas treat the Lease as valid after they observed its last change.
pub const LEASE_DURATION: Duration = Duration::from_secs(15);
/// How long the holder leads after its last renewal.
const RENEW_DEADLINE: Duration = Duration::from_secs(10);
/// The interval between two attempts to acquire or renew the Lease.
const RETRY_PERIOD: Duration = Duration::from_secs(2);

/// How long one attempt to acquire or renew the Lease may take.
const ATTEMPT_LIMIT: Duration = Duration::from_secs(4);

/// Permission to send writes.
#[derive(Clone, Debug)]
pub enum Leadership {
    /// Leader election is off: this process is the only replica.
    Always,
    /// The process may send writes while it holds the Lease.
    Lease(LeaseHold),
}

impl Leadership {
    /// Whether this process may send a write at this moment.
    #[must_use]
    pub fn holds_lease(&self) -> bool {
        match self {
            Self::Always => true,
            Self::Lease(hold) => hold.holds_lease(),
        }
    }
}

/// The last renewal of the Lease by this process, shared between the elector and the writers. The default: not held.
#[derive(Clone, Debug, Default)]
pub struct LeaseHold(Arc<Mutex<Option<Renewal>>>);

/// When the request of a successful renewal was started.
#[derive(Clone, Copy, Debug)]
struct Renewal {
    started: Instant,
    started_wall: SystemTime,
}

impl Renewal {
    fn start() -> Self {
        Self { started: Instant::now(), started_wall: SystemTime::now() }
    }
}

impl LeaseHold {
    fn holds_lease(&self) -> bool {
        self.last_renewal().is_some_and(|renewal| {
            // If the wall clock was set back, the monotonic clock alone decides.
            let wall_elapsed = SystemTime::now().duration_since(renewal.started_wall).unwrap_or_default();
            renewal.started.elapsed() < RENEW_DEADLINE && wall_elapsed < RENEW_DEADLINE
        })
    }

    fn last_renewal(&self) -> Option<Renewal> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, renewal: Option<Renewal>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = renewal;
    }
}
