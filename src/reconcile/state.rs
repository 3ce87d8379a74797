//! What the process keeps of each plan between reconciles, and the inputs whose change triggers a reconcile before it
//! is due.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::facts::{Claim, Marks, Record, SecretState, Uptime};
use crate::domain::memory::Memory;
use crate::reconcile::metrics::ReconcileMetrics;
use crate::reconcile::ticket::Ticket;

/// The states by UID of the plan: a recreated plan of the same name is another plan. They are boxed, because a table has
/// room for more than it contains.
#[derive(Default)]
pub struct PlanStates(Mutex<HashMap<Box<str>, Box<PlanState>>>);

/// What the process keeps of a plan.
#[derive(Clone, Debug)]
pub struct PlanState {
    /// What decisions depend on.
    pub memory: Memory,
    /// The inputs of the last reconcile. `None`: it was aborted, so any trigger makes the next one due.
    pub inputs: Option<ReconcileInputs>,
    /// When the last reconcile started.
    pub started_at: Uptime,
    /// With unchanged inputs no reconcile is due before this time.
    pub due_at: Option<Uptime>,
    /// The version of the plan that this process wrote last. A cache with an older version is stale.
    pub written_version: u64,
    /// The last ticket of the plan.
    pub ticket: Ticket,
}

/// Everything whose change makes a reconcile due at once. A reconcile that is triggered with unchanged inputs does
/// nothing: most are triggered by the operator's own writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReconcileInputs {
    /// The generation of the spec. It also changes when the deletion starts.
    pub generation: Option<i64>,
    /// The annotation that requests a reconcile.
    pub requested_at: Option<String>,
    /// Whether the plan is being deleted.
    pub deleting: bool,
    /// The marks of the record.
    pub marks: Marks,
    /// The record. A user may remove it from the status.
    pub record: Record,
    /// The Secret.
    pub secret: SecretInputs,
    /// Which plan holds the tenant.
    pub claim: Claim,
}

/// The inputs from the Secret of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretInputs {
    /// Whether it can be used.
    pub state: SecretState,
    /// The fingerprint of its credentials.
    pub fingerprint: Option<u64>,
}

impl SecretInputs {
    /// A missing finalizer makes a reconcile due only for a plan with a record. No other plan needs it.
    pub(super) fn new(state: &SecretState, fingerprint: Option<u64>, record: &Record) -> Self {
        let mut state = state.clone();
        if let SecretState::Found { has_finalizer, .. } = &mut state {
            *has_finalizer |= !record.is_present();
        }
        Self { state, fingerprint }
    }
}

impl PlanStates {
    /// No states, and the metrics show them.
    #[must_use]
    pub fn new(metrics: &ReconcileMetrics) -> Arc<Self> {
        let states = Arc::default();
        metrics.states.show(&states);
        states
    }

    /// The state of a plan.
    pub fn get(&self, uid: &str) -> Option<PlanState> {
        self.lock().get(uid).map(|state| PlanState::clone(state))
    }

    /// The last ticket of a plan.
    pub fn ticket(&self, uid: &str) -> Option<Ticket> {
        self.lock().get(uid).map(|state| state.ticket)
    }

    /// Stores the state of a plan.
    pub fn put(&self, uid: &str, state: PlanState) {
        self.lock().insert(uid.into(), Box::new(state));
    }

    /// Removes the state of a deleted plan.
    pub fn remove(&self, uid: &str) {
        self.lock().remove(uid);
    }

    /// How many plans back off.
    pub fn backing_off(&self) -> usize {
        self.lock().values().filter(|state| state.memory.failures > 0).count()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Box<str>, Box<PlanState>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
