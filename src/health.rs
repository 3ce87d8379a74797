//! `/healthz`, `/readyz` and `/metrics`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Router, serve};
use tokio::net::TcpListener;

use crate::metrics::Metrics;

const METRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Whether this replica is ready: standing by for the lead, or leading with complete caches.
#[derive(Default)]
pub struct Health(AtomicBool);

impl Health {
    /// From now on it is.
    pub fn set_ready(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn is_ready(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Binds the address.
///
/// # Errors
/// When it cannot be bound.
pub async fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    TcpListener::bind(address).await
}

/// Serves until the process ends.
///
/// # Errors
/// When the listener fails.
pub async fn run(listener: TcpListener, health: Arc<Health>, metrics: Arc<Metrics>) -> std::io::Result<()> {
    serve(listener, routes(health, metrics)).await
}

fn routes(health: Arc<Health>, metrics: Arc<Metrics>) -> Router {
    let readiness = Router::new()
        .route("/readyz", get(async |State(health): State<Arc<Health>>| ready(&health)))
        .with_state(health);
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/metrics", get(async |State(metrics): State<Arc<Metrics>>| expose(&metrics)))
        .with_state(metrics)
        .merge(readiness)
}

fn ready(health: &Health) -> Response {
    if health.is_ready() {
        "ok\n".into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "the caches are not complete yet\n").into_response()
    }
}

fn expose(metrics: &Metrics) -> Response {
    match metrics.text() {
        Ok(text) => ([(CONTENT_TYPE, METRICS_TYPE)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
