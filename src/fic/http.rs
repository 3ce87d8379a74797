//! Who carries a request to FIC and brings the answer back: HTTP, or a stand-in that a test sets up.
//!
//! The bounds of a call (time, size, pace, lead) are kept by the transport above, whoever carries.

use std::fmt::Write as _;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use reqwest::{Certificate, Client, Request, Response};

/// How long a connection may take to stand.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an unused connection is kept: shorter than gateways do, so that a create does not go out on one that is closing.
const IDLE_TIMEOUT: Duration = Duration::from_secs(20);

/// No answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TransportError {
    /// The request never went out.
    NotSent(Box<str>),
    /// The request may have been carried out.
    Lost(Box<str>),
}

/// Carries requests.
pub trait HttpClient: Send + Sync {
    /// Sends a request; comes back with the head of the answer.
    fn execute(&self, request: Request) -> BoxFuture<'static, Result<Response, TransportError>>;
}

/// Carries requests over HTTP.
pub(super) struct Http(Client);

impl Http {
    pub(super) fn new(roots: Vec<Certificate>) -> Result<Self, reqwest::Error> {
        let client = Client::builder()
            .user_agent(crate::USER_AGENT)
            // A redirect would carry the token to an address that is not among the operator's own flags.
            .redirect(reqwest::redirect::Policy::none())
            // Whether to send again is for a decision to say, never for the transport.
            .retry(reqwest::retry::never())
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .tls_certs_merge(roots)
            .build()?;
        Ok(Self(client))
    }
}

impl HttpClient for Http {
    fn execute(&self, request: Request) -> BoxFuture<'static, Result<Response, TransportError>> {
        let client = self.0.clone();
        async move {
            client.execute(request).await.map_err(|error| {
                let what = describe(&error);
                if error.is_connect() || error.is_builder() {
                    TransportError::NotSent(what)
                } else {
                    TransportError::Lost(what)
                }
            })
        }
        .boxed()
    }
}

/// What went wrong, by its causes and without the address, which stands in the operator's flags.
pub(super) fn describe(error: &reqwest::Error) -> Box<str> {
    let mut text = String::from(if error.is_timeout() {
        "time-out"
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
    crate::text::words(&text, &[])
}
