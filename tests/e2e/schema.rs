//! The schema of the CRD: manifests that the API server refuses, defaults, and the output of kubectl.

use serde_json::json;

use crate::support::cluster::CRDS_FOLDER;
use crate::support::plan::{manifest, spec};
use crate::support::texts::message::ACTIVE;
use crate::support::{SECRET, TestEnvironment, new_tenant};

#[tokio::test(flavor = "multi_thread")]
async fn invalid_manifest_is_refused_with_an_explanation() {
    let env = TestEnvironment::without_operator().await;
    let with = |more| spec(&env.tenant, &more);
    for (spec, explanation) in [
        (json!({ "credentialsSecretRef": { "name": SECRET } }), "spec.tenantID: Required value"),
        (json!({ "tenantID": env.tenant }), "spec.credentialsSecretRef: Required value"),
        (with(json!({ "tenantID": "DB8B0E40743F460685040C46167CF19E" })), "^[0-9a-f]{32}$"),
        (with(json!({ "tenantID": "db8b" })), "^[0-9a-f]{32}$"),
        (with(json!({ "credentialsSecretRef": { "name": "" } })), "spec.credentialsSecretRef.name"),
        (with(json!({ "credentialsSecretRef": { "name": "Not A Name" } })), "spec.credentialsSecretRef.name"),
        (with(json!({ "credentialsSecretRef": { "name": "x".repeat(254) } })), "may not be more than 253"),
        (with(json!({ "menu": "GoldPlan" })), "supported values: \"PremiumPlan\""),
        (with(json!({ "managementPolicy": "Ignore" })), "supported values: \"Manage\", \"Observe\""),
        (with(json!({ "adoptionPolicy": "Always" })), "supported values: \"Never\", \"IfPresent\""),
        (with(json!({ "recreationPolicy": "Always" })), "supported values: \"IfLost\", \"Never\""),
        (with(json!({ "deletionPolicy": "Orphan" })), "supported values: \"Delete\", \"Retain\""),
        (with(json!({ "suspend": "yes" })), "spec.suspend"),
        (
            with(json!({ "managementPolicy": "Observe", "adoptionPolicy": "IfPresent" })),
            "managementPolicy Observe only reports and cannot adopt",
        ),
        (with(json!({ "tenantId": "x" })), "unknown field \"spec.tenantId\""),
    ] {
        let refused = env.kubectl_apply(&manifest("premium", &spec)).expect_err(explanation);
        assert!(refused.contains(explanation), "the API server refused {spec} with: {refused}");
    }
    assert!(env.plans().get_opt("premium").await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn tenant_is_immutable_and_policies_are_mutable() {
    let env = TestEnvironment::without_operator().await;
    env.kubectl_apply(&manifest("premium", &spec(&env.tenant, &json!({})))).unwrap();
    let changed = spec(&new_tenant(), &json!({}));
    let refused = env.kubectl_apply(&manifest("premium", &changed)).expect_err("tenantID is immutable");
    assert!(refused.contains("tenantID cannot be changed"), "{refused}");
    // A user can always change the policies that release a plan which is being deleted.
    let retain = json!({ "deletionPolicy": "Retain", "suspend": true, "managementPolicy": "Observe" });
    env.patch_spec("premium", retain).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn new_plan_has_observed_generation_minus_one_and_every_default() {
    let env = TestEnvironment::without_operator().await;
    env.kubectl_apply(&manifest("premium", &spec(&env.tenant, &json!({})))).unwrap();
    let status = env.kubectl(&["get", "psplan", "premium", "-o", "jsonpath={.status}"]);
    assert_eq!(status, r#"{"observedGeneration":-1}"#);
    let defaults = env.kubectl(&["get", "psplan", "premium", "-o", "jsonpath={.spec}"]);
    for default in ["Never", "IfLost", "Delete", "Manage", "PremiumPlan", "\"suspend\":false"] {
        assert!(defaults.contains(default), "{default} is not in {defaults}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_prints_the_documented_columns() {
    let env = TestEnvironment::with_operator().await;
    env.kubectl_apply(&manifest("premium", &spec(&env.tenant, &json!({})))).unwrap();
    env.kubectl(&["wait", "--for=condition=Ready", "psplan/premium", "--timeout=60s"]);
    let contract = env.simulator.contract(&env.tenant).unwrap();
    let columns = |table: &str, line: usize| {
        table
            .lines()
            .nth(line)
            .unwrap_or_default()
            .split("  ")
            .map(|cell| cell.trim().to_owned())
            .filter(|cell| !cell.is_empty())
            .collect::<Vec<_>>()
    };
    let table = env.kubectl(&["get", "psplan"]);
    assert_eq!(columns(&table, 0), ["NAME", "READY", "REASON", "CONTRACT", "MENU", "AGE"]);
    assert_eq!(columns(&table, 1)[..5], ["premium", "True", "Contracted", contract.id.as_str(), "PremiumPlan"]);
    let wide = env.kubectl(&["get", "fic", "-o", "wide"]);
    assert_eq!(columns(&wide, 0)[6..], ["TENANT", "OPERATION", "SINCE", "SUSPENDED", "MESSAGE"]);
    let row = columns(&wide, 1);
    assert_eq!(row[6..10], [env.tenant.as_str(), "Completed", contract.menu_start_date.as_str(), "false"]);
    assert!(row[10].contains(ACTIVE), "{row:?}");
    let by_tenant = format!("spec.tenantID={}", env.tenant);
    assert!(env.kubectl(&["get", "psplan", "--field-selector", &by_tenant]).contains("premium"));
    let described = env.kubectl(&["describe", "psplan", "premium"]);
    assert!(described.contains("Purchased") && described.contains("Contracted"), "{described}");
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_explains_every_field() {
    let env = TestEnvironment::without_operator().await;
    for (field, text) in [
        ("spec.tenantID", "32 lower-case hexadecimal digits"),
        ("spec.credentialsSecretRef", "fic.ntt.com/credentials"),
        ("spec.menu", "support menu"),
        ("spec.managementPolicy", "only reports"),
        ("spec.adoptionPolicy", "adopt it"),
        ("spec.recreationPolicy", "buy it again"),
        ("spec.deletionPolicy", "Retain"),
        ("spec.suspend", "sends no requests for the plan"),
        ("status.conditions", "Stalled"),
        ("status.observedGeneration", "-1 before the first"),
    ] {
        let explained = env.kubectl(&["explain", &format!("psplan.{field}")]);
        let in_one_line = explained.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(in_one_line.contains(text), "{field}: {explained}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn crds_folder_contains_only_the_crd() {
    let env = TestEnvironment::without_operator().await;
    let applied = env.kubectl(&["apply", "-f", CRDS_FOLDER, "--dry-run=server", "--output=name"]);
    assert_eq!(
        applied.lines().collect::<Vec<_>>(),
        ["customresourcedefinition.apiextensions.k8s.io/premiumsupportplans.fic.ntt.com"]
    );
}
