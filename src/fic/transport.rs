//! Sends one HTTP request with all limits: rate, leadership, time and size. The error says whether the request was
//! sent.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Body, Method, Request, StatusCode, Url};
use secrecy::{ExposeSecret, SecretString};
use tokio::time::{Instant, timeout_at};
use zeroize::Zeroizing;

use crate::fic::http::{HttpClient, TransportError, describe};
use crate::fic::metrics::FicMetrics;
use crate::fic::rate_limit::RateLimiter;
use crate::fic::response::Response;
use crate::fic::{Access, MaySend};
use crate::text::sanitize_word;

/// The largest response body that is read.
const MAX_BODY_SIZE: usize = 1024 * 1024;

/// What some software writes in front of JSON. It is not part of the text (RFC 8259).
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// The limits of all requests.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The time from sending a request to the end of its response.
    pub request_timeout: Duration,
    /// Requests per second of all tenants together; 0: no limit.
    pub requests_per_second: u32,
    /// The number of tenants whose requests must fail, with none that is answered, to hold requests back.
    pub failing_tenants: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { request_timeout: Duration::from_secs(30), requests_per_second: 50, failing_tenants: 10 }
    }
}

/// Sends requests within the limits.
pub(super) struct Transport {
    http_client: Box<dyn HttpClient>,
    rate_limiter: Arc<RateLimiter>,
    request_timeout: Duration,
    metrics: FicMetrics,
}

impl Transport {
    pub(super) fn new(
        http_client: Box<dyn HttpClient>,
        rate_limiter: Arc<RateLimiter>,
        request_timeout: Duration,
        metrics: FicMetrics,
    ) -> Self {
        Self { http_client, rate_limiter, request_timeout, metrics }
    }

    /// Sends a request for this tenant and reads its response.
    ///
    /// `may_send` is called after every wait, right before the request is sent: a process that was frozen while it
    /// waited must not send.
    pub(super) async fn send(
        &self,
        access: &Access,
        request: Request,
        may_send: MaySend<'_>,
    ) -> Result<Response, TransportError> {
        let began = Instant::now();
        self.rate_limiter.acquire(&access.namespace, access.ticket).await;
        if !may_send() {
            return Err(TransportError::NotLeader);
        }
        let _active = self.metrics.begin(began.elapsed());
        let deadline = Instant::now() + self.request_timeout;
        let timed_out =
            || TransportError::no_response(format!("no complete response within {:?}", self.request_timeout));
        let execute = self.http_client.execute(request);
        let mut response = timeout_at(deadline, execute).await.unwrap_or_else(|_| Err(timed_out()))?;
        let status = response.status();
        if status == StatusCode::TOO_MANY_REQUESTS {
            self.rate_limiter.slow_down(&access.tenant);
        }
        let mut body = match timeout_at(deadline, read(&mut response)).await.unwrap_or_else(|_| Err(timed_out())) {
            // The status alone says that FIC refused the request, so a missing body does not make the outcome unknown.
            Err(_) if !status.is_success() => Vec::new(),
            body => body?,
        };
        if body.starts_with(BYTE_ORDER_MARK) {
            body.drain(..BYTE_ORDER_MARK.len());
        }
        Ok(Response { status: status.as_u16(), headers: std::mem::take(response.headers_mut()), body })
    }
}

