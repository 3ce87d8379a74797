//! Publishes Events. One that cannot be written delays nothing: in a namespace that is being deleted the API server
//! rejects new objects.
//!
//! Each Event is an object of its own. The recorder of kube would count a second purchase as a repetition of the first,
//! and keep the note of the first with its id.

use std::time::Duration;

use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Resource, ResourceExt};
use strum::IntoStaticStr;
use tokio::time::timeout;
use tracing::debug;

use crate::reconcile::context::Context;
use crate::reconcile::snapshot::PlanSnapshot;
use crate::text;

/// How long the API server may take to write an Event.
const TIMEOUT: Duration = Duration::from_secs(2);
/// The maximum length of an object name.
const MAX_NAME_LENGTH: usize = 253;

/// The type of an Event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr)]
pub enum EventType {
    /// Progress.
    Normal,
    /// A person should look at it.
    Warning,
}

/// The content of an Event about a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanEvent {
    /// The type.
    pub type_: EventType,
    /// The reason.
    pub reason: &'static str,
    /// The note.
    pub note: String,
    /// What the operator was doing.
    pub action: &'static str,
}

/// Publishes an Event.
pub(super) async fn publish(context: &Context, snapshot: &PlanSnapshot, event: PlanEvent) {
    let plan = &snapshot.plan;
    let PlanEvent { type_, reason, note, action } = event;
    let event = Event {
        metadata: ObjectMeta { name: Some(event_name(&plan.name_any())), ..ObjectMeta::default() },
        type_: Some(<&str>::from(type_).into()),
        reason: Some(reason.into()),
        note: Some(note),
        action: Some(action.into()),
        regarding: Some(plan.object_ref(&())),
        reporting_controller: Some(crate::NAME.into()),
        reporting_instance: Some(context.identity.clone()),
        event_time: Some(MicroTime(context.clock.wall())),
        ..Event::default()
    };
    let turn = context.api_server.turn(snapshot).await;
    let events = Api::<Event>::namespaced(turn.client.clone(), &snapshot.key.namespace);
    match timeout(TIMEOUT, events.create(&PostParams::default(), &event)).await {
        Ok(Ok(_)) => return context.kubernetes_metrics.record_write("event"),
        Ok(Err(error)) => {
            debug!(plan = plan.name_any(), reason, error = %text::error_chain(&error), "could not write an Event");
        }
        Err(_) => debug!(plan = plan.name_any(), reason, "writing an Event timed out"),
    }
    context.kubernetes_metrics.record_dropped_event();
}

/// The name of an Event, as client-go forms it: the name of the object and a unique number.
fn event_name(plan: &str) -> String {
    let number = format!(".{:016x}", fastrand::u64(..));
    let length = MAX_NAME_LENGTH - number.len();
    format!("{}{number}", plan.get(..length).unwrap_or(plan).trim_end_matches(['.', '-']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_an_event_is_a_valid_object_name() {
        assert_eq!(event_name("premium").len(), "premium".len() + 17);
        for plan in ["a".repeat(253), format!("{}-{}", "a".repeat(235), "b".repeat(17))] {
            let name = event_name(&plan);
            assert!(name.len() <= MAX_NAME_LENGTH && !name.contains("-."), "{name}");
            assert!(plan.starts_with(name.split('.').next().expect("a name")));
        }
    }
}
