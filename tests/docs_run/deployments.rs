//! Runs the Deployments of the operator as processes: a local control plane has no nodes to run Pods on.
//!
//! A Deployment called `fic-support-operator`, with or without a shard, runs with its arguments and the permissions of its
//! service account, against the simulator of the test. Its status says that it is available when it is.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use control_plane::ControlPlane;
use fic_simulator::Simulator;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentStatus};
use kube::api::{ListParams, Patch, PatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config, ResourceExt};
use serde_json::json;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::daemon::Daemon;
use crate::texts::log::{CACHES_SYNCED, WAITING_FOR_LEASE};

/// How often the Deployments are read.
const INTERVAL: Duration = Duration::from_millis(300);

/// The namespace, the name, and what a change of means another process.
type Template = (String, String, i64);

/// What runs the Deployments.
pub(crate) struct Deployments {
    task: JoinHandle<()>,
    stop: oneshot::Sender<()>,
    logs: Arc<Mutex<Vec<PathBuf>>>,
}

struct Runner {
    control_plane: Arc<ControlPlane>,
    simulator: Simulator,
    client: Client,
    running: BTreeMap<Template, Daemon>,
    logs: Arc<Mutex<Vec<PathBuf>>>,
}

impl Deployments {
    pub(crate) async fn run(control_plane: Arc<ControlPlane>, simulator: Simulator) -> Self {
        let kubeconfig = Kubeconfig::read_from(&control_plane.details().kubeconfig).unwrap();
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
        let client = Client::try_from(config).unwrap();
        let logs = Arc::default();
        let mut runner = Runner { control_plane, simulator, client, running: BTreeMap::new(), logs: Arc::clone(&logs) };
        let (stop, mut stopped) = oneshot::channel();
        let task = tokio::spawn(async move {
            loop {
                runner.follow().await;
                tokio::select! {
                    _ = &mut stopped => break,
                    () = sleep(INTERVAL) => {}
                }
            }
            for operator in std::mem::take(&mut runner.running).into_values() {
                terminate(operator).await;
            }
        });
        Self { task, stop, logs }
    }

    pub(crate) async fn stop(self) {
        let _ = self.stop.send(());
        self.task.await.unwrap();
    }

    /// The last lines of each log.
    pub(crate) fn logs(&self) -> String {
        let files = self.logs.lock().unwrap();
        let tails = files.iter().map(|file| {
            let text = std::fs::read_to_string(file).unwrap_or_default();
            let lines = text.lines().collect::<Vec<_>>();
            format!("{}:\n{}\n", file.display(), lines[lines.len().saturating_sub(15)..].join("\n"))
        });
        tails.collect()
    }
}

impl Runner {
    /// Starts, restarts and stops processes, as the Deployments say now.
    async fn follow(&mut self) {
        let Ok(deployments) = Api::<Deployment>::all(self.client.clone()).list(&ListParams::default()).await else {
            return;
        };
        let operators = deployments.items.into_iter().filter(|one| one.name_any().starts_with("fic-support-operator"));
        let wanted = operators.map(|one| (template(&one), one)).collect::<BTreeMap<_, _>>();
        let gone = self.running.keys().filter(|key| !wanted.get(*key).is_some_and(has_replicas)).cloned();
        for key in gone.collect::<Vec<_>>() {
            terminate(self.running.remove(&key).unwrap()).await;
        }
        for (key, deployment) in wanted {
            if has_replicas(&deployment) && !self.running.contains_key(&key) {
                let operator = self.start(&deployment).await;
                self.running.extend(operator.map(|operator| (key.clone(), operator)));
            }
            self.report(&deployment, self.running.get(&key)).await;
        }
    }

    /// Starts the operator of a Deployment. `None`: its service account does not exist yet.
    async fn start(&self, deployment: &Deployment) -> Option<Daemon> {
        let namespace = deployment.namespace().unwrap();
        let pod = deployment.spec.as_ref()?.template.spec.as_ref()?;
        let account = pod.service_account_name.clone()?;
        let (control_plane, of) = (Arc::clone(&self.control_plane), namespace.clone());
        let kubeconfig = move || control_plane.service_account_kubeconfig(&of, &account);
        let kubeconfig = tokio::task::spawn_blocking(kubeconfig).await.unwrap().ok()?;
        let mut logs = self.logs.lock().unwrap();
        let log = self.control_plane.details().folder.join(format!("operator-{}.log", logs.len()));
        logs.push(log.clone());
        let mut command = Command::new(env!("CARGO_BIN_EXE_fic-support-operator"));
        command
            .args(pod.containers[0].args.iter().flatten())
            .args(["--http-bind-address=127.0.0.1:0", "--poll-interval=300ms", "--allow-insecure-http"])
            .arg(format!("--fic-endpoint={}", self.simulator.fic_endpoint()))
            .arg(format!("--keystone-endpoint={}", self.simulator.keystone_endpoint()))
            .env("KUBECONFIG", kubeconfig)
            .env("POD_NAMESPACE", namespace);
        Some(Daemon::start(&mut command, log))
    }

    /// Writes the status of a Deployment, as its controller does.
    async fn report(&self, deployment: &Deployment, operator: Option<&Daemon>) {
        // It reconciles, or waits for the one before it.
        let has_started = |log: String| [CACHES_SYNCED, WAITING_FOR_LEASE].iter().any(|text| log.contains(text));
        let is_running = operator.is_some_and(|operator| has_started(operator.log()));
        let wanted = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
        let replicas = if is_running { wanted } else { 0 };
        let known = deployment.status.as_ref();
        let generation = deployment.metadata.generation;
        let is_known = |status: &DeploymentStatus| {
            // The API server omits a 0.
            status.available_replicas.unwrap_or(0) == replicas && status.observed_generation == generation
        };
        if known.is_some_and(is_known) {
            return;
        }
        let status = json!({ "status": {
            "observedGeneration": generation,
            "replicas": replicas, "updatedReplicas": replicas, "readyReplicas": replicas, "availableReplicas": replicas,
        } });
        let deployments = Api::<Deployment>::namespaced(self.client.clone(), &deployment.namespace().unwrap());
        // It may have been deleted meanwhile.
        let _ = deployments.patch_status(&deployment.name_any(), &PatchParams::default(), &Patch::Merge(status)).await;
    }
}

fn template(deployment: &Deployment) -> Template {
    let generation = deployment.metadata.generation.unwrap_or_default();
    (deployment.namespace().unwrap(), deployment.uid().unwrap(), generation)
}

fn has_replicas(deployment: &Deployment) -> bool {
    deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1) > 0
}

/// Stops an operator as the kubelet does, so that it releases the Lease.
async fn terminate(mut operator: Daemon) {
    // It blocks its thread until the operator has ended.
    tokio::task::spawn_blocking(move || operator.terminate()).await.unwrap();
}
