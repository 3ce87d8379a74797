//! The user uninstalls the operator: the deployment only, or the CRD too, or in an order that needs a way out.

use kube::ResourceExt;
use serde_json::json;

use crate::many_plans::MANY;
use crate::support::TestEnvironment;
use crate::support::cluster::{CRD, Cluster, DEPLOY_FOLDER, GUARD_FOLDER, OPERATOR, install, install_deployment};

/// The names of the cluster-scoped objects of the deployment. The deletion of the namespace removes the other objects.
fn cluster_objects(cluster: &Cluster) -> String {
    let selector = format!("--selector=app.kubernetes.io/name={OPERATOR}");
    let policies = "validatingadmissionpolicies,validatingadmissionpolicybindings";
    let kinds = format!("namespaces,clusterroles,clusterrolebindings,{policies}");
    cluster.kubectl(&["get", &kinds, "--output=name", &selector])
}

#[tokio::test(flavor = "multi_thread")]
async fn deleting_the_deployment_keeps_the_crd_the_plans_and_the_contracts() {
    let mut env = TestEnvironment::with_own_control_plane().await;
    env.apply("premium", json!({})).await;
    env.wait_for_reason("premium", "Contracted").await;
    let contract = env.simulator.contract(&env.tenant);
    // The control plane has no kubelet, so the test stops the process that stands for the Pods of the Deployment.
    assert_eq!(env.operator().terminate().code(), Some(0));
    let before = env.plans().get("premium").await.unwrap();
    assert_eq!(cluster_objects(&env.cluster).lines().count(), 12, "{}", cluster_objects(&env.cluster));
    // The namespace controller may delete an object before kubectl does.
    env.cluster.kubectl(&["delete", "-k", DEPLOY_FOLDER, "--ignore-not-found", "--timeout=60s"]);

    assert_eq!(cluster_objects(&env.cluster), "", "objects of the deployment still exist");
    let deletion = env.cluster.kubectl(&["get", CRD, "--output=jsonpath={.metadata.deletionTimestamp}"]);
    assert_eq!(deletion, "", "the CRD is being deleted");
    let plan = env.plans().get("premium").await.unwrap();
    assert_eq!((plan.uid(), plan.resource_version()), (before.uid(), before.resource_version()), "the plan changed");
    assert_eq!(plan.metadata.deletion_timestamp, None);
    let summary = env.simulator.summary(&env.tenant);
    assert_eq!((summary.deletes_sent, summary.contract), (0, contract.map(|contract| contract.id)));

    // A new installation continues with the same plan.
    install(&env.cluster.control_plane);
    env.start_operator().await;
    env.delete("premium").await;
    env.wait_for_deletion("premium").await;
    let summary = env.simulator.summary(&env.tenant);
    assert_eq!((summary.creates_sent, summary.deletes_sent, summary.contract), (1, 1, None));
}

/// Deletes the CRD as a user who has read nothing. Returns what kubectl prints.
fn try_to_delete_crd(env: &TestEnvironment) -> String {
    let output = env.cluster.control_plane.kubectl().args(["delete", CRD, "--timeout=60s"]).output().unwrap();
    assert!(!output.status.success(), "the guard must refuse to delete the CRD");
    String::from_utf8(output.stderr).unwrap()
}

