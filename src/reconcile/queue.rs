//! Which reconcile gets the next free permit: one of the namespace that has the fewest, and there that of the plan with the
//! lowest ticket. So one namespace may have all, and a plan whose reconciles have begun is finished before others begin.
//!
//! A permit is a slot, or the right to send a request to the API server.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::reconcile::ticket::Ticket;

/// The free permits, and the reconciles that wait for one.
#[derive(Clone)]
pub(super) struct Queue(Arc<Mutex<State>>);

struct State {
    free: u16,
    /// The namespaces whose reconciles have or wait for a permit.
    namespaces: BTreeMap<Box<str>, Namespace>,
}

/// The reconciles of one namespace.
#[derive(Default)]
struct Namespace {
    permits: u16,
    /// Those that wait, in the order of their tickets.
    waiting: BTreeMap<Ticket, oneshot::Sender<Permit>>,
}

/// A permit. Dropping it passes it on.
pub(super) struct Permit {
    queue: Queue,
    namespace: Box<str>,
}

impl Queue {
    /// This many free permits.
    pub(super) fn new(permits: u16) -> Self {
        Self(Arc::new(Mutex::new(State { free: permits, namespaces: BTreeMap::new() })))
    }

    /// Waits for a permit. `None` only when the queue is gone.
    pub(super) async fn acquire(&self, namespace: &str, ticket: Ticket) -> Option<Permit> {
        let (sender, permit) = oneshot::channel();
        self.lock().wait(namespace, ticket, sender);
        self.pass_on();
        permit.await.ok()
    }

    /// Gives the free permits to reconciles that wait. One that was cancelled passes its permit on.
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

    /// Takes a free permit for the namespace that has the fewest; of several for the plan with the lowest ticket.
    fn take(&mut self) -> Option<(Box<str>, oneshot::Sender<Permit>)> {
        self.free.checked_sub(1)?;
        let waiting = self.namespaces.iter_mut().filter_map(|(name, namespace)| {
            let ticket = *namespace.waiting.first_key_value()?.0;
            Some(((namespace.permits, ticket), name, namespace))
        });
        let (_, name, namespace) = waiting.min_by_key(|(rank, ..)| *rank)?;
        let (_, permit) = namespace.waiting.pop_first()?;
        namespace.permits += 1;
        self.free -= 1;
        Some((name.clone(), permit))
    }

    fn release(&mut self, name: &str) {
        self.free += 1;
        if let Some(namespace) = self.namespaces.get_mut(name) {
            namespace.permits -= 1;
            if namespace.permits == 0 && namespace.waiting.is_empty() {
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
        /// The number of free permits.
        pub(in crate::reconcile) fn free(&self) -> u16 {
            self.lock().free
        }

        /// Waits for a permit with the next ticket.
        async fn begin(&self, namespace: &str) -> Option<Permit> {
            self.acquire(namespace, Ticket::next()).await
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_namespace_may_have_all_permits() {
        let queue = Queue::new(3);
        let mut taken = Vec::new();
        while let Some(permit) = queue.begin("full").now_or_never().flatten() {
            taken.push(permit);
        }
        assert_eq!(taken.len(), 3);
        drop(taken);
        let state = queue.lock();
        assert_eq!((state.free, state.namespaces.len()), (3, 0), "all are passed on and forgotten");
    }

    #[tokio::test(start_paused = true)]
    async fn a_free_permit_goes_to_the_namespace_with_the_fewest_then_to_the_first_one() {
        let queue = Queue::new(2);
        let mut held = vec![queue.begin("full").await, queue.begin("full").await];
        let mut waiting = ["full", "full", "b", "a", "b"].map(|name| Box::pin(queue.begin(name)));
        let mut order = Vec::new();
        while order.len() < waiting.len() {
            for (number, permit) in waiting.iter_mut().enumerate() {
                if !order.contains(&number)
                    && let Some(permit) = permit.now_or_never()
                {
                    order.push(number);
                    held.push(permit);
                }
            }
            held.remove(0);
        }
        assert_eq!(order, [2, 0, 3, 1, 4]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_permit_for_a_cancelled_reconcile_is_passed_on() {
        let queue = Queue::new(1);
        let first = queue.begin("a").await;
        let mut cancelled = Box::pin(queue.begin("b"));
        assert!((&mut cancelled).now_or_never().is_none());
        drop(first);
        drop(cancelled);
        assert!(queue.begin("c").now_or_never().is_some());
    }
}
