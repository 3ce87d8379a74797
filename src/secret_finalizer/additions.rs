//! Plans that share a Secret add its finalizer with one write.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::api::key::{ObjectKey, parse_resource_version};

/// The additions by this process, by Secret.
#[derive(Default)]
pub(super) struct Additions(Mutex<HashMap<ObjectKey, Addition>>);

#[derive(Default)]
struct Addition {
    /// One plan at a time adds the finalizer.
    turn: Arc<tokio::sync::Mutex<()>>,
    added: Option<Added>,
}

/// The finalizer was added to one version of a Secret, and nothing else changed.
struct Added {
    before: Option<u64>,
    after: Option<String>,
}

impl Additions {
    /// Adds the finalizer to this version of a Secret, unless that is done already. A plan that calls this while another
    /// one adds it waits for the outcome. Returns the new version.
    pub(super) async fn share<E>(
        &self,
        key: &ObjectKey,
        version: Option<&str>,
        add: impl AsyncFnOnce() -> Result<Option<String>, E>,
    ) -> Result<Option<String>, E> {
        let turn = Arc::clone(&self.lock().entry(key.clone()).or_default().turn);
        let _turn = turn.lock().await;
        if let Some(after) = self.after(key, parse_resource_version(version)) {
            return Ok(Some(after));
        }
        let after = add().await?;
        let added = Added { before: parse_resource_version(version), after: after.clone() };
        self.lock().entry(key.clone()).or_default().added = Some(added);
        Ok(after)
    }

    /// The version of a Secret that differs from this one by the finalizer only.
    pub(super) fn after(&self, key: &ObjectKey, version: Option<u64>) -> Option<String> {
        let additions = self.lock();
        let added = additions.get(key)?.added.as_ref()?;
        added.after.clone().filter(|_| version.is_some() && added.before == version)
    }

    /// The cache shows this version of a Secret.
    pub(super) fn cache_updated(&self, key: &ObjectKey, version: Option<u64>) {
        if let Some(addition) = self.lock().get_mut(key) {
            addition.added.take_if(|added| parse_resource_version(added.after.as_deref()) < version);
        }
    }

    /// A Secret was deleted.
    pub(super) fn forget(&self, key: &ObjectKey) {
        self.lock().remove(key);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ObjectKey, Addition>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::future::join_all;
    use tokio::task::yield_now;

    use super::*;

    fn key(name: &str) -> ObjectKey {
        ObjectKey::new("team", name)
    }

    #[tokio::test]
    async fn plans_that_add_the_finalizer_to_the_same_version_write_once() {
        let (additions, writes) = (Additions::default(), AtomicUsize::new(0));
        let add = async |name: &str, version: &str| {
            let write = async || {
                writes.fetch_add(1, Ordering::Relaxed);
                yield_now().await;
                Ok::<_, ()>(Some(format!("{version}0")))
            };
            additions.share(&key(name), Some(version), write).await
        };
        let results = join_all((0..64).map(|_| add("a", "1"))).await;
        assert!(results.iter().all(|result| *result == Ok(Some("10".into()))));
        assert_eq!(writes.load(Ordering::Relaxed), 1);
        assert_eq!(add("b", "1").await, Ok(Some("10".into())), "another Secret");
        assert_eq!(add("a", "11").await, Ok(Some("110".into())), "another version");
        assert_eq!(writes.load(Ordering::Relaxed), 3);
    }

    #[tokio::test]
    async fn an_addition_is_known_until_the_secret_changes_again() {
        let additions = Additions::default();
        let add = async || Ok::<_, ()>(Some("10".into()));
        for (cached, known) in [(1, true), (10, true), (11, false)] {
            assert!(additions.share(&key("a"), Some("1"), add).await.is_ok());
            additions.cache_updated(&key("a"), Some(cached));
            assert_eq!(additions.after(&key("a"), Some(1)).is_some(), known, "{cached}");
            assert_eq!(additions.after(&key("a"), Some(2)), None, "another version");
        }
        assert!(additions.share(&key("a"), Some("1"), add).await.is_ok());
        additions.forget(&key("a"));
        assert_eq!(additions.after(&key("a"), Some(1)), None);
    }

    #[tokio::test]
    async fn after_a_failed_write_the_next_plan_tries_again() {
        let additions = Additions::default();
        assert_eq!(additions.share(&key("a"), Some("1"), async || Err(())).await, Err(()));
        assert_eq!(additions.share(&key("a"), Some("1"), async || Ok::<_, ()>(None)).await, Ok(None));
    }
}
