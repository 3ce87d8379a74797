//! The two clocks: one that never jumps, for waiting, and the one on the wall, for what people read.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use crate::domain::facts::Uptime;

/// What the time since the process began counts from: it was running by then as far as anybody cares, so that moments before it began
/// can be spoken of.
const HEAD_START: Duration = Duration::from_hours(10 * 365 * 24);

/// The clocks of the process.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    began: Instant,
    /// Where the wall clock goes with the other one: what it said when that began.
    wall_began: Option<Timestamp>,
}

impl Default for Clock {
    fn default() -> Self {
        Self { began: Instant::now(), wall_began: None }
    }
}

impl Clock {
    /// Clocks whose time of day goes with the time since the process began, whatever the machine says: for a time that is made.
    #[must_use]
    pub fn starting_at(wall: Timestamp) -> Self {
        Self { began: Instant::now(), wall_began: Some(wall) }
    }

    /// Time since the process began, and some more.
    #[must_use]
    pub fn uptime(&self) -> Uptime {
        HEAD_START + self.began.elapsed()
    }

    /// The time of day.
    #[must_use]
    pub fn wall(&self) -> Timestamp {
        match self.wall_began {
            None => Timestamp::now(),
            Some(began) => began
                .saturating_add(SignedDuration::try_from(self.began.elapsed()).unwrap_or(SignedDuration::MAX))
                .unwrap_or(Timestamp::MAX),
        }
    }
}
