//! Limits how many plans are reconciled at once: one of a tenant, and some of a namespace.
//!
//! - Two plans of a tenant could read, buy and record between the steps of each other, and one could take the contract
//!   that the other has just bought for its own.
//! - A namespace with many plans that take long would use all reconciles, and a plan of another one would wait.
//!
//! When a plan is unlocked, one plan that waits is triggered, and not all of them: thousands may wait, and all but one
//! would wait again. The lock is kept for that plan, which takes it and so triggers the next one later. If it does not
//! come, because it was deleted for example, [`ReconcileLocks::skip`] goes on with the next one.
//!
//! Plans of any namespace may wait for a tenant, whether or not it is theirs. So namespaces take turns. A plan that has to
//! wait for its namespace does not keep the tenant from other namespaces meanwhile.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::api::key::ObjectKey;
use crate::index::triggers::Triggers;
use crate::index::turns::Turns;

/// What a plan needs during a reconcile.
#[derive(Clone)]
pub(super) struct ReconcileLocks {
    /// One plan of a tenant.
    tenants: Locks,
    /// Half of all reconciles for a namespace.
    namespaces: Locks,
}

impl ReconcileLocks {
    /// Nothing is locked. A namespace has half of all reconciles, so that plans of another one can begin.
    #[must_use]
    pub(super) fn new(reconciles: u16, triggers: &Triggers) -> Self {
        let share = usize::from(reconciles.div_ceil(2));
        Self { tenants: Locks::new(1, triggers.clone()), namespaces: Locks::new(share, triggers.clone()) }
    }

    /// Takes what a plan needs. `None`: others have it, and the plan is triggered when it is its turn.
    #[must_use]
    pub(super) fn try_lock(&self, tenant: &str, plan: &ObjectKey) -> Option<[Guard; 2]> {
        let Some(share) = self.namespaces.try_lock(&plan.namespace, plan) else {
            self.tenants.pass_on(plan);
            return None;
        };
        Some([self.tenants.try_lock(tenant, plan)?, share])
    }

    /// A plan that was triggered does not come: it was deleted, or cannot be decoded.
    pub(super) fn skip(&self, plan: &ObjectKey) {
        self.namespaces.skip(plan);
        self.tenants.skip(plan);
    }
}

/// The locks of all tenants, or of all namespaces, and the plans that wait for them.
#[derive(Clone)]
struct Locks {
    /// How many plans have the lock of a name at once.
    capacity: usize,
    state: Arc<Mutex<State>>,
    triggers: Triggers,
}

#[derive(Default)]
struct State {
    locks: HashMap<Box<str>, Lock>,
    /// The plans that were triggered and have not come yet.
    triggered: HashMap<ObjectKey, Turn>,
}

/// The turn of a plan that was triggered. At its end the next one is triggered.
struct Turn {
    /// What the plan waited for.
    name: Box<str>,
    /// Whether the lock is kept for it.
    reserved: bool,
}

/// A lock that plans have or wait for.
#[derive(Default)]
struct Lock {
    held: usize,
    /// For how many plans it is kept.
    reserved: usize,
    waiting: Turns,
}

impl Lock {
    fn is_free(&self, capacity: usize) -> bool {
        self.held + self.reserved < capacity
    }
}

/// A lock that a plan has. Dropping it triggers the next plan that waits.
pub(super) struct Guard {
    locks: Locks,
    name: Box<str>,
}

impl Locks {
    /// Nothing is locked.
    fn new(capacity: usize, triggers: Triggers) -> Self {
        Self { capacity: capacity.max(1), state: Arc::default(), triggers }
    }

    /// Takes the lock of a tenant or a namespace for a plan. `None`: others have it, and this plan is triggered when it is its
    /// turn.
    fn try_lock(&self, name: &str, plan: &ObjectKey) -> Option<Guard> {
        let mut state = self.lock();
        let turn = state.end_turn(plan);
        let lock = state.locks.entry(name.into()).or_default();
        let is_free = lock.is_free(self.capacity);
        if is_free {
            lock.held += 1;
        } else {
            lock.waiting.push(plan.clone());
        }
        if let Some(former) = turn.filter(|former| **former != *name) {
            self.trigger_next(&mut state, &former, None);
        }
        is_free.then(|| Guard { locks: self.clone(), name: name.into() })
    }

