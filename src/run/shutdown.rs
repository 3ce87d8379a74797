//! SIGTERM and SIGINT as a value that every part of the process can wait for.

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing::info;

/// A receiver that becomes `true` at the first SIGTERM or SIGINT.
pub(super) fn on_signal() -> std::io::Result<watch::Receiver<bool>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let (sender, receiver) = watch::channel(false);
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        info!("received a shutdown signal: waiting for the requests in progress");
        let _ = sender.send(true);
    });
    Ok(receiver)
}

/// Returns when the shutdown is requested.
pub(super) async fn requested(mut shutdown: watch::Receiver<bool>) {
    // An error means that the sender was dropped: no signal can arrive any more, and the process shuts down too.
    let _ = shutdown.wait_for(|requested| *requested).await;
}
