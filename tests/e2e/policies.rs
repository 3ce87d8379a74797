//! Every policy, and what people do in the portal meanwhile.

use fic_simulator::log::Call;
use fic_simulator::portal::Action;
use serde_json::json;

use crate::environment::{Stage, condition, message};

#[tokio::test(flavor = "multi_thread")]
async fn a_contract_that_was_there_is_left_alone() {
    let stage = Stage::new().await;
    stage.simulator.portal(&stage.tenant, &Action::Create);
    let there = stage.simulator.contract(&stage.tenant).unwrap().id;
    stage.apply("premium", json!({})).await;
    let plan = stage.reaches("premium", "AlreadyContracted").await;
    assert!(condition(&plan, "Stalled").is_some());
    assert!(
        message(&plan).contains(&there) && message(&plan).contains("adoptionPolicy: IfPresent"),
        "{}",
        message(&plan)
    );
    stage.delete("premium").await;
    stage.is_gone("premium").await;
    assert_eq!(stage.simulator.contract(&stage.tenant).unwrap().id, there);
    assert_eq!(stage.count(Call::Delete), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_contract_that_was_there_is_taken_over_where_that_is_wished() {
    let stage = Stage::new().await;
    stage.simulator.portal(&stage.tenant, &Action::Create);
    stage.apply("premium", json!({ "adoptionPolicy": "IfPresent" })).await;
    stage.reaches("premium", "Contracted").await;
    stage.has_events("premium", &["Adopted", "Contracted"]).await;
    assert_eq!(stage.count(Call::Create), 0);
    stage.delete("premium").await;
    stage.is_gone("premium").await;
    assert!(stage.simulator.contract(&stage.tenant).is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_contract_bought_in_the_portal_between_list_and_create_is_not_taken_for_ours() {
    let stage = Stage::new().await;
    stage.simulator.portal(&stage.tenant, &Action::CreateBeforeNextCreate);
    stage.apply("premium", json!({})).await;
    let plan = stage.reaches("premium", "AlreadyContracted").await;
    assert!(plan.metadata.finalizers.is_none(), "nothing of ours is out there");
    stage.delete("premium").await;
    stage.is_gone("premium").await;
    assert!(stage.simulator.contract(&stage.tenant).is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn observing_only_reports() {
    let stage = Stage::new().await;
    stage.apply("premium", json!({ "managementPolicy": "Observe" })).await;
    let plan = stage.reaches("premium", "NotContracted").await;
    assert!(condition(&plan, "Reconciling").is_some());
    stage.simulator.portal(&stage.tenant, &Action::Create);
    let plan = stage.reaches("premium", "Contracted").await;
    assert!(plan.metadata.finalizers.is_none());
    stage.delete("premium").await;
    stage.is_gone("premium").await;
    assert!(stage.simulator.contract(&stage.tenant).is_some());
    assert_eq!(stage.count(Call::Create) + stage.count(Call::Delete), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_switched_to_observe_and_back_is_the_owner_again() {
    let stage = Stage::new().await;
    stage.apply("premium", json!({})).await;
    stage.reaches("premium", "Contracted").await;
    stage.patch_spec("premium", json!({ "managementPolicy": "Observe" })).await;
    let observed = |plan: &fic_support_operator::api::plan::PremiumSupportPlan| message(plan).contains("only watched");
    let plan = stage.until("premium", "premium to be watched", observed).await;
    assert!(plan.metadata.finalizers.is_some_and(|finalizers| !finalizers.is_empty()));
    stage.patch_spec("premium", json!({ "managementPolicy": "Manage" })).await;
    stage.delete("premium").await;
    stage.is_gone("premium").await;
    assert!(stage.simulator.contract(&stage.tenant).is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_contract_is_bought_again() {
    let stage = Stage::new().await;
    stage.apply("premium", json!({})).await;
    let before = stage.reaches("premium", "Contracted").await.status.unwrap().id;
    stage.simulator.portal(&stage.tenant, &Action::Abolish);
    let bought_again = |plan: &fic_support_operator::api::plan::PremiumSupportPlan| {
        let status = plan.status.as_ref().unwrap();
        status.id.is_some() && status.id != before && message(plan).contains("in force")
    };
    stage.until("premium", "premium to be bought again", bought_again).await;
    stage.has_events("premium", &["Purchased", "Contracted", "ContractLost", "Purchased", "Contracted"]).await;
    assert_eq!(stage.count(Call::Create), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_contract_is_only_told_where_that_is_wished() {
    let stage = Stage::new().await;
    stage.apply("premium", json!({ "recreationPolicy": "Never" })).await;
    stage.reaches("premium", "Contracted").await;
    stage.simulator.portal(&stage.tenant, &Action::Abolish);
    let plan = stage.reaches("premium", "ContractLost").await;
    assert!(condition(&plan, "Stalled").is_some());
    stage.has_events("premium", &["Purchased", "Contracted", "ContractLost"]).await;
    assert_eq!(stage.count(Call::Create), 1);
    stage.patch_spec("premium", json!({ "recreationPolicy": "IfLost" })).await;
    stage.reaches("premium", "Contracted").await;
    assert_eq!(stage.count(Call::Create), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replaced_contract_is_left_alone() {
    let stage = Stage::new().await;
    stage.apply("premium", json!({})).await;
    stage.reaches("premium", "Contracted").await;
    stage.simulator.portal(&stage.tenant, &Action::Replace);
    let other = stage.simulator.contract(&stage.tenant).unwrap().id;
    let plan = stage.reaches("premium", "AlreadyContracted").await;
    assert!(message(&plan).contains(&other), "{}", message(&plan));
    stage.delete("premium").await;
    stage.is_gone("premium").await;
    assert_eq!(stage.simulator.contract(&stage.tenant).unwrap().id, other);
    assert_eq!(stage.count(Call::Delete), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn suspended_from_the_start_means_no_call() {
    let stage = Stage::new().await;
    stage.apply("premium", json!({ "suspend": true })).await;
    let plan = stage.reaches("premium", "Suspended").await;
    assert!(condition(&plan, "Reconciling").is_none() && condition(&plan, "Stalled").is_none());
    assert!(stage.calls().is_empty());
    stage.patch_spec("premium", json!({ "suspend": false })).await;
    stage.reaches("premium", "Contracted").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn suspended_later_a_plan_keeps_what_it_says_also_while_it_is_deleted() {
    let mut stage = Stage::new().await;
    stage.apply("premium", json!({})).await;
    let before = stage.reaches("premium", "Contracted").await;
    stage.patch_spec("premium", json!({ "suspend": true })).await;
    stage.delete("premium").await;
    // A second plan shows that the operator has gone on past the first.
    stage.tenant = crate::environment::new_tenant();
    stage.apply("second", json!({})).await;
    stage.reaches("second", "Contracted").await;
    let plan = stage.plans().get("premium").await.unwrap();
    assert_eq!(plan.status, before.status);
    assert_eq!(stage.count(Call::Delete), 0);
    stage.patch_spec("premium", json!({ "suspend": false })).await;
    stage.is_gone("premium").await;
}
