//! Flux installs the operator and applies plans as `deploy/gitops/flux` says: the real kustomize-controller, with its real
//! health checks. Its source-controller is not there: the test serves each archive and reports it in the status of the
//! `GitRepository`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use control_plane::ControlPlane;
use fic_simulator::portal::Action;
use kube::ResourceExt;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};

use crate::support::cluster::{Cluster, OPERATOR};
use crate::support::daemon::Daemon;
use crate::support::waiting::{POLL_INTERVAL, TIMEOUT};
use crate::support::{SECRET, TestEnvironment, make, new_tenant, plan};

const FLUX: &str = "flux-system";
const REPOSITORY: &str = env!("CARGO_MANIFEST_DIR");

/// Flux in a cluster without the operator.
struct Flux {
    env: TestEnvironment,
    /// Runs as long as this value lives.
    controller: Daemon,
    /// The archives. They are served from here.
    folder: TempDir,
    address: String,
}

impl Flux {
    async fn start() -> Self {
        // The start of a control plane blocks its thread.
        let control_plane = tokio::task::spawn_blocking(ControlPlane::start).await.unwrap().unwrap();
        let _ = rustls::crypto::ring::default_provider().install_default();
        let cluster = Cluster { control_plane, operator_kubeconfig: PathBuf::new() };
        let env = TestEnvironment::on(Arc::new(cluster)).await;
        let [binary, kustomizations] = make::tools("kustomize-controller").try_into().unwrap();
        env.create_namespace(FLUX).await;
        for kind in ["GitRepository", "OCIRepository", "Bucket"] {
            env.kubectl_apply(&source(kind)).unwrap();
        }
        let kustomizations = kustomizations.to_str().unwrap();
        env.cluster.kubectl(&["apply", "-f", kustomizations]);
        env.cluster.kubectl(&["wait", "--for=condition=Established", "--all", "crd"]);
        let folder = tempfile::tempdir().unwrap();
        let address = serve(folder.path().to_owned()).await;
        let mut command = Command::new(binary);
        command
            .env("KUBECONFIG", &env.cluster.control_plane.details().kubeconfig)
            .env("RUNTIME_NAMESPACE", FLUX)
            .env("TMPDIR", folder.path())
            .args(["--metrics-addr=0", "--health-addr=127.0.0.1:0", "--requeue-dependency=1s"]);
        let controller = Daemon::start(&mut command, folder.path().join("log"));
        Self { env, controller, folder, address }
    }

    /// Reports that a Git repository has these folders now.
    fn publish(&self, repository: &str, revision: u32, root: &Path, folders: &[&str]) {
        let name = format!("{repository}-{revision}.tar.gz");
        let archive = self.folder.path().join(&name);
        let tar = Command::new("tar")
            .args(["--create", "--gzip", "--file"])
            .arg(&archive)
            .arg("--directory")
            .arg(root)
            .args(folders)
            .status();
        assert!(tar.unwrap().success());
        let sum = Command::new("sha256sum").arg(&archive).output().unwrap().stdout;
        let sum = String::from_utf8(sum).unwrap();
        let now = "2026-01-01T00:00:00Z";
        let status = json!({
            "artifact": {
                "digest": format!("sha256:{}", sum.split(' ').next().unwrap()),
                "lastUpdateTime": now,
                "path": name,
                "revision": revision_name(revision),
                "url": format!("http://{}/{name}", self.address),
            },
            "conditions": [{
                "type": "Ready", "status": "True", "reason": "Succeeded", "message": "stored artifact",
                "lastTransitionTime": now, "observedGeneration": 1,
            }],
            "observedGeneration": 1,
        });
        self.patch_status(FLUX, &format!("gitrepository/{repository}"), &status);
    }

    fn patch_status(&self, namespace: &str, object: &str, status: &Value) {
        let patch = json!({ "status": status }).to_string();
        let arguments = ["patch", object, "--namespace", namespace, "--subresource=status", "--type=merge", "--patch"];
        self.env.cluster.kubectl(&[&arguments[..], &[&patch]].concat());
    }

