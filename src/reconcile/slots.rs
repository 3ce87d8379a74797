//! How many reconciles run at the same time, so that tenants whose requests to FIC hang do not hold up the others.
//!
//! A reconcile takes a slot. While a request to FIC takes longer than usual, the reconcile gives its slot to another one
//! and takes a place for waiting instead. The next reconcile of that plan starts with such a place and takes no slot, until
//! FIC answers it in time again. There are more places than slots, and still a limited number of both: a place costs
//! memory and a connection.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;

/// A request to FIC that takes longer than this is waited for without a slot.
const PATIENCE: Duration = Duration::from_secs(1);
/// The number of places for each slot.
const PLACES_PER_SLOT: u16 = 4;

/// The slots and the places.
pub struct Slots {
    concurrency: u16,
    reconciles: Arc<Semaphore>,
    places: Arc<Semaphore>,
    /// The plans whose last request to FIC took longer than usual, by UID.
    slow: Mutex<HashSet<Box<str>>>,
}

impl Slots {
    /// This many slots.
    #[must_use]
    pub fn new(concurrency: u16) -> Self {
        Self {
            concurrency,
            reconciles: Arc::new(Semaphore::new(concurrency.into())),
            places: Arc::new(Semaphore::new(usize::from(concurrency) * usize::from(PLACES_PER_SLOT))),
            slow: Mutex::default(),
        }
    }

    /// The number of slots and places.
    #[must_use]
    pub fn total(&self) -> u16 {
        self.concurrency.saturating_mul(PLACES_PER_SLOT + 1)
    }

    /// Waits for a slot. `None`: the last request of this plan took longer than usual, and no place is free.
    pub(super) async fn take(&self, plan: &str) -> Option<Slot<'_>> {
        let permit = if self.slow().contains(plan) {
            Arc::clone(&self.places).try_acquire_owned().ok()?
        } else {
            acquire(&self.reconciles).await?
        };
        Some(Slot { slots: self, plan: plan.into(), permit: Some(permit) })
    }

    /// A plan was deleted.
    pub(super) fn forget(&self, plan: &str) {
        self.slow().remove(plan);
    }

    fn slow(&self) -> MutexGuard<'_, HashSet<Box<str>>> {
        self.slow.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The semaphores are never closed.
async fn acquire(semaphore: &Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
    Arc::clone(semaphore).acquire_owned().await.ok()
}

/// The slot, or the place, of a reconcile.
pub(super) struct Slot<'a> {
    slots: &'a Slots,
    plan: Box<str>,
    permit: Option<OwnedSemaphorePermit>,
}

impl Slot<'_> {
    /// Waits for a request to FIC. If it takes longer than usual, another reconcile gets the slot meanwhile.
    pub(super) async fn wait_for<T>(&mut self, request: impl Future<Output = T>) -> T {
        tokio::pin!(request);
        tokio::select! {
            biased;
            result = &mut request => {
                self.slots.forget(&self.plan);
                return result;
            }
            () = sleep(PATIENCE) => {}
        }
        self.slots.slow().insert(self.plan.clone());
        let Ok(place) = Arc::clone(&self.slots.places).try_acquire_owned() else { return request.await };
        self.permit = None;
        let result = request.await;
        drop(place);
        self.permit = acquire(&self.slots.reconciles).await;
        result
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use futures::FutureExt;
    use tokio::time::{Instant, timeout};

    use super::*;

    const SHORT: Duration = Duration::from_millis(10);

    #[tokio::test(start_paused = true)]
    async fn slots_are_limited_and_passed_on() {
        let slots = Slots::new(2);
        assert_eq!(slots.total(), 10);
        let (first, _second) = (slots.take("a").await, slots.take("b").await);
        assert!(timeout(SHORT, slots.take("c")).await.is_err());
        drop(first);
        assert!(timeout(SHORT, slots.take("c")).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_hangs_keeps_no_slot() {
        let slots = Slots::new(1);
        let mut hanging = slots.take("a").await.expect("a slot");
        let mut request = Box::pin(hanging.wait_for(pending::<()>()));
        assert!(timeout(PATIENCE / 2, &mut request).await.is_err());
        assert!(slots.take("b").now_or_never().is_none(), "not yet");
        assert!(timeout(PATIENCE, &mut request).await.is_err());
        assert!(slots.take("b").now_or_never().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_was_slow_continues_with_a_slot() {
        let slots = Slots::new(1);
        let mut slow = slots.take("a").await.expect("a slot");
        let request = slow.wait_for(async {
            sleep(PATIENCE * 2).await;
            7
        });
        let another = async {
            sleep(PATIENCE + SHORT).await;
            let _slot = slots.take("b").await;
            sleep(PATIENCE * 2).await;
        };
        let started = Instant::now();
        let (result, ()) = tokio::join!(request, another);
        assert_eq!((result, started.elapsed()), (7, PATIENCE * 3 + SHORT), "it has waited for the other one");
        assert!(slots.take("c").now_or_never().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn plans_whose_requests_hang_compete_for_places_only() {
        let slots = Slots::new(1);
        let mut hanging = Vec::new();
        for plan in ["a", "b", "c", "d"] {
            let mut slot = slots.take(plan).await.expect("a slot");
            assert!(timeout(PATIENCE * 2, slot.wait_for(pending::<()>())).await.is_err());
            drop(slot);
            hanging.push(slots.take(plan).await.expect("a place"));
        }
        let mut fifth = slots.take("e").await.expect("the slot is free");
        assert!(timeout(PATIENCE * 2, fifth.wait_for(pending::<()>())).await.is_err());
        drop(fifth);
        assert!(slots.take("e").await.is_none(), "every place is taken");
        assert!(slots.take("good").now_or_never().flatten().is_some());
        hanging.pop();
        let mut fifth = slots.take("e").await.expect("a place");
        fifth.wait_for(async {}).await;
        drop(fifth);
        assert!(slots.take("e").now_or_never().flatten().is_some(), "it answers again, so it takes a slot");
    }

    #[tokio::test(start_paused = true)]
    async fn a_deleted_plan_is_forgotten() {
        let slots = Slots::new(1);
        let mut slot = slots.take("a").await.expect("a slot");
        assert!(timeout(PATIENCE * 2, slot.wait_for(pending::<()>())).await.is_err());
        drop(slot);
        assert_eq!(slots.slow().len(), 1);
        slots.forget("a");
        assert!(slots.slow().is_empty());
    }
}
