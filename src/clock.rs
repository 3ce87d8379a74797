//! The two clocks: one that never jumps, for waiting, and the one on the wall, for what people read.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use crate::facts::Uptime;

/// The clocks of the process.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    began: Instant,
}

impl Default for Clock {
    fn default() -> Self {
        Self { began: Instant::now() }
    }
}

impl Clock {
    /// Time since the process began.
    #[must_use]
    pub fn uptime(&self) -> Uptime {
        self.began.elapsed()
    }

    /// The time of day.
    #[must_use]
    pub fn wall(&self) -> Timestamp {
        Timestamp::now()
    }

    /// How long ago something was, by the wall clock; nothing if it lies ahead.
    #[must_use]
    pub fn since(&self, time: Timestamp) -> Duration {
        Duration::try_from(self.wall().duration_since(time)).unwrap_or_default()
    }
}