    /// A plan that was triggered does not come.
    fn skip(&self, plan: &ObjectKey) {
        let mut state = self.lock();
        if let Some(name) = state.end_turn(plan) {
            self.trigger_next(&mut state, &name, None);
        }
    }

    /// A plan that was triggered comes later. The lock is not kept for it any more, but for one of another namespace.
    fn pass_on(&self, plan: &ObjectKey) {
        let mut state = self.lock();
        let Some(name) = state.end_turn(plan) else { return };
        self.trigger_next(&mut state, &name, Some(&plan.namespace));
        state.triggered.insert(plan.clone(), Turn { name, reserved: false });
    }

    /// Triggers the next plan, which is not of the namespace `except`, unless no plan could take the lock: then the next guard
    /// does it.
    fn trigger_next(&self, state: &mut State, name: &str, except: Option<&str>) {
        let Some(lock) = state.locks.get_mut(name).filter(|lock| lock.is_free(self.capacity)) else { return };
        if let Some(plan) = lock.waiting.pop(except) {
            lock.reserved += 1;
            self.triggers.enqueue_plan(&plan);
            // It waits for another tenant too, if it was created again with that one.
            let former = state.end_turn(&plan);
            state.triggered.insert(plan, Turn { name: name.into(), reserved: true });
            if let Some(former) = former {
                self.trigger_next(state, &former, None);
            }
        } else if lock.held + lock.reserved == 0 && lock.waiting.is_empty() {
            state.locks.remove(name);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Ends the turn of a plan that comes, or does not. Returns the name that it waited for.
    fn end_turn(&mut self, plan: &ObjectKey) -> Option<Box<str>> {
        let Turn { name, reserved } = self.triggered.remove(plan)?;
        if let Some(lock) = self.locks.get_mut(&name) {
            lock.reserved -= usize::from(reserved);
        }
        Some(name)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let mut state = self.locks.lock();
        if let Some(lock) = state.locks.get_mut(&self.name) {
            lock.held -= 1;
        }
        self.locks.trigger_next(&mut state, &self.name, None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::triggers::Queues;

    fn plan(name: &str) -> ObjectKey {
        ObjectKey::new("team", name)
    }

    /// The plans that were triggered since the last call.
    fn triggered(queues: &mut Queues) -> Vec<String> {
        std::iter::from_fn(|| Some(queues.plans.try_recv().ok()?.name)).collect()
    }

    /// A locked tenant `a`, for which these plans wait.
    fn locked(waiting: &[&str]) -> (Locks, Queues, Guard) {
        let (triggers, queues) = Triggers::new();
        let locks = Locks::new(1, triggers);
        let guard = locks.try_lock("a", &plan("holder")).expect("the tenant is not locked");
        for name in waiting {
            assert!(locks.try_lock("a", &plan(name)).is_none());
        }
        (locks, queues, guard)
    }

    #[test]
    fn a_plan_that_waits_for_its_tenant_is_triggered_when_it_is_unlocked() {
        let (locks, mut queues, guard) = locked(&["other"]);
        assert!(locks.try_lock("b", &plan("other")).is_some(), "another tenant");
        assert!(triggered(&mut queues).is_empty(), "the tenant is still locked");
        drop(guard);
        assert_eq!(triggered(&mut queues), ["other"]);
        assert!(locks.try_lock("a", &plan("other")).is_some());
        assert!(triggered(&mut queues).is_empty(), "no plan waited");
        assert!(locks.lock().locks.is_empty() && locks.lock().triggered.is_empty());
    }

    /// With thousands of plans of a tenant, triggering them all would take thousands of triggers for each reconcile.
    #[test]
    fn plans_that_wait_are_triggered_one_after_the_other_in_their_order() {
        let (locks, mut queues, guard) = locked(&["c", "a", "b", "a"]);
        drop(guard);
        for name in ["c", "a", "b"] {
            assert_eq!(triggered(&mut queues), [name]);
            drop(locks.try_lock("a", &plan(name)).expect("the tenant is not locked"));
        }
        assert!(triggered(&mut queues).is_empty());
        assert!(locks.lock().locks.is_empty() && locks.lock().triggered.is_empty());
    }

    #[test]
    fn the_lock_is_kept_for_the_plan_that_was_triggered() {
        let (locks, mut queues, guard) = locked(&["a", "b"]);
        drop(guard);
        assert_eq!(triggered(&mut queues), ["a"]);
        assert!(locks.try_lock("a", &plan("other")).is_none(), "plan a has not come yet");
        assert!(triggered(&mut queues).is_empty());
        for name in ["a", "b", "other"] {
            drop(locks.try_lock("a", &plan(name)).expect("it was triggered"));
            triggered(&mut queues);
        }
        assert!(locks.lock().locks.is_empty() && locks.lock().triggered.is_empty());
    }

    #[test]
    fn thousands_of_plans_of_a_namespace_delay_one_of_another_namespace_by_one_turn() {
        let names = (0..1000).map(|number| number.to_string()).collect::<Vec<_>>();
        let (locks, mut queues, guard) = locked(&names.iter().map(String::as_str).collect::<Vec<_>>());
        drop(guard);
        assert_eq!(triggered(&mut queues), ["0"]);
        let good = ObjectKey::new("other", "good");
        assert!(locks.try_lock("a", &good).is_none());
        drop(locks.try_lock("a", &plan("0")));
        assert_eq!(triggered(&mut queues), ["good"]);
    }

    #[test]
    fn a_plan_that_waits_for_its_namespace_does_not_keep_its_tenant() {
        let (triggers, mut queues) = Triggers::new();
        let locks = ReconcileLocks::new(2, &triggers);
        let (first, second, other) = (plan("first"), plan("second"), ObjectKey::new("other", "good"));
        let holder = locks.try_lock("a", &other).expect("nothing is locked");
        assert!(locks.try_lock("a", &first).is_none());
        assert!(locks.try_lock("a", &other).is_none(), "it comes again");
        let full = locks.try_lock("b", &second).expect("half of all");
        drop(holder);
        assert_eq!(triggered(&mut queues), ["first", "good"], "the tenant, and the namespace");
        assert!(locks.try_lock("a", &first).is_none(), "its namespace is full");
        assert!(locks.try_lock("a", &first).is_none(), "it comes again");
        drop(locks.try_lock("a", &other).expect("its namespace and its tenant are free"));
        drop(full);
        assert_eq!(triggered(&mut queues), ["first"]);
        drop(locks.try_lock("a", &first).expect("its namespace and its tenant are free"));
        for locks in [locks.tenants, locks.namespaces] {
            assert!(locks.lock().locks.is_empty() && locks.lock().triggered.is_empty());
        }
    }

    /// With thousands of such plans, triggering them all would take thousands of triggers for each reconcile.
    #[test]
    fn the_plans_of_a_full_namespace_wait_for_one_of_them() {
        let (triggers, mut queues) = Triggers::new();
        let locks = ReconcileLocks::new(2, &triggers);
        let names = ["first", "second", "third"];
        let holder = locks.try_lock("a", &ObjectKey::new("other", "holder")).expect("nothing is locked");
        for name in names {
            assert!(locks.try_lock("a", &plan(name)).is_none());
        }
        let full = locks.try_lock("b", &plan("busy")).expect("half of all");
        drop(holder);
        assert_eq!(triggered(&mut queues), ["first"]);
        assert!(locks.try_lock("a", &plan("first")).is_none(), "its namespace is full");
        assert!(triggered(&mut queues).is_empty(), "so it is for the others");
        drop(locks.try_lock("a", &ObjectKey::new("other", "holder")).expect("it is not kept for a full namespace"));
        assert_eq!(triggered(&mut queues), ["second"]);
        assert!(locks.try_lock("a", &plan("second")).is_none(), "its namespace is still full");
        drop(full);
        assert_eq!(triggered(&mut queues), ["first"]);
        drop(locks.try_lock("a", &plan("first")).expect("it is its turn for both"));
        assert_eq!(triggered(&mut queues), ["third", "second"]);
        locks.skip(&plan("second"));
        drop(locks.try_lock("a", &plan("third")).expect("it is its turn"));
        for locks in [locks.tenants, locks.namespaces] {
            assert!(locks.lock().locks.is_empty() && locks.lock().triggered.is_empty());
        }
    }

    #[test]
    fn a_plan_that_is_triggered_for_two_tenants_keeps_none() {
        let (locks, mut queues, of_a) = locked(&["moved"]);
        let of_b = locks.try_lock("b", &plan("holder")).expect("the tenant is not locked");
        assert!(locks.try_lock("b", &plan("moved")).is_none());
        assert!(locks.try_lock("a", &plan("waits")).is_none());
        drop(of_a);
        drop(of_b);
        assert_eq!(triggered(&mut queues), ["moved", "moved", "waits"]);
        drop(locks.try_lock("a", &plan("waits")).expect("it is not kept for the other one"));
        drop(locks.try_lock("b", &plan("moved")).expect("it was triggered"));
        assert!(locks.lock().locks.is_empty() && locks.lock().triggered.is_empty());
    }

    #[test]
    fn a_triggered_plan_that_does_not_come_stops_no_other() {
        let (locks, mut queues, guard) = locked(&["deleted", "moved", "last"]);
        locks.skip(&plan("deleted"));
        assert!(triggered(&mut queues).is_empty(), "the tenant is still locked");
        drop(guard);
        assert_eq!(triggered(&mut queues), ["deleted"]);
        locks.skip(&plan("last"));
        assert!(triggered(&mut queues).is_empty(), "plan last was not triggered");
        locks.skip(&plan("deleted"));
        assert_eq!(triggered(&mut queues), ["moved"]);
        let moved = locks.try_lock("b", &plan("moved"));
        assert_eq!(triggered(&mut queues), ["last"], "a plan that was created again may have another tenant");
        locks.skip(&plan("last"));
        drop(moved);
        assert!(locks.lock().locks.is_empty() && locks.lock().triggered.is_empty());
    }

    #[test]
    fn as_many_plans_as_the_capacity_have_the_lock() {
        let (triggers, mut queues) = Triggers::new();
        let locks = Locks::new(2, triggers);
        let mut guards = ["a", "b", "c", "d", "e"].map(|name| locks.try_lock("team", &plan(name)));
        assert_eq!(guards.each_ref().map(Option::is_some), [true, true, false, false, false]);
        assert!(locks.try_lock("other", &plan("other")).is_some(), "another namespace");
        guards[0] = None;
        assert_eq!(triggered(&mut queues), ["c"]);
        guards[1] = None;
        assert_eq!(triggered(&mut queues), ["d"]);
        guards[2] = locks.try_lock("team", &plan("c"));
        guards[3] = locks.try_lock("team", &plan("d"));
        assert!(triggered(&mut queues).is_empty(), "both are in use");
        guards[2] = None;
        assert_eq!(triggered(&mut queues), ["e"]);
        locks.skip(&plan("e"));
        guards[3] = None;
        assert!(locks.lock().locks.is_empty() && locks.lock().triggered.is_empty());
    }

    #[test]
    fn a_guard_of_several_unlocks_only_its_own() {
        let locks = Locks::new(2, Triggers::new().0);
        let [first, _second] = ["a", "b"].map(|name| locks.try_lock("team", &plan(name)));
        drop(first);
        let _third = locks.try_lock("team", &plan("c")).expect("one of two is free");
        assert!(locks.try_lock("team", &plan("d")).is_none());
    }

    #[test]
    fn a_namespace_has_half_of_all_reconciles() {
        for (reconciles, share) in [(1, 1), (2, 1), (3, 2), (64, 32)] {
            let locks = ReconcileLocks::new(reconciles, &Triggers::new().0);
            let take = |number: usize| locks.namespaces.try_lock("team", &plan(&number.to_string()));
            let guards = (0..100).map_while(take).collect::<Vec<_>>();
            assert_eq!(guards.len(), share, "{reconciles}");
            assert!(locks.namespaces.try_lock("other", &plan("other")).is_some());
        }
    }
}
