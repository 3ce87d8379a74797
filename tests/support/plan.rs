//! Manifests of plans, and their conditions.

use fic_support_operator::api::plan::PremiumSupportPlan;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use serde_json::{Value, json};

use super::SECRET;

/// The manifest of a plan.
pub fn manifest(name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "fic.ntt.com/v1beta1",
        "kind": "PremiumSupportPlan",
        "metadata": { "name": name },
        "spec": spec,
    })
}

/// The versions that the API server serves plans in.
pub const VERSIONS: [&str; 2] = ["v1alpha1", "v1beta1"];

/// The plans in this version, as an argument of kubectl.
pub fn resource(version: &str) -> String {
    format!("premiumsupportplans.{version}.fic.ntt.com")
}

/// The same manifest in this version.
pub fn in_version(version: &str, manifest: &Value) -> Value {
    let mut manifest = manifest.clone();
    manifest["apiVersion"] = json!(format!("fic.ntt.com/{version}"));
    manifest
}

/// The required fields of a spec, and the fields of `more`.
pub fn spec(tenant: &str, more: &Value) -> Value {
    let mut spec = json!({ "tenantID": tenant, "credentialsSecretRef": { "name": SECRET } });
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    spec
}

/// The condition of this type.
pub fn condition<'a>(plan: &'a PremiumSupportPlan, type_: &str) -> Option<&'a Condition> {
    plan.status.as_ref()?.conditions.iter().find(|condition| condition.type_ == type_)
}

/// The `Ready` condition.
pub fn ready(plan: &PremiumSupportPlan) -> Option<&Condition> {
    condition(plan, "Ready")
}

/// Whether the `Ready` condition has this reason.
pub fn has_reason(plan: &PremiumSupportPlan, reason: &str) -> bool {
    ready(plan).is_some_and(|ready| ready.reason == reason)
}

/// The message of the `Ready` condition.
pub fn message(plan: &PremiumSupportPlan) -> &str {
    ready(plan).map(|ready| ready.message.as_str()).unwrap_or_default()
}
