//! What a user is told before anything happens: manifests that are refused, and what kubectl shows.

use serde_json::{Value, json};

use crate::environment::{SECRET, Stage};

fn manifest(name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "fic.ntt.com/v1alpha1",
        "kind": "PremiumSupportPlan",
        "metadata": { "name": name },
        "spec": spec,
    })
}

fn spec(tenant: &str) -> Value {
    json!({ "tenantID": tenant, "credentialsSecretRef": { "name": SECRET } })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_that_breaks_a_rule_is_refused_with_what_is_right() {
    let stage = Stage::empty().await;
    let good = spec(&stage.tenant);
    let with = |more: Value| {
        let mut spec = good.clone();
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        spec
    };
    for (spec, says) in [
        (json!({ "credentialsSecretRef": { "name": SECRET } }), "spec.tenantID: Required value"),
        (json!({ "tenantID": stage.tenant }), "spec.credentialsSecretRef: Required value"),
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
        let refused = stage.kubectl_apply(&manifest("premium", &spec)).expect_err(says);
        assert!(refused.contains(says), "{spec} was refused with: {refused}");
    }
    assert!(stage.plans().get_opt("premium").await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_changed_says_so() {
    let stage = Stage::empty().await;
    stage.kubectl_apply(&manifest("premium", &spec(&stage.tenant))).unwrap();
    let other = crate::environment::new_tenant();
    let refused = stage.kubectl_apply(&manifest("premium", &spec(&other))).expect_err("tenantID is immutable");
    assert!(refused.contains("tenantID cannot be changed"), "{refused}");
    // The way out of Terminating must stay open.
    let retain = json!({ "deletionPolicy": "Retain", "suspend": true, "managementPolicy": "Observe" });
    stage.patch_spec("premium", retain).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_is_in_progress_before_the_first_report() {
    let stage = Stage::empty().await;
    stage.kubectl_apply(&manifest("premium", &spec(&stage.tenant))).unwrap();
    let status = stage.kubectl_prints(&["get", "psplan", "premium", "-o", "jsonpath={.status}"]);
    assert_eq!(status, r#"{"observedGeneration":-1}"#);
    let defaults = stage.kubectl_prints(&["get", "psplan", "premium", "-o", "jsonpath={.spec}"]);
    for default in ["Never", "IfLost", "Delete", "Manage", "PremiumPlan", "\"suspend\":false"] {
        assert!(defaults.contains(default), "{default} is not in {defaults}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_shows_what_is_promised() {
    let stage = Stage::new().await;
    stage.kubectl_apply(&manifest("premium", &spec(&stage.tenant))).unwrap();
    stage.kubectl_prints(&["wait", "--for=condition=Ready", "psplan/premium", "--timeout=60s"]);
    let contract = stage.simulator.contract(&stage.tenant).unwrap();
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
    let table = stage.kubectl_prints(&["get", "psplan"]);
    assert_eq!(columns(&table, 0), ["NAME", "READY", "REASON", "CONTRACT", "MENU", "AGE"]);
    assert_eq!(columns(&table, 1)[..5], ["premium", "True", "Contracted", contract.id.as_str(), "PremiumPlan"]);
    let wide = stage.kubectl_prints(&["get", "fic", "-o", "wide"]);
    assert_eq!(columns(&wide, 0)[6..], ["TENANT", "OPERATION", "SINCE", "SUSPENDED", "MESSAGE"]);
    let row = columns(&wide, 1);
    assert_eq!(row[6..10], [stage.tenant.as_str(), "Completed", contract.menu_start_date.as_str(), "false"]);
    assert!(row[10].contains("is in force"), "{row:?}");
    let by_tenant = format!("spec.tenantID={}", stage.tenant);
    assert!(stage.kubectl_prints(&["get", "psplan", "--field-selector", &by_tenant]).contains("premium"));
    let described = stage.kubectl_prints(&["describe", "psplan", "premium"]);
    assert!(described.contains("Purchased") && described.contains("Contracted"), "{described}");
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_explains_every_field() {
    let stage = Stage::empty().await;
    for (field, says) in [
        ("spec.tenantID", "32 lower-case hexadecimal digits"),
        ("spec.credentialsSecretRef", "fic.ntt.com/credentials"),
        ("spec.menu", "support menu"),
        ("spec.managementPolicy", "only report"),
        ("spec.adoptionPolicy", "take it"),
        ("spec.recreationPolicy", "buy it again"),
        ("spec.deletionPolicy", "Retain"),
        ("spec.suspend", "no calls, no changes"),
        ("status.conditions", "Stalled"),
        ("status.observedGeneration", "-1 before the first"),
    ] {
        let explained = stage.kubectl_prints(&["explain", &format!("psplan.{field}")]);
        let in_one_line = explained.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(in_one_line.contains(says), "{field}: {explained}");
    }
}
