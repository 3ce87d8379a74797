//! `fic-support-operator run`: sets up the process, runs the controller while this replica leads, and shuts down on a
//! signal.

pub(crate) mod checks;
mod deadline;
mod identity;
mod kube_config;
mod kubernetes;
mod request_metrics;
mod shutdown;

use std::sync::Arc;

use kube::api::ListParams;
use kube::{Client, ResourceExt};
use thiserror::Error;
use tokio::sync::watch;
use tracing::info;

use crate::api::plan::CONTRACT_FINALIZER;
use crate::cli::{DEFAULT_ADDRESS, FicArgs, RunArgs};
use crate::clock::Clock;
use crate::controller::{self, ControllerMetrics, Dependencies, End};
use crate::domain::facts::Settings;
use crate::fic::metrics::FicMetrics;
use crate::fic::reader::FicReader;
use crate::fic::{Endpoints, FicClient, Limits};
use crate::health::{self, Health};
use crate::index::list::list_each;
use crate::index::metrics::PlanSeries;
use crate::index::scope::Scope;
use crate::index::triggers::WatchedPlan;
use crate::leader_election::{LEASE_DURATION, LeaderElector, Leadership};
use crate::metrics;
use crate::proxy::{Proxies, ProxyError};
use checks::{Checked, LeaseAccess};
use kube_config::ConfigError;
pub(crate) use kube_config::Origin as KubeConfig;
pub(crate) use kubernetes::client;

