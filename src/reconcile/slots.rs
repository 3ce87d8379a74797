//! How many reconciles run at the same time, so that tenants whose requests to FIC hang do not hold up the others.
//!
//! A reconcile takes a slot. While a request to FIC takes longer than usual, the reconcile gives its slot to another one
//! and takes a place for waiting instead. The next reconcile of that plan starts with such a place and takes no slot, until
//! FIC answers it in time again. There are more places than slots, and still a limited number of both: a place costs
//! memory and a connection.
//!
//! A namespace has at most half of the slots, so that what its objects cost in memory stays bounded.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;

/// A request to FIC that takes longer than this is waited for without a slot.
const PATIENCE: Duration = Duration::from_secs(1);
/// The number of places for each slot.
const PLACES_PER_SLOT: u16 = 4;
/// Up to this number no namespace is forgotten.
const FEW_NAMESPACES: usize = 64;

/// The slots and the places.
pub struct Slots {
    concurrency: u16,
    reconciles: Arc<Semaphore>,
    places: Arc<Semaphore>,
    /// Half of the slots for each namespace whose reconciles have or wait for one.
    namespaces: Mutex<HashMap<Box<str>, Arc<Semaphore>>>,
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
            namespaces: Mutex::default(),
            slow: Mutex::default(),
        }
    }

    /// The number of slots and places.
    #[must_use]
    pub fn total(&self) -> u16 {
        self.concurrency.saturating_mul(PLACES_PER_SLOT + 1)
    }

    /// Waits for a slot. `None`: the last request of this plan took longer than usual, and no place is free.
    pub(super) async fn take(&self, namespace: &str, plan: &str) -> Option<Slot<'_>> {
        let permits = if self.slow().contains(plan) {
            vec![Arc::clone(&self.places).try_acquire_owned().ok()?]
        } else {
            self.acquire(namespace).await
        };
        Some(Slot { slots: self, namespace: namespace.into(), plan: plan.into(), permits })
    }

    /// Waits for a slot of this namespace.
    async fn acquire(&self, namespace: &str) -> Vec<OwnedSemaphorePermit> {
        let of_namespace = self.namespace(namespace);
        // The semaphores are never closed.
        let share = of_namespace.acquire_owned().await.ok();
        let slot = Arc::clone(&self.reconciles).acquire_owned().await.ok();
        share.into_iter().chain(slot).collect()
    }

    fn namespace(&self, name: &str) -> Arc<Semaphore> {
        let mut namespaces = self.namespaces.lock().unwrap_or_else(PoisonError::into_inner);
        if namespaces.len() >= FEW_NAMESPACES && !namespaces.contains_key(name) {
            namespaces.retain(|_, semaphore| Arc::strong_count(semaphore) > 1);
        }
        let share = || Arc::new(Semaphore::new(self.concurrency.div_ceil(2).into()));
        Arc::clone(namespaces.entry(name.into()).or_insert_with(share))
    }

    /// A plan was deleted.
    pub(super) fn forget(&self, plan: &str) {
        self.slow().remove(plan);
    }

    fn slow(&self) -> MutexGuard<'_, HashSet<Box<str>>> {
        self.slow.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The slot, or the place, of a reconcile.
pub(super) struct Slot<'a> {
    slots: &'a Slots,
    namespace: Box<str>,
    plan: Box<str>,
    permits: Vec<OwnedSemaphorePermit>,
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
        self.permits.clear();
        let result = request.await;
        drop(place);
        self.permits = self.slots.acquire(&self.namespace).await;
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
        let (first, _second) = (slots.take("a", "a").await, slots.take("b", "b").await);
        assert!(timeout(SHORT, slots.take("c", "c")).await.is_err());
        drop(first);
        assert!(timeout(SHORT, slots.take("c", "c")).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_hangs_keeps_no_slot() {
        let slots = Slots::new(1);
        let mut hanging = slots.take("a", "a").await.expect("a slot");
        let mut request = Box::pin(hanging.wait_for(pending::<()>()));
        assert!(timeout(PATIENCE / 2, &mut request).await.is_err());
        assert!(slots.take("b", "b").now_or_never().is_none(), "not yet");
        assert!(timeout(PATIENCE, &mut request).await.is_err());
        assert!(slots.take("b", "b").now_or_never().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_was_slow_continues_with_a_slot() {
        let slots = Slots::new(1);
        let mut slow = slots.take("a", "a").await.expect("a slot");
        let request = slow.wait_for(async {
            sleep(PATIENCE * 2).await;
            7
        });
        let another = async {
            sleep(PATIENCE + SHORT).await;
            let _slot = slots.take("b", "b").await;
            sleep(PATIENCE * 2).await;
        };
        let started = Instant::now();
        let (result, ()) = tokio::join!(request, another);
        assert_eq!((result, started.elapsed()), (7, PATIENCE * 3 + SHORT), "it has waited for the other one");
        assert!(slots.take("c", "c").now_or_never().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn plans_whose_requests_hang_compete_for_places_only() {
        let slots = Slots::new(1);
        let mut hanging = Vec::new();
        for plan in ["a", "b", "c", "d"] {
            let mut slot = slots.take(plan, plan).await.expect("a slot");
            assert!(timeout(PATIENCE * 2, slot.wait_for(pending::<()>())).await.is_err());
            drop(slot);
            hanging.push(slots.take(plan, plan).await.expect("a place"));
        }
        let mut fifth = slots.take("e", "e").await.expect("the slot is free");
        assert!(timeout(PATIENCE * 2, fifth.wait_for(pending::<()>())).await.is_err());
        drop(fifth);
        assert!(slots.take("e", "e").await.is_none(), "every place is taken");
        assert!(slots.take("good", "good").now_or_never().flatten().is_some());
        hanging.pop();
        let mut fifth = slots.take("e", "e").await.expect("a place");
        fifth.wait_for(async {}).await;
        drop(fifth);
        assert!(slots.take("e", "e").now_or_never().flatten().is_some(), "it answers again, so it takes a slot");
    }

    #[tokio::test(start_paused = true)]
    async fn a_namespace_has_half_of_the_slots() {
        for (concurrency, share) in [(1, 1), (2, 1), (3, 2), (64, 32)] {
            let slots = Slots::new(concurrency);
            let mut taken = Vec::new();
            while let Some(slot) = slots.take("full", "a").now_or_never().flatten() {
                taken.push(slot);
            }
            assert_eq!(taken.len(), share, "{concurrency}");
            assert_eq!(slots.take("other", "b").now_or_never().is_some(), concurrency > 1);
            taken.pop();
            assert!(slots.take("full", "a").now_or_never().is_some(), "it is passed on");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn namespaces_without_reconciles_are_forgotten() {
        let slots = Slots::new(2);
        let _kept = slots.take("kept", "a").await;
        for number in 0..FEW_NAMESPACES * 3 {
            drop(slots.take(&number.to_string(), "a").await);
        }
        let namespaces = slots.namespaces.lock().expect("not poisoned");
        assert!(namespaces.len() <= FEW_NAMESPACES && namespaces.contains_key("kept"), "{}", namespaces.len());
    }

    #[tokio::test(start_paused = true)]
    async fn a_deleted_plan_is_forgotten() {
        let slots = Slots::new(1);
        let mut slot = slots.take("a", "a").await.expect("a slot");
        assert!(timeout(PATIENCE * 2, slot.wait_for(pending::<()>())).await.is_err());
        drop(slot);
        assert_eq!(slots.slow().len(), 1);
        slots.forget("a");
        assert!(slots.slow().is_empty());
    }
}
