//! *Observe*: executes one [`Query`], by a read from the API server or from FIC. A live read of the plan updates the
//! snapshot and the index.

use std::sync::atomic::Ordering;

use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Api;
use kube::api::ListParams;
use kube::core::PartialObjectMeta;
use tracing::warn;

use crate::api::crd;
use crate::api::credentials::SECRET_TYPE;
use crate::api::key::ObjectKey;
use crate::domain::decide::Query;
use crate::domain::facts::{Claim, PlanFacts};
use crate::domain::run_state::{CrdState, SecretAbsence, StepResult};
use crate::index::claim::{Contender, claim_of};
use crate::index::scope::list_pages;
use crate::index::triggers::WatchedPlan;
use crate::reconcile::context::Context;
use crate::reconcile::error::Error;
use crate::reconcile::snapshot::PlanSnapshot;

/// Executes a query. A failed read from FIC is a result, not an error.
///
/// # Errors
/// When the API server cannot be read, or the plan was deleted.
pub async fn execute(context: &Context, snapshot: &mut PlanSnapshot, query: &Query) -> Result<StepResult, Error> {
    Ok(match query {
        Query::Secret => StepResult::SecretAbsence(read_secret_absence(context, snapshot).await?),
        Query::Holder => StepResult::Holder(read_holder(context, snapshot).await?),
        Query::Crd => StepResult::Crd(read_crd(context).await?),
        Query::Recreation { lost, approved } => {
            let (limit, now) = (context.settings.max_recreations_per_hour, context.clock.wall());
            let limit = limit.unwrap_or(u32::MAX);
            StepResult::Recreation(context.purchase_guard.request(snapshot.uid(), lost, *approved, limit, now))
        }
        Query::List => StepResult::Listed(context.fic.list(snapshot.access()?).await),
        Query::Show(id) => StepResult::Shown(context.fic.show(snapshot.access()?, id).await),
        Query::OperationError(id) => {
            StepResult::OperationError(context.fic.operation_error(snapshot.access()?, id).await)
        }
    })
}

/// Why a Secret is not in the cache. Only metadata is requested, never data.
async fn read_secret_absence(context: &Context, snapshot: &PlanSnapshot) -> Result<SecretAbsence, Error> {
    let key = snapshot.secret_key();
    let api = Api::<PartialObjectMeta<Secret>>::namespaced(context.client.clone(), &key.namespace);
    let of_another_type = ListParams::default().fields(&format!("metadata.name={},type!={SECRET_TYPE}", key.name));
    let found = api.list_metadata(&of_another_type).await?;
    Ok(if found.items.is_empty() { SecretAbsence::NotFound } else { SecretAbsence::WrongType })
}

/// Lists the plans of the tenant live: which one holds the tenant, and this plan as it is now.
async fn read_holder(context: &Context, snapshot: &mut PlanSnapshot) -> Result<Claim, Error> {
    let of_tenant = ListParams::default().fields(&format!("spec.tenantID={}", snapshot.plan.spec.tenant_id));
    let uid = snapshot.plan.metadata.uid.clone();
    let (mut contenders, mut current) = (Vec::new(), None);
    for api in context.scope.apis::<WatchedPlan>(&context.client) {
        list_pages(&api, &of_tenant, |guard| {
            // A plan that cannot be decoded has no tenant that could be trusted, so it claims nothing.
            let Ok(plan) = guard.0 else { return };
            let (key, contender) = (ObjectKey::of(&plan), Contender::of(&plan));
            let is_create_open = context.index.is_create_open(&key, &contender.uid);
            contenders.push((key, Contender { is_create_open, ..contender }));
            if plan.metadata.uid == uid {
                current = Some(plan);
            }
        })
        .await?;
    }
    let claim = claim_of(&snapshot.key, contenders.iter().map(|(key, contender)| (key, contender)));
    let current = current.ok_or(Error::Gone)?;
    if ObjectKey::of_secret(&current) != snapshot.secret_key() || snapshot.is_secret_newly_deleted(context) {
        // A contract is bought with the Secret that the plan refers to now, and not with one that is being deleted.
        return Err(Error::Conflict);
    }
    let facts = PlanFacts::of(&current);
    if (facts.marks, &facts.record) != (snapshot.facts.marks, &snapshot.facts.record) {
        // What this reconcile has read and remembers is about another record.
        return Err(Error::Conflict);
    }
    snapshot.replace_plan(context, current);
    Ok(claim)
}

async fn read_crd(context: &Context) -> Result<CrdState, Error> {
    let api = Api::<PartialObjectMeta<CustomResourceDefinition>>::all(context.client.clone());
    match api.get_metadata_opt(crd::NAME).await {
        Ok(Some(crd)) if crd.metadata.deletion_timestamp.is_none() => Ok(CrdState::Present),
        Ok(Some(_) | None) => Ok(CrdState::Deleting),
        Err(kube::Error::Api(status)) if status.code == 403 => {
            if !context.crd_unreadable.swap(true, Ordering::Relaxed) {
                warn!(
                    crd = crd::NAME,
                    "not allowed to read the CustomResourceDefinition: deleting it will abolish the contracts of its plans. \
                     Allow get on this CustomResourceDefinition, or set deletionPolicy: Retain before you uninstall"
                );
            }
            Ok(CrdState::Present)
        }
        Err(error) => Err(error.into()),
    }
}
