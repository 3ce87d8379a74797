//! What is told in Events: each transition once, a steady state never.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::oracle::{CONTRACT, recorded, uid};
use crate::rest::ready;
use crate::store::{Written, has_finalizer};

/// What an Event is about: a plan by its UID, and a reason. Whether a contract was bought or adopted is one question.
type About = (String, String);

const BOUGHT_OR_ADOPTED: &str = "Purchased or Adopted";
const LET_GO: &str = "Abolished or Retained";
/// What there was to tell, and what was told.
#[derive(Default)]
pub struct Ledger {
    due: BTreeMap<About, u32>,
    told: BTreeMap<About, u32>,
}

fn is_told(plan: &Value) -> bool {
    let conditions = plan["status"]["conditions"].as_array();
    let is_stalled = conditions.into_iter().flatten().any(|condition| condition["type"] == "Stalled");
    is_stalled || ready(plan).1 == "Contracted"
}

impl Ledger {
    /// The operator has written a plan.
    pub fn written(&mut self, written: &Written) {
        let Some(before) = &written.before else { return };
        let Some(after) = &written.after else {
            if has_finalizer(before, CONTRACT) {
                self.due(before, LET_GO);
            }
            return;
        };
        let reason = ready(after).1;
        if reason != ready(before).1 && is_told(after) {
            self.due(after, reason);
        }
        if has_finalizer(before, CONTRACT) && !has_finalizer(after, CONTRACT) {
            self.due(before, LET_GO);
        }
        match (recorded(before), recorded(after)) {
            (was, Some(id)) if was != Some(id) && has_finalizer(after, CONTRACT) => self.due(after, BOUGHT_OR_ADOPTED),
            (Some(_), None) => self.due(after, "ContractLost"),
            _ => {}
        }
    }

    fn due(&mut self, plan: &Value, what: &str) {
        *self.due.entry((uid(plan).to_owned(), what.to_owned())).or_default() += 1;
    }

    /// An Event has come in. What is there to be said against it?
    pub fn told(&mut self, event: &Value) -> Result<(), String> {
        let uid = event["regarding"]["uid"].as_str().unwrap_or_default().to_owned();
        let reason = event["reason"].as_str().unwrap_or_default();
        let what = match reason {
            "Purchased" | "Adopted" => BOUGHT_OR_ADOPTED,
            "Abolished" | "Retained" => LET_GO,
            reason => reason,
        };
        let about = (uid, what.to_owned());
        let told = self.told.entry(about.clone()).or_default();
        *told += 1;
        let due = self.due.get(&about).copied().unwrap_or(0);
        if *told > due {
            return Err(format!("Events: {reason} was told {told} times, and happened {due} times"));
        }
        Ok(())
    }

    /// Where nothing got lost, whatever a user would want to know was told. A plan that nothing was bought for is let go without a word,
    /// and so is a record that is given up.
    pub fn complete(&self) -> Result<(), String> {
        let missing = self.due.iter().find(|(about, due)| {
            ![LET_GO, "ContractLost"].contains(&about.1.as_str()) && self.told.get(*about).unwrap_or(&0) < *due
        });
        missing.map_or(Ok(()), |((_, what), due)| {
            Err(format!("Events: {what} happened {due} times and was not told as often"))
        })
    }
}
