//! The server: accepts connections, parses and logs requests, and selects the fault to inject.

use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::Body;
use hyper::header::USER_AGENT;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::time::sleep;

use crate::body::{ResponseBody, unchanged};
use crate::fault_injection::{ConnectionClosed, Execution};
use crate::faults::Kind;
use crate::log::{Call, Entry};
use crate::state::FicState;
use crate::{SharedState, control, keystone};

const SERVICES: &str = "/fic-eri/v1/premium-professional-support-services";
const OPERATIONS: &str = "/fic-eri/v1/operations";

/// Serves until the task is aborted. That closes all connections.
pub(crate) async fn run(listener: TcpListener, state: SharedState) {
    let mut connections = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                let state = state.clone();
                connections.spawn(async move {
                    let service = service_fn(move |request| handle(state.clone(), request));
                    // A client that disconnects and a fault that closes the connection are expected, not errors.
                    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// A parsed request.
pub(crate) struct ApiRequest {
    pub(crate) call: Call,
    method: Method,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) token: Option<String>,
    pub(crate) body: Value,
}

impl ApiRequest {
    async fn parse<B: Body>(request: Request<B>) -> Self {
        let method = request.method().clone();
        let path = request.uri().path().trim_end_matches('/').to_owned();
        let query = request.uri().query().unwrap_or_default().to_owned();
        let token = request.headers().get("x-auth-token").and_then(|value| value.to_str().ok()).map(str::to_owned);
        let body = request.into_body().collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
        Self { call: route(&method, &path), method, path, query, token, body }
    }

    /// The last segment of the path: the id of a contract or an operation.
    pub(crate) fn last_segment(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }
}

/// Handles one request, over a socket or in process.
///
/// # Errors
/// When a fault closes the connection without a response.
pub(crate) async fn handle<B: Body>(
    state: SharedState,
    request: Request<B>,
) -> Result<Response<ResponseBody>, ConnectionClosed> {
    let user_agent =
        request.headers().get(USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let request = ApiRequest::parse(request).await;
    if let Some(path) = request.path.strip_prefix("/_control/") {
        let response = control::handle(&mut state.lock(), &request.method, path, &request.query, &request.body);
        return Ok(unchanged(&response));
    }
    let (log_index, fault, latency) = {
        let mut state = state.lock();
        let (log_index, fault) = log_request(&mut state, &request, user_agent);
        (log_index, fault, state.settings.latency_ms)
    };
    if latency > 0 {
        // Without a latency there must be no await point here: if the client disconnected between the log entry and the
        // effect, the log would contain a request that was not executed.
        sleep(Duration::from_millis(latency)).await;
    }
    Execution { state: &state, request: &request, log_index }.respond(fault).await
}

/// Logs the request and selects its fault.
fn log_request(state: &mut FicState, request: &ApiRequest, user_agent: String) -> (usize, Option<Kind>) {
    let tenant = match request.call {
        Call::SignIn => keystone::scope(&request.body).map(str::to_owned),
        Call::List
        | Call::Create
        | Call::Show
        | Call::Delete
        | Call::ListOperations
        | Call::ShowOperation
        | Call::Other => request.token.as_deref().and_then(|token| state.tenant_of(token)).map(str::to_owned),
    };
    let fault = state.faults.take_matching(request.call, tenant.as_deref());
    let entry = Entry {
        number: 0,
        at_ms: state.began.elapsed().as_millis(),
        call: request.call,
        method: request.method.to_string(),
        path: request.path.clone(),
        tenant,
        status: None,
        effect: false,
        fault: fault.as_ref().map(|kind| kind.name().to_owned()),
        user_agent,
    };
    (state.log.record(entry), fault)
}

/// The methods of a path, separated by commas. None: there is no such path.
pub(crate) fn methods(path: &str) -> Option<String> {
    let methods = ["GET", "POST", "DELETE"];
    let methods =
        methods.into_iter().filter(|name| name.parse().is_ok_and(|method| route(&method, path) != Call::Other));
    Some(methods.collect::<Vec<_>>().join(", ")).filter(|methods| !methods.is_empty())
}

fn route(method: &Method, path: &str) -> Call {
    let below = |base: &str| path.strip_prefix(base).is_some_and(|rest| rest.starts_with('/'));
    match method.as_str() {
        "POST" if path == "/keystone/v3/auth/tokens" => Call::SignIn,
        "GET" if path == SERVICES => Call::List,
        "POST" if path == SERVICES => Call::Create,
        "GET" if below(SERVICES) => Call::Show,
        "DELETE" if below(SERVICES) => Call::Delete,
        "GET" if path == OPERATIONS => Call::ListOperations,
        "GET" if below(OPERATIONS) => Call::ShowOperation,
        _ => Call::Other,
    }
}
