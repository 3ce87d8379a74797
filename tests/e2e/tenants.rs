//! One plan holds a tenant; one tenant never holds up another.

use fic_simulator::faults::{Fault, Kind};
use fic_simulator::log::Call;
use serde_json::json;

use crate::environment::{Stage, condition, message, new_tenant};

#[tokio::test(flavor = "multi_thread")]
async fn of_two_plans_for_a_tenant_one_holds_it_and_the_other_takes_over() {
    let stage = Stage::new().await;
    stage.apply("first", json!({})).await;
    stage.reaches("first", "Contracted").await;
    stage.apply("second", json!({})).await;
    let plan = stage.reaches("second", "TenantClaimed").await;
    assert!(condition(&plan, "Stalled").is_some());
    assert!(message(&plan).contains(&format!("{}/first", stage.namespace)), "{}", message(&plan));
    stage.delete("first").await;
    stage.is_gone("first").await;
    stage.reaches("second", "Contracted").await;
    assert_eq!((stage.count(Call::Create), stage.count(Call::Delete)), (2, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_plans_applied_at_once_one_buys() {
    let mut stage = Stage::empty().await;
    stage.create_secret().await;
    for name in ["one", "two", "three"] {
        stage.apply(name, json!({})).await;
    }
    stage.start_operator().await;
    stage.sees("the create", |log| log.iter().any(|entry| entry.call == Call::Create)).await;
    let of = |reason: &'static str| {
        let plans = stage.plans();
        async move {
            let plans = plans.list(&kube::api::ListParams::default()).await.unwrap().items;
            plans
                .iter()
                .filter(|plan| crate::environment::ready(plan).is_some_and(|ready| ready.reason == reason))
                .count()
        }
    };
    stage.wait("one to be Contracted", || async { of("Contracted").await == 1 }).await;
    stage.wait("two to be TenantClaimed", || async { of("TenantClaimed").await == 2 }).await;
    assert_eq!(stage.count(Call::Create), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_that_hangs_does_not_hold_up_another() {
    let mut stage = Stage::new().await;
    stage.simulator.fault(Fault::on_tenant(&stage.tenant, Kind::Hang { ms: None, effect_first: false }));
    stage.apply("hanging", json!({})).await;
    stage.sees("the call that hangs", |log| !log.is_empty()).await;
    stage.tenant = new_tenant();
    stage.apply("good", json!({})).await;
    stage.reaches("good", "Contracted").await;
    let plan = stage.reaches("hanging", "ServiceUnavailable").await;
    assert!(condition(&plan, "Reconciling").is_some());
    stage.simulator.clear_faults();
    stage.reaches("hanging", "Contracted").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn shards_share_a_secret_in_peace() {
    let mut stage = Stage::empty().await;
    stage.create_secret().await;
    for shard in ["a", "b"] {
        stage.set_flags(&[&format!("--label-selector=shard={shard}")]);
        stage.start_operator().await;
        stage.apply(shard, json!({})).await;
        stage.label(shard, "shard", shard).await;
        stage.reaches(shard, "Contracted").await;
        stage.tenant = new_tenant();
    }
    stage.secret_is_protected(true).await;
    stage.delete("a").await;
    stage.is_gone("a").await;
    // Both have looked by then, and the Secret is what it was: the other shard's contract depends on it.
    stage.has_written_secrets(1).await;
    stage.delete("b").await;
    stage.is_gone("b").await;
    stage.secret_is_protected(false).await;
    stage.has_written_secrets(2).await;
}
