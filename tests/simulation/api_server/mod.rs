//! The API server as a client sees it: requests take time, fail, get lost and conflict.

mod response;
mod watch;

use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use http::{Method, Request};
use kube::client::Body;
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::time::sleep_until;

use crate::sim_world::{Incarnation, Shared, SimWorld};
use crate::store::{Kind, ObjectRef, ObjectWrite, WriteError};
use response::{Response, failure, success};

/// A client of the API server for one process of the operator.
pub fn client(world: &Shared, incarnation: Incarnation) -> kube::Client {
    let world = world.clone();
    let service = tower::service_fn(move |request| send(world.clone(), incarnation, request));
    kube::Client::new(service, "default")
}

struct ApiRequest {
    method: Method,
    path: String,
    query: Vec<(String, String)>,
    body: Value,
}

impl ApiRequest {
    async fn read(request: Request<Body>) -> Self {
        let method = request.method().clone();
        let uri = request.uri().clone();
        let query = reqwest::Url::parse(&format!("http://api{uri}")).unwrap();
        let query = query.query_pairs().map(|(name, value)| (name.into_owned(), value.into_owned())).collect();
        let body = request.into_body().collect_bytes().await.unwrap_or_default();
        let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
        Self { method, path: uri.path().into(), query, body }
    }

    fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    fn is_write(&self) -> bool {
        self.method != Method::GET
    }

    fn is_of(&self, plural: &str) -> bool {
        self.path.split('/').any(|segment| segment == plural)
    }
}

/// What happens to a request.
#[derive(Clone, Copy, PartialEq, Eq)]
enum RequestFate {
    Served,
    Refused,
    RequestLost,
    ResponseLost,
}

/// How long a request travels, waits on the server, and how long its response travels.
struct Latency {
    request: Duration,
    server: Duration,
    response: Duration,
}

fn send(
    world: Shared,
    incarnation: Incarnation,
    request: Request<Body>,
) -> BoxFuture<'static, Result<Response, std::io::Error>> {
    async move {
        let request = ApiRequest::read(request).await;
        let (latency, fate) = choose_fate(&mut world.lock(), incarnation, &request);
        sleep_at_least(&world, latency.request, &request.path).await;
        // From here on the server handles the request, even if the sender gives up or ends.
        let (reply, replied) = oneshot::channel();
        let (sender, path) = (world.clone(), request.path.clone());
        tokio::spawn(async move {
            sleep_at_least(&world, latency.server, &request.path).await;
            if let Some(result) = serve(&world, incarnation, &request, fate) {
                let _ = reply.send(result);
            } else {
                // The sender has crashed and gets no response. A dropped channel would look like a lost connection.
                std::future::pending::<()>().await;
            }
        });
        let result = replied.await.map_err(|_| std::io::Error::other("connection lost"))?;
        sleep_at_least(&sender, latency.response, &path).await;
        result
    }
    .boxed()
}

/// Keep the order of the random numbers: it is part of every seed.
fn choose_fate(world: &mut SimWorld, incarnation: Incarnation, request: &ApiRequest) -> (Latency, RequestFate) {
    let (rate, secret_rate) = (world.fault_rates.api_requests, world.fault_rates.secret_responses);
    let mut chance = world.chance((incarnation, request.method.as_str(), &request.path));
    let mut milliseconds = |most: u64| Duration::from_micros(chance.u64(100..=most * 1000));
    let latency = Latency { request: milliseconds(8), server: milliseconds(8), response: milliseconds(8) };
    let writes_secret = request.is_write() && request.is_of("secrets");
    let fate = match chance.u32(0..3000) {
        number if number < rate => RequestFate::Refused,
        number if number < 2 * rate => RequestFate::RequestLost,
        number if number < 3 * rate => RequestFate::ResponseLost,
        _ if writes_secret && chance.u32(0..1000) < secret_rate => RequestFate::ResponseLost,
        _ => RequestFate::Served,
    };
    (latency, fate)
}

/// Sleeps for this time, and then until an instant that no other sleeper uses.
pub async fn sleep_at_least(world: &Shared, time: Duration, key: &str) {
    let instant = world.lock().unique_instant(time, key);
    sleep_until(instant).await;
}