/// Why the operator cannot start or continue.
#[derive(Debug, Error)]
pub enum RunError {
    /// Neither a kubeconfig nor an in-cluster configuration can be loaded.
    #[error("cannot load the Kubernetes client configuration: {0}")]
    KubernetesConfig(#[source] ConfigError),
    /// The client of the API server cannot be created.
    #[error("cannot create the Kubernetes client: {0}")]
    KubernetesClient(#[source] kube::Error),
    /// The API server rejects the label selector: its value, and the API server's message.
    #[error("--label-selector {0:?} is not valid: {1}; use a selector such as team=network,tier!=test,shard in (a,b)")]
    LabelSelector(String, Box<str>),
    /// A proxy variable is not valid.
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    /// The cluster lacks something that the operator needs.
    #[error(transparent)]
    Check(#[from] checks::CheckError),
    /// The client of FIC cannot be created.
    #[error("cannot create the FIC client: {0}")]
    FicClient(#[source] reqwest::Error),
    /// The address for health and metrics cannot be bound.
    #[error("cannot bind --http-bind-address {0}: {1}")]
    Bind(String, #[source] std::io::Error),
    /// The signal handlers cannot be installed.
    #[error("cannot install the signal handlers: {0}")]
    Signals(#[source] std::io::Error),
}

impl RunError {
    /// The exit code of the process: 2 when the value of a flag or of a variable is not valid, as for the command line
    /// parser, otherwise 1.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::LabelSelector(..) | Self::Proxy(_) | Self::KubernetesConfig(ConfigError::Proxy(_)) => 2,
            Self::Check(_)
            | Self::KubernetesConfig(_)
            | Self::KubernetesClient(_)
            | Self::FicClient(_)
            | Self::Bind(..)
            | Self::Signals(_) => 1,
        }
    }

    /// Why there is no kubeconfig, if that is the error: the process does not run in a Pod either.
    #[must_use]
    pub fn missing_kubeconfig(&self) -> Option<String> {
        match self {
            Self::KubernetesConfig(ConfigError::NotFound(kubeconfig, _)) => Some(kubeconfig.to_string()),
            Self::KubernetesConfig(_)
            | Self::LabelSelector(..)
            | Self::Proxy(_)
            | Self::Check(_)
            | Self::KubernetesClient(_)
            | Self::FicClient(_)
            | Self::Bind(..)
            | Self::Signals(_) => None,
        }
    }
}

/// Runs the operator until it receives SIGTERM or SIGINT.
///
/// # Errors
/// When the operator cannot start.
pub async fn run(arguments: RunArgs) -> Result<(), RunError> {
    let shutdown = shutdown::on_signal().map_err(RunError::Signals)?;
    let mut registry = metrics::registry();
    let metrics = ControllerMetrics::register(
        &mut registry,
        PlanSeries { not_ready_limit: arguments.metrics_plan_limit, contracts: arguments.metrics_contracts },
    );
    let fic_metrics = FicMetrics::register(&mut registry);
    let health = Arc::new(Health::default());
    let address = arguments.http_bind_address;
    let bind_error =
        |error| RunError::Bind(address.map_or_else(|| DEFAULT_ADDRESS.into(), |address| address.to_string()), error);
    let listener = health::bind(address).map_err(bind_error)?;
    let bound_address = listener.local_addr().map_err(bind_error)?;

    let proxies = Proxies::from_env();
    let clients = kubernetes::clients(&proxies, metrics.kubernetes())?;
    let fic = fic_client(&arguments.fic, arguments.fic_requests_per_second, proxies, fic_metrics)?;
    let dependencies = Dependencies {
        client: clients.requests,
        watch_client: clients.watches,
        fic: Arc::new(fic),
        scope: Scope {
            namespaces: arguments.watch_namespaces.clone(),
            label_selector: arguments.label_selector.clone(),
        },
        documentation: arguments.documentation_url.as_deref().map(Into::into),
        settings: Settings {
            poll_interval: arguments.poll_interval,
            resync_interval: arguments.resync_interval,
            operation_timeout: arguments.operation_timeout,
            loss_patience: arguments.loss_patience,
            max_recreations_per_hour: (arguments.max_recreations_per_hour > 0)
                .then_some(arguments.max_recreations_per_hour),
            lease_duration: LEASE_DURATION,
        },
        concurrency: arguments.concurrency,
        metrics,
        health: Arc::clone(&health),
        identity: identity::process_identity(),
        clock: Clock::default(),
    };
    let lease = arguments.leader_elect.then(|| lease_access(&clients.lease, &arguments.lease_name));
    info!(
        version = env!("CARGO_PKG_VERSION"),
        fic = %arguments.fic.fic_endpoint,
        keystone = %arguments.fic.keystone_endpoint,
        http = %bound_address,
        "starting"
    );
    tokio::select! {
        never = health::run(listener, health, Arc::new(registry)) => match never {},
        result = run_controller(&dependencies, lease.zip(Some(clients.lease)), shutdown) => result?,
    }
    info!("shut down");
    Ok(())
}

/// A client of FIC that only reads, for one tenant.
pub(crate) fn fic_reader(arguments: &FicArgs, proxies: Proxies) -> Result<FicReader, RunError> {
    fic_client(arguments, 0, proxies, FicMetrics::default()).map(FicReader::from)
}

fn fic_client(
    arguments: &FicArgs,
    requests_per_second: u32,
    proxies: Proxies,
    metrics: FicMetrics,
) -> Result<FicClient, RunError> {
    let endpoints = Endpoints { fic: arguments.fic_endpoint.clone(), keystone: arguments.keystone_endpoint.clone() };
    for endpoint in [&endpoints.fic, &endpoints.keystone] {
        proxies.for_url(endpoint)?;
    }
    let limits = Limits { request_timeout: arguments.request_timeout, requests_per_second, ..Limits::default() };
    let roots = arguments.root_certificates.clone();
    FicClient::new(endpoints, roots, proxies, limits, metrics).map_err(RunError::FicClient)
}

async fn run_controller(
    dependencies: &Dependencies,
    election: Option<(LeaseAccess, Client)>,
    shutdown: watch::Receiver<bool>,
) -> Result<(), RunError> {
    let lease = election.as_ref().map(|(lease, _)| lease);
    tokio::select! {
        biased;
        checked = check(&dependencies.client, &dependencies.scope, lease) => {
            dependencies.metrics.set_crd_outdated(checked?.crd_outdated);
        }
        () = shutdown::requested(shutdown.clone()) => return Ok(()),
    }
    if let Some((LeaseAccess { namespace, name }, client)) = election {
        let mut elector = LeaderElector::new(client, &namespace, name, dependencies.identity.clone());
        run_with_leader_election(dependencies, &mut elector, &shutdown).await;
    } else {
        dependencies.metrics.begin_to_lead();
        while controller::run(dependencies, Leadership::Always, shutdown::requested(shutdown.clone())).await
            == End::VersionsWentBack
        {}
    }
    Ok(())
}

/// Checks what only the API server knows, before anything else is requested of it.
async fn check(client: &Client, scope: &Scope, lease: Option<&LeaseAccess>) -> Result<Checked, RunError> {
    let checks = async { Ok(checks::run(client, scope, lease).await?) };
    let ((), checked) = tokio::try_join!(kubernetes::validate_label_selector(client, scope), checks)?;
    Ok(checked)
}

fn lease_access(client: &Client, name: &str) -> LeaseAccess {
    let namespace = std::env::var("POD_NAMESPACE").unwrap_or_else(|_| client.default_namespace().to_owned());
    LeaseAccess { namespace, name: name.to_owned() }
}

/// Whether any plan has a record, so that another leader may be acting on it. A list that fails may hide one.
async fn has_record(dependencies: &Dependencies) -> bool {
    for api in dependencies.scope.apis::<WatchedPlan>(&dependencies.client) {
        let mut found = false;
        let visit = |plan: WatchedPlan| found |= plan.finalizers().iter().any(|name| name == CONTRACT_FINALIZER);
        // Of every shard: the predecessor may have had another selector.
        if list_each(&api, &ListParams::default(), visit).await.is_err() || found {
            return true;
        }
    }
    false
}

/// Runs the controller whenever this replica holds the Lease, until the shutdown is requested.
///
/// When this replica loses the Lease, the controller and every reconcile in progress are dropped at once. The next
/// leader reads the outcome of requests in flight, and a controller that runs here again starts without any memory.
pub async fn run_with_leader_election(
    dependencies: &Dependencies,
    elector: &mut LeaderElector,
    shutdown: &watch::Receiver<bool>,
) {
    dependencies.health.set_ready();
    loop {
        tokio::select! {
            biased;
            () = elector.acquire(|| has_record(dependencies)) => {}
            () = shutdown::requested(shutdown.clone()) => return,
        }
        dependencies.metrics.begin_to_lead();
        let leadership = elector.leadership();
        let end = tokio::select! {
            biased;
            () = elector.renew() => None,
            end = controller::run(dependencies, leadership, shutdown::requested(shutdown.clone())) => Some(end),
        };
        dependencies.metrics.end_to_lead(end.is_none());
        match end {
            None => {}
            Some(End::VersionsWentBack) => elector.release().await,
            Some(End::Stopped) => return elector.release().await,
        }
    }
}
