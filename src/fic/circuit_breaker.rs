//! The circuit breaker for FIC as a whole: while FIC answers no tenant, one request at a time finds out whether it answers
//! again.
//!
//! It opens when the requests of several tenants failed and none was answered in between. Then a tenant whose own last
//! request failed gets that error again, without a request, except for one tenant at a time: the probe. A tenant whose
//! request was answered last, or that has sent none yet, is never held back. Any answer closes the circuit breaker.
//!
//! While it is open, the wait of a tenant does not grow with its failures: an outage is not the fault of a tenant, and all
//! should go on soon after it.
//!
//! Only reads are held back. A create or delete request follows a read that was answered.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tracing::{info, warn};

use crate::backoff;
use crate::domain::error::FicError;

/// The wait before the first probe. Each further one doubles it.
const FIRST_INTERVAL: Duration = Duration::from_secs(1);
/// The longest wait between two probes.
const LONGEST_INTERVAL: Duration = Duration::from_secs(10);
/// A probe that has not ended by then does not hold up the next one any longer.
const LONGEST_PROBE: Duration = Duration::from_secs(30);
/// The tenants that are held back return one after the other, with this distance on average, so that FIC is not
/// overwhelmed when it answers again.
const DISTANCE: Duration = Duration::from_millis(20);

/// Which tenants FIC does not answer.
pub(super) struct CircuitBreaker {
    /// The number of failing tenants that opens it.
    tenants: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// What the requests of each tenant fail with since FIC answered one.
    failing: HashMap<Box<str>, Box<str>>,
    /// The number of probes since then.
    probes: u32,
    /// No probe is sent before this time.
    next_probe: Option<Instant>,
}

/// How a request was let pass.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Admitted {
    /// As if there were no circuit breaker.
    AsUsual,
    /// To find out whether FIC answers again.
    AsProbe,
}

impl CircuitBreaker {
    /// Opens when the requests of this many tenants failed.
    pub(super) fn new(tenants: usize) -> Self {
        Self { tenants, state: Mutex::default() }
    }

    /// Sends a read for a tenant, unless the circuit breaker holds it back.
    pub(super) async fn read<T>(
        &self,
        tenant: &str,
        request: impl Future<Output = Result<T, FicError>>,
    ) -> Result<T, FicError> {
        let admitted = self.admit(tenant)?;
        let result = request.await;
        let state = self.learn(tenant, admitted, result.as_ref().err());
        match result {
            Err(FicError::Unavailable { message, retry_after: None }) if self.is_open(&state) => {
                // The first message stays: a plan is not written again because FIC fails in another way.
                Err(state.outage(state.failing.get(tenant).cloned().unwrap_or(message)))
            }
            result => result,
        }
    }

    /// Lets a request pass, or returns the last error of its tenant.
    fn admit(&self, tenant: &str) -> Result<Admitted, FicError> {
        let mut state = self.lock();
        let now = Instant::now();
        let Some(message) = state.failing.get(tenant).filter(|_| self.is_open(&state)) else {
            return Ok(Admitted::AsUsual);
        };
        if state.next_probe.is_some_and(|next| next > now) {
            return Err(state.outage(message.clone()));
        }
        state.next_probe = Some(now + LONGEST_PROBE);
        state.probes = state.probes.saturating_add(1);
        Ok(Admitted::AsProbe)
    }

