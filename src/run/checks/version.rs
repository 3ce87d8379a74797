//! The version of the API server.

use k8s_openapi::apimachinery::pkg::version::Info;
use kube::Client;

use super::{CheckError, not_checked};
use crate::text;

/// The oldest minor version of Kubernetes 1 on which plans can be listed by tenant: selectable fields of custom resources
/// are stable from there on.
pub(super) const MINIMUM_MINOR: u32 = 32;

pub(super) async fn check(client: &Client) -> Result<(), CheckError> {
    match client.apiserver_version().await {
        Ok(version) => check_version(&version).map(drop),
        Err(error) => {
            not_checked("the version of the API server", &error);
            Ok(())
        }
    }
}

/// The version as text, if it is not too old.
pub(crate) fn check_version(version: &Info) -> Result<String, CheckError> {
    let text = text::sanitize_message(&format!("{}.{}", version.major, version.minor), &[]);
    if is_too_old(&version.major, &version.minor) { Err(CheckError::Version(text)) } else { Ok(text.into()) }
}

/// A version that is not a number is not too old. The minor version may have a suffix, such as `32+`.
fn is_too_old(major: &str, minor: &str) -> bool {
    let number = |text: &str| text.trim_end_matches(|c: char| !c.is_ascii_digit()).parse::<u32>().ok();
    match (number(major), number(minor)) {
        (Some(major), Some(minor)) => (major, minor) < (1, MINIMUM_MINOR),
        (Some(_), None) | (None, _) => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::fake;
    use super::*;

    #[tokio::test]
    async fn kubernetes_older_than_1_32_ends_the_start() {
        let check = async |major: &'static str, minor: &'static str| {
            let version = move |_: &_| {
                let mut version = json!({ "major": major, "minor": minor });
                for field in
                    ["gitVersion", "gitCommit", "gitTreeState", "buildDate", "goVersion", "compiler", "platform"]
                {
                    version[field] = json!("");
                }
                (200, version)
            };
            check(&fake::client(version)).await.map_err(|error| error.to_string())
        };
        for (major, minor) in [("1", "32"), ("1", "36+"), ("2", "0"), ("", ""), ("1", "beta")] {
            assert_eq!(check(major, minor).await, Ok(()), "{major}.{minor}");
        }
        for (major, minor) in [("1", "31"), ("1", "31+"), ("1", "9"), ("0", "40")] {
            let error = check(major, minor).await.expect_err(minor);
            assert!(error.contains(&format!("{major}.{minor};")) && error.contains("1.32 or newer"), "{error}");
        }
        assert!(super::check(&fake::client(|_| fake::failure(503))).await.is_ok(), "no answer");
    }
}
