//! *Observe*: what there is to see. The plan and its Secret come from the caches; each look of a decision is one call, to the API
//! server or to FIC. Nothing is changed here.

use std::sync::atomic::Ordering;

use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::ListParams;
use kube::core::{DeserializeGuard, PartialObjectMeta};
use kube::{Api, ResourceExt};
use tracing::warn;

use crate::api::condition::{READY, Ready, Reason};
use crate::api::crd;
use crate::api::credentials::{self, CredentialsSecret, IN_USE_FINALIZER, SECRET_TYPE};
use crate::api::key::Key;
use crate::api::plan::{
    CONTRACT_FINALIZER, PremiumSupportPlan, PremiumSupportPlanStatus, RECONCILE_REQUESTED_AT, version,
};
use crate::domain::contract::ContractId;
use crate::domain::decide::Query;
use crate::domain::facts::{Claim, PlanFacts, Reported, SecretState};
use crate::domain::run_state::{CrdState, SecretAbsence, StepResult};
use crate::fic::Access;
use crate::index::claim::{self, Contender};
use crate::reconcile::context::Context;
use crate::reconcile::error::Error;
use crate::reconcile::state::{ReconcileInputs, SecretInputs};

/// A plan and what belongs to it, as they are seen during a pass.
pub struct PlanSnapshot {
    /// The plan, as last read or written.
    pub plan: PremiumSupportPlan,
    /// Its name.
    pub key: Key,
    /// The plan, reduced to what decisions depend on.
    pub facts: PlanFacts,
    /// The Secret, reduced likewise.
    pub credentials: SecretState,
    /// The version of the Secret that is cached.
    pub secret_version: Option<String>,
    /// What calls are made with, if the Secret can be used.
    pub access: Option<Access>,
    /// Who holds the tenant, as far as is known.
    pub claim: Claim,
}

impl PlanSnapshot {
    /// What the caches have.
    #[must_use]
    pub fn of(context: &Context, plan: PremiumSupportPlan) -> Self {
        let key = Key::of(&plan);
        let facts = plan_facts(&plan);
        let claim = context.directory.claim(&key, &plan.spec.tenant_id);
        let mut view =
            Self { plan, key, facts, credentials: SecretState::NotFound, secret_version: None, access: None, claim };
        view.read_secret(context);
        view
    }

    /// Takes in the plan as it is now, after a write of ours or a fresh read.
    pub fn replace_plan(&mut self, context: &Context, plan: PremiumSupportPlan) {
        context.bells.ripple(context.directory.update(&plan));
        self.facts = plan_facts(&plan);
        self.plan = plan;
        self.claim = context.directory.claim(&self.key, &self.plan.spec.tenant_id);
    }

    /// The Secret that the plan names.
    #[must_use]
    pub fn secret(&self) -> Key {
        Key::of_secret(&self.plan)
    }

    /// Whether the Secret is being deleted, or gone, since this pass has read it.
    fn secret_is_going(&self, context: &Context) -> bool {
        let SecretState::Found { deleting: false, .. } = self.credentials else { return false };
        context.secret(&self.secret()).is_none_or(|secret| secret.metadata.deletion_timestamp.is_some())
    }

    /// What would wake the plan if it changed.
    #[must_use]
    pub fn stimulus(&self) -> ReconcileInputs {
        let facts = match &self.credentials {
            // What the Secret's own finalizer does wakes a plan only where it is missing from a Secret in use.
            SecretState::Found { defect, protected, deleting } => SecretState::Found {
                defect: defect.clone(),
                protected: *protected || !self.facts.finalizer,
                deleting: *deleting,
            },
            SecretState::NotFound => SecretState::NotFound,
        };
        ReconcileInputs {
            generation: self.plan.metadata.generation,
            requested_at: self.plan.annotations().get(RECONCILE_REQUESTED_AT).cloned(),
            deleting: self.facts.deleting,
            finalizer: self.facts.finalizer,
            credentials: SecretInputs {
                facts,
                fingerprint: self.access.as_ref().map(|access| access.credentials.fingerprint),
            },
            claim: self.claim.clone(),
        }
    }

    fn read_secret(&mut self, context: &Context) {
        let key = self.secret();
        let found = context.secret(&key);
        let Some(secret) = found.as_deref() else { return };
        self.secret_version.clone_from(&secret.metadata.resource_version);
        let pair = secret.credentials.0.as_ref();
        self.credentials = SecretState::Found {
            defect: pair.err().cloned(),
            protected: is_protected(context, &key, secret),
            deleting: secret.metadata.deletion_timestamp.is_some(),
        };
        self.access = pair.ok().map(|credentials| Access {
            tenant: self.plan.spec.tenant_id.as_str().into(),
            credentials: credentials::Credentials::clone(credentials),
        });
    }
}

fn is_protected(context: &Context, key: &Key, secret: &CredentialsSecret) -> bool {
    let carried = secret.finalizers().iter().any(|name| name == IN_USE_FINALIZER);
    carried && !context.directory.is_released_since(key, version(secret.metadata.resource_version.as_deref()))
}

/// A plan, reduced to what decisions depend on.
#[must_use]
pub fn plan_facts(plan: &PremiumSupportPlan) -> PlanFacts {
    let spec = &plan.spec;
    PlanFacts {
        menu: spec.menu,
        management: spec.management_policy,
        adoption: spec.adoption_policy,
        recreation: spec.recreation_policy,
        deletion: spec.deletion_policy,
        suspend: spec.suspend,
        deleting: plan.metadata.deletion_timestamp.is_some(),
        finalizer: plan.finalizers().iter().any(|name| name == CONTRACT_FINALIZER),
        id: plan.status.as_ref().and_then(|status| ContractId::parse(status.id.as_deref()?)),
        reported: plan.status.as_ref().and_then(reported),
    }
}

