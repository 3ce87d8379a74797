//! The controller: watches, loop and Secret guard, put together for as long as a replica leads.

pub mod tenant_locks;
pub mod watch;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::channel::mpsc;
use futures::{FutureExt, StreamExt};
use kube::Client;
use kube::runtime::controller::{self, Action};
use kube::runtime::{applier, reflector};
use tokio::sync::oneshot;
use tracing::{info, warn};

use crate::clock::Clock;
use crate::controller::tenant_locks::TenantLocks;
use crate::controller::watch::{Scope, Watcher};
use crate::domain::facts::Settings;
use crate::fic::FicClient;
use crate::health::Health;
use crate::index::Index;
use crate::index::triggers::Triggers;
use crate::leader_election::Leadership;
use crate::metrics::Metrics;
use crate::reconcile::context::Context;
use crate::reconcile::reconcile;
use crate::reconcile::state::PlanStates;
use crate::secret_finalizer::worker;

/// How long the passes under way are given to come to an end.
const GRACE: Duration = Duration::from_secs(7);

/// What a controller is put together from.
pub struct Dependencies {
    /// For calls.
    pub client: Client,
    /// For watches, which stay open.
    pub watch_client: Client,
    /// FIC.
    pub fic: Arc<FicClient>,
    /// What is watched.
    pub scope: Scope,
    /// The flags that decisions depend on.
    pub settings: Settings,
    /// How many plans at once.
    pub concurrency: u16,
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// What `/readyz` says.
    pub health: Arc<Health>,
    /// The name of this replica.
    pub identity: String,
    /// The clocks.
    pub clock: Clock,
}

/// Runs until `stop` comes; then ends the passes under way, in time.
pub async fn run(parts: &Dependencies, lead: Leadership, stop: impl Future<Output = ()>) {
    let directory = Arc::new(Index::new(Arc::clone(&parts.metrics)));
    let (plan_bell, plans_to_wake) = mpsc::unbounded();
    let (secret_bell, secrets_to_check) = mpsc::unbounded();
    let bells = Triggers { plans: plan_bell, secrets: secret_bell };
    let (plan_store, plan_writer) = reflector::store();
    let (secret_store, secret_writer) = reflector::store();
    let notes = Arc::new(PlanStates::default());
    let context = Arc::new(Context {
        client: parts.client.clone(),
        fic: Arc::clone(&parts.fic),
        secrets: secret_store,
        directory: Arc::clone(&directory),
        bells: bells.clone(),
        turns: TenantLocks::new(bells.clone()),
        lead,
        settings: parts.settings.clone(),
        namespaces: parts.scope.namespaces.clone(),
        is_shard: parts.scope.label_selector.is_some(),
        identity: parts.identity.clone(),
        metrics: Arc::clone(&parts.metrics),
        clock: parts.clock,
        notes: Arc::clone(&notes),
        stopping: AtomicBool::new(false),
        definition_unreadable: AtomicBool::new(false),
    });

    let (plans_synced, plans_are_synced) = oneshot::channel();
    let (secrets_synced, secrets_are_synced) = oneshot::channel();
    let watcher = Watcher {
        client: parts.watch_client.clone(),
        scope: parts.scope.clone(),
        directory,
        notes,
        bells: bells.clone(),
        metrics: Arc::clone(&parts.metrics),
    };
    let plan_watch = watch::plans(watcher.clone(), plan_writer, plans_synced);
    let secret_watch = watch::secrets(watcher, secret_writer, secrets_synced);

    let work = async {
        tokio::pin!(stop);
        tokio::select! {
            biased;
            () = &mut stop => return,
            // Deciding on half a cache could take a tenant that another plan holds.
            _ = futures::future::join(plans_are_synced, secrets_are_synced) => {}
        }
        info!("the caches are complete");
        parts.health.set_ready();
        let (end, ended) = oneshot::channel::<()>();
        let queue = plans_to_wake.map(Ok::<_, std::convert::Infallible>).take_until(ended);
        let config = controller::Config::default().concurrency(parts.concurrency);
        let no_error = |_, error: &std::convert::Infallible, _| -> Action { match *error {} };
        let run = |plan, context| reconcile(plan, context).boxed();
        let passes = applier(run, no_error, Arc::clone(&context), plan_store, queue, config);
        let passes = passes.for_each(|_| std::future::ready(()));
        let release = worker::run(Arc::clone(&context), secrets_to_check, bells.clone());
        tokio::pin!(passes, release);
        tokio::select! {
            biased;
            () = &mut passes => warn!("the loop ended by itself"),
            () = &mut release => warn!("the Secret guard ended by itself"),
            () = &mut stop => {
                context.stopping.store(true, Ordering::Relaxed);
                let _ = end.send(());
                if tokio::time::timeout(GRACE, passes).await.is_err() {
                    warn!("a pass did not end in time and is left; what it was at is looked up by the next process");
                }
            }
        }
    };
    tokio::select! {
        // StepResult of the world first: a pass should not begin on a cache that is known to be behind.
        biased;
        () = plan_watch => warn!("the watch of plans ended by itself"),
        () = secret_watch => warn!("the watch of Secrets ended by itself"),
        () = work => {}
    }
}
