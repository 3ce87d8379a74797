//! The client of the FIC API: sign in, list, create, show, delete, and ask why an operation failed.
//!
//! - [`transport`]: one HTTP call, bounded in every way.
//! - [`keystone`] and [`tokens`]: signing in, and the tokens in hand.
//! - [`wire`]: the JSON, and what is made of it.
//! - [`http`]: who carries a request and brings the answer.
//! - [`call`]: the names of the calls.

pub mod call;
pub mod http;
mod keystone;
mod tokens;
mod transport;
mod wire;

use std::sync::Arc;
use std::time::Instant;

use reqwest::header::HeaderValue;
use reqwest::{Certificate, Method, StatusCode, Url};
use secrecy::{ExposeSecret, SecretString};

use crate::api::credentials::Credentials;
use crate::api::plan::Menu;
use crate::domain::contract::{Contract, ContractId};
use crate::domain::error::{FicError, WriteOutcome};
use crate::leader_election::Leadership;
use crate::metrics::Metrics;
use call::Call;
use http::{Http, HttpClient, TransportError};
use tokens::Tokens;
pub use transport::Limits;
use transport::{Reply, Transport, join, request, retry_after};
use wire::Asked;

/// Whose contract a call is about, and with which credentials it is made.
#[derive(Clone, Debug)]
pub struct Access {
    /// The tenant.
    pub tenant: Box<str>,
    /// The credentials.
    pub credentials: Credentials,
}

/// The client.
pub struct FicClient {
    transport: Transport,
    tokens: Tokens,
    endpoints: Endpoints,
    metrics: Arc<Metrics>,
}

const SERVICES: [&str; 2] = ["v1", "premium-professional-support-services"];

/// A call that did not get an answer.
enum Miss {
    /// It was never made.
    NotSent(FicError),
    /// It was made, and no answer came.
    Lost(FicError),
}

impl Miss {
    fn into_trouble(self) -> FicError {
        match self {
            Self::NotSent(trouble) | Self::Lost(trouble) => trouble,
        }
    }
}

/// Where FIC is.
#[derive(Clone, Debug)]
pub struct Endpoints {
    /// The API of FIC.
    pub fic: Url,
    /// Keystone.
    pub keystone: Url,
}

impl FicClient {
    /// Sets a client up that trusts these roots beside those of the system.
    ///
    /// # Errors
    /// When no HTTP client can be made, such as when the trusted roots cannot be read.
    pub fn new(
        endpoints: Endpoints,
        roots: Vec<Certificate>,
        limits: Limits,
        metrics: Arc<Metrics>,
    ) -> Result<Self, reqwest::Error> {
        Ok(Self::with_http_client(Box::new(Http::new(roots)?), endpoints, limits, metrics))
    }

    /// Sets a client up whose requests go by this http.
    pub fn with_http_client(
        http: Box<dyn HttpClient>,
        endpoints: Endpoints,
        limits: Limits,
        metrics: Arc<Metrics>,
    ) -> Self {
        let transport = Transport::new(http, limits);
        Self { transport, tokens: Tokens::default(), endpoints, metrics }
    }

    /// The contracts of the tenant: none or one.
    ///
    /// # Errors
    /// Whatever keeps it from being known.
    pub async fn list(&self, access: &Access) -> Result<Vec<Contract>, FicError> {
        let url = join(&self.endpoints.fic, SERVICES);
        let answer = self.call(Call::List, access, Method::GET, &url, None, None).await.map_err(Miss::into_trouble)?;
        match answer.status {
            200 => answer.read(access, wire::contracts),
            _ => Err(answer.trouble),
        }
    }

    /// The contract, or none where FIC says that there is none of this id.
    ///
    /// # Errors
    /// Whatever keeps it from being known.
    pub async fn show(&self, access: &Access, id: &ContractId) -> Result<Option<Contract>, FicError> {
        let url = self.service(id);
        let answer = self.call(Call::Show, access, Method::GET, &url, None, None).await.map_err(Miss::into_trouble)?;
        match answer.status {
            200 => answer.read(access, |body, asked| wire::this_contract(body, asked, id)).map(Some),
            404 => Ok(None),
            _ => Err(answer.trouble),
        }
    }

    /// Buys the menu.
    pub async fn create(&self, access: &Access, menu: Menu, lead: &Leadership) -> WriteOutcome<Contract> {
        let url = join(&self.endpoints.fic, SERVICES);
        let body = wire::create_body(menu);
        match self.call(Call::Create, access, Method::POST, &url, Some(&body), Some(lead)).await {
            Err(Miss::NotSent(trouble)) => WriteOutcome::NotSent(trouble),
            Err(Miss::Lost(trouble)) => WriteOutcome::Unknown(trouble),
            Ok(answer) if is_success(answer.status) => match answer.read(access, wire::one_contract) {
                Ok(contract) => WriteOutcome::Accepted(contract),
                Err(trouble) => WriteOutcome::Unknown(trouble),
            },
            Ok(answer) => WriteOutcome::from_error(answer.trouble),
        }
    }

    /// Abolishes the contract. One that FIC does not know counts as accepted: whether it is gone is for the looks to say.
    pub async fn delete(&self, access: &Access, id: &ContractId, lead: &Leadership) -> WriteOutcome<()> {
        let url = self.service(id);
        match self.call(Call::Delete, access, Method::DELETE, &url, None, Some(lead)).await {
            Err(Miss::NotSent(trouble)) => WriteOutcome::NotSent(trouble),
            Err(Miss::Lost(trouble)) => WriteOutcome::Unknown(trouble),
            Ok(answer) if is_success(answer.status) || answer.status == 404 => WriteOutcome::Accepted(()),
            Ok(answer) => WriteOutcome::from_error(answer.trouble),
        }
    }

