//! Runs helm on the chart.

use std::path::Path;
use std::process::Command;

use control_plane::ControlPlane;
use serde_json::Value;

use crate::tools::{chart, output};

pub(crate) const NAMESPACE: &str = "fic-support-operator";

/// helm with settings of its own, not those of the user.
pub(crate) fn helm(binary: &Path) -> Command {
    let mut helm = Command::new(binary);
    let home = env!("CARGO_TARGET_TMPDIR");
    helm.envs([("HELM_CACHE_HOME", home), ("HELM_CONFIG_HOME", home), ("HELM_DATA_HOME", home)]);
    helm
}

/// helm on a cluster.
pub(crate) fn helm_on(binary: &Path, control_plane: &ControlPlane) -> Command {
    let mut helm = helm(binary);
    helm.arg("--kubeconfig").arg(&control_plane.details().kubeconfig);
    helm
}

/// What a cluster with the Prometheus operator has.
pub(crate) const WITH_PROMETHEUS_OPERATOR: &[&str] = &["--api-versions", "monitoring.coreos.com/v1"];

/// The chart as YAML, with these values, or the message of helm.
pub(crate) fn template(binary: &Path, values: &Value, flags: &[&str]) -> Result<String, String> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), values.to_string()).unwrap();
    let mut helm = helm(binary);
    // A helm that was not built for a release assumes a Kubernetes version that is too old.
    helm.args(["template", "release", "--namespace", NAMESPACE, "--kube-version", "1.32.0", "--values"])
        .arg(file.path())
        .args(flags)
        .arg(chart());
    output(&mut helm)
}

/// The objects of a stream of YAML documents.
pub(crate) fn objects(yaml: &str) -> Vec<Value> {
    let documents = yaml.trim_start_matches("---\n").split("\n---\n");
    let has_content = |document: &&str| document.lines().any(|line| !line.is_empty() && !line.starts_with('#'));
    documents.filter(has_content).map(|document| serde_saphyr::from_str(document).unwrap()).collect()
}
