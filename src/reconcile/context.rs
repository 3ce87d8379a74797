//! What every pass of the loop needs, put together once when a replica begins to lead.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use kube::Client;
use kube::runtime::reflector::{ObjectRef, Store};

use crate::api::credentials::CredentialsSecret;
use crate::api::key::Key;
use crate::clock::Clock;
use crate::controller::tenant_locks::TenantLocks;
use crate::domain::facts::Settings;
use crate::fic::FicClient;
use crate::index::Index;
use crate::index::triggers::Triggers;
use crate::leader_election::Leadership;
use crate::metrics::Metrics;
use crate::reconcile::state::PlanStates;

/// What every pass needs.
pub struct Context {
    /// The API server.
    pub client: Client,
    /// FIC.
    pub fic: Arc<FicClient>,
    /// The Secrets of our type.
    pub secrets: Store<CredentialsSecret>,
    /// Who belongs to whom.
    pub directory: Arc<Index>,
    /// Where others are woken.
    pub bells: Triggers,
    /// Which plan of a tenant has its turn.
    pub turns: TenantLocks,
    /// The right to act.
    pub lead: Leadership,
    /// The flags that decisions depend on.
    pub settings: Settings,
    /// The namespaces watched; none: all.
    pub namespaces: Vec<String>,
    /// Only plans with certain labels are this operator's: there may be others, and plans that it does not see.
    pub is_shard: bool,
    /// The name of this replica.
    pub identity: String,
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// The clocks.
    pub clock: Clock,
    /// What is remembered of each plan.
    pub notes: Arc<PlanStates>,
    /// Set when the process is to end: what was begun is finished, and nothing new is begun.
    pub stopping: AtomicBool,
    /// Set once it has been said that the definition may not be read.
    pub definition_unreadable: AtomicBool,
}

impl Context {
    /// A Secret of our type, as the cache has it.
    pub fn secret(&self, key: &Key) -> Option<Arc<CredentialsSecret>> {
        self.secrets.get(&ObjectRef::new(&key.name).within(&key.namespace))
    }

    /// Whether the process is to end.
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }
}
