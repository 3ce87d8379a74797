//! The finalizer `fic.ntt.com/in-use`, which prevents the deletion of a credentials Secret while a plan depends on it.
//!
//! The protocol, complete:
//!
//! - A reconcile adds the finalizer before its plan opens a record ([`SecretFinalizer::begin_use`],
//!   [`SecretFinalizer::add`]), and ends its use at its own end ([`SecretFinalizer::end_use`]). From then on the
//!   finalizer of the plan itself shows the use, in the index.
//! - Only the [`worker`] removes the finalizer, once no plan depends on the Secret.
//! - The two never overlap: [`usage`] knows which plans are about to depend on a Secret, [`release`] which Secrets are
//!   being released. Each side knows the version of the Secret that it has read.
//! - A response that was lost leaves a doubt. A plan whose finalizer was sent without a response counts as a user until
//!   a newer version of the plan is known. A Secret whose release was sent without a response counts as released until
//!   a newer version of it is known.

mod additions;
pub mod release;
mod usage;
pub mod worker;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use k8s_openapi::api::core::v1::Secret;
use kube::api::{Patch, PatchParams};
use kube::core::PartialObjectMeta;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Api, Client, ResourceExt};
use serde_json::json;
use thiserror::Error;

use crate::api::credentials::{CredentialsSecret, IN_USE_FINALIZER};
use crate::api::key::{ObjectKey, parse_resource_version, resource_version};
use crate::index::Index;
use crate::index::triggers::Triggers;
use crate::leader_election::Leadership;
use crate::metrics::KubernetesMetrics;
use additions::Additions;
use release::Releases;
use usage::Usage;

/// Why the finalizer of a Secret was not changed.
#[derive(Debug, Error)]
pub enum Error {
    /// The Secret changed since it was read. The watch returns the change.
    #[error("the Secret changed since it was read")]
    Conflict,
    /// The finalizer of the Secret is being removed, or may have been.
    #[error("the finalizer of the Secret is being removed")]
    Releasing,
    /// This replica may not hold the lease any more.
    #[error("this replica does not hold the lease")]
    NotLeader,
    /// The request to the API server failed.
    #[error("the request to the API server failed")]
    Kubernetes(#[from] kube::Error),
}

/// Adds and removes the finalizer of credentials Secrets.
pub struct SecretFinalizer {
    client: Client,
    cache: Store<CredentialsSecret>,
    index: Arc<Index>,
    leadership: Leadership,
    triggers: Triggers,
    metrics: KubernetesMetrics,
    additions: Additions,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    usage: Usage,
    releases: Releases,
}

impl SecretFinalizer {
    /// Works on the Secrets in this cache.
    #[must_use]
    pub fn new(
        client: Client,
        cache: Store<CredentialsSecret>,
        index: Arc<Index>,
        leadership: Leadership,
        triggers: Triggers,
        metrics: KubernetesMetrics,
    ) -> Self {
        Self {
            client,
            cache,
            index,
            leadership,
            triggers,
            metrics,
            additions: Additions::default(),
            state: Mutex::default(),
        }
    }

    /// A Secret, as cached.
    pub fn cached(&self, key: &ObjectKey) -> Option<Arc<CredentialsSecret>> {
        self.cache.get(&ObjectRef::new(&key.name).within(&key.namespace))
    }

    /// Whether a Secret carries the finalizer for certain. A stale cache may show a finalizer that was removed since.
    pub fn is_present(&self, secret: &CredentialsSecret) -> bool {
        has_finalizer(secret) && !self.lock().releases.may_be_released(&ObjectKey::of(secret), resource_version(secret))
    }

    /// A plan is about to depend on its Secret, which it has read at this version.
    ///
    /// # Errors
    /// When the Secret is being released, or has changed: the plan must be reconciled again. A plan that already
    /// depends on the Secret may add the finalizer while the release is in doubt.
    pub fn begin_use(&self, plan: &ObjectKey, secret: &ObjectKey, version: Option<u64>) -> Result<(), Error> {
        // The finalizer that another plan added since is no change to this one.
        let added = self.additions.after(secret, version);
        let version = added.map_or(version, |after| parse_resource_version(Some(&after)));
        let mut state = self.lock();
        let indexed = self.index.get(plan);
        let depends = indexed.as_ref().is_some_and(|plan| plan.depends_on_secret);
        if state.releases.may_be_released(secret, version) && !(depends && state.releases.is_in_doubt(secret)) {
            return Err(Error::Releasing);
        }
        if let Some(indexed) = indexed {
            state.usage.begin(plan, secret, indexed);
        }
        drop(state);
        // The reconcile may have started before the cache had the current Secret, and have read a finalizer that was
        // removed since.
        let cached = self.cached(secret).ok_or(Error::Conflict)?;
        if resource_version(&*cached) > version { Err(Error::Conflict) } else { Ok(()) }
    }

