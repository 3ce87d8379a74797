//! Unit tests against an API server that answers late, never, or stops in the middle.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures::stream;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::*;
use crate::health::Health;

/// How the API server answers one request.
#[derive(Clone)]
enum Answer {
    /// It accepts the request and sends nothing.
    Never,
    /// It sends an object, or the lines of a watch, and then ends the response in order.
    Sends(Vec<Value>),
    /// It sends the lines of a watch, and ends it after the time that it was asked for.
    Watch(Vec<Value>),
    /// It sends the lines of a watch, and then nothing.
    Freezes(Vec<Value>),
}

/// The answers of an API server in order; the last one is repeated. Also the requests that it has received.
#[derive(Clone)]
struct ApiServer(Arc<Mutex<(VecDeque<Answer>, Vec<String>)>>);

impl ApiServer {
    fn new(answers: &[Answer]) -> Self {
        Self(Arc::new(Mutex::new((answers.iter().cloned().collect(), Vec::new()))))
    }

    fn watch(&self) -> impl Stream<Item = Result<Received<ConfigMap>, Error>> {
        let server = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| server.clone().respond(request));
        list_watch(Api::namespaced(Client::new(service, "default"), "team"), Selectors::default())
    }

    async fn respond(self, request: Request<Body>) -> Result<Response<UnsyncBoxBody<Bytes, Infallible>>, Infallible> {
        let answer = {
            let mut server = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            server.1.push(request.uri().to_string());
            if server.0.len() > 1 { server.0.pop_front() } else { server.0.front().cloned() }
        };
        let (lines, end) = match answer {
            None | Some(Answer::Never) => std::future::pending().await,
            Some(Answer::Sends(lines)) => (lines, Some(Duration::ZERO)),
            Some(Answer::Watch(lines)) => (lines, Some(WATCH_TIME)),
            Some(Answer::Freezes(lines)) => (lines, None),
        };
        let frames = lines.into_iter().map(|line| Ok::<_, Infallible>(Frame::data(format!("{line}\n").into())));
        let end = stream::once(async move {
            match end {
                Some(time) => sleep(time).await,
                None => std::future::pending().await,
            }
        });
        let frames = stream::iter(frames).chain(end.filter_map(|()| std::future::ready(None)));
        Ok(Response::new(BodyExt::boxed_unsync(StreamBody::new(frames))))
    }

    /// The requests so far: `list`, `probe`, or `watch` with its version.
    fn requests(&self) -> Vec<String> {
        let requests = &self.0.lock().unwrap_or_else(PoisonError::into_inner).1;
        let kind = |uri: &String| match uri.split_once("resourceVersion=") {
            Some((_, version)) => format!("watch {}", version.split('&').next().unwrap_or_default()),
            None if uri.contains("limit=1&") || uri.ends_with("limit=1") => "probe".into(),
            None => "list".into(),
        };
        requests.iter().map(kind).collect()
    }
}

fn list(version: &str) -> Answer {
    Answer::Sends(vec![json!({ "metadata": { "resourceVersion": version }, "items": [] })])
}

fn bookmark(version: &str) -> Value {
    let object = json!({ "kind": "ConfigMap", "apiVersion": "v1", "metadata": { "resourceVersion": version } });
    json!({ "type": "BOOKMARK", "object": object })
}

/// The error of the first result that is one, and how long that took.
async fn first_error(server: &ApiServer) -> (Error, Duration) {
    let started = Instant::now();
    let mut errors = pin!(server.watch().filter_map(|received| std::future::ready(received.err())));
    let error = timeout(Duration::from_hours(1), errors.next()).await.expect("it waits without a limit");
    (error.expect("the stream does not end"), started.elapsed())
}

/// Polls a watch until the server has received so many requests.
async fn requests_until(server: &ApiServer, count: usize) -> Vec<String> {
    let mut watch = pin!(server.watch());
    while server.requests().len() < count {
        let _ = timeout(Duration::from_hours(1), watch.next()).await.expect("it waits without a limit");
    }
    server.requests()
}

#[tokio::test(start_paused = true)]
async fn a_list_that_is_never_answered_ends() {
    let server = ApiServer::new(&[Answer::Never]);
    let (error, after) = first_error(&server).await;
    assert!(matches!(error, Error::Silent(_)) && after <= Duration::from_secs(31), "{error} {after:?}");
    assert_eq!(requests_until(&server, 3).await, ["list", "list", "list"], "the list is begun again");
}

#[tokio::test(start_paused = true)]
async fn a_list_whose_response_stops_in_the_middle_ends() {
    let (error, after) = first_error(&ApiServer::new(&[Answer::Freezes(vec![])])).await;
    assert!(matches!(error, Error::Silent(_)) && after <= Duration::from_secs(31), "{error} {after:?}");
}

