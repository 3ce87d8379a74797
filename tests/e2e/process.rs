//! The operator as a process: signals, crashes, leader election, HTTP endpoints, proxy variables, and what it never
//! prints.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use fic_simulator::faults::{Fault, Kind};
use fic_simulator::log::{Call, Entry};
use serde_json::{Value, json};

use crate::support::connect_proxy::ConnectProxy;
use crate::support::environment::SECRET_TYPE;
use crate::support::plan::message;
use crate::support::texts::log::{LEASE_RELEASED, WATCH_FAILED};
use crate::support::texts::message::REDACTED;
use crate::support::{TestEnvironment, make};

fn create_took_effect(log: &[Entry]) -> bool {
    log.iter().any(|entry| entry.call == Call::Create && entry.effect)
}

#[tokio::test(flavor = "multi_thread")]
async fn restarted_operator_does_not_repeat_a_create_in_flight() {
    let mut env = TestEnvironment::with_operator().await;
    env.simulator.fault(Fault::once(Call::Create, &env.tenant, Kind::Hang { ms: None, effect_first: true }));
    env.apply("premium", json!({})).await;
    env.wait_for_requests("the create request", create_took_effect).await;
    env.operator().kill();
    env.start_operator().await;
    env.wait_for_reason("premium", "Contracted").await;
    let summary = env.simulator.summary(&env.tenant);
    assert_eq!((summary.creates_sent, summary.creates_with_effect), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn terminated_operator_records_the_create_in_flight_and_exits_with_success() {
    let mut env = TestEnvironment::with_operator().await;
    env.simulator.fault(Fault::once(Call::Create, &env.tenant, Kind::Hang { ms: Some(1000), effect_first: true }));
    env.apply("premium", json!({})).await;
    env.wait_for_requests("the create request", create_took_effect).await;
    let exit = env.operator().terminate();
    assert_eq!(exit.code(), Some(0));
    let plan = env.plans().get("premium").await.unwrap();
    assert_eq!(plan.status.unwrap().id, env.simulator.contract(&env.tenant).map(|contract| contract.id));
}

#[tokio::test(flavor = "multi_thread")]
async fn terminated_operator_exits_within_ten_seconds_and_releases_the_lease() {
    let mut env =
        TestEnvironment::without_operator().await.with_leader_election().with_flags(&["--request-timeout=10m"]);
    env.create_secret().await;
    env.start_operator().await;
    env.simulator.fault(Fault::once(Call::Create, &env.tenant, Kind::Hang { ms: None, effect_first: true }));
    env.apply("premium", json!({})).await;
    env.wait_for_requests("the create request", create_took_effect).await;
    let signalled = Instant::now();
    assert_eq!(env.operator().terminate().code(), Some(0));
    assert!(signalled.elapsed() < Duration::from_secs(10), "{:?}", signalled.elapsed());
    assert!(env.operator().log().contains(LEASE_RELEASED));
    env.start_operator().await;
    env.wait_for_reason("premium", "Contracted").await;
    let summary = env.simulator.summary(&env.tenant);
    assert_eq!((summary.creates_sent, summary.creates_with_effect), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn operator_without_an_api_server_exits_with_success_on_sigterm() {
    let mut env = TestEnvironment::without_operator().await.with_api_server("https://127.0.0.1:1");
    env.start_operator_until(&[WATCH_FAILED]).await;
    assert_eq!(env.operator().terminate().code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn second_replica_is_ready_and_leads_after_the_first_terminates() {
    let mut env = TestEnvironment::without_operator().await.with_leader_election();
    env.create_secret().await;
    env.start_operator().await;
    env.apply("premium", json!({})).await;
    env.wait_for_reason("premium", "Contracted").await;
    env.start_operator().await;
    let standby = env.operator().http_address();
    let get = async |path| reqwest::get(format!("http://{standby}/{path}")).await.unwrap().text().await.unwrap();
    assert_eq!(get("readyz").await, "ok\n", "a replica that waits for the lease is ready");
    assert!(get("metrics").await.contains("fic_operator_leader 0"));
    env.operators[0].terminate();
    env.wait_until("the second replica to lead", || async { get("metrics").await.contains("fic_operator_leader 1") })
        .await;
    env.delete("premium").await;
    env.wait_for_deletion("premium").await;
    let summary = env.simulator.summary(&env.tenant);
    assert_eq!((summary.creates_sent, summary.deletes_sent), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_count_each_plan_once_after_the_lead_was_lost_and_regained() {
    let mut env = TestEnvironment::without_operator().await.with_leader_election();
    env.create_secret().await;
    env.start_operator().await;
    env.apply("premium", json!({})).await;
    env.wait_for_reason("premium", "Contracted").await;
    let address = env.operator().http_address();
    let contracted = async || {
        let metrics = reqwest::get(format!("http://{address}/metrics")).await.unwrap().text().await.unwrap();
        let value = |name: &str| metrics.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
        (value("fic_operator_leader "), value("fic_operator_plans{reason=\"Contracted\",progress=\"settled\"} "))
    };
    let is = |leader: &str, plans: Option<&str>| (Some(leader.to_owned()), plans.map(str::to_owned));
    env.wait_until("the plan to be counted", || async { contracted().await == is("1", Some("1")) }).await;
    env.kubectl(&["delete", "lease", "fic-support-operator"]);
    env.wait_until("a standby replica to count nothing", || async { contracted().await == is("0", Some("0")) }).await;
    env.wait_until("the plan to be counted once", || async { contracted().await == is("1", Some("1")) }).await;
}

/// The log has one line for each reconcile that changed something, and none for the others.
#[tokio::test(flavor = "multi_thread")]
async fn the_log_has_one_line_for_each_decision() {
    let env = TestEnvironment::with_operator_flags(&["--log-format=json"]).await;
    let decisions = |env: &TestEnvironment| {
        let log = env.operators[0].log();
        let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.map(|line| line["fields"].clone()).filter(|fields| !fields["decision"].is_null()).collect::<Vec<_>>()
    };
    env.apply("premium", json!({})).await;
    let plan = env.wait_for_reason("premium", "Contracted").await;
    env.wait_for_requests("two drift checks", |log| log.iter().filter(|entry| entry.call == Call::Show).count() >= 4)
        .await;
    let purchase = decisions(&env);
    let texts = purchase.iter().map(|fields| fields["decision"].as_str().unwrap()).collect::<Vec<_>>();
    assert_eq!(texts, ["add_secret_finalizer,open_record,create,report", "report"]);
    let ready = purchase.last().unwrap();
    for (field, value) in [
        ("plan", json!(format!("{}/premium", env.namespace))),
        ("tenant", json!(env.tenant)),
        ("contract", json!(plan.status.unwrap().id)),
        ("generation", json!(1)),
        ("reason", json!("Contracted")),
        ("deleting", json!(false)),
    ] {
        assert_eq!(ready[field], value, "{field} in {ready}");
    }
    env.delete("premium").await;
    env.wait_for_deletion("premium").await;
    env.wait_until("the last decision", || {
        let last = decisions(&env).last().is_some_and(|fields| fields["decision"] == "close_record");
        async move { last }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn health_readiness_and_metrics_are_served() {
    let mut env = TestEnvironment::with_operator_flags(&["--metrics-contracts"]).await;
    env.apply("premium", json!({})).await;
    let id = env.wait_for_reason("premium", "Contracted").await.status.unwrap().id.unwrap();
    let address = env.operator().http_address();
    let get = async |path| reqwest::get(format!("http://{address}/{path}")).await.unwrap().text().await.unwrap();
    for path in ["healthz", "readyz"] {
        assert_eq!(get(path).await, "ok\n");
    }
    let metrics = get("metrics").await;
    let (namespace, tenant) = (&env.namespace, &env.tenant);
    let contract = format!("plan_namespace=\"{namespace}\",plan=\"premium\",tenant=\"{tenant}\",contract=\"{id}\"");
    for line in [
        "plans{reason=\"Contracted\",progress=\"settled\"} 1",
        "plans_backing_off 0",
        "fic_requests_total{call=\"create\",outcome=\"2xx\"} 1",
        "fic_requests_per_second_limit 50.0",
        "token_requests_total{cause=\"first\"} 1",
        "tokens 1",
        "kubernetes_writes_total{object=\"plan\"} 3",
        "kubernetes_requests_total{verb=\"patch\",resource=\"premiumsupportplans\",code=\"200\"} 3",
        &format!("contract_info{{{contract},menu=\"PremiumPlan\"}} 1"),
    ] {
        assert!(metrics.contains(&format!("\nfic_operator_{line}\n")), "{line} is not in\n{metrics}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_are_served_in_the_requested_format_and_satisfy_promtool() {
    let mut env = TestEnvironment::with_operator().await;
    env.apply("premium", json!({})).await;
    env.wait_for_reason("premium", "Contracted").await;
    let url = format!("http://{}/metrics", env.operator().http_address());
    let get = async |accept: &str| {
        let response = reqwest::Client::new().get(&url).header("accept", accept).send().await.unwrap();
        let content_type = response.headers()["content-type"].to_str().unwrap().to_owned();
        (content_type, response.text().await.unwrap())
    };
    let (content_type, classic) = get("*/*").await;
    assert_eq!(content_type, "text/plain; version=0.0.4; charset=utf-8");

    let families = classic.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    for family in families {
        assert!(classic.lines().any(|line| line.starts_with(family)), "promtool does not see {family} in\n{classic}");
    }
    promtool_check(&classic);
    let (content_type, openmetrics) = get("application/openmetrics-text;version=1.0.0,text/plain;q=0.5").await;
    assert_eq!(content_type, "application/openmetrics-text; version=1.0.0; charset=utf-8");
    assert!(openmetrics.ends_with("# EOF\n"), "{openmetrics}");
}

/// Checks metrics with promtool, which is built if it is not cached.
fn promtool_check(metrics: &str) {
    let mut check = Command::new(make::tool("promtool"))
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    check.stdin.take().unwrap().write_all(metrics.as_bytes()).unwrap();
    let output = check.wait_with_output().unwrap();
    let report = String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && report.is_empty(), "{report}\n{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_in_a_message_from_fic_are_redacted() {
    let mut env = TestEnvironment::without_operator().await;
    let data = [("apiKey", "visible-key-0123"), ("apiSecret", "visible-secret-0123")];
    env.create_secret_with(&env.namespace, SECRET_TYPE, &data).await;
    env.start_operator().await;
    let body = r#"{"code":"x","message":"cannot accept visible-secret-0123 of visible-key-0123"}"#;
    let kind = Kind::Status { code: 400, body: Some(body.into()), retry_after: None };
    env.simulator.fault(Fault::always(Call::Create, &env.tenant, kind));
    env.apply("premium", json!({})).await;
    let plan = env.wait_for_reason("premium", "RequestRejected").await;
    assert!(message(&plan).contains(&format!("cannot accept {REDACTED}")), "{}", message(&plan));
    let events = env.kubectl(&["get", "events", "-o", "json"]);
    let log = env.operator().log();
    for output in [&json!(plan).to_string(), &events, &log] {
        assert!(!output.contains("visible-"), "{output}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn proxy_variables_are_honoured() {
    let env = TestEnvironment::without_operator().await;
    // The simulator accepts requests in the form that a proxy receives. The host names do not exist.
    let proxy = format!("http://{}", env.simulator.address());
    let flags =
        ["--fic-endpoint=http://fic.invalid/fic-eri", "--keystone-endpoint=http://keystone.invalid/keystone/v3"];
    let mut env = env.with_variable("HTTP_PROXY", &proxy).with_flags(&flags);
    env.create_secret().await;
    env.start_operator().await;
    env.apply("premium", json!({})).await;
    env.wait_for_reason("premium", "Contracted").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_proxy_keeps_requests_to_the_api_server_off_the_proxy() {
    for no_proxy in ["127.0.0.0/8", " fic.example, 127.0.0.1,"] {
        let proxy = ConnectProxy::start().await;
        let mut env = TestEnvironment::without_operator()
            .await
            .with_variable("HTTPS_PROXY", &proxy.url())
            .with_variable("NO_PROXY", no_proxy);
        env.create_secret().await;
        env.start_operator().await;
        env.apply("premium", json!({})).await;
        env.wait_for_reason("premium", "Contracted").await;
        assert_eq!(proxy.addresses(), Vec::<String>::new(), "{no_proxy}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_to_the_api_server_go_to_the_proxy_of_the_environment() {
    let proxy = ConnectProxy::start().await;
    let mut env = TestEnvironment::without_operator()
        .await
        .with_variable("HTTPS_PROXY", &proxy.url())
        .with_variable("NO_PROXY", "fic.example,");
    env.create_secret().await;
    env.start_operator().await;
    env.apply("premium", json!({})).await;
    env.wait_for_reason("premium", "Contracted").await;
    assert!(!proxy.addresses().is_empty(), "no connection goes through the proxy");
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_proxy_ends_the_start_with_exit_code_2_and_without_its_password() {
    let env = TestEnvironment::without_operator().await.with_variable("HTTPS_PROXY", "socks5://user:pass-0123@proxy");
    let (code, log) = env.run_operator_to_exit().await;
    assert_eq!(code, Some(2), "{log}");
    assert!(log.contains("HTTPS_PROXY") && !log.contains("pass-0123"), "{log}");
}

/// An Event that the API server does not accept delays nothing, and is counted.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_cannot_be_written_is_counted() {
    let mut env = TestEnvironment::with_operator().await;
    let webhook = env.break_requests("CREATE", "events.k8s.io", "events");
    let event = json!({
        "apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": { "name": "test" }, "type": "Normal",
        "reason": "Test", "action": "Test", "reportingController": "test.example.com/test", "reportingInstance": "test",
        "eventTime": "2026-01-01T00:00:00.000000Z", "regarding": { "namespace": env.namespace },
    });
    env.wait_until("the API server to use the webhook", || async {
        env.kubectl_with("create", &["--dry-run=server"], &event)
            .is_err_and(|error| error.contains("failed calling webhook"))
    })
    .await;
    env.apply("premium", json!({})).await;
    env.wait_for_reason("premium", "Contracted").await;
    let url = format!("http://{}/metrics", env.operator().http_address());
    env.wait_until("two Events to be counted", || async {
        let metrics = reqwest::get(&url).await.unwrap().text().await.unwrap();
        metrics.lines().any(|line| line == "fic_operator_events_dropped_total 2")
    })
    .await;
    assert!(env.event_reasons("premium").await.is_empty());
    env.kubectl(&["delete", &webhook]);
}
