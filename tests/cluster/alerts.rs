//! Each alert fires in a real Prometheus when what it is about happens, and goes again when it is over. The queries of the
//! dashboard return data meanwhile.
//!
//! The operators of each scene have a namespace of their own, so that all scenes run at the same time.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fic_simulator::faults::{Fault, Kind};
use fic_simulator::portal::Action;
use futures::future::{Either, join_all, select};
use serde_json::{Value, json};

use crate::prometheus::Prometheus;
use crate::support::cluster::{CRD, CRDS_FOLDER, Cluster, DEPLOY_FOLDER, in_each_version};
use crate::support::{TestEnvironment, new_tenant, plan};

/// How often a scene wakes its plans, so that the operator has something to do.
const WAKE_INTERVAL: Duration = Duration::from_millis(300);

/// How long an alert may take to fire and to go. The slowest is about two hours: 72 seconds here.
const PATIENCE: Duration = Duration::from_mins(4);

struct Scene<'a> {
    env: TestEnvironment,
    prometheus: &'a Prometheus,
    /// The alerts that have fired in all scenes.
    fired: &'a Mutex<BTreeSet<&'static str>>,
}

impl<'a> Scene<'a> {
    async fn new(stage: &Stage<'a>) -> Self {
        let env = TestEnvironment::on(Arc::clone(stage.cluster)).await;
        env.create_secret().await;
        Self { env, prometheus: stage.prometheus, fired: stage.fired }
    }

    /// The same with an operator that is scraped.
    async fn with_operator(stage: &Stage<'a>, flags: &[&str]) -> Self {
        let mut scene = Self::new(stage).await;
        scene.env.set_flags(flags);
        scene.start_operator().await;
        scene
    }

    /// Starts an operator, and waits until it is scraped: a counter that has risen before tells nothing.
    async fn start_operator(&mut self) {
        let index = self.env.start_operator().await;
        self.prometheus.scrape(&self.env, index);
        let is_scraped = || self.prometheus.has_scraped(&self.env, index);
        self.env.wait_until("Prometheus to scrape the operator", is_scraped).await;
    }

    /// Creates plans, each for a tenant of its own, and waits until they are Ready.
    async fn buy(&self, count: usize) -> Vec<String> {
        let plans = (0..count).map(|number| (format!("plan-{number}"), new_tenant())).collect::<Vec<_>>();
        for (name, tenant) in &plans {
            self.env.apply_in(&self.env.namespace, name, tenant, json!({})).await;
        }
        let names = plans.into_iter().map(|(name, _)| name).collect::<Vec<_>>();
        join_all(names.iter().map(|name| self.env.wait_for_reason(name, "Contracted"))).await;
        names
    }

    /// Waits until an alert fires, while the plans are woken again and again.
    async fn wait_until_fires_while_awake(&self, alert: &'static str, plans: &[String]) {
        let wake = async {
            for number in 0.. {
                for name in plans {
                    let annotations = json!({ "fic.ntt.com/reconcile-requested-at": format!("{number}") });
                    self.env.patch_plan(name, json!({ "metadata": { "annotations": annotations } })).await;
                }
                tokio::time::sleep(WAKE_INTERVAL).await;
            }
        };
        let fires = self.wait_until_fires(alert);
        match select(Box::pin(wake), Box::pin(fires)).await {
            Either::Left(_) => unreachable!("the plans are woken until the alert fires"),
            Either::Right(((), _)) => {}
        }
    }

    async fn wait_until_fires(&self, alert: &'static str) {
        self.wait_for(alert, true).await;
        self.fired.lock().unwrap().insert(alert);
    }

    async fn wait_until_gone(&self, alert: &'static str) {
        self.wait_for(alert, false).await;
    }

