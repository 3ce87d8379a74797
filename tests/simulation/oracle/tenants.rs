//! Checks that a process buys only when it knows every record of the tenant that was opened before its own.

use fic_simulator::log::Call;
use serde_json::Value;

use super::{FicRequest, Oracle};
use crate::plan_fields::{is_open, spec_text};
use crate::sim_world::Incarnation;
use crate::store::ObjectWrite;

impl Oracle {
    /// A process has written a plan.
    pub fn record_written(&mut self, incarnation: Incarnation, write: &ObjectWrite) {
        let Some(after) = write.after.as_ref().filter(|after| is_open(after)) else { return };
        if !write.before.as_ref().is_some_and(is_open) {
            let version = after["metadata"]["resourceVersion"].as_str().and_then(|version| version.parse().ok());
            self.unknown_records.insert((incarnation, tenant(after)), version.unwrap_or_default());
        }
    }

    /// The watch of a process has delivered every change up to a version. That of a shard does not show every plan.
    pub fn watch_delivered(&mut self, incarnation: Incarnation, delivered: u64) {
        if !self.has_shards {
            self.plans_listed(incarnation, delivered);
        }
    }

    /// The API server has answered a list of plans at a version.
    pub fn plans_listed(&mut self, incarnation: Incarnation, known: u64) {
        self.unknown_records.retain(|(process, _), version| *process != incarnation || *version > known);
    }

    /// A process sends a request to FIC.
    pub(super) fn check_records_known(&mut self, request: &FicRequest) {
        let Some(tenant) = request.tenant.clone().filter(|_| request.call == Call::Create) else { return };
        if self.unknown_records.contains_key(&(request.incarnation, tenant)) {
            self.fail("rule 7: a create request before the process knows the records that were opened before");
        }
    }
}

fn tenant(plan: &Value) -> String {
    spec_text(plan, "tenantID", "").to_owned()
}