#[tokio::test(start_paused = true)]
async fn a_watch_whose_start_is_never_answered_ends_and_everything_is_listed_again() {
    let server = ApiServer::new(&[list("5"), Answer::Never]);
    let (error, after) = first_error(&server).await;
    assert!(matches!(error, Error::Silent(_)) && after <= Duration::from_secs(11), "{error} {after:?}");
    let server = ApiServer::new(&[list("5"), Answer::Never, list("6"), Answer::Never]);
    assert_eq!(requests_until(&server, 4).await, ["list", "watch 5", "list", "watch 6"]);
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_freezes_ends_within_a_minute_and_everything_is_listed_again() {
    for sent in [vec![], vec![bookmark("6")]] {
        let (error, after) = first_error(&ApiServer::new(&[list("5"), Answer::Freezes(sent.clone())])).await;
        assert!(matches!(error, Error::Silent(_)) && after < Duration::from_mins(1), "{error} {after:?}");
        let server = ApiServer::new(&[list("5"), Answer::Freezes(sent), list("7"), Answer::Never]);
        assert_eq!(requests_until(&server, 4).await, ["list", "watch 5", "list", "watch 7"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_ends_in_order_is_resumed_from_its_last_bookmark() {
    let server = ApiServer::new(&[list("5"), Answer::Watch(vec![bookmark("8")]), Answer::Never]);
    assert_eq!(requests_until(&server, 3).await, ["list", "watch 5", "watch 8"]);
}

#[tokio::test(start_paused = true)]
async fn a_quiet_watch_is_resumed_after_a_list_of_one_object() {
    let quiet = Answer::Watch(vec![]);
    let server = ApiServer::new(&[list("5"), quiet.clone(), list("9"), quiet, list("9"), Answer::Never]);
    assert_eq!(requests_until(&server, 6).await, ["list", "watch 5", "probe", "watch 5", "probe", "watch 5"]);
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_ends_at_once_is_an_error_so_that_it_is_not_begun_again_and_again() {
    let (error, _) = first_error(&ApiServer::new(&[list("5"), Answer::Sends(vec![])])).await;
    assert!(matches!(error, Error::EndedEarly), "{error}");
}

#[tokio::test(start_paused = true)]
async fn an_expired_watch_is_listed_again() {
    let expired = json!({ "type": "ERROR", "object": { "status": "Failure", "code": 410, "reason": "Expired" } });
    let server = ApiServer::new(&[list("5"), Answer::Watch(vec![bookmark("6"), expired]), list("9"), Answer::Never]);
    let (error, _) = first_error(&server).await;
    assert!(matches!(&error, Error::Ended(status) if status.code == 410), "{error}");
    let server = ApiServer::new(&[list("5"), Answer::Sends(vec![]), list("9"), Answer::Never]);
    assert_eq!(requests_until(&server, 4).await, ["list", "watch 5", "list", "watch 9"]);
}

#[tokio::test(start_paused = true)]
async fn objects_of_a_list_come_before_its_end_and_its_version() {
    let object = |name: &str, version: &str| json!({ "metadata": { "name": name, "resourceVersion": version } });
    let page = |metadata: Value, item: Value| Answer::Sends(vec![json!({ "metadata": metadata, "items": [item] })]);
    let server = ApiServer::new(&[
        page(json!({ "resourceVersion": "5", "continue": "next" }), object("a", "3")),
        page(json!({ "resourceVersion": "5" }), object("b", "4")),
        Answer::Watch(vec![json!({ "type": "MODIFIED", "object": object("a", "6") }), bookmark("7")]),
    ]);
    let received = server.watch().take(7).map(|received| match received.expect("no error") {
        Received::Event(Event::Apply(object)) => format!("apply {}", object.name_any()),
        Received::Event(event) => event.to_string(),
        Received::Version(version) => version,
        Received::Probed(version) => format!("probed {version}"),
    });
    let received = received.collect::<Vec<_>>().await;
    assert_eq!(received, ["Init", "InitApply(a)", "InitApply(b)", "InitDone", "5", "apply a", "7"]);
}

/// Polls a watch for this long, as the controller does.
async fn watch_for(server: &ApiServer, health: &Health, time: Duration) -> bool {
    let signs = health.begin_watch();
    let watched = server.watch().for_each(async |received| {
        if received.is_ok() {
            signs.received();
        }
    });
    let _ = timeout(time, watched).await;
    health.is_alive()
}

#[tokio::test(start_paused = true)]
async fn health_fails_when_a_watch_has_brought_nothing_for_five_minutes() {
    let (health, minutes) = (Health::default(), Duration::from_mins);
    assert!(health.is_alive(), "a replica that does not lead has no watch");
    let hangs = ApiServer::new(&[Answer::Never]);
    assert!(watch_for(&hangs, &health, minutes(4)).await);
    assert!(!watch_for(&hangs, &health, minutes(5) + Duration::from_secs(1)).await);
    assert!(health.is_alive(), "the watch was dropped: the replica does not lead any more");
}

#[tokio::test(start_paused = true)]
async fn health_passes_while_quiet_watches_work_and_again_after_one_hung() {
    let (health, hour) = (Health::default(), Duration::from_hours(1));
    let quiet = std::iter::repeat_n([Answer::Watch(vec![]), list("9")], 200).flatten();
    let works = ApiServer::new(&[list("5")].into_iter().chain(quiet).collect::<Vec<_>>());
    assert!(watch_for(&works, &health, hour).await, "an hour without a change");
    let signs = health.begin_watch();
    sleep(Duration::from_mins(6)).await;
    assert!(!health.is_alive());
    signs.received();
    assert!(health.is_alive());
}
