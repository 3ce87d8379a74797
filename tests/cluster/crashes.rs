//! Operators that are killed or not running.

use std::time::{Duration, Instant};

use fic_simulator::log::Call;
use kube::api::ListParams;
use serde_json::json;

use crate::many_plans::MANY;
use crate::support::TestEnvironment;

/// With fewer kills the operator may never have been killed in the middle of its work.
const FEWEST_KILLS: usize = 3;

#[tokio::test(flavor = "multi_thread")]
async fn repeatedly_killed_operator_creates_and_abolishes_each_contract_once() {
    let mut env = TestEnvironment::without_operator().await;
    env.create_secret().await;
    let tenants = env.apply_many().await;
    env.start_operator().await;
    let began = Instant::now();
    let mut kills = 0;
    // Each incarnation of the operator sends more requests than the one before, so the kills hit early and late steps.
    while env.contracted().await < MANY {
        kills += 1;
        kill_after_requests(&mut env, 20 * kills).await;
    }
    println!("{MANY} plans Ready after {kills} kills, {:?}", began.elapsed());
    assert!(kills >= FEWEST_KILLS, "the operator was killed only {kills} times before all plans were Contracted");
    env.request_deletion_of_all();
    let (began, mut kills) = (Instant::now(), 0);
    while !env.plans().list(&ListParams::default()).await.unwrap().items.is_empty() {
        kills += 1;
        kill_after_requests(&mut env, 20 * kills).await;
    }
    println!("{MANY} plans gone after {kills} kills, {:?}", began.elapsed());
    assert!(kills >= FEWEST_KILLS, "the operator was killed only {kills} times before all plans were deleted");
    env.assert_one_create_and_delete_each(&tenants).await;
    env.assert_no_request_was_forbidden();
}

/// Kills the operator after so many requests to the simulator or 2 seconds, and starts another one.
async fn kill_after_requests(env: &mut TestEnvironment, requests: usize) {
    let before = env.simulator.log().len();
    let deadline = Instant::now() + Duration::from_secs(2);
    while env.simulator.log().len() < before + requests && Instant::now() < deadline {
        tokio::task::yield_now().await;
    }
    env.operator().kill();
    env.start_operator().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn second_replica_continues_after_the_leader_is_killed() {
    let mut env = TestEnvironment::without_operator().await.with_leader_election();
    env.create_secret().await;
    let tenants = env.apply_many().await;
    env.start_operator().await;
    env.wait_for_requests("the first create request", |log| log.iter().any(|entry| entry.call == Call::Create)).await;
    env.operator().kill();
    assert!(env.contracted().await < MANY, "the leader must be killed in the middle of its work");
    env.start_operator().await;
    let began = Instant::now();
    env.wait_until_all_are_contracted().await;
    println!("{MANY} plans Ready {:?} after their leader was killed", began.elapsed());
    env.delete_all_and_check(&tenants).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn namespace_deleted_while_the_operator_is_down_is_removed_with_its_contracts_after_the_restart() {
    let mut env = TestEnvironment::with_operator().await;
    env.apply("premium", json!({})).await;
    env.wait_for_reason("premium", "Contracted").await;
    env.operator().kill();
    env.kubectl(&["delete", "namespace", &env.namespace, "--wait=false"]);
    env.wait_until("the namespace controller to delete the plan", || async {
        env.plans().get("premium").await.is_ok_and(|plan| plan.metadata.deletion_timestamp.is_some())
    })
    .await;
    env.start_operator().await;
    env.wait_for_deletion("premium").await;
    assert_eq!(env.simulator.contract(&env.tenant), None);
    env.kubectl(&["wait", "--for=delete", &format!("namespace/{}", env.namespace), "--timeout=60s"]);
}
