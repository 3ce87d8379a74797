//! Responses: one of HTTP, and one of the FIC API with the error that it stands for.

use std::time::{Duration, SystemTime};

use reqwest::header::{HeaderMap, RETRY_AFTER};
use secrecy::SecretString;

use crate::domain::error::FicError;
use crate::fic::Access;
use crate::fic::wire::{self, RequestContext};

/// The longest accepted `Retry-After`. A longer one comes from a wrong clock or configuration of the sender.
const MAX_RETRY_AFTER: Duration = Duration::from_hours(24);

/// A complete HTTP response of any status.
pub(super) struct Response {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Response {
    /// How long the sender asks the client to wait.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        retry_after(&self.headers)
    }
}

/// A response of the FIC API.
pub(super) struct FicResponse {
    pub(super) status: u16,
    /// The error that the status stands for if the call does not count it as success.
    pub(super) error: FicError,
    body: Vec<u8>,
    /// The token that the request was sent with. The response may repeat it.
    token: SecretString,
}

impl FicResponse {
    pub(super) fn new(response: Response, token: SecretString, access: &Access) -> Self {
        let secrets = [&token, &access.credentials.api_key, &access.credentials.api_secret];
        let message =
            if is_success(response.status) { Box::default() } else { wire::error_message(&response.body, &secrets) };
        let error = FicError::from_status(response.status, message, response.retry_after());
        Self { status: response.status, error, body: response.body, token }
    }

    pub(super) fn is_success(&self) -> bool {
        is_success(self.status)
    }

    /// Parses the body.
    pub(super) fn parse<T>(&self, access: &Access, parse: impl FnOnce(&[u8], RequestContext<'_>) -> T) -> T {
        let secrets = [&self.token, &access.credentials.api_key, &access.credentials.api_secret];
        parse(&self.body, RequestContext { tenant: &access.tenant, secrets: &secrets })
    }
}

fn is_success(status: u16) -> bool {
    (200..300).contains(&status)
}

/// Reads `Retry-After`, which is a number of seconds or a date.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = match value.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => httpdate::parse_http_date(value).ok()?.duration_since(SystemTime::now()).unwrap_or_default(),
    };
    Some(wait.min(MAX_RETRY_AFTER))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_read_as_seconds_and_as_date_and_is_bounded() {
        let of = |value: &str| retry_after(&HeaderMap::from_iter([(RETRY_AFTER, value.parse().expect("a value"))]));
        assert_eq!(of("7"), Some(Duration::from_secs(7)));
        assert_eq!(of("99999999999"), Some(MAX_RETRY_AFTER));
        assert_eq!(of("soon"), None);
        assert_eq!(of("Thu, 01 Jan 1970 00:00:00 GMT"), Some(Duration::ZERO));
        let later = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(100));
        let wait = of(&later).expect("a date");
        assert!(wait > Duration::from_secs(90) && wait <= Duration::from_secs(100));
        assert_eq!(retry_after(&HeaderMap::new()), None);
    }
}
