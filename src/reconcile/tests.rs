//! What the process keeps of a plan between reconciles, without an API server and without FIC.

use std::io;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

use futures::FutureExt;
use futures::future::BoxFuture;
use http::{Request, Response};
use kube::Client;
use kube::client::Body;
use kube::runtime::reflector;
use serde_json::{Value, json};

use super::api_server::ApiServer;
use super::purchase_guard::PurchaseGuard;
use super::slots::Slots;
use super::state::PlanStates;
use super::*;
use crate::api::key::ObjectKey;
use crate::api::plan::{CONTRACT_FINALIZER, OWNER_UID, RECONCILE_REQUESTED_AT};
use crate::clock::Clock;
use crate::domain::facts::Settings;
use crate::fic::http::{HttpClient, TransportError};
use crate::fic::metrics::FicMetrics;
use crate::fic::{Endpoints, FicClient, Limits};
use crate::index::Index;
use crate::index::metrics::{PlanMetrics, PlanSeries};
use crate::index::scope::Scope;
use crate::index::triggers::{Queues, Triggers};
use crate::leader_election::Leadership;
use crate::metrics::KubernetesMetrics;
use crate::reconcile::metrics::ReconcileMetrics;
use crate::secret_finalizer::SecretFinalizer;

struct NoFic;

impl HttpClient for NoFic {
    fn execute(&self, _: reqwest::Request) -> BoxFuture<'static, Result<reqwest::Response, TransportError>> {
        async { Err(TransportError::not_sent("these tests send no requests")) }.boxed()
    }
}

struct Fixture {
    context: Context,
    registry: prometheus_client::registry::Registry,
    _queues: Queues,
}

impl Fixture {
    fn new() -> Self {
        Self::with_scope(Scope::default())
    }

    fn with_scope(scope: Scope) -> Self {
        let mut registry = crate::metrics::registry();
        let no_server = tower::service_fn(|_: Request<Body>| async {
            Err::<Response<Body>, _>(io::Error::other("these tests send no requests"))
        });
        let client = Client::new(no_server, "default");
        let (triggers, queues) = Triggers::new();
        let index = Arc::new(Index::new(&PlanMetrics::register(&mut registry, PlanSeries::default())));
        let secret_finalizer = SecretFinalizer::new(
            client.clone(),
            reflector::store().0,
            Arc::clone(&index),
            Leadership::Always,
            triggers.clone(),
            KubernetesMetrics::default(),
        );
        let url = |path: &str| format!("https://fic.example/{path}").parse().expect("a URL");
        let endpoints = Endpoints { fic: url("fic"), keystone: url("keystone") };
        let second = Duration::from_secs(1);
        let limits = Limits { request_timeout: second, requests_per_second: 0, ..Limits::default() };
        let metrics = ReconcileMetrics::register(&mut registry);
        let context = Context {
            api_server: ApiServer::new(client),
            fic: Arc::new(FicClient::with_http_client(Box::new(NoFic), endpoints, limits, FicMetrics::default())),
            index,
            secret_finalizer: Arc::new(secret_finalizer),
            triggers,
            leadership: Leadership::Always,
            settings: Settings {
                poll_interval: second,
                resync_interval: second,
                operation_timeout: second,
                loss_patience: second,
                max_recreations_per_hour: None,
                lease_duration: Duration::from_secs(15),
            },
            documentation: None,
            scope,
            identity: "test".into(),
            states: PlanStates::new(&metrics),
            metrics,
            kubernetes_metrics: KubernetesMetrics::default(),
            clock: Clock::default(),
            slots: Slots::new(1),
            tickets: ticket::Tickets::default(),
            purchase_guard: PurchaseGuard::default(),
            stopping: AtomicBool::new(false),
            crd_unreadable: AtomicBool::new(false),
        };
        Self { context, registry, _queues: queues }
    }

    /// Watches and reconciles a plan that needs no request.
    async fn reconcile(&self, plan: &PremiumSupportPlan) {
        self.context.plan_watched(plan);
        reconcile(plan.clone(), &self.context).await;
    }

