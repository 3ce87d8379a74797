//! *Command*: one change of the world, by one call. Every write of the operator to a plan, a Secret or FIC is here.
//!
//! A write that matters carries the version of the object it was decided on, so that a decision made on a stale cache fails
//! instead of taking effect. A replica that is not sure to lead writes nothing.

use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use kube::core::PartialObjectMeta;
use kube::{Api, Resource, ResourceExt};
use serde_json::{Value, json};
use tokio::time::timeout;
use tracing::{debug, info};

use crate::api::credentials::{CredentialsSecret, IN_USE_FINALIZER};
use crate::api::key::Key;
use crate::api::plan::{CONTRACT_FINALIZER, PremiumSupportPlan, version};
use crate::domain::decide::{Command, IdChange, Occasion, ReleaseReason, StatusChange};
use crate::domain::run_state::StepResult;
use crate::reconcile::context::Context;
use crate::reconcile::error::Error;
use crate::reconcile::observe::PlanSnapshot;
use crate::reconcile::report::{self, PlanEvent};
use crate::text;

/// How long an Event may take to be written.
const EVENT_PATIENCE: Duration = Duration::from_secs(2);
/// The longest name of an object.
const LONGEST_NAME: usize = 253;

/// Carries out one act.
///
/// # Errors
/// When it could not be carried out; a call to FIC that fails is no error but news.
pub async fn act(context: &Context, view: &mut PlanSnapshot, act: &Command) -> Result<StepResult, Error> {
    match act {
        Command::AddSecretFinalizer => protect_secret(context, view).await,
        Command::AddFinalizer => add_finalizer(context, view).await,
        Command::RemoveFinalizer(farewell) => remove_finalizer(context, view, farewell).await,
        Command::Create => {
            info!(plan = %view.key, tenant = view.plan.spec.tenant_id, "create");
            Ok(StepResult::Created(context.fic.create(view.access()?, view.facts.menu, &context.lead).await))
        }
        Command::Delete(id) => {
            info!(plan = %view.key, tenant = view.plan.spec.tenant_id, contract = %id, "delete");
            Ok(StepResult::Deleted(context.fic.delete(view.access()?, id, &context.lead).await))
        }
    }
}

async fn protect_secret(context: &Context, view: &mut PlanSnapshot) -> Result<StepResult, Error> {
    intend(context, view)?;
    let secret = view.secret();
    let finalizers = current_finalizers(context, &secret)?;
    let with = finalizers.into_iter().chain([IN_USE_FINALIZER.to_owned()]).collect::<Vec<_>>();
    let written = patch_secret(context, &secret, view.secret_version.as_deref(), &with).await?;
    // Of this version it carries the finalizer. Whether it still does, the directory knows: the plan may have gone meanwhile, and the
    // Secret have been let go before this answer came.
    view.secret_version = written.metadata.resource_version;
    if let crate::domain::facts::SecretState::Found { protected, .. } = &mut view.credentials {
        *protected = true;
    }
    Ok(StepResult::SecretFinalizerAdded)
}

/// Says that the plan is about to depend on its Secret, as this pass has seen it. A pass that began before the cache had the
/// Secret as it is now may have seen a finalizer that was taken off since.
fn intend(context: &Context, view: &PlanSnapshot) -> Result<(), Error> {
    let secret = view.secret();
    let seen = version(view.secret_version.as_deref());
    if !context.directory.intend(&view.key, &secret, seen) {
        return Err(Error::SecretBusy);
    }
    let cached = context.secret(&secret);
    let cached = cached.ok_or(Error::Conflict)?;
    if version(cached.metadata.resource_version.as_deref()) > seen { Err(Error::Conflict) } else { Ok(()) }
}

fn current_finalizers(context: &Context, secret: &Key) -> Result<Vec<String>, Error> {
    let cached = context.secret(secret);
    let cached = cached.ok_or(Error::Conflict)?;
    Ok(cached.finalizers().iter().filter(|name| *name != IN_USE_FINALIZER).cloned().collect())
}

