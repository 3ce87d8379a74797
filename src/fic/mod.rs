//! The client of the FIC API: sign in, list, show, create and delete contracts, and read why an operation failed.
//!
//! - [`transport`], [`rate_limit`] and [`pace`]: one HTTP request within all limits.
//! - [`http`]: executes a request; a test provides a replacement.
//! - [`circuit_breaker`]: holds requests back while FIC answers no tenant.
//! - [`keystone`], [`tokens`] and [`refused_sign_ins`]: sign-in, the cache of tokens, and the limit for wrong credentials.
//! - [`wire`] and [`response`]: the JSON, and what it is parsed into.
//! - [`reader`]: the client without the calls that write, for the command `check`.
//! - [`metrics`] and [`call`]: the number and duration of requests by call.

pub mod call;
mod circuit_breaker;
pub mod http;
mod keystone;
pub mod metrics;
mod pace;
mod rate_limit;
pub mod reader;
mod refused_sign_ins;
mod response;
mod tokens;
mod transport;
mod wire;

use std::sync::Arc;

use reqwest::{Certificate, Method, Request, StatusCode, Url};
use secrecy::SecretString;
use serde_json::Value;
use thiserror::Error;
use tokio::time::Instant;
use tracing::field::Empty;
use tracing::{Instrument, Span, info_span};

use crate::api::credentials::Credentials;
use crate::api::plan::Menu;
use crate::domain::contract::{Contract, ContractId};
use crate::domain::error::{FicError, WriteOutcome};
use crate::proxy::Proxies;
use crate::telemetry;
use call::Call;
use circuit_breaker::CircuitBreaker;
use http::{Http, HttpClient, TransportError};
use keystone::Token;
use metrics::{FicMetrics, status_class};
use rate_limit::RateLimiter;
use refused_sign_ins::RefusedSignIns;
use response::{FicResponse, Response};
use tokens::TokenCache;
pub use transport::Limits;
use transport::{Transport, append_path, request, secret_header};

const SERVICES: [&str; 2] = ["v1", "premium-professional-support-services"];

/// The tenant that a call is for, and the credentials that it is made with.
#[derive(Clone, Debug)]
pub struct Access {
    /// The namespace of the plan, which shares the rate of requests with the others.
    pub namespace: Box<str>,
    /// The ticket of the plan. Of the requests of a namespace that wait, the one with the lowest number is sent first.
    pub ticket: u64,
    /// The tenant.
    pub tenant: Box<str>,
    /// The credentials.
    pub credentials: Credentials,
}

/// The addresses of the services.
#[derive(Clone, Debug)]
pub struct Endpoints {
    /// The API of FIC.
    pub fic: Url,
    /// Keystone.
    pub keystone: Url,
}

/// Whether this replica may send a write request at this moment.
pub type MaySend<'a> = &'a (dyn Fn() -> bool + Send + Sync);

/// A write request was not sent: `may_send` returned false, usually because this replica does not hold the lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("this replica does not hold the lease")]
pub struct NotLeader;

/// The client.
pub struct FicClient {
    transport: Transport,
    tokens: Arc<TokenCache>,
    refused_sign_ins: RefusedSignIns,
    circuit_breaker: CircuitBreaker,
    endpoints: Endpoints,
    metrics: FicMetrics,
}

/// A call before it has a token.
struct ApiRequest {
    call: Call,
    method: Method,
    url: Url,
    body: Option<Value>,
}

impl FicClient {
    /// Creates a client that trusts these root certificates in addition to those of the system, and uses these proxies.
    ///
    /// # Errors
    /// When the HTTP client cannot be created, for example because the root certificates cannot be read.
    pub fn new(
        endpoints: Endpoints,
        roots: Vec<Certificate>,
        proxies: Proxies,
        limits: Limits,
        metrics: FicMetrics,
    ) -> Result<Self, reqwest::Error> {
        Ok(Self::with_http_client(Box::new(Http::new(roots, proxies)?), endpoints, limits, metrics))
    }

    /// Creates a client that executes its requests with this HTTP client.
    pub fn with_http_client(
        http_client: Box<dyn HttpClient>,
        endpoints: Endpoints,
        limits: Limits,
        metrics: FicMetrics,
    ) -> Self {
        let rate_limiter = Arc::new(RateLimiter::new(limits.requests_per_second));
        let tokens = Arc::new(TokenCache::default());
        metrics.show(&rate_limiter, &tokens);
        Self {
            transport: Transport::new(http_client, rate_limiter, limits.request_timeout, metrics.clone()),
            tokens,
            refused_sign_ins: RefusedSignIns::default(),
            circuit_breaker: CircuitBreaker::new(limits.failing_tenants),
            endpoints,
            metrics,
        }
    }

    /// Lists the contracts of the tenant: none or one.
    ///
    /// # Errors
    /// When FIC does not return the list.
    pub async fn list(&self, access: &Access) -> Result<Vec<Contract>, FicError> {
        let list = async {
            let response = self.read(access, Call::List, self.services()).await?;
            match response.status {
                200 => response.parse(access, wire::parse_contract_list),
                _ => Err(response.error),
            }
        };
        self.circuit_breaker.read(&access.tenant, list).await
    }

    /// Shows the contract; none if FIC returns 404 for this id.
    ///
    /// # Errors
    /// When FIC returns neither the contract nor 404.
    pub async fn show(&self, access: &Access, id: &ContractId) -> Result<Option<Contract>, FicError> {
        let show = async {
            let response = self.read(access, Call::Show, self.service(id)).await?;
            match response.status {
                200 => response.parse(access, |body, context| wire::parse_contract_of(body, context, id)).map(Some),
                404 => Ok(None),
                _ => Err(response.error),
            }
        };
        self.circuit_breaker.read(&access.tenant, show).await
    }

