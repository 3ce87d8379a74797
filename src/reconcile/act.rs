//! *Act*: executes one [`Command`], by one write to the API server or to FIC, and writes the status.
//!
//! A write carries the version of the object that it was decided on, so that a decision on a stale cache fails. The
//! exception is the status that records a purchase. A replica that may not hold the lease any more writes nothing but
//! Events.

use kube::ResourceExt;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use tracing::{debug, info, warn};

use crate::api::plan::{CONTRACT_FINALIZER, OWNER_UID};
use crate::domain::decide::{Command, RecordChange, ReleaseReason, StatusChange};
use crate::domain::run_state::StepResult;
use crate::reconcile::context::Context;
use crate::reconcile::error::Error;
use crate::reconcile::snapshot::PlanSnapshot;
use crate::reconcile::{event, report};

/// Executes a command. A request to FIC that fails is a result, not an error.
///
/// # Errors
/// When the command was not executed, or it is not known whether it was.
pub async fn execute(context: &Context, snapshot: &mut PlanSnapshot, command: &Command) -> Result<StepResult, Error> {
    let may_send = || context.leadership.holds_lease();
    match command {
        Command::AddSecretFinalizer => add_secret_finalizer(context, snapshot).await,
        Command::OpenRecord => open_record(context, snapshot).await,
        Command::RestoreRecord { announce } => restore_record(context, snapshot, *announce).await,
        Command::CloseRecord(reason) => close_record(context, snapshot, reason).await,
        Command::ObserveSpec => observe_spec(context, snapshot).await,
        Command::Create => {
            info!(plan = %snapshot.key, tenant = snapshot.plan.spec.tenant_id, "creating the contract");
            let outcome = context.fic.create(snapshot.access()?, snapshot.facts.menu, &may_send).await?;
            Ok(StepResult::Created(outcome))
        }
        Command::Delete(id) => {
            info!(plan = %snapshot.key, tenant = snapshot.plan.spec.tenant_id, contract = %id, "deleting the contract");
            Ok(StepResult::Deleted(context.fic.delete(snapshot.access()?, id, &may_send).await?))
        }
    }
}

async fn add_secret_finalizer(context: &Context, snapshot: &mut PlanSnapshot) -> Result<StepResult, Error> {
    begin_secret_use(context, snapshot)?;
    let version = snapshot.secret_version.as_deref();
    let written = context.secret_finalizer.add(&snapshot.secret_key(), version).await?;
    snapshot.secret_finalizer_added(written);
    Ok(StepResult::SecretFinalizerAdded)
}

async fn open_record(context: &Context, snapshot: &mut PlanSnapshot) -> Result<StepResult, Error> {
    begin_secret_use(context, snapshot)?;
    add_marks(context, snapshot).await?;
    snapshot.record_opened = true;
    Ok(StepResult::RecordOpened)
}

async fn restore_record(context: &Context, snapshot: &mut PlanSnapshot, announce: bool) -> Result<StepResult, Error> {
    warn!(plan = %snapshot.key, "the finalizer or the annotation of the record was removed, restoring it");
    add_marks(context, snapshot).await?;
    if announce {
        event::publish(context, &snapshot.plan, report::restore_event()).await;
    }
    Ok(StepResult::RecordRestored)
}

fn begin_secret_use(context: &Context, snapshot: &PlanSnapshot) -> Result<(), Error> {
    let (plan, secret) = (&snapshot.key, snapshot.secret_key());
    Ok(context.secret_finalizer.begin_use(plan, &secret, snapshot.secret_version_number())?)
}

async fn close_record(
    context: &Context,
    snapshot: &mut PlanSnapshot,
    reason: &ReleaseReason,
) -> Result<StepResult, Error> {
    let finalizers = snapshot.plan.finalizers().iter().filter(|name| *name != CONTRACT_FINALIZER).cloned().collect();
    info!(plan = %snapshot.key, ?reason, "removing the finalizer and the annotation");
    patch_marks(context, snapshot, finalizers, None).await?;
    if let Some(event) = report::release_event(reason) {
        event::publish(context, &snapshot.plan, event).await;
    }
    Ok(StepResult::RecordClosed)
}

