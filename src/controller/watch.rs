//! The watches: they fill the caches, keep the directory, and wake plans.
//!
//! One stream for all namespaces watched feeds one cache. kube's own reflector would empty the cache at each listing of each
//! namespace, so a listing is taken in object by object here, and what it no longer shows is taken out at its end. That also
//! keeps a second copy of everything from standing in memory during a listing.

use std::collections::HashSet;
use std::fmt::Debug;
use std::sync::Arc;

use futures::stream::{BoxStream, StreamExt, select_all};
use kube::api::Api;
use kube::core::{NamespaceResourceScope, ObjectMeta};
use kube::runtime::reflector::{ObjectRef, Store, store::Writer};
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt, watcher as watch};
use kube::{Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::sync::oneshot;
use tracing::{debug, warn};

use crate::api::credentials::{CredentialsSecret, IN_USE_FINALIZER, SECRET_TYPE};
use crate::api::key::Key;
use crate::api::plan::RECONCILE_REQUESTED_AT;
use crate::index::Index;
use crate::index::triggers::{Triggers, WatchedPlan};
use crate::metrics::Metrics;
use crate::reconcile::state::PlanStates;
use crate::text;

/// What is watched.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    /// The namespaces; none: all.
    pub namespaces: Vec<String>,
    /// Only plans with these labels.
    pub label_selector: Option<String>,
}

impl Scope {
    fn apis<K>(&self, client: &Client) -> Vec<Api<K>>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        if self.namespaces.is_empty() {
            return vec![Api::all(client.clone())];
        }
        self.namespaces.iter().map(|namespace| Api::namespaced(client.clone(), namespace)).collect()
    }
}

/// A change that a watch has brought.
enum Change<K> {
    Put(K),
    Gone(Key),
}

/// A cache that several watches fill.
struct Cache<K: Resource<DynamicType = ()> + Clone + 'static> {
    writer: Writer<K>,
    store: Store<K>,
    scopes: Vec<Listing>,
    synced: Option<oneshot::Sender<()>>,
}

/// What one watch has shown.
#[derive(Default)]
struct Listing {
    known: HashSet<Key>,
    /// During a listing: what it has shown so far.
    relisted: Option<HashSet<Key>>,
    complete: bool,
}

impl<K: Resource<DynamicType = ()> + Clone + 'static> Cache<K> {
    fn new(mut writer: Writer<K>, scopes: usize, synced: oneshot::Sender<()>) -> Self {
        // The store counts as ready from the start; whether it is complete is for `synced` to say.
        writer.apply_watcher_event(&Event::Init);
        writer.apply_watcher_event(&Event::InitDone);
        let store = writer.as_reader();
        Self { writer, store, scopes: (0..scopes).map(|_| Listing::default()).collect(), synced: Some(synced) }
    }

    fn absorb(&mut self, scope: usize, event: Event<K>) -> Vec<Change<K>> {
        match event {
            Event::Init => {
                self.scopes[scope].relisted = Some(HashSet::new());
                vec![]
            }
            Event::InitApply(object) | Event::Apply(object) => {
                let key = Key::of(&object);
                let listing = &mut self.scopes[scope];
                if let Some(relisted) = &mut listing.relisted {
                    relisted.insert(key.clone());
                }
                listing.known.insert(key);
                self.writer.apply_watcher_event(&Event::Apply(object.clone()));
                vec![Change::Put(object)]
            }
            Event::Delete(object) => {
                let key = Key::of(&object);
                self.scopes[scope].known.remove(&key);
                self.writer.apply_watcher_event(&Event::Delete(object));
                vec![Change::Gone(key)]
            }
            Event::InitDone => self.listed(scope),
        }
    }

    /// A listing is complete: what it did not show is gone.
    fn listed(&mut self, scope: usize) -> Vec<Change<K>> {
        let listing = &mut self.scopes[scope];
        let shown = listing.relisted.take().unwrap_or_default();
        let gone = listing.known.iter().filter(|key| !shown.contains(*key)).cloned().collect::<Vec<_>>();
        listing.known = shown;
        listing.complete = true;
        for key in &gone {
            if let Some(object) = self.store.get(&ObjectRef::new(&key.name).within(&key.namespace)) {
                self.writer.apply_watcher_event(&Event::Delete((*object).clone()));
            }
        }
        if self.scopes.iter().all(|listing| listing.complete)
            && let Some(synced) = self.synced.take()
        {
            let _ = synced.send(());
        }
        gone.into_iter().map(Change::Gone).collect()
    }
}

/// What the watches watch, and whom they tell.
#[derive(Clone)]
pub struct Watcher {
    /// The API server.
    pub client: Client,
    /// What is watched.
    pub scope: Scope,
    /// Who belongs to whom.
    pub directory: Arc<Index>,
    /// What is remembered of each plan.
    pub notes: Arc<PlanStates>,
    /// Where plans are woken.
    pub bells: Triggers,
    /// The metrics.
    pub metrics: Arc<Metrics>,
}

