//! Where a test plays: a namespace, a simulator and an operator of its own, on the control plane of the run.

use std::collections::BTreeMap;
use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use control_plane::ControlPlane;
use fic_simulator::Simulator;
use fic_simulator::log::{Call, Entry};
use fic_simulator::world::Settings;
use fic_support_operator::api::plan::PremiumSupportPlan;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::runtime::wait::await_condition;
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};

/// The longest that anything a test waits for may take.
const PATIENCE: Duration = Duration::from_mins(1);

/// The name of the Secret of every test.
pub const SECRET: &str = "fic-credentials";

/// The control plane of the run, with the operator's manifests applied. It goes when the process does.
pub fn control_plane() -> &'static ControlPlane {
    static CONTROL_PLANE: OnceLock<ControlPlane> = OnceLock::new();
    CONTROL_PLANE.get_or_init(|| {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let control_plane = ControlPlane::start().unwrap_or_else(|error| panic!("{error}"));
        let deploy = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy");
        let applied = control_plane.kubectl().args(["apply", "-k", deploy]).output().unwrap();
        assert!(applied.status.success(), "{}", String::from_utf8_lossy(&applied.stderr));
        let crd = "crd/premiumsupportplans.fic.ntt.com";
        let established = control_plane.kubectl().args(["wait", "--for=condition=Established", crd]).output().unwrap();
        assert!(established.status.success(), "{}", String::from_utf8_lossy(&established.stderr));
        // A definition is served a moment before discovery and OpenAPI tell of it.
        let deadline = Instant::now() + PATIENCE;
        while !control_plane.kubectl().args(["explain", "psplan"]).output().unwrap().status.success() {
            assert!(Instant::now() < deadline, "discovery never told of the definition");
            std::thread::sleep(Duration::from_millis(100));
        }
        control_plane
    })
}

/// The namespace and the service account of the operator.
const OPERATOR: &str = "fic-support-operator";

/// The rights that the operator has in a cluster, and no others.
fn operator_kubeconfig() -> &'static Path {
    static KUBECONFIG: OnceLock<PathBuf> = OnceLock::new();
    KUBECONFIG.get_or_init(|| {
        control_plane().service_account_kubeconfig(OPERATOR, OPERATOR).unwrap_or_else(|error| panic!("{error}"))
    })
}

