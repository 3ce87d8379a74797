//! Parsers for the values of flags.

use std::path::Path;
use std::time::Duration;

use jiff::SignedDuration;
use reqwest::{Certificate, Url};

use crate::api::key::ObjectKey;
use crate::api::plan::is_tenant_id;

pub(crate) fn endpoint(text: &str) -> Result<Url, String> {
    let url =
        Url::parse(text).map_err(|error| format!("{error}; use an absolute URL such as https://fic.example/v1"))?;
    if !matches!(url.scheme(), "https" | "http") || url.host_str().is_none_or(str::is_empty) {
        return Err("use an absolute URL with the scheme https://, such as https://fic.example/v1".into());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(
            "an endpoint must not contain a user or a password; credentials belong in the Secrets that the plans reference".into()
        );
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("an endpoint must not contain a query or a fragment".into());
    }
    Ok(url)
}

/// A message with a link must fit into the note of an Event.
const LONGEST_DOCUMENTATION_URL: usize = 200;

/// The base URL of the documents, without a slash at its end.
pub(super) fn documentation_url(text: &str) -> Result<String, String> {
    let url = endpoint(text)?.to_string();
    if url.len() > LONGEST_DOCUMENTATION_URL {
        return Err(format!("the URL may have at most {LONGEST_DOCUMENTATION_URL} bytes"));
    }
    Ok(url.trim_end_matches('/').to_owned())
}

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let parsed: SignedDuration =
        text.parse().map_err(|_| "use a number with a unit, such as 500ms, 3s or 10m".to_owned())?;
    match Duration::try_from(parsed) {
        Ok(duration) if !duration.is_zero() => Ok(duration),
        Ok(_) | Err(_) => Err("a duration must be longer than zero".into()),
    }
}

/// A shorter poll interval would send FIC requests without a pause.
const SHORTEST_POLL_INTERVAL: Duration = Duration::from_millis(100);

pub(super) fn poll_interval(text: &str) -> Result<Duration, String> {
    let interval = duration(text)?;
    if interval < SHORTEST_POLL_INTERVAL {
        return Err(format!("the poll interval must be at least {SHORTEST_POLL_INTERVAL:?}; use a value such as 3s"));
    }
    Ok(interval)
}

/// Whether a text consists of lower-case letters, digits and dashes, and starts and ends with a letter or digit.
fn is_dns_label(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let edge = |byte: Option<u8>| byte.is_some_and(|byte| byte != b'-');
    text.bytes().all(inner) && edge(text.bytes().next()) && edge(text.bytes().next_back())
}

fn is_dns_subdomain(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_dns_label)
}

/// The name of a Lease is a DNS subdomain (RFC 1123).
pub(super) fn lease_name(text: &str) -> Result<String, String> {
    if is_dns_subdomain(text) {
        Ok(text.to_owned())
    } else {
        Err("the name of a Lease consists of at most 253 lower-case letters, digits, dashes and dots, and starts and ends with a letter or digit; use a name such as fic-support-operator-shard-a".into())
    }
}

/// The name of a namespace is a DNS label (RFC 1123).
pub(super) fn namespace(text: &str) -> Result<String, String> {
    if text.len() <= 63 && is_dns_label(text) {
        Ok(text.to_owned())
    } else {
        Err("a namespace name consists of at most 63 lower-case letters, digits and dashes, and starts and ends with a letter or digit".into())
    }
}

/// The name of a plan or a Secret is a DNS subdomain (RFC 1123).
pub(super) fn object_name(text: &str) -> Result<String, String> {
    if is_dns_subdomain(text) {
        Ok(text.to_owned())
    } else {
        Err("the name of an object consists of at most 253 lower-case letters, digits, dashes and dots, and starts and ends with a letter or digit".into())
    }
}

/// The namespace and the name of a Secret.
pub(super) fn secret_key(text: &str) -> Result<ObjectKey, String> {
    let (of, name) = text.split_once('/').ok_or("use the namespace and the name, such as team-a/fic-credentials")?;
    Ok(ObjectKey::new(&namespace(of)?, &object_name(name)?))
}

/// The ID of a tenant, as the schema of plans has it.
pub(super) fn tenant_id(text: &str) -> Result<String, String> {
    if is_tenant_id(text) {
        Ok(text.to_owned())
    } else {
        Err("the ID of a tenant consists of 32 lower-case hexadecimal digits".into())
    }
}

/// The API server validates the selector. Only an empty one is rejected here: the API server accepts it, and it selects
/// every plan.
pub(super) fn label_selector(text: &str) -> Result<String, String> {
    if text.trim().is_empty() {
        return Err("a label selector must not be empty; use a selector such as team=network,tier!=test".into());
    }
    Ok(text.to_owned())
}

/// Reads the certificates of a CA bundle.
pub(super) fn root_certificates(file: &Path) -> Result<Vec<Certificate>, String> {
    let path = file.display();
    let pem = std::fs::read(file).map_err(|error| format!("cannot read --ca-bundle {path}: {error}"))?;
    let certificates = Certificate::from_pem_bundle(&pem)
        .map_err(|error| format!("--ca-bundle {path} is not a PEM file of certificates: {error}"))?;
    if certificates.is_empty() {
        return Err(format!("--ca-bundle {path} contains no certificate; use a PEM file of CA certificates"));
    }
    Ok(certificates)
}