    /// The reconcile of a plan ended. `in_doubt`: a write may have taken effect without a response.
    pub fn end_use(&self, plan: &ObjectKey, in_doubt: bool) {
        let indexed = self.index.get(plan);
        let ended = self.lock().usage.end(plan, indexed.as_ref(), in_doubt);
        self.enqueue(ended);
    }

    /// The index has a newer version of a plan, or the plan was deleted. That ends its use of a former Secret, and the
    /// doubt about an older version.
    pub fn plan_updated(&self, plan: &ObjectKey) {
        let indexed = self.index.get(plan);
        let ended = self.lock().usage.update(plan, indexed.as_ref());
        self.enqueue(ended);
    }

    /// The watch returned a Secret.
    pub fn secret_updated(&self, secret: &CredentialsSecret) {
        let key = ObjectKey::of(secret);
        self.additions.cache_updated(&key, resource_version(secret));
        self.lock().releases.cache_updated(&key, resource_version(secret));
        if has_finalizer(secret) {
            self.triggers.enqueue_secret(key);
        }
    }

    /// The version of a Secret that this process has written and that the cache does not show yet.
    pub fn written_version(&self, secret: &ObjectKey) -> Option<u64> {
        self.lock().releases.written_version(secret)
    }

    /// A Secret was deleted. One of the same name is another Secret.
    pub fn secret_deleted(&self, key: &ObjectKey) {
        self.additions.forget(key);
        self.lock().releases.forget(key);
    }

    /// Adds the finalizer to a Secret that was read at this version, when it is the turn of this request. Returns the new
    /// version. Plans that do so at the same time send one write.
    ///
    /// # Errors
    /// When the request failed, or the Secret changed since.
    pub async fn add<T>(
        &self,
        key: &ObjectKey,
        version: Option<&str>,
        turn: impl Future<Output = T>,
    ) -> Result<Option<String>, Error> {
        let write = async || {
            let _turn = turn.await;
            self.write(key, version).await
        };
        self.additions.share(key, version, write).await
    }

    async fn write(&self, key: &ObjectKey, version: Option<&str>) -> Result<Option<String>, Error> {
        let cached = self.cached(key).ok_or(Error::Conflict)?;
        let finalizers = other_finalizers(&cached).chain([IN_USE_FINALIZER.to_owned()]).collect();
        let written = self.patch(key, version, finalizers).await?;
        self.lock()
            .releases
            .finalizer_confirmed(key, parse_resource_version(written.metadata.resource_version.as_deref()));
        Ok(written.metadata.resource_version)
    }

    /// Removes the finalizer from a Secret. Returns the new version.
    async fn remove(&self, key: &ObjectKey, secret: &CredentialsSecret) -> Result<Option<u64>, Error> {
        let finalizers = other_finalizers(secret).collect();
        let written = self.patch(key, secret.metadata.resource_version.as_deref(), finalizers).await?;
        Ok(parse_resource_version(written.metadata.resource_version.as_deref()))
    }

    async fn patch(
        &self,
        key: &ObjectKey,
        version: Option<&str>,
        finalizers: Vec<String>,
    ) -> Result<PartialObjectMeta<Secret>, Error> {
        if !self.leadership.holds_lease() {
            return Err(Error::NotLeader);
        }
        let api = Api::<Secret>::namespaced(self.client.clone(), &key.namespace);
        let patch = json!({ "metadata": { "resourceVersion": version, "finalizers": finalizers } });
        let parameters = PatchParams { field_manager: Some(crate::NAME.into()), ..PatchParams::default() };
        match api.patch_metadata(&key.name, &parameters, &Patch::Merge(&patch)).await {
            Ok(written) => {
                self.metrics.record_write("secret");
                Ok(written)
            }
            Err(kube::Error::Api(status)) if status.code == 409 || status.code == 404 => Err(Error::Conflict),
            Err(error) => Err(error.into()),
        }
    }

    /// Triggers a check of a Secret whose use ended.
    fn enqueue(&self, ended: Option<ObjectKey>) {
        if let Some(secret) = ended {
            self.triggers.enqueue_secret(secret);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn has_finalizer(secret: &CredentialsSecret) -> bool {
    secret.finalizers().iter().any(|name| name == IN_USE_FINALIZER)
}

fn other_finalizers(secret: &CredentialsSecret) -> impl Iterator<Item = String> {
    secret.finalizers().iter().filter(|name| *name != IN_USE_FINALIZER).cloned()
}

#[cfg(test)]
mod tests;