/// Watches plans until the process ends.
pub async fn plans(watcher: Watcher, writer: Writer<WatchedPlan>, synced: oneshot::Sender<()>) {
    let Watcher { client, scope, directory, notes, bells, metrics } = watcher;
    let mut config = watcher::Config::default();
    config.label_selector.clone_from(&scope.label_selector);
    let apis = scope.apis::<WatchedPlan>(&client);
    let mut cache = Cache::new(writer, apis.len(), synced);
    let mut events = events(apis, &config, trim_plan, "plans", &metrics);
    while let Some((scope, event)) = events.next().await {
        for change in cache.absorb(scope, event) {
            match change {
                Change::Put(guard) => plan_changed(&guard, &directory, &bells),
                Change::Gone(key) => {
                    if let Some(uid) = directory.uid(&key) {
                        notes.forget(&uid);
                    }
                    bells.ripple(directory.remove(&key));
                }
            }
        }
    }
}

fn plan_changed(guard: &WatchedPlan, directory: &Index, bells: &Triggers) {
    match &guard.0 {
        Ok(plan) => {
            let key = Key::of(plan);
            bells.ripple(directory.put(plan));
            bells.wake(&key);
        }
        Err(invalid) => {
            let key = Key::of(guard);
            warn!(plan = %key, error = %text::words(&invalid.error, &[]), "this plan cannot be decoded and is left alone; others go on");
            directory.put_undecodable(key);
        }
    }
}

/// Watches the Secrets of our type until the process ends.
pub async fn secrets(watcher: Watcher, writer: Writer<CredentialsSecret>, synced: oneshot::Sender<()>) {
    let Watcher { client, scope, directory, bells, metrics, .. } = watcher;
    let config = watcher::Config::default().fields(&format!("type={SECRET_TYPE}"));
    let apis = scope.apis::<CredentialsSecret>(&client);
    let mut cache = Cache::new(writer, apis.len(), synced);
    let mut events = events(apis, &config, trim_secret, "secrets", &metrics);
    while let Some((scope, event)) = events.next().await {
        for change in cache.absorb(scope, event) {
            let key = match change {
                Change::Put(secret) => {
                    let key = Key::of(&secret);
                    if secret.finalizers().iter().any(|name| name == IN_USE_FINALIZER) {
                        bells.check_secret(key.clone());
                    }
                    key
                }
                Change::Gone(key) => {
                    directory.forget_release(&key);
                    key
                }
            };
            for plan in directory.users(&key) {
                bells.wake(&plan);
            }
        }
    }
}

/// The events of several watches, each with the number of the watch it came from. A watch that breaks is begun again.
fn events<K>(
    apis: Vec<Api<K>>,
    config: &watcher::Config,
    trim: fn(&mut K),
    what: &'static str,
    metrics: &Arc<Metrics>,
) -> BoxStream<'static, (usize, Event<K>)>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let streams = apis.into_iter().enumerate().map(|(scope, api)| {
        let metrics = Arc::clone(metrics);
        watch(api, config.clone())
            .default_backoff()
            .modify(trim)
            .filter_map(move |event| {
                let event = event.map_err(|error| watch_broke(what, &error, &metrics)).ok();
                futures::future::ready(event.map(|event| (scope, event)))
            })
            .boxed()
    });
    select_all(streams).boxed()
}

fn watch_broke(what: &'static str, error: &watcher::Error, metrics: &Metrics) {
    metrics.watch_broke();
    if let watcher::Error::WatchError(status) = error
        && status.code == 410
    {
        debug!(what, "the watch is too old and is begun again");
    } else if let watcher::Error::InitialListFailed(kube::Error::Api(status)) = error
        && status.code == 404
    {
        warn!(what, "not known to the API server: is the CustomResourceDefinition installed? It is tried again");
    } else {
        warn!(what, error = %text::error(error), "the watch broke and is begun again");
    }
}

/// What is never looked at is not kept: with thousands of plans it is most of what an object weighs.
fn trim_plan(guard: &mut WatchedPlan) {
    let metadata = guard.meta_mut();
    trim(metadata);
    if let Some(annotations) = &mut metadata.annotations {
        annotations.retain(|name, _| name == RECONCILE_REQUESTED_AT);
    }
}

fn trim_secret(secret: &mut CredentialsSecret) {
    trim(&mut secret.metadata);
    secret.metadata.annotations = None;
}

fn trim(metadata: &mut ObjectMeta) {
    metadata.managed_fields = None;
    metadata.labels = None;
    metadata.owner_references = None;
}
