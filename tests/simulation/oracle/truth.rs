//! What is true of a plan and of a contract, whether a process knows it or not.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use crate::plan_fields::{CONTRACT_FINALIZER, is_observed, is_retained, is_suspended};
use crate::store::{ObjectRef, has_finalizer, is_deleting};

#[derive(Default)]
pub struct PlanTruth {
    pub tenant: String,
    /// No process knows any more whether a create request took effect. The operator may take a contract that it finds
    /// as the result.
    pub create_unknown: bool,
    /// A user removed a mark of an open record, and the operator has not restored it.
    pub marks_removed: bool,
    /// When a user last gave the plan a record, or removed it. With shards also: when an operator did.
    pub record_changed_at: Option<Duration>,
    /// How many contracts the operator created for the plan.
    pub created: u32,
    /// How many contracts the plan lost in the portal.
    pub lost: u32,
    /// The last time at which the plan requested the deletion of its contract.
    pub deletion_requested_at: Option<Duration>,
    /// The last time at which the plan requested a contract.
    pub contract_requested_at: Option<Duration>,
    /// The last time at which the plan needed any request to FIC.
    pub calls_requested_at: Option<Duration>,
    /// The last time at which the plan was in the shard of each replica.
    pub in_shard_at: BTreeMap<char, Duration>,
    /// The Secret that the plan named before, and until when.
    pub former_secret: Option<(ObjectRef, Duration)>,
}

#[derive(Default)]
pub struct ContractOrigin {
    pub tenant: String,
    pub created_by_operator: bool,
    /// The UID of the plan that owns the contract.
    pub owner: Option<String>,
    /// When a user removed the last trace of it from its plan.
    pub forgotten_at: Option<Duration>,
}

impl PlanTruth {
    /// Records what the plan requests now.
    pub fn update(&mut self, plan: &Value, now: Duration) {
        let shard = plan["metadata"]["labels"]["shard"].as_str().and_then(|shard| shard.chars().next());
        self.in_shard_at.extend(shard.map(|shard| (shard, now)));
        let released = is_deleting(plan) && !has_finalizer(plan, CONTRACT_FINALIZER);
        if is_suspended(plan) || released {
            return;
        }
        if is_deleting(plan) && is_retained(plan) {
            return;
        }
        self.calls_requested_at = Some(now);
        if is_deleting(plan) {
            self.deletion_requested_at = Some(now);
        } else if !is_observed(plan) {
            self.contract_requested_at = Some(now);
        }
    }
}
