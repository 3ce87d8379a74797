//! Writes kubeconfig files, as JSON, which is valid YAML.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::{Error, context};

/// Writes a kubeconfig that authenticates as the administrator with a client certificate.
///
/// # Errors
/// When the file cannot be written.
pub fn write_admin(folder: &Path, server: &str, to: &Path) -> Result<(), Error> {
    let user = json!({ "client-certificate": folder.join("admin.crt"), "client-key": folder.join("admin.key") });
    write(folder, server, &user, to)
}

/// Writes a kubeconfig that authenticates with a bearer token.
///
/// # Errors
/// When the file cannot be written.
pub fn write_token(folder: &Path, server: &str, token: &str, to: &Path) -> Result<(), Error> {
    write(folder, server, &json!({ "token": token }), to)
}

fn write(folder: &Path, server: &str, user: &Value, to: &Path) -> Result<(), Error> {
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{ "name": "local", "cluster": { "server": server, "certificate-authority": folder.join("ca.crt") } }],
        "users": [{ "name": "user", "user": user }],
        "contexts": [{ "name": "local", "context": { "cluster": "local", "user": "user" } }],
        "current-context": "local",
    });
    fs::write(to, format!("{config:#}\n")).map_err(context(format!("writing {}", to.display())))
}
