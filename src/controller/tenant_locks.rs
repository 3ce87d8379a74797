//! One pass per tenant at a time. Two plans that want the same tenant would otherwise look, buy and record between each other's
//! steps, and what one of them has just bought could be taken by the other for its own.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use crate::api::key::Key;
use crate::index::triggers::Triggers;

/// Whose turn it is, tenant by tenant, and which plans wait for theirs.
#[derive(Clone)]
pub struct TenantLocks {
    waiting: Arc<Mutex<HashMap<Box<str>, BTreeSet<Key>>>>,
    bells: Triggers,
}

/// The turn of one plan; it ends when this is dropped, and those that wait are woken.
pub struct TenantGuard {
    turns: TenantLocks,
    tenant: Box<str>,
}

impl TenantLocks {
    /// Nobody has a turn yet.
    #[must_use]
    pub fn new(bells: Triggers) -> Self {
        Self { waiting: Arc::default(), bells }
    }

    /// The turn of a plan; none while another plan of the tenant has it. Then the plan is woken when that one is over.
    #[must_use]
    pub fn take(&self, tenant: &str, plan: &Key) -> Option<TenantGuard> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(waiting) = waiting.get_mut(tenant) {
            waiting.insert(plan.clone());
            return None;
        }
        waiting.insert(tenant.into(), BTreeSet::new());
        Some(TenantGuard { turns: self.clone(), tenant: tenant.into() })
    }
}

impl Drop for TenantGuard {
    fn drop(&mut self) {
        let woken = self.turns.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.tenant);
        for plan in woken.into_iter().flatten() {
            self.turns.bells.wake(&plan);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::channel::mpsc;

    #[test]
    fn the_plans_of_a_tenant_take_turns_and_who_waits_is_woken() {
        let (plans, mut woken) = mpsc::unbounded();
        let (secrets, _) = mpsc::unbounded();
        let turns = TenantLocks::new(Triggers { plans, secrets });
        let (one, other) = (Key::new("team", "one"), Key::new("team", "other"));
        let turn = turns.take("a", &one).expect("the first");
        assert!(turns.take("b", &other).is_some(), "another tenant");
        assert!(turns.take("a", &other).is_none());
        assert!(woken.try_recv().is_err(), "not before it is over");
        drop(turn);
        assert_eq!(woken.try_recv().expect("woken").name, "other");
        assert!(turns.take("a", &other).is_some());
        assert!(woken.try_recv().is_err(), "nobody waited");
    }
}
