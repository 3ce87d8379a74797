//! The HTTP client for FIC and Keystone: calls the FIC simulator without sockets, and adds latency and faults.

use std::time::Duration;

use bytes::Bytes;
use fic_simulator::faults::Kind as FicFault;
use fic_simulator::log::Call;
use fic_simulator::state::Contract;
use fic_support_operator::fic::http::{HttpClient, TransportError};
use futures::FutureExt;
use futures::future::BoxFuture;
use http_body_util::Full;
use reqwest::{Request, Response};
use tokio::sync::oneshot;

use crate::api_server::sleep_at_least;
use crate::oracle::{Accepted, FicRequest};
use crate::sim_world::{Incarnation, Shared, SimWorld};

/// The HTTP client of one process.
pub struct SimulatedHttp {
    pub world: Shared,
    pub incarnation: Incarnation,
}

impl HttpClient for SimulatedHttp {
    fn execute(&self, request: Request) -> BoxFuture<'static, Result<Response, TransportError>> {
        let (world, incarnation) = (self.world.clone(), self.incarnation);
        async move {
            let request = to_bytes(&request);
            if world.lock().is_panic_due(incarnation, request.uri().path()) {
                panic_silently();
            }
            let sent = fic_request(&world.lock(), incarnation, &request);
            let key = sent.tenant.clone().unwrap_or_default();
            let (request_time, server_time, response_time) = {
                let mut world = world.lock();
                let (now, elects) = (world.now(), world.elects);
                world.oracle.request_sent(now, &sent, elects);
                world.sent_at.push(now);
                let mut chance = world.chance((incarnation, request.method().as_str(), request.uri().path(), &key));
                // A few requests are slow. They arrive even if the sender has given up or ended.
                let slowest = if chance.u32(0..40) == 0 { 700 } else { 30 };
                let mut milliseconds = |most: u64| Duration::from_micros(chance.u64(500..=most * 1000));
                (milliseconds(30), milliseconds(slowest), milliseconds(30))
            };
            sleep_at_least(&world, request_time, &key).await;
            let (reply, replied) = oneshot::channel();
            let (sender, tenant) = (world.clone(), key.clone());
            tokio::spawn(async move {
                sleep_at_least(&world, server_time, &key).await;
                if let Some(served) = serve(&world, incarnation, request).await {
                    let _ = reply.send(served);
                } else {
                    std::future::pending::<()>().await;
                }
            });
            let (result, accepted) = replied.await.map_err(|_| TransportError::no_response("connection lost"))?;
            sleep_at_least(&sender, response_time, &tenant).await;
            if sender.lock().is_panic_due(incarnation, "response") {
                panic_silently();
            }
            let mut world = sender.lock();
            let now = world.now();
            if let Some(accepted) = accepted {
                world.oracle.response_received(now, incarnation, accepted);
            }
            if let Some(delay) = result.as_ref().ok().and_then(retry_after) {
                world.oracle.retry_after_received(incarnation, &sent, now + delay);
            }
            result
        }
        .boxed()
    }
}

/// Panics without a message in the log of the test.
fn panic_silently() -> ! {
    std::panic::resume_unwind(Box::new("the simulation makes this reconcile panic"))
}

/// How long FIC asks the client to wait.
fn retry_after(response: &Response) -> Option<Duration> {
    response.headers().get(http::header::RETRY_AFTER)?.to_str().ok()?.parse().ok().map(Duration::from_secs)
}

fn to_bytes(request: &Request) -> http::Request<Bytes> {
    let body = request.body().and_then(reqwest::Body::as_bytes).unwrap_or_default();
    let mut copy = http::Request::new(Bytes::copy_from_slice(body));
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.url().as_str().parse().unwrap();
    *copy.headers_mut() = request.headers().clone();
    copy
}

/// The result for the sender, and what FIC has accepted.
type Served = (Result<Response, TransportError>, Option<Accepted>);

