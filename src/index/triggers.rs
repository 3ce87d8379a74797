//! Triggers: how whoever sees a change has the plans and Secrets looked at that it concerns.

use futures::channel::mpsc::UnboundedSender;
use kube::core::DeserializeGuard;
use kube::runtime::reflector::ObjectRef;

use crate::api::key::Key;
use crate::api::plan::PremiumSupportPlan;
use crate::index::Affected;

/// A plan as the watch brings it: one that cannot be decoded does not stop the watch.
pub type WatchedPlan = DeserializeGuard<PremiumSupportPlan>;

/// Where waking a plan, or looking at a Secret, is asked for.
#[derive(Clone)]
pub struct Triggers {
    /// Plans to look at.
    pub plans: UnboundedSender<ObjectRef<WatchedPlan>>,
    /// Secrets that may be let go.
    pub secrets: UnboundedSender<Key>,
}

impl Triggers {
    /// Wakes a plan.
    pub fn wake(&self, key: &Key) {
        // A bell without a listener rings when the process ends; nobody needs to wake then.
        let _ = self.plans.unbounded_send(ObjectRef::new(&key.name).within(&key.namespace));
    }

    /// Has a Secret looked at.
    pub fn check_secret(&self, key: Key) {
        let _ = self.secrets.unbounded_send(key);
    }

    /// Tells everyone whom a change of a plan concerns.
    pub fn ripple(&self, ripples: Affected) {
        for plan in &ripples.plans {
            self.wake(plan);
        }
        for secret in ripples.secrets {
            self.check_secret(secret);
        }
    }
}
