//! Requests to the API server that are never answered, and connections that are dropped without a word.

use std::time::Instant;

use serde_json::json;

use crate::support::TestEnvironment;
use crate::support::api_proxy::ApiProxy;

/// An operator that reaches the API server through a proxy.
async fn behind_a_proxy() -> (TestEnvironment, ApiProxy) {
    let env = TestEnvironment::without_operator().await;
    let proxy = ApiProxy::start(&env.cluster).await;
    env.create_secret().await;
    (env.with_api_proxy(&proxy), proxy)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_is_never_answered_is_begun_again_within_a_minute() {
    let (mut env, proxy) = behind_a_proxy().await;
    proxy.leave_unanswered(Some("premiumsupportplans?"));
    env.apply("premium", json!({})).await;
    env.start_operator_until(&["starting"]).await;
    proxy.wait_for_unanswered().await;
    proxy.leave_unanswered(None);
    let began = Instant::now();
    env.wait_for_reason("premium", "Contracted").await;
    println!("Ready {:?} after a list that was never answered", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_that_freezes_is_begun_again_within_a_minute() {
    let (mut env, proxy) = behind_a_proxy().await;
    env.start_operator().await;
    env.apply("first", json!({})).await;
    env.wait_for_reason("first", "Contracted").await;
    proxy.freeze_connections();
    env.tenant = crate::support::new_tenant();
    env.apply("second", json!({})).await;
    let began = Instant::now();
    env.wait_for_reason("second", "Contracted").await;
    println!("Ready {:?} after all connections to the API server froze", began.elapsed());
    let summary = env.simulator.summary(&env.tenant);
    assert_eq!((summary.creates_sent, summary.creates_with_effect), (1, 1));
}
