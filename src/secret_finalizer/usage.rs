//! Which plans are about to depend on a Secret, before their own finalizer shows it.

use std::collections::HashMap;

use crate::api::key::ObjectKey;
use crate::index::IndexedPlan;

/// The uses that the index does not show yet, by plan.
#[derive(Default)]
pub(super) struct Usage(HashMap<ObjectKey, Use>);

struct Use {
    secret: ObjectKey,
    plan_uid: Box<str>,
    /// A reconcile in progress may add the finalizer to the plan.
    in_progress: bool,
    /// A reconcile sent the finalizer for this version of the plan, and no response arrived. Once a newer version is
    /// known, the write took effect or never will.
    in_doubt_at: Option<u64>,
}

impl Usage {
    /// A plan is about to depend on a Secret. Another attempt does not end a doubt.
    pub(super) fn begin(&mut self, plan: &ObjectKey, secret: &ObjectKey, indexed: IndexedPlan) {
        let known = self.0.get(plan).filter(|known| known.plan_uid == indexed.uid && known.secret == *secret);
        let in_doubt_at = known.and_then(|known| known.in_doubt_at);
        let started = Use { secret: secret.clone(), plan_uid: indexed.uid, in_progress: true, in_doubt_at };
        self.0.insert(plan.clone(), started);
    }

    /// The reconcile of a plan ended. Returns the Secret that the plan does not use any more.
    pub(super) fn end(&mut self, plan: &ObjectKey, indexed: Option<&IndexedPlan>, in_doubt: bool) -> Option<ObjectKey> {
        let current = self.0.get_mut(plan)?;
        if current.in_progress && in_doubt {
            current.in_doubt_at = indexed.map(|indexed| indexed.version);
        }
        current.in_progress = false;
        self.remove_if_ended(plan, indexed)
    }

    /// The index has a newer version of a plan, or the plan was deleted. Returns the Secret that the plan does not use
    /// any more.
    pub(super) fn update(&mut self, plan: &ObjectKey, indexed: Option<&IndexedPlan>) -> Option<ObjectKey> {
        let current = self.0.get_mut(plan)?;
        if let Some(indexed) = indexed {
            current.in_doubt_at = current.in_doubt_at.filter(|version| indexed.version <= *version);
        }
        self.remove_if_ended(plan, indexed)
    }

    /// Whether a plan is about to depend on a Secret, or may depend on it.
    pub(super) fn is_used(&self, secret: &ObjectKey) -> bool {
        self.0.values().any(|current| current.secret == *secret)
    }

    fn remove_if_ended(&mut self, plan: &ObjectKey, indexed: Option<&IndexedPlan>) -> Option<ObjectKey> {
        let current = self.0.get(plan)?;
        let is_same =
            indexed.is_some_and(|indexed| indexed.uid == current.plan_uid && indexed.secret == current.secret);
        // A create request may be in flight with this Secret, whatever the plan refers to by now.
        if current.in_progress || (is_same && current.in_doubt_at.is_some()) {
            return None;
        }
        let depends = is_same && indexed.is_some_and(|indexed| indexed.depends_on_secret);
        self.0.remove(plan).map(|ended| ended.secret).filter(|_| !depends)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> (ObjectKey, ObjectKey) {
        (ObjectKey::new("team", "plan"), ObjectKey::new("team", "secret"))
    }

    /// The plan in the index.
    fn indexed(uid: &str, secret: &str) -> IndexedPlan {
        IndexedPlan { uid: uid.into(), version: 1, secret: ObjectKey::new("team", secret), depends_on_secret: false }
    }

    #[test]
    fn the_doubt_of_a_former_plan_of_the_same_name_does_not_concern_the_new_one() {
        let (plan, secret) = keys();
        let mut usage = Usage::default();
        usage.begin(&plan, &secret, indexed("first", "secret"));
        assert_eq!(usage.end(&plan, Some(&indexed("first", "secret")), true), None, "its outcome is in doubt");
        usage.begin(&plan, &secret, indexed("second", "secret"));
        assert_eq!(usage.end(&plan, Some(&indexed("second", "secret")), false), Some(secret));
    }

    #[test]
    fn a_use_lasts_until_its_reconcile_ends_also_if_the_plan_refers_to_another_secret_or_is_another_plan() {
        let (plan, secret) = keys();
        for changed in [indexed("first", "other"), indexed("second", "secret")] {
            let mut usage = Usage::default();
            usage.begin(&plan, &secret, indexed("first", "secret"));
            assert_eq!(usage.update(&plan, Some(&indexed("first", "secret"))), None);
            assert_eq!(usage.update(&plan, Some(&changed)), None, "{changed:?}");
            assert!(usage.is_used(&secret), "{changed:?}");
            assert_eq!(usage.end(&plan, Some(&changed), true), Some(secret.clone()), "{changed:?}");
            assert!(!usage.is_used(&secret), "{changed:?}");
        }
    }
}
