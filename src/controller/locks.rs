//! One reconcile per tenant at a time. Otherwise two plans of a tenant could read, buy and record between the steps of
//! each other, and one could take the contract that the other has just bought for its own.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use crate::api::key::ObjectKey;
use crate::index::triggers::Triggers;

/// The locked tenants, each with the plans that wait for it.
#[derive(Clone)]
pub(super) struct TenantLocks {
    waiting: Arc<Mutex<HashMap<Box<str>, BTreeSet<ObjectKey>>>>,
    triggers: Triggers,
}

/// The lock of a tenant. Dropping it unlocks the tenant and triggers the plans that wait.
pub(super) struct TenantGuard {
    locks: TenantLocks,
    tenant: Box<str>,
}

impl TenantLocks {
    /// No tenant is locked.
    #[must_use]
    pub(super) fn new(triggers: Triggers) -> Self {
        Self { waiting: Arc::default(), triggers }
    }

    /// Locks a tenant for a plan. `None`: another plan has the lock, and this one is triggered when that ends.
    #[must_use]
    pub(super) fn try_lock(&self, tenant: &str, plan: &ObjectKey) -> Option<TenantGuard> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(waiting) = waiting.get_mut(tenant) {
            waiting.insert(plan.clone());
            return None;
        }
        waiting.insert(tenant.into(), BTreeSet::new());
        Some(TenantGuard { locks: self.clone(), tenant: tenant.into() })
    }
}

impl Drop for TenantGuard {
    fn drop(&mut self) {
        let waiting = self.locks.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.tenant);
        for plan in waiting.into_iter().flatten() {
            self.locks.triggers.enqueue_plan(&plan);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_that_waits_for_its_tenant_is_triggered_when_it_is_unlocked() {
        let (triggers, mut queues) = Triggers::new();
        let locks = TenantLocks::new(triggers);
        let (one, other) = (ObjectKey::new("team", "one"), ObjectKey::new("team", "other"));
        let guard = locks.try_lock("a", &one).expect("the tenant is not locked");
        assert!(locks.try_lock("b", &other).is_some(), "another tenant");
        assert!(locks.try_lock("a", &other).is_none());
        assert!(queues.plans.try_recv().is_err(), "the tenant is still locked");
        drop(guard);
        assert_eq!(queues.plans.try_recv().expect("a trigger").name, "other");
        assert!(locks.try_lock("a", &other).is_some());
        assert!(queues.plans.try_recv().is_err(), "no plan waited");
    }
}