/// Takes our finalizer off a Secret that no plan depends on.
///
/// # Errors
/// When it could not be written.
pub async fn release_secret(context: &Context, secret: &CredentialsSecret) -> Result<Option<u64>, Error> {
    let without = secret.finalizers().iter().filter(|name| *name != IN_USE_FINALIZER).cloned().collect::<Vec<_>>();
    let key = Key::of(secret);
    let written = patch_secret(context, &key, secret.metadata.resource_version.as_deref(), &without).await?;
    info!(secret = %key, "no plan depends on it any more, let go");
    Ok(version(written.metadata.resource_version.as_deref()))
}

async fn patch_secret(
    context: &Context,
    secret: &Key,
    version: Option<&str>,
    finalizers: &[String],
) -> Result<PartialObjectMeta<Secret>, Error> {
    must_lead(context)?;
    let api = Api::<Secret>::namespaced(context.client.clone(), &secret.namespace);
    let patch = json!({ "metadata": { "resourceVersion": version, "finalizers": finalizers } });
    let written = api.patch_metadata(&secret.name, &parameters(), &Patch::Merge(&patch)).await?;
    context.metrics.wrote("secret");
    Ok(written)
}

async fn add_finalizer(context: &Context, view: &mut PlanSnapshot) -> Result<StepResult, Error> {
    intend(context, view)?;
    let with = view.plan.finalizers().iter().cloned().chain([CONTRACT_FINALIZER.to_owned()]).collect::<Vec<_>>();
    patch_finalizers(context, view, &with).await?;
    Ok(StepResult::FinalizerAdded)
}

async fn remove_finalizer(
    context: &Context,
    view: &mut PlanSnapshot,
    farewell: &ReleaseReason,
) -> Result<StepResult, Error> {
    let others = view.plan.finalizers().iter().filter(|name| *name != CONTRACT_FINALIZER).cloned().collect::<Vec<_>>();
    info!(plan = %view.key, ?farewell, "letting go");
    patch_finalizers(context, view, &others).await?;
    if let Some(announcement) = report::farewell(farewell) {
        announce(context, &view.plan, announcement).await;
    }
    Ok(StepResult::FinalizerRemoved)
}

async fn patch_finalizers(context: &Context, view: &mut PlanSnapshot, finalizers: &[String]) -> Result<(), Error> {
    must_lead(context)?;
    let patch = json!({ "metadata": {
        "uid": view.plan.metadata.uid,
        "resourceVersion": view.plan.metadata.resource_version,
        "finalizers": finalizers,
    } });
    let plan = plans(context, view).patch(&view.key.name, &parameters(), &Patch::Merge(&patch)).await?;
    context.metrics.wrote("plan");
    view.replace_plan(context, plan);
    Ok(())
}

/// Writes the status of a verdict if it differs from the one that stands, and publishes its Events.
///
/// # Errors
/// When it could not be written.
pub async fn publish(
    context: &Context,
    view: &mut PlanSnapshot,
    verdict: &StatusChange,
) -> Result<Option<StepResult>, Error> {
    let status = report::status(&view.plan, verdict, context.clock.wall());
    if view.plan.status.as_ref() != Some(&status) {
        must_lead(context)?;
        let announcements = report::announcements(&view.plan, verdict);
        let written = write_status(context, view, verdict, &json!(status)).await?;
        debug!(plan = %view.key, reason = verdict.situation.reason().as_str(), "reported");
        view.replace_plan(context, written);
        for announcement in announcements {
            announce(context, &view.plan, announcement).await;
        }
    }
    Ok(match (&verdict.id, &verdict.occasion) {
        (IdChange::Set(_), _) => Some(StepResult::IdRecorded),
        (IdChange::Clear, Some(Occasion::Lost(id))) => Some(StepResult::IdForgotten(Some(id.clone()))),
        (IdChange::Clear, _) => Some(StepResult::IdForgotten(None)),
        (IdChange::Keep, _) => None,
    })
}

