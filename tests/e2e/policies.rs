//! The policies of a plan, and contracts that a user changes in the portal.

use fic_simulator::faults::{Fault, Kind};
use fic_simulator::log::Call;
use fic_simulator::portal::Action;
use fic_support_operator::api::plan::{PremiumSupportPlan, RECONCILE_REQUESTED_AT as REQUESTED_AT};
use kube::ResourceExt;
use kube::api::ListParams;
use serde_json::json;

use crate::support::plan::{condition, has_reason, message, ready};
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
async fn suspended_plan_keeps_its_conditions_and_stays_while_it_is_deleted() {
    let env = TestEnvironment::with_operator().await;
    env.apply("premium", json!({})).await;
    let before = env.wait_for_reason("premium", "Contracted").await;
    env.patch_spec("premium", json!({ "suspend": true })).await;
    let is_observed = |plan: &PremiumSupportPlan| {
        plan.status.as_ref().is_some_and(|status| status.observed_generation == plan.metadata.generation)
    };
    let suspended = env.wait_for_plan("premium", "the suspension to be observed", is_observed).await;
    let conditions = |plan: &PremiumSupportPlan| plan.status.as_ref().unwrap().conditions.clone();
    assert_eq!(conditions(&suspended), conditions(&before));
    env.assert_plan_writes(4).await;
    env.delete("premium").await;
    let plan = env.wait_for_reason("premium", "Suspended").await;
    assert!(message(&plan).contains("set suspend: false"), "{}", message(&plan));
    assert!(condition(&plan, "Reconciling").is_none() && condition(&plan, "Stalled").is_none());
    assert_eq!(env.count(Call::Delete), 0);
    env.patch_spec("premium", json!({ "suspend": false })).await;
    env.wait_for_deletion("premium").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn contract_out_of_sight_is_lost_only_after_the_patience() {
    let env = TestEnvironment::with_operator_flags(&["--loss-patience=1h"]).await;
    env.apply("premium", json!({})).await;
    env.wait_for_reason("premium", "Contracted").await;
    env.simulator.fault(Fault::always(Call::List, &env.tenant, Kind::WrongAbsence));
    env.simulator.fault(Fault::always(Call::Show, &env.tenant, Kind::WrongAbsence));
    let plan = env.wait_for_reason("premium", "ContractNotFound").await;
    assert_eq!(ready(&plan).unwrap().status, "Unknown");
    assert!(condition(&plan, "Reconciling").is_some());
    env.simulator.clear_faults();
    env.patch_plan("premium", json!({ "metadata": { "annotations": { REQUESTED_AT: "now" } } })).await;
    env.wait_for_reason("premium", "Contracted").await;
    assert_eq!(env.count(Call::Create), 1);
}

/// Many contracts that are gone at once are more likely a fault than a wish to buy them all again.
#[tokio::test(flavor = "multi_thread")]
async fn purchase_guard_holds_recreations_back_until_a_person_approves_them() {
    let mut env = TestEnvironment::with_operator_flags(&["--max-recreations-per-hour=1"]).await;
    let plans = ["one", "two", "three"].map(|name| (name, new_tenant()));
    for (name, tenant) in &plans {
        env.apply_in(&env.namespace, name, tenant, json!({})).await;
        env.wait_for_reason(name, "Contracted").await;
    }
    for (_, tenant) in &plans {
        env.simulator.portal(tenant, &Action::Abolish);
    }
    let api = env.plans();
    let with_reason = async |reason: &str| {
        let all = api.list(&ListParams::default()).await.unwrap().items;
        all.into_iter().filter(|plan| has_reason(plan, reason)).collect::<Vec<_>>()
    };
    let settled = async || env.count(Call::Create) == 4 && with_reason("ContractLost").await.len() == 2;
    env.wait_until("one plan to be recreated and two to be held back", settled).await;
    let held_back = with_reason("ContractLost").await;
    assert!(condition(&held_back[0], "Stalled").is_some());
    assert!(message(&held_back[0]).contains("--max-recreations-per-hour"), "{}", message(&held_back[0]));
    // A new process continues to count, and to hold back.
    env.operator().kill();
    env.start_operator().await;
    let name = held_back[0].name_any();
    env.patch_plan(&name, json!({ "metadata": { "annotations": { REQUESTED_AT: "approved" } } })).await;
    env.wait_for_reason(&name, "Contracted").await;
    assert_eq!(env.count(Call::Create), 5);
    assert_eq!(with_reason("ContractLost").await.len(), 1);
}