fn reported(status: &PremiumSupportPlanStatus) -> Option<Reported> {
    let ready = status.conditions.iter().find(|condition| condition.type_ == READY)?;
    Some(Reported {
        ready: match ready.status.as_str() {
            "True" => Ready::True,
            "Unknown" => Ready::Unknown,
            _ => Ready::False,
        },
        reason: Reason::parse(&ready.reason),
    })
}

/// Takes one look.
///
/// # Errors
/// When the API server cannot be asked, or the plan is no longer there.
pub async fn look(context: &Context, view: &mut PlanSnapshot, look: &Query) -> Result<StepResult, Error> {
    Ok(match look {
        Query::Secret => StepResult::Secret(look_for_secret(context, view).await?),
        Query::Holder => StepResult::Holder(look_for_holder(context, view).await?),
        Query::Crd => StepResult::Crd(look_at_definition(context).await?),
        Query::List => StepResult::Listed(context.fic.list(view.access()?).await),
        Query::Show(id) => StepResult::Shown(context.fic.show(view.access()?, id).await),
        Query::Explain(id) => StepResult::Explained(context.fic.explain(view.access()?, id).await),
    })
}

impl PlanSnapshot {
    /// What calls are made with.
    pub(crate) fn access(&self) -> Result<&Access, Error> {
        self.access.as_ref().ok_or(Error::Bug("a call was decided on without credentials"))
    }
}

/// A Secret that is not among those of our type: is there one of another type? Only its name is asked for, never its data.
async fn look_for_secret(context: &Context, view: &PlanSnapshot) -> Result<SecretAbsence, Error> {
    let key = view.secret();
    let api = Api::<PartialObjectMeta<Secret>>::namespaced(context.client.clone(), &key.namespace);
    let of_another_type = ListParams::default().fields(&format!("metadata.name={},type!={SECRET_TYPE}", key.name));
    let found = api.list_metadata(&of_another_type).await?;
    Ok(if found.items.is_empty() { SecretAbsence::Absent } else { SecretAbsence::WrongType })
}

/// The plans of the tenant by the API server's own word, among them this one: who holds the tenant, and what does the plan
/// itself say by now?
async fn look_for_holder(context: &Context, view: &mut PlanSnapshot) -> Result<Claim, Error> {
    let of_tenant = ListParams::default().fields(&format!("spec.tenantID={}", view.plan.spec.tenant_id));
    let mut plans = Vec::new();
    for api in apis(context) {
        // Plans that cannot be decoded name no tenant that could be trusted; they hold nothing.
        plans.extend(api.list(&of_tenant).await?.items.into_iter().filter_map(|guard| guard.0.ok()));
    }
    let contenders = plans.iter().map(|plan| (Key::of(plan), Contender::of(plan))).collect::<Vec<_>>();
    let claim = match claim::holder(&contenders, |(_, contender)| contender) {
        Some((key, _)) if *key != view.key => Claim::HeldBy(key.to_string().into()),
        Some(_) | None => Claim::Ours,
    };
    let uid = view.plan.metadata.uid.clone();
    let itself = plans.into_iter().find(|plan| plan.metadata.uid == uid).ok_or(Error::Gone)?;
    if Key::of_secret(&itself) != view.secret() || view.secret_is_going(context) {
        // What is bought is bought with the Secret that the plan names now, and not with one that is going.
        return Err(Error::Conflict);
    }
    view.replace_plan(context, itself);
    Ok(claim)
}

/// Whether any plan carries the finalizer and uses this Secret, by the API server's own word and whatever its labels. One that
/// cannot be decoded may.
///
/// # Errors
/// When the API server cannot be asked.
pub async fn is_used_by_any(context: &Context, secret: &Key) -> Result<bool, Error> {
    let api = Api::<DeserializeGuard<PremiumSupportPlan>>::namespaced(context.client.clone(), &secret.namespace);
    let plans = api.list(&ListParams::default()).await?.items;
    Ok(plans.iter().any(|guard| match &guard.0 {
        Ok(plan) => plan_facts(plan).finalizer && Key::of_secret(plan) == *secret,
        Err(_) => true,
    }))
}

fn apis(context: &Context) -> Vec<Api<DeserializeGuard<PremiumSupportPlan>>> {
    let namespaced = |namespace: &String| Api::namespaced(context.client.clone(), namespace);
    if context.namespaces.is_empty() {
        vec![Api::all(context.client.clone())]
    } else {
        context.namespaces.iter().map(namespaced).collect()
    }
}

async fn look_at_definition(context: &Context) -> Result<CrdState, Error> {
    let api = Api::<PartialObjectMeta<CustomResourceDefinition>>::all(context.client.clone());
    match api.get_metadata_opt(crd::NAME).await {
        Ok(Some(definition)) if definition.metadata.deletion_timestamp.is_none() => Ok(CrdState::Present),
        Ok(Some(_) | None) => Ok(CrdState::Deleting),
        Err(kube::Error::Api(status)) if status.code == 403 => {
            if !context.definition_unreadable.swap(true, Ordering::Relaxed) {
                warn!(
                    definition = crd::NAME,
                    "may not read the CustomResourceDefinition: plans that go because it is deleted will abolish their contracts. \
                     Allow get on this one definition, or set deletionPolicy: Retain before uninstalling"
                );
            }
            Ok(CrdState::Present)
        }
        Err(error) => Err(error.into()),
    }
}
