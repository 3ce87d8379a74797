//! Checks the Events of the operator: one Event for each transition, and none in a steady state.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::plan_fields::{has_both_marks, has_record, owned_id, ready, uid};
use crate::store::ObjectWrite;

/// The UID of a plan and a reason.
type Subject = (String, String);

/// The ledger does not distinguish between these two reasons.
const CREATED_OR_ADOPTED: &str = "Purchased or Adopted";
/// The ledger does not distinguish between these two reasons.
const RELEASED: &str = "Abolished or Retained";

/// Counts the transitions that need an Event, and the Events.
#[derive(Default)]
pub struct EventLedger {
    transitions: BTreeMap<Subject, u32>,
    events: BTreeMap<Subject, u32>,
}

/// Whether the ready state of a plan needs an Event.
fn needs_event(plan: &Value) -> bool {
    let conditions = plan["status"]["conditions"].as_array();
    let is_stalled = conditions.into_iter().flatten().any(|condition| condition["type"] == "Stalled");
    is_stalled || ready(plan).1 == "Contracted"
}

impl EventLedger {
    /// The operator has written a plan.
    pub fn plan_written(&mut self, write: &ObjectWrite) {
        let Some(before) = &write.before else { return };
        let Some(after) = &write.after else {
            if has_record(before) {
                self.add_transition(before, RELEASED);
            }
            return;
        };
        let reason = ready(after).1;
        if reason != ready(before).1 && needs_event(after) {
            self.add_transition(after, reason);
        }
        if !has_both_marks(before) && has_both_marks(after) {
            self.add_transition(after, "RecordRestored");
        }
        if has_record(before) && !has_record(after) {
            self.add_transition(before, RELEASED);
        }
        match (owned_id(before), owned_id(after)) {
            (was, Some(id)) if was != Some(id) => {
                self.add_transition(after, CREATED_OR_ADOPTED);
            }
            (Some(_), None) => self.add_transition(after, "ContractLost"),
            _ => {}
        }
    }

    fn add_transition(&mut self, plan: &Value, reason: &str) {
        *self.transitions.entry((uid(plan).to_owned(), reason.to_owned())).or_default() += 1;
    }

    /// The operator has created an Event. There must be a transition for it.
    pub fn event_created(&mut self, event: &Value) -> Result<(), String> {
        let uid = event["regarding"]["uid"].as_str().unwrap_or_default().to_owned();
        let reason = event["reason"].as_str().unwrap_or_default();
        let known_as = match reason {
            "Purchased" | "Adopted" => CREATED_OR_ADOPTED,
            "Abolished" | "Retained" => RELEASED,
            reason => reason,
        };
        let subject = (uid, known_as.to_owned());
        let events = self.events.entry(subject.clone()).or_default();
        *events += 1;
        let transitions = self.transitions.get(&subject).copied().unwrap_or(0);
        if *events > transitions {
            return Err(format!("Events: {reason} was reported {events} times, and happened {transitions} times"));
        }
        Ok(())
    }

    /// If no Event can have been lost, each transition must have an Event. Some kinds need none: a plan without a
    /// contract is released without an Event, and so is the id of a lost contract, and a record is opened without one.
    pub fn check_complete(&self) -> Result<(), String> {
        let missing = self.transitions.iter().find(|(subject, transitions)| {
            ![RELEASED, "ContractLost", "RecordRestored"].contains(&subject.1.as_str())
                && self.events.get(*subject).unwrap_or(&0) < *transitions
        });
        missing.map_or(Ok(()), |((_, reason), transitions)| {
            Err(format!("Events: {reason} happened {transitions} times and was reported less often"))
        })
    }
}
