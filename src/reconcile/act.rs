//! *Act*: executes one [`Command`], by one write to the API server or to FIC, and writes the status.
//!
//! A write carries the version of the object that it was decided on, so that a decision on a stale cache fails. The
//! exception is the id of a purchase. A replica that may not hold the lease any more writes nothing but
//! Events.

use kube::ResourceExt;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use tracing::{debug, info, warn};

use crate::api::plan::{CONTRACT_FINALIZER, OWNER_UID};
use crate::domain::contract::ContractId;
use crate::domain::decide::{Command, RecordChange, ReleaseReason, StatusChange};
use crate::domain::run_state::StepResult;
use crate::fic::NotLeader;
use crate::reconcile::context::Context;
use crate::reconcile::error::Error;
use crate::reconcile::metrics::ContractChange;
use crate::reconcile::snapshot::PlanSnapshot;
use crate::reconcile::{event, report};

/// Executes a command. A request to FIC that fails is a result, not an error.
///
/// # Errors
/// When the command was not executed, or it is not known whether it was.
pub async fn execute(context: &Context, snapshot: &mut PlanSnapshot, command: &Command) -> Result<StepResult, Error> {
    let (key, uid) = (snapshot.key.clone(), snapshot.uid().to_owned());
    let may_send = || context.may_send(&key, &uid);
    let not_sent = |_: NotLeader| if context.leadership.holds_lease() { Error::Gone } else { Error::NotLeader };
    match command {
        Command::AddSecretFinalizer => add_secret_finalizer(context, snapshot).await,
        Command::OpenRecord => open_record(context, snapshot).await,
        Command::RestoreRecord { announce } => restore_record(context, snapshot, *announce).await,
        Command::CloseRecord(reason) => close_record(context, snapshot, reason).await,
        Command::ObserveSpec => observe_spec(context, snapshot).await,
        Command::Create => {
            info!(plan = %snapshot.key, tenant = snapshot.plan.spec.tenant_id, "creating the contract");
            let outcome = context.fic.create(snapshot.access()?, snapshot.facts.menu, &may_send).await;
            Ok(StepResult::Created(outcome.map_err(not_sent)?))
        }
        Command::Delete(id) => {
            info!(plan = %snapshot.key, tenant = snapshot.plan.spec.tenant_id, contract = %id, "deleting the contract");
            let outcome = context.fic.delete(snapshot.access()?, id, &may_send).await;
            Ok(StepResult::Deleted(outcome.map_err(not_sent)?))
        }
    }
}

