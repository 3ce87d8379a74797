//! The clusters that pages run in: a local control plane, a simulator of FIC, and what runs the Deployments.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use control_plane::ControlPlane;
use fic_simulator::Simulator;
use fic_simulator::portal::Action;
use fic_simulator::state::Settings;

use crate::deployments::Deployments;
use crate::generated::root;
use crate::make;

/// The tenant of the examples.
const TENANT: &str = "db8b0e40743f460685040c46167cf19e";

/// What there is before the first command of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scene {
    /// A cluster without the operator.
    Empty,
    /// The operator, installed with kustomize.
    Installed,
    /// The same, and in the namespace network-team the plan premium, which is Ready.
    Plan,
    /// The same, and the API server stores plans in the version before.
    PlanStoredAsV1alpha1,
    /// As `Plan`, and no operator runs.
    PlanWithoutOperator,
    /// As `Plan`, but the tenant has a contract that the plan has not created.
    Foreign,
    /// As `Plan`, in a cluster that all such pages share.
    Shared,
}

impl Scene {
    pub(crate) fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "empty" => Self::Empty,
            "installed" => Self::Installed,
            "plan" => Self::Plan,
            "plan stored as v1alpha1" => Self::PlanStoredAsV1alpha1,
            "plan without operator" => Self::PlanWithoutOperator,
            "foreign contract" => Self::Foreign,
            _ => return None,
        })
    }

    /// The commands that lead to the scene.
    fn commands(self) -> String {
        let install = "kubectl apply -f crds/; kubectl apply -k deploy/guard/crd; kubectl apply -k deploy
            kubectl wait --for=condition=Established crd/premiumsupportplans.fic.ntt.com
            kubectl rollout status deployment/fic-support-operator -n fic-support-operator --timeout=1m\n";
        let plan = "kubectl create namespace network-team
            kubectl create secret generic fic-credentials -n network-team --type=fic.ntt.com/credentials --from-literal=apiKey=key --from-literal=apiSecret=secret
            sed -e 's/name: buy/name: premium/' deploy/samples/buy.yaml | kubectl apply -n network-team -f -\n";
        let ready = "kubectl wait --for=condition=Ready psplan/premium -n network-team --timeout=1m\n";
        let stop = "kubectl scale deployment/fic-support-operator -n fic-support-operator --replicas=0
            kubectl rollout status deployment/fic-support-operator -n fic-support-operator --timeout=1m\n";
        // Exactly one version is stored.
        let earlier = "sed -e 's/storage: true/storage: tru/; s/storage: false/storage: true/; s/storage: tru$/storage: false/' crds/*.yaml |
            kubectl apply -f -\n";
        match self {
            Self::Empty => String::new(),
            Self::PlanStoredAsV1alpha1 => {
                // All but the CRD, which is there already.
                let rest = install.replace("kubectl apply -f crds/; ", "");
                [earlier, &rest, plan, ready].concat()
            }
            Self::Installed => install.into(),
            Self::Plan | Self::Shared => [install, plan, ready].concat(),
            Self::PlanWithoutOperator => [install, plan, ready, stop].concat(),
            Self::Foreign => [install, plan].concat(),
        }
    }
}

/// A cluster with a folder to run commands in.
pub(crate) struct Cluster {
    control_plane: Arc<ControlPlane>,
    deployments: Deployments,
    folder: tempfile::TempDir,
    helm: PathBuf,
    /// The endpoints of the simulator, for commands that ask FIC themselves. Pages that share a cluster have none: they
    /// show what happens without.
    endpoints: Vec<(&'static str, String)>,
}

impl Cluster {
    /// Starts a cluster and brings it to the scene, or says why that failed.
    pub(crate) async fn start(scene: Scene) -> Result<Self, String> {
        let settings = Settings { processing_ms: 300, ..Settings::default() };
        let simulator = Simulator::start(([127, 0, 0, 1], 0).into(), settings).await.unwrap();
        if scene == Scene::Foreign {
            simulator.portal(TENANT, &Action::Create);
        }
        let endpoints = match scene {
            Scene::Shared => vec![],
            Scene::Empty
            | Scene::Installed
            | Scene::Plan
            | Scene::PlanWithoutOperator
            | Scene::PlanStoredAsV1alpha1
            | Scene::Foreign => vec![
                ("FIC_OPERATOR_FIC_ENDPOINT", simulator.fic_endpoint()),
                ("FIC_OPERATOR_KEYSTONE_ENDPOINT", simulator.keystone_endpoint()),
                ("FIC_OPERATOR_ALLOW_INSECURE_HTTP", "true".into()),
            ],
        };
        // Both block their thread.
        let started = tokio::task::spawn_blocking(|| (ControlPlane::start(), make::tools("helm")));
        let (control_plane, tools) = started.await.unwrap();
        let control_plane = Arc::new(control_plane.map_err(|error| error.to_string())?);
        let deployments = Deployments::run(Arc::clone(&control_plane), simulator).await;
        let folder = tempfile::tempdir().unwrap();
        for name in ["crds", "deploy"] {
            copy(&root().join(name), &folder.path().join(name));
        }
        let helm = tools.into_iter().next().unwrap().parent().unwrap().to_owned();
        let cluster = Self { control_plane, deployments, folder, helm, endpoints };
        cluster.prepare(scene).await?;
        Ok(cluster)
    }

    async fn prepare(&self, scene: Scene) -> Result<(), String> {
        let mut bash = tokio::process::Command::new("bash");
        bash.args(["-euc", &scene.commands()]).current_dir(self.folder()).envs(self.variables());
        let output = bash.output().await.unwrap();
        let printed = String::from_utf8_lossy(&output.stderr);
        if output.status.success() { Ok(()) } else { Err(format!("the scene {scene:?}: {printed}\n{}", self.logs())) }
    }

    /// The folder that commands run in: it has what they name of the repository.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The environment of commands.
    pub(crate) fn variables(&self) -> Vec<(&'static str, String)> {
        let details = self.control_plane.details();
        let folder = self.folder().to_str().unwrap();
        let operator = Path::new(env!("CARGO_BIN_EXE_fic-support-operator")).parent().unwrap();
        let programs =
            [details.kubectl.parent().unwrap(), operator, &self.helm].map(|folder| folder.display().to_string());
        let path = std::env::var("PATH").unwrap();
        let variables = vec![
            ("PATH", format!("{}:{path}", programs.join(":"))),
            ("KUBECONFIG", details.kubeconfig.display().to_string()),
            ("HOME", folder.into()),
            ("HELM_CACHE_HOME", folder.into()),
            ("HELM_CONFIG_HOME", folder.into()),
            ("HELM_DATA_HOME", folder.into()),
            ("OS_USERNAME", "key".into()),
            ("OS_PASSWORD", "secret".into()),
        ];
        variables.into_iter().chain(self.endpoints.iter().cloned()).collect()
    }

    /// The last lines of the log of each operator.
    pub(crate) fn logs(&self) -> String {
        self.deployments.logs()
    }

    /// Stops the operators, and then the control plane.
    pub(crate) async fn stop(self) {
        self.deployments.stop().await;
        tokio::task::spawn_blocking(move || drop(self.control_plane)).await.unwrap();
    }
}

fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp").args(["-r".as_ref(), from.as_os_str(), to.as_os_str()]).status().unwrap();
    assert!(status.success());
}
