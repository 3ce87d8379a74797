//! A process of the operator: the real controller and the real leader election, on clients that the simulation
//! controls.

use std::sync::Arc;
use std::time::Duration;

use fic_support_operator::clock::Clock;
use fic_support_operator::controller::{self, ControllerMetrics, Dependencies, End};
use fic_support_operator::domain::facts::Settings;
use fic_support_operator::fic::metrics::FicMetrics;
use fic_support_operator::fic::{Endpoints, FicClient, Limits};
use fic_support_operator::health::Health;
use fic_support_operator::index::scope::Scope;
use fic_support_operator::leader_election::{LeaderElector, Leadership};
use fic_support_operator::run;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::api_server;
use crate::fic_http::SimulatedHttp;
use crate::freeze::{Freezable, FreezeSwitch};
use crate::sim_world::{Incarnation, Shared};

pub const POLL_INTERVAL: Duration = Duration::from_secs(1);
pub const RESYNC_INTERVAL: Duration = Duration::from_secs(30);
pub const LOSS_PATIENCE: Duration = Duration::from_secs(5);

pub struct Replica {
    incarnation: Incarnation,
    world: Shared,
    task: JoinHandle<()>,
    stop: watch::Sender<bool>,
    freeze_switch: Arc<FreezeSwitch>,
}

impl Replica {
    pub fn start(world: &Shared, incarnation: Incarnation, elects: bool) -> Self {
        let (stop, stopped) = watch::channel(false);
        let freeze_switch = Arc::new(FreezeSwitch::default());
        world.lock().running.insert(incarnation);
        world.lock().trace(|| format!("process {}{} starts", incarnation.0, incarnation.1));
        let shared = world.clone();
        let process = async move {
            run_process(&shared, incarnation, elects, stopped).await;
            let mut world = shared.lock();
            world.end_process(incarnation);
        };
        let task = tokio::spawn(Freezable { inner: Box::pin(process), switch: Arc::clone(&freeze_switch) });
        Self { incarnation, world: world.clone(), task, stop, freeze_switch }
    }

    pub fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    pub fn kill(&self) {
        self.task.abort();
        self.world.lock().end_process(self.incarnation);
    }

    /// Requests a graceful shutdown.
    pub fn stop(&self) {
        let _ = self.stop.send(true);
    }

    pub fn freeze(&self, frozen: bool) {
        self.freeze_switch.set(frozen);
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run_process(world: &Shared, incarnation: Incarnation, elects: bool, mut stopped: watch::Receiver<bool>) {
    let dependencies = dependencies(world, incarnation);
    if elects {
        let identity = format!("{}{}", incarnation.0, incarnation.1);
        let mut elector = LeaderElector::new(dependencies.client.clone(), "operator", "lease".into(), identity);
        run::run_with_leader_election(&dependencies, &mut elector, &stopped).await;
    } else {
        let stop = async move {
            let _ = stopped.wait_for(|stop| *stop).await;
        };
        let end = controller::run(&dependencies, Leadership::Always, stop).await;
        assert_eq!(end, End::Stopped, "the versions of the simulation only grow");
    }
}

fn dependencies(world: &Shared, incarnation: Incarnation) -> Dependencies {
    let endpoints =
        Endpoints { fic: "http://fic/fic-eri".parse().unwrap(), keystone: "http://fic/keystone/v3".parse().unwrap() };
    // The circuit breaker opens at two failing tenants: a world of the simulation has only a few. The operator waits for ten.
    let limits = Limits { request_timeout: Duration::from_secs(5), requests_per_second: 50, failing_tenants: 2 };
    let http_client = Box::new(SimulatedHttp { world: world.clone(), incarnation });
    let client = api_server::client(world, incarnation);
    let wall_clock = world.lock().wall_clock().parse().unwrap();
    let resync_interval = world.lock().resync_interval;
    let label_selector = world.lock().has_shards.then(|| format!("shard={}", incarnation.0));
    Dependencies {
        watch_client: client.clone(),
        client,
        fic: Arc::new(FicClient::with_http_client(http_client, endpoints, limits, FicMetrics::default())),
        scope: Scope { label_selector, ..Scope::default() },
        documentation: None,
        settings: Settings {
            poll_interval: POLL_INTERVAL,
            resync_interval,
            operation_timeout: Duration::from_mins(1),
            loss_patience: LOSS_PATIENCE,
            max_recreations_per_hour: world.lock().max_recreations_per_hour,
            lease_duration: Duration::from_secs(15),
        },
        concurrency: 64,
        metrics: ControllerMetrics::default(),
        health: Arc::new(Health::default()),
        identity: format!("{}{}", incarnation.0, incarnation.1),
        clock: Clock::starting_at(wall_clock),
    }
}
