//! Only the operator changes the record of a plan. Here the policy refuses, as with the component `record-deny`.

use serde_json::{Value, json};

use crate::environment::{
    Namespace, Outcome, as_account, as_operator, as_wide_operator, assert_denied, record_warning, run_the_command_in,
    wait_until,
};
use crate::support::cluster::OPERATOR;
use crate::support::plan;

pub const PLAN: &str = "psplan/premium";
const REFUSED: &str = "Only the operator may change them";
const STATUS: &str = "--subresource=status";

/// A namespace with a plan that has no record.
fn with_plan() -> Namespace {
    let namespace = Namespace::create();
    namespace.create_observer("premium");
    namespace
}

/// A namespace with a plan that owns a contract. The operator has written its record.
pub fn with_record() -> Namespace {
    let namespace = with_plan();
    let uid = namespace.field(PLAN, ".metadata.uid");
    namespace.patch(PLAN, &marks(&uid), &[&as_operator()]).unwrap();
    namespace.patch(PLAN, &owned("F100000000001", &uid), &[STATUS, &as_wide_operator()]).unwrap();
    namespace
}

pub fn marks(uid: &str) -> Value {
    json!({ "metadata": { "finalizers": ["fic.ntt.com/contract"], "annotations": { "fic.ntt.com/owner-uid": uid } } })
}

pub fn owned(id: &str, uid: &str) -> Value {
    json!({ "status": { "id": id, "ownerUID": uid } })
}

fn without_finalizer() -> Value {
    json!({ "metadata": { "finalizers": null } })
}

fn without_annotation() -> Value {
    json!({ "metadata": { "annotations": { "fic.ntt.com/owner-uid": null } } })
}

/// What an administrator sends who patches the plan.
fn patch(namespace: &Namespace, change: &Value) -> Outcome {
    namespace.patch(PLAN, change, &[])
}

/// What an administrator sends who patches the status.
fn patch_status(namespace: &Namespace, change: &Value) -> Outcome {
    namespace.patch(PLAN, change, &[STATUS])
}

#[test]
fn deploy_warns_and_does_not_refuse() {
    let warning = record_warning();
    assert!(warning.contains("Warning:") && warning.contains(REFUSED), "{warning}");
}

#[test]
fn nobody_removes_the_record_of_a_plan_or_changes_it() {
    let namespace = with_record();
    for change in [without_finalizer(), without_annotation(), marks("another")] {
        assert_denied(patch(&namespace, &change), "record", REFUSED);
    }
    let manifest = plan::manifest(
        "premium",
        &json!({
            "tenantID": namespace.field(PLAN, ".spec.tenantID"),
            "credentialsSecretRef": { "name": "fic-credentials" },
            "managementPolicy": "Observe",
        }),
    );
    let message = assert_denied(namespace.kubectl_with("replace", &manifest, &[]), "record", REFUSED);
    assert!(message.contains("Use kubectl apply, not kubectl replace"), "{message}");
    // kubectl warns, because the plan was not created with apply.
    namespace.kubectl_with("apply", &manifest, &[]).unwrap();
    namespace.kubectl_with("apply", &manifest, &["--server-side", "--force-conflicts"]).unwrap();
}

#[test]
fn nobody_forges_a_record() {
    let namespace = with_plan();
    let uid = namespace.field(PLAN, ".metadata.uid");
    assert_denied(patch(&namespace, &marks(&uid)), "record", REFUSED);
    let finalizer = json!({ "metadata": { "finalizers": ["fic.ntt.com/contract"] } });
    assert_denied(patch(&namespace, &finalizer), "record", REFUSED);
    let status = "only the operator may change status.id and status.ownerUID";
    assert_denied(patch_status(&namespace, &owned("F100000000002", &uid)), "record", status);
}

#[test]
fn nobody_changes_which_contract_a_plan_owns() {
    let namespace = with_record();
    let uid = namespace.field(PLAN, ".metadata.uid");
    let message = "only the operator may change status.id and status.ownerUID of a plan that owns a contract";
    for change in [
        owned("F100000000002", &uid),
        owned("F100000000001", "another"),
        json!({ "status": { "id": null } }),
        json!({ "status": { "ownerUID": null } }),
        json!({ "status": null }),
    ] {
        assert_denied(patch_status(&namespace, &change), "record", message);
    }
}

/// A copy has another UID, so its marks are no record: the operator removes them. A backup tool restores them.
#[test]
fn copies_are_created_with_all_that_a_backup_contains() {
    let namespace = with_record();
    let original = namespace.kubectl(&["get", PLAN, "--output=json"]).unwrap();
    let mut copy = serde_json::from_str::<Value>(&original).unwrap();
    copy["metadata"]["name"] = json!("copy");
    copy["metadata"].as_object_mut().unwrap().remove("resourceVersion");
    namespace.kubectl_with("create", &copy, &[]).unwrap();
    let uid = namespace.field(PLAN, ".metadata.uid");
    assert_ne!(namespace.field("psplan/copy", ".metadata.uid"), uid, "nobody can choose a UID");
    assert_eq!(namespace.field("psplan/copy", ".metadata.annotations.fic\\.ntt\\.com/owner-uid"), uid);
    namespace.patch("psplan/copy", &json!({ "status": copy["status"] }), &[STATUS]).unwrap();
    namespace.patch("psplan/copy", &without_finalizer(), &[&as_operator()]).unwrap();
    namespace.kubectl(&["delete", "psplan", "copy", "--timeout=60s"]).unwrap();
}