/// The id of what was just bought is written whatever else has changed of the plan meanwhile: that it is ours is true in any
/// case. Everything else carries the version it was decided on.
async fn write_status(
    context: &Context,
    view: &PlanSnapshot,
    verdict: &StatusChange,
    status: &Value,
) -> Result<PremiumSupportPlan, Error> {
    let must_land = matches!((&verdict.id, &verdict.occasion), (IdChange::Set(_), Some(Occasion::Purchased(_))));
    let mut metadata = json!({ "uid": view.plan.metadata.uid });
    if !must_land {
        metadata["resourceVersion"] = json!(view.plan.metadata.resource_version);
    }
    let patch = json!({ "metadata": metadata, "status": status });
    let written = plans(context, view).patch_status(&view.key.name, &parameters(), &Patch::Merge(&patch)).await?;
    context.metrics.wrote("plan");
    Ok(written)
}

/// An Event that cannot be written holds nothing up: in a namespace that is going away the API server takes no new ones.
///
/// Each is an object of its own. kube's recorder would count a second purchase as a repetition of the first, and keep the words of
/// the first with its id.
async fn announce(context: &Context, plan: &PremiumSupportPlan, announcement: PlanEvent) {
    let PlanEvent { warning, reason, note, action } = announcement;
    let event = Event {
        metadata: ObjectMeta {
            // As client-go names them: the object and a number that differs from time to time.
            name: Some(event_name(&plan.name_any())),
            ..ObjectMeta::default()
        },
        type_: Some(if warning { "Warning" } else { "Normal" }.into()),
        reason: Some(reason.into()),
        note: Some(note),
        action: Some(action.into()),
        regarding: Some(plan.object_ref(&())),
        reporting_controller: Some(crate::NAME.into()),
        reporting_instance: Some(context.identity.clone()),
        event_time: Some(MicroTime(context.clock.wall())),
        ..Event::default()
    };
    let events = Api::<Event>::namespaced(context.client.clone(), &plan.namespace().unwrap_or_default());
    match timeout(EVENT_PATIENCE, events.create(&PostParams::default(), &event)).await {
        Ok(Ok(_)) => context.metrics.wrote("event"),
        Ok(Err(error)) => {
            debug!(plan = plan.name_any(), reason, error = %text::error(&error), "an Event could not be written");
        }
        Err(_) => debug!(plan = plan.name_any(), reason, "an Event could not be written in time"),
    }
}

/// A name is in ASCII, and as long as an object's at the most.
fn event_name(plan: &str) -> String {
    let number = format!(".{:016x}", fastrand::u64(..));
    let most = LONGEST_NAME - number.len();
    format!("{}{number}", plan.get(..most).unwrap_or(plan).trim_end_matches(['.', '-']))
}

fn must_lead(context: &Context) -> Result<(), Error> {
    if context.lead.holds_lease() { Ok(()) } else { Err(Error::NotLeading) }
}

fn plans(context: &Context, view: &PlanSnapshot) -> Api<PremiumSupportPlan> {
    Api::namespaced(context.client.clone(), &view.key.namespace)
}

fn parameters() -> PatchParams {
    PatchParams { field_manager: Some(crate::NAME.into()), ..PatchParams::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_has_a_name_that_an_object_may_have() {
        assert_eq!(event_name("premium").len(), "premium".len() + 17);
        for plan in ["a".repeat(253), format!("{}-{}", "a".repeat(235), "b".repeat(17))] {
            let name = event_name(&plan);
            assert!(name.len() <= LONGEST_NAME && !name.contains("-."), "{name}");
            assert!(plan.starts_with(name.split('.').next().expect("a name")));
        }
    }
}
