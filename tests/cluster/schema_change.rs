//! A newer CRD allows values that this operator does not know, and an older one lacks something that it needs.

use serde_json::json;

use crate::support::cluster::{CRD, CRDS_FOLDER, in_each_version};
use crate::support::texts::log::UNDECODABLE_PLAN;
use crate::support::{TestEnvironment, new_tenant, plan};

#[tokio::test(flavor = "multi_thread")]
async fn undecodable_plan_does_not_stop_the_watch() {
    let mut env = TestEnvironment::with_own_control_plane().await;
    // The newer CRD has a second menu.
    let schema = "schema/openAPIV3Schema/properties/spec/properties/menu/enum";
    let patch = in_each_version(&json!({ "op": "replace", "path": schema, "value": ["PremiumPlan", "GoldPlan"] }));
    env.kubectl(&["patch", CRD, "--type=json", "--patch", &patch]);
    let undecodable = plan::manifest("undecodable", &plan::spec(&new_tenant(), &json!({ "menu": "GoldPlan" })));
    env.wait_until("the API server to use the newer schema", || {
        let is_applied = env.kubectl_apply(&undecodable).is_ok();
        async move { is_applied }
    })
    .await;
    env.apply("good", json!({})).await;
    env.wait_for_reason("good", "Contracted").await;
    assert!(env.operator().log().contains(UNDECODABLE_PLAN));
    env.kubectl(&["delete", "psplan", "undecodable"]);
    env.delete("good").await;
    env.wait_for_deletion("good").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn crd_without_the_selectable_field_or_a_field_ends_the_start_with_a_message() {
    let mut env = TestEnvironment::with_own_control_plane().await;
    env.operator().terminate();
    for (path, expected) in [
        ("selectableFields", "it lacks the selectable field .spec.tenantID; run kubectl apply"),
        ("schema/openAPIV3Schema/properties/status/properties/ownerUID", "the field status.ownerUID;"),
    ] {
        let patch = in_each_version(&json!({ "op": "remove", "path": path }));
        env.kubectl(&["patch", CRD, "--type=json", "--patch", &patch]);
        let (exit_code, log) = env.run_operator_to_exit().await;
        assert!(exit_code == Some(1) && log.contains(expected), "{exit_code:?}: {log}");
    }
    env.kubectl(&["delete", CRD, "--timeout=60s"]);
    let (exit_code, log) = env.run_operator_to_exit().await;
    assert!(exit_code == Some(1) && log.contains("is not installed; run kubectl apply -f crds/"), "{log}");
    env.kubectl(&["apply", "-f", CRDS_FOLDER]);
    env.start_operator().await;
}
