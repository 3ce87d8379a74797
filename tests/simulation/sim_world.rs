//! The state that all parts of a simulation run share: objects, FIC, faults, the oracle and the trace.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fic_simulator::faults::{Fault, Kind as FicFault};
use fic_simulator::state::Settings;
use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::faults::{Crash, FaultRates, random_fic_fault};
use crate::oracle::Oracle;
use crate::plan_fields;
use crate::replica::RESYNC_INTERVAL;
use crate::store::{Kind, ObjectRef, ObjectWrite, Store};

/// The number of classes of instants: see [`SimWorld::unique_instant`].
const INSTANT_CLASSES: u64 = 16;
/// A leader that has not renewed its lease for this long stops its controller, which starts again with an empty memory.
const LEASE_INTERRUPTED_AFTER: Duration = Duration::from_secs(9);

/// A process of the operator: the replica, and a number that is unique among all processes of the run.
pub type Incarnation = (char, u32);

pub struct SimWorld {
    pub seed: u64,
    pub started_at: Instant,
    pub store: Store,
    pub fic: fic_simulator::SharedState,
    pub oracle: Oracle,
    pub fault_rates: FaultRates,
    pub crashes: Vec<Crash>,
    pub writes: u32,
    pub plan_writes: u32,
    /// How many conditions of plans the operator has changed.
    pub condition_changes: usize,
    pub fic_calls: u32,
    pub elects: bool,
    /// Each replica reconciles the plans of its own shard.
    pub has_shards: bool,
    pub max_recreations_per_hour: Option<u32>,
    pub resync_interval: Duration,
    lease_renewed_at: Duration,
    pub running: HashSet<Incarnation>,
    pub terminating_namespaces: HashSet<String>,
    trace: Option<Vec<String>>,
    draw_counts: HashMap<u64, u32>,
    used_instants: HashSet<u64>,
    /// A run with thousands of plans. It has more responses than instants, so some arrive at the same one, and a watch
    /// that is behind brings what has piled up at once.
    pub is_large: bool,
    /// When each request to FIC was sent. It arrives later, and some arrive together that were sent further apart.
    pub sent_at: Vec<Duration>,
    ended: mpsc::UnboundedSender<Incarnation>,
    changed: watch::Sender<u64>,
}

#[derive(Clone)]
pub struct Shared(Arc<Mutex<SimWorld>>);

impl Shared {
    /// `ended` receives each process that ends. Lines of the trace are kept only if `with_trace` is set.
    pub fn new(seed: u64, settings: Settings, with_trace: bool, ended: mpsc::UnboundedSender<Incarnation>) -> Self {
        let (changed, _) = watch::channel(0);
        Self(Arc::new(Mutex::new(SimWorld {
            seed,
            started_at: Instant::now(),
            store: Store::default(),
            fic: fic_simulator::SharedState::new(settings),
            oracle: Oracle::default(),
            fault_rates: FaultRates::default(),
            crashes: vec![],
            writes: 0,
            plan_writes: 0,
            condition_changes: 0,
            fic_calls: 0,
            elects: false,
            has_shards: false,
            max_recreations_per_hour: None,
            resync_interval: RESYNC_INTERVAL,
            lease_renewed_at: Duration::ZERO,
            running: HashSet::new(),
            terminating_namespaces: HashSet::new(),
            trace: with_trace.then(Vec::new),
            draw_counts: HashMap::new(),
            used_instants: HashSet::new(),
            is_large: false,
            sent_at: vec![],
            ended,
            changed,
        })))
    }

    pub fn lock(&self) -> MutexGuard<'_, SimWorld> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SimWorld {
    /// The numbers of object writes and of requests to FIC until now.
    pub fn counts(&self) -> (u32, u32) {
        (self.writes, self.fic_calls)
    }

    pub fn now(&self) -> Duration {
        self.started_at.elapsed()
    }

    /// The wall clock with the precision of Kubernetes timestamps: seconds.
    pub fn wall_clock(&self) -> String {
        let seconds = jiff::SignedDuration::from_secs(self.now().as_secs().try_into().unwrap());
        Self::wall_clock_start().saturating_add(seconds).unwrap().to_string()
    }

    pub fn wall_clock_start() -> Timestamp {
        Timestamp::from_second(1_800_000_000).unwrap()
    }

    /// A random generator that depends only on the seed, the purpose, and how often this purpose came before. It does
    /// not depend on the order in which tokio polls two tasks that are ready at the same instant.
    ///
    /// The hash of `purpose` is an input of every run: a different type or text changes all runs.
    pub fn chance(&mut self, purpose: impl Hash) -> fastrand::Rng {
        let mut hasher = DefaultHasher::new();
        (self.seed, purpose).hash(&mut hasher);
        let hash = hasher.finish();
        let nth = self.draw_counts.entry(hash).or_default();
        *nth += 1;
        fastrand::Rng::with_seed(hash.wrapping_add(u64::from(*nth).wrapping_mul(0x9e37_79b9_7f4a_7c15)))
    }

