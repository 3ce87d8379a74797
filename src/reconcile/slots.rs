//! How many reconciles begin or wait for FIC at the same time, so that tenants whose requests to FIC hang do not hold up
//! the others.
//!
//! A reconcile begins with a slot, and has one during each request to FIC. During a request to the API server it lends it
//! to another one, so FIC does not wait for the API server. Only so many are lent, since each more reconcile costs memory.
//!
//! While a request to FIC takes longer than usual, the reconcile gives its slot to another one and takes a place for waiting
//! instead. The next reconcile of that plan starts with such a place and takes no slot, until FIC answers it in time again.
//! There are more places than slots, and still a limited number of both: a place costs memory and a connection.
//!
//! [`Queue`] decides who gets the next free slot.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;

use crate::reconcile::queue::{Permit, Queue};
use crate::reconcile::ticket::Ticket;

/// A request to FIC that takes longer than this is waited for without a slot.
const PATIENCE: Duration = Duration::from_secs(1);
/// The number of places for each slot.
const PLACES_PER_SLOT: u16 = 4;

/// The slots and the places.
pub struct Slots {
    concurrency: u16,
    queue: Queue,
    places: Arc<Semaphore>,
    /// How many more slots may be lent.
    loans: Arc<Semaphore>,
    /// The plans whose last request to FIC took longer than usual, by UID.
    slow: Mutex<HashSet<Box<str>>>,
}

