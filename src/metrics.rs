//! The metrics registry. Each component defines and registers its own metrics; all names start with `fic_operator_`.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

/// A registry with the prefix of the operator and its build information.
#[must_use]
pub fn registry() -> Registry {
    let mut registry = Registry::with_prefix("fic_operator");
    let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
    registry.register("build", "The version of the operator", build);
    registry
}

/// All metrics of a registry in the OpenMetrics text format.
///
/// # Errors
/// When encoding fails, which would be a bug.
pub fn text(registry: &Registry) -> Result<String, std::fmt::Error> {
    let mut text = String::new();
    encode(&mut text, registry)?;
    Ok(text)
}

/// A histogram of durations from 5 ms to 41 s.
#[must_use]
pub fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.005, 2.0, 14))
}

/// Metrics of the requests to the Kubernetes API server.
#[derive(Clone, Debug, Default)]
pub struct KubernetesMetrics {
    writes: Family<ObjectLabel, Counter>,
    watch_errors: Counter,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ObjectLabel {
    object: &'static str,
}

impl KubernetesMetrics {
    /// Registers the metrics.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register("kubernetes_writes", "Writes to the API server by kind of object", metrics.writes.clone());
        registry.register(
            "watch_errors",
            "Watches of the API server that failed and were restarted",
            metrics.watch_errors.clone(),
        );
        metrics
    }

    /// Counts a write of an object.
    pub fn record_write(&self, object: &'static str) {
        self.writes.get_or_create(&ObjectLabel { object }).inc();
    }

    /// Counts a failed watch.
    pub fn record_watch_error(&self) {
        self.watch_errors.inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_has_the_prefix() {
        let mut registry = registry();
        let metrics = KubernetesMetrics::register(&mut registry);
        metrics.record_write("plan");
        let text = text(&registry).expect("the metrics are encoded");
        assert!(text.contains("fic_operator_kubernetes_writes_total{object=\"plan\"} 1"), "{text}");
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            assert!(line.starts_with("fic_operator_"), "{line}");
        }
    }
}
