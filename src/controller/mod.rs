//! The controller: the watches, the reconcile loop and the worker of Secret finalizers, connected for as long as this
//! replica leads.

mod cache;
mod list_watch;
mod locks;
mod versions;
mod watch;

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures::channel::mpsc::{self, UnboundedSender};
use futures::future::{self, BoxFuture};
use futures::{FutureExt, StreamExt};
use kube::Client;
use kube::runtime::controller::{self, Action};
use kube::runtime::{applier, reflector};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tokio::sync::{Notify, oneshot};
use tracing::{error, info, warn};

use crate::api::key::ObjectKey;
use crate::clock::Clock;
use crate::domain::facts::Settings;
use crate::fic::FicClient;
use crate::health::Health;
use crate::index::Index;
use crate::index::metrics::{PlanMetrics, PlanSeries};
use crate::index::scope::Scope;
use crate::index::triggers::{Triggers, WatchedPlan};
use crate::leader_election::Leadership;
use crate::metrics::KubernetesMetrics;
use crate::reconcile::api_server::ApiServer;
use crate::reconcile::context::Context;
use crate::reconcile::metrics::ReconcileMetrics;
use crate::reconcile::purchase_guard::PurchaseGuard;
use crate::reconcile::slots::Slots;
use crate::reconcile::state::PlanStates;
use crate::reconcile::ticket::Tickets;
use crate::reconcile::{after_panic, reconcile};
use crate::secret_finalizer::{SecretFinalizer, worker};
use locks::ReconcileLocks;
use versions::WentBack;

/// How long a reconcile in progress may take to end at shutdown.
const GRACE_PERIOD: Duration = Duration::from_secs(7);

/// What a controller needs from the process.
pub struct Dependencies {
    /// The client for requests.
    pub client: Client,
    /// The client for watches, which stay open.
    pub watch_client: Client,
    /// The client of FIC.
    pub fic: Arc<FicClient>,
    /// What is watched.
    pub scope: Scope,
    /// The flags that decisions depend on.
    pub settings: Settings,
    /// The base URL of the documents, for links in messages.
    pub documentation: Option<Box<str>>,
    /// The maximum number of concurrent reconciles.
    pub concurrency: u16,
    /// The metrics.
    pub metrics: ControllerMetrics,
    /// The state that `/healthz` and `/readyz` report.
    pub health: Arc<Health>,
    /// The name of this process.
    pub identity: String,
    /// The clocks.
    pub clock: Clock,
}

/// The metrics of a controller.
#[derive(Clone, Debug, Default)]
pub struct ControllerMetrics {
    leader: Gauge,
    lead_changes: Family<LeadChange, Counter>,
    crd_outdated: Gauge,
    plans: PlanMetrics,
    reconciles: ReconcileMetrics,
    kubernetes: KubernetesMetrics,
}

impl ControllerMetrics {
    /// Registers the metrics, of plans with these series.
    pub fn register(registry: &mut Registry, plan_series: PlanSeries) -> Self {
        let (leader, crd_outdated) = (Gauge::default(), Gauge::default());
        registry.register("leader", "1 while this replica leads", leader.clone());
        let lead_changes = Family::<LeadChange, Counter>::default();
        registry.register(
            "lead_changes",
            "How often this replica acquired, lost and released the lease",
            lead_changes.clone(),
        );
        for change in [LeadChange::ACQUIRED, LeadChange::LOST, LeadChange::RELEASED] {
            let _ = lead_changes.get_or_create(&change);
        }
        registry.register(
            "crd_outdated",
            "1 if the CustomResourceDefinition is not the one of this version of the operator",
            crd_outdated.clone(),
        );
        Self {
            leader,
            lead_changes,
            crd_outdated,
            plans: PlanMetrics::register(registry, plan_series),
            reconciles: ReconcileMetrics::register(registry),
            kubernetes: KubernetesMetrics::register(registry),
        }
    }

    /// The metrics of the requests to the API server.
    #[must_use]
    pub fn kubernetes(&self) -> &KubernetesMetrics {
        &self.kubernetes
    }

