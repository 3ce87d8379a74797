//! Who belongs to whom: the plans of a tenant, the plans of a Secret.
//!
//! The caches of kube hold objects by name. Asking them who else wants a tenant would mean to walk through all plans for each
//! plan, so this index is kept beside them, from the same watch events and from our own writes.

pub mod claim;
pub mod triggers;

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kube::ResourceExt;

use crate::api::condition::{READY, Reason};
use crate::api::key::Key;
use crate::api::plan::{PremiumSupportPlan, version};
use crate::domain::facts::Claim;
use crate::metrics::Metrics;
use crate::secret_finalizer::release::{Outcome, Releases};
use claim::Contender;

/// What a change of a plan means for others.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Affected {
    /// Plans that should look again: others of the same tenant.
    pub plans: Vec<Key>,
    /// Secrets that may be let go: those that the plan used before or uses now.
    pub secrets: Vec<Key>,
}

/// The index.
pub struct Index {
    inner: Mutex<Inner>,
    metrics: Arc<Metrics>,
}

#[derive(Default)]
struct Inner {
    plans: HashMap<Key, Entry>,
    by_tenant: HashMap<Box<str>, BTreeSet<Key>>,
    by_secret: HashMap<Key, BTreeSet<Key>>,
    undecodable: BTreeSet<Key>,
    releases: Releases,
}

struct Entry {
    /// The version of the plan that this was read from.
    version: u64,
    contender: Contender,
    tenant: Box<str>,
    secret: Key,
    reason: Option<Reason>,
    intent: Intent,
}

/// Whether a plan is about to put its finalizer on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Intent {
    None,
    /// In the pass under way.
    UnderWay,
    /// It was sent and no answer came: it may be on. It carried the version of the plan that is known here, so with the next version
    /// that is known it has come to effect, or never will.
    InDoubt,
}

impl Intent {
    /// A doubt is not removed by trying again.
    fn begun(self) -> Self {
        match self {
            Self::None | Self::UnderWay => Self::UnderWay,
            Self::InDoubt => Self::InDoubt,
        }
    }

    fn settled(self, in_doubt: bool) -> Self {
        match self {
            Self::UnderWay if in_doubt => Self::InDoubt,
            Self::UnderWay | Self::None => Self::None,
            Self::InDoubt => Self::InDoubt,
        }
    }
}

impl Entry {
    /// Whether the plan depends on its Secret, or may.
    fn uses_secret(&self) -> bool {
        self.contender.finalizer || self.intent != Intent::None
    }
}

