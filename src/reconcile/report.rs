//! *Report*: from a [`StatusChange`] to the status of a plan and its Events, as values. [`crate::reconcile::act`]
//! writes them.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use crate::api::condition::{ConditionStatus, Progress, READY, RECONCILING, Reason, STALLED};
use crate::api::plan::{CONTRACT_FINALIZER, OWNER_UID, PremiumSupportPlan, PremiumSupportPlanStatus};
use crate::clock::Moment;
use crate::domain::contract::Contract;
use crate::domain::decide::{ContractDisplay, RecordChange, ReleaseReason, RetainCause, StatusChange};
use crate::reconcile::event::{EventType, PlanEvent};
use crate::reconcile::message::{self, Subject};

/// What a report depends on beside the plan and the change.
#[derive(Clone, Copy, Debug)]
pub struct ReportContext<'a> {
    /// The current time.
    pub moment: Moment,
    /// The base URL of the documents.
    pub documentation: Option<&'a str>,
}

/// The status of a plan after a change.
#[must_use]
pub fn status(plan: &PremiumSupportPlan, change: &StatusChange, at: ReportContext<'_>) -> PremiumSupportPlanStatus {
    let mut status = plan.status.clone().unwrap_or_default();
    status.observed_generation = plan.metadata.generation;
    status.last_handled_reconcile_at = plan.reconcile_requested_at().map(Into::into);
    match &change.display {
        ContractDisplay::Unchanged => {}
        ContractDisplay::Contract(contract) => show(&mut status, Some(contract)),
        ContractDisplay::Cleared => show(&mut status, None),
    }
    match &change.record {
        RecordChange::Keep => {}
        RecordChange::Purchased(id) | RecordChange::Adopted(id) => {
            status.id = Some(id.to_string());
            status.owner_uid.clone_from(&plan.metadata.uid);
        }
        RecordChange::Watched(id) => {
            status.id = Some(id.to_string());
            status.owner_uid = None;
        }
        RecordChange::Forget => {
            status.id = None;
            status.owner_uid = None;
        }
        RecordChange::Lost(_) => {
            status.id = None;
            status.owner_uid = None;
            status.last_recreation_time = Some(Time(to_the_second(at.moment.wall)));
        }
    }
    status.conditions = conditions(plan, change, &status.conditions, at);
    status
}

fn show(status: &mut PremiumSupportPlanStatus, contract: Option<&Contract>) {
    let non_empty = |value: &str| (!value.is_empty()).then(|| value.to_owned());
    status.operation_status = contract.and_then(|contract| non_empty(contract.status.as_str()));
    status.current_menu = contract.and_then(|contract| contract.current_menu.as_deref()).and_then(non_empty);
    status.menus = contract.map(|contract| contract.menus.clone()).filter(|menus| !menus.is_empty());
}

/// `Ready` is part of every report. `Reconciling` and `Stalled` are present only while True, as kstatus expects. The
/// conditions of other controllers stay.
fn conditions(
    plan: &PremiumSupportPlan,
    change: &StatusChange,
    before: &[Condition],
    at: ReportContext<'_>,
) -> Vec<Condition> {
    let (ready, reason) = change.state.condition();
    let message = message::message(&change.state, subject(plan, at));
    let condition = |type_: &str, status: ConditionStatus| {
        let unchanged = before.iter().find(|old| old.type_ == type_ && old.status == status.as_str());
        Condition {
            type_: type_.into(),
            status: status.as_str().into(),
            reason: reason.as_str().into(),
            message: message.clone(),
            observed_generation: plan.metadata.generation,
            last_transition_time: unchanged
                .map_or_else(|| Time(to_the_second(at.moment.wall)), |old| old.last_transition_time.clone()),
        }
    };
    let others = before.iter().filter(|old| ![READY, RECONCILING, STALLED].contains(&old.type_.as_str())).cloned();
    let mut conditions = others.collect::<Vec<_>>();
    conditions.push(condition(READY, ready));
    match reason.progress() {
        Progress::Settled => {}
        Progress::Reconciling => conditions.push(condition(RECONCILING, ConditionStatus::True)),
        Progress::Stalled => conditions.push(condition(STALLED, ConditionStatus::True)),
    }
    conditions
}

