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

use crate::api::key::{ObjectKey, resource_version};
use crate::controller::list_watch::Received;
use crate::controller::versions::{self, Versions, WentBack};

/// A change of the cache.
pub(super) enum Change<K> {
    /// The object was added or modified.
    Applied(K),
    /// The object was deleted.
    Deleted(ObjectKey),
    /// All changes of one watch up to this version have been applied.
    Complete(u64),
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
    versions: Versions,
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

    /// Applies what one watch has received.
    ///
    /// # Errors
    /// When it is older than what the watch has received before.
    pub(super) fn receive(&mut self, watch: usize, received: Received<K>) -> Result<Vec<Change<K>>, WentBack> {
        let versions = &mut self.watches[watch].versions;
        match received {
            Received::Probed(version) => versions.is_ahead(&version).map(|()| vec![]),
            Received::Version(version) => Ok(versions.advance(&version)?.map(Change::Complete).into_iter().collect()),
            Received::Event(event) => {
                if let Event::Apply(object) | Event::Delete(object) = &event {
                    versions.advance(object.meta().resource_version.as_deref().unwrap_or_default())?;
                }
                if let Event::Apply(object) | Event::InitApply(object) = &event {
                    let key = ObjectKey::of(object);
                    versions::object(&key, self.version(&key), resource_version(object))?;
                }
                Ok(self.apply(watch, event))
            }
        }
    }

    /// Compares the objects of one watch, whose changes up to `complete` have been applied, with the versions that this
    /// process knows from elsewhere.
    ///
    /// # Errors
    /// When an object is older although its change should have been applied.
    pub(super) fn compare(
        &self,
        watch: usize,
        complete: u64,
        known: impl Fn(&ObjectKey) -> Option<u64>,
    ) -> Result<(), WentBack> {
        let mut keys = self.watches[watch].known.iter();
        keys.try_for_each(|key| versions::known(key, self.version(key), known(key), complete))
    }

    /// The version up to which every change of a watch has been applied.
    pub(super) fn delivered(&self, watch: usize) -> u64 {
        self.watches[watch].versions.newest()
    }

    fn version(&self, key: &ObjectKey) -> Option<u64> {
        resource_version(&*self.store.get(&ObjectRef::new(&key.name).within(&key.namespace))?)
    }

    fn apply(&mut self, watch: usize, event: Event<K>) -> Vec<Change<K>> {
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

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::runtime::reflector::store;
    use serde_json::json;

    use super::*;

    fn object(name: &str, version: u64) -> ConfigMap {
        let metadata = json!({ "namespace": "team", "name": name, "resourceVersion": version.to_string() });
        serde_json::from_value(json!({ "metadata": metadata })).expect("an object")
    }

    /// A cache whose watch has listed an object at version 5 and has arrived at version 9.
    fn cache() -> Cache<ConfigMap> {
        let mut cache = Cache::new(store().1, 1, oneshot::channel().0);
        for event in [Event::Init, Event::InitApply(object("a", 5)), Event::InitDone] {
            assert!(cache.receive(0, Received::Event(event)).is_ok());
        }
        let changes = cache.receive(0, Received::Version("9".into())).expect("it grows");
        assert!(matches!(changes.as_slice(), [Change::Complete(9)]));
        cache
    }

    #[test]
    fn versions_that_grow_are_applied() {
        let mut cache = cache();
        for received in [
            Received::Probed("9".into()),
            Received::Probed("30".into()),
            Received::Event(Event::Apply(object("a", 10))),
            Received::Event(Event::Apply(object("b", 11))),
            Received::Event(Event::Delete(object("b", 12))),
            Received::Event(Event::Init),
            Received::Event(Event::InitApply(object("a", 10))),
            Received::Event(Event::InitDone),
            Received::Version("20".into()),
        ] {
            assert!(cache.receive(0, received).is_ok());
        }
        assert_eq!(cache.version(&ObjectKey::new("team", "a")), Some(10));
    }

    #[test]
    fn whatever_is_older_than_before_is_noticed() {
        for received in [
            Received::Version("8".into()),
            Received::Probed("8".into()),
            Received::Event(Event::Apply(object("b", 8))),
            Received::Event(Event::Delete(object("a", 8))),
            Received::Event(Event::InitApply(object("a", 4))),
        ] {
            assert!(cache().receive(0, received).is_err());
        }
    }

    /// etcd was restored before the watch brought a write of this process.
    #[test]
    fn a_write_of_this_process_that_is_missing_from_complete_changes_is_noticed() {
        let cache = cache();
        assert!(cache.compare(0, 9, |_| Some(5)).is_ok());
        assert!(cache.compare(0, 9, |_| Some(10)).is_ok(), "it may still arrive");
        assert!(cache.compare(0, 9, |_| Some(9)).is_err());
        assert!(cache.compare(0, 1_000_000_009, |_| Some(10)).is_err());
    }
}