    /// This replica leads.
    pub fn begin_to_lead(&self) {
        self.leader.set(1);
        self.lead_changes.get_or_create(&LeadChange::ACQUIRED).inc();
    }

    /// This replica does not lead any more: it lost the lease, or released it.
    pub fn end_to_lead(&self, lost: bool) {
        self.leader.set(0);
        self.lead_changes.get_or_create(if lost { &LeadChange::LOST } else { &LeadChange::RELEASED }).inc();
    }

    /// Sets whether the CRD is not the one of this version.
    pub fn set_crd_outdated(&self, outdated: bool) {
        self.crd_outdated.set(i64::from(outdated));
    }
}

/// A change of who leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LeadChange {
    change: &'static str,
}

impl LeadChange {
    const ACQUIRED: Self = Self { change: "acquired" };
    const LOST: Self = Self { change: "lost" };
    const RELEASED: Self = Self { change: "released" };
}

/// Why a controller has ended.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It was stopped.
    Stopped,
    /// etcd was restored from a backup, so what the controller knows is of no use. A new one must start without it.
    VersionsWentBack,
}

/// Runs until `stop` completes, then lets the reconciles in progress end.
pub async fn run(dependencies: &Dependencies, leadership: Leadership, stop: impl Future<Output = ()>) -> End {
    let Dependencies { client, scope, metrics, .. } = dependencies;
    metrics.reconciles.set_concurrency(dependencies.concurrency);
    let index = Arc::new(Index::new(&metrics.plans));
    let (triggers, queues) = Triggers::new();
    let (plan_store, plan_writer) = reflector::store();
    let (secret_store, secret_writer) = reflector::store();
    let secret_finalizer = Arc::new(SecretFinalizer::new(
        client.clone(),
        secret_store,
        Arc::clone(&index),
        leadership.clone(),
        triggers.clone(),
        metrics.kubernetes.clone(),
    ));
    let context = Arc::new(Context {
        api_server: ApiServer::new(client.clone()),
        fic: Arc::clone(&dependencies.fic),
        index,
        secret_finalizer: Arc::clone(&secret_finalizer),
        triggers: triggers.clone(),
        leadership,
        settings: dependencies.settings.clone(),
        documentation: dependencies.documentation.clone(),
        scope: scope.clone(),
        identity: dependencies.identity.clone(),
        metrics: metrics.reconciles.clone(),
        kubernetes_metrics: metrics.kubernetes.clone(),
        clock: dependencies.clock,
        states: PlanStates::new(&metrics.reconciles),
        slots: Slots::new(dependencies.concurrency),
        tickets: Tickets::default(),
        purchase_guard: PurchaseGuard::default(),
        stopping: AtomicBool::new(false),
        crd_unreadable: AtomicBool::new(false),
    });

    let ((plans_synced, plans_sync), (secrets_synced, secrets_sync)) = (oneshot::channel(), oneshot::channel());
    let (watch_client, health) = (&dependencies.watch_client, || Arc::clone(&dependencies.health));
    let plan_watch = watch::plans(Arc::clone(&context), watch_client.clone(), health(), plan_writer, plans_synced);
    let secret_watch =
        watch::secrets(Arc::clone(&context), watch_client.clone(), health(), secret_writer, secrets_synced);
    let went_back = Notify::new();
    let stop = async {
        tokio::select! {
            biased;
            () = stop => End::Stopped,
            () = went_back.notified() => End::VersionsWentBack,
        }
    };
    let work = async {
        tokio::pin!(stop);
        tokio::select! {
            biased;
            reason = &mut stop => return reason,
            // A decision on incomplete caches could take a tenant that another plan holds.
            _ = future::join(plans_sync, secrets_sync) => {}
        }
        info!("the caches are synced");
        context.index.mark_synced();
        dependencies.health.set_ready();
        let (end, ended) = oneshot::channel::<()>();
        let queue = queues.plans.map(Ok::<_, Infallible>).take_until(ended);
        let config = controller::Config::default().concurrency(context.slots.total());
        let no_error = |_, error: &Infallible, _| -> Action { match *error {} };
        let locks = ReconcileLocks::new(context.slots.total(), &triggers);
        let of_run = locks.clone();
        let (begin, running) = mpsc::unbounded();
        let run = move |plan, context| begin_reconcile(&begin, reconcile_locked(plan, context, of_run.clone()));
        let reconciles = applier(run, no_error, Arc::clone(&context), plan_store, queue, config);
        let reconciles = reconciles.for_each(|result| {
            if let Err(controller::Error::ObjectNotFound(deleted)) = result {
                locks.skip(&ObjectKey::new(deleted.namespace.as_deref().unwrap_or_default(), &deleted.name));
            }
            std::future::ready(())
        });
        let releases = worker::run(secret_finalizer, queues.secrets, scope.is_shard());
        // The applier polls everything that it runs whenever one of them goes on. This polls only what goes on.
        let running = running.buffer_unordered(usize::from(context.slots.total()));
        let reconciles = future::join(reconciles, running.for_each(std::future::ready));
        tokio::pin!(reconciles, releases);
        tokio::select! {
            biased;
            ((), ()) = &mut reconciles => warn!("the reconcile loop ended unexpectedly"),
            () = &mut releases => warn!("the worker of Secret finalizers ended unexpectedly"),
            reason = &mut stop => {
                context.stopping.store(true, Ordering::Relaxed);
                let _ = end.send(());
                if tokio::time::timeout(GRACE_PERIOD, reconciles).await.is_err() {
                    warn!("grace period expired, aborting the reconcile; the next leader recovers");
                }
                return reason;
            }
        }
        End::Stopped
    };
    tokio::select! {
        // Watch events first: a reconcile should not start on a cache that is known to be stale.
        biased;
        () = until_version_went_back(plan_watch, "plans", &went_back) => End::Stopped,
        () = until_version_went_back(secret_watch, "secrets", &went_back) => End::Stopped,
        end = work => end,
    }
}

