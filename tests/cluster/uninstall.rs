//! The user uninstalls the operator: the deployment only, or the CRD too.

use kube::ResourceExt;
use serde_json::json;

use crate::many_plans::MANY;
use crate::support::TestEnvironment;
use crate::support::cluster::{CRD, Cluster, DEPLOY_FOLDER, OPERATOR, install};

/// The names of the cluster-scoped objects of the deployment. The deletion of the namespace removes the other objects.
fn cluster_objects(cluster: &Cluster) -> String {
    let selector = format!("--selector=app.kubernetes.io/name={OPERATOR}");
    cluster.kubectl(&["get", "namespaces,clusterroles,clusterrolebindings", "--output=name", &selector])
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
    assert_eq!(cluster_objects(&env.cluster).lines().count(), 5, "{}", cluster_objects(&env.cluster));
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
