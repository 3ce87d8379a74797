//! Whether the watches of this replica still bring something.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::time::Instant;

/// A watch that has brought nothing for this long is dead. Each of them is begun again long before.
const LONGEST_SILENCE: Duration = Duration::from_mins(5);

/// The watches that this replica has now.
#[derive(Debug, Default)]
pub(super) struct Watches(Mutex<Vec<Weak<Mutex<Instant>>>>);

/// One watch, until it is dropped.
#[derive(Debug)]
pub struct WatchSigns(Arc<Mutex<Instant>>);

impl WatchSigns {
    /// The API server has sent something.
    pub fn received(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }
}

impl Watches {
    pub(super) fn begin(&self) -> WatchSigns {
        let watch = Arc::new(Mutex::new(Instant::now()));
        let mut watches = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        watches.retain(|watch| watch.strong_count() > 0);
        watches.push(Arc::downgrade(&watch));
        WatchSigns(watch)
    }

    /// Whether each watch has brought something lately. A replica that does not lead has none.
    pub(super) fn are_alive(&self) -> bool {
        let watches = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut last = watches.iter().filter_map(Weak::upgrade);
        last.all(|last| last.lock().unwrap_or_else(PoisonError::into_inner).elapsed() < LONGEST_SILENCE)
    }
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;
    use tokio::time::advance;

    use super::super::{Health, healthz};
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn healthz_fails_while_a_watch_brings_nothing() {
        let health = Health::default();
        assert_eq!(healthz(&health).status(), StatusCode::OK);
        let (plans, secrets) = (health.begin_watch(), health.begin_watch());
        advance(LONGEST_SILENCE / 2).await;
        plans.received();
        advance(LONGEST_SILENCE / 2).await;
        assert_eq!(healthz(&health).status(), StatusCode::SERVICE_UNAVAILABLE, "one of two watches is dead");
        secrets.received();
        assert_eq!(healthz(&health).status(), StatusCode::OK);
        advance(LONGEST_SILENCE).await;
        drop((plans, secrets));
        assert_eq!(healthz(&health).status(), StatusCode::OK, "this replica does not lead any more");
    }
}