    /// Why the last operation on the contract failed, where FIC tells. It explains and never decides, so trouble is no more than
    /// not knowing.
    pub async fn explain(&self, access: &Access, id: &ContractId) -> Option<Box<str>> {
        let mut url = join(&self.endpoints.fic, ["v1", "operations"]);
        url.query_pairs_mut().append_pair("resourceId", id.as_str());
        let answer = self.call(Call::Operations, access, Method::GET, &url, None, None).await.ok()?;
        let newest_error = |body: &[u8], asked: Asked<'_>| wire::newest_error(body, id, asked.secrets);
        (answer.status == 200).then(|| answer.read(access, newest_error)).flatten()
    }

    fn service(&self, id: &ContractId) -> Url {
        join(&self.endpoints.fic, SERVICES.into_iter().chain([id.as_str()]))
    }

    /// One call with a token in hand, and once more with a fresh one when it is answered 401.
    async fn call(
        &self,
        call: Call,
        access: &Access,
        method: Method,
        url: &Url,
        body: Option<&serde_json::Value>,
        lead: Option<&Leadership>,
    ) -> Result<Answer, Miss> {
        let mut fresh = false;
        loop {
            let token = self.token(access).await.map_err(Miss::NotSent)?;
            let reply = self.exchange(call, method.clone(), url, &token, body, lead).await?;
            if reply.status == StatusCode::UNAUTHORIZED.as_u16() && !fresh {
                self.tokens.discard(access, &token).await;
                fresh = true;
                continue;
            }
            return Ok(Answer::new(reply, token, &access.credentials));
        }
    }

    async fn exchange(
        &self,
        call: Call,
        method: Method,
        url: &Url,
        token: &SecretString,
        body: Option<&serde_json::Value>,
        lead: Option<&Leadership>,
    ) -> Result<Reply, Miss> {
        let mut header = HeaderValue::from_str(token.expose_secret())
            .map_err(|_| Miss::NotSent(unavailable("a token that does not fit a header".into())))?;
        header.set_sensitive(true);
        let mut request = request(method, url.clone(), body);
        request.headers_mut().insert("x-auth-token", header);
        let began = Instant::now();
        let reply = self.transport.send(request, lead).await;
        let outcome = match &reply {
            Ok(reply) => status_class(reply.status),
            Err(TransportError::NotSent(_)) => "not_sent",
            Err(TransportError::Lost(_)) => "lost",
        };
        self.metrics.called(call, outcome, began.elapsed());
        reply.map_err(|silence| match silence {
            TransportError::NotSent(what) => Miss::NotSent(unavailable(what)),
            TransportError::Lost(what) => Miss::Lost(unavailable(what)),
        })
    }

    async fn token(&self, access: &Access) -> Result<SecretString, FicError> {
        self.tokens
            .get(access, || async {
                let began = Instant::now();
                let signed_in =
                    keystone::sign_in(&self.transport, &self.endpoints.keystone, &access.credentials, &access.tenant)
                        .await;
                let outcome = signed_in.as_ref().map_or_else(FicError::category, |_| "2xx");
                self.metrics.called(Call::SignIn, outcome, began.elapsed());
                signed_in
            })
            .await
    }
}

/// An answer, with the trouble it stands for should it not be the success that was hoped for.
struct Answer {
    status: u16,
    body: Vec<u8>,
    trouble: FicError,
    /// What it was asked with: an answer may repeat it.
    token: SecretString,
}

impl Answer {
    fn new(reply: Reply, token: SecretString, credentials: &Credentials) -> Self {
        let secrets = [&token, &credentials.api_key, &credentials.api_secret];
        let words = if is_success(reply.status) { Box::default() } else { wire::words(&reply.body, &secrets) };
        let trouble = FicError::from_status(reply.status, words, retry_after(&reply.headers));
        Self { status: reply.status, body: reply.body, trouble, token }
    }

    fn read<T>(&self, access: &Access, read: impl FnOnce(&[u8], Asked<'_>) -> T) -> T {
        let secrets = [&self.token, &access.credentials.api_key, &access.credentials.api_secret];
        read(&self.body, Asked { tenant: &access.tenant, secrets: &secrets })
    }
}

fn unavailable(what: Box<str>) -> FicError {
    FicError::Unavailable { what, retry_after: None }
}

fn is_success(status: u16) -> bool {
    (200..300).contains(&status)
}

fn status_class(status: u16) -> &'static str {
    match status {
        200..=299 => "2xx",
        300..=399 => "3xx",
        401 => "401",
        403 => "403",
        404 => "404",
        409 => "409",
        429 => "429",
        400..=499 => "4xx",
        500..=599 => "5xx",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_tells_apart_what_one_would_act_on() {
        for (status, class) in [
            (200, "2xx"),
            (202, "2xx"),
            (302, "3xx"),
            (400, "4xx"),
            (401, "401"),
            (403, "403"),
            (404, "404"),
            (409, "409"),
            (418, "4xx"),
            (429, "429"),
            (500, "5xx"),
            (503, "5xx"),
            (600, "other"),
        ] {
            assert_eq!(status_class(status), class);
        }
    }
}
