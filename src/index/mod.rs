//! What is known of the cluster: the plans of each tenant and of each Secret, and which plan holds a tenant.
//!
//! The caches of kube store objects by name. To find the other plans of a tenant there, each reconcile would have to
//! read all plans. This index is kept beside the caches, from the same watch events and from the writes of this
//! process.

pub mod claim;
pub mod metrics;
pub mod scope;
pub mod triggers;

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use kube::ResourceExt;

use crate::api::condition::Reason;
use crate::api::key::{ObjectKey, resource_version};
use crate::api::plan::PremiumSupportPlan;
use crate::domain::facts::Claim;
use claim::Contender;
use metrics::PlanMetrics;
use triggers::Affected;

/// The index.
pub struct Index {
    inner: Mutex<Inner>,
    metrics: PlanMetrics,
}

#[derive(Default)]
struct Inner {
    plans: HashMap<ObjectKey, Entry>,
    by_tenant: HashMap<Box<str>, BTreeSet<ObjectKey>>,
    by_secret: HashMap<ObjectKey, BTreeSet<ObjectKey>>,
    undecodable: BTreeSet<ObjectKey>,
}

/// What the index stores of a plan.
struct Entry {
    version: u64,
    contender: Contender,
    tenant: Box<str>,
    secret: ObjectKey,
    reason: Option<Reason>,
}

/// A plan and the version of it that the index has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexedPlan {
    /// The UID of the plan.
    pub uid: Box<str>,
    /// Its resource version.
    pub version: u64,
    /// The Secret that it refers to.
    pub secret: ObjectKey,
    /// Whether it carries the finalizer, and so depends on the Secret.
    pub has_finalizer: bool,
}

impl Index {
    /// An empty index.
    #[must_use]
    pub fn new(metrics: PlanMetrics) -> Self {
        Self { inner: Mutex::default(), metrics }
    }

    /// Adds a plan from a watch event. The event may be older than a write of this process, so an older version never
    /// replaces a newer one.
    pub fn put(&self, plan: &PremiumSupportPlan) -> Affected {
        let key = ObjectKey::of(plan);
        if plan.is_being_deleted() && plan.finalizers().is_empty() {
            // Removing the last finalizer deleted the plan.
            return self.remove(&key);
        }
        let entry = Entry {
            version: resource_version(plan).unwrap_or(u64::MAX),
            contender: Contender::of(plan),
            tenant: plan.spec.tenant_id.as_str().into(),
            secret: ObjectKey::of_secret(plan),
            reason: plan.reported_reason(),
        };
        let mut inner = self.lock();
        let known = inner.plans.get(&key).filter(|known| known.contender.uid == entry.contender.uid);
        if known.is_some_and(|known| known.version > entry.version) {
            return Affected::default();
        }
        inner.undecodable.remove(&key);
        let before = inner.remove(&key);
        let affected = inner.affected(&key, before.as_ref(), Some(&entry));
        self.metrics.move_plan(before.and_then(|before| before.reason), entry.reason);
        inner.insert(key, entry);
        self.metrics.set_undecodable(inner.undecodable.len());
        affected
    }

    /// Adds a plan as returned by a write or a live read of this process. A plan that the watch has removed meanwhile
    /// stays removed.
    pub fn update(&self, plan: &PremiumSupportPlan) -> Affected {
        if self.uid(&ObjectKey::of(plan)).as_deref() == plan.metadata.uid.as_deref() {
            self.put(plan)
        } else {
            Affected::default()
        }
    }

    /// Removes a deleted plan.
    pub fn remove(&self, key: &ObjectKey) -> Affected {
        let mut inner = self.lock();
        inner.undecodable.remove(key);
        self.metrics.set_undecodable(inner.undecodable.len());
        let before = inner.remove(key);
        let affected = inner.affected(key, before.as_ref(), None);
        self.metrics.move_plan(before.and_then(|before| before.reason), None);
        affected
    }