/// A tenant that no other test has.
pub fn new_tenant() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    format!("db8b0e40743f4606850400000000{:04x}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Where a test plays.
pub struct Stage {
    pub namespace: String,
    pub tenant: String,
    pub simulator: Simulator,
    pub client: Client,
    operators: Vec<Operator>,
    /// So much had been asked of the API server before.
    audited: usize,
    flags: Vec<String>,
    environment: Vec<(String, String)>,
}

/// An operator that runs.
pub struct Operator {
    process: Child,
    log: PathBuf,
}

impl Operator {
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Where it serves health and metrics, from its own log.
    pub fn http(&self) -> Option<SocketAddr> {
        let log = self.log();
        log.split("http=").skip(1).find_map(|rest| rest.split_whitespace().next()?.parse().ok())
    }

    pub fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Asks it to end, and says how it did.
    pub fn terminate(&mut self) -> std::process::ExitStatus {
        let asked = Command::new("kill").args(["-TERM", &self.process.id().to_string()]).status().unwrap();
        assert!(asked.success());
        self.process.wait().unwrap()
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Stage {
    /// A namespace and a simulator; no operator yet.
    pub async fn empty() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        // Starting it waits for processes, which must not be done on a thread of the runtime.
        let control_plane = tokio::task::spawn_blocking(control_plane).await.unwrap();
        let settings = Settings { processing_ms: 300, ..Settings::default() };
        let simulator = Simulator::start(([127, 0, 0, 1], 0).into(), settings).await.unwrap();
        let kubeconfig = kube::config::Kubeconfig::read_from(&control_plane.details().kubeconfig).unwrap();
        let config =
            kube::Config::from_custom_kubeconfig(kubeconfig, &kube::config::KubeConfigOptions::default()).await;
        let client = Client::try_from(config.unwrap()).unwrap();
        let namespace = format!("stage-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let stage = Self {
            namespace,
            tenant: new_tenant(),
            simulator,
            client,
            operators: vec![],
            audited: Self::audit().len(),
            flags: vec![],
            environment: vec![],
        };
        stage.create_namespace(&stage.namespace).await;
        stage
    }

    /// With a Secret and an operator, as most tests want it.
    pub async fn new() -> Self {
        let mut stage = Self::empty().await;
        stage.create_secret().await;
        stage.start_operator().await;
        stage
    }

    /// Flags for the operators that are started from now on.
    pub fn with_flags(mut self, flags: &[&str]) -> Self {
        self.flags.extend(flags.iter().map(ToString::to_string));
        self
    }

    /// Other flags than those for the operators that are started from now on.
    pub fn set_flags(&mut self, flags: &[&str]) {
        self.flags = flags.iter().map(ToString::to_string).collect();
    }

    /// A variable in the environment of the operators that are started from now on.
    pub fn with_variable(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    pub async fn create_namespace(&self, name: &str) {
        let namespaces: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(self.client.clone());
        let namespace = serde_json::from_value(json!({ "metadata": { "name": name } })).unwrap();
        namespaces.create(&PostParams::default(), &namespace).await.unwrap();
    }

    /// Starts an operator with the rights of its own service account.
    pub async fn start_operator(&mut self) -> usize {
        self.start_operator_until(&["the caches are complete", "standing by"]).await
    }

    /// Starts an operator, and waits for one of these words in its log.
    pub async fn start_operator_until(&mut self, words: &[&str]) -> usize {
        let operator = self.spawn_operator();
        self.operators.push(operator);
        let number = self.operators.len() - 1;
        self.wait("the operator to be up", || {
            let log = self.operators[number].log();
            async move { words.iter().any(|words| log.contains(words)) }
        })
        .await;
        number
    }

    fn spawn_operator(&self) -> Operator {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let log = control_plane().details().folder.join(format!("operator-{}-{number}.log", self.namespace));
        let file = File::create(&log).unwrap();
        let process = Command::new(env!("CARGO_BIN_EXE_fic-support-operator"))
            .args(["run", "--allow-insecure-http", "--http-bind-address=127.0.0.1:0"])
            .args(["--poll-interval=200ms", "--resync-interval=2s", "--operation-timeout=30s", "--request-timeout=2s"])
            .arg(format!("--fic-endpoint={}", self.simulator.fic_endpoint()))
            .arg(format!("--keystone-endpoint={}", self.simulator.keystone_endpoint()))
            .arg(format!("--watch-namespace={}", self.namespace))
            .args(&self.flags)
            .env("KUBECONFIG", operator_kubeconfig())
            .env("POD_NAMESPACE", OPERATOR)
            .envs(self.environment.iter().cloned())
            .env("RUST_LOG", "info,fic_support_operator=debug")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file)
            .spawn()
            .unwrap();
        Operator { process, log }
    }

    pub fn operator(&mut self) -> &mut Operator {
        self.operators.last_mut().expect("an operator was started")
    }

    /// Asks the operator that was started first to end.
    pub fn stop_first_operator(&mut self) {
        self.operators[0].terminate();
    }

    pub fn process_id(&self, operator: usize) -> u32 {
        self.operators[operator].process.id()
    }

    pub fn log(&self, operator: usize) -> String {
        self.operators[operator].log()
    }

    pub fn plans(&self) -> Api<PremiumSupportPlan> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    pub fn secrets(&self) -> Api<Secret> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    pub async fn create_secret(&self) {
        self.create_secret_with("fic.ntt.com/credentials", &[("apiKey", "key"), ("apiSecret", "secret")]).await;
    }

    pub async fn create_secret_with(&self, type_: &str, data: &[(&str, &str)]) {
        let data: BTreeMap<_, _> = data.iter().copied().collect();
        let secret = json!({ "metadata": { "name": SECRET }, "type": type_, "stringData": data });
        let secret = serde_json::from_value(secret).unwrap();
        self.secrets().create(&PostParams::default(), &secret).await.unwrap();
    }

    /// Puts another pair into the Secret, as it is in use.
    pub async fn rotate_secret(&self, api_key: &str, api_secret: &str) {
        let patch = json!({ "stringData": { "apiKey": api_key, "apiSecret": api_secret } });
        self.secrets().patch(SECRET, &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
    }

    /// Applies a plan of the tenant, with more in its spec.
    pub async fn apply(&self, name: &str, more: Value) {
        let mut spec = json!({ "tenantID": self.tenant, "credentialsSecretRef": { "name": SECRET } });
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let plan = json!({
            "apiVersion": "fic.ntt.com/v1alpha1",
            "kind": "PremiumSupportPlan",
            "metadata": { "name": name },
            "spec": spec,
        });
        let parameters = PatchParams::apply("test").force();
        self.plans().patch(name, &parameters, &Patch::Apply(&plan)).await.unwrap();
    }

    pub async fn patch_spec(&self, name: &str, spec: Value) {
        self.plans().patch(name, &PatchParams::default(), &Patch::Merge(json!({ "spec": spec }))).await.unwrap();
    }

    /// Puts a label on a plan.
    pub async fn label(&self, name: &str, label: &str, value: &str) {
        let patch = json!({ "metadata": { "labels": { label: value } } });
        self.plans().patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
    }

    pub async fn delete(&self, name: &str) {
        self.plans().delete(name, &DeleteParams::default()).await.unwrap();
    }

    /// Waits until `Ready` has this reason, and gives the plan as it is then.
    pub async fn reaches(&self, name: &str, reason: &str) -> PremiumSupportPlan {
        let what = format!("{name} to be {reason}");
        self.until(name, &what, |plan| ready(plan).is_some_and(|ready| ready.reason == reason)).await
    }

    /// Waits until a plan is as it should be.
    pub async fn until(
        &self,
        name: &str,
        what: &str,
        is: impl Fn(&PremiumSupportPlan) -> bool + Send,
    ) -> PremiumSupportPlan {
        let waited = await_condition(self.plans(), name, |plan: Option<&PremiumSupportPlan>| plan.is_some_and(&is));
        match tokio::time::timeout(PATIENCE, waited).await {
            Ok(plan) => plan.unwrap().unwrap(),
            Err(_) => panic!("waited in vain for {what}\n{}", self.story(name).await),
        }
    }

    /// Waits until a plan is gone.
    pub async fn is_gone(&self, name: &str) {
        let waited = await_condition(self.plans(), name, |plan: Option<&PremiumSupportPlan>| plan.is_none());
        if tokio::time::timeout(PATIENCE, waited).await.is_err() {
            panic!("waited in vain for {name} to be gone\n{}", self.story(name).await);
        }
    }

    /// Waits for something that no watch tells of: a process, the simulator.
    pub async fn wait<F: Future<Output = bool>>(&self, what: &str, is: impl Fn() -> F) {
        let looks = async {
            while !is().await {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        if tokio::time::timeout(PATIENCE, looks).await.is_err() {
            panic!("waited in vain for {what}\n{}", self.story("").await);
        }
    }

    /// Waits until the simulator has seen something.
    pub async fn sees(&self, what: &str, is: impl Fn(&[Entry]) -> bool) {
        self.wait(what, || {
            let seen = is(&self.simulator.log());
            async move { seen }
        })
        .await;
    }

    /// How many of these calls the simulator has had.
    pub fn count(&self, call: Call) -> usize {
        self.simulator.log().iter().filter(|entry| entry.call == call).count()
    }

    /// The calls that the simulator has had, by name.
    pub fn calls(&self) -> Vec<Call> {
        self.simulator.log().iter().map(|entry| entry.call).collect()
    }

    /// The Events of a plan: type and reason, oldest first.
    pub async fn events(&self, name: &str) -> Vec<(String, String)> {
        let events: Api<Event> = Api::namespaced(self.client.clone(), &self.namespace);
        let mut events = events.list(&ListParams::default()).await.unwrap().items;
        events.retain(|event| event.regarding.as_ref().is_some_and(|object| object.name.as_deref() == Some(name)));
        events.sort_by_key(|event| event.event_time.as_ref().map(|time| time.0));
        events.into_iter().map(|event| (event.type_.unwrap_or_default(), event.reason.unwrap_or_default())).collect()
    }

    /// Waits until a plan has had these Events, in this order.
    pub async fn has_events(&self, name: &str, expected: &[&str]) {
        self.wait(&format!("{name} to have the Events {expected:?}"), || async {
            let reasons = self.events(name).await.into_iter().map(|(_, reason)| reason).collect::<Vec<_>>();
            reasons == expected
        })
        .await;
    }

    /// Waits until the Secret has this finalizer, or has it no more.
    pub async fn secret_is_protected(&self, protected: bool) {
        let carries = move |secret: &Secret| secret.finalizers().iter().any(|name| name == "fic.ntt.com/in-use");
        let waited = await_condition(self.secrets(), SECRET, move |secret: Option<&Secret>| {
            secret.is_some_and(|secret| carries(secret) == protected)
        });
        if tokio::time::timeout(PATIENCE, waited).await.is_err() {
            panic!("waited in vain for the Secret to be protected: {protected}\n{}", self.story("").await);
        }
    }

    pub fn kubectl(&self, arguments: &[&str]) -> Output {
        let mut kubectl = control_plane().kubectl();
        kubectl.args(["--namespace", &self.namespace]).args(arguments).output().unwrap()
    }

    /// What kubectl prints, which must succeed.
    pub fn kubectl_prints(&self, arguments: &[&str]) -> String {
        let output = self.kubectl(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Applies a manifest as a user would, and says how that went.
    pub fn kubectl_apply(&self, manifest: &Value) -> Result<String, String> {
        let file = control_plane().details().folder.join(format!("manifest-{}.json", self.namespace));
        std::fs::write(&file, manifest.to_string()).unwrap();
        let output = self.kubectl(&["apply", "-f", file.to_str().unwrap()]);
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        if output.status.success() { Ok(out.into()) } else { Err(err.into()) }
    }

    /// Its own rights have been enough since the test began, here and outside of its namespace. (In a namespace that is going away nobody may
    /// make an Event.)
    pub fn was_never_forbidden(&self) {
        let forbidden = Self::audit().into_iter().skip(self.audited);
        let forbidden = forbidden.filter(|entry| entry["responseStatus"]["code"] == 403);
        let forbidden = forbidden.filter(|entry| entry["objectRef"]["resource"] != "events").collect::<Vec<_>>();
        assert!(forbidden.is_empty(), "{forbidden:#?}");
    }

    /// What operators have asked of the API server, from the audit log.
    fn audit() -> Vec<Value> {
        let log = std::fs::read_to_string(&control_plane().details().audit_log).unwrap();
        let entries = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let by_operator =
            |entry: &Value| entry["userAgent"].as_str().is_some_and(|agent| agent.starts_with("fic-support-operator/"));
        entries.filter(by_operator).collect()
    }

    /// So many writes of plans it takes, and not one more. The audit log tells of a write a moment after everybody can see it.
    pub async fn has_written_plans(&self, times: usize) {
        self.wait("the writes to be in the audit log", || async { self.writes("premiumsupportplans") >= times }).await;
        assert_eq!(self.writes("premiumsupportplans"), times);
    }

    /// The same of Secrets.
    pub async fn has_written_secrets(&self, times: usize) {
        self.wait("the writes to be in the audit log", || async { self.writes("secrets") >= times }).await;
        assert_eq!(self.writes("secrets"), times);
    }

    /// How often operators have written these objects of this namespace, as far as the audit log tells yet.
    fn writes(&self, resource: &str) -> usize {
        let of_these = |entry: &&Value| {
            let object = &entry["objectRef"];
            object["resource"] == resource && object["namespace"] == self.namespace.as_str()
        };
        Self::audit().iter().filter(of_these).filter(|entry| entry["verb"] == "patch").count()
    }

    /// All there is to say when something went wrong.
    async fn story(&self, name: &str) -> String {
        let plans = self.plans().list(&ListParams::default()).await.map(|plans| plans.items).unwrap_or_default();
        let plans = plans.iter().filter(|plan| name.is_empty() || plan.name_any() == name);
        let plans = plans.map(|plan| format!("{:#}", json!(plan))).collect::<Vec<_>>().join("\n");
        let calls = self.simulator.log().iter().map(|entry| json!(entry).to_string()).collect::<Vec<_>>().join("\n");
        let logs = self.operators.iter().map(Operator::log).collect::<Vec<_>>().join("\n---\n");
        format!("plans:\n{plans}\ncalls:\n{calls}\nlog:\n{logs}")
    }
}

/// The `Ready` condition.
pub fn ready(plan: &PremiumSupportPlan) -> Option<&Condition> {
    condition(plan, "Ready")
}

/// A condition.
pub fn condition<'a>(plan: &'a PremiumSupportPlan, type_: &str) -> Option<&'a Condition> {
    plan.status.as_ref()?.conditions.iter().find(|condition| condition.type_ == type_)
}

/// The message of the `Ready` condition.
pub fn message(plan: &PremiumSupportPlan) -> &str {
    ready(plan).map(|ready| ready.message.as_str()).unwrap_or_default()
}