    /// Creates a contract with this menu.
    ///
    /// # Errors
    /// When `may_send` returns false; then nothing was sent.
    pub async fn create(
        &self,
        access: &Access,
        menu: Menu,
        may_send: MaySend<'_>,
    ) -> Result<WriteOutcome<Contract>, NotLeader> {
        let body = Some(wire::create_body(menu));
        let request = ApiRequest { call: Call::Create, method: Method::POST, url: self.services(), body };
        match self.send(access, &request, may_send).await {
            Ok(response) if response.is_success() => Ok(match response.parse(access, wire::parse_contract) {
                Ok(contract) => WriteOutcome::Accepted(contract),
                Err(error) => WriteOutcome::Unknown(error),
            }),
            Ok(response) => Ok(WriteOutcome::from_error(response.error)),
            Err(error) => error.into_write_outcome(),
        }
    }

    /// Deletes the contract. 404 counts as accepted: later reads confirm that the contract does not exist.
    ///
    /// # Errors
    /// When `may_send` returns false; then nothing was sent.
    pub async fn delete(
        &self,
        access: &Access,
        id: &ContractId,
        may_send: MaySend<'_>,
    ) -> Result<WriteOutcome<()>, NotLeader> {
        let request = ApiRequest { call: Call::Delete, method: Method::DELETE, url: self.service(id), body: None };
        match self.send(access, &request, may_send).await {
            Ok(response) if response.is_success() || response.status == 404 => Ok(WriteOutcome::Accepted(())),
            Ok(response) => Ok(WriteOutcome::from_error(response.error)),
            Err(error) => error.into_write_outcome(),
        }
    }

    /// Reads why the last operation on the contract failed, if FIC says so.
    ///
    /// The text is only shown to people and no decision depends on it, so an error of this call counts as no text.
    pub async fn operation_error(&self, access: &Access, id: &ContractId) -> Option<Box<str>> {
        let mut url = append_path(&self.endpoints.fic, ["v1", "operations"]);
        url.query_pairs_mut().append_pair("resourceId", id.as_str());
        let response = self.read(access, Call::Operations, url).await.ok()?;
        if response.status != 200 {
            return None;
        }
        response.parse(access, |body, context| wire::latest_operation_error(body, context, id))
    }

    fn services(&self) -> Url {
        append_path(&self.endpoints.fic, SERVICES)
    }

    fn service(&self, id: &ContractId) -> Url {
        append_path(&self.endpoints.fic, SERVICES.into_iter().chain([id.as_str()]))
    }

    /// Sends a call that changes nothing, whether or not this replica holds the lease.
    async fn read(&self, access: &Access, call: Call, url: Url) -> Result<FicResponse, TransportError> {
        self.send(access, &ApiRequest { call, method: Method::GET, url, body: None }, &|| true).await
    }

    /// Sends a call with the cached token, and once more with a new token if FIC returns 401.
    async fn send(
        &self,
        access: &Access,
        request: &ApiRequest,
        may_send: MaySend<'_>,
    ) -> Result<FicResponse, TransportError> {
        let mut is_retry = false;
        loop {
            let token = self.token(access).await.map_err(TransportError::NotSent)?;
            let response = self.send_once(access, request.call, request.with_token(&token)?, may_send).await?;
            if response.status == StatusCode::UNAUTHORIZED.as_u16() && !is_retry {
                self.tokens.discard(access, &token).await;
                is_retry = true;
                continue;
            }
            return Ok(FicResponse::new(response, token, access));
        }
    }

    /// Sends one request, and records it in the metrics and the trace.
    async fn send_once(
        &self,
        access: &Access,
        call: Call,
        request: Request,
        may_send: MaySend<'_>,
    ) -> Result<Response, TransportError> {
        let began = Instant::now();
        let span = request_span(call);
        let response = self.transport.send(access, request, may_send).instrument(span.clone()).await;
        let outcome = match &response {
            Ok(response) => status_class(response.status),
            Err(TransportError::NotSent(_) | TransportError::NotLeader) => "not_sent",
            Err(TransportError::NoResponse(_)) => "lost",
        };
        span.record("http.response.status_code", response.as_ref().ok().map(|response| response.status));
        span.record("outcome", outcome);
        self.metrics.record(call, outcome, began.elapsed());
        response
    }

    async fn token(&self, access: &Access) -> Result<SecretString, FicError> {
        let sign_in = |cause| {
            let sign_in = move || {
                self.metrics.record_token_request(cause);
                self.sign_in(access)
            };
            self.refused_sign_ins.sign_in(access.credentials.fingerprint, sign_in)
        };
        self.tokens.get(access, sign_in).await
    }

    async fn sign_in(&self, access: &Access) -> Result<Token, FicError> {
        let request = keystone::sign_in_request(&self.endpoints.keystone, access)?;
        let sent_at = Instant::now();
        let response = self.send_once(access, Call::SignIn, request, &|| true).await;
        keystone::parse_token(response, sent_at, access)
    }
}

/// The span of a request, with what may be known of it.
fn request_span(call: Call) -> Span {
    let call = <&str>::from(call);
    info_span!(
        target: telemetry::TARGET,
        "request",
        otel.name = call,
        otel.kind = "client",
        call,
        outcome = Empty,
        http.response.status_code = Empty,
    )
}

impl ApiRequest {
    fn with_token(&self, token: &SecretString) -> Result<Request, TransportError> {
        let header = secret_header(token)
            .ok_or_else(|| TransportError::not_sent("Keystone: the token does not fit into an HTTP header"))?;
        let body = self.body.as_ref().map(|body| body.to_string().into());
        let mut request = request(self.method.clone(), self.url.clone(), body);
        request.headers_mut().insert("x-auth-token", header);
        Ok(request)
    }
}