    /// Marks a plan as undecodable. Its last known entry stays, since nothing is known to have changed.
    pub fn put_undecodable(&self, key: ObjectKey) {
        let mut inner = self.lock();
        inner.undecodable.insert(key);
        self.metrics.set_undecodable(inner.undecodable.len());
    }

    /// What the index has of a plan.
    pub fn get(&self, key: &ObjectKey) -> Option<IndexedPlan> {
        self.lock().plans.get(key).map(|entry| IndexedPlan {
            uid: entry.contender.uid.clone(),
            version: entry.version,
            secret: entry.secret.clone(),
            has_finalizer: entry.contender.record.has_finalizer(),
        })
    }

    /// The UID of a plan.
    pub fn uid(&self, key: &ObjectKey) -> Option<Box<str>> {
        self.lock().plans.get(key).map(|entry| entry.contender.uid.clone())
    }

    /// Whether this plan holds the tenant, as far as the cache shows.
    pub fn claim(&self, key: &ObjectKey, tenant: &str) -> Claim {
        let inner = self.lock();
        let of_tenant = inner.by_tenant.get(tenant).into_iter().flatten();
        let plans = of_tenant.filter_map(|key| inner.plans.get_key_value(key)).collect::<Vec<_>>();
        claim::claim_of(key, plans.iter().map(|(key, entry)| (*key, &entry.contender)))
    }

    /// The plans that refer to a Secret.
    pub fn plans_of_secret(&self, secret: &ObjectKey) -> Vec<ObjectKey> {
        self.lock().by_secret.get(secret).into_iter().flatten().cloned().collect()
    }

    /// Whether a plan with the finalizer refers to a Secret, or may: it is not known which Secret an undecodable plan
    /// refers to.
    pub fn may_depend_on_secret(&self, secret: &ObjectKey) -> bool {
        let inner = self.lock();
        let mut plans = inner.by_secret.get(secret).into_iter().flatten();
        let is_used = plans.any(|key| inner.plans.get(key).is_some_and(|entry| entry.contender.record.has_finalizer()));
        is_used || inner.undecodable.iter().any(|plan| plan.namespace == secret.namespace)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn insert(&mut self, key: ObjectKey, entry: Entry) {
        self.by_tenant.entry(entry.tenant.clone()).or_default().insert(key.clone());
        self.by_secret.entry(entry.secret.clone()).or_default().insert(key.clone());
        self.plans.insert(key, entry);
    }

    fn remove(&mut self, key: &ObjectKey) -> Option<Entry> {
        let entry = self.plans.remove(key)?;
        unlink(&mut self.by_tenant, &entry.tenant, key);
        unlink(&mut self.by_secret, &entry.secret, key);
        Some(entry)
    }

    /// Other plans of the tenant are affected only if a claim changed, and a Secret only if the plan stopped using it.
    fn affected(&self, key: &ObjectKey, before: Option<&Entry>, after: Option<&Entry>) -> Affected {
        let mut affected = Affected::default();
        if before.map(|entry| &entry.contender) != after.map(|entry| &entry.contender) {
            let tenants = before.into_iter().chain(after).map(|entry| &entry.tenant).collect::<BTreeSet<_>>();
            let plans = tenants.into_iter().filter_map(|tenant| self.by_tenant.get(tenant)).flatten();
            affected.plans = plans.filter(|other| *other != key).cloned().collect();
        }
        if let Some(before) = before.filter(|before| before.contender.record.has_finalizer()) {
            let still_used =
                after.is_some_and(|after| after.secret == before.secret && after.contender.record.has_finalizer());
            if !still_used {
                affected.secrets.push(before.secret.clone());
            }
        }
        affected
    }
}

fn unlink<K: std::hash::Hash + Eq>(index: &mut HashMap<K, BTreeSet<ObjectKey>>, at: &K, key: &ObjectKey) {
    if let Some(keys) = index.get_mut(at) {
        keys.remove(key);
        if keys.is_empty() {
            index.remove(at);
        }
    }
}

#[cfg(test)]
mod tests;
