//! The environment of one test: a namespace, a simulator and operators, on a control plane.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use fic_simulator::Simulator;
use fic_simulator::log::Call;
use fic_simulator::state::Settings;
use fic_support_operator::api::plan::PremiumSupportPlan;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use k8s_openapi::api::events::v1::Event;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use serde_json::{Value, json};

use super::api_proxy::ApiProxy;
use super::cluster::{Cluster, OPERATOR};
use super::operator::Operator;
use super::{examples, plan};

/// The name of the Secret with the credentials, in every namespace.
pub const SECRET: &str = "fic-credentials";

/// The type of a Secret that the operator reads.
pub const SECRET_TYPE: &str = "fic.ntt.com/credentials";

/// The environment of one test.
pub struct TestEnvironment {
    pub namespace: String,
    /// The tenant of the plans that the test applies from now on.
    pub tenant: String,
    pub simulator: Simulator,
    pub client: Client,
    pub operators: Vec<Operator>,
    pub cluster: Arc<Cluster>,
    /// Flags for the operators that the test starts from now on.
    pub(super) operator_flags: Vec<String>,
    /// Environment variables for the operators that the test starts from now on.
    pub(super) operator_variables: Vec<(String, String)>,
    /// The number of requests of operators in the audit log when the test began.
    pub(super) earlier_requests: usize,
}

/// A tenant that no other test uses.
pub fn new_tenant() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    format!("db8b0e40743f4606850400000000{:04x}", NEXT.fetch_add(1, Ordering::Relaxed))
}

impl TestEnvironment {
    /// A namespace and a simulator on the shared control plane, with a Secret and a running operator.
    pub async fn with_operator() -> Self {
        Self::with_operator_flags(&[]).await
    }

    /// The same, and the operator has these flags in addition.
    pub async fn with_operator_flags(flags: &[&str]) -> Self {
        let mut env = Self::without_operator().await.with_flags(flags);
        env.create_secret().await;
        env.start_operator().await;
        env
    }

    /// A namespace and a simulator on the shared control plane, without a Secret and without an operator.
    pub async fn without_operator() -> Self {
        // The start of a control plane blocks its thread.
        let cluster = tokio::task::spawn_blocking(Cluster::shared).await.unwrap();
        Self::on(cluster).await
    }

