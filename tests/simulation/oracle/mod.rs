//! The oracle: it sees all objects and FIC at every moment, which no process can, and checks the rules.

mod contracts;
mod plans;
mod secrets;
mod tenants;
mod truth;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use fic_simulator::log::Call;
use fic_simulator::state::{Contract, FicState};
use serde_json::Value;

use crate::event_ledger::EventLedger;
use crate::plan_fields::{has_record, is_open, owned_id, spec_text, uid};
use crate::sim_world::Incarnation;
use crate::store::{Kind, ObjectRef, ObjectWrite, Store};
use truth::{ContractOrigin, PlanTruth};

/// How long a process holds the lease after a renewal, plus a margin for times in whole milliseconds.
const LEASE_VALIDITY: Duration = Duration::from_millis(10_050);

/// How long after a change of the plan a decision of before may still take effect.
#[derive(Clone, Copy, Debug, Default)]
pub struct Slack {
    /// For create and delete requests: the operator reads the plan from the API server right before each of them.
    pub changes: Duration,
    /// For reads of FIC: the watch may be late.
    pub reads: Duration,
}

/// A request to FIC or Keystone.
pub struct FicRequest {
    pub incarnation: Incarnation,
    pub call: Call,
    pub tenant: Option<String>,
    /// The last segment of the path: for a delete request the id of the contract.
    pub contract: String,
    /// The contract of the tenant before FIC handles the request.
    pub before: Option<Contract>,
}

impl FicRequest {
    pub fn is_change(&self) -> bool {
        matches!(self.call, Call::Create | Call::Delete)
    }
}

/// What FIC has accepted. The sender knows it once it receives the response, and not if it was frozen until its
/// timeout.
#[derive(Debug)]
pub enum Accepted {
    Create { tenant: String, contract: String },
    Delete { contract: String },
}

#[derive(Default)]
pub struct Oracle {
    /// By UID of the plan.
    truths: BTreeMap<String, PlanTruth>,
    /// By tenant: the plans that it has or had.
    plans: BTreeMap<String, BTreeSet<ObjectRef>>,
    /// By tenant: the UIDs of these plans.
    uids: BTreeMap<String, BTreeSet<String>>,
    /// By id of the contract: the plans that record it as their own, or did.
    recorded_by: BTreeMap<String, BTreeSet<ObjectRef>>,
    /// By id of the contract.
    contracts: BTreeMap<String, ContractOrigin>,
    pub uninstalled_at: Option<Duration>,
    /// Each process reconciles the plans of its own shard.
    pub has_shards: bool,
    /// Two processes lead at the same time. That must be harmless, but they cannot avoid to do some things twice.
    pub two_lead: bool,
    pub max_recreations: Option<u32>,
    /// How many lost contracts were given up, to create others.
    recreations: u32,
    pub slack: Slack,
    /// By process: when it last renewed its lease.
    lease_renewals: BTreeMap<String, Duration>,
    /// By process and tenant: until when FIC asked the process to wait.
    wait_until: BTreeMap<(Incarnation, String), Duration>,
    /// When a frozen process last continued. It may read FIC before it observes what has changed meanwhile.
    pub unfrozen_at: Option<Duration>,
    /// By tenant: a contract whose create request was accepted, and the process that received the response.
    accepted: BTreeMap<String, (String, Incarnation)>,
    /// By contract: the process that received the response to an accepted delete request, and when.
    deleted: BTreeMap<String, (Incarnation, Duration)>,
    /// By process and tenant: the version at which the process opened a record, until it knows every record that was
    /// opened before.
    unknown_records: BTreeMap<(Incarnation, String), u64>,
    /// Contracts for which a delete request was sent.
    delete_requested: BTreeSet<String>,
    /// Reads of FIC may return an old state.
    pub reads_lag: bool,
    /// The first broken rule.
    failure: Option<String>,
    pub creates: u32,
    pub deletes: u32,
    pub event_ledger: EventLedger,
}

impl Oracle {
    pub fn result(&self) -> Result<(), String> {
        self.failure.clone().map_or(Ok(()), Err)
    }

    /// Records a broken rule.
    pub fn fail(&mut self, failure: &str) {
        self.failure.get_or_insert_with(|| failure.to_owned());
    }

    /// Records a broken rule that only one leader can keep: each process knows only its own requests.
    pub fn fail_if_one_leads(&mut self, failure: &str) {
        if !self.two_lead {
            self.fail(failure);
        }
    }

    /// The UID of the plan that owns a contract.
    pub fn owner(&self, contract: &str) -> Option<&str> {
        self.contracts.get(contract)?.owner.as_deref()
    }

    /// Whether the operator created a contract that no plan has recorded.
    pub fn is_left_behind(&self, contract: &str) -> bool {
        self.is_created_by_operator(contract) && self.owner(contract).is_none()
    }

    pub fn is_created_by_operator(&self, contract: &str) -> bool {
        self.contracts.get(contract).is_some_and(|origin| origin.created_by_operator)
    }

    fn truth(&mut self, uid: &str) -> &mut PlanTruth {
        self.truths.entry(uid.to_owned()).or_default()
    }

    /// What is true of the plans that a tenant has or had.
    fn truths_of(&self, tenant: &str) -> impl Iterator<Item = &PlanTruth> {
        self.uids.get(tenant).into_iter().flatten().filter_map(|uid| self.truths.get(uid))
    }

