//! A plan, its Secret and its claim during a reconcile: read from the caches first, then replaced by what writes and
//! live reads return.

use crate::api::credentials::Credentials;
use crate::api::key::{ObjectKey, parse_resource_version, resource_version};
use crate::api::plan::PremiumSupportPlan;
use crate::api::trim;
use crate::domain::facts::{Claim, PlanFacts, SecretState};
use crate::fic::Access;
use crate::reconcile::context::Context;
use crate::reconcile::error::Error;
use crate::reconcile::state::{ReconcileInputs, SecretInputs};
use crate::reconcile::ticket::Ticket;

/// A plan and what belongs to it.
pub struct PlanSnapshot {
    /// The plan, as last read or written.
    pub plan: PremiumSupportPlan,
    /// Its namespace and name.
    pub key: ObjectKey,
    /// What decisions depend on.
    pub facts: PlanFacts,
    /// Its Secret.
    pub secret: SecretState,
    /// The version of the Secret.
    pub secret_version: Option<String>,
    /// The tenant and the credentials of requests to FIC, if the Secret can be used.
    pub access: Option<Access>,
    /// Which plan holds the tenant, as far as the cache shows.
    pub claim: Claim,
    /// This reconcile opened the record.
    pub record_opened: bool,
    /// The ticket of the plan.
    pub ticket: Ticket,
}

impl PlanSnapshot {
    /// The snapshot from the caches.
    #[must_use]
    pub fn new(context: &Context, plan: PremiumSupportPlan, ticket: Ticket) -> Self {
        let key = ObjectKey::of(&plan);
        let facts = PlanFacts::of(&plan);
        let claim = context.index.claim(&key, &plan.spec.tenant_id);
        let secret = SecretState::NotFound;
        let mut snapshot =
            Self { plan, key, facts, secret, secret_version: None, access: None, claim, record_opened: false, ticket };
        snapshot.read_secret(context);
        snapshot
    }

    fn read_secret(&mut self, context: &Context) {
        let Some(secret) = context.secret_finalizer.cached(&self.secret_key()) else { return };
        self.secret_version.clone_from(&secret.metadata.resource_version);
        let credentials = secret.credentials.0.as_ref();
        self.secret = SecretState::Found {
            defect: credentials.err().cloned(),
            has_finalizer: context.secret_finalizer.is_present(&secret),
            deleting: secret.metadata.deletion_timestamp.is_some(),
        };
        self.access = credentials.ok().map(|credentials| Access {
            namespace: self.key.namespace.as_ref().into(),
            ticket: self.ticket.number,
            tenant: self.plan.spec.tenant_id.as_str().into(),
            credentials: Credentials::clone(credentials),
        });
    }

    /// Replaces the plan by what a write or a live read returned.
    pub fn replace_plan(&mut self, context: &Context, mut plan: PremiumSupportPlan) {
        trim::plan(&mut plan.metadata);
        context.plan_written(&plan);
        self.facts = PlanFacts::of(&plan);
        self.plan = plan;
        self.claim = context.index.claim(&self.key, &self.plan.spec.tenant_id);
    }

    /// The Secret carries the finalizer at this version now.
    pub fn secret_finalizer_added(&mut self, version: Option<String>) {
        self.secret_version = version;
        if let SecretState::Found { has_finalizer, .. } = &mut self.secret {
            *has_finalizer = true;
        }
    }

    /// The Secret that the plan refers to.
    #[must_use]
    pub fn secret_key(&self) -> ObjectKey {
        ObjectKey::of_secret(&self.plan)
    }

    /// The version of the Secret, for comparisons.
    #[must_use]
    pub fn secret_version_number(&self) -> Option<u64> {
        parse_resource_version(self.secret_version.as_deref())
    }

    /// Whether the Secret was marked for deletion, or deleted, since this reconcile read it.
    pub(super) fn is_secret_newly_deleted(&self, context: &Context) -> bool {
        let SecretState::Found { deleting: false, .. } = self.secret else { return false };
        let cached = context.secret_finalizer.cached(&self.secret_key());
        cached.is_none_or(|secret| secret.metadata.deletion_timestamp.is_some())
    }

    /// The tenant and the credentials of requests to FIC.
    pub(super) fn access(&self) -> Result<&Access, Error> {
        self.access.as_ref().ok_or(Error::Bug("the decision calls FIC without credentials"))
    }

    /// The UID of the plan.
    pub(super) fn uid(&self) -> &str {
        self.plan.metadata.uid.as_deref().unwrap_or_default()
    }

    /// The version of the plan.
    pub(super) fn version(&self) -> Option<u64> {
        resource_version(&self.plan)
    }

    /// The inputs of this reconcile.
    #[must_use]
    pub fn inputs(&self) -> ReconcileInputs {
        let fingerprint = self.access.as_ref().map(|access| access.credentials.fingerprint);
        ReconcileInputs {
            generation: self.plan.metadata.generation,
            requested_at: self.plan.reconcile_requested_at().map(Into::into),
            deleting: self.facts.deleting,
            marks: self.facts.marks,
            record: self.facts.record.clone(),
            secret: SecretInputs::new(&self.secret, fingerprint, &self.facts.record),
            claim: self.claim.clone(),
        }
    }
}
