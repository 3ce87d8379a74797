//! *Report*: from a verdict to a status and the Events that go with it, as values. The one place where a status is made.
//!
//! Consumes a [`StatusChange`] and the plan as it is, produces the status as it should be. [`crate::reconcile::act`] writes it, if it differs.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::ResourceExt;

use crate::api::condition::{Progress, READY, RECONCILING, Ready, Reason, STALLED};
use crate::api::plan::{PremiumSupportPlan, PremiumSupportPlanStatus, RECONCILE_REQUESTED_AT};
use crate::domain::contract::Contract;
use crate::domain::decide::{ContractDisplay, IdChange, Occasion, ReleaseReason, StatusChange};
use crate::reconcile::message::{self, Subject};

/// An Event to publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanEvent {
    /// Normal, or Warning.
    pub warning: bool,
    /// The reason.
    pub reason: &'static str,
    /// The note.
    pub note: String,
    /// What the operator was at.
    pub action: &'static str,
}

/// The status as it should be after a verdict.
#[must_use]
pub fn status(plan: &PremiumSupportPlan, verdict: &StatusChange, now: Timestamp) -> PremiumSupportPlanStatus {
    let mut status = plan.status.clone().unwrap_or_default();
    status.observed_generation = plan.metadata.generation;
    status.last_handled_reconcile_at = plan.annotations().get(RECONCILE_REQUESTED_AT).cloned();
    match &verdict.shown {
        ContractDisplay::AsBefore => {}
        ContractDisplay::Contract(contract) => show(&mut status, Some(contract)),
        ContractDisplay::Nothing => show(&mut status, None),
    }
    match &verdict.id {
        IdChange::Keep => {}
        IdChange::Set(id) => status.id = Some(id.to_string()),
        IdChange::Clear => status.id = None,
    }
    status.conditions = conditions(plan, verdict, &status.conditions, now);
    status
}

fn show(status: &mut PremiumSupportPlanStatus, contract: Option<&Contract>) {
    let word = |word: &str| (!word.is_empty()).then(|| word.to_owned());
    status.operation_status = contract.and_then(|contract| word(contract.status.as_str()));
    status.current_menu = contract.and_then(|contract| contract.current_menu.as_deref()).and_then(word);
    status.menus = contract.map(|contract| contract.menus.clone()).filter(|menus| !menus.is_empty());
}

/// `Ready` is always there; `Reconciling` and `Stalled` only while True, as kstatus has it.
fn conditions(
    plan: &PremiumSupportPlan,
    verdict: &StatusChange,
    before: &[Condition],
    now: Timestamp,
) -> Vec<Condition> {
    let situation = &verdict.situation;
    let message = message::message(situation, subject(plan));
    let condition = |type_: &str, status: Ready| {
        let since = before.iter().find(|old| old.type_ == type_ && old.status == status.as_str());
        Condition {
            type_: type_.into(),
            status: status.as_str().into(),
            reason: situation.reason().as_str().into(),
            message: message.clone(),
            observed_generation: plan.metadata.generation,
            last_transition_time: since
                .map_or_else(|| Time(to_the_second(now)), |old| old.last_transition_time.clone()),
        }
    };
    let mut conditions = vec![condition(READY, situation.ready())];
    match situation.reason().progress() {
        Progress::Still => {}
        Progress::Reconciling => conditions.push(condition(RECONCILING, Ready::True)),
        Progress::Stalled => conditions.push(condition(STALLED, Ready::True)),
    }
    conditions
}

fn subject(plan: &PremiumSupportPlan) -> Subject<'_> {
    Subject {
        tenant: &plan.spec.tenant_id,
        secret: &plan.spec.credentials_secret_ref.name,
        deleting: plan.metadata.deletion_timestamp.is_some(),
    }
}

/// The API server keeps whole seconds; what was read back must compare equal to what was written.
fn to_the_second(now: Timestamp) -> Timestamp {
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}

/// The Events that go with a verdict: what has just happened, and the entry into Ready or into a Stalled reason.
#[must_use]
pub fn announcements(plan: &PremiumSupportPlan, verdict: &StatusChange) -> Vec<PlanEvent> {
    let mut announcements = Vec::new();
    if let Some(occasion) = &verdict.occasion {
        announcements.push(occasion_words(occasion));
    }
    let situation = &verdict.situation;
    let reason = situation.reason();
    let before = plan.status.as_ref().and_then(|status| status.conditions.iter().find(|old| old.type_ == READY));
    let entered = before.is_none_or(|old| old.reason != reason.as_str());
    if entered && (reason == Reason::Contracted || reason.progress() == Progress::Stalled) {
        announcements.push(PlanEvent {
            warning: reason != Reason::Contracted,
            reason: reason.as_str(),
            note: message::message(situation, subject(plan)),
            action: "Reconcile",
        });
    }
    announcements
}

fn occasion_words(occasion: &Occasion) -> PlanEvent {
    let normal = |reason, note, action| PlanEvent { warning: false, reason, note, action };
    match occasion {
        Occasion::Purchased(id) => normal("Purchased", format!("Contract {id} was bought."), "Create"),
        Occasion::Adopted(id) => {
            normal("Adopted", format!("Contract {id} was there already and is this plan's from now on."), "Adopt")
        }
        Occasion::Lost(id) => PlanEvent {
            warning: true,
            reason: Reason::ContractLost.as_str(),
            note: format!("Contract {id} is gone, abolished outside of Kubernetes. It is bought again."),
            action: "Create",
        },
    }
}

/// The Event that goes with letting go, where there is something to tell.
#[must_use]
pub fn farewell(farewell: &ReleaseReason) -> Option<PlanEvent> {
    let normal = |reason, note| Some(PlanEvent { warning: false, reason, note, action: "Delete" });
    match farewell {
        ReleaseReason::NothingBought | ReleaseReason::Yielded => None,
        ReleaseReason::Abolished { id, other: None } => normal("Abolished", format!("Contract {id} is gone.")),
        ReleaseReason::Abolished { id, other: Some(other) } => normal(
            "Abolished",
            format!("Contract {id} is gone. Contract {other} of the tenant is not this plan's and was left alone."),
        ),
        ReleaseReason::Retained { id, uninstall } => {
            let what =
                id.as_ref().map_or_else(|| "Whatever the tenant holds".to_owned(), |id| format!("Contract {id}"));
            let why = if *uninstall {
                "the CustomResourceDefinition is being deleted, which is an uninstall and not a wish to abolish"
            } else {
                "the plan's policies say so"
            };
            normal("Retained", format!("{what} stays at FIC and goes on being paid for: {why}."))
        }
    }
}

#[cfg(test)]
mod tests;
