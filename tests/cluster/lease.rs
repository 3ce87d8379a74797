//! The Lease is deleted by hand while the operator works.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use kube::api::DeleteParams;
use serde_json::json;

use crate::support::operator::Operator;
use crate::support::texts::log::{LEASE_ACQUIRED, LEASE_LOST, WAITING_FOR_LEASE};
use crate::support::{TestEnvironment, new_tenant};

/// The number of plans.
const PLANS: usize = 20;

/// According to the times in their logs, no replica began to lead before the other one had stopped.
fn assert_one_leader_at_a_time(env: &TestEnvironment) {
    let logs = env.operators.iter().map(Operator::log).collect::<Vec<_>>();
    let mut changes = Vec::new();
    for (replica, log) in logs.iter().enumerate() {
        for line in log.lines() {
            let time = line.split_whitespace().next().unwrap_or_default();
            if line.contains(LEASE_ACQUIRED) {
                changes.push((time, replica, true));
            } else if LEASE_LOST.iter().any(|text| line.contains(text)) {
                changes.push((time, replica, false));
            }
        }
    }
    changes.sort_unstable();
    let mut leaders = BTreeSet::new();
    for (_, replica, leads) in &changes {
        if *leads {
            leaders.insert(replica);
        } else {
            leaders.remove(replica);
        }
        assert!(leaders.len() <= 1, "two replicas led at the same time: {changes:#?}");
    }
    assert!(changes.len() > 2, "the Lease was never lost: {changes:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn deleting_the_lease_again_and_again_buys_and_leaves_behind_nothing() {
    let mut env = TestEnvironment::without_operator().await.with_leader_election();
    env.create_secret().await;
    env.start_operator().await;
    env.start_operator_until(&[WAITING_FOR_LEASE]).await;
    let leases: Api<Lease> = Api::namespaced(env.client.clone(), &env.namespace);
    let tenants = (0..PLANS).map(|_| new_tenant()).collect::<Vec<_>>();
    for (number, tenant) in tenants.iter().enumerate() {
        env.apply_in(&env.namespace, &format!("plan-{number}"), tenant, json!({})).await;
        // Two plans and four deletions a second, so that the Lease goes while contracts are bought, and right before
        // either of the replicas looks at it.
        for _ in 0..2 {
            let _ = leases.delete("fic-support-operator", &DeleteParams::default()).await;
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    }
    let began = Instant::now();
    env.wait_until("all plans to be Contracted", || async { env.contracted().await == PLANS }).await;
    println!("{PLANS} plans Ready {:?} after the Lease was deleted for the last time", began.elapsed());
    assert_one_leader_at_a_time(&env);
    for tenant in &tenants {
        let summary = env.simulator.summary(tenant);
        assert_eq!((summary.creates_sent, summary.creates_with_effect), (1, 1), "{tenant}");
    }
    env.request_deletion_of_all();
    env.wait_until_all_are_deleted().await;
    for tenant in &tenants {
        let summary = env.simulator.summary(tenant);
        assert_eq!((summary.deletes_sent, summary.deletes_with_effect, summary.contract), (1, 1, None), "{tenant}");
    }
    env.assert_no_request_was_forbidden();
}
