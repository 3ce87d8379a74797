//! When a plan for which nothing is to do is read again.
//!
//! Each plan has a moment of its own within the resync interval. So the reads of many plans are spread over the interval,
//! also after all of them were read at once: after a restart, an outage, or a change of a Secret that they share.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use crate::domain::facts::Uptime;

/// A plan that was read less than this fraction of the interval before its moment is not read again so soon.
const TOO_SOON: u32 = 10;

/// The wait until the next moment of a plan.
pub(super) fn wait(uid: &str, interval: Duration, now: Uptime) -> Duration {
    let nanoseconds = interval.as_nanos().max(1);
    let mut hasher = DefaultHasher::new();
    uid.hash(&mut hasher);
    let moment = u128::from(hasher.finish()) % nanoseconds;
    let wait = (moment + nanoseconds - now.as_nanos() % nanoseconds) % nanoseconds;
    let wait = Duration::from_nanos(wait.try_into().unwrap_or(u64::MAX));
    if wait < interval / TOO_SOON { wait + interval } else { wait }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_mins(10);

    fn uid(number: u32) -> String {
        format!("188d167f-0000-0000-0000-{number:012}")
    }

    #[test]
    fn plans_that_were_read_at_once_are_spread_evenly() {
        for now in [Uptime::ZERO, Duration::from_secs(12_345)] {
            let mut each_minute = [0; 11];
            for number in 0..10_000 {
                let wait = wait(&uid(number), INTERVAL, now);
                assert!(wait >= INTERVAL / 10 && wait <= INTERVAL * 11 / 10, "{wait:?}");
                each_minute[usize::try_from(wait.as_secs() / 60).expect("a small number")] += 1;
            }
            assert_eq!(each_minute[0], 0);
            assert!(each_minute[1..].iter().all(|number| (900..1100).contains(number)), "{each_minute:?}");
        }
    }

    #[test]
    fn a_plan_is_read_once_in_each_interval() {
        let mut now = Duration::from_secs(77);
        now += wait("a", INTERVAL, now);
        for _ in 0..100 {
            // A reconcile takes a moment, and a timer is late.
            now += Duration::from_millis(200);
            let wait = wait("a", INTERVAL, now);
            assert_eq!(wait, INTERVAL.saturating_sub(Duration::from_millis(200)));
            now += wait;
        }
    }

    #[test]
    fn a_short_interval_does_no_harm() {
        for interval in [Duration::ZERO, Duration::from_nanos(1), Duration::from_millis(100)] {
            assert!(wait("a", interval, Duration::from_secs(5)) <= interval * 2);
        }
    }
}