    fn has_state(&self, uid: &str) -> bool {
        self.context.states.get(uid).is_some()
    }

    fn metrics(&self) -> String {
        crate::metrics::text(&self.registry).expect("the metrics are encoded")
    }
}

/// A suspended plan that has reported so. The name is always the same.
fn plan(uid: &str, version: u32) -> PremiumSupportPlan {
    let condition = json!({
        "type": "Ready", "status": "False", "reason": "Suspended", "message": "", "observedGeneration": 1,
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    });
    changed(uid, version, &json!({ "status": { "observedGeneration": 1, "conditions": [condition] } }))
}

/// The same with other fields.
fn changed(uid: &str, version: u32, more: &Value) -> PremiumSupportPlan {
    let mut plan = json!({
        "metadata": {
            "name": "plan", "namespace": "team", "uid": uid, "resourceVersion": version.to_string(), "generation": 1,
        },
        "spec": { "tenantID": "1".repeat(32), "credentialsSecretRef": { "name": "secret" }, "suspend": true },
    });
    for (field, value) in more.as_object().into_iter().flatten() {
        for (name, value) in value.as_object().into_iter().flatten() {
            plan[field][name] = value.clone();
        }
    }
    serde_json::from_value(plan).expect("a plan")
}

fn key() -> ObjectKey {
    ObjectKey::new("team", "plan")
}

#[tokio::test]
async fn the_state_of_a_plan_ends_with_the_plan() {
    let fixture = Fixture::new();
    fixture.reconcile(&plan("first", 1)).await;
    assert!(fixture.has_state("first"));
    fixture.context.plan_deleted(&key());
    assert!(!fixture.has_state("first"));
    // The last event shows the deletion before the watch ends it.
    fixture.reconcile(&plan("second", 2)).await;
    let metadata = json!({ "metadata": { "deletionTimestamp": "2026-01-01T00:00:00Z" } });
    fixture.context.plan_watched(&changed("second", 3, &metadata));
    assert!(!fixture.has_state("second"));
}

/// A user changes an annotation 100 times a second.
#[tokio::test(start_paused = true)]
async fn changes_trigger_a_reconcile_at_most_once_a_second() {
    let fixture = Fixture::new();
    let mut starts = Vec::new();
    for version in 1..=300 {
        let mut changed = plan("first", version);
        changed.metadata.annotations = Some([(RECONCILE_REQUESTED_AT.into(), version.to_string())].into());
        fixture.reconcile(&changed).await;
        starts.push(fixture.context.states.get("first").expect("its state").started_at);
        tokio::time::advance(Duration::from_millis(10)).await;
    }
    starts.dedup();
    let expected = [0, 1, 2].map(|seconds| starts[0] + Duration::from_secs(seconds));
    assert_eq!(starts, expected, "a change every 10 ms");
}

/// While the operator lists, a plan is deleted and another one of the same name is created: no event shows the deletion.
#[tokio::test]
async fn the_state_of_a_plan_that_was_recreated_during_a_list_is_removed() {
    let fixture = Fixture::new();
    fixture.reconcile(&plan("first", 1)).await;
    fixture.context.index.set_create_open(&key(), "first", true);
    fixture.reconcile(&plan("second", 2)).await;
    assert!(!fixture.has_state("first") && fixture.has_state("second"));
    assert!(!fixture.context.index.is_create_open(&key(), "second"));
    assert!(
        fixture.metrics().contains("fic_operator_plans{reason=\"Suspended\",progress=\"settled\"} 1"),
        "{}",
        fixture.metrics()
    );
    fixture.context.plan_undecodable(key(), Some("second"));
    assert!(fixture.has_state("second"), "the plan may be decodable again");
    fixture.context.plan_undecodable(key(), Some("third"));
    assert!(!fixture.has_state("second"));
    assert_eq!(fixture.context.index.get(&key()), None);
    assert!(
        fixture.metrics().contains("fic_operator_plans{reason=\"Suspended\",progress=\"settled\"} 0"),
        "{}",
        fixture.metrics()
    );
    assert!(fixture.metrics().contains("fic_operator_undecodable_plans 1"), "{}", fixture.metrics());
}