    /// The `Ready` condition of a Kustomization for a revision, once it has tried that one.
    fn ready(&self, kustomization: &str, revision: u32) -> Option<Value> {
        let object = format!("kustomization/{kustomization}");
        let text = self.env.cluster.kubectl(&["get", &object, "--namespace", FLUX, "--output=json"]);
        let status = serde_json::from_str::<Value>(&text).unwrap()["status"].take();
        let is_tried = status["lastAttemptedRevision"] == revision_name(revision);
        let conditions = status["conditions"].as_array()?;
        conditions.iter().find(|condition| is_tried && condition["type"] == "Ready").cloned()
    }

    /// Waits until the `Ready` condition of a Kustomization has this status for a revision.
    async fn wait_for(&self, kustomization: &str, revision: u32, status: &str) -> Value {
        let ready = || self.ready(kustomization, revision).filter(|ready| ready["status"] == status);
        let poll = async {
            loop {
                match ready() {
                    Some(ready) => return ready,
                    None => sleep(POLL_INTERVAL).await,
                }
            }
        };
        let Ok(ready) = timeout(TIMEOUT, poll).await else {
            let condition = self.ready(kustomization, revision);
            panic!("{kustomization} should be Ready={status} at {revision}: {condition:?}\n{}", self.controller.log());
        };
        ready
    }

    /// Writes the plans of the fleet, and publishes them.
    fn publish_fleet(&self, revision: u32, plans: &[(&str, &str)]) {
        let root = self.folder.path().join(format!("fleet-{revision}"));
        fs::create_dir_all(root.join("plans")).unwrap();
        let sample = fs::read_to_string(format!("{REPOSITORY}/deploy/samples/buy.yaml")).unwrap();
        // Flux refuses a folder without a manifest.
        let settings = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "fleet", "namespace": self.env.namespace } });
        fs::write(root.join("plans/fleet.yaml"), settings.to_string()).unwrap();
        for (name, tenant) in plans {
            let manifest = sample
                .replace("name: buy", &format!("name: {name}\n  namespace: {}", self.env.namespace))
                .replace("db8b0e40743f460685040c46167cf19e", tenant)
                .replace("name: fic-credentials", &format!("name: {SECRET}"));
            fs::write(root.join(format!("plans/{name}.yaml")), manifest).unwrap();
        }
        self.publish("fleet", revision, &root, &["plans"]);
    }
}

fn revision_name(revision: u32) -> String {
    format!("main@sha1:{revision:040x}")
}

/// The CRD of a source, with the fields that Flux reads.
fn source(kind: &str) -> Value {
    let singular = kind.to_lowercase();
    let plural = singular.strip_suffix('y').map_or_else(|| format!("{singular}s"), |stem| format!("{stem}ies"));
    let schema = json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true });
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": { "name": format!("{plural}.source.toolkit.fluxcd.io") },
        "spec": {
            "group": "source.toolkit.fluxcd.io",
            "names": { "kind": kind, "listKind": format!("{kind}List"), "plural": plural, "singular": singular },
            "scope": "Namespaced",
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "schema": { "openAPIV3Schema": schema }, "subresources": { "status": {} },
            }],
        },
    })
}

