//! Metrics of the plans in the index.

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::api::condition::Reason;

/// Metrics of the plans in the index.
#[derive(Clone, Debug, Default)]
pub struct PlanMetrics {
    plans: Family<ReasonLabel, Gauge>,
    undecodable: Gauge,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: Reason,
}

impl EncodeLabelValue for Reason {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
        self.as_str().encode(encoder)
    }
}

impl PlanMetrics {
    /// Registers the metrics.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register("plans", "Plans by the reason of their Ready condition", metrics.plans.clone());
        registry.register(
            "undecodable_plans",
            "Plans that cannot be decoded, which the operator does not change",
            metrics.undecodable.clone(),
        );
        metrics
    }

    /// Forgets all plans.
    pub(super) fn reset(&self) {
        self.plans.clear();
        self.undecodable.set(0);
    }

    /// Moves a plan from one reason to another. `None`: the plan appears or disappears.
    pub fn move_plan(&self, from: Option<Reason>, to: Option<Reason>) {
        if from == to {
            return;
        }
        if let Some(reason) = from {
            self.plans.get_or_create(&ReasonLabel { reason }).dec();
        }
        if let Some(reason) = to {
            self.plans.get_or_create(&ReasonLabel { reason }).inc();
        }
    }

    /// Sets the number of plans that cannot be decoded.
    pub fn set_undecodable(&self, count: usize) {
        self.undecodable.set(i64::try_from(count).unwrap_or(i64::MAX));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_counts_under_its_current_reason() {
        let mut registry = crate::metrics::registry();
        let metrics = PlanMetrics::register(&mut registry);
        metrics.move_plan(None, Some(Reason::Processing));
        metrics.move_plan(Some(Reason::Processing), Some(Reason::Contracted));
        let text = crate::metrics::text(&registry).expect("the metrics are encoded");
        assert!(text.contains("fic_operator_plans{reason=\"Processing\"} 0"), "{text}");
        assert!(text.contains("fic_operator_plans{reason=\"Contracted\"} 1"), "{text}");
    }
}
