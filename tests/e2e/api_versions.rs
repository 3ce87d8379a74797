//! Plans in each version that the API server serves.

use serde_json::{Value, json};

use crate::support::plan::{VERSIONS, in_version, manifest, resource, spec};
use crate::support::{TestEnvironment, new_tenant};

/// Applies a manifest as Argo CD, Flux and `kubectl apply --server-side` do.
fn apply(env: &TestEnvironment, manager: &str, manifest: &Value) -> Result<String, String> {
    env.kubectl_with("apply", &["--server-side", &format!("--field-manager={manager}")], manifest)
}

/// The plan as the API server shows it in this version.
fn plan(env: &TestEnvironment, version: &str) -> Value {
    let plan = format!("{}/premium", resource(version));
    serde_json::from_str(&env.kubectl(&["get", &plan, "--output=json", "--show-managed-fields"])).unwrap()
}

/// The version and the operation of each write of this manager.
fn entries(plan: &Value, manager: &str) -> Vec<[String; 2]> {
    let entries = plan["metadata"]["managedFields"].as_array().unwrap().iter();
    let text = |entry: &Value, field: &str| entry[field].as_str().unwrap().to_owned();
    let of_manager = entries.filter(|entry| entry["manager"] == manager && entry["subresource"].is_null());
    of_manager.map(|entry| [text(entry, "apiVersion"), text(entry, "operation")]).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn plan_is_the_same_in_each_version() {
    let env = TestEnvironment::with_operator().await;
    env.kubectl_apply(&in_version("v1alpha1", &manifest("premium", &spec(&env.tenant, &json!({}))))).unwrap();
    env.wait_for_reason("premium", "Contracted").await;
    let [mut earlier, own] = VERSIONS.map(|version| plan(&env, version));
    assert_eq!(earlier["apiVersion"], "fic.ntt.com/v1alpha1");
    earlier["apiVersion"] = json!("fic.ntt.com/v1beta1");
    assert_eq!(earlier, own);
    // Without a version, kubectl asks for the newest one.
    let version = env.kubectl(&["get", "psplan", "premium", "--output=jsonpath={.apiVersion}"]);
    assert_eq!(version, "fic.ntt.com/v1beta1");
    // A user may go on with either version.
    for version in VERSIONS {
        let plan =
            in_version(version, &manifest("premium", &spec(&env.tenant, &json!({ "recreationPolicy": "Never" }))));
        assert!(env.kubectl_apply(&plan).unwrap().contains("premiumsupportplan.fic.ntt.com/premium"));
    }
    assert_eq!(env.simulator.summary(&env.tenant).creates_sent, 1);
}

/// The operator writes plans in the newest version, and a tool applies the version of its manifest.
#[tokio::test(flavor = "multi_thread")]
async fn fields_keep_their_manager_in_each_version() {
    let env = TestEnvironment::with_operator().await;
    let of = |version: &str, more: Value| in_version(version, &manifest("premium", &spec(&env.tenant, &more)));
    apply(&env, "gitops", &of("v1alpha1", json!({ "recreationPolicy": "Never", "deletionPolicy": "Retain" }))).unwrap();
    env.wait_for_reason("premium", "Contracted").await;
    let before = plan(&env, "v1beta1");
    assert_eq!(entries(&before, "gitops"), [["fic.ntt.com/v1alpha1", "Apply"]]);
    assert_eq!(entries(&before, "fic-support-operator"), [["fic.ntt.com/v1beta1", "Update"]]);

    // Another manager may not change in one version what belongs to the first in the other.
    let other = of("v1beta1", json!({ "recreationPolicy": "IfLost" }));
    let refused = apply(&env, "other", &other).expect_err("the field belongs to another manager");
    assert!(refused.contains("conflict with \"gitops\": .spec.recreationPolicy"), "{refused}");

    // The manifest changes to the newer version and no longer has a field: the field goes, and what the operator has
    // written stays.
    apply(&env, "gitops", &of("v1beta1", json!({ "deletionPolicy": "Retain" }))).unwrap();
    let after = plan(&env, "v1beta1");
    assert_eq!(after["spec"]["recreationPolicy"], "IfLost", "the default");
    assert_eq!(entries(&after, "gitops"), [["fic.ntt.com/v1beta1", "Apply"]]);
    for field in
        ["/metadata/finalizers", "/metadata/annotations/fic.ntt.com~1owner-uid", "/status/id", "/status/ownerUID"]
    {
        assert!(before.pointer(field).is_some(), "{field} is missing: {before}");
        assert_eq!(after.pointer(field), before.pointer(field), "{field}");
    }

    // And back.
    apply(&env, "gitops", &of("v1alpha1", json!({}))).unwrap();
    let back = plan(&env, "v1beta1");
    assert_eq!((&back["spec"]["deletionPolicy"], &back["status"]["id"]), (&json!("Delete"), &before["status"]["id"]));
    assert_eq!(entries(&back, "gitops"), [["fic.ntt.com/v1alpha1", "Apply"]]);
    env.assert_no_request_was_forbidden();
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_deprecated_version_warns() {
    let env = TestEnvironment::without_operator().await;
    let plan = manifest("premium", &spec(&new_tenant(), &json!({})));
    let warning = "Warning: fic.ntt.com/v1alpha1 PremiumSupportPlan is deprecated; use fic.ntt.com/v1beta1";
    for (version, expected) in [("v1alpha1", true), ("v1beta1", false)] {
        env.kubectl_apply(&in_version(version, &plan)).unwrap();
        let mut kubectl = env.cluster.control_plane.kubectl();
        let get = ["get", &resource(version), "--namespace", &env.namespace];
        let printed = String::from_utf8(kubectl.args(get).output().unwrap().stderr).unwrap();
        assert_eq!(printed.contains(warning), expected, "{version}: {printed}");
    }
}
