//! Metrics of reconciles.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::metrics::seconds;

/// Metrics of reconciles.
#[derive(Clone, Debug)]
pub struct ReconcileMetrics {
    reconciles: Family<ResultLabel, Counter>,
    duration: Histogram,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabel {
    result: &'static str,
}

impl Default for ReconcileMetrics {
    fn default() -> Self {
        Self { reconciles: Family::default(), duration: seconds() }
    }
}

impl ReconcileMetrics {
    /// Registers the metrics.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register("reconciles", "Reconciles by result", metrics.reconciles.clone());
        registry.register_with_unit(
            "reconcile_duration",
            "Duration of reconciles",
            Unit::Seconds,
            metrics.duration.clone(),
        );
        metrics
    }

    /// Counts a reconcile.
    pub fn record(&self, result: &'static str, duration: Duration) {
        self.reconciles.get_or_create(&ResultLabel { result }).inc();
        self.duration.observe(duration.as_secs_f64());
    }
}
