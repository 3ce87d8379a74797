//! A control plane on which the operator is installed with the two commands that a user runs.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use control_plane::ControlPlane;
use serde_json::{Value, json};

use super::waiting::{POLL_INTERVAL, TIMEOUT};

/// The namespace and the service account of the operator.
pub const OPERATOR: &str = "fic-support-operator";

/// The name of the CRD, as an argument of kubectl.
pub const CRD: &str = "crd/premiumsupportplans.fic.ntt.com";

/// The folder that `kubectl apply -f` and `kubectl delete -f` take.
pub const CRDS_FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/crds");

/// The folder that `kubectl apply -k` and `kubectl delete -k` take.
pub const DEPLOY_FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy");

/// The guard of the CRD, which is installed beside it.
#[allow(dead_code, reason = "only the cluster tests use it")]
pub const GUARD_FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/guard/crd");

/// A control plane with the CRD and the manifests of the operator. It stops when this value is dropped or the process
/// ends.
pub struct Cluster {
    pub control_plane: ControlPlane,
    /// Has the permissions of the operator's service account, and no others.
    pub operator_kubeconfig: PathBuf,
}

impl Cluster {
    /// The cluster that the tests of this process share. A test that changes the CRD or the installation starts its
    /// own.
    pub fn shared() -> Arc<Self> {
        static SHARED: OnceLock<Arc<Cluster>> = OnceLock::new();
        Arc::clone(SHARED.get_or_init(|| Arc::new(Self::start())))
    }

    /// Starts a control plane and installs the operator on it.
    pub fn start() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let control_plane = ControlPlane::start().unwrap_or_else(|error| panic!("{error}"));
        let operator_kubeconfig = install(&control_plane);
        Self { control_plane, operator_kubeconfig }
    }

    /// A kubeconfig with the permissions of a service account.
    pub fn kubeconfig_of(&self, namespace: &str, account: &str) -> PathBuf {
        self.control_plane.service_account_kubeconfig(namespace, account).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Runs kubectl as the administrator, requires success and returns its output.
    pub fn kubectl(&self, arguments: &[&str]) -> String {
        kubectl(&self.control_plane, arguments)
    }
}

/// A JSON patch of the CRD that changes each version. The API server refuses versions with different schemas and the same
/// selectable fields.
#[allow(dead_code, reason = "only the cluster tests use it")]
pub fn in_each_version(operation: &Value) -> String {
    let operations = [0, 1].map(|version| {
        let mut operation = operation.clone();
        operation["path"] = json!(format!("/spec/versions/{version}/{}", operation["path"].as_str().unwrap()));
        operation
    });
    json!(operations).to_string()
}

/// Installs the CRD and the manifests. Returns a kubeconfig for the operator's service account; a second installation
/// overwrites it.
pub fn install(control_plane: &ControlPlane) -> PathBuf {
    kubectl(control_plane, &["apply", "-f", CRDS_FOLDER]);
    let kubeconfig = install_deployment(control_plane);
    kubectl(control_plane, &["wait", "--for=condition=Established", CRD]);
    // The API server serves a new resource a moment before discovery and OpenAPI list it.
    let deadline = Instant::now() + TIMEOUT;
    while !control_plane.kubectl().args(["explain", "psplan"]).output().unwrap().status.success() {
        assert!(Instant::now() < deadline, "timed out waiting for discovery to list the CRD");
        std::thread::sleep(POLL_INTERVAL);
    }
    kubeconfig
}

/// The same without the CRD.
pub fn install_deployment(control_plane: &ControlPlane) -> PathBuf {
    kubectl(control_plane, &["apply", "-k", DEPLOY_FOLDER]);
    control_plane.service_account_kubeconfig(OPERATOR, OPERATOR).unwrap_or_else(|error| panic!("{error}"))
}

fn kubectl(control_plane: &ControlPlane, arguments: &[&str]) -> String {
    let output = control_plane.kubectl().args(arguments).output().unwrap();
    assert!(output.status.success(), "kubectl {arguments:?} failed: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