    /// The plans of a tenant, in the order of their names.
    fn plans_of<'a>(&self, store: &'a Store, tenant: &str) -> Vec<(ObjectRef, &'a Value)> {
        let plans = self.plans.get(tenant).into_iter().flatten();
        let plans = plans.filter_map(|id| Some((id.clone(), store.get(id)?)));
        plans.filter(|(_, plan)| spec_text(plan, "tenantID", "") == tenant).collect()
    }

    /// The plans that record a contract as their own.
    fn holders<'a>(&'a self, store: &'a Store, contract: &'a str) -> impl Iterator<Item = &'a Value> {
        let plans = self.recorded_by.get(contract).into_iter().flatten().filter_map(|id| store.get(id));
        plans.filter(move |plan| owned_id(plan) == Some(contract))
    }

    fn has_one_plan(&self, tenant: &str) -> bool {
        self.truths_of(tenant).count() == 1
    }

    pub fn lease_renewed(&mut self, holder: &str, now: Duration) {
        self.lease_renewals.insert(holder.to_owned(), now);
    }

    /// A request leaves its process. The process must hold the lease if the request changes a contract, and must honour
    /// Retry-After.
    pub fn request_sent(&mut self, now: Duration, request: &FicRequest, elects: bool) {
        self.check_records_known(request);
        let FicRequest { incarnation, call, tenant, .. } = request;
        let name = format!("{}{}", incarnation.0, incarnation.1);
        let renewed = self.lease_renewals.get(&name);
        if elects && request.is_change() && renewed.is_none_or(|at| now.saturating_sub(*at) > LEASE_VALIDITY) {
            self.fail(&format!("rule 9: {name} sends a {call:?} request although it may not hold the lease"));
        }
        let Some(tenant) = tenant.as_deref().filter(|tenant| self.has_one_plan(tenant)) else { return };
        // The list of operations only explains a failure: it is not delayed, and its response does not delay other
        // requests.
        let explains = matches!(call, Call::ListOperations);
        let wait_until = self.wait_until.get(&(*incarnation, tenant.to_owned()));
        if !explains && wait_until.is_some_and(|until| now < *until) {
            self.fail_if_one_leads(&format!("Retry-After: {call:?} request for a tenant earlier than FIC allowed"));
        }
    }

    /// A process received a response with Retry-After.
    pub fn retry_after_received(&mut self, incarnation: Incarnation, request: &FicRequest, until: Duration) {
        let tenant = request.tenant.clone();
        if let Some(tenant) = tenant.filter(|_| !matches!(request.call, Call::ListOperations)) {
            self.wait_until.insert((incarnation, tenant), until);
        }
    }

    /// A plan moves to another shard. No operator keeps what it knows of a plan that it does not see, also if it returns.
    pub fn plan_moved(&mut self, plan: &Value) {
        let tenant = plan["spec"]["tenantID"].as_str().unwrap_or_default();
        self.wait_until.retain(|(_, other), _| other != tenant);
        self.accepted.remove(tenant);
    }

    /// The response to a write of a plan is lost. A plan with an open record may own a contract.
    pub fn response_lost(&mut self, plan: &Value) {
        self.create_may_be_unknown(plan);
        self.accepted.remove(plan["spec"]["tenantID"].as_str().unwrap_or_default());
    }

    /// The memory of the leader is lost, and with it what the leader knew about its create requests.
    pub fn memory_lost(&mut self, store: &Store) {
        self.accepted.clear();
        self.deleted.clear();
        self.wait_until.clear();
        for (_, plan) in store.all(Kind::Plan) {
            self.create_may_be_unknown(plan);
            if self.truth(uid(plan)).marks_removed && !has_record(plan) {
                self.forget_contract(uid(plan), None);
            }
        }
    }

    /// A user removed every trace of what a plan may have bought. No process can know of the contract any more, so it
    /// counts as one from the portal.
    fn forget_contract(&mut self, uid: &str, now: Option<Duration>) {
        let truth = self.truths.entry(uid.to_owned()).or_default();
        let tenant = truth.tenant.clone();
        truth.lost += 1;
        self.accepted.remove(&tenant);
        let of_tenant = self.contracts.values_mut().filter(|origin| origin.tenant == tenant);
        for origin in of_tenant.filter(|origin| origin.owner.as_deref().is_none_or(|owner| owner == uid)) {
            origin.created_by_operator = false;
            origin.owner = None;
            origin.forgotten_at = now;
        }
    }

    fn create_may_be_unknown(&mut self, plan: &Value) {
        if is_open(plan) {
            self.truth(uid(plan)).create_unknown = true;
        }
    }

    /// An object was written. `by` is `None` for users and the API server; for a process of the operator it says
    /// whether the process still runs.
    pub fn object_written(
        &mut self,
        now: Duration,
        store: &Store,
        fic: &FicState,
        id: &ObjectRef,
        write: &ObjectWrite,
        by: Option<bool>,
    ) {
        match id.kind {
            Kind::Plan => self.plan_written(now, store, fic, id, write, by),
            Kind::Secret => self.secret_written(now, store, id, write, by.is_some()),
            Kind::Lease | Kind::Crd | Kind::Event => {}
        }
    }

    /// Time has passed: what a plan of the tenant requests, it still requests now.
    fn update_truths(&mut self, now: Duration, store: &Store, tenant: &str) {
        for id in self.plans.get(tenant).cloned().unwrap_or_default() {
            if let Some(plan) = store.get(&id) {
                self.truth(uid(plan)).update(plan, now);
            }
        }
    }
}
