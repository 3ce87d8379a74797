//! How many requests per second are sent: as configured, and fewer while FIC limits the rate.
//!
//! When FIC answers 429 to several tenants within a short time, the limit is one for all of them. Then the rate is halved,
//! and grows back to what it was. A 429 to one tenant concerns that tenant only, which waits.

use std::time::Duration;

use tokio::time::Instant;

/// Two tenants that are limited within this time share a limit.
const SHARED_WITHIN: Duration = Duration::from_secs(10);
/// The rate is halved at most once within this time: the requests that were under way are limited too.
const HALVED_ONCE_WITHIN: Duration = Duration::from_secs(1);
/// How long the rate takes to grow by as much as it was before.
const RECOVERY: Duration = Duration::from_secs(30);
const SECOND: Duration = Duration::from_secs(1);
/// The lowest rate, in requests per second.
const LOWEST: f64 = 1.0;

/// The rate.
pub(super) struct Pace {
    /// Requests per second by the flag. `None`: no limit.
    configured: Option<u32>,
    slowed: Option<Slowed>,
    /// The tenant that was limited last, and when.
    limited: Option<(Box<str>, Instant)>,
    /// The number of requests since a moment, and the rate until then.
    counted: (Instant, u32, f64),
}

/// The rate after it was halved.
struct Slowed {
    since: Instant,
    /// The rate at that moment.
    rate: f64,
    /// The rate at which it ends.
    target: f64,
}

impl Pace {
    /// At most this many requests per second; 0: no limit.
    pub(super) fn new(requests_per_second: u32) -> Self {
        let configured = (requests_per_second > 0).then_some(requests_per_second);
        Self { configured, slowed: None, limited: None, counted: (Instant::now(), 0, 0.0) }
    }

    /// The time between two requests, and how far a burst may run ahead of that. `None`: no limit.
    pub(super) fn interval(&self, now: Instant) -> Option<(Duration, Duration)> {
        if let Some(rate) = self.slowed_rate(now) {
            return Some((SECOND.div_f64(rate), Duration::ZERO));
        }
        let interval = SECOND / self.configured?;
        Some((interval, SECOND.saturating_sub(interval)))
    }

    /// A request is sent.
    pub(super) fn sent(&mut self, now: Instant) {
        let (since, count, rate) = &mut self.counted;
        let elapsed = now.saturating_duration_since(*since);
        if elapsed >= SECOND {
            *rate = f64::from(*count) / elapsed.as_secs_f64();
            (*since, *count) = (now, 0);
        }
        *count = count.saturating_add(1);
    }

    /// FIC answered 429 to a request of this tenant. Returns the new rate if it is lower.
    pub(super) fn limited(&mut self, tenant: &str, now: Instant) -> Option<f64> {
        let last = self.limited.replace((tenant.into(), now));
        let is_shared = last.is_some_and(|(other, at)| *other != *tenant && now - at < SHARED_WITHIN);
        let is_halved = self.slowed.as_ref().is_some_and(|slowed| now - slowed.since < HALVED_ONCE_WITHIN);
        if !is_shared || is_halved {
            return None;
        }
        let (before, target) = if let (Some(rate), Some(slowed)) = (self.slowed_rate(now), &self.slowed) {
            (rate, slowed.target)
        } else {
            let (_, count, measured) = self.counted;
            let rate = self.configured.map_or_else(|| measured.max(count.into()).max(LOWEST), f64::from);
            (rate, rate)
        };
        let rate = (before / 2.0).max(LOWEST);
        self.slowed = Some(Slowed { since: now, rate, target });
        Some(rate)
    }

    /// The rate, if it has not grown back yet.
    fn slowed_rate(&self, now: Instant) -> Option<f64> {
        let Slowed { since, rate, target } = self.slowed.as_ref()?;
        let grown = rate + target * now.saturating_duration_since(*since).div_duration_f64(RECOVERY);
        (grown < *target).then_some(grown)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    /// The rate that requests are sent at; infinite if there is no limit.
    fn rate(pace: &Pace) -> f64 {
        pace.interval(Instant::now()).map_or(f64::INFINITY, |(interval, _)| 1.0 / interval.as_secs_f64())
    }

    fn assert_rate(pace: &Pace, expected: f64) {
        let rate = rate(pace);
        assert!((rate - expected).abs() < 0.01 * expected, "{rate} instead of {expected}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_limit_of_one_tenant_does_not_slow_the_others() {
        let mut pace = Pace::new(50);
        for _ in 0..20 {
            assert_eq!(pace.limited("a", Instant::now()), None);
            advance(SECOND).await;
        }
        assert_rate(&pace, 50.0);
        advance(SHARED_WITHIN).await;
        assert_eq!(pace.limited("b", Instant::now()), None, "that of another tenant was long ago");
        assert_eq!(pace.interval(Instant::now()), Some((SECOND / 50, SECOND.saturating_sub(SECOND / 50))));
    }

    #[tokio::test(start_paused = true)]
    async fn a_shared_limit_halves_the_rate_once_a_second_and_it_grows_back() {
        let mut pace = Pace::new(48);
        pace.limited("a", Instant::now());
        for number in 0..30 {
            let halved = pace.limited(["b", "c"][number % 2], Instant::now());
            assert_eq!(halved.is_some(), number == 0);
        }
        assert_rate(&pace, 24.0);
        assert_eq!(pace.interval(Instant::now()).expect("a limit").1, Duration::ZERO, "no burst");
        advance(SECOND).await;
        assert_rate(&pace, 24.0 + 48.0 / 30.0);
        pace.limited("a", Instant::now());
        assert_rate(&pace, 12.0 + 48.0 / 60.0);
        advance(RECOVERY).await;
        assert_rate(&pace, 48.0);
        assert_eq!(pace.interval(Instant::now()).expect("a limit").1, SECOND.saturating_sub(SECOND / 48));
    }

    #[tokio::test(start_paused = true)]
    async fn the_rate_is_never_lower_than_one_request_per_second() {
        let mut pace = Pace::new(50);
        for number in 0..100 {
            pace.limited(["a", "b"][number % 2], Instant::now());
            advance(HALVED_ONCE_WITHIN).await;
        }
        assert!(rate(&pace) >= LOWEST && rate(&pace) < 5.0, "{}", rate(&pace));
        let mut slow = Pace::new(1);
        slow.limited("a", Instant::now());
        slow.limited("b", Instant::now());
        assert_rate(&slow, 1.0);
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_configured_rate_the_measured_one_is_halved() {
        let mut pace = Pace::new(0);
        assert_eq!(pace.interval(Instant::now()), None);
        for _ in 0..300 {
            pace.sent(Instant::now());
            advance(SECOND / 100).await;
        }
        pace.limited("a", Instant::now());
        assert_eq!(pace.interval(Instant::now()), None);
        pace.limited("b", Instant::now());
        assert_rate(&pace, 50.0);
        advance(RECOVERY).await;
        assert_eq!(pace.interval(Instant::now()), None);
    }
}