    /// An instant after this delay, rounded up to one that is not yet in use. Otherwise two responses could arrive at
    /// the same instant, and tokio would choose which plan continues first. The key selects one of the classes of
    /// instants; instants of different classes never coincide.
    pub fn unique_instant(&mut self, delay: Duration, key: impl Hash) -> Instant {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        let class = hasher.finish() % INSTANT_CLASSES;
        let earliest = u64::try_from((self.now() + delay).as_millis()).unwrap() + 1;
        let mut instant = earliest;
        if !self.is_large {
            instant += (class + INSTANT_CLASSES - earliest % INSTANT_CLASSES) % INSTANT_CLASSES;
            while !self.used_instants.insert(instant) {
                instant += INSTANT_CLASSES;
            }
        }
        self.started_at + Duration::from_millis(instant)
    }

    /// Whether a reconcile panics now. It loses what it has learned, as in a crash.
    pub fn is_panic_due(&mut self, incarnation: Incarnation, purpose: &str) -> bool {
        let rate = self.fault_rates.panics;
        let is_due = rate > 0 && self.chance((incarnation, "panic", purpose)).u32(0..1000) < rate;
        if is_due {
            self.trace(|| format!("{}{}  a reconcile panics", incarnation.0, incarnation.1));
            let Self { oracle, store, .. } = self;
            oracle.memory_lost(store);
        }
        is_due
    }

    /// Adds a line to the trace.
    pub fn trace(&mut self, line: impl FnOnce() -> String) {
        let at = self.now().as_secs_f64();
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{at:9.3} s  {}", line()));
        }
    }

    pub fn trace_text(&self) -> String {
        self.trace.as_ref().map(|lines| lines.join("\n")).unwrap_or_default()
    }

    /// The receiver gets the version of the store after each write.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// To be called after every write of an object: notifies the watches and the oracle.
    pub fn object_written(&mut self, id: &ObjectRef, write: &ObjectWrite, by: Option<Incarnation>) {
        self.changed.send_replace(self.store.version);
        let now = self.now();
        if id.kind == Kind::Lease {
            self.lease_written(write, now);
        }
        let Self { oracle, store, fic, running, condition_changes, .. } = self;
        if let Some(incarnation) = by.filter(|_| id.kind == Kind::Plan) {
            *condition_changes += plan_fields::condition_changes(write);
            oracle.record_written(incarnation, write);
        }
        let by = by.map(|incarnation| running.contains(&incarnation));
        oracle.object_written(now, store, &fic.lock(), id, write, by);
    }

    /// A process that starts to lead has an empty memory.
    fn lease_written(&mut self, write: &ObjectWrite, now: Duration) {
        let holder = |lease: &Value| lease["spec"]["holderIdentity"].clone();
        let (before, after) = (write.before.as_ref().map(&holder), write.after.as_ref().map(&holder));
        let interrupted = now.saturating_sub(self.lease_renewed_at) > LEASE_INTERRUPTED_AFTER;
        if before != after || interrupted {
            self.trace(|| format!("the lease is held by {}", after.unwrap_or_default()));
            let Self { oracle, store, .. } = self;
            oracle.memory_lost(store);
        }
        self.lease_renewed_at = now;
        let holder = write.after.as_ref().map(holder).unwrap_or_default();
        self.oracle.lease_renewed(holder.as_str().unwrap_or_default(), now);
    }

    /// Counts a write of the operator, and returns the crash that is due at it.
    pub fn crash_due(&mut self) -> Option<Crash> {
        self.writes += 1;
        let index = self.crashes.iter().position(|crash| crash.at_write == self.writes)?;
        Some(self.crashes.swap_remove(index))
    }

    /// The process has ended, by a crash or a shutdown. Its memory is lost.
    pub fn end_process(&mut self, incarnation: Incarnation) {
        if self.running.remove(&incarnation) {
            self.trace(|| format!("process {}{} ends", incarnation.0, incarnation.1));
            let Self { oracle, store, .. } = self;
            oracle.memory_lost(store);
            let _ = self.ended.send(incarnation);
        }
    }

    /// Chooses at random whether a request to FIC gets a fault, and which one.
    pub fn fic_fault(&mut self, call: &str, tenant: Option<&str>) -> Option<FicFault> {
        if let Some((failing, fault)) = &self.fault_rates.failing_tenant
            && tenant == Some(failing)
        {
            return Some(fault.clone());
        }
        let FaultRates { fic_requests, fic_lag, fic_responses, .. } = self.fault_rates;
        if fic_requests + fic_lag + fic_responses == 0 {
            return None;
        }
        let mut chance = self.chance((call, tenant, "mishap"));
        let number = chance.u32(0..1000);
        if number < fic_requests {
            return match random_fic_fault(&mut chance) {
                // Only a Show request names an id that its response can be checked against.
                FicFault::WrongId if call != "Show" => Some(FicFault::WrongTenant),
                // Before the first create there is no id for a Show request, so nothing can contradict a wrong empty
                // list.
                FicFault::WrongAbsence if call != "Show" => Some(FicFault::Empty),
                fault => Some(fault),
            };
        }
        if matches!(call, "Create" | "Delete") && number < fic_requests + fic_responses {
            return Some(FicFault::DropAfter);
        }
        let is_read = matches!(call, "List" | "Show");
        // The lag is shorter than the shortest time in which three reads in a row can count.
        (is_read && number < fic_requests + fic_lag).then(|| FicFault::Lag { ms: chance.u64(50..1450) })
    }

    /// Applies the fault to the next request to FIC.
    pub fn add_fic_fault(&mut self, kind: FicFault) {
        self.fic.lock().faults.add(Fault { call: None, tenant: None, skip: 0, times: Some(1), kind });
    }
}
