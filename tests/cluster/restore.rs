//! etcd is restored from a backup while the operator works. Its caches and its own writes are then newer than what the
//! API server has.

use std::time::Instant;

use control_plane::supervisor::Order;
use fic_simulator::log::Call;
use fic_simulator::portal::Action;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use crate::outages::order;
use crate::support::texts::log::VERSIONS_WENT_BACK;
use crate::support::{TestEnvironment, new_tenant};

const REQUESTED_AT: &str = "fic.ntt.com/reconcile-requested-at";

async fn restore(restore_order: Order, flags: &[&str]) {
    let mut env = TestEnvironment::with_own_control_plane().await;
    env.operator().terminate();
    if flags.contains(&"--leader-elect") {
        env = env.with_leader_election();
    }
    env.start_operator().await;
    let tenants = [new_tenant(), new_tenant(), new_tenant()];
    let [watched, deleted, bought_later] = &tenants;
    let never = json!({ "recreationPolicy": "Never" });
    env.apply_in(&env.namespace, "watched", watched, never).await;
    env.apply_in(&env.namespace, "deleted", deleted, json!({})).await;
    for name in ["watched", "deleted"] {
        env.wait_for_reason(name, "Contracted").await;
    }
    order(&env, Order::BackUpEtcd).await;

    // The operator writes each plan, so that it knows newer versions than the backup has.
    for round in 0..5 {
        for name in ["watched", "deleted"] {
            let at = format!("round {round}");
            env.wait_until("the API server to accept a request", || async {
                let patch = json!({ "metadata": { "annotations": { REQUESTED_AT: at } } });
                env.plans().patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await.is_ok()
            })
            .await;
            env.wait_for_plan(name, "the request to be handled", |plan| {
                plan.status.as_ref().is_some_and(|status| status.last_handled_reconcile_at.as_ref() == Some(&at))
            })
            .await;
        }
    }
    order(&env, restore_order).await;
    let began = Instant::now();
    // Nothing changes this plan: the operator must look at it by itself.
    env.simulator.portal(watched, &Action::Abolish);
    env.apply_in(&env.namespace, "bought-later", bought_later, json!({})).await;
    env.delete("deleted").await;
    env.wait_for_reason("watched", "ContractLost").await;
    env.wait_for_reason("bought-later", "Contracted").await;
    env.wait_for_deletion("deleted").await;
    println!("everything goes on {:?} after etcd was restored ({restore_order:?})", began.elapsed());
    assert!(env.operator().log().contains(VERSIONS_WENT_BACK), "{}", env.operator().log());
    for (tenant, deletes) in [(watched, 0), (deleted, 1), (bought_later, 0)] {
        let summary = env.simulator.summary(tenant);
        assert_eq!((summary.creates_sent, summary.deletes_sent), (1, deletes), "{tenant}");
    }
    assert_eq!(env.count(Call::Create), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn restored_etcd_whose_revisions_go_back_stops_nothing() {
    restore(Order::RestoreEtcd, &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn restored_etcd_whose_revisions_jump_stops_nothing() {
    restore(Order::RestoreEtcdWithHigherRevisions, &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn restored_etcd_stops_nothing_with_leader_election() {
    restore(Order::RestoreEtcd, &["--leader-elect"]).await;
}
