//! One HTTP call: bounded in time and size, paced, never redirected, and honest about whether it went out.

use std::num::NonZeroU32;
use std::time::{Duration, SystemTime};

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Method, Request, Response, Url};
use tokio::time::{Instant, timeout_at};

use crate::fic::http::{HttpClient, TransportError, describe};
use crate::leader_election::Leadership;

/// The largest answer that is read.
const LARGEST_ANSWER: usize = 1024 * 1024;
/// The longest `Retry-After` that is believed; more is a fault of the sender's clock or configuration.
const LONGEST_RETRY_AFTER: Duration = Duration::from_hours(24);

/// The bounds that calls are kept within.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The time for a call as a whole.
    pub request_timeout: Duration,
    /// Calls a second, all tenants together; 0: no limit.
    pub requests_per_second: u32,
}

/// An answer, whatever it says.
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

/// Sends calls.
pub(super) struct Transport {
    courier: Box<dyn HttpClient>,
    pace: Option<DefaultDirectRateLimiter>,
    request_timeout: Duration,
}

impl Transport {
    pub(super) fn new(courier: Box<dyn HttpClient>, limits: Limits) -> Self {
        let Limits { request_timeout, requests_per_second } = limits;
        let pace = NonZeroU32::new(requests_per_second).map(|rate| RateLimiter::direct(Quota::per_second(rate)));
        Self { courier, pace, request_timeout }
    }

    /// Sends a request and reads its answer.
    ///
    /// The lead is asked for at the last moment, after every wait: a process that was frozen while it waited must not send.
    pub(super) async fn send(&self, request: Request, lead: Option<&Leadership>) -> Result<Reply, TransportError> {
        if let Some(pace) = &self.pace {
            pace.until_ready().await;
        }
        if lead.is_some_and(|lead| !lead.holds_lease()) {
            return Err(TransportError::NotSent("this replica is not sure to lead".into()));
        }
        let deadline = Instant::now() + self.request_timeout;
        let late = || TransportError::Lost(format!("no complete answer within {:?}", self.request_timeout).into());
        let mut response = timeout_at(deadline, self.courier.execute(request)).await.unwrap_or_else(|_| Err(late()))?;
        let status = response.status();
        let body = match timeout_at(deadline, read(&mut response)).await.unwrap_or_else(|_| Err(late())) {
            // What was refused was refused, whether or not the reasons arrive: it is not looked for as if it had been bought.
            Err(_) if !status.is_success() => Vec::new(),
            body => body?,
        };
        Ok(Reply { status: status.as_u16(), headers: std::mem::take(response.headers_mut()), body })
    }
}

async fn read(response: &mut Response) -> Result<Vec<u8>, TransportError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| TransportError::Lost(describe(&error)))? {
        if body.len() + chunk.len() > LARGEST_ANSWER {
            return Err(TransportError::Lost("an answer of more than 1 MiB".into()));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Reads `Retry-After`, as seconds or as a date.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = match value.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => httpdate::parse_http_date(value).ok()?.duration_since(SystemTime::now()).unwrap_or_default(),
    };
    Some(wait.min(LONGEST_RETRY_AFTER))
}

/// A request with a JSON body, or none.
pub(super) fn request(method: Method, url: Url, body: Option<&serde_json::Value>) -> Request {
    let mut request = Request::new(method, url);
    request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    *request.body_mut() = body.map(|body| body.to_string().into());
    request
}

/// Appends path segments to an endpoint, whether or not it ends in a slash.
pub(super) fn join<'a>(endpoint: &Url, segments: impl IntoIterator<Item = &'a str>) -> Url {
    let mut url = endpoint.clone();
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().extend(segments);
    }
    url
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http_body_util::StreamBody;
    use hyper::body::Frame;

    use super::*;

    #[test]
    fn retry_after_is_read_as_seconds_and_as_a_date_and_is_bounded() {
        let of = |value: &str| retry_after(&HeaderMap::from_iter([(RETRY_AFTER, value.parse().expect("a value"))]));
        assert_eq!(of("7"), Some(Duration::from_secs(7)));
        assert_eq!(of("99999999999"), Some(LONGEST_RETRY_AFTER));
        assert_eq!(of("soon"), None);
        assert_eq!(of("Thu, 01 Jan 1970 00:00:00 GMT"), Some(Duration::ZERO));
        let later = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(100));
        let wait = of(&later).expect("a date");
        assert!(wait > Duration::from_secs(90) && wait <= Duration::from_secs(100));
        assert_eq!(retry_after(&HeaderMap::new()), None);
    }

    #[tokio::test]
    async fn an_answer_may_have_a_mebibyte_and_not_a_byte_more() {
        let in_parts = |parts: &[usize]| {
            let frames = parts.iter().map(|size| Ok::<_, std::io::Error>(Frame::data(Bytes::from(vec![b' '; *size]))));
            let body = StreamBody::new(futures::stream::iter(frames.collect::<Vec<_>>()));
            Response::from(http::Response::new(reqwest::Body::wrap(body)))
        };
        let half = LARGEST_ANSWER / 2;
        for parts in [&[1024 * 1024][..], &[half, half]] {
            assert_eq!(read(&mut in_parts(parts)).await.expect("it is read").len(), 1024 * 1024);
        }
        for parts in [&[1024 * 1024 + 1][..], &[half, half, 1]] {
            assert!(read(&mut in_parts(parts)).await.is_err());
        }
    }

    #[test]
    fn an_endpoint_may_end_in_a_slash() {
        for endpoint in ["https://api.example/fic-eri", "https://api.example/fic-eri/"] {
            let endpoint = Url::parse(endpoint).expect("a URL");
            assert_eq!(join(&endpoint, ["v1", "things"]).as_str(), "https://api.example/fic-eri/v1/things");
        }
    }
}
