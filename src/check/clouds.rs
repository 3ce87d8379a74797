//! Reads `clouds.yaml`, in which the tools of `OpenStack` keep credentials.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use secrecy::SecretString;
use serde::Deserialize;
use zeroize::Zeroizing;

/// What is needed of a cloud.
#[derive(Debug)]
pub(super) struct Cloud {
    pub(super) username: SecretString,
    pub(super) password: SecretString,
    pub(super) tenant: Option<String>,
    pub(super) auth_url: Option<String>,
}

#[derive(Deserialize)]
struct Clouds {
    clouds: BTreeMap<String, Entry>,
}

#[derive(Default, Deserialize)]
struct Entry {
    #[serde(default)]
    auth: Auth,
}

#[derive(Default, Deserialize)]
struct Auth {
    #[serde(rename = "auth_url")]
    keystone: Option<String>,
    username: Option<SecretString>,
    password: Option<SecretString>,
    project_id: Option<String>,
    tenant_id: Option<String>,
}

/// Finds a cloud. `secure.yaml` beside the file may have the password.
pub(super) fn find(name: &str, variable: impl Fn(&str) -> Option<String>) -> Result<Cloud, String> {
    let files = files(&variable);
    let file = files.iter().find(|file| file.is_file());
    let file = file.ok_or_else(|| {
        let files = files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(", ");
        format!("there is no clouds.yaml; looked for {files}")
    })?;
    let auth = read(file, name)?.ok_or_else(|| format!("{} has no cloud {name}", file.display()))?.auth;
    let secure = file.with_file_name("secure.yaml");
    let secure = if secure.is_file() { read(&secure, name)?.unwrap_or_default().auth } else { Auth::default() };
    let missing = |key: &str| format!("cloud {name} in {} has no {key} in auth", file.display());
    Ok(Cloud {
        username: secure.username.or(auth.username).ok_or_else(|| missing("username"))?,
        password: secure.password.or(auth.password).ok_or_else(|| missing("password"))?,
        tenant: auth.project_id.or(auth.tenant_id),
        auth_url: auth.keystone,
    })
}

/// The places of the file, as `openstacksdk` has them.
fn files(variable: impl Fn(&str) -> Option<String>) -> Vec<PathBuf> {
    if let Some(file) = variable("OS_CLIENT_CONFIG_FILE") {
        return vec![file.into()];
    }
    let home = variable("HOME").map(|home| Path::new(&home).join(".config"));
    let user = variable("XDG_CONFIG_HOME").map(PathBuf::from).or(home);
    [Some(PathBuf::new()), user.map(|folder| folder.join("openstack")), Some("/etc/openstack".into())]
        .into_iter()
        .flatten()
        .map(|folder| folder.join("clouds.yaml"))
        .collect()
}

/// Reads a cloud of a file. The error does not quote the file: it may contain a password.
fn read(file: &Path, name: &str) -> Result<Option<Entry>, String> {
    let text = std::fs::read_to_string(file).map_err(|error| format!("cannot read {}: {error}", file.display()))?;
    let text = Zeroizing::new(text);
    let clouds: Clouds = serde_saphyr::from_str(&text)
        .map_err(|_| format!("{} is not YAML with clouds, and auth with texts in each", file.display()))?;
    let mut clouds = clouds.clouds;
    Ok(clouds.remove(name))
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    const CLOUDS: &str = "\
clouds:
  fic:
    auth:
      auth_url: https://api.ntt.com/keystone/v3/
      username: key
      password: secret
      project_id: db8b0e40743f460685040c46167cf19e
    region_name: jp
  split:
    auth: {username: key}
  none: {}
";

    fn find_in(clouds: &str, secure: Option<&str>, name: &str) -> Result<Cloud, String> {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("clouds.yaml");
        std::fs::write(&file, clouds).expect("written");
        if let Some(secure) = secure {
            std::fs::write(folder.path().join("secure.yaml"), secure).expect("written");
        }
        find(name, |variable| (variable == "OS_CLIENT_CONFIG_FILE").then(|| file.display().to_string()))
    }

    #[test]
    fn cloud_has_credentials_tenant_and_address() {
        let cloud = find_in(CLOUDS, None, "fic").expect("complete");
        assert_eq!((cloud.username.expose_secret(), cloud.password.expose_secret()), ("key", "secret"));
        assert_eq!(cloud.tenant.as_deref(), Some("db8b0e40743f460685040c46167cf19e"));
        assert_eq!(cloud.auth_url.as_deref(), Some("https://api.ntt.com/keystone/v3/"));
    }

    #[test]
    fn password_may_be_in_secure_yaml() {
        let secure = "clouds: {split: {auth: {password: hidden}}}";
        assert_eq!(find_in(CLOUDS, Some(secure), "split").expect("complete").password.expose_secret(), "hidden");
        assert!(find_in(CLOUDS, None, "split").expect_err("no password").ends_with("has no password in auth"));
    }

    #[test]
    fn errors_name_what_is_missing_and_quote_nothing() {
        assert!(find_in(CLOUDS, None, "other").expect_err("no such cloud").ends_with("has no cloud other"));
        assert!(find_in(CLOUDS, None, "none").expect_err("no auth").ends_with("has no username in auth"));
        let error = find_in("clouds: {fic: {auth: {password: [hidden]}}}", None, "fic").expect_err("not a text");
        assert!(error.contains("is not YAML with clouds") && !error.contains("hidden"), "{error}");
        let error = find("fic", |name| (name == "HOME").then(|| "/nowhere".into())).expect_err("no file");
        assert!(error.contains("/nowhere/.config/openstack/clouds.yaml, /etc/openstack/clouds.yaml"), "{error}");
    }
}
