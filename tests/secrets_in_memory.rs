//! No copy of a secret remains in the memory of the process after its last use.
//!
//! The test searches its own memory. It holds the secrets only in a form in which they do not match.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test stops at the first unexpected result")]

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use fic_support_operator::api::credentials::CredentialsSecret;
use fic_support_operator::domain::error::FicError;
use fic_support_operator::fic::http::{HttpClient, TransportError};
use fic_support_operator::fic::metrics::FicMetrics;
use fic_support_operator::fic::{Access, Endpoints, FicClient, Limits};
use futures::FutureExt;
use futures::future::BoxFuture;
use http::HeaderValue;
use reqwest::{Request, Response};
use zeroize::Zeroizing;

/// Longer than most of what the process allocates, which would overwrite memory that is free.
const LENGTH: usize = 1000;
/// The allocator overwrites the first bytes of memory that is free, so only the end of a secret is searched.
const SEARCHED: usize = 24;
const CHUNK: usize = 1 << 20;

/// A random secret, in a form that is not found when the secret is searched.
struct Masked(Vec<u8>);

impl Masked {
    fn random() -> Self {
        Self((0..LENGTH).map(|_| !(fastrand::alphanumeric() as u8)).collect())
    }

    fn reveal(&self) -> Zeroizing<Vec<u8>> {
        let mut revealed = Zeroizing::new(Vec::with_capacity(LENGTH));
        revealed.extend(self.0.iter().map(|byte| !byte));
        revealed
    }

    /// How often the end of the secret occurs in the writable memory of this process.
    fn occurrences(&self) -> usize {
        let end = &self.0[LENGTH - SEARCHED..];
        let mut memory = File::open("/proc/self/mem").unwrap();
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let mut buffer = vec![0; CHUNK + SEARCHED];
        let own = buffer.as_ptr().addr()..buffer.as_ptr().addr() + buffer.len();
        let mut found = 0;
        for line in maps.lines().filter(|line| line.contains(" rw")) {
            let (from, rest) = line.split_once('-').unwrap();
            let parse = |text: &str| usize::from_str_radix(text, 16).unwrap();
            let (from, to) = (parse(from), parse(rest.split_once(' ').unwrap().0));
            for start in (from..to).step_by(CHUNK) {
                let size = (to - start).min(buffer.len());
                memory.seek(SeekFrom::Start(start as u64)).unwrap();
                if memory.read_exact(&mut buffer[..size]).is_err() {
                    continue;
                }
                // A match that begins in the overlap of two chunks is counted in the second.
                let matches = buffer[..size].windows(SEARCHED).take(CHUNK).enumerate().filter(|(offset, window)| {
                    !own.contains(&(start + offset)) && window.iter().zip(end).all(|(byte, masked)| *byte == !masked)
                });
                found += matches.count();
            }
        }
        found
    }
}

/// Returns a token to the sign-in and 400 to every other request. Counts the requests that contain their secret.
struct Server {
    token: Arc<Masked>,
    api_secret: Arc<Masked>,
    complete_requests: Arc<AtomicUsize>,
}

impl HttpClient for Server {
    fn execute(&self, request: Request) -> BoxFuture<'static, Result<Response, TransportError>> {
        let is_sign_in = request.url().path().contains("auth/tokens");
        let mut response = http::Response::builder().status(if is_sign_in { 201 } else { 400 });
        let is_complete = if is_sign_in {
            let token = HeaderValue::from_maybe_shared(Bytes::from_owner(self.token.reveal())).unwrap();
            response = response.header("x-subject-token", token);
            let body = request.body().and_then(reqwest::Body::as_bytes).unwrap();
            assert_eq!(
                self.api_secret.occurrences(),
                2,
                "the credentials and the body of the request contain the API secret"
            );
            body.windows(LENGTH).any(|window| window == &**self.api_secret.reveal())
        } else {
            let header = &request.headers()["x-auth-token"];
            header.is_sensitive() && header.as_bytes() == &**self.token.reveal()
        };
        self.complete_requests.fetch_add(usize::from(is_complete), Ordering::Relaxed);
        async move { Ok(response.body("{\"message\":\"refused\"}").unwrap().into()) }.boxed()
    }
}

/// Decodes a Secret and makes a call that is refused, so that its message is searched for secrets.
async fn call(api_secret: &Arc<Masked>, token: &Arc<Masked>) {
    let mut json = Zeroizing::new(String::with_capacity(4096));
    json.push_str(r#"{"metadata":{},"data":{"apiKey":"a2V5","apiSecret":""#);
    STANDARD.encode_string(&*api_secret.reveal(), &mut json);
    json.push_str("\"}}");
    let secret: CredentialsSecret = serde_json::from_str(&json).unwrap();
    drop(json);
    let credentials = secret.credentials.0.unwrap();
    assert_eq!(api_secret.occurrences(), 1, "decoding leaves copies of the API secret");
    let complete_requests = Arc::new(AtomicUsize::new(0));
    let server = Server {
        token: Arc::clone(token),
        api_secret: Arc::clone(api_secret),
        complete_requests: Arc::clone(&complete_requests),
    };
    let endpoints = Endpoints { fic: "http://fic/f".parse().unwrap(), keystone: "http://fic/k".parse().unwrap() };
    let limits = Limits { request_timeout: Duration::from_secs(5), requests_per_second: 0, ..Limits::default() };
    let fic = FicClient::with_http_client(Box::new(server), endpoints, limits, FicMetrics::default());
    let listed = fic.list(&Access { namespace: "team".into(), ticket: 1, tenant: "tenant".into(), credentials }).await;
    assert_eq!(listed, Err(FicError::Rejected { message: "refused".into() }));
    assert_eq!(complete_requests.load(Ordering::Relaxed), 2, "both requests contain their secret");
}

#[tokio::test]
async fn no_copy_of_a_secret_remains_in_memory() {
    let (api_secret, token) = (Arc::new(Masked::random()), Arc::new(Masked::random()));
    let copy = api_secret.reveal();
    assert_eq!(api_secret.occurrences(), 1, "the search finds a copy");
    drop(copy);
    assert_eq!(api_secret.occurrences(), 0, "the test itself leaves no copy");
    call(&api_secret, &token).await;
    assert_eq!(api_secret.occurrences(), 0, "copies of the API secret remain");
    assert_eq!(token.occurrences(), 0, "copies of the token remain");
}
