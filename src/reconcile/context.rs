//! What every reconcile needs. It is created once, when this replica starts to lead.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::api::key::ObjectKey;
use crate::api::plan::PremiumSupportPlan;
use crate::clock::Clock;
use crate::domain::facts::Settings;
use crate::fic::FicClient;
use crate::index::Index;
use crate::index::scope::Scope;
use crate::index::triggers::{Affected, Triggers};
use crate::leader_election::Leadership;
use crate::metrics::KubernetesMetrics;
use crate::reconcile::api_server::ApiServer;
use crate::reconcile::error::Error;
use crate::reconcile::metrics::ReconcileMetrics;
use crate::reconcile::purchase_guard::PurchaseGuard;
use crate::reconcile::report::ReportContext;
use crate::reconcile::slots::Slots;
use crate::reconcile::state::PlanStates;
use crate::reconcile::ticket::Tickets;
use crate::secret_finalizer::SecretFinalizer;

/// What every reconcile needs.
pub struct Context {
    /// The client of the API server.
    pub api_server: ApiServer,
    /// The client of FIC.
    pub fic: Arc<FicClient>,
    /// The plans of each tenant and Secret.
    pub index: Arc<Index>,
    /// The finalizers of credentials Secrets.
    pub secret_finalizer: Arc<SecretFinalizer>,
    /// Triggers reconciles of other plans.
    pub triggers: Triggers,
    /// Whether this replica leads.
    pub leadership: Leadership,
    /// The flags that decisions depend on.
    pub settings: Settings,
    /// The base URL of the documents, for links in messages.
    pub documentation: Option<Box<str>>,
    /// What this operator watches.
    pub scope: Scope,
    /// The name of this process, for Events.
    pub identity: String,
    /// Metrics of reconciles.
    pub metrics: ReconcileMetrics,
    /// Metrics of requests to the API server.
    pub kubernetes_metrics: KubernetesMetrics,
    /// The clocks.
    pub clock: Clock,
    /// What is kept of each plan between reconciles.
    pub states: Arc<PlanStates>,
    /// How many reconciles run at the same time.
    pub slots: Slots,
    /// Which plan of a namespace goes first.
    pub tickets: Tickets,
    /// Limits how many lost contracts are bought again.
    pub purchase_guard: PurchaseGuard,
    /// Whether the process is shutting down: a reconcile finishes its request and starts no other.
    pub stopping: AtomicBool,
    /// Whether the log already says that the CRD cannot be read.
    pub crd_unreadable: AtomicBool,
}

impl Context {
    /// What a report that is written now depends on.
    pub fn report_context(&self) -> ReportContext<'_> {
        ReportContext { moment: self.clock.moment(), documentation: self.documentation.as_deref() }
    }

    /// Whether the process is shutting down.
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// Requires that this replica holds the lease for certain, before each write.
    pub(super) fn require_lease(&self) -> Result<(), Error> {
        if self.leadership.holds_lease() { Ok(()) } else { Err(Error::NotLeader) }
    }

    /// Whether a request that changes a contract of this plan may be sent: this replica holds the lease, and the plan was
    /// neither deleted nor moved to another shard, as far as the cache shows.
    pub(super) fn may_send(&self, key: &ObjectKey, uid: &str) -> bool {
        self.leadership.holds_lease() && self.is_known(key, uid)
    }

    /// Whether the cache has this plan, and not only another one of the same name.
    pub(super) fn is_known(&self, key: &ObjectKey, uid: &str) -> bool {
        self.index.uid(key).as_deref() == Some(uid)
    }

    /// Publishes a plan from a watch event. A list may bring another plan of the same name, without the deletion of the
    /// first.
    pub fn plan_watched(&self, plan: &PremiumSupportPlan) {
        let key = ObjectKey::of(plan);
        let former = self.index.uid(&key);
        self.publish(self.index.put(plan), plan);
        if let Some(former) = former.filter(|former| !self.is_known(&key, former)) {
            self.forget(&former);
        }
    }

    fn forget(&self, uid: &str) {
        self.states.remove(uid);
        self.slots.forget(uid);
    }

    /// Marks a plan as undecodable. What is known of another plan of the same name is of no use any more.
    pub fn plan_undecodable(&self, key: ObjectKey, uid: Option<&str>) {
        if self.index.uid(&key).is_some_and(|known| Some(&*known) != uid) {
            self.plan_deleted(&key);
        }
        self.index.put_undecodable(key);
    }

    /// Publishes a plan as returned by a write or a live read.
    pub(super) fn plan_written(&self, plan: &PremiumSupportPlan) {
        self.publish(self.index.update(plan), plan);
    }

    /// Sets whether this process sent a create request for a plan that FIC may have accepted.
    pub(super) fn set_create_open(&self, key: &ObjectKey, uid: &str, open: bool) {
        self.triggers.enqueue_affected(self.index.set_create_open(key, uid, open));
    }

    /// The index comes first: from then on it shows the use of a Secret that [`SecretFinalizer`] knew of until now.
    fn publish(&self, affected: Affected, plan: &PremiumSupportPlan) {
        let recreated = plan.status.as_ref().and_then(|status| status.last_recreation_time.as_ref());
        if let (Some(uid), Some(recreated)) = (&plan.metadata.uid, recreated) {
            self.purchase_guard.observe(uid, recreated.0, self.clock.wall());
        }
        self.triggers.enqueue_affected(affected);
        self.secret_finalizer.plan_updated(&ObjectKey::of(plan));
    }

    /// Removes a deleted plan.
    pub fn plan_deleted(&self, key: &ObjectKey) {
        if let Some(uid) = self.index.uid(key) {
            self.forget(&uid);
        }
        self.triggers.enqueue_affected(self.index.remove(key));
        self.secret_finalizer.plan_updated(key);
    }
}
