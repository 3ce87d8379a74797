//! What an operator checks at the start: the version of the API server and its own permissions. The tests of whole
//! clusters check the CRD.

use serde_json::{Value, json};

use crate::support::TestEnvironment;
use crate::support::api_proxy::ApiProxy;
use crate::support::cluster::OPERATOR;

/// Has the operators run with a service account that has the permissions of the operator in the namespace of the test
/// only, without those that match.
fn with_a_role(env: TestEnvironment, is_missing: fn(&Value) -> bool) -> TestEnvironment {
    let deployed = env.cluster.kubectl(&["get", "clusterrole", OPERATOR, "--output=json"]);
    let mut rules = serde_json::from_str::<Value>(&deployed).unwrap()["rules"].as_array().unwrap().clone();
    rules.retain(|rule| !is_missing(rule) && rule["resources"][0] != "customresourcedefinitions");
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": { "name": "tested" }, "rules": rules,
    });
    env.kubectl_apply(&role).unwrap();
    env.kubectl(&["create", "serviceaccount", "tested"]);
    let account = format!("--serviceaccount={}:tested", env.namespace);
    env.kubectl(&["create", "rolebinding", "tested", "--role=tested", &account]);
    let kubeconfig = env.cluster.kubeconfig_of(&env.namespace, "tested");
    env.with_variable("KUBECONFIG", kubeconfig.to_str().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_permission_ends_the_start_with_a_message_that_names_it() {
    let env = TestEnvironment::without_operator().await;
    let env = with_a_role(env, |rule| rule["resources"][0] == "premiumsupportplans/status");
    let (exit_code, log) = env.run_operator_to_exit().await;
    let expected =
        format!("not allowed to patch premiumsupportplans.fic.ntt.com/status in namespace {};", env.namespace);
    assert!(exit_code == Some(1) && log.contains(&expected), "{exit_code:?}: {log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_permission_for_the_lease_ends_the_start_of_an_operator_that_elects() {
    let env = TestEnvironment::without_operator().await.with_flags(&["--leader-elect", "--lease-name=another"]);
    let (exit_code, log) = env.run_operator_to_exit().await;
    let expected = format!(
        "not allowed to get leases.coordination.k8s.io another in namespace {OPERATOR}, \
         update leases.coordination.k8s.io another in namespace {OPERATOR};"
    );
    assert!(exit_code == Some(1) && log.contains(&expected), "{exit_code:?}: {log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn operator_with_permissions_in_one_namespace_does_not_check_the_crd_and_works() {
    let mut env = with_a_role(TestEnvironment::without_operator().await, |_| false);
    env.create_secret().await;
    env.start_operator().await;
    assert!(env.operator().log().contains("not allowed to read the CustomResourceDefinition, so it is not checked"));
    env.apply("premium", json!({})).await;
    env.wait_for_reason("premium", "Contracted").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn api_server_older_than_1_32_ends_the_start_with_a_message() {
    let env = TestEnvironment::without_operator().await;
    let proxy = ApiProxy::start(&env.cluster).await;
    let env = env.with_api_proxy(&proxy);
    proxy.set_minor_version("31+");
    let (exit_code, log) = env.run_operator_to_exit().await;
    let expected = "the API server is Kubernetes 1.31+; this operator needs Kubernetes 1.32 or newer";
    assert!(exit_code == Some(1) && log.contains(expected), "{exit_code:?}: {log}");
}
