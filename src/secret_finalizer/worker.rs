//! The worker that removes the finalizer from Secrets that no plan depends on any more, one Secret at a time.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::channel::mpsc::UnboundedReceiver;
use kube::Api;
use kube::api::ListParams;
use kube::core::DeserializeGuard;
use tracing::{debug, info};

use crate::api::credentials::CredentialsSecret;
use crate::api::key::{ObjectKey, resource_version};
use crate::api::plan::PremiumSupportPlan;
use crate::backoff;
use crate::domain::facts::Record;
use crate::index::scope::list_pages;
use crate::secret_finalizer::release::Outcome;
use crate::secret_finalizer::{Error, SecretFinalizer, has_finalizer};
use crate::text;

/// The longest wait before a failed release is retried: plans may be waiting for its outcome.
const LONGEST_RETRY: Duration = Duration::from_mins(1);

/// Checks the Secrets from the queue until this replica stops leading. A shard does not see all plans, and lists them
/// before each release.
pub async fn run(finalizer: Arc<SecretFinalizer>, mut queue: UnboundedReceiver<ObjectKey>, is_shard: bool) {
    let mut failures = HashMap::<ObjectKey, u32>::new();
    while let Some(key) = queue.next().await {
        let Some(secret) = finalizer.cached(&key).filter(|secret| has_finalizer(secret)) else {
            failures.remove(&key);
            continue;
        };
        if !finalizer.try_begin_release(&key, resource_version(&*secret)) {
            continue;
        }
        let outcome = release(&finalizer, &key, &secret, is_shard).await;
        finalizer.end_release(&key, outcome);
        match outcome {
            // The watch triggers the next check.
            Outcome::Released(_) | Outcome::Changed | Outcome::InUse => {
                failures.remove(&key);
            }
            Outcome::NotSent | Outcome::Unknown => {
                let failures = failures.entry(key.clone()).or_default();
                *failures = failures.saturating_add(1);
                let wait = backoff::after(*failures).min(LONGEST_RETRY);
                let triggers = finalizer.triggers.clone();
                tokio::spawn(async move {
                    tokio::time::sleep(wait).await;
                    triggers.enqueue_secret(key);
                });
            }
        }
    }
}

/// Removes the finalizer, unless a plan of another shard uses the Secret.
async fn release(finalizer: &SecretFinalizer, key: &ObjectKey, secret: &CredentialsSecret, is_shard: bool) -> Outcome {
    if is_shard {
        match finalizer.is_used_by_any(key).await {
            Ok(true) => return Outcome::InUse,
            Ok(false) => {}
            Err(error) => {
                debug!(secret = %key, error = %text::error_chain(&error), "could not list the plans, retrying with backoff");
                return Outcome::NotSent;
            }
        }
    }
    match finalizer.remove(key, secret).await {
        Ok(version) => {
            info!(secret = %key, "removed the finalizer: no plan depends on the Secret any more");
            Outcome::Released(version)
        }
        Err(error) => {
            debug!(secret = %key, error = %text::error_chain(&error), "could not remove the finalizer");
            outcome_of(&error)
        }
    }
}

fn outcome_of(error: &Error) -> Outcome {
    match error {
        Error::Conflict => Outcome::Changed,
        Error::Kubernetes(_) => Outcome::Unknown,
        Error::Releasing | Error::NotLeader => Outcome::NotSent,
    }
}

impl SecretFinalizer {
    /// Starts a release, if no plan depends on the Secret and this version was not released already.
    pub(super) fn try_begin_release(&self, secret: &ObjectKey, version: Option<u64>) -> bool {
        let mut state = self.lock();
        let is_used = self.index.may_depend_on_secret(secret) || state.usage.is_used(secret);
        !is_used && state.releases.try_begin(secret, version)
    }

    pub(super) fn end_release(&self, secret: &ObjectKey, outcome: Outcome) {
        self.lock().releases.end(secret, outcome);
    }

    /// Whether any plan of the namespace with a record refers to the Secret, whatever its labels, according to a
    /// live list. A plan that cannot be decoded may.
    async fn is_used_by_any(&self, secret: &ObjectKey) -> Result<bool, kube::Error> {
        let api = Api::<DeserializeGuard<PremiumSupportPlan>>::namespaced(self.client.clone(), &secret.namespace);
        let mut is_used = false;
        list_pages(&api, &ListParams::default(), |guard| {
            is_used |= match &guard.0 {
                Ok(plan) => Record::of(plan).is_present() && ObjectKey::of_secret(plan) == *secret,
                Err(_) => true,
            };
        })
        .await?;
        Ok(is_used)
    }
}
