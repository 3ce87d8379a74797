//! Metrics of reconciles.

use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use strum::VariantNames;

use crate::api::condition::Reason;
use crate::api::plan::PremiumSupportPlan;
use crate::domain::decide::{RecordChange, ReleaseReason, StatusChange};
use crate::metrics::{Source, count, encode_gauge, seconds};
use crate::reconcile::error::Error;
use crate::reconcile::state::PlanStates;

/// Metrics of reconciles.
#[derive(Clone, Debug)]
pub struct ReconcileMetrics {
    reconciles: Family<ResultLabel, Counter>,
    durations: Family<ResultLabel, Histogram>,
    contracts: Family<ContractChange, Counter>,
    active: Gauge,
    waiting: Gauge,
    concurrency: Gauge,
    /// The states of the controller that runs.
    pub(super) states: Source<PlanStates>,
}

/// A reconcile that waits or is active. Dropping it ends that.
pub struct Tracked(Gauge);

impl Tracked {
    fn new(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Tracked {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// What happened to a contract of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ContractChange {
    change: &'static str,
}

impl ContractChange {
    /// The plan bought it, for the first time.
    pub const PURCHASED: Self = Self { change: "purchased" };
    /// The plan bought it after it had lost another one.
    pub const BOUGHT_AGAIN: Self = Self { change: "bought_again" };
    /// The plan adopted it.
    pub const ADOPTED: Self = Self { change: "adopted" };
    /// The plan abolished it.
    pub const ABOLISHED: Self = Self { change: "abolished" };
    /// The plan was deleted, and left it at FIC.
    pub const RETAINED: Self = Self { change: "retained" };
    /// It was abolished outside of Kubernetes.
    pub const LOST: Self = Self { change: "lost" };

    const ALL: [Self; 6] =
        [Self::PURCHASED, Self::BOUGHT_AGAIN, Self::ADOPTED, Self::ABOLISHED, Self::RETAINED, Self::LOST];

    /// What a change of the status of this plan says.
    #[must_use]
    pub fn of_status(plan: &PremiumSupportPlan, change: &StatusChange) -> Option<Self> {
        let was_lost = plan.reported_reason() == Some(Reason::ContractLost);
        match &change.record {
            RecordChange::Purchased(_) => {
                let recreated = plan.status.as_ref().is_some_and(|status| status.last_recreation_time.is_some());
                Some(if recreated { Self::BOUGHT_AGAIN } else { Self::PURCHASED })
            }
            RecordChange::Adopted(_) => Some(Self::ADOPTED),
            RecordChange::Lost(_) => (!was_lost).then_some(Self::LOST),
            RecordChange::Keep | RecordChange::Watched(_) | RecordChange::Forget => {
                (change.state.reason() == Reason::ContractLost && !was_lost).then_some(Self::LOST)
            }
        }
    }

    /// What the end of a record says.
    #[must_use]
    pub fn of_release(reason: &ReleaseReason) -> Option<Self> {
        match reason {
            ReleaseReason::Abolished { .. } => Some(Self::ABOLISHED),
            ReleaseReason::Retained { id: Some(_), .. } => Some(Self::RETAINED),
            ReleaseReason::Retained { id: None, .. }
            | ReleaseReason::NoRecord
            | ReleaseReason::NothingBought
            | ReleaseReason::Yielded => None,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabel {
    result: &'static str,
}

impl Default for ReconcileMetrics {
    fn default() -> Self {
        Self {
            reconciles: Family::default(),
            durations: Family::new_with_constructor(seconds),
            contracts: Family::default(),
            active: Gauge::default(),
            waiting: Gauge::default(),
            concurrency: Gauge::default(),
            states: Source::default(),
        }
    }
}

impl ReconcileMetrics {
    /// Registers the metrics.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        for result in ["success", "panic"].into_iter().chain(Error::VARIANTS.iter().copied()) {
            let _ = metrics.reconciles.get_or_create(&ResultLabel { result });
            let _ = metrics.durations.get_or_create(&ResultLabel { result });
        }
        registry.register("reconciles", "Reconciles by result", metrics.reconciles.clone());
        registry.register_with_unit(
            "reconcile_duration",
            "Duration of reconciles by result",
            Unit::Seconds,
            metrics.durations.clone(),
        );
        registry.register("contracts", "What happened to contracts of plans", metrics.contracts.clone());
        for change in ContractChange::ALL {
            let _ = metrics.contracts.get_or_create(&change);
        }
        for (name, help, gauge) in [
            ("reconciles_active", "Reconciles that are running", &metrics.active),
            ("reconciles_waiting", "Reconciles that wait for one of the running ones to end", &metrics.waiting),
            ("reconcile_concurrency", "How many reconciles may run at once, see --concurrency", &metrics.concurrency),
        ] {
            registry.register(name, help, gauge.clone());
        }
        registry.register_collector(Box::new(metrics.clone()));
        metrics
    }

    /// Sets how many reconciles may run at once.
    pub fn set_concurrency(&self, concurrency: u16) {
        self.concurrency.set(concurrency.into());
    }

    /// A reconcile waits, until the value is dropped.
    pub fn wait(&self) -> Tracked {
        Tracked::new(&self.waiting)
    }

    /// A reconcile is running, until the value is dropped.
    pub fn run(&self) -> Tracked {
        Tracked::new(&self.active)
    }

    /// Counts a change of a contract.
    pub fn record_contract(&self, change: Option<ContractChange>) {
        if let Some(change) = change {
            self.contracts.get_or_create(&change).inc();
        }
    }

    /// Counts a reconcile.
    pub fn record(&self, result: &'static str, duration: Duration) {
        self.reconciles.get_or_create(&ResultLabel { result }).inc();
        self.durations.get_or_create(&ResultLabel { result }).observe(duration.as_secs_f64());
    }
}

impl Collector for ReconcileMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let backing_off = self.states.get().map_or(0, |states| count(states.backing_off()));
        let help = "Plans whose next reconcile waits because the one before failed";
        encode_gauge(&mut encoder, "plans_backing_off", help, None, backing_off)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::contract::ContractId;
    use crate::domain::decide::{ContractDisplay, RetainCause};
    use crate::domain::ready_state::ReadyState;

    fn plan(reason: &str, recreated: Option<&str>) -> PremiumSupportPlan {
        serde_json::from_value(json!({
            "apiVersion": "fic.ntt.com/v1beta1",
            "kind": "PremiumSupportPlan",
            "metadata": { "name": "plan", "namespace": "team" },
            "spec": { "tenantID": "1".repeat(32), "credentialsSecretRef": { "name": "secret" } },
            "status": {
                "lastRecreationTime": recreated,
                "conditions": [
                    { "type": "Ready", "status": "False", "reason": reason, "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z" },
                ],
            },
        }))
        .expect("a plan")
    }

    #[test]
    fn each_result_has_a_row_from_the_start() {
        let mut registry = crate::metrics::registry();
        let _metrics = ReconcileMetrics::register(&mut registry);
        let text = crate::metrics::text(&registry).expect("the metrics are encoded");
        for result in
            ["success", "panic", Error::Conflict.category(), Error::NotLeader.category(), Error::Bug("").category()]
        {
            let row = format!("fic_operator_reconciles_total{{result=\"{result}\"}} 0\n");
            assert!(text.contains(&row), "{row} is missing in {text}");
        }
    }

    #[test]
    fn each_change_of_a_contract_counts_once() {
        let id = || ContractId::parse("F520000000001").expect("an id");
        let time = Some("2026-01-01T00:00:00Z");
        let of = |plan: &PremiumSupportPlan, record, state| {
            ContractChange::of_status(plan, &StatusChange { state, display: ContractDisplay::Unchanged, record })
        };
        let new = plan("Purchasing", None);
        assert_eq!(of(&new, RecordChange::Purchased(id()), ReadyState::Preparing), Some(ContractChange::PURCHASED));
        let recreated = plan("Purchasing", time);
        assert_eq!(
            of(&recreated, RecordChange::Purchased(id()), ReadyState::Preparing),
            Some(ContractChange::BOUGHT_AGAIN)
        );
        assert_eq!(of(&new, RecordChange::Adopted(id()), ReadyState::Preparing), Some(ContractChange::ADOPTED));
        assert_eq!(of(&new, RecordChange::Watched(id()), ReadyState::Preparing), None);
        assert_eq!(of(&new, RecordChange::Keep, ReadyState::Preparing), None);
        assert_eq!(
            of(&plan("Contracted", None), RecordChange::Lost(id()), ReadyState::Preparing),
            Some(ContractChange::LOST)
        );
        assert_eq!(
            of(&plan("ContractLost", None), RecordChange::Lost(id()), ReadyState::Preparing),
            None,
            "it is counted"
        );
    }

    #[test]
    fn a_contract_is_abolished_or_retained() {
        let id = || ContractId::parse("F520000000001").expect("an id");
        let release = |reason: ReleaseReason| ContractChange::of_release(&reason);
        assert_eq!(release(ReleaseReason::Abolished { id: id(), other: None }), Some(ContractChange::ABOLISHED));
        let retained = |id| ReleaseReason::Retained { id, cause: RetainCause::Policy };
        assert_eq!(release(retained(Some(id()))), Some(ContractChange::RETAINED));
        assert_eq!(release(retained(None)), None);
        assert_eq!(release(ReleaseReason::NothingBought), None);
    }
}
