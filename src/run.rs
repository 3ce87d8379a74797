//! The process: set up, lead, run, end.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use http::header::USER_AGENT;
use kube::{Client, Config};
use thiserror::Error;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing::info;

use crate::cli::RunArgs;
use crate::clock::Clock;
use crate::controller::watch::Scope;
use crate::controller::{self, Dependencies};
use crate::domain::facts::Settings;
use crate::fic::{Endpoints, FicClient, Limits};
use crate::health::{self, Health};
use crate::leader_election::{LeaderElector, Leadership};
use crate::metrics::Metrics;

/// How long a call to the API server may go without an answer.
const CALL_TIMEOUT: Duration = Duration::from_secs(15);

/// What keeps the operator from starting, or from going on.
#[derive(Debug, Error)]
pub enum RunError {
    /// No way to the API server is known.
    #[error("no configuration for the API server: {0}")]
    Kubeconfig(#[source] kube::config::InferConfigError),
    /// The client of the API server cannot be set up.
    #[error("the client of the API server cannot be set up: {0}")]
    KubernetesClient(#[source] kube::Error),
    /// The client of FIC cannot be set up.
    #[error("the client of FIC cannot be set up: {0}")]
    FicClient(#[source] reqwest::Error),
    /// The address for health and metrics cannot be bound.
    #[error("--http-bind-address {0} cannot be bound: {1}")]
    Bind(std::net::SocketAddr, #[source] std::io::Error),
    /// Signals cannot be received.
    #[error("signals cannot be received: {0}")]
    Signals(#[source] std::io::Error),
    /// Health and metrics are served no longer: whoever watches the process must see it end.
    #[error("the server of health and metrics failed: {0}")]
    Serve(#[source] std::io::Error),
}

/// Runs the operator until it is told to end.
///
/// # Errors
/// What keeps it from starting, or from going on.
pub async fn run(arguments: RunArgs) -> Result<(), RunError> {
    let stop = stop_signal().map_err(RunError::Signals)?;
    let metrics = Arc::new(Metrics::default());
    let health = Arc::new(Health::default());
    let address = arguments.http_bind_address;
    let bound_error = |error| RunError::Bind(address, error);
    let listener = health::bind(address).await.map_err(bound_error)?;
    let bound = listener.local_addr().map_err(bound_error)?;

    let (client, watch_client) = clients().await?;
    let endpoints = Endpoints { fic: arguments.fic_endpoint.clone(), keystone: arguments.keystone_endpoint.clone() };
    let limits =
        Limits { request_timeout: arguments.request_timeout, requests_per_second: arguments.fic_requests_per_second };
    let fic = FicClient::new(endpoints, arguments.roots.clone(), limits, Arc::clone(&metrics));
    let parts = Dependencies {
        client: client.clone(),
        watch_client,
        fic: Arc::new(fic.map_err(RunError::FicClient)?),
        scope: Scope {
            namespaces: arguments.watch_namespaces.clone(),
            label_selector: arguments.label_selector.clone(),
        },
        settings: Settings {
            poll_interval: arguments.poll_interval,
            resync_interval: arguments.resync_interval,
            operation_timeout: arguments.operation_timeout,
        },
        concurrency: arguments.concurrency,
        metrics: Arc::clone(&metrics),
        health: Arc::clone(&health),
        identity: identity(),
        clock: Clock::default(),
    };
    info!(
        version = env!("CARGO_PKG_VERSION"),
        fic = %arguments.fic_endpoint,
        keystone = %arguments.keystone_endpoint,
        http = %bound,
        "starting"
    );
    let serve = health::run(listener, health, metrics);
    tokio::select! {
        served = serve => served.map_err(RunError::Serve)?,
        () = work(&parts, &arguments, client, stop) => {}
    }
    info!("ended");
    Ok(())
}

async fn work(parts: &Dependencies, arguments: &RunArgs, client: Client, stop: watch::Receiver<bool>) {
    if arguments.leader_elect {
        let namespace = std::env::var("POD_NAMESPACE").unwrap_or_else(|_| client.default_namespace().to_owned());
        let mut elector = LeaderElector::new(client, &namespace, lease_name(&parts.scope), parts.identity.clone());
        run_elected(parts, &mut elector, &stop).await;
    } else {
        parts.metrics.set_leading(true);
        controller::run(parts, Leadership::Always, stopped(stop)).await;
    }
}

/// Leads whenever it can. A lead that is lost ends everything under way at once: what was sent is looked up by whoever leads
/// next, and nothing is remembered when this replica leads again.
pub async fn run_elected(parts: &Dependencies, elector: &mut LeaderElector, stop: &watch::Receiver<bool>) {
    parts.health.set_ready();
    loop {
        tokio::select! {
            biased;
            () = elector.acquire() => {}
            () = stopped(stop.clone()) => return,
        }
        parts.metrics.set_leading(true);
        let lead = elector.leadership();
        let ended = tokio::select! {
            biased;
            () = elector.renew() => false,
            () = controller::run(parts, lead, stopped(stop.clone())) => true,
        };
        parts.metrics.set_leading(false);
        if ended {
            elector.release().await;
            return;
        }
    }
}

/// Two clients: a watch stays open without a word for minutes, a call must not.
async fn clients() -> Result<(Client, Client), RunError> {
    let mut config = Config::infer().await.map_err(RunError::Kubeconfig)?;
    config.headers.push((USER_AGENT, HeaderValue::from_static(crate::USER_AGENT)));
    // Whether to try again, and when, is decided plan by plan.
    config.default_retry = false;
    let watch_client = Client::try_from(config.clone()).map_err(RunError::KubernetesClient)?;
    config.read_timeout = Some(CALL_TIMEOUT);
    // Or the time that a connection was not used would count.
    config.reset_reader_on_write = true;
    let client = Client::try_from(config).map_err(RunError::KubernetesClient)?;
    Ok((client, watch_client))
}

/// Shards of one namespace each elect their own leader.
fn lease_name(scope: &Scope) -> String {
    if scope.namespaces.is_empty() && scope.label_selector.is_none() {
        return crate::NAME.into();
    }
    let mut namespaces = scope.namespaces.clone();
    namespaces.sort_unstable();
    let shard = format!("{}|{}", namespaces.join(","), scope.label_selector.as_deref().unwrap_or_default());
    // FNV-1a: replicas of different versions must agree on it, which the hashers of the standard library do not promise.
    let hash = shard.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    format!("{}-{hash:08x}", crate::NAME)
}

/// A name of this process alone: a restarted one is another elector, since it does not know what the one before was at.
fn identity() -> String {
    let host = std::env::var("POD_NAME").or_else(|_| std::env::var("HOSTNAME")).unwrap_or_else(|_| crate::NAME.into());
    format!("{host}_{:08x}", fastrand::u32(..))
}

fn stop_signal() -> std::io::Result<watch::Receiver<bool>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        info!("asked to end: what is under way is finished");
        let _ = stop.send(true);
    });
    Ok(stopped)
}

async fn stopped(mut stop: watch::Receiver<bool>) {
    // A sender that is gone can no longer ask; then there is nothing to wait for either.
    let _ = stop.wait_for(|stop| *stop).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_shard_has_its_own_lease_whatever_the_order_of_its_flags() {
        let shard = |namespaces: &[&str], selector: Option<&str>| {
            lease_name(&Scope {
                namespaces: namespaces.iter().map(ToString::to_string).collect(),
                label_selector: selector.map(Into::into),
            })
        };
        assert_eq!(shard(&[], None), "fic-support-operator");
        assert_eq!(shard(&["a", "b"], None), shard(&["b", "a"], None));
        assert_ne!(shard(&["a"], None), shard(&["b"], None));
        assert_ne!(shard(&[], Some("a=b")), shard(&[], None));
    }
}