/// Handles a request. Returns `None` if its sender crashes at it.
fn serve(
    shared: &Shared,
    incarnation: Incarnation,
    request: &ApiRequest,
    fate: RequestFate,
) -> Option<Result<Response, std::io::Error>> {
    let mut world = shared.lock();
    let lost = || Some(Err(std::io::Error::other("connection lost")));
    match fate {
        RequestFate::RequestLost => return lost(),
        RequestFate::Refused => return Some(Ok(failure(500))),
        RequestFate::Served | RequestFate::ResponseLost => {}
    }
    if request.parameter("watch").is_some() {
        drop(world);
        return Some(Ok(watch::watch(shared, incarnation, request)));
    }
    let is_lease = request.path.contains("/leases");
    let crash = if request.is_write() && !is_lease { world.crash_due() } else { None };
    if crash.is_some_and(|crash| !crash.after_effect) {
        world.end_process(incarnation);
        return None;
    }
    let response = if is_refused(&mut world, incarnation, request) {
        failure(403)
    } else {
        handle(&mut world, incarnation, request)
    };
    if !is_lease && request.is_write() {
        let status = response.status();
        let (replica, number) = incarnation;
        world.trace(|| format!("{replica}{number}  {} {} {} → {status}", request.method, request.path, request.body));
    }
    if crash.is_some() {
        world.end_process(incarnation);
        return None;
    }
    if fate == RequestFate::ResponseLost {
        response_lost(&mut world, request);
        return lost();
    }
    Some(Ok(response))
}

/// An admission policy or a missing right refuses some writes of plans and Secrets, but never a status.
fn is_refused(world: &mut SimWorld, incarnation: Incarnation, request: &ApiRequest) -> bool {
    let rate = world.fault_rates.refused_writes;
    let is_guarded = request.is_write()
        && !request.path.ends_with("/status")
        && (request.is_of("premiumsupportplans") || request.is_of("secrets"));
    rate > 0 && is_guarded && world.chance((incarnation, "refused", &request.path)).u32(0..1000) < rate
}

/// Tells the oracle that the response to a write of a plan is lost.
fn response_lost(world: &mut SimWorld, request: &ApiRequest) {
    if !(request.is_write() && request.is_of("premiumsupportplans")) {
        return;
    }
    let SimWorld { oracle, store, .. } = world;
    let namespace = request.path.split('/').nth(5).unwrap_or_default();
    let name = request.path.split('/').nth(7).unwrap_or_default();
    if let Some(plan) = store.get(&ObjectRef::new(Kind::Plan, namespace, name)) {
        oracle.response_lost(plan);
    }
}

fn handle(world: &mut SimWorld, incarnation: Incarnation, request: &ApiRequest) -> Response {
    let segments = request.path.trim_start_matches('/').split('/').collect::<Vec<_>>();
    let (kind, rest) = match segments.as_slice() {
        ["apis", "fic.ntt.com", "v1beta1", rest @ ..] => (Kind::Plan, rest),
        ["apis", "coordination.k8s.io", "v1", rest @ ..] => (Kind::Lease, rest),
        ["apis", "events.k8s.io", "v1", rest @ ..] => (Kind::Event, rest),
        ["apis", "apiextensions.k8s.io", "v1", rest @ ..] => (Kind::Crd, rest),
        ["api", "v1", rest @ ..] => (Kind::Secret, rest),
        _ => return failure(404),
    };
    let (namespace, rest) = match rest {
        ["namespaces", namespace, _, rest @ ..] => (*namespace, rest),
        [_, rest @ ..] => ("", rest),
        [] => return failure(404),
    };
    match (&request.method, rest) {
        (&Method::GET, []) => list(world, incarnation, kind, namespace, request),
        (&Method::GET, [name]) => match world.store.get(&ObjectRef::new(kind, namespace, name)) {
            Some(object) => success(object),
            None => failure(404),
        },
        (&Method::POST, []) if kind == Kind::Event => create_event(world, namespace, &request.body),
        (&Method::POST, []) => {
            let name = request.body["metadata"]["name"].as_str().unwrap_or_default();
            let id = ObjectRef::new(kind, namespace, name);
            let wall_clock = world.wall_clock();
            let result = world.store.create(&id, request.body.clone(), &wall_clock);
            respond(world, incarnation, &id, result)
        }
        (&Method::PUT, [name]) => {
            let id = ObjectRef::new(kind, namespace, name);
            let result = world.store.update(&id, request.body.clone());
            respond(world, incarnation, &id, result)
        }
        (&Method::PATCH, [name, status @ ..]) => {
            let id = ObjectRef::new(kind, namespace, name);
            let result = world.store.patch(&id, &request.body, status == ["status"]);
            if kind == Kind::Plan {
                world.plan_writes += 1;
            }
            respond(world, incarnation, &id, result)
        }
        _ => failure(405),
    }
}

