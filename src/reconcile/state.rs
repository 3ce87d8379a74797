//! What the process remembers of each plan from pass to pass, and what wakes a plan before its time.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::domain::facts::{Claim, SecretState, Uptime};
use crate::domain::memory::Memory;

/// What is remembered of each plan, by UID: a plan that is created anew under an old name is another plan.
#[derive(Default)]
pub struct PlanStates(Mutex<HashMap<Box<str>, PlanState>>);

/// What is remembered of a plan.
#[derive(Clone, Debug)]
pub struct PlanState {
    /// What decisions depend on.
    pub memory: Memory,
    /// What the last pass was called by.
    pub stimulus: Option<ReconcileInputs>,
    /// No pass is due before this, unless the stimulus is another one.
    pub rest_until: Option<Uptime>,
    /// The version of the plan that was last written here; a cache that is behind it is not acted on.
    pub written: u64,
}

/// All that wakes a plan before its time. A pass that is called without one of these having changed goes back to rest: most
/// are called by the operator's own writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReconcileInputs {
    /// The generation of the spec; it also changes when the plan begins to be deleted.
    pub generation: Option<i64>,
    /// The annotation that asks for a look.
    pub requested_at: Option<String>,
    /// Whether the plan is being deleted.
    pub deleting: bool,
    /// Whether our finalizer is on.
    pub finalizer: bool,
    /// The state of the Secret.
    pub credentials: SecretInputs,
    /// Who holds the tenant.
    pub claim: Claim,
}

/// The state of a Secret, as far as it may wake its plans.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretInputs {
    /// Usable or not.
    pub facts: SecretState,
    /// Which pair it holds.
    pub fingerprint: Option<u64>,
}

impl PlanStates {
    /// The note of a plan.
    pub fn get(&self, uid: &str) -> Option<PlanState> {
        self.lock().get(uid).cloned()
    }

    /// Keeps the note of a plan.
    pub fn put(&self, uid: &str, note: PlanState) {
        self.lock().insert(uid.into(), note);
    }

    /// The plan is gone.
    pub fn forget(&self, uid: &str) {
        self.lock().remove(uid);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Box<str>, PlanState>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
