//! Signing in at Keystone: a token for one tenant.

use std::time::Duration;

use jiff::Timestamp;
use reqwest::Method;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::json;
use tokio::time::Instant;

use crate::api::credentials::Credentials;
use crate::domain::error::FicError;
use crate::fic::http::TransportError;
use crate::fic::transport::{Reply, Transport, join, request, retry_after};
use crate::fic::wire;

/// How long a token is used when Keystone does not say how long it lasts.
const UNKNOWN_LIFETIME: Duration = Duration::from_mins(5);

/// A token and how long it may be used.
#[derive(Clone)]
pub(super) struct Token {
    pub(super) value: SecretString,
    pub(super) renew_at: Instant,
}

/// Signs in for one tenant.
pub(super) async fn sign_in(
    transport: &Transport,
    endpoint: &reqwest::Url,
    credentials: &Credentials,
    tenant: &str,
) -> Result<Token, FicError> {
    let body = json!({ "auth": {
        "identity": { "methods": ["password"], "password": { "user": {
            "domain": { "id": "default" },
            "name": credentials.api_key.expose_secret(),
            "password": credentials.api_secret.expose_secret(),
        } } },
        "scope": { "project": { "id": tenant } },
    } });
    let asked_at = Instant::now();
    let url = join(endpoint, ["auth", "tokens"]);
    let request = request(Method::POST, url, Some(&body));
    let reply = transport.send(request, None).await.map_err(|silence| match silence {
        TransportError::NotSent(what) | TransportError::Lost(what) => unavailable(&format!("Keystone: {what}")),
    })?;
    if reply.status != 201 && reply.status != 200 {
        return Err(refusal(&reply, credentials));
    }
    let value = reply.headers.get("x-subject-token").and_then(|value| value.to_str().ok());
    let value =
        value.filter(|value| !value.is_empty()).ok_or_else(|| unavailable("Keystone: an answer without a token"))?;
    Ok(Token { value: value.into(), renew_at: asked_at + usable_for(&reply.body) })
}

fn refusal(reply: &Reply, credentials: &Credentials) -> FicError {
    let words = wire::words(&reply.body, &[&credentials.api_key, &credentials.api_secret]);
    match reply.status {
        401 => FicError::AuthenticationFailed { words },
        other => match FicError::from_status(other, words, retry_after(&reply.headers)) {
            FicError::Unavailable { what, retry_after } => {
                FicError::Unavailable { what: format!("Keystone: {what}").into(), retry_after }
            }
            trouble @ (FicError::RateLimited { .. }
            | FicError::AuthenticationFailed { .. }
            | FicError::PermissionDenied { .. }
            | FicError::Rejected { .. }
            | FicError::Conflict { .. }
            | FicError::Unexpected { .. }) => trouble,
        },
    }
}

fn unavailable(what: &str) -> FicError {
    FicError::Unavailable { what: what.into(), retry_after: None }
}

/// How long a token is used: nine tenths of what it lasts.
///
/// Both ends are read from Keystone's own clock where it gives both, so that a clock of ours that is wrong does no harm.
fn usable_for(body: &[u8]) -> Duration {
    #[derive(Deserialize)]
    struct Body {
        token: Times,
    }
    #[derive(Deserialize)]
    struct Times {
        issued_at: Option<Timestamp>,
        expires_at: Option<Timestamp>,
    }
    let Ok(Body { token: Times { issued_at, expires_at: Some(expires_at) } }) = serde_json::from_slice(body) else {
        return UNKNOWN_LIFETIME;
    };
    let issued_at = issued_at.unwrap_or_else(Timestamp::now);
    let lifetime = Duration::try_from(expires_at.duration_since(issued_at)).unwrap_or_default();
    lifetime.mul_f64(0.9)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_renewed_before_it_expires_by_keystones_own_clock() {
        let body =
            br#"{"token":{"issued_at":"2001-01-01T00:00:00.000000Z","expires_at":"2001-01-01T01:00:00.000000Z"}}"#;
        assert_eq!(usable_for(body), Duration::from_mins(54));
        let expires_at = Timestamp::now() + Duration::from_secs(1000);
        let usable = usable_for(format!(r#"{{"token":{{"expires_at":"{expires_at}"}}}}"#).as_bytes());
        assert!(usable > Duration::from_secs(890) && usable <= Duration::from_mins(15), "{usable:?}");
        assert_eq!(usable_for(br#"{"token":{"expires_at":"1999-01-01T00:00:00Z"}}"#), Duration::ZERO);
        assert_eq!(usable_for(b"{}"), UNKNOWN_LIFETIME);
    }
}
