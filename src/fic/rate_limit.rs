//! The rate limit that all requests share, on tokio's clock so that tests with paused time can use it.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep};

/// Limits requests to a steady rate, with a burst of one second's worth (the generic cell rate algorithm, GCRA).
pub(super) struct RateLimiter {
    /// The time between two requests at the steady rate; zero if there is no limit.
    interval: Duration,
    /// How far a burst may run ahead of the steady rate.
    tolerance: Duration,
    /// When the next request is due at the steady rate.
    next_due: Mutex<Instant>,
}

impl RateLimiter {
    /// Limits to this many requests per second; 0: no limit.
    pub(super) fn new(requests_per_second: u32) -> Self {
        let interval = Duration::from_secs(1).checked_div(requests_per_second).unwrap_or_default();
        let tolerance = interval.saturating_mul(requests_per_second.saturating_sub(1));
        Self { interval, tolerance, next_due: Mutex::new(Instant::now()) }
    }

    /// Waits until one request may be sent.
    ///
    /// Waiting requests are not queued. In a queue all reconciles would advance one request at a time: an operator that
    /// is restarted again and again under load would start every plan and finish none.
    ///
    /// Cancel safe: a request that is cancelled while it waits does not count.
    pub(super) async fn acquire(&self) {
        while let Some(wait) = self.try_acquire() {
            sleep(wait).await;
        }
    }

    /// Takes the next slot, or returns how long to wait for it.
    fn try_acquire(&self) -> Option<Duration> {
        let mut next_due = self.next_due.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let wait = next_due.saturating_duration_since(now).saturating_sub(self.tolerance);
        if !wait.is_zero() {
            return Some(wait);
        }
        *next_due = now.max(*next_due) + self.interval;
        None
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use tokio::time::{advance, timeout};

    use super::*;

    /// The number of requests that pass without a wait.
    fn burst(limiter: &RateLimiter, most: usize) -> usize {
        (0..most).take_while(|_| limiter.acquire().now_or_never().is_some()).count()
    }

    #[tokio::test(start_paused = true)]
    async fn burst_of_one_second_passes_at_once() {
        for rate in [1, 7, 50] {
            assert_eq!(burst(&RateLimiter::new(rate), 1000), rate as usize, "{rate} per second");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn requests_after_burst_pass_at_steady_rate() {
        let limiter = RateLimiter::new(10);
        assert_eq!(burst(&limiter, 1000), 10);
        for number in 1..=30 {
            let began = Instant::now();
            limiter.acquire().await;
            let waited = began.elapsed();
            assert!(
                waited > Duration::from_millis(98) && waited < Duration::from_millis(102),
                "request {number} waited {waited:?}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn late_timer_does_not_lower_rate() {
        // The interval is shorter than the millisecond that tokio's timer resolves.
        let limiter = RateLimiter::new(4000);
        let began = Instant::now();
        for _ in 0..12_000 {
            limiter.acquire().await;
        }
        let took = began.elapsed();
        assert!(took > Duration::from_millis(1990) && took < Duration::from_millis(2010), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn zero_is_no_limit() {
        let limiter = RateLimiter::new(0);
        let began = Instant::now();
        for _ in 0..100_000 {
            limiter.acquire().await;
        }
        assert_eq!(began.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn idle_time_does_not_accumulate_beyond_burst() {
        let limiter = RateLimiter::new(5);
        assert_eq!(burst(&limiter, 1000), 5);
        advance(Duration::from_millis(400)).await;
        assert_eq!(burst(&limiter, 1000), 2);
        advance(Duration::from_hours(1)).await;
        assert_eq!(burst(&limiter, 1000), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn concurrent_requests_share_the_rate() {
        let limiter = RateLimiter::new(10);
        let began = Instant::now();
        futures::future::join_all((0..40).map(|_| limiter.acquire())).await;
        let took = began.elapsed();
        assert!(took >= Duration::from_secs(3) && took < Duration::from_millis(3100), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn cancelled_request_does_not_count() {
        let limiter = RateLimiter::new(1);
        limiter.acquire().await;
        let began = Instant::now();
        for _ in 0..5 {
            assert!(timeout(Duration::from_millis(100), limiter.acquire()).await.is_err());
        }
        limiter.acquire().await;
        assert!(began.elapsed() < Duration::from_millis(1010), "{:?}", began.elapsed());
    }
}
