//! The sockets: requests in, answers out, faults between.

use std::convert::Infallible;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{self, Stream, StreamExt};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Body as HttpBody, Frame};
use hyper::header::{CONTENT_TYPE, LOCATION, RETRY_AFTER, USER_AGENT};
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep};

use crate::Shared;
use crate::answer::Answer;
use crate::faults::Kind;
use crate::fic::{self, Lens};
use crate::log::{Call, Entry};
use crate::{control, keystone};

const SERVICES: &str = "/fic-eri/v1/premium-professional-support-services";
const OPERATIONS: &str = "/fic-eri/v1/operations";

type Frames = Pin<Box<dyn Stream<Item = Result<Frame<Bytes>, Infallible>> + Send + Sync>>;
type Chunks = Pin<Box<dyn Stream<Item = Bytes> + Send + Sync>>;
/// The body of an answer.
pub type Body = StreamBody<Frames>;

/// The connection is closed without an answer.
#[derive(Debug)]
pub struct Dropped;

impl std::fmt::Display for Dropped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("dropped on demand")
    }
}

impl std::error::Error for Dropped {}

/// Serves until it is stopped; with it all its connections end.
pub(crate) async fn run(listener: TcpListener, world: Shared) {
    let mut connections = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                let world = world.clone();
                connections.spawn(async move {
                    let service = service_fn(move |request| handle(world.clone(), request));
                    // A client that leaves, and a connection that is dropped on demand, are no errors here.
                    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// A request, read.
struct Asked {
    call: Call,
    method: Method,
    path: String,
    query: String,
    token: Option<String>,
    body: Value,
}

/// Answers one request, over a socket or not.
///
/// # Errors
/// When the connection is to be closed without an answer.
pub(crate) async fn handle<B: HttpBody>(world: Shared, request: Request<B>) -> Result<Response<Body>, Dropped> {
    let user_agent =
        request.headers().get(USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let asked = read(request).await;
    if let Some(path) = asked.path.strip_prefix("/_control/") {
        let answer = control::answer(&mut world.lock(), &asked.method, path, &asked.query, &asked.body);
        return Ok(plain(&answer));
    }
    let (at, fault, latency) = {
        let mut world = world.lock();
        let tenant = match asked.call {
            Call::SignIn => keystone::scope(&asked.body).map(str::to_owned),
            Call::List
            | Call::Create
            | Call::Show
            | Call::Delete
            | Call::ListOperations
            | Call::ShowOperation
            | Call::Other => asked.token.as_deref().and_then(|token| world.tenant_of(token)).map(str::to_owned),
        };
        let fault = world.faults.strike(asked.call, tenant.as_deref());
        let entry = Entry {
            number: 0,
            at_ms: world.began.elapsed().as_millis(),
            call: asked.call,
            method: asked.method.to_string(),
            path: asked.path.clone(),
            tenant,
            status: None,
            effect: false,
            fault: fault.as_ref().map(|kind| kind.name().to_owned()),
            user_agent,
        };
        (world.log.open(entry), fault, world.settings.latency_ms)
    };
    if latency > 0 {
        // Only then: between a request being logged and its effect a client that leaves must not come between, or what was asked for
        // would be logged and not done.
        sleep(Duration::from_millis(latency)).await;
    }
    respond(&world, &asked, at, fault).await
}

async fn read<B: HttpBody>(request: Request<B>) -> Asked {
    let method = request.method().clone();
    let path = request.uri().path().trim_end_matches('/').to_owned();
    let query = request.uri().query().unwrap_or_default().to_owned();
    let token = request.headers().get("x-auth-token").and_then(|value| value.to_str().ok()).map(str::to_owned);
    let body = request.into_body().collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    Asked { call: name(&method, &path), method, path, query, token, body }
}

fn name(method: &Method, path: &str) -> Call {
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

/// Does what was asked, and spoils the answer where that was asked for too.
async fn respond(world: &Shared, asked: &Asked, at: usize, fault: Option<Kind>) -> Result<Response<Body>, Dropped> {
    let mut lens = Lens { at: Instant::now(), wrong_tenant: false, wrong_id: false, blind: false };
    match fault {
        None => Ok(plain(&carry_out(world, asked, at, lens))),
        Some(Kind::Status { code, body, retry_after }) => {
            let answer = Answer::error(code, "A fault on demand");
            log_status(world, at, code);
            let body = body.unwrap_or_else(|| text(&answer));
            Ok(build(code, "application/json", retry_after.map(|value| (RETRY_AFTER, value)), whole(body)))
        }
        Some(Kind::DropBefore) => Err(Dropped),
        Some(Kind::DropAfter) => {
            carry_out(world, asked, at, lens);
            world.lock().log.close(at, |entry| entry.status = None);
            Err(Dropped)
        }
        Some(Kind::Hang { ms, effect_first }) => hang(world, asked, at, lens, ms, effect_first).await,
        Some(Kind::Garbage) => {
            let answer = carry_out(world, asked, at, lens);
            Ok(build(answer.status, "application/json", None, whole("{\"professionalSupportService\":{\"id\":".into())))
        }
        Some(Kind::Html { code, effect_first }) => {
            if effect_first {
                carry_out(world, asked, at, lens);
            }
            log_status(world, at, code);
            Ok(build(code, "text/html", None, whole("<html><body><h1>Bad Gateway</h1></body></html>".into())))
        }
        Some(Kind::Huge { mib }) => {
            log_status(world, at, 200);
            let chunk = Bytes::from(vec![b' '; 64 * 1024]);
            Ok(build(200, "application/json", None, Box::pin(stream::repeat(chunk).take(mib * 16))))
        }
        Some(Kind::SlowDrip { interval_ms }) => {
            let answer = carry_out(world, asked, at, lens);
            let bytes = stream::iter(text(&answer).into_bytes()).then(move |byte| async move {
                sleep(Duration::from_millis(interval_ms)).await;
                Bytes::copy_from_slice(&[byte])
            });
            Ok(build(answer.status, "application/json", None, Box::pin(bytes)))
        }
        Some(Kind::Redirect { to }) => {
            log_status(world, at, 302);
            Ok(build(302, "text/plain", Some((LOCATION, to)), whole(String::new())))
        }
        Some(Kind::Empty) => {
            let answer = carry_out(world, asked, at, lens);
            Ok(build(answer.status, "application/json", None, whole(String::new())))
        }
        Some(Kind::WrongTenant) => {
            lens.wrong_tenant = true;
            Ok(plain(&carry_out(world, asked, at, lens)))
        }
        Some(Kind::WrongId) => {
            lens.wrong_id = true;
            Ok(plain(&carry_out(world, asked, at, lens)))
        }
        Some(Kind::Lag { ms }) => {
            lens.at = lens.at.checked_sub(Duration::from_millis(ms)).unwrap_or(lens.at);
            Ok(plain(&carry_out(world, asked, at, lens)))
        }
        Some(Kind::WrongAbsence) => {
            lens.blind = true;
            Ok(plain(&carry_out(world, asked, at, lens)))
        }
    }
}

async fn hang(
    world: &Shared,
    asked: &Asked,
    at: usize,
    lens: Lens,
    ms: Option<u64>,
    effect_first: bool,
) -> Result<Response<Body>, Dropped> {
    let early = effect_first.then(|| carry_out(world, asked, at, lens));
    match ms {
        Some(ms) => sleep(Duration::from_millis(ms)).await,
        None => std::future::pending().await,
    }
    Ok(plain(&early.unwrap_or_else(|| carry_out(world, asked, at, Lens { at: Instant::now(), ..lens }))))
}

/// What the service would do.
fn carry_out(world: &Shared, asked: &Asked, at: usize, lens: Lens) -> Answer {
    let mut world = world.lock();
    let answer = match (asked.call, asked.token.as_deref().and_then(|token| world.tenant_of(token)).map(str::to_owned))
    {
        (Call::SignIn, _) => keystone::sign_in(&mut world, &asked.body),
        (Call::Other, _) => Answer::error(404, "No such path"),
        (_, None) => Answer::error(401, "The token is missing, unknown, expired or revoked"),
        (Call::List, Some(tenant)) => fic::list(&world, &tenant, control::parameter(&asked.query, "id"), lens),
        (Call::Create, Some(tenant)) => fic::create(&mut world, &tenant, &asked.body, lens),
        (Call::Show, Some(tenant)) => fic::show(&world, &tenant, last(&asked.path), lens),
        (Call::Delete, Some(tenant)) => fic::delete(&mut world, &tenant, last(&asked.path), lens),
        (Call::ListOperations, Some(tenant)) => {
            fic::list_operations(&world, &tenant, control::parameter(&asked.query, "resourceId"))
        }
        (Call::ShowOperation, Some(tenant)) => fic::show_operation(&world, &tenant, last(&asked.path)),
    };
    world.log.close(at, |entry| {
        entry.status = Some(answer.status);
        entry.effect = answer.effect;
    });
    answer
}

fn last(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default()
}

fn log_status(world: &Shared, at: usize, status: u16) {
    world.lock().log.close(at, |entry| entry.status = Some(status));
}

fn text(answer: &Answer) -> String {
    answer.body.as_ref().map(|body| json!(body).to_string()).unwrap_or_default()
}

fn plain(answer: &Answer) -> Response<Body> {
    let mut response = build(answer.status, "application/json", None, whole(text(answer)));
    for (name, value) in &answer.headers {
        if let Ok(value) = value.parse() {
            response.headers_mut().insert(*name, value);
        }
    }
    response
}

fn whole(text: String) -> Chunks {
    Box::pin(stream::iter([Bytes::from(text)]))
}

fn build(
    status: u16,
    content_type: &str,
    header: Option<(hyper::header::HeaderName, String)>,
    body: Chunks,
) -> Response<Body> {
    let frames: Frames = Box::pin(body.map(|chunk| Ok(Frame::data(chunk))));
    let mut response = Response::new(StreamBody::new(frames));
    *response.status_mut() = hyper::StatusCode::from_u16(status).unwrap_or(hyper::StatusCode::INTERNAL_SERVER_ERROR);
    let headers = [(CONTENT_TYPE, content_type.to_owned())].into_iter().chain(header);
    for (name, value) in headers {
        if let Ok(value) = value.parse() {
            response.headers_mut().insert(name, value);
        }
    }
    response
}
