//! kubectl as a user runs it, in the namespace of the test.

use std::process::Output;

use serde_json::Value;

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
}