/// Installs the guard of the CRD, and waits until it is in force.
async fn install_guard(env: &TestEnvironment) {
    env.cluster.kubectl(&["apply", "-k", GUARD_FOLDER]);
    let is_refused = || async {
        let delete = ["delete", CRD, "--dry-run=server"];
        !env.cluster.control_plane.kubectl().args(delete).output().unwrap().status.success()
    };
    env.wait_until("the guard to be in force", is_refused).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn guard_keeps_the_crd_until_a_user_follows_its_message() {
    let mut env = TestEnvironment::with_own_control_plane().await;
    install_guard(&env).await;
    env.apply("premium", json!({})).await;
    env.wait_for_reason("premium", "Contracted").await;
    // The deployment goes first. The guard stays with the CRD.
    assert_eq!(env.operator().terminate().code(), Some(0));
    env.cluster.kubectl(&["delete", "-k", DEPLOY_FOLDER, "--ignore-not-found", "--timeout=60s"]);
    let message = try_to_delete_crd(&env);
    let confirm = "kubectl annotate crd premiumsupportplans.fic.ntt.com";
    assert!(message.contains(confirm) && message.contains("The operator must be running"), "{message}");
    assert!(env.plans().get("premium").await.unwrap().metadata.deletion_timestamp.is_none());

    // Without an operator the plans wait. A new installation lets them go, and their contracts stay.
    env.cluster.kubectl(&["annotate", CRD, "fic.ntt.com/confirm-delete=premiumsupportplans.fic.ntt.com"]);
    env.cluster.kubectl(&["delete", CRD, "--wait=false"]);
    env.wait_for_plan("premium", "the plan to be deleted", |plan| plan.metadata.deletion_timestamp.is_some()).await;
    install_deployment(&env.cluster.control_plane);
    env.start_operator().await;
    env.cluster.kubectl(&["wait", "--for=delete", CRD, "--timeout=60s"]);
    let summary = env.simulator.summary(&env.tenant);
    assert_eq!((summary.deletes_sent, summary.contract.is_some()), (0, true));
}

/// The namespace of the operator is deleted first, and then the one of a team.
#[tokio::test(flavor = "multi_thread")]
async fn namespace_without_an_operator_says_what_it_waits_for_and_a_new_installation_ends_it() {
    let mut env = TestEnvironment::with_own_control_plane().await;
    env.apply("premium", json!({})).await;
    env.wait_for_reason("premium", "Contracted").await;
    assert_eq!(env.operator().terminate().code(), Some(0));
    env.cluster.kubectl(&["delete", "namespace", OPERATOR, "--timeout=60s"]);
    assert!(env.plans().get("premium").await.unwrap().metadata.deletion_timestamp.is_none());
    assert!(env.simulator.contract(&env.tenant).is_some());

    env.cluster.kubectl(&["delete", "namespace", &env.namespace, "--wait=false"]);
    let remaining = r#"--output=jsonpath={.status.conditions[?(@.type=="NamespaceFinalizersRemaining")].message}"#;
    let is_said = || async {
        let message = env.cluster.kubectl(&["get", "namespace", &env.namespace, remaining]);
        message.contains("fic.ntt.com/contract in 1 resource instances")
    };
    env.wait_until("the namespace to say what it waits for", is_said).await;
    assert_eq!(env.simulator.summary(&env.tenant).deletes_sent, 0);
    install(&env.cluster.control_plane);
    env.start_operator().await;
    env.cluster.kubectl(&["wait", "--for=delete", &format!("namespace/{}", env.namespace), "--timeout=60s"]);
    let summary = env.simulator.summary(&env.tenant);
    assert_eq!((summary.deletes_sent, summary.contract), (1, None), "deleting a plan abolishes its contract");
}

#[tokio::test(flavor = "multi_thread")]
async fn deleting_the_crd_retains_every_contract() {
    let mut env = TestEnvironment::with_own_control_plane().await;
    let tenants = env.apply_many().await;
    env.wait_until_all_are_contracted().await;
    // A suspended plan does not hold up the uninstall, also if it was deleted before.
    let mut names = tenants.keys();
    let (suspended, deleted) = (names.next().unwrap(), names.next().unwrap());
    for name in [suspended, deleted] {
        env.patch_spec(name, json!({ "suspend": true })).await;
    }
    env.delete(deleted).await;
    env.wait_for_reason(deleted, "Suspended").await;
    env.kubectl(&["delete", CRD, "--timeout=60s"]);
    for tenant in tenants.values() {
        let summary = env.simulator.summary(tenant);
        assert_eq!((summary.deletes_sent, summary.contract.is_some()), (0, true), "{tenant}");
    }
    env.wait_until("each plan to have the Event Retained", || async {
        let events = env.kubectl(&["get", "events", "-o", "jsonpath={.items[*].reason}"]);
        events.split_whitespace().filter(|reason| *reason == "Retained").count() == MANY
    })
    .await;
}
