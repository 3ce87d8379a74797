//! The rate limit that all requests share, on tokio's clock so that tests with paused time can use it.
//!
//! The namespaces whose requests wait take turns, so a namespace with many plans does not delay a plan of another one. Within
//! a namespace, the request with the lowest ticket goes first.
//!
//! [`super::pace`] has the rate.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tracing::info;

use crate::fic::pace::Pace;

/// How long a request that is due leaves the slot to a namespace whose turn it is. Timers are late by a millisecond. A
/// request that waits and is not polled must not stop all others.
const PATIENCE: Duration = Duration::from_millis(5);
/// How often a request that leaves the slot to another one tries again.
const RETRY: Duration = Duration::from_millis(1);

/// Limits requests to a steady rate, with a burst of one second's worth (the generic cell rate algorithm, GCRA).
pub(super) struct RateLimiter {
    state: Mutex<State>,
}

struct State {
    pace: Pace,
    /// When the next request is due at the steady rate.
    next_due: Instant,
    /// How many requests have been sent.
    sent: u64,
    /// How many requests have begun to wait.
    begun: u64,
    /// The namespaces whose requests wait.
    waiting: HashMap<Box<str>, Waiting>,
}

/// The requests of one namespace.
struct Waiting {
    /// The number of the ticket of each, and its own number.
    order: BTreeSet<(u64, u64)>,
    /// The number of the request that was sent last, or the number of all requests before the first one waited.
    last: u64,
}

/// A request that waits. It does not count any more when it is dropped.
struct Place<'a> {
    limiter: &'a RateLimiter,
    namespace: &'a str,
    number: (u64, u64),
}

impl RateLimiter {
    /// Limits to this many requests per second; 0: no limit.
    pub(super) fn new(requests_per_second: u32) -> Self {
        let pace = Pace::new(requests_per_second);
        let state = State { pace, next_due: Instant::now(), sent: 0, begun: 0, waiting: HashMap::new() };
        Self { state: Mutex::new(state) }
    }

    /// Waits until one request of this namespace may be sent, by a plan with this ticket.
    ///
    /// Cancel safe: a request that is cancelled while it waits does not count.
    pub(super) async fn acquire(&self, namespace: &str, ticket: u64) {
        let place = Place::new(self, namespace, ticket);
        while let Some(wait) = place.try_acquire() {
            sleep(wait).await;
        }
    }

    /// FIC answered 429 to a request of this tenant.
    pub(super) fn slow_down(&self, tenant: &str) {
        if let Some(rate) = self.lock().pace.limited(tenant, Instant::now()) {
            info!(
                requests_per_second = rate,
                "FIC limits the rate of several tenants, sending fewer requests for a while"
            );
        }
    }

