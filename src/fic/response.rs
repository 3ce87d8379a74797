//! Responses: one of HTTP, and one of the FIC API with the error that it stands for.

use std::time::{Duration, SystemTime};

use reqwest::header::{DATE, HeaderMap, HeaderName, RETRY_AFTER};
use secrecy::SecretString;

use crate::domain::error::FicError;
use crate::fic::Access;
use crate::fic::wire::{self, RequestContext};

/// The longest accepted `Retry-After`. A longer one comes from a wrong clock or configuration of the sender.
const MAX_RETRY_AFTER: Duration = Duration::from_hours(24);
/// The longest accepted `Retry-After` that only the clock of this machine says, which may be wrong.
const MAX_RETRY_AFTER_BY_OWN_CLOCK: Duration = Duration::from_mins(5);

/// A complete HTTP response of any status.
pub(super) struct Response {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Response {
    /// The time of the response on the clock of the sender, if it says so.
    pub(super) fn date(&self) -> Option<SystemTime> {
        http_date(&self.headers, DATE)
    }

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

/// Reads `Retry-After`, which is a number of seconds or a date. A date is compared with the `Date` of the response: both
/// are of the same clock, so it does not matter whether that of this machine is right.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // A number that is too large to be read is a long time too.
        return Some(value.parse().map_or(MAX_RETRY_AFTER, Duration::from_secs).min(MAX_RETRY_AFTER));
    }
    let until = http_date(headers, RETRY_AFTER)?;
    let (now, longest) = match http_date(headers, DATE) {
        Some(date) => (date, MAX_RETRY_AFTER),
        None => (SystemTime::now(), MAX_RETRY_AFTER_BY_OWN_CLOCK),
    };
    Some(until.duration_since(now).unwrap_or_default().min(longest))
}

fn http_date(headers: &HeaderMap, name: HeaderName) -> Option<SystemTime> {
    httpdate::parse_http_date(headers.get(name)?.to_str().ok()?.trim()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_read_as_seconds_and_as_date_and_is_bounded() {
        let of = |value: &str| retry_after(&HeaderMap::from_iter([(RETRY_AFTER, value.parse().expect("a value"))]));
        assert_eq!(of("7"), Some(Duration::from_secs(7)));
        assert_eq!(of("99999999999"), Some(Duration::from_hours(24)));
        assert_eq!(of("99999999999999999999999"), Some(MAX_RETRY_AFTER));
        assert_eq!(of(""), None);
        assert_eq!(of("soon"), None);
        assert_eq!(of("Thu, 01 Jan 1970 00:00:00 GMT"), Some(Duration::ZERO));
        let later = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(100));
        let wait = of(&later).expect("a date");
        assert!(wait > Duration::from_secs(90) && wait <= Duration::from_secs(100));
        assert_eq!(retry_after(&HeaderMap::new()), None);
    }

    #[test]
    fn date_in_retry_after_is_compared_with_the_date_of_the_response() {
        let of = |date: &str, until: &str| {
            let headers = [(DATE, date), (RETRY_AFTER, until)];
            retry_after(&headers.into_iter().map(|(name, value)| (name, value.parse().expect("a value"))).collect())
        };
        // The clock of this machine is years ahead of the one, and years behind the other.
        for day in ["Mon, 01 Jan 2001", "Thu, 01 Jan 2099"] {
            let at = |time: &str| format!("{day} {time} GMT");
            assert_eq!(of(&at("00:00:00"), &at("00:10:00")), Some(Duration::from_mins(10)), "{day}");
            assert_eq!(of(&at("00:10:00"), &at("00:00:00")), Some(Duration::ZERO), "{day}");
        }
        assert_eq!(of("Mon, 01 Jan 2001 00:00:00 GMT", "Tue, 01 Jan 2002 00:00:00 GMT"), Some(MAX_RETRY_AFTER));
        // Without a date that can be read, the clock of this machine says only so much.
        assert_eq!(of("today", "Thu, 01 Jan 2099 00:00:00 GMT"), Some(Duration::from_mins(5)));
    }
}
