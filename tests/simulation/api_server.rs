//! The API server as a client sees it: requests take their time, get lost, conflict; watches come late and break.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, stream};
use http::{Method, Request, Response, StatusCode};
use http_body_util::StreamBody;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Frame;
use kube::client::Body;
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

use crate::store::{Change, Id, Kind, Refusal, Written};
use crate::world::{Life, Shared, World};

/// Even at the best of times so many of a thousand changes come late to a watch.
const LATE: u32 = 125;

type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;

/// A client of the API server, for one process of the operator.
pub fn client(world: &Shared, life: Life) -> kube::Client {
    let world = world.clone();
    let service = tower::service_fn(move |request| answer(world.clone(), life, request));
    kube::Client::new(service, "default")
}

/// A request, read.
struct Asked {
    method: Method,
    path: String,
    query: Vec<(String, String)>,
    body: Value,
}

impl Asked {
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

/// How a request fares.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fare {
    Well,
    Refused,
    LostBefore,
    LostAfter,
}

fn answer(world: Shared, life: Life, request: Request<Body>) -> BoxFuture<'static, Result<Answer, std::io::Error>> {
    async move {
        let asked = read(request).await;
        let (there, within, back, fare) = {
            let mut world = world.lock();
            let (perils, secrets) = (world.perils.api, world.perils.secrets);
            let mut chance = world.chance((life, asked.method.as_str(), &asked.path));
            let mut milliseconds = |most: u64| Duration::from_micros(chance.u64(100..=most * 1000));
            let times = (milliseconds(8), milliseconds(8), milliseconds(8));
            let fare = match chance.u32(0..3000) {
                drawn if drawn < perils => Fare::Refused,
                drawn if drawn < 2 * perils => Fare::LostBefore,
                drawn if drawn < 3 * perils => Fare::LostAfter,
                _ if asked.is_write() && asked.is_of("secrets") && chance.u32(0..1000) < secrets => Fare::LostAfter,
                _ => Fare::Well,
            };
            (times.0, times.1, times.2, fare)
        };
        wait(&world, there, &asked.path).await;
        // From here on the request is on its way, whatever becomes of its sender.
        let (reply, replied) = oneshot::channel();
        let (sender, path) = (world.clone(), asked.path.clone());
        tokio::spawn(async move {
            wait(&world, within, &asked.path).await;
            if let Some(answer) = serve(&world, life, &asked, fare) {
                let _ = reply.send(answer);
            } else {
                // A process that is dead waits for no answer.
                std::future::pending::<()>().await;
            }
        });
        let answer = replied.await.map_err(|_| std::io::Error::other("connection lost"))?;
        wait(&sender, back, &path).await;
        answer
    }
    .boxed()
}

/// Waits that long, and a little more.
pub async fn wait(world: &Shared, time: Duration, key: &str) {
    let moment = world.lock().moment(time, key);
    sleep_until(moment).await;
}

async fn read(request: Request<Body>) -> Asked {
    let method = request.method().clone();
    let uri = request.uri().clone();
    let query = reqwest::Url::parse(&format!("http://api{uri}")).unwrap();
    let query = query.query_pairs().map(|(name, value)| (name.into_owned(), value.into_owned())).collect();
    let body = request.into_body().collect_bytes().await.unwrap_or_default();
    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    Asked { method, path: uri.path().into(), query, body }
}

/// None: its sender dies of it.
fn serve(shared: &Shared, life: Life, asked: &Asked, fare: Fare) -> Option<Result<Answer, std::io::Error>> {
    let mut world = shared.lock();
    let lost = || Some(Err(std::io::Error::other("connection lost")));
    match fare {
        Fare::LostBefore => return lost(),
        Fare::Refused => return Some(Ok(failure(500))),
        Fare::Well | Fare::LostAfter => {}
    }
    if asked.parameter("watch").is_some() {
        drop(world);
        return Some(Ok(watch(shared, life, asked)));
    }
    let is_lease = asked.path.contains("/leases");
    let death = if asked.is_write() && !is_lease { world.fate() } else { None };
    if death.is_some_and(|death| !death.after) {
        world.kill(life);
        return None;
    }
    let answer = carry_out(&mut world, life, asked);
    if !is_lease && asked.is_write() {
        let status = answer.status();
        world.tell(|| format!("{}{}  {} {} {} → {status}", life.0, life.1, asked.method, asked.path, asked.body));
    }
    if death.is_some() {
        world.kill(life);
        return None;
    }
    if fare == Fare::LostAfter {
        if asked.is_write() && asked.is_of("premiumsupportplans") {
            let World { oracle, store, .. } = &mut *world;
            let namespace = asked.path.split('/').nth(5).unwrap_or_default();
            let name = asked.path.split('/').nth(7).unwrap_or_default();
            if let Some(plan) = store.get(&Id::new(Kind::Plan, namespace, name)) {
                oracle.answer_lost(plan);
            }
        }
        return lost();
    }
    Some(Ok(answer))
}