/// What a reconcile has.
enum Held {
    Slot(Permit),
    Place(#[expect(dead_code, reason = "it is passed on when it is dropped")] OwnedSemaphorePermit),
    Loan(#[expect(dead_code, reason = "it is passed on when it is dropped")] OwnedSemaphorePermit),
    Nothing,
}

impl Slots {
    /// This many slots.
    #[must_use]
    pub fn new(concurrency: u16) -> Self {
        Self {
            concurrency,
            queue: Queue::new(concurrency),
            places: Arc::new(Semaphore::new(usize::from(concurrency) * usize::from(PLACES_PER_SLOT))),
            loans: Arc::new(Semaphore::new(usize::from(concurrency / 2))),
            slow: Mutex::default(),
        }
    }

    /// The number of slots and places.
    #[must_use]
    pub fn total(&self) -> u16 {
        self.concurrency.saturating_mul(PLACES_PER_SLOT + 1)
    }

    /// Waits for a slot. `None`: the last request of this plan took longer than usual, and no place is free.
    pub(super) async fn take(&self, namespace: &str, plan: &str, ticket: Ticket) -> Option<Slot<'_>> {
        let held = if self.slow().contains(plan) {
            Held::Place(Arc::clone(&self.places).try_acquire_owned().ok()?)
        } else {
            self.acquire(namespace, ticket).await
        };
        Some(Slot { slots: self, namespace: namespace.into(), plan: plan.into(), ticket, held })
    }

    /// Waits for a slot.
    async fn acquire(&self, namespace: &str, ticket: Ticket) -> Held {
        self.queue.acquire(namespace, ticket).await.map_or(Held::Nothing, Held::Slot)
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
    ticket: Ticket,
    held: Held,
}

impl Slot<'_> {
    /// Waits for a request to the API server. Another reconcile gets the slot meanwhile, unless too many are lent.
    pub(super) async fn lend<T>(&mut self, request: impl Future<Output = T>) -> T {
        self.held = match std::mem::replace(&mut self.held, Held::Nothing) {
            Held::Slot(permit) => match Arc::clone(&self.slots.loans).try_acquire_owned() {
                Ok(loan) => Held::Loan(loan),
                Err(_) => Held::Slot(permit),
            },
            held @ (Held::Place(_) | Held::Loan(_) | Held::Nothing) => held,
        };
        request.await
    }

    /// Waits for a slot if it has neither that nor a place, then for a request to FIC. If that takes longer than usual,
    /// another reconcile gets the slot meanwhile.
    pub(super) async fn wait_for<T>(&mut self, request: impl Future<Output = T>) -> T {
        match self.held {
            // A loan ends when it has the slot.
            Held::Nothing | Held::Loan(_) => self.held = self.slots.acquire(&self.namespace, self.ticket).await,
            Held::Slot(_) | Held::Place(_) => {}
        }
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
        self.held = Held::Place(place);
        let result = request.await;
        self.held = Held::Nothing;
        result
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use futures::FutureExt;
    use tokio::time::{Instant, timeout};

    use super::*;

    impl Slots {
        /// Waits for a slot for the next plan.
        async fn begin(&self, namespace: &str, plan: &str) -> Option<Slot<'_>> {
            self.take(namespace, plan, Ticket::next()).await
        }
    }

    const SHORT: Duration = Duration::from_millis(10);

    #[tokio::test(start_paused = true)]
    async fn slots_are_limited_and_passed_on() {
        let slots = Slots::new(2);
        assert_eq!(slots.total(), 10);
        let (first, _second) = (slots.begin("a", "a").await, slots.begin("b", "b").await);
        assert!(timeout(SHORT, slots.begin("c", "c")).await.is_err());
        drop(first);
        assert!(timeout(SHORT, slots.begin("c", "c")).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_hangs_keeps_no_slot() {
        let slots = Slots::new(1);
        let mut hanging = slots.begin("a", "a").await.expect("a slot");
        let mut request = Box::pin(hanging.wait_for(pending::<()>()));
        assert!(timeout(Duration::from_millis(900), &mut request).await.is_err());
        assert!(slots.begin("b", "b").now_or_never().is_none(), "not yet");
        assert!(timeout(Duration::from_millis(200), &mut request).await.is_err());
        assert!(slots.begin("b", "b").now_or_never().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_was_slow_is_followed_by_one_with_a_slot() {
        let slots = Slots::new(1);
        let mut slow = slots.begin("a", "a").await.expect("a slot");
        let requests = async {
            slow.wait_for(sleep(PATIENCE * 2)).await;
            slow.wait_for(async {}).await;
        };
        let another = async {
            sleep(PATIENCE + SHORT).await;
            let _slot = slots.begin("b", "b").await;
            sleep(PATIENCE * 2).await;
        };
        let started = Instant::now();
        tokio::join!(requests, another);
        assert_eq!(started.elapsed(), PATIENCE * 3 + SHORT, "it has waited for the other one");
        assert!(slots.begin("c", "c").now_or_never().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_to_the_api_server_has_no_slot_and_the_next_one_to_fic_has() {
        let slots = Slots::new(2);
        let mut first = slots.begin("a", "a").await.expect("a slot");
        let _busy = slots.begin("a", "b").await;
        first
            .lend(async {
                let other = slots.begin("b", "b").now_or_never();
                assert!(other.is_some(), "the slot is free");
            })
            .await;
        let other = slots.begin("b", "b").await.expect("it is free still");
        let mut request = Box::pin(first.wait_for(async {}));
        assert!((&mut request).now_or_never().is_none());
        drop(other);
        assert!((&mut request).now_or_never().is_some());
        drop(request);
        assert!(slots.begin("c", "c").now_or_never().is_none(), "it keeps the slot");
    }

    #[tokio::test(start_paused = true)]
    async fn half_of_the_slots_are_lent() {
        let slots = Slots::new(4);
        let mut held = Vec::new();
        for plan in ["a", "b", "c"] {
            let mut slot = slots.begin("a", plan).await.expect("a slot");
            slot.lend(async {}).await;
            held.push(slot);
        }
        assert_eq!(slots.queue.free(), 3, "the third one keeps its slot");
        held.remove(0);
        assert_eq!(slots.loans.available_permits(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_place_is_not_lent() {
        let slots = Slots::new(1);
        slots.slow().insert("slow".into());
        let mut slow = slots.begin("a", "slow").await.expect("a place");
        slow.lend(async {}).await;
        assert_eq!(slots.places.available_permits(), usize::from(PLACES_PER_SLOT) - 1);
    }

    #[tokio::test(start_paused = true)]
    async fn plans_whose_requests_hang_compete_for_places_only() {
        let slots = Slots::new(1);
        let mut hanging = Vec::new();
        for plan in ["a", "b", "c", "d"] {
            let mut slot = slots.begin(plan, plan).await.expect("a slot");
            assert!(timeout(PATIENCE * 2, slot.wait_for(pending::<()>())).await.is_err());
            drop(slot);
            hanging.push(slots.begin(plan, plan).await.expect("a place"));
        }
        let mut fifth = slots.begin("e", "e").await.expect("the slot is free");
        assert!(timeout(PATIENCE * 2, fifth.wait_for(pending::<()>())).await.is_err());
        drop(fifth);
        assert!(slots.begin("e", "e").await.is_none(), "every place is taken");
        assert!(slots.begin("good", "good").now_or_never().flatten().is_some());
        hanging.pop();
        let mut fifth = slots.begin("e", "e").await.expect("a place");
        fifth.wait_for(async {}).await;
        drop(fifth);
        assert!(slots.begin("e", "e").now_or_never().flatten().is_some(), "it answers again, so it takes a slot");
    }

    #[tokio::test(start_paused = true)]
    async fn the_plan_with_the_lowest_ticket_goes_on_first() {
        let slots = Slots::new(2);
        let _busy = slots.begin("a", "busy").await;
        let mut began = slots.begin("a", "a").await.expect("a slot");
        began.lend(async {}).await;
        let held = slots.begin("a", "b").now_or_never().flatten().expect("the slot of the first one");
        let mut later = Box::pin(slots.begin("a", "c"));
        assert!((&mut later).now_or_never().is_none());
        let mut request = Box::pin(began.wait_for(pending::<()>()));
        assert!((&mut request).now_or_never().is_none());
        drop(held);
        assert!((&mut later).now_or_never().is_none(), "the first one has the slot");
        drop(request);
        drop(began);
        assert!(later.now_or_never().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_deleted_plan_is_forgotten() {
        let slots = Slots::new(1);
        let mut slot = slots.begin("a", "a").await.expect("a slot");
        assert!(timeout(PATIENCE * 2, slot.wait_for(pending::<()>())).await.is_err());
        drop(slot);
        assert_eq!(slots.slow().len(), 1);
        slots.forget("a");
        assert!(slots.slow().is_empty());
    }
}
