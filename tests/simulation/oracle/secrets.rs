//! Checks each write of a Secret: the operator keeps its finalizer while a plan uses the Secret.

use std::time::Duration;

use super::Oracle;
use crate::plan_fields::{IN_USE_FINALIZER, has_record, secret_of, uid};
use crate::store::{Kind, ObjectRef, ObjectWrite, Store, has_finalizer};

impl Oracle {
    pub(super) fn secret_written(
        &mut self,
        now: Duration,
        store: &Store,
        id: &ObjectRef,
        write: &ObjectWrite,
        by_operator: bool,
    ) {
        let had = write.before.as_ref().is_some_and(|before| has_finalizer(before, IN_USE_FINALIZER));
        let has = write.after.as_ref().is_some_and(|after| has_finalizer(after, IN_USE_FINALIZER));
        if !by_operator || !had || has {
            return;
        }
        // The operator may not yet have observed that a plan names this Secret, or that a user changed its record.
        let is_observed = |plan: &serde_json::Value| {
            let truth = self.truths.get(uid(plan));
            let former = truth.and_then(|truth| truth.former_secret.as_ref()).map(|(_, until)| *until);
            let changes = former.into_iter().chain(truth.and_then(|truth| truth.record_changed_at));
            changes.max().is_none_or(|at| now.saturating_sub(at) > self.slack.reads)
        };
        let user = store.all(Kind::Plan).find(|(plan_id, plan)| {
            plan_id.namespace == id.namespace
                && has_record(plan)
                && secret_of(plan_id, plan) == *id
                && is_observed(plan)
        });
        if let Some((user, _)) = user {
            let failure = format!("rule 8: the finalizer of {id} was removed although {user} has a record");
            self.fail_if_one_leads(&failure);
        }
    }
}