async fn add_marks(context: &Context, snapshot: &mut PlanSnapshot) -> Result<(), Error> {
    let others = snapshot.plan.finalizers().iter().filter(|name| *name != CONTRACT_FINALIZER).cloned();
    let finalizers = others.chain([CONTRACT_FINALIZER.to_owned()]).collect();
    let uid = snapshot.plan.metadata.uid.clone();
    patch_marks(context, snapshot, finalizers, uid).await
}

/// Writes the finalizers and the annotation of the record in one request. `None` removes the annotation.
async fn patch_marks(
    context: &Context,
    snapshot: &mut PlanSnapshot,
    finalizers: Vec<String>,
    owner_uid: Option<String>,
) -> Result<(), Error> {
    context.require_lease()?;
    let patch = json!({ "metadata": {
        "uid": snapshot.plan.metadata.uid,
        "resourceVersion": snapshot.plan.metadata.resource_version,
        "finalizers": finalizers,
        "annotations": { OWNER_UID: owner_uid },
    } });
    let plans = context.plans(&snapshot.key.namespace);
    let plan = plans.patch(&snapshot.key.name, &parameters(), &Patch::Merge(&patch)).await?;
    context.kubernetes_metrics.record_write("plan");
    snapshot.replace_plan(context, plan);
    Ok(())
}

/// Writes `observedGeneration`, and nothing else of the status.
async fn observe_spec(context: &Context, snapshot: &mut PlanSnapshot) -> Result<StepResult, Error> {
    let status = json!({ "observedGeneration": snapshot.plan.metadata.generation });
    patch_status(context, snapshot, &RecordChange::Keep, &status).await?;
    Ok(StepResult::SpecObserved)
}

/// Writes the status if it differs from the current one, and publishes the Events of the change.
///
/// # Errors
/// When the status was not written, or it is not known whether it was.
pub async fn write_status(
    context: &Context,
    snapshot: &mut PlanSnapshot,
    change: &StatusChange,
) -> Result<Option<StepResult>, Error> {
    let status = report::status(&snapshot.plan, change, context.clock.moment());
    if snapshot.plan.status.as_ref() != Some(&status) {
        let events = report::events(&snapshot.plan, change, context.clock.moment());
        patch_status(context, snapshot, &change.record, &json!(status)).await?;
        debug!(plan = %snapshot.key, reason = change.state.reason().as_str(), "wrote the status");
        for event in events {
            event::publish(context, &snapshot.plan, event).await;
        }
    }
    Ok(match &change.record {
        RecordChange::Purchased(_) | RecordChange::Adopted(_) | RecordChange::Watched(_) => {
            Some(StepResult::IdRecorded)
        }
        RecordChange::Lost(id) => Some(StepResult::IdCleared { lost: Some(id.clone()) }),
        RecordChange::Forget => Some(StepResult::IdCleared { lost: None }),
        RecordChange::Keep => None,
    })
}

/// The id of a purchase is written whatever else changed: the contract belongs to the plan in any case. Every other
/// status carries the version that it was decided on.
async fn patch_status(
    context: &Context,
    snapshot: &mut PlanSnapshot,
    record: &RecordChange,
    status: &Value,
) -> Result<(), Error> {
    context.require_lease()?;
    let mut metadata = json!({ "uid": snapshot.plan.metadata.uid });
    match record {
        RecordChange::Purchased(_) => {}
        RecordChange::Keep
        | RecordChange::Adopted(_)
        | RecordChange::Watched(_)
        | RecordChange::Forget
        | RecordChange::Lost(_) => metadata["resourceVersion"] = json!(snapshot.plan.metadata.resource_version),
    }
    let patch = json!({ "metadata": metadata, "status": status });
    let plans = context.plans(&snapshot.key.namespace);
    let plan = plans.patch_status(&snapshot.key.name, &parameters(), &Patch::Merge(&patch)).await?;
    context.kubernetes_metrics.record_write("plan");
    snapshot.replace_plan(context, plan);
    Ok(())
}

fn parameters() -> PatchParams {
    PatchParams { field_manager: Some(crate::NAME.into()), ..PatchParams::default() }
}
