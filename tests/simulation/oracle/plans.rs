//! Checks each write of a plan: which contract it records, and when the operator removes the finalizer.

use std::time::Duration;

use fic_simulator::state::FicState;
use serde_json::Value;

use super::Oracle;
use crate::plan_fields::{
    self, FOREIGN_FINALIZER, has_record, is_open, is_retained, is_suspended, owned_id, recorded_id, secret_of,
    spec_text,
};
use crate::store::{ObjectRef, ObjectWrite, Store, has_finalizer, is_deleting};

impl Oracle {
    pub(super) fn plan_written(
        &mut self,
        now: Duration,
        store: &Store,
        fic: &FicState,
        id: &ObjectRef,
        write: &ObjectWrite,
        by: Option<bool>,
    ) {
        let before = write.before.as_ref();
        let plan = write.after.as_ref().or(before).unwrap();
        let uid = plan_fields::uid(plan).to_owned();
        let had = before.is_some_and(has_record);
        let has = write.after.as_ref().is_some_and(has_record);
        self.update_truth(now, id, write, plan);
        if has && !had && by == Some(false) {
            self.truth(&uid).create_unknown = true;
        }
        if self.has_shards && has != had {
            // An operator of another shard may just be removing the finalizer of the Secret. It is added again.
            self.truth(&uid).record_changed_at = Some(now);
        }
        if by.is_none() {
            self.record_changed_by_user(now, write);
            return;
        }
        if write.after.as_ref().is_some_and(has_record) {
            self.truth(&uid).marks_removed = false;
        }
        if let Some(after) = &write.after
            && owned_id(after) != before.and_then(owned_id)
            && let Some(contract) = owned_id(after)
        {
            self.contract_recorded(store, &uid, after, contract);
        }
        if let (Some(before), Some(after)) = (before, &write.after) {
            self.check_removals(before, after);
        }
        self.event_ledger.plan_written(write);
        if had && !has {
            self.record_closed(now, store, fic, &uid, before.unwrap());
        }
    }

    fn update_truth(&mut self, now: Duration, id: &ObjectRef, write: &ObjectWrite, plan: &Value) {
        let tenant = spec_text(plan, "tenantID", "");
        self.plans.entry(tenant.to_owned()).or_default().insert(id.clone());
        if let Some(contract) = owned_id(plan) {
            self.recorded_by.entry(contract.to_owned()).or_default().insert(id.clone());
        }
        let uid = plan_fields::uid(plan);
        let former = self.truth(uid).tenant.clone();
        if former != tenant {
            self.uids.entry(former).or_default().remove(uid);
        }
        self.uids.entry(tenant.to_owned()).or_default().insert(uid.to_owned());
        let truth = self.truth(uid);
        tenant.clone_into(&mut truth.tenant);
        let before = write.before.as_ref();
        if let Some(before) = before.filter(|before| secret_of(id, before) != secret_of(id, plan)) {
            truth.former_secret = Some((secret_of(id, before), now));
        }
        // What the plan requested until now, and what it requests from now on.
        for plan in before.into_iter().chain(write.after.as_ref()) {
            truth.update(plan, now);
        }
    }

    /// A user or a tool changed the marks or the status of a plan, or deleted a plan without marks.
    fn record_changed_by_user(&mut self, now: Duration, write: &ObjectWrite) {
        let Some(before) = &write.before else { return };
        let uid = plan_fields::uid(before);
        let Some(after) = &write.after else {
            if is_open(before) {
                // It was being deleted, and the marks alone kept it.
                self.truth(uid).marks_removed = true;
            }
            // Deleted without the finalizer that a user removed before.
            if owned_id(before).is_some() || self.truth(uid).marks_removed {
                self.forget_contract(uid, Some(now));
            }
            return;
        };
        if is_open(before) && !has_record(after) {
            self.truth(uid).marks_removed = true;
            if self.truth(uid).create_unknown {
                // No process may know of the create request.
                self.forget_contract(uid, Some(now));
            }
        }
        if is_open(after) && !is_open(before) {
            // The marks were forged, or the status was wiped.
            self.truth(uid).create_unknown = true;
        }
        if has_record(after) != has_record(before) {
            self.truth(uid).record_changed_at = Some(now);
        }
        if owned_id(before).is_some() && !has_record(after) {
            self.forget_contract(uid, Some(now));
        }
    }