fn carry_out(world: &mut World, life: Life, asked: &Asked) -> Answer {
    let segments = asked.path.trim_start_matches('/').split('/').collect::<Vec<_>>();
    let (kind, rest) = match segments.as_slice() {
        ["apis", "fic.ntt.com", "v1alpha1", rest @ ..] => (Kind::Plan, rest),
        ["apis", "coordination.k8s.io", "v1", rest @ ..] => (Kind::Lease, rest),
        ["apis", "events.k8s.io", "v1", rest @ ..] => (Kind::Event, rest),
        ["apis", "apiextensions.k8s.io", "v1", rest @ ..] => (Kind::Definition, rest),
        ["api", "v1", rest @ ..] => (Kind::Secret, rest),
        _ => return failure(404),
    };
    let (namespace, rest) = match rest {
        ["namespaces", namespace, _, rest @ ..] => (*namespace, rest),
        [_, rest @ ..] => ("", rest),
        [] => return failure(404),
    };
    match (&asked.method, rest) {
        (&Method::GET, []) => list(world, kind, namespace, asked),
        (&Method::GET, [name]) => match world.store.get(&Id::new(kind, namespace, name)) {
            Some(object) => success(object),
            None => failure(404),
        },
        (&Method::POST, []) => {
            if kind == Kind::Event {
                return event(world, namespace, &asked.body);
            }
            let id = Id::new(kind, namespace, asked.body["metadata"]["name"].as_str().unwrap_or_default());
            let wall = world.wall();
            let written = world.store.create(&id, asked.body.clone(), &wall);
            conclude(world, life, &id, written)
        }
        (&Method::PUT, [name]) => {
            let id = Id::new(kind, namespace, name);
            let written = world.store.update(&id, asked.body.clone());
            conclude(world, life, &id, written)
        }
        (&Method::PATCH, [name, status @ ..]) => {
            let id = Id::new(kind, namespace, name);
            let written = world.store.patch(&id, &asked.body, status == ["status"]);
            if kind == Kind::Plan {
                world.plan_writes += 1;
            }
            conclude(world, life, &id, written)
        }
        _ => failure(405),
    }
}

/// In a namespace that is going away the API server takes no new objects.
fn event(world: &mut World, namespace: &str, event: &Value) -> Answer {
    if world.leaving_namespaces.contains(namespace) {
        return failure(403);
    }
    world.tell(|| format!("Event {} of {}: {}", event["reason"], event["regarding"]["name"], event["note"]));
    if let Err(rule) = world.oracle.ledger.told(event) {
        world.oracle.breaks(&rule);
    }
    success(event)
}

fn conclude(world: &mut World, life: Life, id: &Id, written: Result<Written, Refusal>) -> Answer {
    match written {
        Ok(written) => {
            world.written(id, &written, Some(life));
            success(&written.shown)
        }
        Err(refusal) => failure(refusal.code()),
    }
}

fn list(world: &World, kind: Kind, namespace: &str, asked: &Asked) -> Answer {
    let selector = asked.parameter("fieldSelector").unwrap_or_default();
    let items = world
        .store
        .all(kind)
        .filter(|(id, object)| (namespace.is_empty() || id.namespace == namespace) && selected(object, selector))
        .map(|(_, object)| object)
        .collect::<Vec<_>>();
    success(&json!({
        "kind": "List", "apiVersion": "v1",
        "metadata": { "resourceVersion": world.store.version.to_string() },
        "items": items,
    }))
}