#[test]
fn everything_else_may_be_changed() {
    let namespace = with_record();
    let condition = json!({
        "type": "Budget", "status": "True", "reason": "Approved", "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    });
    patch_status(&namespace, &json!({ "status": { "conditions": [condition] } })).unwrap();
    for change in [
        json!({ "metadata": { "labels": { "a": "b" }, "annotations": { "fic.ntt.com/reconcile-requested-at": "now" } } }),
        json!({ "metadata": { "finalizers": ["example.com/other", "fic.ntt.com/contract"] } }),
        json!({ "spec": { "deletionPolicy": "Retain", "suspend": true } }),
    ] {
        patch(&namespace, &change).unwrap();
    }
}

#[test]
fn retain_is_the_way_out_of_terminating_and_the_message_says_so() {
    let namespace = with_record();
    namespace.kubectl(&["delete", PLAN, "--wait=false"]).unwrap();
    let message = assert_denied(patch(&namespace, &without_finalizer()), "record", REFUSED);
    run_the_command_in(&message).unwrap();
    assert_eq!(namespace.field(PLAN, ".spec.deletionPolicy"), "Retain");
    let patch = json!({ "metadata": { "finalizers": null, "annotations": { "fic.ntt.com/owner-uid": null } } });
    namespace.patch(PLAN, &patch, &[&as_operator()]).unwrap();
    assert_eq!(namespace.kubectl(&["get", "psplan", "--output=name"]).unwrap(), "");
}

/// The garbage collector adds and removes finalizers of its own.
#[test]
fn garbage_collector_is_not_held_up() {
    let namespace = with_record();
    for cascade in ["foreground", "orphan"] {
        namespace.kubectl(&["delete", PLAN, &format!("--cascade={cascade}"), "--wait=false"]).unwrap();
        let finalizers = || namespace.kubectl(&["get", PLAN, "--output=jsonpath={.metadata.finalizers[*]}"]);
        let is_done = |outcome: &Outcome| outcome.as_deref() == Ok("fic.ntt.com/contract");
        let _ = wait_until("the garbage collector to remove its finalizer", finalizers, is_done);
    }
}

/// Everyone who may create a `ServiceAccount` can give it the name of the operator.
#[test]
fn the_name_of_the_operator_alone_gives_no_rights() {
    let namespace = with_record();
    namespace.kubectl(&["create", "serviceaccount", OPERATOR]).unwrap();
    let subject = format!("--serviceaccount={}:{OPERATOR}", namespace.0);
    namespace.kubectl(&["create", "rolebinding", "edit", "--clusterrole=edit", &subject]).unwrap();
    let account = as_account(&namespace.0, OPERATOR);
    let label = json!({ "metadata": { "labels": { "a": "b" } } });
    // The controller that adds plans to the role edit does not run here.
    let verbs = ["--verb=get,list,watch,create,update,patch,delete", "--resource=premiumsupportplans"];
    namespace.kubectl(&[&["create", "role", "plans"], &verbs[..]].concat()).unwrap();
    namespace.kubectl(&["create", "rolebinding", "plans", "--role=plans", &subject]).unwrap();
    let _ = wait_until("the right", || namespace.patch(PLAN, &label, &[&account]), Result::is_ok);
    let outcome = namespace.patch(PLAN, &without_finalizer(), &[&account]);
    assert_denied(outcome, "record", REFUSED);

    // With the rights of the operator it is one: an installation in another namespace, or in this one only.
    namespace.kubectl(&["create", "rolebinding", "operator", "--clusterrole=fic-support-operator", &subject]).unwrap();
    let uid = namespace.field(PLAN, ".metadata.uid");
    let rewrite = || namespace.patch(PLAN, &marks(&format!("{uid}-2")), &[&account]);
    let _ = wait_until("the rights of the operator", rewrite, Result::is_ok);
    // Not in other namespaces.
    let other = with_record();
    other.patch(PLAN, &label, &[&account]).unwrap_err();
}

#[test]
fn administrator_switches_the_policy_off_for_a_namespace() {
    let namespace = with_record();
    assert_denied(patch(&namespace, &without_finalizer()), "record", REFUSED);
    namespace.kubectl(&["label", "namespace", &namespace.0, "fic.ntt.com/record-guard=off"]).unwrap();
    let remove = || patch(&namespace, &without_finalizer());
    let _ = wait_until("the policy to be off", remove, Result::is_ok);
}
