//! *Observe*: executes one [`Query`], by a read from the cache, from the API server or from FIC. A read of the plan from
//! the API server updates the snapshot and the index.

use std::sync::atomic::Ordering;

use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{ListParams, VersionMatch};
use kube::core::PartialObjectMeta;
use kube::{Api, ResourceExt};
use tracing::warn;

use crate::api::crd;
use crate::api::credentials::{IN_USE_FINALIZER, SECRET_TYPE};
use crate::api::key::ObjectKey;
use crate::api::plan::PremiumSupportPlan;
use crate::domain::decide::Query;
use crate::domain::facts::{Claim, PlanFacts, SecretState};
use crate::domain::run_state::{CrdState, SecretAbsence, StepResult};
use crate::index::claim::{Contender, claim_of};
use crate::index::list::list_each;
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
        Query::Plan => read_plan(context, snapshot).await?,
        Query::Holder => StepResult::Holder(read_holder(context, snapshot).await?),
        Query::Crd => StepResult::Crd(read_crd(context, snapshot).await?),
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
    let of_another_type = list_secret(context, snapshot, &format!(",type!={SECRET_TYPE}")).await?;
    Ok(if of_another_type.is_empty() { SecretAbsence::NotFound } else { SecretAbsence::WrongType })
}

/// The Secret of a plan, if it also has these fields. By a list, since the operator may not get Secrets.
async fn list_secret(
    context: &Context,
    snapshot: &PlanSnapshot,
    fields: &str,
) -> Result<Vec<PartialObjectMeta<Secret>>, Error> {
    let key = snapshot.secret_key();
    let turn = context.api_server.turn(snapshot).await;
    let api = Api::namespaced(turn.client.clone(), &key.namespace);
    let of_name = ListParams::default().fields(&format!("metadata.name={}{fields}", key.name));
    Ok(api.list_metadata(&of_name).await?.items)
}

/// Reads this plan.
async fn read_plan(context: &Context, snapshot: &mut PlanSnapshot) -> Result<StepResult, Error> {
    require_shard(context, snapshot).await?;
    let turn = context.api_server.turn(snapshot).await;
    let plan = turn.plans(&snapshot.key).get_opt(&snapshot.key.name).await?;
    let is_same = |plan: &PremiumSupportPlan| plan.metadata.uid == snapshot.plan.metadata.uid;
    let current = plan.filter(is_same).ok_or(Error::Gone)?;
    replace_by_current(context, snapshot, current)?;
    Ok(StepResult::PlanRead)
}

/// Which plan holds the tenant.
///
/// Of two plans that open their records at the same time, the later one finds that of the earlier one in everything that is
/// not older than its own record. So a plan whose record this reconcile opened needs no list, but the cache once the watch
/// has delivered that write.
async fn read_holder(context: &Context, snapshot: &mut PlanSnapshot) -> Result<Claim, Error> {
    if let Some(version) = snapshot.version().filter(|_| snapshot.record_opened && context.scope.is_one_watch())
        && context.index.delivered.wait_for(version).await
    {
        return holder_in_cache(context, snapshot);
    }
    list_holder(context, snapshot).await
}

fn holder_in_cache(context: &Context, snapshot: &mut PlanSnapshot) -> Result<Claim, Error> {
    if !context.is_known(&snapshot.key, snapshot.uid()) {
        return Err(Error::Gone);
    }
    if context.index.version(&snapshot.key) != snapshot.version() || snapshot.is_secret_newly_deleted(context) {
        return Err(Error::Conflict);
    }
    snapshot.claim = context.index.claim(&snapshot.key, &snapshot.plan.spec.tenant_id);
    Ok(snapshot.claim.clone())
}

/// Lists the plans of the tenant: which one holds the tenant, and this plan as it is now.
///
/// If this reconcile opened the record, the list has the version of that write, so that the API server answers it from its
/// cache. Without a version, a busy API server reads all plans of all tenants from etcd for each of these lists, and a
/// namespace with some hundred large plans is enough to stop it.
async fn list_holder(context: &Context, snapshot: &mut PlanSnapshot) -> Result<Claim, Error> {
    let mut of_tenant = ListParams::default().fields(&format!("spec.tenantID={}", snapshot.plan.spec.tenant_id));
    if let Some(version) = snapshot.plan.metadata.resource_version.as_ref().filter(|_| snapshot.record_opened) {
        of_tenant = of_tenant.at(version).matching(VersionMatch::NotOlderThan);
    }
    let uid = snapshot.plan.metadata.uid.clone();
    require_shard(context, snapshot).await?;
    let (mut contenders, mut current) = (Vec::new(), None);
    for part in context.scope.parts() {
        let turn = context.api_server.turn(snapshot).await;
        list_each(&part.api::<WatchedPlan>(&turn.client), &of_tenant, |guard| {
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
    require_secret_finalizer_in_shard(context, snapshot).await?;
    let claim = claim_of(&snapshot.key, contenders.iter().map(|(key, contender)| (key, contender)));
    replace_by_current(context, snapshot, current.ok_or(Error::Gone)?)?;
    Ok(claim)
}

fn replace_by_current(
    context: &Context,
    snapshot: &mut PlanSnapshot,
    current: PremiumSupportPlan,
) -> Result<(), Error> {
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
    Ok(())
}

/// Requires that the plan is still in the shard of this operator. From the moment it is not, the operator of the other
/// shard buys and abolishes.
async fn require_shard(context: &Context, snapshot: &PlanSnapshot) -> Result<(), Error> {
    let Some(selector) = &context.scope.label_selector else { return Ok(()) };
    let turn = context.api_server.turn(snapshot).await;
    let api = Api::<PartialObjectMeta<PremiumSupportPlan>>::namespaced(turn.client.clone(), &snapshot.key.namespace);
    let of_shard = ListParams::default().labels(selector).fields(&format!("metadata.name={}", snapshot.key.name));
    let found = api.list_metadata(&of_shard).await?;
    let is_found = found.items.iter().any(|plan| plan.metadata.uid == snapshot.plan.metadata.uid);
    if is_found { Ok(()) } else { Err(Error::Gone) }
}

/// Requires that the Secret still has the finalizer if the cache shows one: the operator of another shard may have removed
/// it before this plan opened its record. What this process removes itself, it knows.
async fn require_secret_finalizer_in_shard(context: &Context, snapshot: &PlanSnapshot) -> Result<(), Error> {
    let SecretState::Found { has_finalizer: true, .. } = snapshot.secret else { return Ok(()) };
    if !context.scope.is_shard() {
        return Ok(());
    }
    let found = list_secret(context, snapshot, "").await?;
    let mut finalizers = found.iter().flat_map(ResourceExt::finalizers);
    if finalizers.any(|name| name == IN_USE_FINALIZER) { Ok(()) } else { Err(Error::Conflict) }
}

async fn read_crd(context: &Context, snapshot: &PlanSnapshot) -> Result<CrdState, Error> {
    let turn = context.api_server.turn(snapshot).await;
    let api = Api::<PartialObjectMeta<CustomResourceDefinition>>::all(turn.client.clone());
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