fn selected(object: &Value, selector: &str) -> bool {
    selector.split(',').filter(|part| !part.is_empty()).all(|part| {
        let (field, value, same) = match part.split_once("!=") {
            Some((field, value)) => (field, value, false),
            None => part.split_once('=').map_or(("", "", true), |(field, value)| (field, value, true)),
        };
        let found = field.split('.').fold(object, |value, name| &value[name]);
        (found.as_str() == Some(value)) == same
    })
}

/// A watch: every change after a version, each a little late, in order, until it breaks.
struct Watch {
    world: Shared,
    life: Life,
    kind: Kind,
    selector: String,
    version: u64,
    changed: tokio::sync::watch::Receiver<u64>,
    /// What comes later comes no earlier.
    not_before: Instant,
    /// The server has given up on it.
    over: bool,
}

/// A change on its way to a watch.
struct Event {
    version: u64,
    id: Id,
    text: String,
    late: Duration,
    end: Option<End>,
}

/// How a watch ends before its time.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Broken,
    /// Its version is too old: everything is to be listed anew.
    Expired,
}

fn watch(world: &Shared, life: Life, asked: &Asked) -> Answer {
    let watch = Watch {
        world: world.clone(),
        life,
        kind: if asked.path.contains("secrets") { Kind::Secret } else { Kind::Plan },
        selector: asked.parameter("fieldSelector").unwrap_or_default().to_owned(),
        version: asked.parameter("resourceVersion").and_then(|version| version.parse().ok()).unwrap_or(0),
        changed: world.lock().subscribe(),
        not_before: Instant::now(),
        over: false,
    };
    let frames = stream::unfold(watch, |mut watch| async {
        let text = watch.next().await?;
        Some((Ok::<_, Infallible>(Frame::data(Bytes::from(text))), watch))
    });
    Response::new(BodyExt::boxed_unsync(StreamBody::new(frames.boxed())))
}

impl Watch {
    async fn next(&mut self) -> Option<String> {
        if self.over {
            return None;
        }
        let event = loop {
            if let Some(event) = self.due() {
                break event;
            }
            self.changed.changed().await.ok()?;
        };
        self.version = event.version;
        let late = event.late.max(self.not_before.saturating_duration_since(Instant::now()));
        self.not_before = self.world.lock().moment(late, (self.kind, &event.id));
        sleep_until(self.not_before).await;
        self.over = event.end.is_some();
        match event.end {
            None => Some(event.text),
            Some(End::Broken) => None,
            Some(End::Expired) => Some(json!({ "type": "ERROR", "object": status(410) }).to_string() + "\n"),
        }
    }

    fn due(&self) -> Option<Event> {
        let mut world = self.world.lock();
        let changes = &world.store.changes;
        let next = changes.partition_point(|change| change.version <= self.version);
        let concerns = |change: &&Change| change.id.kind == self.kind && selected(&change.object, &self.selector);
        let found = changes[next..].iter().find(concerns)?;
        let (version, id) = (found.version, found.id.clone());
        let text = json!({ "type": found.what, "object": found.object }).to_string() + "\n";
        let (breaks, late) = (world.perils.watch, world.perils.late);
        let mut chance = world.chance((self.life, "watch", &id));
        let most = if chance.u32(0..1000) < late.max(LATE) { 1500 } else { 30 };
        let late = Duration::from_millis(chance.u64(0..most));
        let end = (chance.u32(0..1000) < breaks).then(|| if chance.bool() { End::Broken } else { End::Expired });
        Some(Event { version, id, text, late, end })
    }
}

fn success(object: &Value) -> Answer {
    Response::new(BodyExt::boxed_unsync(Full::new(Bytes::from(object.to_string()))))
}

fn status(code: u16) -> Value {
    let reason = match code {
        403 => "Forbidden",
        404 => "NotFound",
        409 => "Conflict",
        410 => "Expired",
        422 => "Invalid",
        _ => "InternalError",
    };
    json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": "refused",
    })
}

fn failure(code: u16) -> Answer {
    let mut answer = success(&status(code));
    *answer.status_mut() = StatusCode::from_u16(code).unwrap();
    answer
}