    /// How many requests per second are sent at most. `None`: no limit.
    pub(super) fn rate(&self) -> Option<f64> {
        let (interval, _) = self.lock().pace.interval(Instant::now())?;
        Some(interval.as_secs_f64().recip())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<'a> Place<'a> {
    fn new(limiter: &'a RateLimiter, namespace: &'a str, ticket: u64) -> Self {
        let mut state = limiter.lock();
        state.begun += 1;
        let (last, number) = (state.sent, (ticket, state.begun));
        let waiting = state.waiting.entry(namespace.into()).or_insert(Waiting { order: BTreeSet::new(), last });
        waiting.order.insert(number);
        drop(state);
        Self { limiter, namespace, number }
    }

    /// Takes the next slot, or returns how long to wait for it.
    fn try_acquire(&self) -> Option<Duration> {
        let mut state = self.limiter.lock();
        let now = Instant::now();
        let Some((interval, tolerance)) = state.pace.interval(now) else {
            state.pace.sent(now);
            return None;
        };
        let due = state.next_due.checked_sub(tolerance).unwrap_or(now);
        if due > now {
            return Some(due - now);
        }
        let precedes = |waiting: &Waiting| {
            waiting.order.first() == Some(&self.number)
                && state.waiting.values().all(|other| waiting.last <= other.last)
        };
        if now - due < PATIENCE && !state.waiting.get(self.namespace).is_some_and(precedes) {
            return Some(RETRY);
        }
        state.next_due = now.max(state.next_due) + interval;
        state.pace.sent(now);
        state.sent += 1;
        let sent = state.sent;
        if let Some(waiting) = state.waiting.get_mut(self.namespace) {
            waiting.last = sent;
        }
        None
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut state = self.limiter.lock();
        if let Some(waiting) = state.waiting.get_mut(self.namespace) {
            waiting.order.remove(&self.number);
            if waiting.order.is_empty() {
                state.waiting.remove(self.namespace);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

    use futures::FutureExt;
    use tokio::time::{advance, timeout};

    use super::*;

    /// The number of requests that pass without a wait.
    fn burst(limiter: &RateLimiter, most: usize) -> usize {
        (0..most).take_while(|_| limiter.acquire("team", 1).now_or_never().is_some()).count()
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
            limiter.acquire("team", 1).await;
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
            limiter.acquire("team", 1).await;
        }
        let took = began.elapsed();
        assert!(took > Duration::from_millis(1990) && took < Duration::from_millis(2010), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn zero_is_no_limit() {
        let limiter = RateLimiter::new(0);
        let began = Instant::now();
        for _ in 0..100_000 {
            limiter.acquire("team", 1).await;
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
        futures::future::join_all((0..40).map(|_| limiter.acquire("team", 1))).await;
        let took = began.elapsed();
        assert!(took >= Duration::from_secs(3) && took < Duration::from_millis(3100), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn cancelled_request_does_not_count() {
        let limiter = RateLimiter::new(1);
        limiter.acquire("team", 1).await;
        let began = Instant::now();
        for _ in 0..5 {
            assert!(timeout(Duration::from_millis(100), limiter.acquire("team", 1)).await.is_err());
        }
        limiter.acquire("team", 1).await;
        assert!(began.elapsed() < Duration::from_millis(1010), "{:?}", began.elapsed());
    }

    /// Sends requests one after the other, each with a new ticket, and counts them.
    async fn send_on(limiter: &RateLimiter, namespace: &str, count: &AtomicUsize) {
        static TICKETS: AtomicU64 = AtomicU64::new(1);
        loop {
            limiter.acquire(namespace, TICKETS.fetch_add(1, Ordering::Relaxed)).await;
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many requests of one namespace and of another one are sent within ten seconds at ten requests per second, after
    /// the burst. `senders`: how many of each send without a pause.
    async fn shares(senders: [usize; 2]) -> [usize; 2] {
        let limiter = RateLimiter::new(10);
        assert_eq!(burst(&limiter, 1000), 10);
        let counts = [AtomicUsize::new(0), AtomicUsize::new(0)];
        let of = |number: usize| {
            let (limiter, name, count) = (&limiter, ["many", "few"][number], &counts[number]);
            (0..senders[number]).map(move |_| send_on(limiter, name, count))
        };
        let all = futures::future::join_all(of(0).chain(of(1)));
        assert!(timeout(Duration::from_secs(10), all).await.is_err());
        counts.map(AtomicUsize::into_inner)
    }

    #[tokio::test(start_paused = true)]
    async fn namespaces_that_wait_take_turns_however_many_requests_they_have() {
        for senders in [[1, 1], [63, 1], [500, 1], [500, 20]] {
            let [many, few] = shares(senders).await;
            assert!(many.abs_diff(few) <= 2 && many + few >= 98, "{senders:?}: {many} and {few}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_rate_is_not_reserved_for_a_namespace_that_sends_nothing() {
        let [many, few] = shares([500, 0]).await;
        assert!((98..=101).contains(&many) && few == 0, "{many}");
    }

    /// Each namespace with requests that wait goes first once.
    #[tokio::test(start_paused = true)]
    async fn a_request_waits_for_one_request_of_each_other_namespace() {
        let limiter = RateLimiter::new(10);
        assert_eq!(burst(&limiter, 1000), 10);
        let names = (0..5).map(|number| format!("many-{number}")).collect::<Vec<_>>();
        let count = AtomicUsize::new(0);
        let many = names.iter().flat_map(|name| (0..40).map(|_| send_on(&limiter, name, &count)));
        let single = async {
            for _ in 0..10 {
                // Not in step with the others.
                sleep(Duration::from_millis(1234)).await;
                let began = Instant::now();
                limiter.acquire("few", 1).await;
                let waited = began.elapsed();
                assert!(waited <= Duration::from_millis(620), "it waited {waited:?}");
            }
        };
        tokio::select! {
            _ = futures::future::join_all(many) => {}
            () = single => {}
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_is_not_polled_stops_no_other() {
        let limiter = RateLimiter::new(10);
        assert_eq!(burst(&limiter, 1000), 10);
        let mut stuck = std::pin::pin!(limiter.acquire("stuck", 1));
        assert!(stuck.as_mut().now_or_never().is_none());
        limiter.acquire("team", 1).await;
        let began = Instant::now();
        for _ in 0..10 {
            limiter.acquire("team", 1).await;
        }
        assert!(began.elapsed() < Duration::from_millis(1100), "{:?}", began.elapsed());
        stuck.await;
        assert!(limiter.lock().waiting.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn the_requests_with_the_lowest_ticket_go_first() {
        let limiter = RateLimiter::new(50);
        assert_eq!(burst(&limiter, 1000), 50);
        let finished = Mutex::new(Vec::new());
        let reconcile = |number| {
            let (limiter, finished) = (&limiter, &finished);
            async move {
                for _ in 0..4 {
                    limiter.acquire("team", number).await;
                }
                finished.lock().expect("no panic").push(number);
            }
        };
        let all = futures::future::join_all((0..50).rev().map(reconcile));
        assert!(timeout(Duration::from_millis(2010), all).await.is_err(), "half of the requests");
        assert_eq!(finished.into_inner().expect("no panic"), (0..25).collect::<Vec<_>>());
    }

    #[tokio::test(start_paused = true)]
    async fn a_tenant_that_sends_much_does_not_starve_another_one_of_its_namespace() {
        for senders in [1, 20] {
            let limiter = RateLimiter::new(10);
            assert_eq!(burst(&limiter, 1000), 10);
            let (much, little) = (AtomicUsize::new(0), AtomicUsize::new(0));
            let of_much = (0..senders).map(|_| send_on(&limiter, "team", &much));
            let all = futures::future::join(futures::future::join_all(of_much), send_on(&limiter, "team", &little));
            assert!(timeout(Duration::from_mins(1), all).await.is_err());
            let (much, little) = (much.into_inner(), little.into_inner());
            assert!(
                much.abs_diff(little * senders) <= senders && much + little >= 598,
                "{senders}: {much} and {little}"
            );
        }
    }
}
