//! Checks each request to FIC: which plan needs it, and whether it may create or delete a contract.

use std::time::Duration;

use fic_simulator::log::Call;
use fic_simulator::state::Contract;

use super::truth::{ContractOrigin, PlanTruth};
use super::{Accepted, FicRequest, Oracle};
use crate::plan_fields::{IN_USE_FINALIZER, is_open, secret_of, uid};
use crate::sim_world::Incarnation;
use crate::store::{Kind, ObjectRef, Store, has_finalizer};

/// For this long an accepted delete request is not sent again: no operation may take longer.
const DELETE_IN_PROGRESS: Duration = Duration::from_secs(20);
/// After a freeze a process may read FIC for this long before it observes what has changed meanwhile.
const READS_AFTER_FREEZE: Duration = Duration::from_secs(5);

impl Oracle {
    /// FIC has handled a request. `contract` is the contract of the tenant after a request that took effect. `unclear`
    /// says that the sender cannot conclude the outcome from the response.
    pub fn request_served(
        &mut self,
        now: Duration,
        store: &Store,
        request: &FicRequest,
        contract: Option<&Contract>,
        unclear: bool,
    ) -> Option<Accepted> {
        let tenant = request.tenant.as_deref()?;
        self.update_truths(now, store, tenant);
        self.check_needed(now, tenant, request);
        self.check_shard(now, tenant, request);
        self.check_id_recorded(tenant, request);
        match request.call {
            Call::Create => self.create_served(now, store, tenant, request, contract, unclear),
            Call::Delete => self.delete_served(now, request),
            _ => {}
        }
        let contract = contract.filter(|_| !unclear)?;
        match request.call {
            Call::Create => Some(Accepted::Create { tenant: tenant.to_owned(), contract: contract.id.clone() }),
            Call::Delete => Some(Accepted::Delete { contract: request.contract.clone() }),
            _ => None,
        }
    }

    /// A plan of the tenant must need requests, now or within the slack.
    fn check_needed(&mut self, now: Duration, tenant: &str, request: &FicRequest) {
        let last = self.truths_of(tenant).filter_map(|truth| truth.calls_requested_at).max();
        let unfrozen = self.unfrozen_at.is_some_and(|at| now.saturating_sub(at) < READS_AFTER_FREEZE);
        let is_read = !request.is_change();
        let slack = if is_read { self.slack.reads } else { self.slack.changes };
        if last.is_none_or(|last| now.saturating_sub(last) > slack) && !(unfrozen && is_read) {
            self.fail("rule: a request for a tenant, and none of its plans needs one");
        }
    }

    /// A plan has one owner at each moment: the operator of its shard.
    fn check_shard(&mut self, now: Duration, tenant: &str, request: &FicRequest) {
        let last =
            self.truths_of(tenant).filter_map(|truth| truth.in_shard_at.get(&request.incarnation.0).copied()).max();
        let slack = if request.is_change() { self.slack.changes } else { self.slack.reads };
        if self.has_shards && last.is_none_or(|last| now.saturating_sub(last) > slack) {
            self.fail("rule 9: a request for a plan of another shard");
        }
    }

    /// A process that knows of a new contract must record its id before the next request.
    fn check_id_recorded(&mut self, tenant: &str, request: &FicRequest) {
        if let Some((contract, incarnation)) = self.accepted.get(tenant)
            && *incarnation == request.incarnation
        {
            // Another plan of the tenant may send its own requests.
            if self.has_one_plan(tenant) && self.owner(contract).is_none() {
                let failure =
                    format!("rule 4: {contract} was created, and FIC is called before the plan records its id");
                self.fail_if_one_leads(&failure);
            }
            self.accepted.remove(tenant);
        }
    }

    /// The response has reached its sender.
    pub fn response_received(&mut self, now: Duration, incarnation: Incarnation, accepted: Accepted) {
        match accepted {
            Accepted::Create { tenant, contract } => {
                self.accepted.insert(tenant, (contract, incarnation));
            }
            Accepted::Delete { contract } => {
                self.deleted.insert(contract, (incarnation, now));
            }
        }
    }

    fn create_served(
        &mut self,
        now: Duration,
        store: &Store,
        tenant: &str,
        request: &FicRequest,
        contract: Option<&Contract>,
        unclear: bool,
    ) {
        self.creates += 1;
        let mut creators = self.plans_of(store, tenant);
        creators.retain(|(_, plan)| is_open(plan));
        if unclear {
            for (_, plan) in &creators {
                self.truth(uid(plan)).create_unknown = true;
            }
        }
        if let Some(before) = &request.before
            && self.is_created_by_operator(&before.id)
            && self.owner(&before.id).is_none()
        {
            let id = &before.id;
            self.fail_if_one_leads(&format!(
                "rule 3: a create request is sent again although {id} was created and is not recorded yet"
            ));
        }
        let Some(contract) = contract else { return };
        let origin =
            ContractOrigin { tenant: tenant.to_owned(), created_by_operator: true, ..ContractOrigin::default() };
        self.contracts.insert(contract.id.clone(), origin);
        // Of several plans with an open record, the request does not show the one that it was sent for.
        if creators.is_empty() {
            if !self.truths_of(tenant).any(|truth| truth.marks_removed) {
                self.fail_if_one_leads(&format!("rule 2: {} was created, and no plan has an open record", contract.id));
            }
            // A user has removed a plan that was being deleted, while its create request was on the way.
            let is_removed = |truth: &PlanTruth| truth.tenant == tenant && truth.marks_removed;
            let is_of_plan = store.all(Kind::Plan).any(|(_, plan)| self.truths.get(uid(plan)).is_some_and(is_removed));
            if let Some(origin) = self.contracts.get_mut(&contract.id).filter(|_| !is_of_plan) {
                origin.created_by_operator = false;
            }
            return;
        }
        if self.truths_of(tenant).any(|truth| truth.marks_removed) {
            // It may have been sent for the plan that has lost its marks since.
            return;
        }
        if !creators.iter().any(|(id, plan)| self.is_secret_kept(now, store, uid(plan), &secret_of(id, plan))) {
            self.fail_if_one_leads(&format!("rule 8: {} was created with a Secret without the finalizer", contract.id));
        }
        if let [(id, plan)] = creators.as_slice() {
            self.check_created_once(now, uid(plan), id, contract);
        }
    }