fn subject<'a>(plan: &'a PremiumSupportPlan, at: ReportContext<'a>) -> Subject<'a> {
    Subject {
        moment: at.moment,
        documentation: at.documentation,
        tenant: &plan.spec.tenant_id,
        namespace: plan.metadata.namespace.as_deref().unwrap_or_default(),
        secret: &plan.spec.credentials_secret_ref.name,
        deleting: plan.is_being_deleted(),
    }
}

/// The API server stores whole seconds. A status that is read back must equal the one that was written.
fn to_the_second(now: Timestamp) -> Timestamp {
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}

/// The Events of a status change: what happened to the contract, and the transition to Contracted or to a Stalled
/// reason.
#[must_use]
pub fn events(plan: &PremiumSupportPlan, change: &StatusChange, at: ReportContext<'_>) -> Vec<PlanEvent> {
    let mut events = Vec::from_iter(record_event(&change.record));
    let reason = change.state.reason();
    let is_new = plan.ready_condition().is_none_or(|old| old.reason != reason.as_str());
    if is_new && (reason == Reason::Contracted || reason.progress() == Progress::Stalled) {
        events.push(PlanEvent {
            type_: if reason == Reason::Contracted { EventType::Normal } else { EventType::Warning },
            reason: reason.as_str(),
            note: message::message(&change.state, subject(plan, at)),
            action: "Reconcile",
        });
    }
    events
}

/// The Event of a change of the record.
#[must_use]
pub fn record_event(record: &RecordChange) -> Option<PlanEvent> {
    let normal = |reason, note, action| Some(PlanEvent { type_: EventType::Normal, reason, note, action });
    match record {
        RecordChange::Keep | RecordChange::Watched(_) | RecordChange::Forget => None,
        RecordChange::Purchased(id) => normal("Purchased", format!("Bought contract {id}."), "Create"),
        RecordChange::Adopted(id) => {
            normal("Adopted", format!("Adopted contract {id}. It belongs to this plan from now on."), "Adopt")
        }
        RecordChange::Lost(id) => Some(PlanEvent {
            type_: EventType::Warning,
            reason: Reason::ContractLost.as_str(),
            note: format!("Contract {id} was abolished outside of Kubernetes. The operator buys it again."),
            action: "Create",
        }),
    }
}

/// The Event of a record whose marks were restored.
#[must_use]
pub fn restore_event() -> PlanEvent {
    PlanEvent {
        type_: EventType::Normal,
        reason: "RecordRestored",
        note: format!(
            "The finalizer {CONTRACT_FINALIZER} or the annotation {OWNER_UID} was removed from this plan. The operator added \
             it again, because the contract of the plan would be left behind without it."
        ),
        action: "Restore",
    }
}

/// The Event of a closed record, if there is something to report.
#[must_use]
pub fn release_event(reason: &ReleaseReason) -> Option<PlanEvent> {
    let normal = |reason, note| Some(PlanEvent { type_: EventType::Normal, reason, note, action: "Delete" });
    match reason {
        ReleaseReason::NoRecord | ReleaseReason::NothingBought | ReleaseReason::Yielded => None,
        ReleaseReason::Abolished { id, other: None } => normal("Abolished", format!("Contract {id} is abolished.")),
        ReleaseReason::Abolished { id, other: Some(other) } => normal(
            "Abolished",
            format!(
                "Contract {id} is abolished. Contract {other} of the tenant does not belong to this plan and was not changed."
            ),
        ),
        ReleaseReason::Retained { id, cause } => {
            let contract =
                id.as_ref().map_or_else(|| "Any contract of the tenant".to_owned(), |id| format!("Contract {id}"));
            let why = match cause {
                RetainCause::Policy => "the policies of the plan retain it",
                RetainCause::Uninstall => {
                    "the CustomResourceDefinition is being deleted, which is an uninstall and does not abolish contracts"
                }
            };
            normal("Retained", format!("{contract} stays at FIC, and you continue to pay for it: {why}."))
        }
    }
}

#[cfg(test)]
mod tests;