    fn learn(&self, tenant: &str, admitted: Admitted, error: Option<&FicError>) -> MutexGuard<'_, State> {
        let mut state = self.lock();
        let was_open = self.is_open(&state);
        match error {
            Some(FicError::Unavailable { message, .. }) => {
                if !was_open || !state.failing.contains_key(tenant) {
                    state.failing.insert(tenant.into(), message.clone());
                }
                let opens = !was_open && self.is_open(&state);
                if opens {
                    let tenants = self.tenants;
                    warn!(tenants, error = %message, "FIC answers none of several tenants; probing until it answers");
                }
                if opens || admitted == Admitted::AsProbe {
                    state.next_probe = Some(Instant::now() + state.interval());
                }
            }
            // Keystone answered. Whether FIC does is not known. Or nothing was sent.
            Some(FicError::AuthenticationFailed { .. } | FicError::Outage { .. }) => {}
            None
            | Some(
                FicError::RateLimited { .. }
                | FicError::PermissionDenied { .. }
                | FicError::Rejected { .. }
                | FicError::Conflict { .. }
                | FicError::Unexpected { .. },
            ) => {
                if was_open {
                    info!(failing = state.failing.len(), "FIC answers again");
                }
                *state = State::default();
            }
        }
        state
    }

    fn is_open(&self, state: &State) -> bool {
        state.failing.len() >= self.tenants
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The wait after the last probe.
    fn interval(&self) -> Duration {
        backoff::doubled(FIRST_INTERVAL, self.probes, LONGEST_INTERVAL)
    }

    /// The error of a tenant whose last request was not answered.
    fn outage(&self, message: Box<str>) -> FicError {
        let spread = DISTANCE.saturating_mul(u32::try_from(self.failing.len()).unwrap_or(u32::MAX));
        let wait = self.interval() + spread.min(backoff::LONGEST).mul_f64(fastrand::f64());
        FicError::Outage { message, wait }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use futures::FutureExt;
    use tokio::time::advance;

    use super::*;

    fn unavailable() -> Result<(), FicError> {
        Err(FicError::unavailable("HTTP 503"))
    }

    /// Sends a request that FIC would answer like this. Returns whether it was sent.
    fn send(breaker: &CircuitBreaker, tenant: &str, response: Result<(), FicError>) -> bool {
        let mut sent = false;
        let request = async {
            sent = true;
            response
        };
        let result = breaker.read(tenant, request).now_or_never().expect("it does not wait");
        if let Err(FicError::Outage { message, wait }) = &result {
            assert_eq!(&**message, "HTTP 503");
            assert!((FIRST_INTERVAL..=LONGEST_INTERVAL + backoff::LONGEST).contains(wait), "{wait:?}");
        }
        sent
    }

    /// A circuit breaker that has just opened for the tenants 0, 1 and 2.
    fn opened() -> CircuitBreaker {
        let breaker = CircuitBreaker::new(3);
        for tenant in ["0", "1", "2"] {
            for _ in 0..5 {
                send(&breaker, tenant, unavailable());
            }
        }
        breaker
    }

    #[tokio::test(start_paused = true)]
    async fn requests_of_few_tenants_are_not_held_back() {
        let breaker = CircuitBreaker::new(3);
        for number in 0..100 {
            let sent = breaker.read(["0", "1"][number % 2], async { unavailable() }).now_or_never();
            assert_eq!(sent, Some(unavailable()), "each waits with its own backoff");
        }
        assert!(send(&breaker, "2", unavailable()));
        assert!(!send(&breaker, "2", Ok(())));
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_in_between_keeps_it_closed() {
        let breaker = CircuitBreaker::new(3);
        for number in 0..100 {
            assert!(send(&breaker, &(number % 10).to_string(), unavailable()));
            if number % 2 == 1 {
                let answers = [Ok(()), Err(FicError::RateLimited { retry_after: None })];
                assert!(send(&breaker, "works", answers[number / 2 % 2].clone()));
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_tenant_that_works_is_never_held_back() {
        let breaker = opened();
        assert!(send(&breaker, "new", unavailable()), "it has not failed before");
        assert!(!send(&breaker, "new", Ok(())));
        assert!(send(&breaker, "works", Ok(())));
        assert!(send(&breaker, "0", Ok(())), "FIC answers again");
    }

    #[tokio::test(start_paused = true)]
    async fn one_probe_at_a_time_is_sent_with_growing_intervals() {
        let breaker = opened();
        let began = Instant::now();
        let mut sent = Vec::new();
        while began.elapsed() < Duration::from_mins(1) {
            for tenant in ["0", "1", "2"] {
                if send(&breaker, tenant, unavailable()) {
                    sent.push(began.elapsed().as_secs());
                }
            }
            advance(Duration::from_millis(100)).await;
        }
        assert_eq!(sent, [1, 3, 7, 15, 25, 35, 45, 55]);
    }

    /// FIC may ask a tenant to wait for longer than the probes.
    #[tokio::test(start_paused = true)]
    async fn retry_after_is_passed_on() {
        let breaker = opened();
        let retry_after = Some(Duration::from_mins(20));
        let error = FicError::Unavailable { message: "HTTP 503".into(), retry_after };
        let result = breaker.read("new", async { Err::<(), _>(error.clone()) }).now_or_never();
        assert_eq!(result, Some(Err(error)));
    }

    #[tokio::test(start_paused = true)]
    async fn another_error_does_not_change_the_message() {
        let breaker = opened();
        for tenant in ["0", "1", "2"] {
            advance(LONGEST_INTERVAL).await;
            assert!(send(&breaker, tenant, Err(FicError::unavailable("no connection"))));
        }
        assert!(!send(&breaker, "0", Ok(())));
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_hangs_is_followed_by_another_one() {
        let breaker = opened();
        advance(FIRST_INTERVAL).await;
        assert!(breaker.read("0", pending::<Result<(), FicError>>()).now_or_never().is_none(), "the probe");
        advance(LONGEST_PROBE.saturating_sub(FIRST_INTERVAL)).await;
        assert!(!send(&breaker, "1", Ok(())));
        advance(FIRST_INTERVAL).await;
        assert!(send(&breaker, "1", Ok(())));
        assert!(send(&breaker, "2", Ok(())));
    }

    /// A tenant with wrong credentials proves nothing about FIC.
    #[tokio::test(start_paused = true)]
    async fn a_refused_sign_in_neither_opens_nor_closes_it() {
        let refused = || Err(FicError::AuthenticationFailed { message: "no".into(), retry_after: None });
        let breaker = CircuitBreaker::new(3);
        for tenant in ["0", "1", "2", "3"] {
            send(&breaker, tenant, refused());
        }
        assert!(send(&breaker, "0", Ok(())));
        let breaker = opened();
        send(&breaker, "3", refused());
        assert!(!send(&breaker, "0", Ok(())));
    }

    #[tokio::test(start_paused = true)]
    async fn many_tenants_return_one_after_the_other() {
        let breaker = CircuitBreaker::new(3);
        for tenant in 0..10_000 {
            send(&breaker, &tenant.to_string(), unavailable());
        }
        let waits = (0..10_000).map(|tenant| match breaker.admit(&tenant.to_string()) {
            Err(FicError::Outage { wait, .. }) => wait.as_secs(),
            _ => panic!("it is held back"),
        });
        let mut each_ten_seconds = [0; 21];
        for wait in waits {
            each_ten_seconds[usize::try_from(wait / 10).expect("a small number")] += 1;
        }
        assert!(each_ten_seconds.iter().all(|number| *number < 700), "{each_ten_seconds:?}");
        assert!(send(&breaker, "answered", Ok(())));
        assert_eq!(breaker.lock().failing.capacity(), 0, "the memory is freed");
    }
}
