//! What is known of the cluster: the plans of each tenant and of each Secret, and which plan holds a tenant.
//!
//! The caches of kube store objects by name. To find the other plans of a tenant there, each reconcile would have to
//! read all plans. This index is kept beside the caches, from the same watch events and from the writes of this
//! process.

pub mod claim;
mod delivered;
pub mod list;
pub mod metrics;
pub mod scope;
mod sorted;
pub mod triggers;
pub mod turns;

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kube::ResourceExt;

use crate::api::condition::Reason;
use crate::api::key::{ObjectKey, resource_version};
use crate::api::plan::{Menu, PremiumSupportPlan};
use crate::domain::contract::ContractId;
use crate::domain::facts::Claim;
use claim::{Contender, Rank};
use delivered::Delivered;
use metrics::PlanMetrics;
use sorted::Sorted;
use triggers::Affected;

/// The index.
pub struct Index {
    inner: Arc<Mutex<Inner>>,
    /// Up to which version the watch has delivered every change.
    pub delivered: Delivered,
}

#[derive(Default)]
struct Inner {
    plans: HashMap<ObjectKey, Entry>,
    by_tenant: HashMap<Box<str>, Tenant>,
    by_secret: HashMap<ObjectKey, Sorted<ObjectKey>>,
    undecodable: BTreeSet<ObjectKey>,
    /// The newest version of a plan when the caches were first complete.
    synced_version: Option<u64>,
}

/// The plans of one tenant. Thousands may refer to it; only those with a record claim it.
#[derive(Default)]
struct Tenant {
    plans: Sorted<ObjectKey>,
    claims: Sorted<(Rank, ObjectKey)>,
}

/// Which plan holds a tenant, and its contract.
type Holder = Option<(ObjectKey, Option<ContractId>)>;

/// What the index stores of a plan.
#[derive(Clone)]
struct Entry {
    version: u64,
    contender: Contender,
    tenant: Box<str>,
    secret: ObjectKey,
    reason: Option<Reason>,
    /// Since when `Ready` has its status, as a Unix time.
    ready_since: Option<i64>,
    /// When it was deleted, as a Unix time.
    deleting_since: Option<i64>,
    suspended: bool,
    menu: Menu,
}

impl Entry {
    /// Where the index finds it.
    fn place(&self) -> (&str, &ObjectKey, Option<Rank>) {
        (&self.tenant, &self.secret, self.contender.rank())
    }
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
    /// Whether a contract may belong to it, so that it depends on the Secret.
    pub depends_on_secret: bool,
}

impl Index {
    /// An empty index.
    #[must_use]
    pub fn new(metrics: &PlanMetrics) -> Self {
        let inner = Arc::default();
        metrics.show(&inner);
        Self { inner, delivered: Delivered::default() }
    }

    /// Adds a plan from a watch event. The event may be older than a write of this process, so an older version never
    /// replaces a newer one.
    pub fn put(&self, plan: &PremiumSupportPlan) -> Affected {
        let key = ObjectKey::of(plan);
        if plan.is_being_deleted() && plan.finalizers().is_empty() {
            // Removing the last finalizer deleted the plan.
            return self.remove(&key);
        }
        let mut entry = Entry {
            version: resource_version(plan).unwrap_or(u64::MAX),
            contender: Contender::of(plan),
            tenant: plan.spec.tenant_id.as_str().into(),
            secret: ObjectKey::of_secret(plan),
            reason: plan.reported_reason(),
            ready_since: plan.ready_condition().map(|ready| ready.last_transition_time.0.as_second()),
            deleting_since: plan.metadata.deletion_timestamp.as_ref().map(|time| time.0.as_second()),
            suspended: plan.spec.suspend,
            menu: plan.spec.menu,
        };
        let mut inner = self.lock();
        let known = inner.plans.get(&key).filter(|known| known.contender.uid == entry.contender.uid);
        if known.is_some_and(|known| known.version > entry.version) {
            return Affected::default();
        }
        entry.contender.is_create_open = known.is_some_and(|known| known.contender.is_create_open);
        inner.undecodable.remove(&key);
        inner.replace(&key, Some(entry))
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
        inner.replace(key, None)
    }

    /// Sets whether this process sent a create request for a plan that FIC may have accepted. Until that is settled the
    /// plan holds its tenant, whatever happens to its record.
    pub fn set_create_open(&self, key: &ObjectKey, uid: &str, open: bool) -> Affected {
        let mut inner = self.lock();
        let known = inner.plans.get(key).filter(|entry| *entry.contender.uid == *uid);
        let Some(mut entry) = known.filter(|entry| entry.contender.is_create_open != open).cloned() else {
            return Affected::default();
        };
        entry.contender.is_create_open = open;
        inner.replace(key, Some(entry))
    }

    /// Whether this process sent a create request for a plan that FIC may have accepted.
    pub fn is_create_open(&self, key: &ObjectKey, uid: &str) -> bool {
        let inner = self.lock();
        inner.plans.get(key).is_some_and(|entry| *entry.contender.uid == *uid && entry.contender.is_create_open)
    }

    /// The caches are complete for the first time.
    pub fn mark_synced(&self) {
        let mut inner = self.lock();
        inner.synced_version = Some(inner.plans.values().map(|entry| entry.version).max().unwrap_or(0));
    }

    /// Whether this version of a plan was written after the caches were first complete, so that another process than an
    /// earlier leader may have written it.
    pub fn changed_since_sync(&self, version: Option<u64>) -> bool {
        let synced = self.lock().synced_version;
        synced.is_some_and(|synced| version.is_none_or(|version| version > synced))
    }

