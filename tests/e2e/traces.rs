//! Traces, as a real OpenTelemetry Collector receives them.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::post;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::support::daemon::Daemon;
use crate::support::environment::SECRET_TYPE;
use crate::support::{TestEnvironment, make};

/// The requests that the Collector passes on.
#[derive(Clone, Default)]
struct Received(Arc<Mutex<Vec<Value>>>);

impl Received {
    /// Listens for what the Collector passes on.
    async fn listen(&self) -> SocketAddr {
        let received = self.clone();
        let keep = move |body: String| async move {
            received.0.lock().unwrap_or_else(PoisonError::into_inner).push(serde_json::from_str(&body).unwrap());
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, Router::new().route("/v1/traces", post(keep))).await });
        address
    }

    fn text(&self) -> String {
        json!(*self.0.lock().unwrap()).to_string()
    }

    /// All spans, and the attributes of the process that each of them is from.
    fn spans(&self) -> Vec<Span> {
        let requests = self.0.lock().unwrap();
        let resources = requests.iter().flat_map(|request| request["resourceSpans"].as_array().unwrap());
        let spans = resources.flat_map(|resource| {
            let process = attributes(&resource["resource"]);
            let scopes = resource["scopeSpans"].as_array().unwrap().iter();
            let spans = scopes.flat_map(|scope| scope["spans"].as_array().unwrap());
            spans.map(move |span| Span { fields: span.clone(), attributes: attributes(span), process: process.clone() })
        });
        spans.collect()
    }
}

struct Span {
    fields: Value,
    attributes: HashMap<String, String>,
    process: HashMap<String, String>,
}

impl Span {
    fn has(&self, name: &str, value: &str) -> bool {
        self.attributes.get(name).is_some_and(|found| found == value)
    }
}

fn attributes(object: &Value) -> HashMap<String, String> {
    let text = |value: &Value| {
        let value = value.as_object().unwrap().values().next().unwrap();
        value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned)
    };
    let attributes = object["attributes"].as_array().into_iter().flatten();
    attributes.map(|entry| (entry["key"].as_str().unwrap().to_owned(), text(&entry["value"]))).collect()
}

/// A Collector that passes on what it receives.
struct Collector {
    process: Daemon,
    /// Its configuration, which exists as long as it runs.
    _folder: TempDir,
}

impl Collector {
    fn start(receiver: SocketAddr) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let configuration = json!({
            "receivers": { "otlp": { "protocols": { "http": { "endpoint": "127.0.0.1:0" } } } },
            "exporters": { "otlp_http": {
                "endpoint": format!("http://{receiver}"), "encoding": "json", "compression": "none",
                "sending_queue": { "enabled": false }
            } },
            "service": {
                "telemetry": { "metrics": { "level": "none" } },
                "pipelines": { "traces": { "receivers": ["otlp"], "exporters": ["otlp_http"] } }
            }
        });
        let file = folder.path().join("collector.yaml");
        std::fs::write(&file, configuration.to_string()).unwrap();
        let mut command = Command::new(make::tool("collector"));
        let process =
            Daemon::start(command.arg(format!("--config=file:{}", file.display())), folder.path().join("log"));
        Self { process, _folder: folder }
    }

    /// The URL that it receives at, once it does.
    fn url(&self) -> Option<String> {
        let log = self.process.log();
        let line = log.lines().find(|line| line.contains("Starting HTTP server"))?;
        let (_, rest) = line.split_once("\"endpoint\": \"")?;
        Some(format!("http://{}", rest.split_once('"')?.0))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_shows_a_reconcile_and_its_requests_and_no_secret() {
    let received = Received::default();
    let collector = Collector::start(received.listen().await);
    let mut env = TestEnvironment::without_operator().await;
    env.wait_until("the Collector to start", || async { collector.url().is_some() }).await;
    env.set_flags(&["--otlp-endpoint", &collector.url().unwrap()]);
    let credentials = [("apiKey", "a-key-of-an-api-user"), ("apiSecret", "a-secret-of-an-api-user")];
    env.simulator.account(credentials[0].1, Some(credentials[1].1));
    env.create_secret_with(&env.namespace, SECRET_TYPE, &credentials).await;
    env.start_operator().await;
    env.apply("premium", json!({})).await;
    let plan = env.wait_for_reason("premium", "Contracted").await;
    // The last spans are sent at the shutdown.
    env.operator().terminate();

    let spans = received.spans();
    let purchase = spans.iter().find(|span| span.attributes.get("decision").is_some_and(|it| it.contains("create")));
    let purchase = purchase.unwrap_or_else(|| panic!("no reconcile has bought: {}", received.text()));
    assert_eq!(purchase.fields["name"], "reconcile");
    assert!(purchase.has("plan", &format!("{}/premium", env.namespace)) && purchase.has("tenant", &env.tenant));
    assert!(purchase.has("contract", plan.status.unwrap().id.as_deref().unwrap()) && purchase.has("result", "success"));
    assert_eq!(purchase.process["service.name"], "fic-support-operator");
    assert_eq!(purchase.process["service.version"], env!("CARGO_PKG_VERSION"));
    let children =
        spans.iter().filter(|span| span.fields["parentSpanId"] == purchase.fields["spanId"]).collect::<Vec<_>>();
    let names = children.iter().map(|span| span.fields["name"].as_str().unwrap()).collect::<Vec<_>>();
    assert!(names.contains(&"list") && names.contains(&"create"), "{names:?}");
    let create = children.iter().find(|span| span.fields["name"] == "create").unwrap();
    assert!(create.has("outcome", "2xx") && create.has("http.response.status_code", "202"), "{:?}", create.attributes);

    let known = ["plan", "tenant", "generation", "contract", "decision", "reason", "result", "call", "outcome"];
    for name in spans.iter().flat_map(|span| span.attributes.keys()) {
        assert!(known.contains(&name.as_str()) || name == "http.response.status_code", "{name}");
    }
    for (name, value) in credentials {
        assert!(!received.text().contains(value), "a trace has the {name}");
    }
}

/// A Collector that does not answer costs neither plans nor the shutdown.
#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_hangs_holds_up_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let mut env = TestEnvironment::with_operator_flags(&["--otlp-endpoint", &endpoint]).await;
    env.apply("premium", json!({})).await;
    env.wait_for_reason("premium", "Contracted").await;
    let began = Instant::now();
    assert!(env.operator().terminate().success());
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}
