//! Executes a request over HTTP, or with a replacement that a test provides.
//!
//! [`crate::fic::transport`] applies the limits (time, size, rate, leadership) to every [`HttpClient`].

use std::fmt::Write as _;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use reqwest::{Certificate, Client, Request, Response};

use crate::domain::error::{FicError, WriteOutcome};
use crate::fic::NotLeader;
use crate::proxy::Proxies;
use crate::text::sanitize_message;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an unused connection stays open: shorter than gateways keep it, so that a create request is not sent on a
/// connection that the gateway is closing.
const IDLE_TIMEOUT: Duration = Duration::from_secs(20);
/// How often the server of an HTTP/2 connection with requests must answer a ping, and how soon.
const PING_INTERVAL: Duration = Duration::from_secs(5);
const PING_TIMEOUT: Duration = Duration::from_secs(5);

/// Why a request has no response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TransportError {
    /// The request was not sent: FIC did not execute it.
    NotSent(FicError),
    /// The request was sent and no complete response arrived: FIC may have executed it.
    NoResponse(FicError),
    /// The request was not sent because this replica does not hold the lease.
    NotLeader,
}

impl TransportError {
    /// A request that was not sent.
    pub fn not_sent(message: impl Into<Box<str>>) -> Self {
        Self::NotSent(FicError::unavailable(message))
    }

    /// A request without a complete response.
    pub fn no_response(message: impl Into<Box<str>>) -> Self {
        Self::NoResponse(FicError::unavailable(message))
    }

    /// The outcome of a write request that failed with this error.
    pub(super) fn into_write_outcome<T>(self) -> Result<WriteOutcome<T>, NotLeader> {
        match self {
            Self::NotSent(error) => Ok(WriteOutcome::NotSent(error)),
            Self::NoResponse(error) => Ok(WriteOutcome::Unknown(error)),
            Self::NotLeader => Err(NotLeader),
        }
    }
}

impl From<TransportError> for FicError {
    fn from(error: TransportError) -> Self {
        match error {
            TransportError::NotSent(error) | TransportError::NoResponse(error) => error,
            TransportError::NotLeader => Self::unavailable(NotLeader.to_string()),
        }
    }
}

/// Executes requests.
pub trait HttpClient: Send + Sync {
    /// Sends a request and returns the response once its headers have arrived.
    fn execute(&self, request: Request) -> BoxFuture<'static, Result<Response, TransportError>>;
}

/// The HTTP client of the operator.
pub(super) struct Http(Client);

impl Http {
    pub(super) fn new(roots: Vec<Certificate>, proxies: Proxies) -> Result<Self, reqwest::Error> {
        let client = proxies
            .client(roots)
            // The reconcile loop decides whether to send a request again, never the HTTP client.
            .retry(reqwest::retry::never())
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(IDLE_TIMEOUT)
            // All tenants share a connection over HTTP/2. One that is dead must not hold them all up.
            .http2_keep_alive_interval(PING_INTERVAL)
            .http2_keep_alive_timeout(PING_TIMEOUT)
            .build()?;
        Ok(Self(client))
    }
}

impl HttpClient for Http {
    fn execute(&self, request: Request) -> BoxFuture<'static, Result<Response, TransportError>> {
        let client = self.0.clone();
        async move {
            client.execute(request).await.map_err(|error| {
                let message = describe(&error);
                if error.is_connect() || error.is_builder() {
                    TransportError::not_sent(message)
                } else {
                    TransportError::no_response(message)
                }
            })
        }
        .boxed()
    }
}

/// The kind of the error and its innermost cause, without the URL, which the flags already give.
pub(super) fn describe(error: &reqwest::Error) -> Box<str> {
    let mut text = String::from(if error.is_timeout() {
        "timeout"
    } else if error.is_connect() {
        "no connection"
    } else {
        "connection lost"
    });
    let mut innermost = None;
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        innermost = Some(cause);
        source = cause.source();
    }
    if let Some(cause) = innermost {
        let _ = write!(text, ": {cause}");
    }
    sanitize_message(&text, &[])
}