#[tokio::test]
async fn a_reconcile_that_outlives_its_plan_stores_no_state() {
    let fixture = Fixture::new();
    fixture.context.plan_watched(&plan("second", 2));
    reconcile(plan("first", 1), &fixture.context).await;
    assert!(!fixture.has_state("first"));
    after_panic(plan("first", 1), &fixture.context, Instant::now());
    assert!(!fixture.has_state("first"));
}

#[tokio::test]
async fn a_plan_that_is_gone_or_recreated_may_send_nothing() {
    let fixture = Fixture::new();
    let may_send = |uid| fixture.context.may_send(&key(), uid);
    assert!(!may_send("first"));
    fixture.context.plan_watched(&plan("first", 1));
    assert!(may_send("first"));
    fixture.context.plan_watched(&plan("second", 2));
    assert!(!may_send("first") && may_send("second"));
    fixture.context.plan_deleted(&key());
    assert!(!may_send("second"));
}

#[test]
fn a_conflict_and_a_refusal_are_certain_and_a_lost_response_is_not() {
    let lost = || Error::from(kube::Error::Service("connection reset".into()));
    for (result, expected) in [
        (Ok(Some(StepResult::RecordOpened)), TookEffect::Yes),
        (Ok(None), TookEffect::Yes),
        (Ok(Some(StepResult::WriteRefused("no".into()))), TookEffect::No),
        (Err(Error::Conflict), TookEffect::No),
        (Err(Error::Gone), TookEffect::No),
        (Err(Error::NotLeader), TookEffect::No),
        (Err(lost()), TookEffect::Perhaps),
    ] {
        assert_eq!(took_effect(&result), expected, "{result:?}");
    }
}

/// The operator of another shard may still act on it. Without shards the predecessor of this process has ended.
#[tokio::test]
async fn an_operator_of_a_shard_waits_before_it_acts_on_a_record_that_it_finds() {
    let open = changed(
        "first",
        1,
        &json!({ "metadata": { "finalizers": [CONTRACT_FINALIZER], "annotations": { OWNER_UID: "first" } } }),
    );
    for (label_selector, waits) in [(None, false), (Some("shard=a".to_owned()), true)] {
        let fixture = Fixture::with_scope(Scope { label_selector, ..Scope::default() });
        fixture.context.plan_watched(&open);
        fixture.context.index.mark_synced();
        reconcile(open.clone(), &fixture.context).await;
        let state = fixture.context.states.get("first").expect("the plan is known");
        assert_eq!(state.memory.foreign_until.is_some(), waits);
    }
}

/// The lines of a log.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_panic_is_logged_and_counted_and_the_plan_is_retried_with_backoff() {
    let fixture = Fixture::new();
    fixture.context.plan_watched(&plan("first", 1));
    let lines = Lines::default();
    let writer = lines.clone();
    let log = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    let waits = tracing::subscriber::with_default(log, || {
        [1, 2, 3].map(|_| after_panic(plan("first", 1), &fixture.context, Instant::now()).expect("a retry"))
    });
    assert!(waits[0] < waits[1] && waits[1] < waits[2], "{waits:?}");
    let log = String::from_utf8_lossy(&lines.0.lock().unwrap_or_else(PoisonError::into_inner)).into_owned();
    assert_eq!(log.matches("ERROR").count(), 3, "{log}");
    assert!(log.contains("the reconcile panicked") && log.contains("plan=team/plan"), "{log}");
    for line in ["reconciles_total{result=\"panic\"} 3", "plans_backing_off 1"] {
        assert!(fixture.metrics().contains(&format!("fic_operator_{line}\n")), "{}", fixture.metrics());
    }
    // An event that changes nothing does not shorten the wait.
    let ticket = fixture.context.tickets.take(None, Duration::ZERO);
    assert!(matches!(
        due_state(&fixture.context, &PlanSnapshot::new(&fixture.context, plan("first", 1), ticket)),
        Due::Later(Some(_))
    ));
}
