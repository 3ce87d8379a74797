//! What every pass of the loop needs, put together once when a replica begins to lead.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kube::Client;
use kube::runtime::reflector::Store;

use crate::clock::Clock;
use crate::credentials::CredentialsSecret;
use crate::directory::Directory;
use crate::facts::{Claim, Credentials, Settings, Uptime};
use crate::fic::Fic;
use crate::lead::Lead;
use crate::memory::Memory;
use crate::metrics::Metrics;
use crate::watch::Bells;

/// What every pass needs.
pub struct Context {
    /// The API server.
    pub client: Client,
    /// FIC.
    pub fic: Arc<Fic>,
    /// The Secrets of our type.
    pub secrets: Store<CredentialsSecret>,
    /// Who belongs to whom.
    pub directory: Arc<Directory>,
    /// Where others are woken.
    pub bells: Bells,
    /// The right to act.
    pub lead: Lead,
    /// The flags that decisions depend on.
    pub settings: Settings,
    /// The namespaces watched; none: all.
    pub namespaces: Vec<String>,
    /// The name of this replica.
    pub identity: String,
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// The clocks.
    pub clock: Clock,
    /// What is remembered of each plan.
    pub notes: Arc<Notes>,
    /// Set when the process is to end: what was begun is finished, and nothing new is begun.
    pub stopping: AtomicBool,
    /// Set once it has been said that the definition may not be read.
    pub definition_unreadable: AtomicBool,
}

impl Context {
    /// Whether the process is to end.
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }
}

/// What is remembered of each plan, by UID: a plan that is created anew under an old name is another plan.
#[derive(Default)]
pub struct Notes(Mutex<HashMap<Box<str>, Note>>);

/// What is remembered of a plan.
#[derive(Clone, Debug)]
pub struct Note {
    /// What decisions depend on.
    pub memory: Memory,
    /// What the last pass was called by.
    pub stimulus: Option<Stimulus>,
    /// No pass is due before this, unless the stimulus is another one.
    pub rest_until: Option<Uptime>,
    /// The version of the plan that was last written here; a cache that is behind it is not acted on.
    pub written: u64,
}

/// All that wakes a plan before its time. A pass that is called without one of these having changed goes back to rest: most
/// are called by the operator's own writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stimulus {
    /// The generation of the spec; it also changes when the plan begins to be deleted.
    pub generation: Option<i64>,
    /// The annotation that asks for a look.
    pub requested_at: Option<String>,
    /// Whether the plan is being deleted.
    pub deleting: bool,
    /// Whether our finalizer is on.
    pub finalizer: bool,
    /// The state of the Secret.
    pub credentials: CredentialsStimulus,
    /// Who holds the tenant.
    pub claim: Claim,
}

/// The state of a Secret, as far as it may wake its plans.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialsStimulus {
    /// Usable or not.
    pub facts: Credentials,
    /// Which pair it holds.
    pub fingerprint: Option<u64>,
}

impl Notes {
    /// The note of a plan.
    pub fn get(&self, uid: &str) -> Option<Note> {
        self.lock().get(uid).cloned()
    }

    /// Keeps the note of a plan.
    pub fn put(&self, uid: &str, note: Note) {
        self.lock().insert(uid.into(), note);
    }

    /// The plan is gone.
    pub fn forget(&self, uid: &str) {
        self.lock().remove(uid);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Box<str>, Note>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