/// Handles a request. Returns `None` if its sender crashes at it.
async fn serve(shared: &Shared, incarnation: Incarnation, request: http::Request<Bytes>) -> Option<Served> {
    let (first_poll, response, accepted) = {
        let mut world = shared.lock();
        let sent = fic_request(&world, incarnation, &request);
        let crash = if sent.is_change() { world.crash_due() } else { None };
        if crash.is_some_and(|crash| !crash.after_effect) {
            world.end_process(incarnation);
            return None;
        }
        let fault = world.fic_fault(call_name(sent.call), sent.tenant.as_deref());
        let fault_name = fault.as_ref().map(FicFault::name);
        if let Some(fault) = fault {
            world.add_fic_fault(fault);
        }
        let fic = world.fic.clone();
        let mut response = Box::pin(async move { fic.answer(request.map(Full::new)).await });
        // The request takes effect at the first poll. Later polls only wait for the response.
        let first_poll = (&mut response).now_or_never();
        let accepted = request_served(&mut world, &sent, fault_name);
        if crash.is_some() {
            world.end_process(incarnation);
            return None;
        }
        (first_poll, response, accepted)
    };
    let response = match first_poll {
        Some(ready) => ready,
        None => response.await,
    };
    let result = match response {
        Err(_) => Err(TransportError::no_response("connection closed")),
        Ok(response) => Ok(Response::from(response.map(reqwest::Body::wrap))),
    };
    Some((result, accepted))
}

fn fic_request(world: &SimWorld, incarnation: Incarnation, request: &http::Request<Bytes>) -> FicRequest {
    let path = request.uri().path();
    let token = request.headers().get("x-auth-token").and_then(|value| value.to_str().ok());
    let last_segment = path.rsplit('/').next().unwrap_or_default();
    let is_collection = last_segment == "premium-professional-support-services";
    let call = match request.method().as_str() {
        _ if path.contains("/keystone/") => Call::SignIn,
        _ if path.contains("/operations") => Call::ListOperations,
        "POST" => Call::Create,
        "DELETE" => Call::Delete,
        _ if is_collection => Call::List,
        _ => Call::Show,
    };
    let tenant = match call {
        Call::SignIn => {
            let body = serde_json::from_slice(request.body()).unwrap_or_default();
            fic_simulator::keystone::scope(&body).map(str::to_owned)
        }
        _ => token.and_then(|token| world.fic.lock().tenant_of(token).map(str::to_owned)),
    };
    let before = tenant.as_deref().and_then(|tenant| world.fic.lock().contract(tenant));
    FicRequest { incarnation, call, tenant, contract: last_segment.to_owned(), before }
}

/// Reports a request that FIC has handled to the oracle.
fn request_served(world: &mut SimWorld, request: &FicRequest, fault: Option<&'static str>) -> Option<Accepted> {
    world.fic_calls += 1;
    let after = request.tenant.as_deref().and_then(|tenant| world.fic.lock().contract(tenant));
    let (status, effect) =
        world.fic.lock().log.entries().last().map_or((None, false), |entry| (entry.status, entry.effect));
    world.trace(|| trace_line(request, after.as_ref(), status, fault));
    let now = world.now();
    let is_withheld = matches!(fault, Some("hang" | "dropAfter" | "html"));
    let refused = !is_withheld && status.is_some_and(|status| matches!(status, 400 | 401 | 403 | 409 | 429));
    let SimWorld { oracle, store, .. } = world;
    oracle.request_served(now, store, request, after.as_ref().filter(|_| effect), fault.is_some() && !refused)
}

fn trace_line(
    request: &FicRequest,
    after: Option<&Contract>,
    status: Option<u16>,
    fault: Option<&'static str>,
) -> String {
    let FicRequest { incarnation: (replica, number), call, tenant, before, .. } = request;
    let tenant = tenant.as_deref().map_or("?", |tenant| &tenant[..4]);
    let contract = |contract: Option<&Contract>| {
        contract.map_or("no contract".to_owned(), |held| format!("{} {}", held.id, held.operation_status))
    };
    let before = before.as_ref();
    let now = if before == after { String::new() } else { format!(", now {}", contract(after)) };
    let status = status.map_or("no response".to_owned(), |status| status.to_string());
    let fault = fault.map(|name| format!(", {name}")).unwrap_or_default();
    format!("{replica}{number}  {call:?} for {tenant}… ({}{now}) → {status}{fault}", contract(before))
}

/// The names are inputs of the seeded randomness: keep them.
fn call_name(call: Call) -> &'static str {
    match call {
        Call::SignIn => "SignIn",
        Call::List => "List",
        Call::Create => "Create",
        Call::Show => "Show",
        Call::Delete => "Delete",
        Call::ListOperations | Call::ShowOperation => "Operations",
        Call::Other => "Other",
    }
}
