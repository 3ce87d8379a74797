//! Several plans for one tenant, several tenants, several operators.

use fic_simulator::faults::{Fault, Kind};
use fic_simulator::log::Call;
use kube::api::ListParams;
use serde_json::json;

use crate::support::plan::{condition, has_reason, message};
use crate::support::{TestEnvironment, new_tenant};

#[tokio::test(flavor = "multi_thread")]
async fn second_plan_for_a_tenant_waits_until_the_first_is_deleted() {
    let env = TestEnvironment::with_operator().await;
    env.apply("first", json!({})).await;
    env.wait_for_reason("first", "Contracted").await;
    env.apply("second", json!({})).await;
    let plan = env.wait_for_reason("second", "TenantClaimed").await;
    assert!(condition(&plan, "Stalled").is_some());
    assert!(message(&plan).contains("PremiumSupportPlan \"first\""), "{}", message(&plan));
    env.delete("first").await;
    env.wait_for_deletion("first").await;
    env.wait_for_reason("second", "Contracted").await;
    assert_eq!((env.count(Call::Create), env.count(Call::Delete)), (2, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_plans_for_one_tenant_exactly_one_creates_a_contract() {
    let mut env = TestEnvironment::without_operator().await;
    env.create_secret().await;
    for name in ["one", "two", "three"] {
        env.apply(name, json!({})).await;
    }
    env.start_operator().await;
    env.wait_for_requests("the create request", |log| log.iter().any(|entry| entry.call == Call::Create)).await;
    let plans = env.plans();
    let count = async |reason: &str| {
        let plans = plans.list(&ListParams::default()).await.unwrap().items;
        plans.iter().filter(|plan| has_reason(plan, reason)).count()
    };
    env.wait_until("one plan to be Contracted", || async { count("Contracted").await == 1 }).await;
    env.wait_until("two plans to be TenantClaimed", || async { count("TenantClaimed").await == 2 }).await;
    assert_eq!(env.count(Call::Create), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn tenant_whose_requests_hang_does_not_delay_another_tenant() {
    let mut env = TestEnvironment::with_operator().await;
    env.simulator.fault(Fault::on_tenant(&env.tenant, Kind::Hang { ms: None, effect_first: false }));
    env.apply("hanging", json!({})).await;
    env.wait_for_requests("the request that hangs", |log| !log.is_empty()).await;
    env.tenant = new_tenant();
    env.apply("good", json!({})).await;
    env.wait_for_reason("good", "Contracted").await;
    let plan = env.wait_for_reason("hanging", "ServiceUnavailable").await;
    assert!(condition(&plan, "Reconciling").is_some());
    env.simulator.clear_faults();
    env.wait_for_reason("hanging", "Contracted").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_hanging_tenants_than_the_concurrency_do_not_hold_up_another_tenant() {
    let flags = ["--concurrency=4", "--request-timeout=1m"];
    let mut env = TestEnvironment::without_operator().await.with_flags(&flags);
    env.create_secret().await;
    env.start_operator().await;
    for number in 0..6 {
        env.tenant = new_tenant();
        env.simulator.fault(Fault::on_tenant(&env.tenant, Kind::Hang { ms: None, effect_first: false }));
        env.apply(&format!("hanging-{number}"), json!({})).await;
    }
    env.wait_for_requests("the requests that hang", |log| log.len() >= 6).await;
    env.tenant = new_tenant();
    env.apply("good", json!({})).await;
    env.wait_for_reason("good", "Contracted").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn secret_shared_by_two_shards_keeps_its_finalizer_until_both_release_it() {
    let mut env = TestEnvironment::without_operator().await;
    env.create_secret().await;
    for shard in ["a", "b"] {
        env.set_flags(&[&format!("--label-selector=shard={shard}")]);
        env.start_operator().await;
        env.apply(shard, json!({})).await;
        env.label(shard, "shard", shard).await;
        env.wait_for_reason(shard, "Contracted").await;
        env.tenant = new_tenant();
    }
    env.wait_for_secret_finalizer(true).await;
    env.delete("a").await;
    env.wait_for_deletion("a").await;
    // Both operators have checked the Secret. Neither has removed the finalizer, because the contract of shard b
    // depends on the Secret.
    env.assert_secret_writes(1).await;
    env.delete("b").await;
    env.wait_for_deletion("b").await;
    env.wait_for_secret_finalizer(false).await;
    env.assert_secret_writes(2).await;
}
