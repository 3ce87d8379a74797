//! The metrics, all beginning with `fic_operator_`.

use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use crate::api::condition::Reason;
use crate::fic::call::Call;

/// The metrics of the process.
pub struct Metrics {
    registry: Registry,
    plans: Family<ReasonLabel, Gauge>,
    undecodable: Gauge,
    leading: Gauge,
    calls: Family<CallLabels, Counter>,
    call_seconds: Family<CallLabel, Histogram>,
    passes: Family<PassLabel, Counter>,
    pass_seconds: Histogram,
    writes: Family<WriteLabel, Counter>,
    watch_errors: Counter,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: Reason,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    call: Call,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabel {
    call: Call,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PassLabel {
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WriteLabel {
    object: &'static str,
}

impl EncodeLabelValue for Reason {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
        self.as_str().encode(encoder)
    }
}

impl EncodeLabelValue for Call {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
        self.as_str().encode(encoder)
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let seconds = || Histogram::new(exponential_buckets(0.005, 2.0, 14));
        let mut metrics = Self {
            registry: Registry::with_prefix("fic_operator"),
            plans: Family::default(),
            undecodable: Gauge::default(),
            leading: Gauge::default(),
            calls: Family::default(),
            call_seconds: Family::new_with_constructor(seconds),
            passes: Family::default(),
            pass_seconds: seconds(),
            writes: Family::default(),
            watch_errors: Counter::default(),
        };
        metrics.register();
        metrics
    }
}

impl Metrics {
    fn register(&mut self) {
        let registry = &mut self.registry;
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "The version that runs", build);
        registry.register("leader", "1 while this replica leads", self.leading.clone());
        registry.register("plans", "Plans by the reason of their Ready condition", self.plans.clone());
        registry.register(
            "undecodable_plans",
            "Plans that cannot be decoded and are left alone",
            self.undecodable.clone(),
        );
        registry.register("fic_requests", "Calls to FIC and Keystone by outcome", self.calls.clone());
        registry.register_with_unit(
            "fic_request_duration",
            "How long calls to FIC and Keystone take",
            Unit::Seconds,
            self.call_seconds.clone(),
        );
        registry.register("reconciles", "Passes of the reconcile loop by how they ended", self.passes.clone());
        registry.register_with_unit(
            "reconcile_duration",
            "How long passes of the reconcile loop take",
            Unit::Seconds,
            self.pass_seconds.clone(),
        );
        registry.register("kubernetes_writes", "Writes to the API server by kind of object", self.writes.clone());
        registry.register(
            "watch_errors",
            "Watches of the API server that broke and were begun again",
            self.watch_errors.clone(),
        );
    }

    /// The metrics in the text format of OpenMetrics.
    ///
    /// # Errors
    /// When they cannot be written, which would be a defect.
    pub fn text(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }

    /// A call was made.
    pub fn called(&self, call: Call, outcome: &'static str, took: Duration) {
        self.calls.get_or_create(&CallLabels { call, outcome }).inc();
        self.call_seconds.get_or_create(&CallLabel { call }).observe(took.as_secs_f64());
    }

    /// A pass ended.
    pub fn passed(&self, result: &'static str, took: Duration) {
        self.passes.get_or_create(&PassLabel { result }).inc();
        self.pass_seconds.observe(took.as_secs_f64());
    }

    /// An object was written.
    pub fn wrote(&self, object: &'static str) {
        self.writes.get_or_create(&WriteLabel { object }).inc();
    }

    /// A watch broke.
    pub fn watch_broke(&self) {
        self.watch_errors.inc();
    }

    /// A plan's reason is now another one, or the plan came or went.
    pub fn plan_moved(&self, from: Option<Reason>, to: Option<Reason>) {
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

    /// How many plans cannot be decoded.
    pub fn set_undecodable(&self, count: usize) {
        self.undecodable.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Whether this replica leads.
    pub fn set_leading(&self, leading: bool) {
        self.leading.set(i64::from(leading));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_has_the_prefix() {
        let metrics = Metrics::default();
        metrics.called(Call::List, "2xx", Duration::from_millis(3));
        metrics.plan_moved(None, Some(Reason::Contracted));
        let text = metrics.text().expect("writable");
        assert!(text.contains("fic_operator_fic_requests_total{call=\"list\",outcome=\"2xx\"} 1"), "{text}");
        assert!(text.contains("fic_operator_plans{reason=\"Contracted\"} 1"), "{text}");
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            assert!(line.starts_with("fic_operator_"), "{line}");
        }
    }
}
