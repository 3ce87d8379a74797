//! What everything in a history shares: the objects, FIC, the perils, the oracle, and the story.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fic_simulator::faults::{Fault, Kind as Mishap};
use fic_simulator::world::Settings;
use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::oracle::Oracle;
use crate::store::{Id, Kind, Store, Written};

/// Into so many classes moments are parted.
const CLASSES: u64 = 16;

/// A process of the operator: which replica, and its how many-eth life.
pub type Life = (char, u32);

/// How much goes wrong, in so many of a thousand.
#[derive(Clone, Debug, Default)]
pub struct Perils {
    /// A request to the API server gets lost on the way there, or its answer on the way back.
    pub api: u32,
    /// The answer to a write of a Secret gets lost.
    pub secrets: u32,
    /// A watch breaks.
    pub watch: u32,
    /// What a watch tells comes late more often than it does anyway.
    pub late: u32,
    /// A request to FIC or Keystone gets lost, is answered with nonsense, or refused.
    pub fic: u32,
    /// The answer to a create or a delete gets lost.
    pub replies: u32,
    /// A read of FIC shows how things were a moment ago.
    pub lag: u32,
    /// Every call for this tenant goes wrong in this way.
    pub bad_tenant: Option<(String, Mishap)>,
}

/// A process that dies at its so many-eth write, before it takes effect or right after.
#[derive(Clone, Copy, Debug)]
pub struct Death {
    pub at_write: u32,
    pub after: bool,
}

pub struct World {
    pub seed: u64,
    pub began: Instant,
    pub store: Store,
    pub fic: fic_simulator::Shared,
    pub oracle: Oracle,
    pub perils: Perils,
    pub deaths: Vec<Death>,
    pub writes: u32,
    pub plan_writes: u32,
    pub calls: u32,
    pub elects: bool,
    lease_renewed: Duration,
    pub living: HashSet<Life>,
    pub leaving_namespaces: HashSet<String>,
    story: Option<Vec<String>>,
    draws: HashMap<u64, u32>,
    moments: HashSet<u64>,
    killed: mpsc::UnboundedSender<Life>,
    changed: watch::Sender<u64>,
}

#[derive(Clone)]
pub struct Shared(Arc<Mutex<World>>);

impl Shared {
    pub fn new(seed: u64, settings: Settings, tell: bool, killed: mpsc::UnboundedSender<Life>) -> Self {
        let (changed, _) = watch::channel(0);
        Self(Arc::new(Mutex::new(World {
            seed,
            began: Instant::now(),
            store: Store::default(),
            fic: fic_simulator::Shared::new(settings),
            oracle: Oracle::default(),
            perils: Perils::default(),
            deaths: vec![],
            writes: 0,
            plan_writes: 0,
            calls: 0,
            elects: false,
            lease_renewed: Duration::ZERO,
            living: HashSet::new(),
            leaving_namespaces: HashSet::new(),
            story: tell.then(Vec::new),
            draws: HashMap::new(),
            moments: HashSet::new(),
            killed,
            changed,
        })))
    }

