//! How long to wait before trying again.

use std::time::Duration;

/// The first wait; each further one is twice as long.
pub const FIRST: Duration = Duration::from_secs(1);
/// The longest wait.
pub const LONGEST: Duration = Duration::from_mins(5);

/// One second, doubling with each failure after the first, up to five minutes.
#[must_use]
pub fn after(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    spread(FIRST.saturating_mul(1 << doublings).min(LONGEST), 0.2)
}

/// A wait, made longer or shorter by up to this part of it: waits that many share must not end all at once.
#[must_use]
pub fn spread(wait: Duration, part: f64) -> Duration {
    wait.mul_f64(1.0 - part + 2.0 * part * fastrand::f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_spread_to_both_sides() {
        fastrand::seed(1);
        let waits = (0..100).map(|_| spread(FIRST, 0.2).as_secs_f64()).collect::<Vec<_>>();
        assert!(waits.iter().all(|wait| (0.8..=1.2).contains(wait)), "{waits:?}");
        assert!(waits.iter().any(|wait| *wait < 0.85) && waits.iter().any(|wait| *wait > 1.15), "{waits:?}");
    }

    #[test]
    fn a_backoff_doubles_from_one_second_to_five_minutes() {
        for (failures, seconds) in [(0, 1.0), (1, 1.0), (2, 2.0), (3, 4.0), (9, 256.0), (10, 300.0), (u32::MAX, 300.0)]
        {
            let wait = after(failures).as_secs_f64();
            assert!((seconds * 0.8..=seconds * 1.2).contains(&wait), "{failures}: {wait}");
        }
    }
}
