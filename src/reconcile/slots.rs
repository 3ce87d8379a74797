//! How many reconciles run at the same time, so that tenants whose requests to FIC hang do not hold up the others.
//!
//! A reconcile takes a slot. While a request to FIC takes longer than usual, the reconcile gives its slot to another one
//! and takes a place for waiting instead. The next reconcile of that plan starts with such a place and takes no slot, until
//! FIC answers it in time again. There are more places than slots, and still a limited number of both: a place costs
//! memory and a connection.
//!
//! A slot that is free goes to the namespace that has the fewest. A namespace has at most half of them.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::sleep;

/// A request to FIC that takes longer than this is waited for without a slot.
const PATIENCE: Duration = Duration::from_secs(1);
/// The number of places for each slot.
const PLACES_PER_SLOT: u16 = 4;

/// The slots and the places.
pub struct Slots {
    concurrency: u16,
    queue: Arc<Mutex<Queue>>,
    places: Arc<Semaphore>,
    /// The plans whose last request to FIC took longer than usual, by UID.
    slow: Mutex<HashSet<Box<str>>>,
}

/// Who has slots and who waits for one.
struct Queue {
    free: u16,
    /// How many slots a namespace may have.
    share: u16,
    /// How many reconciles have begun to wait.
    begun: u64,
    /// The namespaces whose reconciles have or wait for a slot.
    namespaces: BTreeMap<Box<str>, Namespace>,
}

/// The reconciles of one namespace.
#[derive(Default)]
struct Namespace {
    slots: u16,
    /// Those that wait, the first one first, each with its number.
    waiting: VecDeque<(u64, oneshot::Sender<Permit>)>,
}

/// The right to work. Dropping it passes it on.
struct Permit {
    queue: Arc<Mutex<Queue>>,
    namespace: Box<str>,
}

/// What a reconcile has.
enum Held {
    Slot(#[expect(dead_code, reason = "it is passed on when it is dropped")] Permit),
    Place(#[expect(dead_code, reason = "it is passed on when it is dropped")] OwnedSemaphorePermit),
    Nothing,
}

impl Slots {
    /// This many slots.
    #[must_use]
    pub fn new(concurrency: u16) -> Self {
        let share = concurrency.div_ceil(2);
        let queue = Queue { free: concurrency, share, begun: 0, namespaces: BTreeMap::new() };
        Self {
            concurrency,
            queue: Arc::new(Mutex::new(queue)),
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
    pub(super) async fn take(&self, namespace: &str, plan: &str) -> Option<Slot<'_>> {
        let held = if self.slow().contains(plan) {
            Held::Place(Arc::clone(&self.places).try_acquire_owned().ok()?)
        } else {
            self.acquire(namespace).await
        };
        Some(Slot { slots: self, namespace: namespace.into(), plan: plan.into(), held })
    }

    /// Waits for a slot of this namespace.
    async fn acquire(&self, namespace: &str) -> Held {
        let (sender, permit) = oneshot::channel();
        lock(&self.queue).wait(namespace, sender);
        pass_on(&self.queue);
        // The sender is dropped only with the queue.
        permit.await.map_or(Held::Nothing, Held::Slot)
    }

    /// A plan was deleted.
    pub(super) fn forget(&self, plan: &str) {
        self.slow().remove(plan);
    }

    fn slow(&self) -> MutexGuard<'_, HashSet<Box<str>>> {
        self.slow.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    fn wait(&mut self, namespace: &str, permit: oneshot::Sender<Permit>) {
        self.begun += 1;
        self.namespaces.entry(namespace.into()).or_default().waiting.push_back((self.begun, permit));
    }

    /// Takes a free slot for the namespace that has the fewest; of several the one that waits for the longest time.
    fn take(&mut self) -> Option<(Box<str>, oneshot::Sender<Permit>)> {
        self.free.checked_sub(1)?;
        let waiting = self.namespaces.iter_mut().filter_map(|(name, namespace)| {
            let number = namespace.waiting.front().filter(|_| namespace.slots < self.share)?.0;
            Some(((namespace.slots, number), name, namespace))
        });
        let (_, name, namespace) = waiting.min_by_key(|(rank, ..)| *rank)?;
        let (_, permit) = namespace.waiting.pop_front()?;
        namespace.slots += 1;
        self.free -= 1;
        Some((name.clone(), permit))
    }

    fn release(&mut self, name: &str) {
        self.free += 1;
        if let Some(namespace) = self.namespaces.get_mut(name) {
            namespace.slots -= 1;
            if namespace.slots == 0 && namespace.waiting.is_empty() {
                self.namespaces.remove(name);
            }
        }
    }
}

/// Gives the free slots to reconciles that wait. One that was cancelled passes its slot on.
fn pass_on(queue: &Arc<Mutex<Queue>>) {
    loop {
        let next = lock(queue).take();
        let Some((namespace, waiting)) = next else { return };
        let _ = waiting.send(Permit { queue: Arc::clone(queue), namespace });
    }
}

fn lock(queue: &Mutex<Queue>) -> MutexGuard<'_, Queue> {
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Permit {
    fn drop(&mut self) {
        lock(&self.queue).release(&self.namespace);
        pass_on(&self.queue);
    }
}

/// The slot, or the place, of a reconcile.
pub(super) struct Slot<'a> {
    slots: &'a Slots,
    namespace: Box<str>,
    plan: Box<str>,
    held: Held,
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
        self.held = Held::Place(place);
        let result = request.await;
        self.held = Held::Nothing;
        self.held = self.slots.acquire(&self.namespace).await;
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
            drop(taken);
            let queue = lock(&slots.queue);
            assert_eq!((queue.free, queue.namespaces.len()), (concurrency, 0), "all are passed on and forgotten");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_free_slot_goes_to_the_namespace_with_the_fewest_then_to_the_first_one() {
        let slots = Slots::new(4);
        let mut held = Vec::new();
        for namespace in ["full", "full", "other", "other"] {
            held.push(slots.take(namespace, "a").await);
        }
        let mut waiting = ["full", "full", "b", "a", "b"].map(|name| Box::pin(slots.take(name, name)));
        let mut order = Vec::new();
        while order.len() < waiting.len() {
            for (number, slot) in waiting.iter_mut().enumerate() {
                if !order.contains(&number)
                    && let Some(slot) = slot.now_or_never()
                {
                    order.push(number);
                    held.push(slot);
                }
            }
            held.remove(0);
        }
        assert_eq!(order, [2, 0, 3, 1, 4]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slot_for_a_cancelled_reconcile_is_passed_on() {
        let slots = Slots::new(1);
        let first = slots.take("a", "a").await;
        let mut cancelled = Box::pin(slots.take("b", "b"));
        assert!((&mut cancelled).now_or_never().is_none());
        drop(first);
        drop(cancelled);
        assert!(slots.take("c", "c").now_or_never().is_some());
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
