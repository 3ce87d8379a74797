//! Lists objects and watches them, and notices when the API server does not answer.
//!
//! The watcher of kube waits without a limit for a list and for the start of a watch. It also hides what a watch brings
//! apart from objects: the version of a list, and bookmarks. So a watch that hangs could not be told from a quiet one.
//!
//! - Each request has a time limit. The API server ends a watch itself after [`WATCH_TIME`]. One that is silent for
//!   longer hangs. That costs three to six requests per minute and watch. If all connections hang, the requests of the
//!   next reconcile take another 15 s to end, and everything together must not take longer than a minute.
//! - Bookmarks alone do not show that a quiet watch works: the API server sends one only when the version has
//!   progressed, which may take ten minutes. A watch that has brought nothing is followed by a list of one object.
//! - A watch that ended in order is resumed. After anything else everything is listed again.

use std::collections::VecDeque;
use std::fmt::Debug;
use std::time::Duration;

use futures::Stream;
use futures::stream::{BoxStream, StreamExt, unfold};
use kube::api::{Api, ListParams, WatchEvent, WatchParams};
use kube::core::Status;
use kube::runtime::watcher::Event;
use kube::{Resource, ResourceExt};
use serde::de::DeserializeOwned;
use thiserror::Error;
use tokio::time::{Instant, timeout, timeout_at};

use crate::index::list::{ListResponse, Next};

/// How many objects a page of a list contains at most, so that the API server need not hold more of them at once.
const PAGE_SIZE: u32 = 50;
/// After this time the API server ends a watch.
const WATCH_TIME: Duration = Duration::from_secs(20);
/// A watch that has been silent for this long hangs.
const SILENCE_LIMIT: Duration = Duration::from_secs(25);
/// How long a page of a list may take, to its last byte.
const LIST_LIMIT: Duration = Duration::from_secs(30);
/// How long the start of a watch may take. No object is sent before it is answered.
const START_LIMIT: Duration = Duration::from_secs(10);

/// What is listed and watched.
#[derive(Clone, Debug, Default)]
pub(super) struct Selectors {
    /// The label selector.
    pub(super) labels: Option<String>,
    /// The field selector.
    pub(super) fields: Option<String>,
}

/// What the API server has sent.
#[derive(Debug)]
pub(super) enum Received<K> {
    /// A change of the objects.
    Event(Event<K>),
    /// The changes up to this version are complete.
    Version(String),
    /// It is at this version. The changes up to it may not have arrived.
    Probed(String),
}

