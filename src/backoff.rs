//! How long to wait before a retry.

use std::time::Duration;

/// The wait after the first failure. Each further failure doubles it.
pub const FIRST: Duration = Duration::from_secs(1);
/// The longest wait, before jitter.
pub const LONGEST: Duration = Duration::from_mins(5);

/// Exponential backoff with jitter: the wait after this many failures in a row.
#[must_use]
pub fn after(failures: u32) -> Duration {
    jitter(doubled(FIRST, failures.saturating_sub(1), LONGEST), 0.2)
}

/// The first wait, doubled this many times, but no longer than the longest.
#[must_use]
pub fn doubled(first: Duration, doublings: u32, longest: Duration) -> Duration {
    first.saturating_mul(1 << doublings.min(16)).min(longest)
}

/// Makes a wait longer or shorter by a random fraction of at most `factor`, so that many plans do not retry at the same
/// moment.
#[must_use]
pub fn jitter(wait: Duration, factor: f64) -> Duration {
    wait.mul_f64(1.0 - factor + 2.0 * factor * fastrand::f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_goes_both_ways_and_is_bounded() {
        fastrand::seed(1);
        let waits = (0..100).map(|_| jitter(FIRST, 0.2).as_secs_f64()).collect::<Vec<_>>();
        assert!(waits.iter().all(|wait| (0.8..=1.2).contains(wait)), "{waits:?}");
        assert!(waits.iter().any(|wait| *wait < 0.85) && waits.iter().any(|wait| *wait > 1.15), "{waits:?}");
    }

    #[test]
    fn backoff_doubles_from_one_second_to_five_minutes() {
        for (failures, seconds) in [(0, 1.0), (1, 1.0), (2, 2.0), (3, 4.0), (9, 256.0), (10, 300.0), (u32::MAX, 300.0)]
        {
            let wait = after(failures).as_secs_f64();
            assert!((seconds * 0.8..=seconds * 1.2).contains(&wait), "{failures}: {wait}");
        }
    }
}
