//! Executes a request under a fault and builds the HTTP response.

use std::time::Duration;

use bytes::Bytes;
use futures::stream::{self, StreamExt};
use hyper::Response;
use hyper::header::{LOCATION, RETRY_AFTER};
use tokio::time::sleep;

use crate::SharedState;
use crate::body::{JSON, ResponseBody, body_text, build, single_chunk, unchanged};
use crate::control;
use crate::faults::Kind;
use crate::fic::{self, ResponseFault};
use crate::keystone;
use crate::log::Call;
use crate::response::ApiResponse;
use crate::server::{self, ApiRequest};

/// A fault closed the connection without a response.
#[derive(Debug)]
pub struct ConnectionClosed;

impl std::fmt::Display for ConnectionClosed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a fault closed the connection")
    }
}

impl std::error::Error for ConnectionClosed {}

/// A logged request in execution.
pub(crate) struct Execution<'a> {
    pub(crate) state: &'a SharedState,
    pub(crate) request: &'a ApiRequest,
    /// The index of the request in the log.
    pub(crate) log_index: usize,
}

impl Execution<'_> {
    /// Executes the request and applies the fault, if any.
    pub(crate) async fn respond(&self, fault: Option<Kind>) -> Result<Response<ResponseBody>, ConnectionClosed> {
        let none = ResponseFault::none();
        let Some(fault) = fault else { return Ok(unchanged(&self.execute(none))) };
        Ok(match fault {
            Kind::Status { code, body, retry_after } => self.status(code, body, retry_after),
            Kind::DropBefore => return Err(ConnectionClosed),
            Kind::DropAfter => {
                self.execute(none);
                self.state.lock().log.update(self.log_index, |entry| entry.status = None);
                return Err(ConnectionClosed);
            }
            Kind::Hang { ms, effect_first } => self.hang(ms, effect_first).await,
            Kind::Garbage => {
                let invalid = "{\"professionalSupportService\":{\"id\":";
                build(self.execute(none).status, JSON, None, single_chunk(invalid.into()))
            }
            Kind::Html { code, effect_first } => {
                if effect_first {
                    self.execute(none);
                }
                self.log_status(code);
                let page = "<html><body><h1>Bad Gateway</h1></body></html>";
                build(code, "text/html", None, single_chunk(page.into()))
            }
            Kind::Huge { mib } => {
                self.log_status(200);
                let chunk = Bytes::from(vec![b' '; 64 * 1024]);
                build(200, JSON, None, Box::pin(stream::repeat(chunk).take(mib * 16)))
            }
            Kind::SlowDrip { interval_ms } => self.slow_drip(interval_ms),
            Kind::Redirect { to } => {
                self.log_status(302);
                build(302, "text/plain", Some((LOCATION, to)), single_chunk(String::new()))
            }
            Kind::Empty => build(self.execute(none).status, JSON, None, single_chunk(String::new())),
            Kind::WrongTenant => unchanged(&self.execute(ResponseFault { wrong_tenant: true, ..none })),
            Kind::WrongId => unchanged(&self.execute(ResponseFault { wrong_id: true, ..none })),
            Kind::Lag { ms } => {
                let as_of = none.as_of.checked_sub(Duration::from_millis(ms)).unwrap_or(none.as_of);
                unchanged(&self.execute(ResponseFault { as_of, ..none }))
            }
            Kind::WrongAbsence => unchanged(&self.execute(ResponseFault { wrong_absence: true, ..none })),
        })
    }

    fn status(&self, code: u16, body: Option<String>, retry_after: Option<String>) -> Response<ResponseBody> {
        self.log_status(code);
        let body = body.unwrap_or_else(|| body_text(&ApiResponse::error(code, "Injected fault")));
        build(code, JSON, retry_after.map(|value| (RETRY_AFTER, value)), single_chunk(body))
    }

    async fn hang(&self, ms: Option<u64>, effect_first: bool) -> Response<ResponseBody> {
        let early = effect_first.then(|| self.execute(ResponseFault::none()));
        match ms {
            Some(ms) => sleep(Duration::from_millis(ms)).await,
            None => std::future::pending().await,
        }
        unchanged(&early.unwrap_or_else(|| self.execute(ResponseFault::none())))
    }

    fn slow_drip(&self, interval_ms: u64) -> Response<ResponseBody> {
        let response = self.execute(ResponseFault::none());
        let bytes = stream::iter(body_text(&response).into_bytes()).then(move |byte| async move {
            sleep(Duration::from_millis(interval_ms)).await;
            Bytes::copy_from_slice(&[byte])
        });
        build(response.status, JSON, None, Box::pin(bytes))
    }

    /// Executes the request as the service does and records the outcome in the log.
    fn execute(&self, fault: ResponseFault) -> ApiResponse {
        let mut state = self.state.lock();
        let request = self.request;
        let query = |name: &str| control::parameter(&request.query, name);
        let tenant = request.token.as_deref().and_then(|token| state.tenant_of(token)).map(str::to_owned);
        let response = match (request.call, tenant) {
            (Call::SignIn, _) => keystone::sign_in(&mut state, &request.body),
            (Call::Other, _) => no_such_call(&request.path),
            (_, None) => ApiResponse::error(401, "The token is missing, unknown, expired or revoked"),
            (Call::List, Some(tenant)) => fic::list(&state, &tenant, query("id"), fault),
            (Call::Create, Some(tenant)) => fic::create(&mut state, &tenant, &request.body, fault),
            (Call::Show, Some(tenant)) => fic::show(&state, &tenant, request.last_segment(), fault),
            (Call::Delete, Some(tenant)) => fic::delete(&mut state, &tenant, request.last_segment(), fault),
            (Call::ListOperations, Some(tenant)) => fic::list_operations(&state, &tenant, query("resourceId")),
            (Call::ShowOperation, Some(tenant)) => fic::show_operation(&state, &tenant, request.last_segment()),
        };
        state.log.update(self.log_index, |entry| {
            entry.status = Some(response.status);
            entry.effect = response.effect;
        });
        response
    }

    fn log_status(&self, status: u16) {
        self.state.lock().log.update(self.log_index, |entry| entry.status = Some(status));
    }
}

fn no_such_call(path: &str) -> ApiResponse {
    let Some(methods) = server::methods(path) else { return ApiResponse::error(404, "No such path") };
    let mut response = ApiResponse::error(405, "No such method of this path");
    response.headers.push(("allow", methods));
    response
}