/// Why a list or a watch ended.
#[derive(Debug, Error)]
pub(super) enum Error {
    /// The list failed.
    #[error("the list failed")]
    List(#[source] kube::Error),
    /// The watch could not be started.
    #[error("the watch could not be started")]
    Start(#[source] kube::Error),
    /// The watch failed.
    #[error("the watch failed")]
    Watch(#[source] kube::Error),
    /// The API server ended the watch with an error.
    #[error("the API server ended the watch: {0}")]
    Ended(Box<Status>),
    /// The API server ended the watch early, and without an error.
    #[error("the API server ended the watch early")]
    EndedEarly,
    /// The API server does not answer.
    #[error("the API server has sent nothing for {} s", .0.as_secs())]
    Silent(Duration),
    /// A list has no version, so it cannot be watched.
    #[error("the list has no resourceVersion")]
    NoVersion,
}

/// Lists and watches for as long as the stream is polled. It goes on after an error.
pub(super) fn list_watch<K>(api: Api<K>, selectors: Selectors) -> impl Stream<Item = Result<Received<K>, Error>> + Send
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    unfold(ListWatch { api, selectors, received: VecDeque::new(), state: State::LIST }, |mut list_watch| async {
        let received = list_watch.next().await;
        Some((received, list_watch))
    })
}

struct ListWatch<K> {
    api: Api<K>,
    selectors: Selectors,
    /// What was received and is not handed on yet.
    received: VecDeque<Received<K>>,
    state: State<K>,
}

/// What comes next.
enum State<K> {
    /// A page of a list. Without a token it is the first.
    List { token: Option<String> },
    /// The objects of a page, which must arrive before the deadline.
    Page { page: ListResponse<K>, deadline: Instant },
    /// A list of one object, because the last watch has brought nothing.
    Probe { version: String },
    /// The start of a watch.
    Start { version: String },
    /// What the watch brings.
    Watch { version: String, watch: Watch<K> },
}

struct Watch<K> {
    events: BoxStream<'static, kube::Result<WatchEvent<K>>>,
    started: Instant,
    /// Whether it has brought anything.
    is_proven: bool,
}

impl<K> State<K> {
    const LIST: Self = Self::List { token: None };
}

impl<K> ListWatch<K>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    async fn next(&mut self) -> Result<Received<K>, Error> {
        loop {
            if let Some(received) = self.received.pop_front() {
                return Ok(received);
            }
            // After an error everything is listed again.
            let state = std::mem::replace(&mut self.state, State::LIST);
            self.state = match state {
                State::List { token } => self.list(token).await?,
                State::Page { page, deadline } => self.page(page, deadline).await?,
                State::Probe { version } => self.probe(version).await?,
                State::Start { version } => self.start(version).await?,
                State::Watch { version, watch } => self.watch(version, watch).await?,
            };
        }
    }

    async fn list(&mut self, token: Option<String>) -> Result<State<K>, Error> {
        let is_first = token.is_none();
        let parameters = ListParams { limit: Some(PAGE_SIZE), continue_token: token, ..self.list_parameters() };
        let deadline = Instant::now() + LIST_LIMIT;
        let page = within(LIST_LIMIT, ListResponse::request(&self.api, &parameters)).await?.map_err(Error::List)?;
        self.received.extend(is_first.then_some(Received::Event(Event::Init)));
        Ok(State::Page { page, deadline })
    }

    /// Hands on one object before the next one is read.
    async fn page(&mut self, mut page: ListResponse<K>, deadline: Instant) -> Result<State<K>, Error> {
        let next = timeout_at(deadline, page.next()).await.map_err(|_| Error::Silent(LIST_LIMIT))?;
        let metadata = match next.map_err(Error::List)? {
            Next::Object(object) => {
                self.received.push_back(Received::Event(Event::InitApply(object)));
                return Ok(State::Page { page, deadline });
            }
            Next::End(metadata) => metadata,
        };
        if let Some(token) = metadata.continue_.filter(|token| !token.is_empty()) {
            return Ok(State::List { token: Some(token) });
        }
        let version = metadata.resource_version.filter(|version| !version.is_empty()).ok_or(Error::NoVersion)?;
        self.received.extend([Received::Event(Event::InitDone), Received::Version(version.clone())]);
        Ok(State::Start { version })
    }

    async fn probe(&mut self, version: String) -> Result<State<K>, Error> {
        let one = ListParams { limit: Some(1), ..self.list_parameters() };
        let list = within(LIST_LIMIT, self.api.list_metadata(&one)).await?.map_err(Error::List)?;
        self.received.push_back(Received::Probed(list.metadata.resource_version.unwrap_or_default()));
        Ok(State::Start { version })
    }

    async fn start(&mut self, version: String) -> Result<State<K>, Error> {
        let Selectors { labels, fields } = self.selectors.clone();
        let parameters = WatchParams {
            label_selector: labels,
            field_selector: fields,
            timeout: u32::try_from(WATCH_TIME.as_secs()).ok(),
            bookmarks: true,
            send_initial_events: false,
        };
        let events = within(START_LIMIT, self.api.watch(&parameters, &version)).await?.map_err(Error::Start)?.boxed();
        Ok(State::Watch { version, watch: Watch { events, started: Instant::now(), is_proven: false } })
    }

    async fn watch(&mut self, version: String, mut watch: Watch<K>) -> Result<State<K>, Error> {
        let event = match within(SILENCE_LIMIT, watch.events.next()).await? {
            Some(event) => event.map_err(Error::Watch)?,
            None if watch.is_proven => return Ok(State::Start { version }),
            None if watch.started.elapsed() < WATCH_TIME / 2 => return Err(Error::EndedEarly),
            None => return Ok(State::Probe { version }),
        };
        watch.is_proven = true;
        let (event, version) = match event {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                let version = object.resource_version();
                (Some(Event::Apply(object)), version)
            }
            WatchEvent::Deleted(object) => {
                let version = object.resource_version();
                (Some(Event::Delete(object)), version)
            }
            WatchEvent::Bookmark(bookmark) => (None, Some(bookmark.metadata.resource_version)),
            WatchEvent::Error(status) => return Err(Error::Ended(status)),
        };
        let version = version.filter(|version| !version.is_empty()).ok_or(Error::NoVersion)?;
        self.received.push_back(event.map_or_else(|| Received::Version(version.clone()), Received::Event));
        Ok(State::Watch { version, watch })
    }

    fn list_parameters(&self) -> ListParams {
        let Selectors { labels, fields } = self.selectors.clone();
        ListParams { label_selector: labels, field_selector: fields, ..ListParams::default() }
    }
}

async fn within<T>(limit: Duration, request: impl Future<Output = T>) -> Result<T, Error> {
    timeout(limit, request).await.map_err(|_| Error::Silent(limit))
}

#[cfg(test)]
mod tests;
