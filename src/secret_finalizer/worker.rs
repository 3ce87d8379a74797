//! The worker that removes the finalizer from Secrets that no plan depends on any more, one Secret at a time. Namespaces take
//! turns: anybody can create Secrets with the finalizer.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::channel::mpsc::UnboundedReceiver;
use futures::{FutureExt, StreamExt};
use kube::Api;
use kube::api::ListParams;
use kube::core::DeserializeGuard;
use tracing::{debug, info};

use crate::api::credentials::CredentialsSecret;
use crate::api::key::{ObjectKey, resource_version};
use crate::api::plan::PremiumSupportPlan;
use crate::backoff;
use crate::domain::facts::Record;
use crate::index::list::list_each;
use crate::index::turns::Turns;
use crate::secret_finalizer::release::Outcome;
use crate::secret_finalizer::{Error, SecretFinalizer, has_finalizer};
use crate::text;

/// The longest wait before a failed release is retried: plans may be waiting for its outcome.
const LONGEST_RETRY: Duration = Duration::from_mins(1);

/// How the plans of all shards use a Secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum LiveUse {
    /// No plan uses it.
    Unused,
    /// A plan of another shard has no record, and may be about to open one.
    MayBegin,
    /// A plan with a record refers to it, or may.
    Used,
}

/// Checks the Secrets from the queue until this replica stops leading. A shard does not see all plans, and lists them
/// before each release.
pub async fn run(finalizer: Arc<SecretFinalizer>, mut queue: UnboundedReceiver<ObjectKey>, is_shard: bool) {
    let mut failures = HashMap::<ObjectKey, u32>::new();
    let mut waiting = Turns::default();
    while let Some(key) = next(&mut waiting, &mut queue).await {
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

/// The Secret whose turn it is. `None` when the queue has ended.
async fn next(waiting: &mut Turns, queue: &mut UnboundedReceiver<ObjectKey>) -> Option<ObjectKey> {
    loop {
        while let Some(Some(key)) = queue.next().now_or_never() {
            waiting.push(key);
        }
        if let Some(key) = waiting.pop(None) {
            return Some(key);
        }
        waiting.push(queue.next().await?);
    }
}

/// Removes the finalizer, unless a plan of another shard uses the Secret.
pub(super) async fn release(
    finalizer: &SecretFinalizer,
    key: &ObjectKey,
    secret: &CredentialsSecret,
    is_shard: bool,
) -> Outcome {
    if is_shard {
        let is_deleting = secret.metadata.deletion_timestamp.is_some();
        match finalizer.use_by_any(key).await {
            Ok(LiveUse::Used) => return Outcome::InUse,
            // Nothing triggers a check when that plan goes, so it is retried. Nothing is bought with a deleted Secret.
            Ok(LiveUse::MayBegin) if !is_deleting => return Outcome::NotSent,
            Ok(LiveUse::MayBegin | LiveUse::Unused) => {}
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

    /// Whether the index has a plan as it is now, so that it is in the shard of this operator.
    fn knows(&self, plan: &PremiumSupportPlan) -> bool {
        let known = self.index.version(&ObjectKey::of(plan));
        known.is_some() && known == resource_version(plan)
    }

    /// How the plans of the namespace use the Secret, whatever their labels, according to a live list. A plan that cannot
    /// be decoded may use it. So may a plan without a record that is in another shard, or may be: the operator there may
    /// have seen the finalizer, and be about to open the record.
    async fn use_by_any(&self, secret: &ObjectKey) -> Result<LiveUse, kube::Error> {
        let api = Api::<DeserializeGuard<PremiumSupportPlan>>::namespaced(self.client.clone(), &secret.namespace);
        let mut found = LiveUse::Unused;
        list_each(&api, &ListParams::default(), |guard| {
            let of_plan = match &guard.0 {
                Ok(plan) if ObjectKey::of_secret(plan) != *secret => LiveUse::Unused,
                Ok(plan) if Record::of(plan).is_present() => LiveUse::Used,
                Ok(plan) if self.knows(plan) => LiveUse::Unused,
                Ok(_) => LiveUse::MayBegin,
                Err(_) => LiveUse::Used,
            };
            found = found.max(of_plan);
        })
        .await?;
        Ok(found)
    }
}
