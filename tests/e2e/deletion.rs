//! Deletion of a plan: the contract is abolished or retained.

use fic_simulator::faults::{Fault, Kind};
use fic_simulator::log::Call;
use fic_simulator::portal::Action;
use kube::api::DeleteParams;
use serde_json::json;

use crate::support::plan::message;
use crate::support::{SECRET, TestEnvironment};

#[tokio::test(flavor = "multi_thread")]
async fn retain_policy_keeps_the_contract_and_sends_no_delete() {
    let env = TestEnvironment::with_operator().await;
    env.apply("premium", json!({ "deletionPolicy": "Retain" })).await;
    env.wait_for_reason("premium", "Contracted").await;
    env.delete("premium").await;
    env.wait_for_deletion("premium").await;
    assert!(env.simulator.contract(&env.tenant).is_some());
    assert_eq!(env.count(Call::Delete), 0);
    env.wait_for_events("premium", &["Purchased", "Contracted", "Retained"]).await;
    env.wait_for_secret_finalizer(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn retain_policy_releases_a_plan_whose_credentials_are_rejected() {
    let env = TestEnvironment::with_operator().await;
    env.apply("premium", json!({})).await;
    env.wait_for_reason("premium", "Contracted").await;
    env.simulator.account("key", None);
    env.simulator.revoke_tokens(None);
    env.delete("premium").await;
    let plan = env.wait_for_reason("premium", "AuthenticationFailed").await;
    assert!(message(&plan).contains("deletionPolicy: Retain"), "{}", message(&plan));
    env.patch_spec("premium", json!({ "deletionPolicy": "Retain" })).await;
    env.wait_for_deletion("premium").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn plan_without_a_contract_is_deleted_without_credentials() {
    let mut env = TestEnvironment::without_operator().await;
    env.start_operator().await;
    env.apply("premium", json!({})).await;
    env.wait_for_reason("premium", "CredentialsMissing").await;
    env.delete("premium").await;
    env.wait_for_deletion("premium").await;
    assert!(env.calls().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_404_for_show_alone_does_not_release_the_plan() {
    let env = TestEnvironment::with_operator().await;
    env.apply("premium", json!({})).await;
    env.wait_for_reason("premium", "Contracted").await;
    env.simulator.fault(Fault::always(Call::Show, &env.tenant, Kind::WrongAbsence));
    env.delete("premium").await;
    env.wait_for_deletion("premium").await;
    let summary = env.simulator.summary(&env.tenant);
    assert_eq!(
        (summary.deletes_with_effect, summary.contract),
        (1, None),
        "List reported the contract, so the operator abolished it"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn delete_with_lost_response_is_not_sent_again() {
    let env = TestEnvironment::with_operator().await;
    env.apply("premium", json!({})).await;
    env.wait_for_reason("premium", "Contracted").await;
    env.simulator.fault(Fault::once(Call::Delete, &env.tenant, Kind::DropAfter));
    env.delete("premium").await;
    env.wait_for_deletion("premium").await;
    assert_eq!(env.count(Call::Delete), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_delete_is_reported_and_retried() {
    let env = TestEnvironment::with_operator().await;
    env.apply("premium", json!({})).await;
    env.wait_for_reason("premium", "Contracted").await;
    env.simulator.portal(&env.tenant, &Action::FailNextOperation("the line is in use".into()));
    env.delete("premium").await;
    let plan = env.wait_for_reason("premium", "OperationFailed").await;
    assert!(message(&plan).contains("the line is in use"), "{}", message(&plan));
    env.wait_for_deletion("premium").await;
    assert!(env.simulator.contract(&env.tenant).is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn plan_deleted_while_the_operator_is_down_is_abolished_after_the_restart() {
    let mut env = TestEnvironment::with_operator().await;
    env.apply("premium", json!({})).await;
    env.wait_for_reason("premium", "Contracted").await;
    env.operator().kill();
    env.delete("premium").await;
    env.secrets().delete(SECRET, &DeleteParams::default()).await.unwrap();
    env.start_operator().await;
    env.wait_for_deletion("premium").await;
    assert!(env.simulator.contract(&env.tenant).is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn deleting_the_namespace_abolishes_its_contracts() {
    let env = TestEnvironment::with_operator().await;
    env.apply("premium", json!({})).await;
    env.wait_for_reason("premium", "Contracted").await;
    env.kubectl(&["delete", "namespace", &env.namespace, "--timeout=60s"]);
    let summary = env.simulator.summary(&env.tenant);
    assert_eq!((summary.deletes_with_effect, summary.contract), (1, None));
}
