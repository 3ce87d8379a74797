//! Which reconciles a change triggers, and the queues that receive them.

use futures::channel::mpsc::{self, UnboundedReceiver, UnboundedSender};
use kube::core::DeserializeGuard;
use kube::runtime::reflector::ObjectRef;

use crate::api::key::ObjectKey;
use crate::api::plan::PremiumSupportPlan;

/// A plan as the watch returns it. One that cannot be decoded does not stop the watch.
pub type WatchedPlan = DeserializeGuard<PremiumSupportPlan>;

/// What a change of a plan affects.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Affected {
    /// Other plans of the same tenant, whose claim may have changed.
    pub plans: Vec<ObjectKey>,
    /// Secrets that the plan no longer uses, whose finalizer may be removed.
    pub secrets: Vec<ObjectKey>,
}

/// The sending ends of the queues.
#[derive(Clone)]
pub struct Triggers {
    plans: UnboundedSender<ObjectRef<WatchedPlan>>,
    secrets: UnboundedSender<ObjectKey>,
}

/// The receiving ends of the queues.
pub struct Queues {
    /// Plans to reconcile.
    pub plans: UnboundedReceiver<ObjectRef<WatchedPlan>>,
    /// Secrets whose finalizer may be removed.
    pub secrets: UnboundedReceiver<ObjectKey>,
}

impl Triggers {
    /// New queues.
    #[must_use]
    pub fn new() -> (Self, Queues) {
        let (plans, plans_received) = mpsc::unbounded();
        let (secrets, secrets_received) = mpsc::unbounded();
        (Self { plans, secrets }, Queues { plans: plans_received, secrets: secrets_received })
    }

    /// Triggers a reconcile of a plan.
    pub fn enqueue_plan(&self, key: &ObjectKey) {
        // The receiver is dropped only at shutdown, when no reconcile is needed.
        let _ = self.plans.unbounded_send(ObjectRef::new(&key.name).within(&key.namespace));
    }

    /// Triggers a check whether the finalizer of a Secret may be removed.
    pub fn enqueue_secret(&self, key: ObjectKey) {
        let _ = self.secrets.unbounded_send(key);
    }

    /// Triggers everything that a change affects.
    pub fn enqueue_affected(&self, affected: Affected) {
        for plan in &affected.plans {
            self.enqueue_plan(plan);
        }
        for secret in affected.secrets {
            self.enqueue_secret(secret);
        }
    }
}
