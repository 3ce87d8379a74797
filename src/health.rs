//! The HTTP server for `/healthz`, `/readyz` and `/metrics`.

mod server;
mod watches;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::StatusCode;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;

use crate::metrics::Format;
use server::Limits;
pub use watches::WatchSigns;

/// Prometheus and the kubelet send one request and read its response at once.
const LIMITS: Limits =
    Limits { header_timeout: Duration::from_secs(5), connection_timeout: Duration::from_secs(10), connections: 64 };

/// Whether this replica is ready and alive.
///
/// It is ready with leader election at once, since a replica that waits for the Lease is ready, and without it once the
/// caches have synced. It is alive while its watches bring something.
#[derive(Default)]
pub struct Health {
    is_ready: AtomicBool,
    watches: watches::Watches,
}

impl Health {
    /// Reports this replica as ready from now on.
    pub fn set_ready(&self) {
        self.is_ready.store(true, Ordering::Relaxed);
    }

    /// A watch of this replica. Until it is dropped, this replica is alive only while the watch brings something.
    pub fn begin_watch(&self) -> WatchSigns {
        self.watches.begin()
    }

    /// Whether each watch of this replica has brought something within five minutes.
    pub fn is_alive(&self) -> bool {
        self.watches.are_alive()
    }

    fn is_ready(&self) -> bool {
        self.is_ready.load(Ordering::Relaxed)
    }
}

/// Binds the address of the server: this one, or else every address of the machine at port 8080.
///
/// # Errors
/// When the address cannot be bound.
pub fn bind(address: Option<SocketAddr>) -> std::io::Result<TcpListener> {
    server::bind(address)
}

/// Serves until the process ends.
pub async fn run(listener: TcpListener, health: Arc<Health>, registry: Arc<Registry>) -> Infallible {
    server::serve(listener, router(health, registry), LIMITS).await
}

fn router(health: Arc<Health>, registry: Arc<Registry>) -> Router {
    let probes = Router::new()
        .route("/healthz", get(async |State(health): State<Arc<Health>>| healthz(&health)))
        .route("/readyz", get(async |State(health): State<Arc<Health>>| readyz(&health)))
        .with_state(health);
    Router::new().route("/metrics", get(metrics)).with_state(registry).merge(probes)
}

fn healthz(health: &Health) -> Response {
    if health.is_alive() {
        "ok\n".into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "a watch of the API server has brought nothing for 5 minutes\n")
            .into_response()
    }
}

fn readyz(health: &Health) -> Response {
    if health.is_ready() {
        "ok\n".into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready: the caches have not synced\n").into_response()
    }
}

async fn metrics(State(registry): State<Arc<Registry>>, headers: HeaderMap) -> Response {
    let accept = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect::<Vec<_>>();
    let format = Format::accepted(&accept.join(","));
    match format.encode(&registry) {
        Ok(text) => ([(CONTENT_TYPE, format.content_type())], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
