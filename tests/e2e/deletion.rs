//! Letting go: by abolishing, by retaining, by uninstalling.

use fic_simulator::faults::{Fault, Kind};
use fic_simulator::log::Call;
use fic_simulator::portal::Action;
use kube::api::DeleteParams;
use serde_json::json;

use crate::environment::{SECRET, Stage, message};

#[tokio::test(flavor = "multi_thread")]
async fn retain_leaves_the_contract_without_a_call() {
    let stage = Stage::new().await;
    stage.apply("premium", json!({ "deletionPolicy": "Retain" })).await;
    stage.reaches("premium", "Contracted").await;
    stage.delete("premium").await;
    stage.is_gone("premium").await;
    assert!(stage.simulator.contract(&stage.tenant).is_some());
    assert_eq!(stage.count(Call::Delete), 0);
    stage.has_events("premium", &["Purchased", "Contracted", "Retained"]).await;
    stage.secret_is_protected(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn retain_is_the_way_out_for_a_plan_that_hangs() {
    let stage = Stage::new().await;
    stage.apply("premium", json!({})).await;
    stage.reaches("premium", "Contracted").await;
    stage.simulator.account("key", None);
    stage.simulator.revoke_tokens(None);
    stage.delete("premium").await;
    let plan = stage.reaches("premium", "AuthenticationFailed").await;
    assert!(message(&plan).contains("deletionPolicy: Retain"), "{}", message(&plan));
    stage.patch_spec("premium", json!({ "deletionPolicy": "Retain" })).await;
    stage.is_gone("premium").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_that_never_bought_goes_at_once_whatever_its_credentials() {
    let mut stage = Stage::empty().await;
    stage.start_operator().await;
    stage.apply("premium", json!({})).await;
    stage.reaches("premium", "CredentialsMissing").await;
    stage.delete("premium").await;
    stage.is_gone("premium").await;
    assert!(stage.calls().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_404_alone_does_not_let_go() {
    let stage = Stage::new().await;
    stage.apply("premium", json!({})).await;
    stage.reaches("premium", "Contracted").await;
    stage.simulator.fault(Fault::always(Call::Show, &stage.tenant, Kind::WrongAbsence));
    stage.delete("premium").await;
    stage.is_gone("premium").await;
    let summary = stage.simulator.summary(&stage.tenant);
    assert_eq!((summary.deletes_with_effect, summary.contract), (1, None), "List was believed, and it was abolished");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delete_whose_answer_is_lost_is_not_sent_again() {
    let stage = Stage::new().await;
    stage.apply("premium", json!({})).await;
    stage.reaches("premium", "Contracted").await;
    stage.simulator.fault(Fault::once(Call::Delete, &stage.tenant, Kind::DropAfter));
    stage.delete("premium").await;
    stage.is_gone("premium").await;
    assert_eq!(stage.count(Call::Delete), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delete_that_fails_is_told_and_tried_again() {
    let stage = Stage::new().await;
    stage.apply("premium", json!({})).await;
    stage.reaches("premium", "Contracted").await;
    stage.simulator.portal(&stage.tenant, &Action::FailNextOperation("the line is in use".into()));
    stage.delete("premium").await;
    let plan = stage.reaches("premium", "OperationFailed").await;
    assert!(message(&plan).contains("the line is in use"), "{}", message(&plan));
    stage.is_gone("premium").await;
    assert!(stage.simulator.contract(&stage.tenant).is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_that_is_deleted_while_the_operator_is_down_is_abolished_when_it_is_back() {
    let mut stage = Stage::new().await;
    stage.apply("premium", json!({})).await;
    stage.reaches("premium", "Contracted").await;
    stage.operator().kill();
    stage.delete("premium").await;
    stage.secrets().delete(SECRET, &DeleteParams::default()).await.unwrap();
    stage.start_operator().await;
    stage.is_gone("premium").await;
    assert!(stage.simulator.contract(&stage.tenant).is_none());
}
