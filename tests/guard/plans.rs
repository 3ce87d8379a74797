//! With the policy `plans`, a contract is abolished only after a confirmation.

use serde_json::json;

use crate::environment::{Namespace, OLDER, Outcome, assert_denied, run_the_command_in, wait_until};

const PLAN: &str = "psplan/premium";
const REFUSED: &str = "deleting this plan abolishes its contract";

fn with_plan() -> Namespace {
    let namespace = Namespace::create();
    namespace.create_plan("premium");
    namespace
}

#[test]
fn plan_is_deleted_only_after_the_command_in_the_message() {
    let namespace = with_plan();
    assert_denied(namespace.kubectl(&["delete", "psplan", "--all"]), "plans", REFUSED);
    namespace.kubectl(&["annotate", PLAN, "fic.ntt.com/confirm-delete=another"]).unwrap();
    let message = assert_denied(namespace.kubectl(&["delete", PLAN]), "plans", REFUSED);
    run_the_command_in(&message).unwrap();
    namespace.kubectl(&["delete", PLAN, "--timeout=60s"]).unwrap();
}

/// A request that deletes a collection names no object.
#[test]
fn plans_are_not_deleted_with_a_collection() {
    let namespace = with_plan();
    let collection = format!("/apis/fic.ntt.com/v1alpha1/namespaces/{}/premiumsupportplans", namespace.0);
    assert_denied(namespace.kubectl(&["delete", "--raw", &collection]), "plans", REFUSED);
}

#[test]
fn plan_that_abolishes_nothing_is_deleted_as_before() {
    for policy in [json!({ "deletionPolicy": "Retain" }), json!({ "managementPolicy": "Observe" })] {
        let namespace = with_plan();
        namespace.patch(PLAN, &json!({ "spec": policy }), &[]).unwrap();
        namespace.kubectl(&["delete", PLAN, "--timeout=60s"]).unwrap();
    }
}

#[test]
fn plan_that_is_being_deleted_needs_no_second_confirmation() {
    let namespace = with_plan();
    namespace.patch(PLAN, &json!({ "metadata": { "finalizers": ["example.com/other"] } }), &[]).unwrap();
    namespace.kubectl(&["annotate", PLAN, "fic.ntt.com/confirm-delete=premium"]).unwrap();
    namespace.kubectl(&["delete", PLAN, "--wait=false"]).unwrap();
    namespace.kubectl(&["annotate", PLAN, "fic.ntt.com/confirm-delete-"]).unwrap();
    namespace.kubectl(&["delete", PLAN, "--wait=false"]).unwrap();
    namespace.patch(PLAN, &json!({ "metadata": { "finalizers": null } }), &[]).unwrap();
}

/// The namespace says what it waits for.
#[test]
fn namespace_waits_for_the_confirmation_of_its_plans() {
    let namespace = with_plan();
    namespace.kubectl(&["delete", "namespace", &namespace.0, "--wait=false"]).unwrap();
    let failure = ".status.conditions[?(@.type==\"NamespaceDeletionContentFailure\")].message";
    let get = ["get", "namespace", &namespace.0, &format!("--output=jsonpath={{{failure}}}")];
    let message = |outcome: &Outcome| outcome.as_ref().is_ok_and(|message| message.contains(REFUSED));
    let message = wait_until("the message of the namespace", || namespace.kubectl(&get), message).unwrap();
    run_the_command_in(&message).unwrap();
    let get = || Namespace(OLDER.into()).kubectl(&["get", "namespace", &namespace.0, "--ignore-not-found"]);
    let _ = wait_until("the namespace to be deleted", get, |outcome: &Outcome| outcome.as_deref() == Ok(""));
}
