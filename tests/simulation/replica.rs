//! A process of the operator: the real controller and the real election, on a line that can be cut, killed and frozen from outside.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use fic_support_operator::clock::Clock;
use fic_support_operator::controller::watch::Scope;
use fic_support_operator::controller::{self, Dependencies};
use fic_support_operator::domain::facts::Settings;
use fic_support_operator::fic::{Endpoints, FicClient, Limits};
use fic_support_operator::health::Health;
use fic_support_operator::leader_election::{LeaderElector, Leadership};
use fic_support_operator::metrics::Metrics;
use fic_support_operator::run;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::api_server;
use crate::line::Line;
use crate::world::{Life, Shared};

pub const POLL_INTERVAL: Duration = Duration::from_secs(1);
pub const RESYNC_INTERVAL: Duration = Duration::from_secs(30);

pub struct Replica {
    life: Life,
    world: Shared,
    task: JoinHandle<()>,
    stop: watch::Sender<bool>,
    ice: Arc<Ice>,
}

#[derive(Default)]
struct Ice {
    frozen: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

struct Freezable<F> {
    inner: Pin<Box<F>>,
    ice: Arc<Ice>,
}

impl<F: Future> Future for Freezable<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        *self.ice.waker.lock().unwrap_or_else(PoisonError::into_inner) = Some(cx.waker().clone());
        if self.ice.frozen.load(Ordering::Relaxed) { Poll::Pending } else { self.inner.as_mut().poll(cx) }
    }
}

impl Replica {
    pub fn start(world: &Shared, life: Life, elects: bool) -> Self {
        let (stop, stopped) = watch::channel(false);
        let ice = Arc::new(Ice::default());
        world.lock().living.insert(life);
        world.lock().tell(|| format!("the process {}{} begins", life.0, life.1));
        let shared = world.clone();
        let work = async move {
            work(&shared, life, elects, stopped).await;
            let mut world = shared.lock();
            world.kill(life);
        };
        let task = tokio::spawn(Freezable { inner: Box::pin(work), ice: Arc::clone(&ice) });
        Self { life, world: world.clone(), task, stop, ice }
    }

    pub fn life(&self) -> Life {
        self.life
    }

    pub fn kill(&self) {
        self.task.abort();
        self.world.lock().kill(self.life);
    }

    pub fn stop(&self) {
        let _ = self.stop.send(true);
    }

    pub fn freeze(&self, frozen: bool) {
        self.ice.frozen.store(frozen, Ordering::Relaxed);
        if let Some(waker) = self.ice.waker.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
            waker.wake_by_ref();
        }
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn work(world: &Shared, life: Life, elects: bool, mut stopped: watch::Receiver<bool>) {
    let parts = parts(world, life);
    if elects {
        let identity = format!("{}{}", life.0, life.1);
        let mut elector = LeaderElector::new(parts.client.clone(), "operator", "lease".into(), identity);
        run::run_elected(&parts, &mut elector, &stopped).await;
    } else {
        let stop = async move {
            let _ = stopped.wait_for(|stop| *stop).await;
        };
        controller::run(&parts, Leadership::Always, stop).await;
    }
}

fn parts(world: &Shared, life: Life) -> Dependencies {
    let metrics = Arc::new(Metrics::default());
    let endpoints =
        Endpoints { fic: "http://fic/fic-eri".parse().unwrap(), keystone: "http://fic/keystone/v3".parse().unwrap() };
    let limits = Limits { request_timeout: Duration::from_secs(5), requests_per_second: 0 };
    let courier = Box::new(Line { world: world.clone(), life });
    let client = api_server::client(world, life);
    let wall = world.lock().wall().parse().unwrap();
    Dependencies {
        watch_client: client.clone(),
        client,
        fic: Arc::new(FicClient::with_http_client(courier, endpoints, limits, Arc::clone(&metrics))),
        scope: Scope::default(),
        settings: Settings {
            poll_interval: POLL_INTERVAL,
            resync_interval: RESYNC_INTERVAL,
            operation_timeout: Duration::from_mins(1),
        },
        concurrency: 64,
        metrics,
        health: Arc::new(Health::default()),
        identity: format!("{}{}", life.0, life.1),
        clock: Clock::starting_at(wall),
    }
}
