//! The policies of a plan, and contracts that a user changes in the portal.

use fic_simulator::log::Call;
use fic_simulator::portal::Action;
use fic_support_operator::api::plan::PremiumSupportPlan;
use serde_json::json;

use crate::support::plan::{condition, message};
use crate::support::texts::message::{ACTIVE, ONLY_OBSERVED};
use crate::support::{TestEnvironment, new_tenant};

#[tokio::test(flavor = "multi_thread")]
async fn existing_contract_is_not_changed() {
    let env = TestEnvironment::with_operator().await;
    env.simulator.portal(&env.tenant, &Action::Create);
    let existing = env.simulator.contract(&env.tenant).unwrap().id;
    env.apply("premium", json!({})).await;
    let plan = env.wait_for_reason("premium", "AlreadyContracted").await;
    assert!(condition(&plan, "Stalled").is_some());
    assert!(
        message(&plan).contains(&existing) && message(&plan).contains("adoptionPolicy: IfPresent"),
        "{}",
        message(&plan)
    );
    env.delete("premium").await;
    env.wait_for_deletion("premium").await;
    assert_eq!(env.simulator.contract(&env.tenant).unwrap().id, existing);
    assert_eq!(env.count(Call::Delete), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn existing_contract_is_adopted_with_adoption_policy_if_present() {
    let env = TestEnvironment::with_operator().await;
    env.simulator.portal(&env.tenant, &Action::Create);
    env.apply("premium", json!({ "adoptionPolicy": "IfPresent" })).await;
    env.wait_for_reason("premium", "Contracted").await;
    env.wait_for_events("premium", &["Adopted", "Contracted"]).await;
    assert_eq!(env.count(Call::Create), 0);
    env.delete("premium").await;
    env.wait_for_deletion("premium").await;
    assert!(env.simulator.contract(&env.tenant).is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn contract_created_in_the_portal_between_list_and_create_is_not_adopted() {
    let env = TestEnvironment::with_operator().await;
    env.simulator.portal(&env.tenant, &Action::CreateBeforeNextCreate);
    env.apply("premium", json!({})).await;
    let plan = env.wait_for_reason("premium", "AlreadyContracted").await;
    assert!(plan.metadata.finalizers.is_none(), "the plan has no contract of its own");
    env.delete("premium").await;
    env.wait_for_deletion("premium").await;
    assert!(env.simulator.contract(&env.tenant).is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn management_policy_observe_only_reports() {
    let env = TestEnvironment::with_operator().await;
    env.apply("premium", json!({ "managementPolicy": "Observe" })).await;
    let plan = env.wait_for_reason("premium", "NotContracted").await;
    assert!(condition(&plan, "Reconciling").is_some());
    env.simulator.portal(&env.tenant, &Action::Create);
    let plan = env.wait_for_reason("premium", "Contracted").await;
    assert!(plan.metadata.finalizers.is_none());
    env.delete("premium").await;
    env.wait_for_deletion("premium").await;
    assert!(env.simulator.contract(&env.tenant).is_some());
    assert_eq!(env.count(Call::Create) + env.count(Call::Delete), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn plan_switched_to_observe_and_back_still_owns_its_contract() {
    let env = TestEnvironment::with_operator().await;
    env.apply("premium", json!({})).await;
    env.wait_for_reason("premium", "Contracted").await;
    env.patch_spec("premium", json!({ "managementPolicy": "Observe" })).await;
    let is_observed = |plan: &PremiumSupportPlan| message(plan).contains(ONLY_OBSERVED);
    let plan = env.wait_for_plan("premium", "premium to be only observed", is_observed).await;
    assert!(plan.metadata.finalizers.is_some_and(|finalizers| !finalizers.is_empty()));
    env.patch_spec("premium", json!({ "managementPolicy": "Manage" })).await;
    env.delete("premium").await;
    env.wait_for_deletion("premium").await;
    assert!(env.simulator.contract(&env.tenant).is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_contract_is_recreated() {
    let env = TestEnvironment::with_operator().await;
    env.apply("premium", json!({})).await;
    let before = env.wait_for_reason("premium", "Contracted").await.status.unwrap().id;
    env.simulator.portal(&env.tenant, &Action::Abolish);
    let is_recreated = |plan: &PremiumSupportPlan| {
        let status = plan.status.as_ref().unwrap();
        status.id.is_some() && status.id != before && message(plan).contains(ACTIVE)
    };
    env.wait_for_plan("premium", "the contract of premium to be recreated", is_recreated).await;
    env.wait_for_events("premium", &["Purchased", "Contracted", "ContractLost", "Purchased", "Contracted"]).await;
    assert_eq!(env.count(Call::Create), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_contract_is_only_reported_with_recreation_policy_never() {
    let env = TestEnvironment::with_operator().await;
    env.apply("premium", json!({ "recreationPolicy": "Never" })).await;
    env.wait_for_reason("premium", "Contracted").await;
    env.simulator.portal(&env.tenant, &Action::Abolish);
    let plan = env.wait_for_reason("premium", "ContractLost").await;
    assert!(condition(&plan, "Stalled").is_some());
    env.wait_for_events("premium", &["Purchased", "Contracted", "ContractLost"]).await;
    assert_eq!(env.count(Call::Create), 1);
    env.patch_spec("premium", json!({ "recreationPolicy": "IfLost" })).await;
    env.wait_for_reason("premium", "Contracted").await;
    assert_eq!(env.count(Call::Create), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn replaced_contract_is_not_changed() {
    let env = TestEnvironment::with_operator().await;
    env.apply("premium", json!({})).await;
    env.wait_for_reason("premium", "Contracted").await;
    env.simulator.portal(&env.tenant, &Action::Replace);
    let other = env.simulator.contract(&env.tenant).unwrap().id;
    let plan = env.wait_for_reason("premium", "AlreadyContracted").await;
    assert!(message(&plan).contains(&other), "{}", message(&plan));
    env.delete("premium").await;
    env.wait_for_deletion("premium").await;
    assert_eq!(env.simulator.contract(&env.tenant).unwrap().id, other);
    assert_eq!(env.count(Call::Delete), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn plan_created_suspended_sends_no_request() {
    let env = TestEnvironment::with_operator().await;
    env.apply("premium", json!({ "suspend": true })).await;
    let plan = env.wait_for_reason("premium", "Suspended").await;
    assert!(condition(&plan, "Reconciling").is_none() && condition(&plan, "Stalled").is_none());
    assert!(env.calls().is_empty());
    env.patch_spec("premium", json!({ "suspend": false })).await;
    env.wait_for_reason("premium", "Contracted").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn suspended_plan_keeps_its_status_while_it_is_deleted() {
    let mut env = TestEnvironment::with_operator().await;
    env.apply("premium", json!({})).await;
    let before = env.wait_for_reason("premium", "Contracted").await;
    env.patch_spec("premium", json!({ "suspend": true })).await;
    env.delete("premium").await;
    // When a second plan is Contracted, the operator has also reconciled the first one.
    env.tenant = new_tenant();
    env.apply("second", json!({})).await;
    env.wait_for_reason("second", "Contracted").await;
    let plan = env.plans().get("premium").await.unwrap();
    assert_eq!(plan.status, before.status);
    assert_eq!(env.count(Call::Delete), 0);
    env.patch_spec("premium", json!({ "suspend": false })).await;
    env.wait_for_deletion("premium").await;
}