    pub fn lock(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl World {
    /// Writes of objects and calls to FIC until now.
    pub fn counts(&self) -> (u32, u32) {
        (self.writes, self.calls)
    }

    pub fn now(&self) -> Duration {
        self.began.elapsed()
    }

    /// To the second, as objects of Kubernetes have it.
    pub fn wall(&self) -> String {
        let seconds = jiff::SignedDuration::from_secs(self.now().as_secs().try_into().unwrap());
        Self::wall_began().saturating_add(seconds).unwrap().to_string()
    }

    pub fn wall_began() -> Timestamp {
        Timestamp::from_second(1_800_000_000).unwrap()
    }

    /// Chance that depends on what it is for and how often that was before, not on what else happens at the same moment: so a
    /// seed tells the same story whichever of two ready tasks is polled first.
    pub fn chance(&mut self, what: impl Hash) -> fastrand::Rng {
        let mut hasher = DefaultHasher::new();
        (self.seed, what).hash(&mut hasher);
        let hash = hasher.finish();
        let nth = self.draws.entry(hash).or_default();
        *nth += 1;
        fastrand::Rng::with_seed(hash.wrapping_add(u64::from(*nth).wrapping_mul(0x9e37_79b9_7f4a_7c15)))
    }

    /// A moment that long from now, rounded up to one that is not taken yet: were two requests answered at the same moment, chance would
    /// say which of two plans goes on first. What belongs to different keys never falls together.
    pub fn moment(&mut self, wait: Duration, key: impl Hash) -> Instant {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        let class = hasher.finish() % CLASSES;
        let earliest = u64::try_from((self.now() + wait).as_millis()).unwrap() + 1;
        let first = earliest + (class + CLASSES - earliest % CLASSES) % CLASSES;
        let mut moment = first;
        while !self.moments.insert(moment) {
            moment += CLASSES;
        }
        self.began + Duration::from_millis(moment)
    }

    pub fn tell(&mut self, line: impl FnOnce() -> String) {
        let at = self.now().as_secs_f64();
        if let Some(story) = &mut self.story {
            story.push(format!("{at:9.3} s  {}", line()));
        }
    }

    pub fn story(&self) -> String {
        self.story.as_ref().map(|lines| lines.join("\n")).unwrap_or_default()
    }

    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// After every change of an object: watches are told, and the oracle looks.
    pub fn written(&mut self, id: &Id, written: &Written, by: Option<Life>) {
        self.changed.send_replace(self.store.version);
        let now = self.now();
        if id.kind == Kind::Lease {
            self.lease_written(written, now);
        }
        let Self { oracle, store, fic, living, .. } = self;
        oracle.object_written(now, store, &fic.lock(), id, written, by.map(|life| living.contains(&life)));
    }

    /// Whoever begins to lead remembers nothing.
    fn lease_written(&mut self, written: &Written, now: Duration) {
        let holder = |lease: &Value| lease["spec"]["holderIdentity"].clone();
        let (before, after) = (written.before.as_ref().map(&holder), written.after.as_ref().map(&holder));
        let interrupted = now.saturating_sub(self.lease_renewed) > Duration::from_secs(9);
        if before != after || interrupted {
            self.tell(|| format!("the lead is with {}", after.unwrap_or_default()));
            let Self { oracle, store, .. } = self;
            oracle.memory_lost(store);
        }
        self.lease_renewed = now;
        let holder = written.after.as_ref().map(holder).unwrap_or_default();
        self.oracle.lease_renewed(holder.as_str().unwrap_or_default(), now);
    }

    /// A write of the operator comes in. Does its process die of it: before it takes effect, or right after?
    pub fn fate(&mut self) -> Option<Death> {
        self.writes += 1;
        let at = self.deaths.iter().position(|death| death.at_write == self.writes)?;
        Some(self.deaths.swap_remove(at))
    }

    pub fn kill(&mut self, life: Life) {
        if self.living.remove(&life) {
            self.tell(|| format!("the process {}{} is killed", life.0, life.1));
            let Self { oracle, store, .. } = self;
            oracle.memory_lost(store);
            let _ = self.killed.send(life);
        }
    }

    /// What befalls a request to FIC.
    pub fn mishap(&mut self, call: &str, tenant: Option<&str>) -> Option<Mishap> {
        if let Some((bad, kind)) = &self.perils.bad_tenant
            && tenant == Some(bad)
        {
            return Some(kind.clone());
        }
        let Perils { fic, lag, replies, .. } = self.perils;
        if fic + lag + replies == 0 {
            return None;
        }
        let mut chance = self.chance((call, tenant, "mishap"));
        let drawn = chance.u32(0..1000);
        if drawn < fic {
            return match mishap(&mut chance) {
                // Only Show asks about an id that the answer can be held against.
                Mishap::WrongId if call != "Show" => Some(Mishap::WrongTenant),
                // Nor has a List that wrongly shows nothing a second witness before the first create.
                Mishap::WrongAbsence if call != "Show" => Some(Mishap::Empty),
                mishap => Some(mishap),
            };
        }
        if matches!(call, "Create" | "Delete") && drawn < fic + replies {
            return Some(Mishap::DropAfter);
        }
        let reads = matches!(call, "List" | "Show");
        // Less than three looks in a row take, as close together as they may be counted.
        (reads && drawn < fic + lag).then(|| Mishap::Lag { ms: chance.u64(50..1450) })
    }

    pub fn strike(&mut self, kind: Mishap) {
        self.fic.lock().faults.add(Fault { call: None, tenant: None, skip: 0, times: Some(1), kind });
    }
}

fn mishap(chance: &mut fastrand::Rng) -> Mishap {
    let status = |code| Mishap::Status { code, body: None, retry_after: None };
    match chance.u32(0..22) {
        0..=3 => Mishap::DropBefore,
        4..=7 => Mishap::DropAfter,
        8 => status(500),
        9 => status(503),
        10 => status(400),
        11 => status(403),
        12 => status(401),
        13 => Mishap::Status { code: 429, body: None, retry_after: Some(chance.u32(1..20).to_string()) },
        14 => Mishap::Garbage,
        15 => Mishap::Hang { ms: None, effect_first: true },
        16 => Mishap::SlowDrip { interval_ms: 1000 },
        17 => Mishap::WrongTenant,
        18 => Mishap::WrongId,
        19 => Mishap::WrongAbsence,
        20 => Mishap::Html { code: 504, effect_first: true },
        _ => Mishap::Empty,
    }
}
