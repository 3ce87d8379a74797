//! Signs in at Keystone: requests a token that is scoped to one tenant.

use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use reqwest::{Method, Request, Url};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use tokio::time::Instant;
use zeroize::Zeroizing;

use crate::api::credentials::Credentials;
use crate::domain::error::FicError;
use crate::fic::Access;
use crate::fic::http::TransportError;
use crate::fic::response::Response;
use crate::fic::transport::{append_path, request, secret_bytes};
use crate::fic::wire;

/// How long a token is used if Keystone does not say how long it is valid. FIC refuses one that has expired, and the
/// operator then gets another.
const UNKNOWN_LIFETIME: Duration = Duration::from_mins(5);
/// The longest accepted lifetime.
const MAX_LIFETIME: Duration = Duration::from_hours(24);

/// More than the body of a sign-in has without its values.
const FIXED_BODY_LENGTH: usize = 256;
/// The length of `\u001b`, which JSON writes for a control character.
const LONGEST_ESCAPE: usize = 6;

/// A token and the time at which it must be renewed.
#[derive(Clone)]
pub(super) struct Token {
    pub(super) value: SecretString,
    pub(super) renew_at: Instant,
}

/// The request for a token that is scoped to one tenant.
pub(super) fn sign_in_request(endpoint: &Url, access: &Access) -> Result<Request, FicError> {
    let body = body(access).map_err(|error| FicError::unavailable(error.to_string()))?;
    Ok(request(Method::POST, append_path(endpoint, ["auth", "tokens"]), Some(secret_bytes(body).into())))
}

/// The token in the response to such a request, which was sent at this time or later.
pub(super) fn parse_token(
    response: Result<Response, TransportError>,
    sent_at: Instant,
    access: &Access,
) -> Result<Token, FicError> {
    let response = response.map_err(|error| name_keystone(error.into()))?;
    if response.status != 201 && response.status != 200 {
        return Err(error_of(&response, &access.credentials));
    }
    let value = response.headers.get("x-subject-token").and_then(|value| value.to_str().ok());
    let value = value
        .filter(|value| !value.is_empty())
        .ok_or_else(|| name_keystone(FicError::unavailable("the response has no token")))?;
    Ok(Token { value: value.into(), renew_at: sent_at + usable_for(&response.body, response.date()) })
}

