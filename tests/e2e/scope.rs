//! What an operator watches: its namespaces and its label selector.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use kube::ResourceExt;
use serde_json::json;

use crate::support::plan::ready;
use crate::support::texts::log::WATCH_FAILED;
use crate::support::{TestEnvironment, new_tenant};

#[tokio::test(flavor = "multi_thread")]
async fn operator_watches_only_the_namespaces_of_its_flags() {
    let env = TestEnvironment::without_operator().await;
    let watched = format!("{}-watched", env.namespace);
    let unwatched = format!("{}-unwatched", env.namespace);
    let mut env = env.with_flags(&[&format!("--watch-namespace={watched}")]);
    env.create_secret().await;
    env.start_operator().await;
    for namespace in [&unwatched, &watched] {
        env.create_namespace(namespace).await;
        env.create_secret_in(namespace).await;
        env.apply_in(namespace, "premium", &new_tenant(), json!({})).await;
    }
    env.apply("premium", json!({})).await;
    env.wait_for_reason("premium", "Contracted").await;
    env.wait_for_reason_in(&watched, "premium", "Contracted").await;
    let plan = env.plans_in(&unwatched).get("premium").await.unwrap();
    assert!(plan.finalizers().is_empty() && ready(&plan).is_none(), "{plan:?}");
    assert_eq!(env.simulator.summary(&plan.spec.tenant_id).creates_sent, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn label_selector_that_the_api_server_rejects_ends_the_process_with_exit_code_2() {
    for selector in ["shard in (a", "team=network,,tier=test", "-invalid=key", "shard=a b"] {
        let env = TestEnvironment::without_operator().await.with_flags(&[&format!("--label-selector={selector}")]);
        let (exit_code, log) = env.run_operator_to_exit().await;
        assert_eq!(exit_code, Some(2), "{selector}: {log}");
        assert!(log.contains(&format!("error: --label-selector \"{selector}\" is not valid: ")), "{log}");
        assert!(log.contains("; use a selector such as team=network,tier!=test,shard in (a,b)"), "{log}");
        env.assert_no_request_was_forbidden();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn label_selector_that_the_api_server_accepts_does_not_end_the_process() {
    for selector in ["team=network,tier in (a, b),!old,shard!=3", "shard==", "shard>1", "example.com/team"] {
        let env = TestEnvironment::without_operator().await;
        let mut env = env.with_flags(&[&format!("--label-selector={selector}")]);
        env.start_operator().await;
        assert_eq!(env.operator().terminate().code(), Some(0), "{selector}");
        env.assert_no_request_was_forbidden();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn label_selector_that_no_api_server_validates_does_not_end_the_process() {
    let env = TestEnvironment::without_operator().await.with_flags(&["--label-selector=shard=a"]);
    let mut env = env.with_api_server("https://127.0.0.1:1");
    env.start_operator_until(&[WATCH_FAILED]).await;
    assert_eq!(env.operator().terminate().code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn shutdown_does_not_wait_for_the_validation_of_the_label_selector() {
    // The kernel accepts connections, and no request is ever answered.
    let api_server = TcpListener::bind("127.0.0.1:0").unwrap();
    let env = TestEnvironment::without_operator().await.with_flags(&["--label-selector=shard=a"]);
    let mut env = env.with_api_server(&format!("http://{}", api_server.local_addr().unwrap()));
    env.start_operator_until(&["starting"]).await;
    let signalled = Instant::now();
    assert_eq!(env.operator().terminate().code(), Some(0));
    assert!(signalled.elapsed() < Duration::from_secs(5), "{:?}", signalled.elapsed());
}