    /// Marks a plan as undecodable. Its last known entry stays, since nothing is known to have changed.
    pub fn put_undecodable(&self, key: ObjectKey) {
        self.lock().undecodable.insert(key);
    }

    /// What the index has of a plan.
    pub fn get(&self, key: &ObjectKey) -> Option<IndexedPlan> {
        self.lock().plans.get(key).map(|entry| IndexedPlan {
            uid: entry.contender.uid.clone(),
            version: entry.version,
            secret: entry.secret.clone(),
            depends_on_secret: entry.contender.may_own_contract(),
        })
    }

    /// The version of a plan.
    pub fn version(&self, key: &ObjectKey) -> Option<u64> {
        self.lock().plans.get(key).map(|entry| entry.version)
    }

    /// The UID of a plan.
    pub fn uid(&self, key: &ObjectKey) -> Option<Box<str>> {
        self.lock().plans.get(key).map(|entry| entry.contender.uid.clone())
    }

    /// Whether this plan holds the tenant, as far as the cache shows.
    pub fn claim(&self, key: &ObjectKey, tenant: &str) -> Claim {
        let inner = self.lock();
        match inner.holder(tenant) {
            Some((holder, entry)) if holder != key => claim::held_by(holder, &entry.contender),
            Some(_) | None => Claim::Ours,
        }
    }

    /// The plans that refer to a Secret.
    pub fn plans_of_secret(&self, secret: &ObjectKey) -> Vec<ObjectKey> {
        self.lock().by_secret.get(secret).map(|plans| plans.to_vec()).unwrap_or_default()
    }

    /// Whether a plan with a record refers to a Secret, or may: it is not known which Secret an undecodable plan
    /// refers to.
    pub fn may_depend_on_secret(&self, secret: &ObjectKey) -> bool {
        let inner = self.lock();
        let mut plans = inner.by_secret.get(secret).into_iter().flat_map(|plans| plans.iter());
        let is_used = plans.any(|key| inner.plans.get(key).is_some_and(|entry| entry.contender.may_own_contract()));
        is_used || inner.undecodable.iter().any(|plan| plan.namespace == secret.namespace)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        lock(&self.inner)
    }
}

fn lock(inner: &Mutex<Inner>) -> MutexGuard<'_, Inner> {
    inner.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Inner {
    /// Replaces what is known of a plan. Returns what the change affects: other plans of the tenant only if its holder
    /// changed, and a Secret only if the plan stopped using it.
    fn replace(&mut self, key: &ObjectKey, after: Option<Entry>) -> Affected {
        let before = self.plans.get(key);
        let tenants = before.into_iter().chain(&after).map(|entry| entry.tenant.clone()).collect::<BTreeSet<_>>();
        let holders = tenants.iter().map(|tenant| self.holder_and_contract(tenant)).collect::<Vec<_>>();
        let secret = |entry: &Entry| entry.contender.may_own_contract().then(|| entry.secret.clone());
        let used = after.as_ref().and_then(secret);
        let before = self.swap(key, after);
        let mut affected = Affected::default();
        for (tenant, holder) in tenants.iter().zip(holders) {
            if self.holder_and_contract(tenant) != holder {
                let plans = self.by_tenant.get(tenant).into_iter().flat_map(|tenant| tenant.plans.iter());
                affected.plans.extend(plans.filter(|other| *other != key).cloned());
            }
        }
        affected.secrets.extend(before.as_ref().and_then(secret).filter(|secret| used.as_ref() != Some(secret)));
        affected
    }

    fn holder(&self, tenant: &str) -> Option<(&ObjectKey, &Entry)> {
        let (_, key) = self.by_tenant.get(tenant)?.claims.first()?;
        self.plans.get_key_value(key)
    }

    /// What the other plans of a tenant depend on.
    fn holder_and_contract(&self, tenant: &str) -> Holder {
        let (key, entry) = self.holder(tenant)?;
        Some((key.clone(), entry.contender.record.owned().cloned()))
    }

    /// Most changes are of the status, and leave the plan where it is.
    fn swap(&mut self, key: &ObjectKey, after: Option<Entry>) -> Option<Entry> {
        match (self.plans.get_mut(key), after) {
            (Some(known), Some(after)) if known.place() == after.place() => Some(std::mem::replace(known, after)),
            (_, after) => {
                let before = self.remove(key);
                if let Some(after) = after {
                    self.insert(key.clone(), after);
                }
                before
            }
        }
    }

    fn insert(&mut self, key: ObjectKey, entry: Entry) {
        let tenant = self.by_tenant.entry(entry.tenant.clone()).or_default();
        tenant.plans.insert(key.clone());
        if let Some(rank) = entry.contender.rank() {
            tenant.claims.insert((rank, key.clone()));
        }
        self.by_secret.entry(entry.secret.clone()).or_default().insert(key.clone());
        self.plans.insert(key, entry);
    }

    fn remove(&mut self, key: &ObjectKey) -> Option<Entry> {
        let entry = self.plans.remove(key)?;
        if let Some(tenant) = self.by_tenant.get_mut(&entry.tenant) {
            tenant.plans.remove(key);
            if let Some(rank) = entry.contender.rank() {
                tenant.claims.remove(&(rank, key.clone()));
            }
            if tenant.plans.is_empty() {
                self.by_tenant.remove(&entry.tenant);
            }
        }
        if let Some(plans) = self.by_secret.get_mut(&entry.secret) {
            plans.remove(key);
            if plans.is_empty() {
                self.by_secret.remove(&entry.secret);
            }
        }
        Some(entry)
    }
}

#[cfg(test)]
mod tests;