    /// A namespace and a simulator on this control plane, without a Secret and without an operator.
    pub async fn on(cluster: Arc<Cluster>) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let settings = Settings { processing_ms: 300, ..Settings::default() };
        let simulator = Simulator::start(([127, 0, 0, 1], 0).into(), settings).await.unwrap();
        let kubeconfig = Kubeconfig::read_from(&cluster.control_plane.details().kubeconfig).unwrap();
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
        let env = Self {
            namespace: format!("test-{}", NEXT.fetch_add(1, Ordering::Relaxed)),
            tenant: new_tenant(),
            simulator,
            client: Client::try_from(config).unwrap(),
            operators: vec![],
            earlier_requests: cluster.operator_requests().len(),
            cluster,
            operator_flags: vec![],
            operator_variables: vec![],
        };
        env.create_namespace(&env.namespace).await;
        env
    }

    /// Adds flags for the operators that the test starts from now on.
    pub fn with_flags(mut self, flags: &[&str]) -> Self {
        self.operator_flags.extend(flags.iter().map(ToString::to_string));
        self
    }

    /// Replaces the added flags for the operators that the test starts from now on.
    pub fn set_flags(&mut self, flags: &[&str]) {
        self.operator_flags = flags.iter().map(ToString::to_string).collect();
    }

    /// Sets an environment variable for the operators that the test starts from now on.
    pub fn with_variable(mut self, name: &str, value: &str) -> Self {
        self.operator_variables.push((name.into(), value.into()));
        self
    }

    /// Lets the operators that the test starts from now on connect to another API server, or to none.
    pub fn with_api_server(self, url: &str) -> Self {
        let kubeconfig = self.cluster.control_plane.details().folder.join(format!("kubeconfig-{}", self.namespace));
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{ "name": "test", "cluster": { "server": url } }],
            "contexts": [{ "name": "test", "context": { "cluster": "test", "user": "test" } }],
            "users": [{ "name": "test", "user": {} }],
        });
        std::fs::write(&kubeconfig, config.to_string()).unwrap();
        self.with_variable("KUBECONFIG", kubeconfig.to_str().unwrap())
    }

    /// Lets the operators that the test starts from now on elect a leader, with a Lease in the namespace of the test and
    /// the permissions that the operator has on its own.
    pub fn with_leader_election(self) -> Self {
        let role = "fic-support-operator-leader";
        let deployed = self.cluster.kubectl(&["get", "role", role, "--namespace", OPERATOR, "--output=json"]);
        let mut manifest = serde_json::from_str::<Value>(&deployed).unwrap();
        manifest["metadata"] = json!({ "name": role });
        self.kubectl_apply(&manifest).unwrap();
        let account = format!("--serviceaccount={OPERATOR}:{OPERATOR}");
        self.kubectl(&["create", "rolebinding", role, &format!("--role={role}"), &account]);
        let namespace = self.namespace.clone();
        self.with_flags(&["--leader-elect"]).with_variable("POD_NAMESPACE", &namespace)
    }

    /// Lets the operators that the test starts from now on connect through a proxy, with their usual permissions.
    pub fn with_api_proxy(self, proxy: &ApiProxy) -> Self {
        let kubeconfig = self.cluster.control_plane.details().folder.join(format!("kubeconfig-{}", self.namespace));
        let config = std::fs::read_to_string(&self.cluster.operator_kubeconfig).unwrap();
        let mut config = serde_json::from_str::<Value>(&config).unwrap();
        config["clusters"][0]["cluster"] = json!({ "server": proxy.url() });
        std::fs::write(&kubeconfig, config.to_string()).unwrap();
        self.with_variable("KUBECONFIG", kubeconfig.to_str().unwrap())
    }

    pub async fn create_namespace(&self, name: &str) {
        let namespace = serde_json::from_value(json!({ "metadata": { "name": name } })).unwrap();
        Api::<Namespace>::all(self.client.clone()).create(&PostParams::default(), &namespace).await.unwrap();
    }

    pub fn plans(&self) -> Api<PremiumSupportPlan> {
        self.plans_in(&self.namespace)
    }

    pub fn plans_in(&self, namespace: &str) -> Api<PremiumSupportPlan> {
        Api::namespaced(self.client.clone(), namespace)
    }

    pub fn secrets(&self) -> Api<Secret> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Creates the Secret with credentials that the simulator accepts.
    pub async fn create_secret(&self) {
        self.create_secret_in(&self.namespace).await;
    }

    /// The same in another namespace.
    pub async fn create_secret_in(&self, namespace: &str) {
        self.create_secret_with(namespace, SECRET_TYPE, &[("apiKey", "key"), ("apiSecret", "secret")]).await;
    }

    /// Creates the Secret with this type and data.
    pub async fn create_secret_with(&self, namespace: &str, type_: &str, data: &[(&str, &str)]) {
        let data: BTreeMap<_, _> = data.iter().copied().collect();
        let secret = json!({ "metadata": { "name": SECRET }, "type": type_, "stringData": data });
        let secret = serde_json::from_value(secret).unwrap();
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), namespace);
        secrets.create(&PostParams::default(), &secret).await.unwrap();
    }

    /// Replaces these values of the Secret.
    pub async fn patch_secret(&self, data: &[(&str, &str)]) {
        let data: BTreeMap<_, _> = data.iter().copied().collect();
        let patch = Patch::Merge(json!({ "stringData": data }));
        self.secrets().patch(SECRET, &PatchParams::default(), &patch).await.unwrap();
    }

    /// Applies a plan for the tenant of the test, with the fields of `more` in its spec.
    pub async fn apply(&self, name: &str, more: Value) {
        self.apply_in(&self.namespace, name, &self.tenant, more).await;
    }

    /// Applies a plan for this tenant in this namespace.
    pub async fn apply_in(&self, namespace: &str, name: &str, tenant: &str, more: Value) {
        let plan = plan::manifest(name, &plan::spec(tenant, &more));
        let parameters = PatchParams::apply("test").force();
        examples::keep(&self.plans_in(namespace).patch(name, &parameters, &Patch::Apply(&plan)).await.unwrap());
    }

    pub async fn patch_spec(&self, name: &str, spec: Value) {
        self.patch_plan(name, json!({ "spec": spec })).await;
    }

    pub async fn label(&self, name: &str, label: &str, value: &str) {
        self.patch_plan(name, json!({ "metadata": { "labels": { label: value } } })).await;
    }

    pub async fn patch_plan(&self, name: &str, patch: Value) {
        examples::keep(&self.plans().patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap());
    }

    /// Sends the delete request for a plan. The plan remains until the operator removes its finalizer.
    pub async fn delete(&self, name: &str) {
        self.plans().delete(name, &DeleteParams::default()).await.unwrap();
    }

    /// The calls that the simulator has received, in order.
    pub fn calls(&self) -> Vec<Call> {
        self.simulator.log().iter().map(|entry| entry.call).collect()
    }

    /// The number of these calls that the simulator has received.
    pub fn count(&self, call: Call) -> usize {
        self.calls().into_iter().filter(|received| *received == call).count()
    }

    /// The reasons of the Events of a plan, oldest first.
    pub async fn event_reasons(&self, name: &str) -> Vec<String> {
        let events: Api<Event> = Api::namespaced(self.client.clone(), &self.namespace);
        let mut events = events.list(&ListParams::default()).await.unwrap().items;
        events.retain(|event| event.regarding.as_ref().is_some_and(|object| object.name.as_deref() == Some(name)));
        events.sort_by_key(|event| event.event_time.as_ref().map(|time| time.0));
        events.into_iter().map(|event| event.reason.unwrap_or_default()).collect()
    }
}
