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
        if is_same && (current.in_progress || current.in_doubt_at.is_some()) {
            return None;
        }
        let depends = is_same && indexed.is_some_and(|indexed| indexed.depends_on_secret);
        self.0.remove(plan).map(|ended| ended.secret).filter(|_| !depends)
    }
}
