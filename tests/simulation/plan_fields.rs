//! Reads fields of a plan from its JSON.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::store::{Kind, ObjectRef, ObjectWrite, has_finalizer, is_deleting};

/// The finalizer of a plan that may own a contract.
pub const CONTRACT_FINALIZER: &str = "fic.ntt.com/contract";
/// The annotation of a plan that may own a contract: its UID.
pub const OWNER_UID: &str = "fic.ntt.com/owner-uid";
/// The finalizer of a Secret that plans use.
pub const IN_USE_FINALIZER: &str = "fic.ntt.com/in-use";
/// The finalizer of another controller.
pub const FOREIGN_FINALIZER: &str = "example.com/hold";

pub fn uid(object: &Value) -> &str {
    object["metadata"]["uid"].as_str().unwrap_or_default()
}

/// A field of the spec, or its default.
pub fn spec_text<'a>(plan: &'a Value, field: &str, default: &'a str) -> &'a str {
    plan["spec"][field].as_str().unwrap_or(default)
}

/// The id of the contract in the status, whether the plan owns or only watches it.
pub fn recorded_id(plan: &Value) -> Option<&str> {
    plan["status"]["id"].as_str()
}

/// The id of the contract that the plan records as its own.
pub fn owned_id(plan: &Value) -> Option<&str> {
    let is_let_go = is_deleting(plan) && !has_finalizer(plan, CONTRACT_FINALIZER);
    recorded_id(plan).filter(|_| plan["status"]["ownerUID"] == plan["metadata"]["uid"] && !is_let_go)
}

/// Whether the plan has the finalizer and the annotation with its own UID.
pub fn has_both_marks(plan: &Value) -> bool {
    has_finalizer(plan, CONTRACT_FINALIZER) && plan["metadata"]["annotations"][OWNER_UID] == plan["metadata"]["uid"]
}

/// Whether a contract of the plan may exist.
pub fn has_record(plan: &Value) -> bool {
    has_both_marks(plan) || owned_id(plan).is_some()
}

/// Whether a create request may have been sent for the plan.
pub fn is_open(plan: &Value) -> bool {
    has_both_marks(plan) && owned_id(plan).is_none()
}

pub fn is_observed(plan: &Value) -> bool {
    spec_text(plan, "managementPolicy", "Manage") == "Observe"
}

pub fn is_suspended(plan: &Value) -> bool {
    plan["spec"]["suspend"] == true
}

/// Whether the contract is kept when the plan is deleted.
pub fn is_retained(plan: &Value) -> bool {
    is_observed(plan) || spec_text(plan, "deletionPolicy", "Delete") == "Retain"
}

/// The Secret that the spec names.
pub fn secret_of(id: &ObjectRef, plan: &Value) -> ObjectRef {
    let name = plan["spec"]["credentialsSecretRef"]["name"].as_str().unwrap_or_default();
    ObjectRef::new(Kind::Secret, &id.namespace, name)
}

/// Status and reason of the Ready condition.
pub fn ready(plan: &Value) -> (&str, &str) {
    let conditions = plan["status"]["conditions"].as_array().into_iter().flatten();
    let ready = conditions.clone().find(|condition| condition["type"] == "Ready");
    let text = |field: &str| ready.and_then(|ready| ready[field].as_str()).unwrap_or_default();
    (text("status"), text("reason"))
}

/// How many conditions have another status or reason after a write of a plan, appear, or disappear.
pub fn condition_changes(write: &ObjectWrite) -> usize {
    let conditions = |plan: &Option<Value>| {
        let conditions = plan.iter().filter_map(|plan| plan["status"]["conditions"].as_array()).flatten();
        let of_type = |one: &Value| (one["type"].to_string(), (one["status"].clone(), one["reason"].clone()));
        conditions.map(of_type).collect::<BTreeMap<_, _>>()
    };
    let (before, after) = (conditions(&write.before), conditions(&write.after));
    let removed = before.keys().filter(|name| !after.contains_key(*name)).count();
    removed + after.iter().filter(|(name, now)| before.get(*name) != Some(now)).count()
}
