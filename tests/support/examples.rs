//! Examples of plans for the tests of `GitOps` tools. With the variable `PLAN_EXAMPLES`, each plan that a test has waited for is written
//! to that folder, as `kubectl get --output=yaml` shows it. There is one file for each state; the first test that reaches it writes it.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use fic_support_operator::api::plan::PremiumSupportPlan;
use serde_json::{Value, json};

use super::plan::ready;
use fic_support_operator::text::kebab_case;

const FOLDER: &str = "PLAN_EXAMPLES";

/// Keeps a plan as an example, if its state has a name and no example yet.
pub fn keep(plan: &PremiumSupportPlan) {
    let (Some(folder), Some(state)) = (std::env::var_os(FOLDER), state(plan)) else { return };
    let file = Path::new(&folder).join(format!("{state}.yaml"));
    if let Ok(mut file) = File::create_new(file) {
        file.write_all(text(plan).as_bytes()).unwrap();
    }
}

/// The name of the state of a plan. `None`: a mixture of several, which is no example of any.
fn state(plan: &PremiumSupportPlan) -> Option<String> {
    let status = plan.status.as_ref();
    let Some(ready) = ready(plan) else { return Some("not-reported".into()) };
    let is_current = status.and_then(|status| status.observed_generation) == plan.metadata.generation;
    let is_deleted = plan.metadata.deletion_timestamp.is_some();
    let reason = kebab_case(&ready.reason);
    match (reason.as_str(), is_current, is_deleted, plan.spec.suspend) {
        ("abolishing", true, true, false) | ("suspended", true, false, true) => Some(reason),
        ("abolishing" | "suspended", ..) => None,
        ("contracted", true, false, true) => Some("contracted-and-suspended".into()),
        ("contracted", false, false, false) => Some("contracted-of-an-older-generation".into()),
        ("service-unavailable", true, false, false) if ready.status == "Unknown" => Some(format!("{reason}-for-long")),
        (_, true, false, false) => Some(reason),
        _ => None,
    }
}

/// Removes the fields that the API server does not store.
fn remove_empty(object: &mut Value) {
    if let Some(fields) = object.as_object_mut() {
        fields.retain(|_, value| !value.is_null() && value.as_array().is_none_or(|items| !items.is_empty()));
        fields.values_mut().for_each(remove_empty);
    }
}

/// The plan as YAML, with names that do not tell of a test.
fn text(plan: &PremiumSupportPlan) -> String {
    let mut object = json!(plan);
    remove_empty(&mut object);
    object["metadata"].as_object_mut().unwrap().remove("managedFields");
    let text = serde_saphyr::to_string(&object).unwrap();
    let namespace = plan.metadata.namespace.as_deref().unwrap();
    text.replace(namespace, "network-team").replace(&plan.spec.tenant_id, "db8b0e40743f460685040c46167cf19e")
}