impl Index {
    /// An empty directory.
    #[must_use]
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self { inner: Mutex::default(), metrics }
    }

    /// Takes in a plan as the watch has it. It may tell of our own writes late, so an older version never replaces a newer one.
    pub fn put(&self, plan: &PremiumSupportPlan) -> Affected {
        let key = Key::of(plan);
        if plan.metadata.deletion_timestamp.is_some() && plan.finalizers().is_empty() {
            // Taking off the last finalizer was its end.
            return self.remove(&key);
        }
        let entry = Entry {
            version: version(plan.metadata.resource_version.as_deref()).unwrap_or(u64::MAX),
            contender: Contender::of(plan),
            tenant: plan.spec.tenant_id.as_str().into(),
            secret: Key::of_secret(plan),
            reason: reported_reason(plan),
            intent: Intent::None,
        };
        let mut inner = self.lock();
        let known = inner.plans.get(&key).filter(|known| known.contender.uid == entry.contender.uid);
        if known.is_some_and(|known| known.version > entry.version) {
            return Affected::default();
        }
        let intent = match known.filter(|known| known.secret == entry.secret) {
            Some(known) if known.intent == Intent::InDoubt && known.version < entry.version => Intent::None,
            Some(known) => known.intent,
            None => Intent::None,
        };
        let entry = Entry { intent, ..entry };
        inner.undecodable.remove(&key);
        let before = inner.remove(&key);
        let ripples = inner.ripples(&key, before.as_ref(), Some(&entry));
        self.metrics.plan_moved(before.and_then(|before| before.reason), entry.reason);
        inner.insert(key, entry);
        self.metrics.set_undecodable(inner.undecodable.len());
        ripples
    }

    /// Takes in a plan as our own write has left it, or a fresh read. One that the watch has taken out meanwhile does not come back.
    pub fn update(&self, plan: &PremiumSupportPlan) -> Affected {
        if self.uid(&Key::of(plan)).as_deref() == plan.metadata.uid.as_deref() {
            self.put(plan)
        } else {
            Affected::default()
        }
    }

    /// A plan is gone.
    pub fn remove(&self, key: &Key) -> Affected {
        let mut inner = self.lock();
        inner.undecodable.remove(key);
        self.metrics.set_undecodable(inner.undecodable.len());
        let before = inner.remove(key);
        let ripples = inner.ripples(key, before.as_ref(), None);
        self.metrics.plan_moved(before.and_then(|before| before.reason), None);
        ripples
    }

    /// A plan that cannot be decoded: what was known of it stays, since nothing can be known to have changed.
    pub fn put_undecodable(&self, key: Key) {
        let mut inner = self.lock();
        inner.undecodable.insert(key);
        self.metrics.set_undecodable(inner.undecodable.len());
    }

    /// The UID of a plan.
    pub fn uid(&self, key: &Key) -> Option<Box<str>> {
        self.lock().plans.get(key).map(|entry| entry.contender.uid.clone())
    }

    /// The plans known in a namespace, or in all.
    pub fn keys(&self, namespace: Option<&str>) -> Vec<Key> {
        let inner = self.lock();
        let keys = inner.plans.keys().chain(&inner.undecodable);
        keys.filter(|key| namespace.is_none_or(|namespace| *key.namespace == *namespace)).cloned().collect()
    }

    /// Who holds the tenant of a plan.
    pub fn claim(&self, key: &Key, tenant: &str) -> Claim {
        let inner = self.lock();
        let of_tenant = inner.by_tenant.get(tenant).into_iter().flatten();
        let plans = of_tenant.filter_map(|key| inner.plans.get_key_value(key)).collect::<Vec<_>>();
        match claim::holder(&plans, |(_, entry)| &entry.contender) {
            Some((holder, _)) if *holder != key => Claim::HeldBy(holder.to_string().into()),
            Some(_) | None => Claim::Ours,
        }
    }

    /// The plans that use a Secret.
    pub fn users(&self, secret: &Key) -> Vec<Key> {
        self.lock().by_secret.get(secret).into_iter().flatten().cloned().collect()
    }

    /// A plan is about to depend on its Secret, as it knows it at this version. False if that one is being let go, or was: the
    /// plan must look again. One that depends on it already may try where that is in doubt.
    pub fn intend(&self, key: &Key, secret: &Key, version: Option<u64>) -> bool {
        let mut inner = self.lock();
        let depends = inner.plans.get(key).is_some_and(|entry| entry.contender.finalizer);
        if inner.releases.is_out(secret, version) && !(depends && inner.releases.is_in_doubt(secret)) {
            return false;
        }
        if let Some(entry) = inner.plans.get_mut(key) {
            entry.intent = entry.intent.begun();
        }
        true
    }

    /// The pass of a plan is over; what it meant to do it has done, or will mean to do again, unless it is in doubt whether it has.
    /// The Secret that it no longer means to use.
    pub fn settle(&self, key: &Key, in_doubt: bool) -> Option<Key> {
        let mut inner = self.lock();
        let entry = inner.plans.get_mut(key)?;
        let before = entry.intent;
        entry.intent = before.settled(in_doubt);
        (before != entry.intent && !entry.uses_secret()).then(|| entry.secret.clone())
    }

    /// Begins to let a Secret go, if no plan depends on it and this version of it was not let go already.
    pub fn begin_release(&self, secret: &Key, version: Option<u64>) -> bool {
        let mut inner = self.lock();
        let mut users = inner.by_secret.get(secret).into_iter().flatten();
        let used = users.any(|key| inner.plans.get(key).is_some_and(Entry::uses_secret));
        // Nobody knows which Secret a plan uses that cannot be decoded.
        let unknown = inner.undecodable.iter().any(|plan| plan.namespace == secret.namespace);
        !used && !unknown && inner.releases.begin(secret, version)
    }

    /// What has become of letting a Secret go.
    pub fn end_release(&self, secret: &Key, outcome: Outcome) {
        self.lock().releases.end(secret, outcome);
    }

    /// A Secret is gone; one of the same name is another one.
    pub fn forget_release(&self, secret: &Key) {
        self.lock().releases.forget(secret);
    }

    /// Whether a Secret, as a cache has it at this version, may have been let go since.
    pub fn is_released_since(&self, secret: &Key, version: Option<u64>) -> bool {
        self.lock().releases.is_out(secret, version)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn insert(&mut self, key: Key, entry: Entry) {
        self.by_tenant.entry(entry.tenant.clone()).or_default().insert(key.clone());
        self.by_secret.entry(entry.secret.clone()).or_default().insert(key.clone());
        self.plans.insert(key, entry);
    }

    fn remove(&mut self, key: &Key) -> Option<Entry> {
        let entry = self.plans.remove(key)?;
        unlink(&mut self.by_tenant, &entry.tenant, key);
        unlink(&mut self.by_secret, &entry.secret, key);
        Some(entry)
    }

    /// Others of the tenant are woken only when a claim changed, and Secrets looked at only when a use of them ended.
    fn ripples(&self, key: &Key, before: Option<&Entry>, after: Option<&Entry>) -> Affected {
        let mut ripples = Affected::default();
        if before.map(|entry| &entry.contender) != after.map(|entry| &entry.contender) {
            let tenants = before.into_iter().chain(after).map(|entry| &entry.tenant).collect::<BTreeSet<_>>();
            let plans = tenants.into_iter().filter_map(|tenant| self.by_tenant.get(tenant)).flatten();
            ripples.plans = plans.filter(|other| *other != key).cloned().collect();
        }
        if let Some(before) = before {
            let still_used = after.is_some_and(|after| after.secret == before.secret && after.uses_secret());
            if before.uses_secret() && !still_used {
                ripples.secrets.push(before.secret.clone());
            }
        }
        ripples
    }
}

fn unlink<K: std::hash::Hash + Eq>(index: &mut HashMap<K, BTreeSet<Key>>, at: &K, key: &Key) {
    if let Some(keys) = index.get_mut(at) {
        keys.remove(key);
        if keys.is_empty() {
            index.remove(at);
        }
    }
}

fn reported_reason(plan: &PremiumSupportPlan) -> Option<Reason> {
    let conditions = &plan.status.as_ref()?.conditions;
    Reason::parse(&conditions.iter().find(|condition| condition.type_ == READY)?.reason)
}

#[cfg(test)]
mod tests;