/// Serves the files of a folder over HTTP. Returns the address.
async fn serve(folder: PathBuf) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            let mut request = vec![0; 4096];
            let length = connection.read(&mut request).await.unwrap_or_default();
            let request = String::from_utf8_lossy(&request[..length]);
            let path = request.split(' ').nth(1).unwrap_or_default().trim_start_matches('/').to_owned();
            let body = fs::read(folder.join(path)).unwrap_or_default();
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
            let _ = connection.write_all(&[head.as_bytes(), &body].concat()).await;
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn flux_installs_the_operator_waits_for_a_contract_and_never_abolishes_one() {
    let mut flux = Flux::start().await;
    let installation = format!("{REPOSITORY}/deploy/gitops/flux/kustomizations.yaml");
    flux.env.cluster.kubectl(&["apply", "-f", &installation]);
    flux.publish(OPERATOR, 1, Path::new(REPOSITORY), &["crds", "deploy"]);
    for kustomization in ["fic-support-operator-crd", "fic-support-operator-crd-guard"] {
        flux.wait_for(kustomization, 1, "True").await;
    }
    // There is no controller of Deployments and of disruption budgets, so the test reports that the Pods run.
    let deployment = ["get", "deployment", OPERATOR, "--namespace", OPERATOR];
    let image = "--output=jsonpath={.spec.template.spec.containers[0].image}";
    let is_there =
        || async { flux.env.cluster.control_plane.kubectl().args(deployment).output().unwrap().status.success() };
    flux.env.wait_until("the Deployment", is_there).await;
    assert_eq!(flux.ready(OPERATOR, 1).map(|ready| ready["status"].clone()), Some(json!("Unknown")), "it waits");
    let image = flux.env.cluster.kubectl(&[&deployment[..], &[image]].concat());
    assert!(image.starts_with("registry.example/fic-support-operator"), "{image}");
    let replicas = json!({
        "observedGeneration": 1, "replicas": 2, "updatedReplicas": 2, "readyReplicas": 2, "availableReplicas": 2,
        "conditions": [
            { "type": "Available", "status": "True" },
            { "type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable" },
        ],
    });
    flux.patch_status(OPERATOR, &format!("deployment/{OPERATOR}"), &replicas);
    let healthy = json!({
        "observedGeneration": 1, "expectedPods": 2, "currentHealthy": 2, "desiredHealthy": 1, "disruptionsAllowed": 1,
    });
    flux.patch_status(OPERATOR, &format!("poddisruptionbudget/{OPERATOR}"), &healthy);
    flux.wait_for(OPERATOR, 1, "True").await;

    let kubeconfig = flux.env.cluster.kubeconfig_of(OPERATOR, OPERATOR);
    flux.env = flux.env.with_variable("KUBECONFIG", kubeconfig.to_str().unwrap());
    flux.env.create_secret().await;
    flux.env.start_operator().await;
    flux.env.simulator.set(|settings| settings.processing_ms = 600_000);
    let tenant = flux.env.tenant.clone();
    flux.publish_fleet(1, &[("premium", &tenant)]);
    flux.env.wait_for_reason("premium", "Processing").await;
    let ready = flux.ready("premium-support", 1).unwrap();
    assert_eq!((&ready["status"], &ready["reason"]), (&json!("Unknown"), &json!("Progressing")), "{ready}");
    flux.env.simulator.portal(&tenant, &Action::SetStatus("Completed".into()));
    flux.wait_for("premium-support", 1, "True").await;
    let bought = flux.env.wait_for_reason("premium", "Contracted").await;

    // A plan that needs a person fails at once, and says which plan it is.
    let taken = new_tenant();
    flux.env.simulator.portal(&taken, &Action::Create);
    flux.publish_fleet(2, &[("premium", &tenant), ("taken", &taken)]);
    let ready = flux.wait_for("premium-support", 2, "False").await;
    let message = ready["message"].as_str().unwrap();
    assert_eq!(ready["reason"], "HealthCheckFailed", "{ready}");
    assert!(message.contains("/taken") && message.contains("Failed"), "{message}");

    // Files that are gone delete neither the plans nor the contracts.
    flux.publish_fleet(3, &[]);
    flux.wait_for("premium-support", 3, "True").await;
    let kept = flux.env.wait_for_reason("premium", "Contracted").await;
    assert_eq!((kept.uid(), kept.metadata.deletion_timestamp), (bought.uid(), None));
    assert!(plan::has_reason(&flux.env.plans().get("taken").await.unwrap(), "AlreadyContracted"));
    for tenant in [&tenant, &taken] {
        let summary = flux.env.simulator.summary(tenant);
        assert!(summary.deletes_sent == 0 && summary.contract.is_some(), "{tenant}");
    }
}
