//! Up to which version the watch of plans has delivered every change.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

/// How long to wait for the watch. It usually takes milliseconds; one that takes longer may hang.
const PATIENCE: Duration = Duration::from_secs(1);

/// The version up to which the index has every change, if one watch delivers all plans.
pub struct Delivered(watch::Sender<u64>);

impl Default for Delivered {
    fn default() -> Self {
        Self(watch::Sender::new(0))
    }
}

impl Delivered {
    /// The index has every change up to this version.
    pub fn advance(&self, version: u64) {
        self.0.send_if_modified(|delivered| {
            let is_newer = version > *delivered;
            *delivered = version.max(*delivered);
            is_newer
        });
    }

    /// Waits until the index has every change up to this version. Returns whether it has, within a short time.
    pub async fn wait_for(&self, version: u64) -> bool {
        let mut delivered = self.0.subscribe();
        let reached = delivered.wait_for(|delivered| *delivered >= version);
        timeout(PATIENCE, reached).await.is_ok_and(|reached| reached.is_ok())
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_version_is_waited_for_until_it_is_delivered() {
        let delivered = Delivered::default();
        delivered.advance(7);
        assert_eq!(delivered.wait_for(7).now_or_never(), Some(true));
        let mut waiting = Box::pin(delivered.wait_for(9));
        delivered.advance(8);
        delivered.advance(3);
        assert_eq!((&mut waiting).now_or_never(), None, "8 is not enough");
        delivered.advance(20);
        assert!(waiting.await, "a later version includes it");
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_that_hangs_is_not_waited_for_any_longer() {
        let started = Instant::now();
        assert!(!Delivered::default().wait_for(1).await);
        assert_eq!(started.elapsed(), PATIENCE);
    }
}