async fn add_secret_finalizer(context: &Context, snapshot: &mut PlanSnapshot) -> Result<StepResult, Error> {
    begin_secret_use(context, snapshot)?;
    let version = snapshot.secret_version.as_deref();
    let turn = context.api_server.turn(snapshot);
    let written = context.secret_finalizer.add(&snapshot.secret_key(), version, turn).await?;
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
        event::publish(context, snapshot, report::restore_event()).await;
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
    context.metrics.record_contract(ContractChange::of_release(reason));
    if let Some(event) = report::release_event(reason) {
        event::publish(context, snapshot, event).await;
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
    let turn = context.api_server.turn(snapshot).await;
    context.require_lease()?;
    let patch = json!({ "metadata": {
        "uid": snapshot.plan.metadata.uid,
        "resourceVersion": snapshot.plan.metadata.resource_version,
        "finalizers": finalizers,
        "annotations": { OWNER_UID: owner_uid },
    } });
    let plan = turn.plans(&snapshot.key).patch(&snapshot.key.name, &parameters(), &Patch::Merge(&patch)).await?;
    context.kubernetes_metrics.record_write("plan");
    snapshot.replace_plan(context, plan);
    Ok(())
}

/// Writes `observedGeneration`, and nothing else of the status.
async fn observe_spec(context: &Context, snapshot: &mut PlanSnapshot) -> Result<StepResult, Error> {
    let status = json!({ "observedGeneration": snapshot.plan.metadata.generation });
    patch_status(context, snapshot, Version::Decided, &status).await?;
    Ok(StepResult::SpecObserved)
}

/// Writes the status if it differs from the current one, and publishes the Events of the change.
///
/// It carries the version that it was decided on. The id of a purchase is written whatever else changed: the contract
/// belongs to the plan in any case.
///
/// # Errors
/// When the status was not written, or it is not known whether it was.
pub async fn write_status(
    context: &Context,
    snapshot: &mut PlanSnapshot,
    change: &StatusChange,
) -> Result<Option<StepResult>, Error> {
    match (write_if_changed(context, snapshot, change).await, &change.record) {
        (Err(Error::Conflict), RecordChange::Purchased(id)) => {
            let decided_on = snapshot.plan.metadata.generation;
            let contract = ContractChange::of_status(&snapshot.plan, change);
            record_purchase(context, snapshot, id).await?;
            context.metrics.record_contract(contract);
            // A changed spec is another decision, which the watch triggers. In another shard it is that of another operator.
            let is_same = snapshot.plan.metadata.generation == decided_on;
            if is_same && context.is_known(&snapshot.key, snapshot.uid()) {
                let rest = StatusChange { record: RecordChange::Keep, ..change.clone() };
                write_if_changed(context, snapshot, &rest).await?;
            }
        }
        (
            written,
            RecordChange::Keep
            | RecordChange::Purchased(_)
            | RecordChange::Adopted(_)
            | RecordChange::Watched(_)
            | RecordChange::Forget
            | RecordChange::Lost(_),
        ) => written?,
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

async fn write_if_changed(context: &Context, snapshot: &mut PlanSnapshot, change: &StatusChange) -> Result<(), Error> {
    let status = report::status(&snapshot.plan, change, context.report_context());
    if snapshot.plan.status.as_ref() != Some(&status) {
        let events = report::events(&snapshot.plan, change, context.report_context());
        let contract = ContractChange::of_status(&snapshot.plan, change);
        patch_status(context, snapshot, Version::Decided, &json!(status)).await?;
        context.metrics.record_contract(contract);
        debug!(plan = %snapshot.key, reason = change.state.reason().as_str(), "wrote the status");
        for event in events {
            event::publish(context, snapshot, event).await;
        }
    }
    Ok(())
}

/// Writes the id of a purchase and nothing else: the rest may be older than what another controller, or the operator of
/// another shard, has written meanwhile.
async fn record_purchase(context: &Context, snapshot: &mut PlanSnapshot, id: &ContractId) -> Result<(), Error> {
    let status = json!({ "id": id.as_str(), "ownerUID": snapshot.plan.metadata.uid });
    patch_status(context, snapshot, Version::Any, &status).await?;
    if let Some(event) = report::record_event(&RecordChange::Purchased(id.clone())) {
        event::publish(context, snapshot, event).await;
    }
    Ok(())
}

/// The version of the plan that a write is for.
#[derive(Clone, Copy)]
enum Version {
    /// The one that it was decided on.
    Decided,
    /// Whatever it is now.
    Any,
}

async fn patch_status(
    context: &Context,
    snapshot: &mut PlanSnapshot,
    version: Version,
    status: &Value,
) -> Result<(), Error> {
    let turn = context.api_server.turn(snapshot).await;
    context.require_lease()?;
    let mut metadata = json!({ "uid": snapshot.plan.metadata.uid });
    match version {
        Version::Decided => metadata["resourceVersion"] = json!(snapshot.plan.metadata.resource_version),
        Version::Any => {}
    }
    let patch = json!({ "metadata": metadata, "status": status });
    let plan = turn.plans(&snapshot.key).patch_status(&snapshot.key.name, &parameters(), &Patch::Merge(&patch)).await?;
    context.kubernetes_metrics.record_write("plan");
    snapshot.replace_plan(context, plan);
    Ok(())
}

fn parameters() -> PatchParams {
    PatchParams { field_manager: Some(crate::NAME.into()), ..PatchParams::default() }
}
