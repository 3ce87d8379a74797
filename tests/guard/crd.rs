//! The CRD cannot be deleted by mistake.

use serde_json::json;

use crate::environment::{Namespace, assert_denied, run_the_command_in, wait_until};
use crate::support::cluster::CRD;

const ANNOTATION: &str = "fic.ntt.com/confirm-delete";

/// A deletion in a dry run: the other tests need the CRD.
const DELETE: [&str; 3] = ["delete", CRD, "--dry-run=server"];

#[test]
fn crd_is_deleted_only_after_the_command_in_the_message() {
    let namespace = Namespace::create();
    let message = assert_denied(namespace.kubectl(&DELETE), "crd", "deletes every PremiumSupportPlan of the cluster");
    namespace.kubectl(&["annotate", CRD, &format!("{ANNOTATION}=yes")]).unwrap();
    assert_denied(namespace.kubectl(&DELETE), "crd", "To confirm, run:");
    namespace.kubectl(&["annotate", CRD, &format!("{ANNOTATION}-")]).unwrap();

    run_the_command_in(&message).unwrap();
    namespace.kubectl(&DELETE).unwrap();
    namespace.kubectl(&["annotate", CRD, &format!("{ANNOTATION}-")]).unwrap();
    assert_denied(namespace.kubectl(&DELETE), "crd", "To confirm, run:");
}

/// A request that deletes a collection names no object.
#[test]
fn crd_is_not_deleted_with_a_collection() {
    let collection = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    let request = format!("{collection}?fieldSelector=metadata.name%3Dpremiumsupportplans.fic.ntt.com&dryRun=All");
    assert_denied(Namespace::create().kubectl(&["delete", "--raw", &request]), "crd", "To confirm, run:");
}

#[test]
fn other_crds_are_deleted_as_before() {
    let namespace = Namespace::create();
    let schema = json!({ "openAPIV3Schema": { "type": "object" } });
    let version = json!({ "name": "v1", "served": true, "storage": true, "schema": schema });
    let other = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": { "name": "others.example.com" },
        "spec": {
            "group": "example.com", "scope": "Namespaced", "names": { "kind": "Other", "plural": "others" },
            "versions": [version],
        },
    });
    namespace.kubectl_with("create", &other, &[]).unwrap();
    namespace.kubectl(&["delete", "crd", "others.example.com", "--timeout=60s"]).unwrap();
}

/// No policy can guard a policy: the API server does not let policies match them.
#[test]
fn the_guard_itself_is_not_guarded() {
    let namespace = Namespace::create();
    let binding = "validatingadmissionpolicybinding/fic-support-operator-crd";
    let delete = ["delete", binding, "--dry-run=server"];
    let _ = wait_until("the deletion", || namespace.kubectl(&delete), Result::is_ok);
}
