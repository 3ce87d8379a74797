//! Plans that share a Secret add its finalizer with one write.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::api::key::ObjectKey;

/// The additions that the cache does not show yet, by Secret.
#[derive(Default)]
pub(super) struct Additions(Mutex<HashMap<ObjectKey, Arc<tokio::sync::Mutex<Option<Added>>>>>);

/// The finalizer was added to one version of a Secret, and nothing else changed.
struct Added {
    to: Option<String>,
    new_version: Option<String>,
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
        let addition = Arc::clone(self.lock().entry(key.clone()).or_default());
        let mut added = addition.lock().await;
        if let Some(added) = added.as_ref().filter(|added| added.to.as_deref() == version) {
            return Ok(added.new_version.clone());
        }
        let new_version = add().await?;
        *added = Some(Added { to: version.map(Into::into), new_version: new_version.clone() });
        Ok(new_version)
    }

    /// The cache shows another version of a Secret, or the Secret was deleted.
    pub(super) fn forget(&self, key: &ObjectKey) {
        self.lock().remove(key);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ObjectKey, Arc<tokio::sync::Mutex<Option<Added>>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::future::join_all;
    use tokio::task::yield_now;

    use super::*;

    #[tokio::test]
    async fn plans_that_add_the_finalizer_to_the_same_version_write_once() {
        let (additions, writes) = (Additions::default(), AtomicUsize::new(0));
        let add = async |name: &str, version: &str| {
            let write = async || {
                writes.fetch_add(1, Ordering::Relaxed);
                yield_now().await;
                Ok::<_, ()>(Some(format!("{version}+")))
            };
            additions.share(&ObjectKey::new("team", name), Some(version), write).await
        };
        let results = join_all((0..64).map(|_| add("a", "1"))).await;
        assert!(results.iter().all(|result| *result == Ok(Some("1+".into()))));
        assert_eq!(writes.load(Ordering::Relaxed), 1);
        assert_eq!(add("a", "2").await, Ok(Some("2+".into())), "another version");
        assert_eq!(add("b", "1").await, Ok(Some("1+".into())), "another Secret");
        assert_eq!(writes.load(Ordering::Relaxed), 3);
        additions.forget(&ObjectKey::new("team", "b"));
        assert!(add("b", "1").await.is_ok());
        assert_eq!(writes.load(Ordering::Relaxed), 4, "it was removed meanwhile");
    }

    #[tokio::test]
    async fn after_a_failed_write_the_next_plan_tries_again() {
        let additions = Additions::default();
        let key = ObjectKey::new("team", "a");
        assert_eq!(additions.share(&key, Some("1"), async || Err(())).await, Err(()));
        assert_eq!(additions.share(&key, Some("1"), async || Ok::<_, ()>(None)).await, Ok(None));
    }
}
