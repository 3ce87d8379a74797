//! kubectl as a user runs it, in the namespace of the test.

use std::process::Output;

use serde_json::{Value, json};

use super::TestEnvironment;

impl TestEnvironment {
    /// Runs kubectl, requires success and returns its output.
    pub fn kubectl(&self, arguments: &[&str]) -> String {
        self.cluster.kubectl(&[&["--namespace", &self.namespace], arguments].concat())
    }

    /// Applies a manifest. Returns what kubectl prints: the output of a success, or the error.
    pub fn kubectl_apply(&self, manifest: &Value) -> Result<String, String> {
        self.kubectl_with("apply", &[], manifest)
    }

    /// Runs a kubectl command on a manifest. Returns what kubectl prints: the output of a success, or the error.
    pub fn kubectl_with(&self, command: &str, flags: &[&str], manifest: &Value) -> Result<String, String> {
        let control_plane = &self.cluster.control_plane;
        let file = control_plane.details().folder.join(format!("manifest-{}.json", self.namespace));
        std::fs::write(&file, manifest.to_string()).unwrap();
        let mut kubectl = control_plane.kubectl();
        let Output { status, stdout, stderr } =
            kubectl.args(["--namespace", &self.namespace, command, "-f"]).arg(&file).args(flags).output().unwrap();
        let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
        if status.success() { Ok(stdout.into()) } else { Err(stderr.into()) }
    }

    /// Lets the API server answer requests of this kind in the namespace of the test with an internal error, since it
    /// cannot reach a webhook. Returns the argument with which `kubectl delete` ends that.
    pub fn break_requests(&self, operation: &str, group: &str, resource: &str) -> String {
        let name = format!("unreachable-in-{}", self.namespace);
        let webhook = json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
            "metadata": { "name": name },
            "webhooks": [{
                "name": "unreachable.example.com", "admissionReviewVersions": ["v1"], "sideEffects": "None",
                "clientConfig": { "url": "https://127.0.0.1:1/" },
                "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": self.namespace } },
                "rules": [{
                    "apiGroups": [group], "apiVersions": ["*"], "operations": [operation], "resources": [resource]
                }],
            }],
        });
        self.kubectl_apply(&webhook).unwrap();
        format!("validatingwebhookconfiguration/{name}")
    }
}
