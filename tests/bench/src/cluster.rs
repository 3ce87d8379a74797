//! A control plane with the CRD, the permissions of the operator, a Secret, and any number of plans.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use control_plane::ControlPlane;
use futures::{StreamExt, TryStreamExt, stream};
use serde_json::{Value, json};

use crate::client::Client;
use crate::counts::Counts;

/// The namespace and the service account of the operator.
const OPERATOR: &str = "fic-support-operator";
/// The collection of plans.
pub(crate) const PLANS: &str = "/apis/fic.ntt.com/v1beta1/namespaces/bench/premiumsupportplans";
/// The collection of Events.
pub(crate) const EVENTS: &str = "/apis/events.k8s.io/v1/namespaces/bench/events";
/// How many requests bare clients send at the same time. More of them are not faster on two cores.
pub(crate) const CLIENTS: usize = 32;

/// A control plane of its own.
pub(crate) struct Cluster {
    control_plane: ControlPlane,
    /// A client with all permissions.
    pub(crate) admin: Client,
    /// The kubeconfig of the operator's service account.
    pub(crate) operator_kubeconfig: PathBuf,
}

impl Cluster {
    /// Starts a control plane and installs everything but the operator.
    pub(crate) async fn start() -> Result<Self> {
        let control_plane = tokio::task::spawn_blocking(ControlPlane::start).await??;
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
        let (crds, deploy) = (format!("{root}/crds"), format!("{root}/deploy"));
        let secret = "create secret generic fic-credentials --namespace=bench --type=fic.ntt.com/credentials \
                      --from-literal=apiKey=key --from-literal=apiSecret=secret";
        let commands: [&[&str]; 5] = [
            &["apply", "-f", &crds],
            &["apply", "-k", &deploy],
            &["wait", "--for=condition=Established", "crd/premiumsupportplans.fic.ntt.com"],
            &["create", "namespace", "bench"],
            &secret.split_whitespace().collect::<Vec<_>>(),
        ];
        for arguments in commands {
            let output = control_plane.kubectl().args(arguments).output()?;
            ensure!(output.status.success(), "kubectl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        }
        let admin = Client::from_kubeconfig(&control_plane.details().kubeconfig)?;
        let operator_kubeconfig = control_plane.service_account_kubeconfig(OPERATOR, OPERATOR)?;
        // The API server serves a new resource a moment after it is established.
        while admin.get(PLANS).await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(Self { control_plane, admin, operator_kubeconfig })
    }

    /// The folder for logs.
    pub(crate) fn folder(&self) -> &Path {
        &self.control_plane.details().folder
    }

    /// Creates plans, each for its own tenant.
    pub(crate) async fn create_plans(&self, count: usize) -> Result<()> {
        for_each_plan(count, async |number| self.admin.create(PLANS, &plan(number)).await).await
    }

    /// Sends a delete request for each plan.
    pub(crate) async fn delete_plans(&self, count: usize) -> Result<()> {
        for_each_plan(count, async |number| self.admin.delete(&path(number)).await).await
    }

    /// The number of plans, and how many of them are Ready.
    pub(crate) async fn plans(&self) -> Result<(usize, usize)> {
        let list: Value = serde_json::from_slice(&self.admin.get(PLANS).await?)?;
        let plans = list["items"].as_array().context("a list")?;
        let is_ready = |plan: &&Value| {
            let mut conditions = plan["status"]["conditions"].as_array().into_iter().flatten();
            conditions.any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
        };
        Ok((plans.len(), plans.iter().filter(is_ready).count()))
    }

    /// The requests that the API server has received so far.
    pub(crate) async fn requests(&self) -> Result<Counts> {
        Ok(Counts::of_api_server(&String::from_utf8(self.admin.get("/metrics").await?)?))
    }
}

/// Runs a request for each plan, several at the same time.
pub(crate) async fn for_each_plan(count: usize, request: impl AsyncFn(usize) -> Result<()>) -> Result<()> {
    stream::iter(0..count).map(|number| request(number)).buffer_unordered(CLIENTS).try_collect().await
}

/// The path of a plan.
pub(crate) fn path(number: usize) -> String {
    format!("{PLANS}/plan-{number}")
}

fn plan(number: usize) -> Value {
    json!({
        "apiVersion": "fic.ntt.com/v1beta1",
        "kind": "PremiumSupportPlan",
        "metadata": { "name": format!("plan-{number}") },
        "spec": { "tenantID": format!("{number:032x}"), "credentialsSecretRef": { "name": "fic-credentials" } },
    })
}