/// In a terminating namespace the API server refuses new objects.
fn create_event(world: &mut SimWorld, namespace: &str, event: &Value) -> Response {
    if world.terminating_namespaces.contains(namespace) {
        return failure(403);
    }
    world.trace(|| format!("Event {} of {}: {}", event["reason"], event["regarding"]["name"], event["note"]));
    if let Err(failure) = world.oracle.event_ledger.event_created(event) {
        world.oracle.fail_if_one_leads(&failure);
    }
    success(event)
}

fn respond(
    world: &mut SimWorld,
    incarnation: Incarnation,
    id: &ObjectRef,
    result: Result<ObjectWrite, WriteError>,
) -> Response {
    match result {
        Ok(write) => {
            world.object_written(id, &write, Some(incarnation));
            success(&write.response)
        }
        Err(error) => failure(error.code()),
    }
}

fn list(world: &mut SimWorld, incarnation: Incarnation, kind: Kind, namespace: &str, request: &ApiRequest) -> Response {
    let selector = request.parameter("fieldSelector").unwrap_or_default();
    let labels = request.parameter("labelSelector").unwrap_or_default();
    // The token of a next page is the version of the list and the number of objects before the page.
    let (version, start): (u64, usize) = match request.parameter("continue").and_then(|token| token.split_once('.')) {
        Some((version, start)) => (version.parse().expect("a version"), start.parse().expect("a number")),
        None => (list_version(world, incarnation, request), 0),
    };
    let limit = request.parameter("limit").map_or(usize::MAX, |limit| limit.parse().expect("a number"));
    let mut objects = world
        .store
        .all_at(kind, version)
        .into_iter()
        .filter(|(id, object)| {
            (namespace.is_empty() || id.namespace == namespace)
                && matches_selector(object, selector)
                && (labels.is_empty() || matches_selector(&object["metadata"]["labels"], labels))
        })
        .skip(start);
    let page = objects.by_ref().take(limit).map(|(_, object)| object).collect::<Vec<_>>();
    let next = objects.next().map(|_| format!("{version}.{}", start + page.len()));
    drop(objects);
    // A list of one object only asks for the version.
    if kind == Kind::Plan && next.is_none() && limit > 1 {
        world.oracle.plans_listed(incarnation, version);
    }
    success(&json!({
        "kind": "List", "apiVersion": "v1",
        "metadata": { "resourceVersion": version.to_string(), "continue": next },
        "items": page,
    }))
}

/// The version of a list. With `NotOlderThan`, the API server may answer from a cache that is as old as it is allowed to
/// be.
fn list_version(world: &mut SimWorld, incarnation: Incarnation, request: &ApiRequest) -> u64 {
    let oldest = request.parameter("resourceVersion").and_then(|version| version.parse().ok());
    let newest = world.store.version;
    let Some(oldest) = oldest.filter(|oldest| *oldest < newest) else { return newest };
    assert_eq!(request.parameter("resourceVersionMatch"), Some("NotOlderThan"));
    let mut chance = world.chance((incarnation, "version of a list", &request.path));
    if chance.bool() { oldest } else { chance.u64(oldest..=newest) }
}

/// Whether an object matches a field selector, or its labels match a label selector.
fn matches_selector(object: &Value, selector: &str) -> bool {
    selector.split(',').filter(|part| !part.is_empty()).all(|part| {
        let (field, value, equal) = match part.split_once("!=") {
            Some((field, value)) => (field, value, false),
            None => part.split_once('=').map_or(("", "", true), |(field, value)| (field, value, true)),
        };
        let found = field.split('.').fold(object, |value, name| &value[name]);
        (found.as_str() == Some(value)) == equal
    })
}