/// The body of the request. It is written into one buffer of sufficient size, so that no copy of the secrets remains in
/// a smaller one, or in a JSON value.
fn body(access: &Access) -> serde_json::Result<Zeroizing<Vec<u8>>> {
    let Access { tenant, credentials, namespace: _, ticket: _ } = access;
    let secrets = [credentials.api_key.expose_secret(), credentials.api_secret.expose_secret()];
    let variable = secrets[0].len() + secrets[1].len() + tenant.len();
    let mut body = Zeroizing::new(Vec::with_capacity(FIXED_BODY_LENGTH + variable * LONGEST_ESCAPE));
    body.extend(
        br#"{"auth":{"identity":{"methods":["password"],"password":{"user":{"domain":{"id":"default"},"name":"#,
    );
    serde_json::to_writer(&mut *body, secrets[0])?;
    body.extend(br#","password":"#);
    serde_json::to_writer(&mut *body, secrets[1])?;
    body.extend(br#"}}},"scope":{"project":{"id":"#);
    serde_json::to_writer(&mut *body, tenant)?;
    body.extend(b"}}}}");
    Ok(body)
}

fn error_of(response: &Response, credentials: &Credentials) -> FicError {
    let message = wire::error_message(&response.body, &[&credentials.api_key, &credentials.api_secret]);
    match response.status {
        401 => FicError::AuthenticationFailed { message, retry_after: None },
        other => name_keystone(FicError::from_status(other, message, response.retry_after())),
    }
}

/// The message of an unavailable service must say that Keystone is unavailable, not FIC.
fn name_keystone(mut error: FicError) -> FicError {
    if let FicError::Unavailable { message, .. } = &mut error {
        *message = format!("Keystone: {message}").into();
    }
    error
}

/// How long a token is used: nine tenths of its lifetime.
///
/// The lifetime is the difference of two times of Keystone, or of one and the `Date` of its response. The clock of this
/// machine has no effect, and the lifetime passes on the monotonic clock.
fn usable_for(body: &[u8], date: Option<SystemTime>) -> Duration {
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
    let began_at = issued_at.or_else(|| Timestamp::try_from(date?).ok());
    let lifetime = began_at.and_then(|began_at| Duration::try_from(expires_at.duration_since(began_at)).ok());
    // A token that has expired before it was issued is one of clocks that differ.
    lifetime
        .filter(|lifetime| !lifetime.is_zero())
        .map_or(UNKNOWN_LIFETIME, |lifetime| lifetime.min(MAX_LIFETIME).mul_f64(0.9))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn body_is_json_in_a_buffer_that_has_not_grown() {
        for (key, secret) in
            [("key", "secret"), ("\"k\\", "\u{1b}ü\n\u{1}"), (&*"\u{1}".repeat(1024), &*"\u{1}".repeat(1024))]
        {
            let access = Access {
                namespace: "team".into(),
                ticket: 1,
                tenant: "\u{1}".repeat(64).into(),
                credentials: Credentials::new(key, secret),
            };
            let body = body(&access).expect("it is written");
            let parsed: Value = serde_json::from_slice(&body).expect("JSON");
            let user = json!({ "domain": { "id": "default" }, "name": key, "password": secret });
            let identity = json!({ "methods": ["password"], "password": { "user": user } });
            let scope = json!({ "project": { "id": access.tenant } });
            assert_eq!(parsed, json!({ "auth": { "identity": identity, "scope": scope } }));
            let variable = key.len() + secret.len() + access.tenant.len();
            assert_eq!(body.capacity(), FIXED_BODY_LENGTH + variable * LONGEST_ESCAPE);
        }
    }

    #[test]
    fn token_is_renewed_before_it_expires_by_keystones_clock() {
        let body =
            br#"{"token":{"issued_at":"2001-01-01T00:00:00.000000Z","expires_at":"2001-01-01T01:00:00.000000Z"}}"#;
        assert_eq!(usable_for(body, None), Duration::from_mins(54));
        assert_eq!(usable_for(body, Some(SystemTime::now())), Duration::from_mins(54));
    }

    #[test]
    fn time_of_the_response_replaces_a_missing_issue_time() {
        let body = br#"{"token":{"expires_at":"2001-01-01T01:00:00Z"}}"#;
        let date = httpdate::parse_http_date("Mon, 01 Jan 2001 00:00:00 GMT").expect("a date");
        assert_eq!(usable_for(body, Some(date)), Duration::from_mins(54));
        // The clock of this machine does not replace it: it may be wrong.
        assert_eq!(usable_for(body, None), Duration::from_mins(5));
        let future = format!(r#"{{"token":{{"expires_at":"{}"}}}}"#, Timestamp::now() + Duration::from_hours(1));
        assert_eq!(usable_for(future.as_bytes(), None), UNKNOWN_LIFETIME);
    }

    #[test]
    fn impossible_lifetime_is_bounded() {
        let lifetime = |issued_at: &str, expires_at: &str| {
            let body = format!(r#"{{"token":{{"issued_at":"{issued_at}","expires_at":"{expires_at}"}}}}"#);
            usable_for(body.as_bytes(), None)
        };
        for expires_at in ["2001-01-01T00:00:00Z", "1999-01-01T00:00:00Z"] {
            assert_eq!(lifetime("2001-01-01T00:00:00Z", expires_at), UNKNOWN_LIFETIME, "{expires_at}");
        }
        assert_eq!(lifetime("2001-01-01T00:00:00Z", "9999-01-01T00:00:00Z"), Duration::from_hours(24).mul_f64(0.9));
        assert_eq!(usable_for(b"{}", None), UNKNOWN_LIFETIME);
    }
}
