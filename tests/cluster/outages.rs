//! Outages of FIC, of credentials, of etcd and of the API server, with many plans in progress.

use std::sync::Arc;
use std::time::Instant;

use control_plane::supervisor::Order;
use fic_simulator::faults::{Fault, Kind};

use crate::many_plans::MANY;
use crate::support::TestEnvironment;

/// For a third of the tenants FIC hangs, responds slowly, or sends invalid responses. The other tenants are not
/// affected, and that third recovers when FIC does.
#[tokio::test(flavor = "multi_thread")]
async fn tenants_with_failing_requests_do_not_delay_the_others() {
    let mut env = TestEnvironment::without_operator().await.with_flags(&["--request-timeout=1s"]);
    env.create_secret().await;
    let tenants = env.apply_many().await;
    let failing = tenants.values().take(MANY / 3).collect::<Vec<_>>();
    let hang = Kind::Hang { ms: None, effect_first: false };
    for (number, tenant) in failing.iter().enumerate() {
        let kinds = [hang.clone(), Kind::SlowDrip { interval_ms: 300 }, Kind::Garbage, Kind::Huge { mib: 2 }];
        env.simulator.fault(Fault::on_tenant(tenant, kinds[number % kinds.len()].clone()));
    }
    env.start_operator().await;
    let began = Instant::now();
    let good = MANY - failing.len();
    env.wait_until("the other plans to be Contracted", || async { env.contracted().await == good }).await;
    println!("{good} good plans Ready beside {} with failing requests, {:?}", failing.len(), began.elapsed());
    for tenant in &failing {
        let summary = env.simulator.summary(tenant);
        assert_eq!(summary.creates_with_effect, 0, "the operator must not create a contract after an invalid response");
    }
    env.simulator.clear_faults();
    let began = Instant::now();
    env.wait_until_all_are_contracted().await;
    println!("{MANY} plans Ready {:?} after FIC recovered", began.elapsed());
    env.delete_all_and_check(&tenants).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_rotated_and_tokens_revoked_in_use_lose_no_contract() {
    let mut env = TestEnvironment::with_operator().await;
    let tenants = env.apply_many().await;
    env.wait_until("some plans to be Contracted", || async { env.contracted().await > MANY / 5 }).await;
    // The user changes the Secret first, then locks the old key, which revokes every token.
    env.patch_secret(&[("apiKey", "rotated-key"), ("apiSecret", "rotated-secret")]).await;
    env.simulator.account("key", None);
    env.simulator.revoke_tokens(None);
    let began = Instant::now();
    env.wait_until_all_are_contracted().await;
    println!("{MANY} plans Ready {:?} after the credentials were rotated", began.elapsed());
    env.request_deletion_of_all();
    env.simulator.revoke_tokens(None);
    env.wait_until_all_are_deleted().await;
    env.assert_one_create_and_delete_each(&tenants).await;
    env.assert_no_request_was_forbidden();
}

#[tokio::test(flavor = "multi_thread")]
async fn restart_of_the_api_server_and_of_etcd_loses_no_contract() {
    let mut env = TestEnvironment::with_operator().await;
    let tenants = env.apply_many().await;
    assert!(env.contracted().await < MANY, "the outage must begin while the operator creates contracts");
    // Checked now only: after a start the API server refuses every request until it has loaded the RBAC rules.
    env.assert_no_request_was_forbidden();
    restart(&env, Order::StopApiServer, Order::StartApiServer).await;
    let began = Instant::now();
    env.wait_until_all_are_contracted().await;
    println!("{MANY} plans Ready {:?} after the API server was restarted", began.elapsed());
    env.request_deletion_of_all();
    restart(&env, Order::StopEtcd, Order::StartEtcd).await;
    let began = Instant::now();
    env.wait_until_all_are_deleted().await;
    println!("{MANY} plans gone {:?} after etcd was restarted", began.elapsed());
    env.assert_one_create_and_delete_each(&tenants).await;
}

async fn restart(env: &TestEnvironment, stop: Order, start: Order) {
    order(env, stop).await;
    order(env, start).await;
}

/// Has the supervisor of the control plane execute an order, which blocks its thread.
pub async fn order(env: &TestEnvironment, order: Order) {
    let cluster = Arc::clone(&env.cluster);
    tokio::task::spawn_blocking(move || cluster.control_plane.order(order).unwrap()).await.unwrap();
}
