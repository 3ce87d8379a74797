//! Removes from an object what the operator never reads. With thousands of plans it is most of the memory, and an annotation
//! may have 256 KiB.

use kube::core::ObjectMeta;

use crate::api::plan::{MAX_REQUEST_LENGTH, OWNER_UID, RECONCILE_REQUESTED_AT};

/// Trims the metadata of a plan.
pub fn plan(metadata: &mut ObjectMeta) {
    any(metadata);
    if let Some(annotations) = &mut metadata.annotations {
        annotations.retain(|name, _| name == RECONCILE_REQUESTED_AT || name == OWNER_UID);
        for value in annotations.values_mut() {
            value.truncate(value.floor_char_boundary(MAX_REQUEST_LENGTH));
            value.shrink_to_fit();
        }
    }
}

/// Trims the metadata of a Secret.
pub fn secret(metadata: &mut ObjectMeta) {
    any(metadata);
    metadata.annotations = None;
}

fn any(metadata: &mut ObjectMeta) {
    metadata.managed_fields = None;
    metadata.labels = None;
    metadata.owner_references = None;
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_is_read_is_kept() {
        let large = "x".repeat(200_000);
        let metadata = || {
            serde_json::from_value::<ObjectMeta>(json!({
                "name": "a", "uid": "u", "labels": { "note": large }, "finalizers": ["f"], "managedFields": [{}],
                "annotations": { "note": large, OWNER_UID: "u", RECONCILE_REQUESTED_AT: large },
                "ownerReferences": [{ "apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": "o" }],
            }))
            .expect("metadata")
        };
        let (mut of_plan, mut of_secret) = (metadata(), metadata());
        plan(&mut of_plan);
        let annotations = json!({ OWNER_UID: "u", RECONCILE_REQUESTED_AT: "x".repeat(MAX_REQUEST_LENGTH) });
        let kept = json!({ "name": "a", "uid": "u", "finalizers": ["f"], "annotations": annotations });
        assert_eq!(json!(of_plan), kept);
        secret(&mut of_secret);
        assert_eq!(json!(of_secret), json!({ "name": "a", "uid": "u", "finalizers": ["f"] }));
    }
}