    async fn wait_for(&self, alert: &'static str, fires: bool) {
        let polls = async {
            while self.prometheus.fires(alert, &self.env.namespace).await != fires {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        let Ok(()) = tokio::time::timeout(PATIENCE, polls).await else {
            panic!("{alert} in {} should fire: {fires}", self.env.namespace);
        };
    }

    /// The operators run on, but nothing fires for them any more.
    fn end(self) {
        self.prometheus.forget(&self.env);
    }
}

/// What all scenes share.
struct Stage<'a> {
    cluster: &'a Arc<Cluster>,
    prometheus: &'a Prometheus,
    fired: &'a Mutex<BTreeSet<&'static str>>,
}

#[tokio::test(flavor = "multi_thread")]
async fn each_alert_fires_and_goes_again() {
    let env = TestEnvironment::without_operator_on_own_control_plane().await;
    let prometheus = Prometheus::start(&env).await;
    let fired = Mutex::default();
    let stage = Stage { cluster: &env.cluster, prometheus: &prometheus, fired: &fired };
    tokio::join!(
        no_leader(&stage),
        two_leaders(&stage),
        stalled(&stage),
        refused_credentials(&stage),
        lost_contract(&stage),
        abolished_contracts(&stage),
        unreachable(&stage),
        rate_limited(&stage),
        hanging_purchase(&stage),
        hanging_abolition(&stage),
        refused_writes(&stage),
        saturated(&stage),
        undecodable(&stage),
    );
    outdated_crd(&stage).await;
    down(&stage).await;
    let alerts = std::fs::read_to_string(format!("{DEPLOY_FOLDER}/monitoring/alerts.yaml")).unwrap();
    let all = alerts.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect::<BTreeSet<_>>();
    assert_eq!(*fired.lock().unwrap(), all);
    assert_dashboard_has_data(&prometheus).await;
}

/// The only replica that Prometheus reaches does not lead.
async fn no_leader(stage: &Stage<'_>) {
    let mut scene = Scene::new(stage).await;
    scene.env = scene.env.with_leader_election();
    let leader = scene.env.start_operator().await;
    scene.start_operator().await;
    scene.wait_until_fires("FICOperatorNoLeader").await;
    scene.env.operators[leader].terminate();
    scene.wait_until_gone("FICOperatorNoLeader").await;
    scene.end();
}

async fn two_leaders(stage: &Stage<'_>) {
    let mut scene = Scene::with_operator(stage, &[]).await;
    scene.start_operator().await;
    scene.wait_until_fires("FICOperatorTwoLeaders").await;
    scene.env.operator().terminate();
    scene.wait_until_gone("FICOperatorTwoLeaders").await;
    scene.end();
}

async fn stalled(stage: &Stage<'_>) {
    let scene = Scene::with_operator(stage, &[]).await;
    scene.env.simulator.portal(&scene.env.tenant, &Action::Create);
    scene.env.apply("premium", json!({})).await;
    scene.wait_until_fires("FICPlanStalled").await;
    scene.env.patch_spec("premium", json!({ "adoptionPolicy": "IfPresent" })).await;
    scene.wait_until_gone("FICPlanStalled").await;
    scene.end();
}

async fn refused_credentials(stage: &Stage<'_>) {
    let scene = Scene::with_operator(stage, &[]).await;
    scene.env.simulator.account("key", Some("another-secret"));
    scene.env.patch_secret(&[("apiKey", "key"), ("apiSecret", "wrong")]).await;
    scene.env.apply("premium", json!({})).await;
    scene.wait_until_fires("FICCredentialsRefused").await;
    scene.env.patch_secret(&[("apiKey", "key"), ("apiSecret", "another-secret")]).await;
    scene.wait_until_gone("FICCredentialsRefused").await;
    scene.end();
}

/// A contract is lost, and then bought again.
async fn lost_contract(stage: &Stage<'_>) {
    let scene = Scene::with_operator(stage, &[]).await;
    scene.env.apply("premium", json!({ "recreationPolicy": "Never" })).await;
    scene.env.wait_for_reason("premium", "Contracted").await;
    scene.env.simulator.portal(&scene.env.tenant, &Action::Abolish);
    scene.wait_until_fires("FICContractLost").await;
    scene.env.patch_spec("premium", json!({ "recreationPolicy": "IfLost" })).await;
    scene.wait_until_fires("FICContractBoughtAgain").await;
    scene.wait_until_gone("FICContractLost").await;
    scene.wait_until_gone("FICContractBoughtAgain").await;
    scene.end();
}

async fn abolished_contracts(stage: &Stage<'_>) {
    let scene = Scene::with_operator(stage, &[]).await;
    let plans = scene.buy(8).await;
    for name in &plans {
        scene.env.delete(name).await;
    }
    scene.wait_until_fires("FICContractsAbolished").await;
    scene.wait_until_gone("FICContractsAbolished").await;
    scene.end();
}

async fn unreachable(stage: &Stage<'_>) {
    let scene = Scene::with_operator(stage, &[]).await;
    let plans = scene.buy(6).await;
    let kind = Kind::Status { code: 503, body: None, retry_after: None };
    scene.env.simulator.fault(Fault { call: None, tenant: None, skip: 0, times: None, kind });
    scene.wait_until_fires_while_awake("FICUnreachable", &plans).await;
    scene.wait_until_fires_while_awake("FICErrorsHigh", &plans).await;
    scene.env.simulator.clear_faults();
    scene.wait_until_gone("FICUnreachable").await;
    scene.wait_until_gone("FICErrorsHigh").await;
    scene.end();
}

async fn rate_limited(stage: &Stage<'_>) {
    let scene = Scene::with_operator(stage, &[]).await;
    let plans = scene.buy(2).await;
    let kind = Kind::Status { code: 429, body: None, retry_after: Some("1".into()) };
    scene.env.simulator.fault(Fault { call: None, tenant: None, skip: 0, times: None, kind });
    scene.wait_until_fires_while_awake("FICRateLimited", &plans).await;
    scene.env.simulator.clear_faults();
    scene.wait_until_gone("FICRateLimited").await;
    scene.end();
}

async fn hanging_purchase(stage: &Stage<'_>) {
    let scene = Scene::with_operator(stage, &[]).await;
    scene.env.simulator.set(|settings| settings.processing_ms = 600_000);
    scene.env.apply("premium", json!({})).await;
    scene.wait_until_fires("FICPurchaseHangs").await;
    scene.env.simulator.portal(&scene.env.tenant, &Action::SetStatus("Completed".into()));
    scene.wait_until_gone("FICPurchaseHangs").await;
    scene.end();
}

/// Two alerts are about a contract that FIC does not abolish: the second, later one says that its plan remains.
async fn hanging_abolition(stage: &Stage<'_>) {
    let scene = Scene::with_operator(stage, &[]).await;
    scene.env.apply("premium", json!({})).await;
    scene.env.wait_for_reason("premium", "Contracted").await;
    scene.env.simulator.set(|settings| settings.processing_ms = 600_000);
    scene.env.delete("premium").await;
    scene.wait_until_fires("FICAbolishHangs").await;
    scene.wait_until_fires("FICPlanStuckTerminating").await;
    scene.env.patch_spec("premium", json!({ "deletionPolicy": "Retain" })).await;
    scene.env.simulator.portal(&scene.env.tenant, &Action::Abolish);
    scene.wait_until_gone("FICAbolishHangs").await;
    scene.wait_until_gone("FICPlanStuckTerminating").await;
    scene.end();
}

/// The API server answers a write of the status with an internal error, since it cannot reach a webhook.
async fn refused_writes(stage: &Stage<'_>) {
    let scene = Scene::with_operator(stage, &[]).await;
    let webhook = scene.env.break_requests("UPDATE", "fic.ntt.com", "premiumsupportplans/status");
    scene.env.apply("premium", json!({})).await;
    scene.wait_until_fires_while_awake("FICOperatorReconcileErrors", &["premium".into()]).await;
    scene.env.kubectl(&["delete", &webhook]);
    scene.wait_until_gone("FICOperatorReconcileErrors").await;
    scene.end();
}

/// One reconcile at a time is too few for 30 plans while FIC is slow.
async fn saturated(stage: &Stage<'_>) {
    let scene = Scene::with_operator(stage, &["--concurrency=1", "--resync-interval=1s"]).await;
    scene.buy(30).await;
    scene.env.simulator.set(|settings| settings.latency_ms = 300);
    scene.wait_until_fires("FICOperatorSaturated").await;
    scene.env.simulator.set(|settings| settings.latency_ms = 0);
    scene.wait_until_gone("FICOperatorSaturated").await;
    scene.end();
}

/// A plan has a value that a newer CRD allows.
async fn undecodable(stage: &Stage<'_>) {
    let scene = Scene::with_operator(stage, &[]).await;
    let schema = "schema/openAPIV3Schema/properties/spec/properties/menu/enum";
    let patch = in_each_version(&json!({ "op": "replace", "path": schema, "value": ["PremiumPlan", "GoldPlan"] }));
    scene.env.kubectl(&["patch", CRD, "--type=json", "--patch", &patch]);
    let undecodable = plan::manifest("undecodable", &plan::spec(&new_tenant(), &json!({ "menu": "GoldPlan" })));
    scene
        .env
        .wait_until("the API server to use the newer schema", || {
            let is_applied = scene.env.kubectl_apply(&undecodable).is_ok();
            async move { is_applied }
        })
        .await;
    scene.wait_until_fires("FICOperatorUndecodablePlans").await;
    scene.env.kubectl(&["delete", "psplan", "undecodable"]);
    scene.wait_until_gone("FICOperatorUndecodablePlans").await;
    scene.end();
}

/// The CRD is not the one of this operator, as after an upgrade of the operator alone.
async fn outdated_crd(stage: &Stage<'_>) {
    let mut scene = Scene::new(stage).await;
    scene.env.kubectl(&["annotate", CRD, "--overwrite", "fic.ntt.com/schema-hash=of-an-older-version"]);
    scene.start_operator().await;
    scene.wait_until_fires("FICOperatorCRDOutdated").await;
    scene.env.kubectl(&["apply", "-f", CRDS_FOLDER]);
    scene.env.operator().terminate();
    scene.start_operator().await;
    scene.wait_until_gone("FICOperatorCRDOutdated").await;
    scene.end();
}

/// No operator runs, and then one does.
async fn down(stage: &Stage<'_>) {
    let alert = "FICOperatorDown";
    let mut scene = Scene::new(stage).await;
    scene.env.wait_until("no operator", || async { stage.prometheus.fires_for_all(alert).await }).await;
    scene.fired.lock().unwrap().insert(alert);
    scene.start_operator().await;
    scene.env.wait_until("an operator", || async { !stage.prometheus.fires_for_all(alert).await }).await;
    scene.end();
}

/// How far back the dashboard looks.
const SECONDS: i64 = 120;

/// Each query of the dashboard that asks for the operator's own metrics has returned data during the test. With the
/// variable `DASHBOARD_ANSWERS`, the answers are written to that file, for `make picture`.
async fn assert_dashboard_has_data(prometheus: &Prometheus) {
    let text = std::fs::read_to_string(format!("{DEPLOY_FOLDER}/monitoring/dashboard.json")).unwrap();
    let dashboard = serde_json::from_str::<Value>(&text).unwrap();
    let (mut answers, mut queries) = (json!({}), 0);
    for panel in dashboard["panels"].as_array().unwrap() {
        let title = panel["title"].as_str().unwrap();
        for target in panel["targets"].as_array().into_iter().flatten() {
            let expression = target["expr"].as_str().unwrap();
            if !expression.contains("fic_operator_") {
                continue;
            }
            let query = expression.replace("=\"$namespace\"", "=~\".+\"").replace("=\"$job\"", "=~\".+\"");
            let series = prometheus.series(&query.replace("$__rate_interval", "4s"), SECONDS).await;
            let values = series.as_array().unwrap().iter().flat_map(|series| series["values"].as_array().unwrap());
            let is_number = |value: &Value| value[1].as_str().is_some_and(|number| number != "NaN");
            assert!(values.into_iter().any(is_number), "{title}: {query} returns no data");
            match answers[title].as_array_mut() {
                Some(of_panel) => of_panel.push(series),
                None => answers[title] = json!([series]),
            }
            queries += 1;
        }
    }
    assert!(queries >= 25, "{queries}");
    if let Some(file) = std::env::var_os("DASHBOARD_ANSWERS") {
        std::fs::write(file, answers.to_string()).unwrap();
    }
}
