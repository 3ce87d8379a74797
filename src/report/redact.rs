//! What must not leave the cluster: values of Secrets, and values of variables that are not the operator's own.

use serde_json::{Map, Value, json};

/// The variables whose values are kept: they are flags of the operator, which have no credentials.
const OWN_VARIABLES: &str = "FIC_OPERATOR_";

/// Metadata that may repeat what is left out elsewhere, or that only makes the file longer.
const METADATA: [&str; 1] = ["managedFields"];
const ANNOTATIONS: [&str; 1] = ["kubectl.kubernetes.io/last-applied-configuration"];

/// What is kept of the metadata of a Secret. Annotations and labels are not: some tools put values there.
const SECRET_METADATA: [&str; 6] =
    ["namespace", "name", "creationTimestamp", "deletionTimestamp", "resourceVersion", "finalizers"];

/// A Secret: what it is, and the names of its keys.
pub(super) fn secret(secret: &Value) -> Value {
    let keys = secret["data"].as_object().into_iter().flat_map(Map::keys).collect::<Vec<_>>();
    let kept = SECRET_METADATA.into_iter().map(|name| (name.to_owned(), secret["metadata"][name].clone()));
    json!({ "metadata": kept.collect::<Map<_, _>>(), "type": secret["type"], "keys": keys })
}

/// Any other object.
pub(super) fn object(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(metadata) = object["metadata"].as_object_mut() {
        for name in METADATA {
            metadata.remove(name);
        }
        if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
            for name in ANNOTATIONS {
                annotations.remove(name);
            }
        }
    }
    hide_variables(&mut object);
    object
}

/// Hides the values of variables in containers, wherever these are: a proxy variable may have a password.
fn hide_variables(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for variable in fields.get_mut("env").and_then(Value::as_array_mut).into_iter().flatten() {
                let is_own = variable["name"].as_str().is_some_and(|name| name.starts_with(OWN_VARIABLES));
                if let Some(value) = variable.get_mut("value").filter(|_| !is_own) {
                    *value = json!("[redacted]");
                }
            }
            fields.values_mut().for_each(hide_variables);
        }
        Value::Array(items) => items.iter_mut().for_each(hide_variables),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secret_has_only_the_names_of_its_keys() {
        let secret = json!({
            "metadata": { "namespace": "team", "name": "c", "annotations": { "note": "hidden" } },
            "type": "fic.ntt.com/credentials",
            "data": { "apiKey": "aGlkZGVu", "apiSecret": "aGlkZGVu" },
        });
        let shown = super::secret(&secret);
        assert_eq!((&shown["keys"], &shown["metadata"]["name"]), (&json!(["apiKey", "apiSecret"]), &json!("c")));
        assert!(!shown.to_string().contains("hidden") && !shown.to_string().contains("aGlkZGVu"), "{shown}");
    }

    #[test]
    fn values_of_variables_and_last_applied_configurations_are_left_out() {
        let env = json!([
            { "name": "HTTPS_PROXY", "value": "http://user:hidden@proxy:3128" },
            { "name": "FIC_OPERATOR_POLL_INTERVAL", "value": "5s" },
            { "name": "POD_NAME", "valueFrom": { "fieldRef": { "fieldPath": "metadata.name" } } },
        ]);
        let shown = object(&json!({
            "metadata": {
                "name": "operator",
                "managedFields": [{ "manager": "kubectl" }],
                "annotations": { "kubectl.kubernetes.io/last-applied-configuration": "hidden", "a": "b" },
            },
            "spec": { "template": { "spec": { "containers": [{ "name": "operator", "env": env }] } } },
        }));
        assert_eq!(shown["metadata"], json!({ "name": "operator", "annotations": { "a": "b" } }));
        let env = &shown["spec"]["template"]["spec"]["containers"][0]["env"];
        assert_eq!((&env[0]["value"], &env[1]["value"]), (&json!("[redacted]"), &json!("5s")));
        assert!(!shown.to_string().contains("hidden"), "{shown}");
    }
}
