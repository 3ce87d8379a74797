//! A contract from create to delete, and the requests and writes that it takes.

use fic_simulator::faults::{Fault, Kind};
use fic_simulator::log::Call;
use fic_simulator::portal::Action;
use fic_support_operator::api::plan::{PremiumSupportPlan, RECONCILE_REQUESTED_AT};
use serde_json::json;

use crate::support::TestEnvironment;
use crate::support::plan::{condition, message, ready};

#[tokio::test(flavor = "multi_thread")]
async fn plan_creates_and_abolishes_its_contract() {
    let env = TestEnvironment::with_operator().await;
    env.apply("premium", json!({})).await;
    let plan = env.wait_for_reason("premium", "Contracted").await;

    let contract = env.simulator.contract(&env.tenant).expect("the contract exists");
    let status = plan.status.as_ref().unwrap();
    assert_eq!(status.id.as_deref(), Some(contract.id.as_str()));
    assert_eq!(status.operation_status.as_deref(), Some("Completed"));
    assert_eq!(status.current_menu.as_deref(), Some("PremiumPlan"));
    assert_eq!(status.menus.as_ref().unwrap()[0].menu_start_date.as_deref(), Some(contract.menu_start_date.as_str()));
    assert_eq!(status.observed_generation, plan.metadata.generation);
    assert_eq!(ready(&plan).unwrap().status, "True");
    assert!(condition(&plan, "Reconciling").is_none() && condition(&plan, "Stalled").is_none());
    // The finalizer, the id, and Ready.
    env.assert_plan_writes(3).await;
    env.wait_for_secret_finalizer(true).await;

    env.delete("premium").await;
    env.wait_for_deletion("premium").await;
    assert!(env.simulator.contract(&env.tenant).is_none());
    env.wait_for_secret_finalizer(false).await;
    env.wait_for_events("premium", &["Purchased", "Contracted", "Abolished"]).await;

    let mut calls = env.calls();
    calls.dedup();
    let until_delete = [Call::SignIn, Call::List, Call::Create, Call::Show, Call::Delete];
    // Show and List must both report three times that the contract does not exist.
    let expected = until_delete.into_iter().chain([Call::Show, Call::List].repeat(3)).collect::<Vec<_>>();
    assert_eq!(calls, expected, "the operator repeats only reads");
    let log = env.simulator.log();
    assert_eq!(log[log.len() - 2].status, Some(404));
    assert!(log.iter().all(|entry| entry.user_agent.starts_with("fic-support-operator/")));
    env.assert_no_request_was_forbidden();
}

#[tokio::test(flavor = "multi_thread")]
async fn unchanged_contract_causes_no_write() {
    let env = TestEnvironment::with_operator().await;
    env.apply("premium", json!({})).await;
    env.wait_for_reason("premium", "Contracted").await;
    env.assert_plan_writes(3).await;
    let shows = env.count(Call::Show);
    env.wait_for_requests("three more drift checks", |log| {
        log.iter().filter(|entry| entry.call == Call::Show).count() >= shows + 3
    })
    .await;
    env.assert_plan_writes(3).await;
    assert_eq!(env.count(Call::SignIn), 1, "the operator reuses its token");
}

#[tokio::test(flavor = "multi_thread")]
async fn operation_in_progress_is_reported_and_blocks_the_delete() {
    let env = TestEnvironment::with_operator().await;
    env.simulator.set(|settings| settings.processing_ms = 600_000);
    env.apply("premium", json!({})).await;
    let plan = env.wait_for_reason("premium", "Processing").await;
    assert_eq!(ready(&plan).unwrap().status, "False");
    assert_eq!(condition(&plan, "Reconciling").unwrap().status, "True");
    assert!(plan.status.unwrap().id.is_some(), "the operator records the id at once");
    // The user deletes the plan while FIC processes the create. The operator waits for FIC before it sends the delete.
    env.delete("premium").await;
    let plan = env.wait_for_reason("premium", "Abolishing").await;
    assert!(message(&plan).contains("Retain"), "{}", message(&plan));
    assert_eq!(env.count(Call::Delete), 0);
    env.simulator.portal(&env.tenant, &Action::SetStatus("Completed".into()));
    env.simulator.set(|settings| settings.processing_ms = 100);
    env.wait_for_deletion("premium").await;
    assert_eq!(env.count(Call::Delete), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn create_with_lost_response_is_not_sent_again() {
    let env = TestEnvironment::with_operator().await;
    env.simulator.fault(Fault::once(Call::Create, &env.tenant, Kind::DropAfter));
    env.apply("premium", json!({})).await;
    env.wait_for_reason("premium", "Contracted").await;
    assert_eq!(env.count(Call::Create), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn create_without_effect_is_sent_again_after_several_reads() {
    let env = TestEnvironment::with_operator().await;
    env.simulator.fault(Fault::once(Call::Create, &env.tenant, Kind::DropBefore));
    env.apply("premium", json!({})).await;
    env.wait_for_reason("premium", "Purchasing").await;
    env.wait_for_reason("premium", "Contracted").await;
    let summary = env.simulator.summary(&env.tenant);
    assert_eq!((summary.creates_sent, summary.creates_with_effect), (2, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn annotation_triggers_a_reconcile() {
    let env = TestEnvironment::with_operator_flags(&["--resync-interval=1h"]).await;
    env.apply("premium", json!({})).await;
    env.wait_for_reason("premium", "Contracted").await;
    env.simulator.portal(&env.tenant, &Action::SetMenu("GoldPlan".into()));
    env.kubectl(&["annotate", "psplan", "premium", "fic.ntt.com/reconcile-requested-at=now"]);
    let plan = env.wait_for_reason("premium", "MenuMismatch").await;
    assert_eq!(plan.status.unwrap().last_handled_reconcile_at.as_deref(), Some("now"));
}

#[tokio::test(flavor = "multi_thread")]
async fn requested_reconciles_happen_at_most_once_a_second() {
    let env = TestEnvironment::with_operator_flags(&["--resync-interval=1h"]).await;
    env.apply("premium", json!({})).await;
    env.wait_for_reason("premium", "Contracted").await;
    let before = env.simulator.log().len();
    let mut last = String::new();
    for number in 0..100 {
        last = format!("request-{number}");
        env.patch_plan("premium", json!({ "metadata": { "annotations": { RECONCILE_REQUESTED_AT: last } } })).await;
    }
    let is_handled = |plan: &PremiumSupportPlan| {
        plan.status.as_ref().is_some_and(|status| status.last_handled_reconcile_at.as_deref() == Some(last.as_str()))
    };
    env.wait_for_plan("premium", "the last request to be handled", is_handled).await;
    let reads = env.simulator.log().split_off(before);
    let apart = reads.windows(2).map(|pair| pair[1].at_ms - pair[0].at_ms).collect::<Vec<_>>();
    assert!(apart.iter().all(|ms| *ms >= 900), "milliseconds between two reads: {apart:?}");
}