async fn read(response: &mut reqwest::Response) -> Result<Vec<u8>, TransportError> {
    if let Some(encoding) = encoding(response.headers()) {
        let message =
            format!("the response cannot be read: its encoding is {encoding}, which the request does not allow");
        return Err(TransportError::no_response(message));
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| TransportError::no_response(describe(&error)))? {
        if body.len() + chunk.len() > MAX_BODY_SIZE {
            return Err(TransportError::no_response("the response is larger than 1 MiB"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// The encoding of a body that is not plain. A body is never decoded: a few bytes could become gigabytes.
fn encoding(headers: &HeaderMap) -> Option<Box<str>> {
    let values = headers.get_all(CONTENT_ENCODING).iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
    let encoded = values.map(|value| sanitize_word(&value, &[]));
    encoded.into_iter().find(|value| !value.is_empty() && !value.eq_ignore_ascii_case("identity"))
}

/// The header of a request with a secret. It is not shown, and overwritten when it is dropped.
pub(super) fn secret_header(value: &SecretString) -> Option<HeaderValue> {
    let mut header = HeaderValue::from_maybe_shared(secret_bytes(Zeroizing::new(value.expose_secret().into()))).ok()?;
    header.set_sensitive(true);
    Some(header)
}

/// Bytes that are overwritten when the last copy is dropped.
pub(super) fn secret_bytes(bytes: Zeroizing<Vec<u8>>) -> Bytes {
    Bytes::from_owner(bytes)
}

/// Builds a request with a JSON body or none.
pub(super) fn request(method: Method, url: Url, body: Option<Body>) -> Request {
    let mut request = Request::new(method, url);
    request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    // A request that does not name the encodings allows every one.
    request.headers_mut().insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    *request.body_mut() = body;
    request
}

/// Appends path segments to an endpoint, whether or not it ends in a slash.
pub(super) fn append_path<'a>(endpoint: &Url, segments: impl IntoIterator<Item = &'a str>) -> Url {
    let mut url = endpoint.clone();
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().extend(segments);
    }
    url
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::FutureExt;
    use futures::future::BoxFuture;
    use http_body_util::StreamBody;
    use hyper::body::Frame;

    use super::*;
    use crate::api::credentials::Credentials;

    /// Counts the requests and returns an empty response to each.
    struct CountingClient(&'static AtomicUsize);

    impl HttpClient for CountingClient {
        fn execute(&self, _: Request) -> BoxFuture<'static, Result<reqwest::Response, TransportError>> {
            self.0.fetch_add(1, Ordering::Relaxed);
            async { Ok(http::Response::new(Vec::new()).into()) }.boxed()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn leadership_lost_while_request_waits_for_rate_limit_prevents_sending() {
        static SENT: AtomicUsize = AtomicUsize::new(0);
        let (client, rate_limiter) = (Box::new(CountingClient(&SENT)), Arc::new(RateLimiter::new(1)));
        let transport = Transport::new(client, rate_limiter, Duration::from_secs(5), FicMetrics::default());
        let lost_at = Instant::now() + Duration::from_millis(500);
        let access = Access {
            namespace: "team".into(),
            ticket: 1,
            tenant: "a".into(),
            credentials: Credentials::new("key", "secret"),
        };
        let may_send = || Instant::now() < lost_at;
        let send =
            || transport.send(&access, Request::new(Method::POST, "http://fic".parse().expect("a URL")), &may_send);
        assert!(send().await.is_ok());
        assert!(matches!(send().await, Err(TransportError::NotLeader)));
        assert_eq!(SENT.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn response_of_one_mebibyte_is_read_and_larger_one_is_not() {
        let in_parts = |parts: &[usize]| {
            let frames = parts.iter().map(|size| Ok::<_, std::io::Error>(Frame::data(Bytes::from(vec![b' '; *size]))));
            let body = StreamBody::new(futures::stream::iter(frames.collect::<Vec<_>>()));
            reqwest::Response::from(http::Response::new(reqwest::Body::wrap(body)))
        };
        let half = MAX_BODY_SIZE / 2;
        for parts in [&[1024 * 1024][..], &[half, half]] {
            assert_eq!(read(&mut in_parts(parts)).await.expect("it is read").len(), 1024 * 1024);
        }
        for parts in [&[1024 * 1024 + 1][..], &[half, half, 1]] {
            assert!(read(&mut in_parts(parts)).await.is_err());
        }
    }

    #[test]
    fn endpoint_may_end_in_slash() {
        for endpoint in ["https://api.example/fic-eri", "https://api.example/fic-eri/"] {
            let endpoint = Url::parse(endpoint).expect("a URL");
            assert_eq!(append_path(&endpoint, ["v1", "things"]).as_str(), "https://api.example/fic-eri/v1/things");
        }
    }
}
