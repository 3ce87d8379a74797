//! Reads fields of a plan from its JSON.

use serde_json::Value;

use crate::store::{Kind, ObjectRef};

/// The finalizer of a plan that may own a contract.
pub const CONTRACT_FINALIZER: &str = "fic.ntt.com/contract";
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

/// The id of the contract in the status.
pub fn recorded_id(plan: &Value) -> Option<&str> {
    plan["status"]["id"].as_str()
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
