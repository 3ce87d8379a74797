//! A cache that several watches fill, one for each watched namespace.
//!
//! The reflector of kube would clear the cache at each list of each namespace. Here a list is added object by object,
//! and what it does not contain is removed at its end. So a list never holds a second copy of all objects in memory
//! either.

use std::collections::HashSet;

use kube::Resource;
use kube::runtime::reflector::{ObjectRef, Store, store::Writer};
use kube::runtime::watcher::Event;
use tokio::sync::oneshot;

use crate::api::key::ObjectKey;

/// A change of the cache.
pub(super) enum Change<K> {
    /// The object was added or modified.
    Applied(K),
    /// The object was deleted.
    Deleted(ObjectKey),
}

/// A cache and the watches that fill it.
pub(super) struct Cache<K: Resource<DynamicType = ()> + Clone + 'static> {
    writer: Writer<K>,
    store: Store<K>,
    watches: Vec<Watched>,
    synced: Option<oneshot::Sender<()>>,
}

/// The objects of one watch.
#[derive(Default)]
struct Watched {
    known: HashSet<ObjectKey>,
    /// While a list is in progress: what it has contained so far.
    listed: Option<HashSet<ObjectKey>>,
    complete: bool,
}

impl<K: Resource<DynamicType = ()> + Clone + 'static> Cache<K> {
    /// An empty cache. `synced` is notified once each watch has completed its first list.
    pub(super) fn new(mut writer: Writer<K>, watches: usize, synced: oneshot::Sender<()>) -> Self {
        // kube treats the store as ready from here on. Whether it is complete is what `synced` says.
        writer.apply_watcher_event(&Event::Init);
        writer.apply_watcher_event(&Event::InitDone);
        let store = writer.as_reader();
        Self { writer, store, watches: (0..watches).map(|_| Watched::default()).collect(), synced: Some(synced) }
    }

    /// Applies an event of one watch.
    pub(super) fn apply(&mut self, watch: usize, event: Event<K>) -> Vec<Change<K>> {
        match event {
            Event::Init => {
                self.watches[watch].listed = Some(HashSet::new());
                vec![]
            }
            Event::InitApply(object) | Event::Apply(object) => {
                let key = ObjectKey::of(&object);
                let watched = &mut self.watches[watch];
                if let Some(listed) = &mut watched.listed {
                    listed.insert(key.clone());
                }
                watched.known.insert(key);
                self.writer.apply_watcher_event(&Event::Apply(object.clone()));
                vec![Change::Applied(object)]
            }
            Event::Delete(object) => {
                let key = ObjectKey::of(&object);
                self.watches[watch].known.remove(&key);
                self.writer.apply_watcher_event(&Event::Delete(object));
                vec![Change::Deleted(key)]
            }
            Event::InitDone => self.finish_list(watch),
        }
    }

    /// A list is complete: an object that it did not contain was deleted.
    fn finish_list(&mut self, watch: usize) -> Vec<Change<K>> {
        let watched = &mut self.watches[watch];
        let listed = watched.listed.take().unwrap_or_default();
        let deleted = watched.known.iter().filter(|key| !listed.contains(*key)).cloned().collect::<Vec<_>>();
        watched.known = listed;
        watched.complete = true;
        for key in &deleted {
            if let Some(object) = self.store.get(&ObjectRef::new(&key.name).within(&key.namespace)) {
                self.writer.apply_watcher_event(&Event::Delete((*object).clone()));
            }
        }
        if self.watches.iter().all(|watched| watched.complete)
            && let Some(synced) = self.synced.take()
        {
            let _ = synced.send(());
        }
        deleted.into_iter().map(Change::Deleted).collect()
    }
}
