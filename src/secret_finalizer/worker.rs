//! Letting Secrets go: the finalizer that keeps a Secret goes with the last plan that depends on it.
//!
//! A plan puts the finalizer on when it is about to buy; nobody but this takes it off, one Secret at a time. The directory knows
//! which plans depend on a Secret and which are about to, so a Secret is never let go from under one of them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::channel::mpsc::UnboundedReceiver;
use kube::ResourceExt;
use tracing::debug;

use crate::api::credentials::{CredentialsSecret, IN_USE_FINALIZER};
use crate::api::key::Key;
use crate::api::plan::version;
use crate::backoff;
use crate::index::triggers::Triggers;
use crate::reconcile::act;
use crate::reconcile::context::Context;
use crate::reconcile::error::Error;
use crate::reconcile::observe;
use crate::secret_finalizer::release::Outcome;
use crate::text;

/// The longest wait before a Secret that could not be let go is looked at again: plans may be waiting for what becomes of it.
const LONGEST_RETRY: Duration = Duration::from_mins(1);

/// Looks at the Secrets it is told of, until the process ends.
pub async fn run(context: Arc<Context>, mut told: UnboundedReceiver<Key>, bells: Triggers) {
    let mut failures = HashMap::<Key, u32>::new();
    while let Some(key) = told.next().await {
        let cached = context.secret(&key);
        let Some(secret) = cached.filter(|secret| secret.finalizers().iter().any(|name| name == IN_USE_FINALIZER))
        else {
            failures.remove(&key);
            continue;
        };
        let version = version(secret.metadata.resource_version.as_deref());
        if context.is_stopping() || !context.directory.begin_release(&key, version) {
            continue;
        }
        let outcome = match release(&context, &key, &secret).await {
            Ok(Some(version)) => Outcome::Done(version),
            // The other shard lets it go.
            Ok(None) => Outcome::Kept,
            Err(interrupt) => {
                debug!(secret = %key, error = %text::error(&interrupt), "not let go yet");
                outcome_of(&interrupt)
            }
        };
        context.directory.end_release(&key, outcome);
        match outcome {
            // The watch brings what there is to see.
            Outcome::Done(_) | Outcome::Changed | Outcome::Kept => {
                failures.remove(&key);
            }
            Outcome::NotSent | Outcome::Unknown => {
                let failures = failures.entry(key.clone()).or_default();
                *failures = failures.saturating_add(1);
                let wait = backoff::after(*failures).min(LONGEST_RETRY);
                let bells = bells.clone();
                tokio::spawn(async move {
                    tokio::time::sleep(wait).await;
                    bells.check_secret(key);
                });
            }
        }
    }
}

/// Lets a Secret go, if no plan uses it that another shard sees to. The version that it is at then.
async fn release(context: &Context, key: &Key, secret: &CredentialsSecret) -> Result<Option<Option<u64>>, Error> {
    if context.is_shard && observe::is_used_by_any(context, key).await? {
        return Ok(None);
    }
    act::release_secret(context, secret).await.map(Some)
}

fn outcome_of(interrupt: &Error) -> Outcome {
    match interrupt {
        Error::Conflict => Outcome::Changed,
        interrupt if interrupt.leaves_in_doubt() => Outcome::Unknown,
        Error::Gone
        | Error::SecretBusy
        | Error::NotLeading
        | Error::Stopping
        | Error::Kubernetes(_)
        | Error::Bug(_) => Outcome::NotSent,
    }
}
