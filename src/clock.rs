//! The two clocks: a monotonic one for waiting, and the wall clock for times that people read.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

/// The uptime at the start of the process. It is large, so that a moment before the start has an uptime too.
const INITIAL_UPTIME: Duration = Duration::from_hours(10 * 365 * 24);

/// The clocks of the process.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    started: Instant,
    /// The wall time at `started`, if the wall clock follows the monotonic clock.
    wall_at_start: Option<Timestamp>,
}

impl Default for Clock {
    fn default() -> Self {
        Self { started: Instant::now(), wall_at_start: None }
    }
}

impl Clock {
    /// Clocks for simulated time: the wall clock starts at this time and follows the monotonic clock, not the machine.
    #[must_use]
    pub fn starting_at(wall: Timestamp) -> Self {
        Self { started: Instant::now(), wall_at_start: Some(wall) }
    }

    /// The time on the monotonic clock, as a [`Duration`] since a fixed moment before the start of the process.
    ///
    /// It is a plain `Duration` so that the domain can calculate with it and does not depend on a clock.
    #[must_use]
    pub fn uptime(&self) -> Duration {
        INITIAL_UPTIME + self.started.elapsed()
    }

    /// The time of day.
    #[must_use]
    pub fn wall(&self) -> Timestamp {
        match self.wall_at_start {
            None => Timestamp::now(),
            Some(start) => start
                .saturating_add(SignedDuration::try_from(self.started.elapsed()).unwrap_or(SignedDuration::MAX))
                .unwrap_or(Timestamp::MAX),
        }
    }
}
