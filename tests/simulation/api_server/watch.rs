//! Watches of the API server: each event arrives after a short delay and in order, until the watch ends.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, stream};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use serde_json::json;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::response::{Response, status};
use super::{ApiRequest, matches_selector};
use crate::sim_world::{Incarnation, Shared};
use crate::store::{Kind, ObjectRef, WatchEvent};

/// The rate of long delays when no fault rate is set, per thousand events.
const BASE_DELAY_RATE: u32 = 125;

/// A watch of one process.
struct Watch {
    world: Shared,
    incarnation: Incarnation,
    kind: Kind,
    selector: String,
    labels: String,
    /// The version of the last event.
    version: u64,
    /// How many of all events are delivered, or do not concern the watch.
    passed: usize,
    changed: tokio::sync::watch::Receiver<u64>,
    /// When the last event arrived. The next one arrives no earlier.
    not_before: Instant,
    /// When the server ends the watch, as the client has asked.
    ends_at: Instant,
    ended: bool,
}

/// An event on its way to the watch.
struct Delivery {
    version: u64,
    id: ObjectRef,
    text: String,
    delay: Duration,
    end: Option<WatchEnd>,
}

/// How a watch ends early.
#[derive(Clone, Copy, PartialEq, Eq)]
enum WatchEnd {
    Broken,
    /// The resource version is too old: the client must list again.
    Expired,
}

pub fn watch(world: &Shared, incarnation: Incarnation, request: &ApiRequest) -> Response {
    let seconds = request.parameter("timeoutSeconds").and_then(|seconds| seconds.parse().ok()).unwrap_or(300);
    let ends_at = world.lock().unique_instant(Duration::from_secs(seconds), (incarnation, &request.path));
    let watch = Watch {
        world: world.clone(),
        incarnation,
        kind: if request.path.contains("secrets") { Kind::Secret } else { Kind::Plan },
        selector: request.parameter("fieldSelector").unwrap_or_default().to_owned(),
        labels: request.parameter("labelSelector").unwrap_or_default().to_owned(),
        version: request.parameter("resourceVersion").and_then(|version| version.parse().ok()).unwrap_or(0),
        passed: 0,
        changed: world.lock().subscribe(),
        not_before: Instant::now(),
        ends_at,
        ended: false,
    };
    let frames = stream::unfold(watch, |mut watch| async {
        let text = watch.next().await?;
        Some((Ok::<_, Infallible>(Frame::data(Bytes::from(text))), watch))
    });
    Response::new(BodyExt::boxed_unsync(StreamBody::new(frames.boxed())))
}

impl Watch {
    async fn next(&mut self) -> Option<String> {
        if self.ended {
            return None;
        }
        let delivery = loop {
            if let Some(delivery) = self.next_delivery() {
                break delivery;
            }
            timeout_at(self.ends_at, self.changed.changed()).await.ok()?.ok()?;
        };
        self.version = delivery.version;
        let delay = delivery.delay.max(self.not_before.saturating_duration_since(Instant::now()));
        self.not_before = self.world.lock().unique_instant(delay, (self.kind, &delivery.id));
        sleep_until(self.not_before).await;
        self.ended = delivery.end.is_some();
        match delivery.end {
            None => {
                if self.kind == Kind::Plan {
                    self.world.lock().oracle.watch_delivered(self.incarnation, delivery.version);
                }
                Some(delivery.text)
            }
            Some(WatchEnd::Broken) => None,
            Some(WatchEnd::Expired) => Some(json!({ "type": "ERROR", "object": status(410) }).to_string() + "\n"),
        }
    }

    /// The type of an event for this watch. An object that does not match the label selector any more is deleted for it.
    fn event_type(&self, event: &WatchEvent) -> Option<&'static str> {
        let concerns = event.id.kind == self.kind && matches_selector(&event.object, &self.selector);
        let was_selected = matches_selector(&event.former_labels, &self.labels);
        let is_selected = matches_selector(&event.object["metadata"]["labels"], &self.labels);
        match (event.event_type, was_selected, is_selected) {
            _ if !concerns => None,
            ("MODIFIED", true, false) => Some("DELETED"),
            ("MODIFIED", false, true) => Some("ADDED"),
            (event_type, _, true) => Some(event_type),
            (_, _, false) => None,
        }
    }

    fn next_delivery(&mut self) -> Option<Delivery> {
        let mut world = self.world.lock();
        let events = &world.store.events;
        let next = events.partition_point(|event| event.version <= self.version).max(self.passed);
        let mut seen = events[next..].iter().filter_map(|event| Some((self.event_type(event)?, event)));
        let Some((event_type, found)) = seen.next() else {
            self.passed = events.len();
            return None;
        };
        let (version, id) = (found.version, found.id.clone());
        let is_behind = world.is_large && seen.next().is_some();
        let text = json!({ "type": event_type, "object": found.object }).to_string() + "\n";
        let (breaks, delays) = (world.fault_rates.watch_breaks, world.fault_rates.watch_delays);
        let mut chance = world.chance((self.incarnation, "watch", &id));
        let longest = if chance.u32(0..1000) < delays.max(BASE_DELAY_RATE) { 1500 } else { 30 };
        let delay = Duration::from_millis(if is_behind { 0 } else { chance.u64(0..longest) });
        let end =
            (chance.u32(0..1000) < breaks).then(|| if chance.bool() { WatchEnd::Broken } else { WatchEnd::Expired });
        Some(Delivery { version, id, text, delay, end })
    }
}