    /// The operator recorded a contract as the plan's own: checks that it may be.
    fn contract_recorded(&mut self, store: &Store, uid: &str, plan: &Value, contract: &str) {
        let adopts = spec_text(plan, "adoptionPolicy", "Never") == "IfPresent";
        let is_held_by_other = self.holders(store, contract).any(|other| plan_fields::uid(other) != uid);
        let truth = self.truths.entry(uid.to_owned()).or_default();
        let origin = self.contracts.entry(contract.to_owned()).or_default();
        origin.tenant.clone_from(&truth.tenant);
        // No process can tell a forged record from one of the operator. It may take a contract that no other plan records.
        let is_owned_by_other = origin.owner.as_deref().is_some_and(|owner| owner != uid) && !truth.create_unknown;
        if is_held_by_other || (is_owned_by_other && !adopts) {
            let owner = origin.owner.clone().unwrap_or_default();
            self.fail(&format!("rule 7: contract {contract} belongs to {owner} and was recorded by {uid}"));
            return;
        }
        if !(origin.created_by_operator || adopts || truth.create_unknown) {
            self.fail(&format!(
                "rule 3: contract {contract} was created in the portal and recorded as owned by the plan"
            ));
            return;
        }
        let former = origin.owner.replace(uid.to_owned());
        truth.create_unknown = false;
        // The former owner may need another contract later.
        if let Some(former) = former.filter(|former| former != uid) {
            self.truth(&former).lost += 1;
        }
    }

    /// The operator wrote a plan: checks that it removed the id only to create another contract, and no finalizer of
    /// other controllers.
    fn check_removals(&mut self, before: &Value, after: &Value) {
        let id_removed = owned_id(before).is_some() && recorded_id(after).is_none();
        if id_removed {
            self.recreations += 1;
            if self.max_recreations.is_some_and(|most| self.recreations > most) {
                self.fail("rule 13: more lost contracts are bought again than the purchase guard allows");
            }
        }
        if id_removed && spec_text(after, "recreationPolicy", "IfLost") == "Never" {
            self.fail("rule 6: the operator starts to recreate a lost contract although recreationPolicy is Never");
        }
        if has_finalizer(before, FOREIGN_FINALIZER) && !has_finalizer(after, FOREIGN_FINALIZER) {
            self.fail("rule: the operator removed the finalizer of another controller");
        }
    }

    /// The operator closed the record: checks that it left no contract of the plan behind.
    fn record_closed(&mut self, now: Duration, store: &Store, fic: &FicState, uid: &str, plan: &Value) {
        let truth = self.truths.entry(uid.to_owned()).or_default();
        truth.create_unknown = false;
        let tenant = truth.tenant.clone();
        self.accepted.remove(&tenant);
        let deleting = is_deleting(plan);
        if deleting && (is_retained(plan) || self.uninstalled_at.is_some()) {
            // A contract that the operator created for the plan remains and still counts as owned by the plan.
            // Of two plans with an open record, the other one may be the buyer.
            let mut others = self.plans_of(store, &tenant).into_iter();
            let another_is_open = others.any(|(_, other)| plan_fields::uid(other) != uid && is_open(other));
            let retained = fic.contract(&tenant).and_then(|contract| self.contracts.get_mut(&contract.id));
            if let Some(retained) = retained.filter(|retained| retained.created_by_operator && !another_is_open) {
                retained.owner.get_or_insert_with(|| uid.to_owned());
            }
            return;
        }
        if is_suspended(plan) {
            self.fail("rule: the operator closed the record of a suspended plan");
            return;
        }
        let phase = if deleting { "deleting" } else { "active" };
        let Some(contract) = fic.contract(&tenant) else { return };
        let Some(origin) = self.contracts.get(&contract.id) else { return };
        let others = self.plans_of(store, &tenant).into_iter().any(|(_, other)| {
            plan_fields::uid(other) != uid && has_record(other) && owned_id(other).is_none_or(|id| id == contract.id)
        });
        let is_own =
            origin.owner.as_deref() == Some(uid) || (origin.created_by_operator && origin.owner.is_none() && !others);
        if is_own {
            let id = contract.id;
            // Of two leaders, one may close a record that the other has opened again. The other restores it.
            self.fail_if_one_leads(&format!(
                "rule 1: contract {id} belongs to the plan and was left behind ({phase}, at {now:?})"
            ));
        }
    }
}
