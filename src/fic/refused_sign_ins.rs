//! Limits sign-ins with credentials that Keystone refuses: too many of them may lock the account.
//!
//! The limit is for a pair of credentials, whichever plans use it. Until a pair has worked, its sign-ins start one after
//! the other, and the calls that wait share a refusal. They share no other error, and one that hangs does not hold up the
//! next for long: both may concern one tenant only. After a refusal the pair waits, longer with each one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use crate::backoff;
use crate::domain::error::FicError;
use crate::fic::keystone::Token;

/// How long a sign-in waits for the one before it, with a pair that has not worked yet.
const LONGEST_TURN: Duration = Duration::from_millis(500);
/// The wait after the first refusal. Each further one doubles it.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// The longest wait.
const LONGEST_WAIT: Duration = Duration::from_mins(5);
/// Up to this number no pair is forgotten.
const FEW_PAIRS: usize = 64;

/// The pairs of credentials that were used, by fingerprint.
#[derive(Default)]
pub(super) struct RefusedSignIns(Mutex<HashMap<u64, Arc<Pair>>>);

/// A pair of credentials.
#[derive(Default)]
struct Pair {
    history: Mutex<History>,
    /// A sign-in has ended.
    ended: Notify,
}

/// What is known of a pair.
#[derive(Default)]
struct History {
    /// When the turn of the last sign-in ends at the latest.
    turn_until: Option<Instant>,
    /// Keystone accepted the last sign-in that it answered.
    works: bool,
    /// How many sign-ins in a row were refused.
    refusals: u32,
    /// The message of the last refusal. Until this time no other sign-in is sent.
    wait: Option<(Box<str>, Instant)>,
}

impl RefusedSignIns {
    /// Signs in, unless Keystone has refused this pair a short time ago.
    pub(super) async fn sign_in<F>(&self, fingerprint: u64, sign_in: impl FnOnce() -> F) -> Result<Token, FicError>
    where
        F: Future<Output = Result<Token, FicError>>,
    {
        let pair = self.pair(fingerprint);
        pair.wait_for_turn().await?;
        let result = sign_in().await;
        pair.history().learn(&result);
        pair.ended.notify_waiters();
        result
    }

    fn pair(&self, fingerprint: u64) -> Arc<Pair> {
        let mut pairs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if pairs.len() >= FEW_PAIRS && !pairs.contains_key(&fingerprint) {
            pairs.retain(|_, pair| Arc::strong_count(pair) > 1 || pair.history().is_worth_keeping());
        }
        Arc::clone(pairs.entry(fingerprint).or_default())
    }
}

impl Pair {
    /// Waits until a sign-in may start. Returns the last refusal, if the pair must wait longer.
    async fn wait_for_turn(&self) -> Result<(), FicError> {
        loop {
            let ended = self.ended.notified();
            let turn_until = {
                let mut history = self.history();
                if let Some(error) = history.refusal() {
                    return Err(error);
                }
                let now = Instant::now();
                let Some(until) = history.turn_until.filter(|until| *until > now && !history.works) else {
                    history.turn_until = Some(now + LONGEST_TURN);
                    return Ok(());
                };
                until
            };
            // Whichever comes first. A sign-in that was cancelled notifies nobody.
            let _ = timeout_at(turn_until, ended).await;
        }
    }

    fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl History {
    /// The error to return without a sign-in while the pair must wait.
    fn refusal(&self) -> Option<FicError> {
        let (message, until) = self.wait.as_ref()?;
        let wait = until.saturating_duration_since(Instant::now());
        let error = || FicError::AuthenticationFailed { message: message.clone(), retry_after: Some(wait) };
        (!wait.is_zero()).then(error)
    }

    fn learn(&mut self, result: &Result<Token, FicError>) {
        self.turn_until = None;
        match result {
            Ok(_) => *self = Self { works: true, ..Self::default() },
            // Several sign-ins at once with a pair that worked until now count as one.
            Err(FicError::AuthenticationFailed { message, .. }) if self.refusal().is_none() => {
                let wait = backoff::doubled(FIRST_WAIT, self.refusals, LONGEST_WAIT);
                self.works = false;
                self.wait = Some((message.clone(), Instant::now() + wait));
                self.refusals = self.refusals.saturating_add(1);
            }
            Err(_) => {}
        }
    }

    /// A refusal is remembered for as long again as its wait.
    fn is_worth_keeping(&self) -> bool {
        let longest = LONGEST_WAIT.saturating_mul(2);
        self.wait.as_ref().is_some_and(|(_, until)| *until + longest > Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::future::join_all;
    use tokio::time::{advance, sleep};

    use super::*;

    fn refused() -> FicError {
        FicError::AuthenticationFailed { message: "no".into(), retry_after: None }
    }

    fn token() -> Token {
        Token { value: "token".into(), renew_at: Instant::now() }
    }

    /// Signs in with a pair; Keystone takes a moment.
    async fn attempt(
        sign_ins: &RefusedSignIns,
        pair: u64,
        sent: &AtomicUsize,
        error: Option<FicError>,
    ) -> Result<Token, FicError> {
        let sign_in = || async {
            sent.fetch_add(1, Ordering::Relaxed);
            sleep(Duration::from_millis(10)).await;
            error.map_or_else(|| Ok(token()), Err)
        };
        sign_ins.sign_in(pair, sign_in).await
    }

    #[tokio::test(start_paused = true)]
    async fn many_plans_with_one_wrong_pair_are_refused_six_times_in_the_first_minute() {
        let (sign_ins, sent) = (RefusedSignIns::default(), AtomicUsize::new(0));
        let began = Instant::now();
        while began.elapsed() < Duration::from_mins(1) {
            let plans = (0..20).map(|_| attempt(&sign_ins, 1, &sent, Some(refused())));
            for result in join_all(plans).await {
                assert!(matches!(result, Err(FicError::AuthenticationFailed { .. })));
            }
            sleep(Duration::from_millis(90)).await;
        }
        assert_eq!(sent.load(Ordering::Relaxed), 6);
        attempt(&sign_ins, 2, &sent, None).await.expect("another pair is not affected");
    }

    #[tokio::test(start_paused = true)]
    async fn the_wait_is_told_and_ends_with_a_success() {
        let (sign_ins, sent) = (RefusedSignIns::default(), AtomicUsize::new(0));
        let _ = attempt(&sign_ins, 1, &sent, Some(refused())).await;
        let waits = FicError::AuthenticationFailed { message: "no".into(), retry_after: Some(Duration::from_secs(1)) };
        assert_eq!(attempt(&sign_ins, 1, &sent, None).await.err(), Some(waits));
        advance(Duration::from_secs(1)).await;
        attempt(&sign_ins, 1, &sent, None).await.expect("the wait is over");
        let _ = attempt(&sign_ins, 1, &sent, Some(refused())).await;
        advance(Duration::from_secs(1)).await;
        attempt(&sign_ins, 1, &sent, None).await.expect("the first wait again");
        assert_eq!(sent.load(Ordering::Relaxed), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn a_pair_that_works_signs_in_for_many_tenants_at_once() {
        let (sign_ins, sent) = (RefusedSignIns::default(), AtomicUsize::new(0));
        attempt(&sign_ins, 1, &sent, None).await.expect("it works");
        let began = Instant::now();
        let plans = (0..20).map(|_| attempt(&sign_ins, 1, &sent, None));
        assert!(join_all(plans).await.iter().all(Result::is_ok));
        assert!(began.elapsed() < Duration::from_millis(20));
        // The secret is replaced. What was in progress counts as one refusal.
        let plans = (0..20).map(|_| attempt(&sign_ins, 1, &sent, Some(refused())));
        join_all(plans).await;
        advance(Duration::from_secs(1)).await;
        attempt(&sign_ins, 1, &sent, None).await.expect("the wait was the first one");
    }

    #[tokio::test(start_paused = true)]
    async fn a_sign_in_that_hangs_holds_up_the_next_for_half_a_second() {
        let (sign_ins, sent) = (RefusedSignIns::default(), AtomicUsize::new(0));
        let hanging = sign_ins.sign_in(1, std::future::pending);
        let next = async {
            let began = Instant::now();
            attempt(&sign_ins, 1, &sent, None).await.expect("it is another tenant");
            began.elapsed()
        };
        tokio::select! {
            biased;
            _ = hanging => panic!("it never ends"),
            took = next => assert!(took > LONGEST_TURN && took < LONGEST_TURN * 2, "{took:?}"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn another_error_is_not_shared() {
        let (sign_ins, sent) = (RefusedSignIns::default(), AtomicUsize::new(0));
        let plans = (0..20).map(|_| attempt(&sign_ins, 1, &sent, Some(FicError::unavailable("HTTP 503"))));
        assert!(join_all(plans).await.iter().all(Result::is_err));
        assert_eq!(sent.load(Ordering::Relaxed), 20, "it may concern one tenant only");
    }

    #[tokio::test(start_paused = true)]
    async fn pairs_are_forgotten_once_there_are_many() {
        let (sign_ins, sent) = (RefusedSignIns::default(), AtomicUsize::new(0));
        for pair in 0..200 {
            let _ = attempt(&sign_ins, pair, &sent, None).await;
        }
        let known = || sign_ins.0.lock().expect("not poisoned").len();
        assert!(known() <= FEW_PAIRS, "{}", known());
        for pair in 1000..1100 {
            let _ = attempt(&sign_ins, pair, &sent, Some(refused())).await;
        }
        assert!(known() >= 100, "a refusal is remembered");
        advance(LONGEST_WAIT * 3).await;
        let _ = attempt(&sign_ins, 1, &sent, None).await;
        assert_eq!(known(), 1);
    }
}
