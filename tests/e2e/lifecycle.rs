//! One life, from apply to nothing, and what it costs in calls and writes.

use std::time::{Duration, Instant};

use fic_simulator::faults::{Fault, Kind};
use fic_simulator::log::Call;
use serde_json::json;

use crate::environment::{Stage, condition, message, ready};

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_is_bought_kept_and_abolished() {
    let stage = Stage::new().await;
    stage.apply("premium", json!({})).await;
    let plan = stage.reaches("premium", "Contracted").await;

    let contract = stage.simulator.contract(&stage.tenant).expect("it was bought");
    let status = plan.status.as_ref().unwrap();
    assert_eq!(status.id.as_deref(), Some(contract.id.as_str()));
    assert_eq!(status.operation_status.as_deref(), Some("Completed"));
    assert_eq!(status.current_menu.as_deref(), Some("PremiumPlan"));
    assert_eq!(status.menus.as_ref().unwrap()[0].menu_start_date.as_deref(), Some(contract.menu_start_date.as_str()));
    assert_eq!(status.observed_generation, plan.metadata.generation);
    assert_eq!(ready(&plan).unwrap().status, "True");
    assert!(condition(&plan, "Reconciling").is_none() && condition(&plan, "Stalled").is_none());
    // Finalizer, id, Ready.
    stage.has_written_plans(3).await;
    stage.secret_is_protected(true).await;

    stage.delete("premium").await;
    stage.is_gone("premium").await;
    assert!(stage.simulator.contract(&stage.tenant).is_none());
    stage.secret_is_protected(false).await;
    stage.has_events("premium", &["Purchased", "Contracted", "Abolished"]).await;

    let mut calls = stage.calls();
    calls.dedup();
    let bought = [Call::SignIn, Call::List, Call::Create, Call::Show, Call::Delete];
    // Both witnesses are asked until they have agreed three times.
    let expected = bought.into_iter().chain([Call::Show, Call::List].repeat(3)).collect::<Vec<_>>();
    assert_eq!(calls, expected, "and nothing twice but looks");
    let log = stage.simulator.log();
    assert_eq!(log[log.len() - 2].status, Some(404));
    assert!(log.iter().all(|entry| entry.user_agent.starts_with("fic-support-operator/")));
    stage.was_never_forbidden();
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_written_while_nothing_changes() {
    let stage = Stage::new().await;
    stage.apply("premium", json!({})).await;
    stage.reaches("premium", "Contracted").await;
    stage.has_written_plans(3).await;
    let shows = stage.count(Call::Show);
    stage
        .sees("three more drift checks", |log| log.iter().filter(|entry| entry.call == Call::Show).count() >= shows + 3)
        .await;
    stage.has_written_plans(3).await;
    assert_eq!(stage.count(Call::SignIn), 1, "the token in hand is used");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_on_is_seen_while_it_goes_on() {
    let stage = Stage::new().await;
    stage.simulator.set(|settings| settings.processing_ms = 600_000);
    stage.apply("premium", json!({})).await;
    let plan = stage.reaches("premium", "Processing").await;
    assert_eq!(ready(&plan).unwrap().status, "False");
    assert_eq!(condition(&plan, "Reconciling").unwrap().status, "True");
    assert!(plan.status.unwrap().id.is_some(), "the id is recorded at once");
    // Deleted while FIC works on the create: it waits for it.
    stage.delete("premium").await;
    let plan = stage.reaches("premium", "Abolishing").await;
    assert!(message(&plan).contains("Retain"), "{}", message(&plan));
    assert_eq!(stage.count(Call::Delete), 0);
    stage.simulator.portal(&stage.tenant, &fic_simulator::portal::Action::SetStatus("Completed".into()));
    stage.simulator.set(|settings| settings.processing_ms = 100);
    stage.is_gone("premium").await;
    assert_eq!(stage.count(Call::Delete), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_create_whose_answer_is_lost_is_found_and_not_sent_again() {
    let stage = Stage::new().await;
    stage.simulator.fault(Fault::once(Call::Create, &stage.tenant, Kind::DropAfter));
    stage.apply("premium", json!({})).await;
    stage.reaches("premium", "Contracted").await;
    assert_eq!(stage.count(Call::Create), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_create_that_never_arrived_is_sent_again_after_several_looks() {
    let stage = Stage::new().await;
    stage.simulator.fault(Fault::once(Call::Create, &stage.tenant, Kind::DropBefore));
    stage.apply("premium", json!({})).await;
    stage.reaches("premium", "Purchasing").await;
    stage.reaches("premium", "Contracted").await;
    let summary = stage.simulator.summary(&stage.tenant);
    assert_eq!((summary.creates_sent, summary.creates_with_effect), (2, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_operator_leaves_nothing_undone() {
    let mut stage = Stage::new().await;
    stage.simulator.fault(Fault::once(Call::Create, &stage.tenant, Kind::Hang { ms: None, effect_first: true }));
    stage.apply("premium", json!({})).await;
    stage.sees("the create", |log| log.iter().any(|entry| entry.call == Call::Create && entry.effect)).await;
    stage.operator().kill();
    stage.start_operator().await;
    stage.reaches("premium", "Contracted").await;
    let summary = stage.simulator.summary(&stage.tenant);
    assert_eq!((summary.creates_sent, summary.creates_with_effect), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn asked_to_end_it_ends_with_success_and_records_what_it_was_at() {
    let mut stage = Stage::new().await;
    stage.simulator.fault(Fault::once(Call::Create, &stage.tenant, Kind::Hang { ms: Some(1000), effect_first: true }));
    stage.apply("premium", json!({})).await;
    stage.sees("the create", |log| log.iter().any(|entry| entry.call == Call::Create && entry.effect)).await;
    let ended = stage.operator().terminate();
    assert_eq!(ended.code(), Some(0));
    let plan = stage.plans().get("premium").await.unwrap();
    assert_eq!(plan.status.unwrap().id, stage.simulator.contract(&stage.tenant).map(|contract| contract.id));
}

#[tokio::test(flavor = "multi_thread")]
async fn asked_to_end_it_waits_ten_seconds_at_the_most_for_what_it_is_at() {
    let mut stage = Stage::empty().await.with_flags(&["--request-timeout=10m", "--leader-elect"]);
    stage.create_secret().await;
    stage.start_operator().await;
    stage.simulator.fault(Fault::once(Call::Create, &stage.tenant, Kind::Hang { ms: None, effect_first: true }));
    stage.apply("premium", json!({})).await;
    stage.sees("the create", |log| log.iter().any(|entry| entry.call == Call::Create && entry.effect)).await;
    let asked = Instant::now();
    assert_eq!(stage.operator().terminate().code(), Some(0));
    assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
    assert!(stage.operator().log().contains("gave the lead back"));
    stage.start_operator().await;
    stage.reaches("premium", "Contracted").await;
    let summary = stage.simulator.summary(&stage.tenant);
    assert_eq!((summary.creates_sent, summary.creates_with_effect), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn asked_to_end_before_it_has_seen_the_cluster_it_ends_all_the_same() {
    let nowhere = std::env::temp_dir().join(format!("kubeconfig-nowhere-{}", std::process::id()));
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "nowhere",
        "clusters": [{ "name": "nowhere", "cluster": { "server": "https://127.0.0.1:1" } }],
        "contexts": [{ "name": "nowhere", "context": { "cluster": "nowhere", "user": "nobody" } }],
        "users": [{ "name": "nobody", "user": {} }],
    });
    std::fs::write(&nowhere, config.to_string()).unwrap();
    let mut stage = Stage::empty().await.with_variable("KUBECONFIG", nowhere.to_str().unwrap());
    stage.start_operator_until(&["the watch broke"]).await;
    assert_eq!(stage.operator().terminate().code(), Some(0));
    std::fs::remove_file(nowhere).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_annotation_asks_for_a_look_now() {
    let stage = Stage::empty().await.with_flags(&["--resync-interval=1h"]);
    let mut stage = stage;
    stage.create_secret().await;
    stage.start_operator().await;
    stage.apply("premium", json!({})).await;
    stage.reaches("premium", "Contracted").await;
    stage.simulator.portal(&stage.tenant, &fic_simulator::portal::Action::SetMenu("GoldPlan".into()));
    stage.kubectl_prints(&["annotate", "psplan", "premium", "fic.ntt.com/reconcile-requested-at=now"]);
    let plan = stage.reaches("premium", "MenuMismatch").await;
    assert_eq!(plan.status.unwrap().last_handled_reconcile_at.as_deref(), Some("now"));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_replicas_one_leads_and_the_other_takes_over() {
    let stage = Stage::empty().await.with_flags(&["--leader-elect"]);
    let mut stage = stage;
    stage.create_secret().await;
    stage.start_operator().await;
    stage.apply("premium", json!({})).await;
    stage.reaches("premium", "Contracted").await;
    stage.start_operator().await;
    let standby = stage.operator().http().expect("the log tells where");
    let get =
        |path| async move { reqwest::get(format!("http://{standby}/{path}")).await.unwrap().text().await.unwrap() };
    assert_eq!(get("readyz").await, "ok\n", "a replica that stands by is ready");
    assert!(get("metrics").await.contains("fic_operator_leader 0"));
    stage.stop_first_operator();
    stage.wait("the other to lead", || async { get("metrics").await.contains("fic_operator_leader 1") }).await;
    stage.delete("premium").await;
    stage.is_gone("premium").await;
    let summary = stage.simulator.summary(&stage.tenant);
    assert_eq!((summary.creates_sent, summary.deletes_sent), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn health_readiness_and_metrics_are_served() {
    let mut stage = Stage::new().await;
    stage.apply("premium", json!({})).await;
    stage.reaches("premium", "Contracted").await;
    let address = stage.operator().http().expect("the log tells where");
    for path in ["healthz", "readyz"] {
        assert_eq!(reqwest::get(format!("http://{address}/{path}")).await.unwrap().text().await.unwrap(), "ok\n");
    }
    let metrics = reqwest::get(format!("http://{address}/metrics")).await.unwrap().text().await.unwrap();
    for line in [
        "fic_operator_plans{reason=\"Contracted\"} 1",
        "fic_operator_fic_requests_total{call=\"create\",outcome=\"2xx\"} 1",
        "fic_operator_kubernetes_writes_total{object=\"plan\"} 3",
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn neither_secrets_nor_tokens_are_ever_shown() {
    let mut stage = Stage::empty().await;
    let data = [("apiKey", "visible-key-0123"), ("apiSecret", "visible-secret-0123")];
    stage.create_secret_with("fic.ntt.com/credentials", &data).await;
    stage.start_operator().await;
    let body = r#"{"code":"x","message":"no luck with visible-secret-0123 of visible-key-0123"}"#;
    let kind = Kind::Status { code: 400, body: Some(body.into()), retry_after: None };
    stage.simulator.fault(Fault::always(Call::Create, &stage.tenant, kind));
    stage.apply("premium", json!({})).await;
    let plan = stage.reaches("premium", "RequestRejected").await;
    assert!(message(&plan).contains("no luck with [redacted]"), "{}", message(&plan));
    let events = stage.kubectl_prints(&["get", "events", "-o", "json"]);
    let log = stage.operator().log();
    for shown in [&json!(plan).to_string(), &events, &log] {
        assert!(!shown.contains("visible-"), "{shown}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_usual_proxy_variables_are_kept_to() {
    let stage = Stage::empty().await;
    // The simulator takes requests as a proxy gets them; a host of this name does not exist.
    let proxy = format!("http://{}", stage.simulator.address());
    let flags =
        ["--fic-endpoint=http://fic.invalid/fic-eri", "--keystone-endpoint=http://keystone.invalid/keystone/v3"];
    let mut stage = stage.with_variable("HTTP_PROXY", &proxy).with_flags(&flags);
    stage.create_secret().await;
    stage.start_operator().await;
    stage.apply("premium", json!({})).await;
    stage.reaches("premium", "Contracted").await;
}
