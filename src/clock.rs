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
    /// The wall time at `started`.
    wall_started: Timestamp,
    /// Whether the wall clock follows the monotonic clock.
    is_simulated: bool,
}

impl Default for Clock {
    fn default() -> Self {
        Self { started: Instant::now(), wall_started: Timestamp::now(), is_simulated: false }
    }
}

impl Clock {
    /// Clocks for simulated time: the wall clock starts at this time and follows the monotonic clock, not the machine.
    #[must_use]
    pub fn starting_at(wall: Timestamp) -> Self {
        Self { started: Instant::now(), wall_started: wall, is_simulated: true }
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
        if self.is_simulated { self.started_at().wall_at(self.uptime()) } else { Timestamp::now() }
    }

    /// The current time, for a report.
    #[must_use]
    pub fn moment(&self) -> Moment {
        Moment { wall: self.wall(), ..self.started_at() }
    }

    fn started_at(&self) -> Moment {
        Moment { wall: self.wall_started, uptime_zero: add(self.wall_started, -signed(INITIAL_UPTIME)) }
    }
}

/// A time on the wall clock, and how it relates to the monotonic clock.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// The time of day.
    pub wall: Timestamp,
    /// The time of day at uptime zero, as of the start of the process.
    pub uptime_zero: Timestamp,
}

impl Moment {
    /// The time of day at an uptime. It stays the same when the wall clock is set.
    #[must_use]
    pub fn wall_at(&self, uptime: Duration) -> Timestamp {
        add(self.uptime_zero, signed(uptime))
    }
}

fn signed(duration: Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}

fn add(time: Timestamp, duration: SignedDuration) -> Timestamp {
    time.saturating_add(duration).unwrap_or(Timestamp::MAX)
}