/// Runs a watch. When the versions go backwards, its cache changes no more, and the reconciles in progress end.
async fn until_version_went_back(
    watch: impl Future<Output = Result<(), WentBack>>,
    what: &'static str,
    went_back: &Notify,
) {
    match watch.await {
        Ok(()) => warn!(what, "the watch ended unexpectedly"),
        Err(detail) => {
            error!(what, %detail, "versions went back: etcd was restored from a backup; starting anew");
            went_back.notify_one();
            std::future::pending::<()>().await;
        }
    }
}

/// Begins a reconcile. Returns its result, which costs little to poll.
fn begin_reconcile<F: Future<Output = Result<Action, Infallible>> + Send + 'static>(
    begin: &UnboundedSender<BoxFuture<'static, ()>>,
    reconcile: F,
) -> impl Future<Output = Result<Action, Infallible>> + Unpin + use<F> {
    let (ended, result) = oneshot::channel();
    let reconcile = reconcile.map(|result| {
        let _ = ended.send(result);
    });
    let _ = begin.unbounded_send(reconcile.boxed());
    // Without a result, this process ends.
    result.map(|result| result.unwrap_or_else(|_| Ok(Action::await_change())))
}

/// Reconciles a plan while it has the lock of its tenant, and one of its namespace.
async fn reconcile_locked(
    plan: Arc<WatchedPlan>,
    context: Arc<Context>,
    locks: ReconcileLocks,
) -> Result<Action, Infallible> {
    let key = ObjectKey::of(&*plan);
    let Ok(plan) = &plan.0 else {
        // The watch has logged it, and triggers a reconcile when the plan is fixed.
        locks.skip(&key);
        return Ok(Action::await_change());
    };
    let Some(_guards) = locks.try_lock(&plan.spec.tenant_id, &key) else {
        return Ok(Action::await_change());
    };
    let started = Instant::now();
    let reconciled = AssertUnwindSafe(reconcile(plan.clone(), &context)).catch_unwind().await;
    let wait = reconciled.unwrap_or_else(|_| after_panic(plan.clone(), &context, started));
    Ok(wait.map_or_else(Action::await_change, Action::requeue))
}