    /// Whether the Secret of the plan has the finalizer, or does not exist.
    fn is_secret_kept(&self, now: Duration, store: &Store, uid: &str, secret: &ObjectRef) -> bool {
        // A decision may still rely on the Secret that the plan named shortly before.
        let former = self.truths.get(uid).and_then(|truth| truth.former_secret.clone());
        let former = former.filter(|(_, until)| now.saturating_sub(*until) <= self.slack.changes);
        let mut secrets = former.into_iter().map(|(secret, _)| secret).chain([secret.clone()]);
        let opened_at = self.truths.get(uid).and_then(|truth| truth.record_changed_at);
        if self.has_shards && opened_at.is_some_and(|at| now.saturating_sub(at) <= self.slack.changes) {
            return true;
        }
        let is_kept =
            |secret: ObjectRef| store.get(&secret).is_none_or(|secret| has_finalizer(secret, IN_USE_FINALIZER));
        secrets.any(is_kept)
    }

    /// The plan must request a contract, and must not have one that it has not lost.
    fn check_created_once(&mut self, now: Duration, uid: &str, id: &ObjectRef, contract: &Contract) {
        let Some(truth) = self.truths.get_mut(uid) else { return };
        truth.created += 1;
        let (created, lost) = (truth.created, truth.lost);
        let requested_at = truth.contract_requested_at;
        let late = requested_at.is_none_or(|at| now.saturating_sub(at) > self.slack.changes);
        if created > 1 + lost {
            self.fail(&format!("rule 1: {created} contracts were created for {id}, which has lost {lost}"));
        }
        if late {
            self.fail(&format!("rule: {} was created for {id}, which requests no contract", contract.id));
        }
    }

    fn delete_served(&mut self, now: Duration, request: &FicRequest) {
        self.deletes += 1;
        let contract = &request.contract;
        let operation_status = request.before.as_ref().map(|before| before.operation_status.as_str());
        let in_progress = self.deleted.get(contract).is_some_and(|(incarnation, at)| {
            *incarnation == request.incarnation && now.saturating_sub(*at) < DELETE_IN_PROGRESS
        });
        if operation_status != Some("Error") && in_progress {
            self.fail_if_one_leads(&format!(
                "rule 5: {contract} is deleted again although FIC accepted the previous delete request"
            ));
        }
        let processing = operation_status == Some("Processing");
        if processing && !self.delete_requested.contains(contract) && !self.reads_lag {
            self.fail_if_one_leads(&format!(
                "rule 5: a delete request is sent for {contract} while FIC is still processing it"
            ));
        }
        self.delete_requested.insert(contract.clone());
        let forgotten_at = self.contracts.get(contract).and_then(|origin| origin.forgotten_at);
        if forgotten_at.is_some_and(|at| now.saturating_sub(at) <= self.slack.changes) {
            return;
        }
        let Some(owner) = self.owner(contract).map(str::to_owned) else {
            self.fail(&format!("rule 1: a delete request is sent for {contract}, which belongs to no plan"));
            return;
        };
        if self.uninstalled_at.is_some_and(|at| now.saturating_sub(at) > self.slack.changes) {
            self.fail(&format!("rule 12: a delete request is sent for {contract} although the CRD is being deleted"));
        }
        let last = self.truths.get(&owner).and_then(|truth| truth.deletion_requested_at);
        if last.is_none_or(|last| now.saturating_sub(last) > self.slack.changes) {
            self.fail(&format!(
                "rule 5: a delete request is sent for {contract}, and its plan {owner} does not request that"
            ));
        }
    }

    /// A user deleted or replaced the contract of a tenant in the portal.
    pub fn contract_lost_in_portal(&mut self, tenant: &str, contract: &str) {
        let Some(origin) = self.contracts.get(contract) else { return };
        match origin.owner.as_ref().and_then(|owner| self.truths.get_mut(owner)) {
            Some(truth) => truth.lost += 1,
            // Not recorded yet: any plan of the tenant may have to create another contract.
            None => {
                for truth in self.truths.values_mut().filter(|truth| truth.tenant == tenant) {
                    truth.lost += 1;
                }
            }
        }
    }
}
