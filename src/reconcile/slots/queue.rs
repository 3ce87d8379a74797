//! Who gets the next free slot: the namespace that has the fewest, and there the plan with the lowest ticket. So one namespace
//! may have all, and a plan whose reconciles have begun is finished before others begin.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::reconcile::ticket::Ticket;

/// The free slots, and the reconciles that wait for one.
#[derive(Clone)]
pub(super) struct Queue(Arc<Mutex<State>>);

struct State {
    free: u16,
    /// The namespaces whose reconciles have or wait for a slot.
    namespaces: BTreeMap<Box<str>, Namespace>,
}

/// The reconciles of one namespace.
#[derive(Default)]
struct Namespace {
    slots: u16,
    /// Those that wait, in the order of their tickets.
    waiting: BTreeMap<Ticket, oneshot::Sender<Permit>>,
}

/// The right to use a slot. Dropping it passes it on.
pub(super) struct Permit {
    queue: Queue,
    namespace: Box<str>,
}

impl Queue {
    /// This many free slots.
    pub(super) fn new(slots: u16) -> Self {
        Self(Arc::new(Mutex::new(State { free: slots, namespaces: BTreeMap::new() })))
    }

    /// Waits for a slot. `None` only when the queue is gone.
    pub(super) async fn acquire(&self, namespace: &str, ticket: Ticket) -> Option<Permit> {
        let (sender, permit) = oneshot::channel();
        self.lock().wait(namespace, ticket, sender);
        self.pass_on();
        permit.await.ok()
    }

    /// Gives the free slots to reconciles that wait. One that was cancelled passes its slot on.
    fn pass_on(&self) {
        loop {
            let next = self.lock().take();
            let Some((namespace, waiting)) = next else { return };
            let _ = waiting.send(Permit { queue: self.clone(), namespace });
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn wait(&mut self, namespace: &str, ticket: Ticket, permit: oneshot::Sender<Permit>) {
        self.namespaces.entry(namespace.into()).or_default().waiting.insert(ticket, permit);
    }

    /// Takes a free slot for the namespace that has the fewest; of several for the plan with the lowest ticket.
    fn take(&mut self) -> Option<(Box<str>, oneshot::Sender<Permit>)> {
        self.free.checked_sub(1)?;
        let waiting = self.namespaces.iter_mut().filter_map(|(name, namespace)| {
            let ticket = *namespace.waiting.first_key_value()?.0;
            Some(((namespace.slots, ticket), name, namespace))
        });
        let (_, name, namespace) = waiting.min_by_key(|(rank, ..)| *rank)?;
        let (_, permit) = namespace.waiting.pop_first()?;
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

impl Drop for Permit {
    fn drop(&mut self) {
        self.queue.lock().release(&self.namespace);
        self.queue.pass_on();
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    impl Queue {
        /// The number of free slots.
        pub(in crate::reconcile::slots) fn free(&self) -> u16 {
            self.lock().free
        }

        /// Waits for a slot with the next ticket.
        async fn begin(&self, namespace: &str) -> Option<Permit> {
            self.acquire(namespace, Ticket::next()).await
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_namespace_may_have_all_slots() {
        let queue = Queue::new(3);
        let mut taken = Vec::new();
        while let Some(slot) = queue.begin("full").now_or_never().flatten() {
            taken.push(slot);
        }
        assert_eq!(taken.len(), 3);
        drop(taken);
        let state = queue.lock();
        assert_eq!((state.free, state.namespaces.len()), (3, 0), "all are passed on and forgotten");
    }

    #[tokio::test(start_paused = true)]
    async fn a_free_slot_goes_to_the_namespace_with_the_fewest_then_to_the_first_one() {
        let queue = Queue::new(2);
        let mut held = vec![queue.begin("full").await, queue.begin("full").await];
        let mut waiting = ["full", "full", "b", "a", "b"].map(|name| Box::pin(queue.begin(name)));
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
        let queue = Queue::new(1);
        let first = queue.begin("a").await;
        let mut cancelled = Box::pin(queue.begin("b"));
        assert!((&mut cancelled).now_or_never().is_none());
        drop(first);
        drop(cancelled);
        assert!(queue.begin("c").now_or_never().is_some());
    }
}
