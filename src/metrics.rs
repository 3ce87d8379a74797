//! The metrics registry. Each component defines and registers its own metrics; all names start with `fic_operator_`.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use jiff::Timestamp;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric, prometheus_text, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

/// A registry with the prefix of the operator and its build information.
#[must_use]
pub fn registry() -> Registry {
    let mut registry = Registry::with_prefix("fic_operator");
    let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
    registry.register("build", "The version of the operator", build);
    let started = Gauge::<i64>::default();
    started.set(Timestamp::now().as_second());
    registry.register_with_unit("start_timestamp", "When the process started, as a Unix time", Unit::Seconds, started);
    registry
}

/// The formats of the metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The classic text format of Prometheus, which every tool reads.
    Classic,
    /// OpenMetrics.
    OpenMetrics,
}

impl Format {
    /// The format for a client with this `Accept` header: OpenMetrics if the client names it and does not prefer plain
    /// text.
    #[must_use]
    pub fn accepted(accept: &str) -> Self {
        // A client that accepts `*/*` has no preference.
        let (mut openmetrics, mut plain) = (0.0, 0.0);
        for range in accept.split(',') {
            let mut parts = range.split(';').map(str::trim);
            let media_type = parts.next().unwrap_or_default();
            let parameters = || parts.clone().filter_map(|part| part.split_once('='));
            let value = |name: &str| parameters().find(|(other, _)| other.trim().eq_ignore_ascii_case(name));
            let quality = value("q").map_or(1.0, |(_, quality)| quality.trim().parse().unwrap_or(0.0));
            let is_version = |known: &str| value("version").is_none_or(|(_, version)| version.trim() == known);
            if media_type.eq_ignore_ascii_case("application/openmetrics-text") && is_version("1.0.0") {
                openmetrics = f32::max(openmetrics, quality);
            } else if media_type.eq_ignore_ascii_case("text/plain") && is_version("0.0.4") {
                plain = f32::max(plain, quality);
            }
        }
        if openmetrics > 0.0 && openmetrics >= plain { Self::OpenMetrics } else { Self::Classic }
    }

    /// The value of `Content-Type`.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Classic => prometheus_text::CONTENT_TYPE,
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    /// All metrics of a registry in this format.
    ///
    /// # Errors
    /// When encoding fails, which would be a bug.
    pub fn encode(self, registry: &Registry) -> Result<String, std::fmt::Error> {
        let mut output = String::new();
        match self {
            Self::Classic => prometheus_text::encode(&mut output, registry)?,
            Self::OpenMetrics => text::encode(&mut output, registry)?,
        }
        Ok(output)
    }
}

/// All metrics of a registry in the OpenMetrics text format.
///
/// # Errors
/// When encoding fails, which would be a bug.
pub fn text(registry: &Registry) -> Result<String, std::fmt::Error> {
    Format::OpenMetrics.encode(registry)
}

/// A histogram of durations from 5 ms to 41 s.
#[must_use]
pub fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.005, 2.0, 14))
}

/// What a collector reads at each scrape: the value that is in use, as long as it exists. Clones share it.
pub struct Source<T>(Arc<Mutex<Weak<T>>>);

impl<T> Source<T> {
    /// From now on the metrics are those of this value.
    pub fn show(&self, value: &Arc<T>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(value);
    }

    /// The value.
    #[must_use]
    pub fn get(&self) -> Option<Arc<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).upgrade()
    }
}

impl<T> Clone for Source<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Default for Source<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T> fmt::Debug for Source<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Source")
    }
}

/// Encodes a gauge without labels, for a collector.
///
/// # Errors
/// When encoding fails, which would be a bug.
pub fn encode_gauge<N>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    unit: Option<&Unit>,
    value: N,
) -> fmt::Result
where
    ConstGauge<N>: EncodeMetric,
{
    ConstGauge::new(value).encode(encoder.encode_descriptor(name, help, unit, MetricType::Gauge)?)
}

/// A number as the value of a gauge.
#[must_use]
pub fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Metrics of the requests to the Kubernetes API server.
#[derive(Clone, Debug)]
pub struct KubernetesMetrics {
    writes: Family<ObjectLabel, Counter>,
    watch_errors: Family<ObjectLabel, Counter>,
    events_dropped: Counter,
    requests: Family<KubernetesRequest, Counter>,
    durations: Family<VerbLabel, Histogram>,
}

impl Default for KubernetesMetrics {
    fn default() -> Self {
        Self {
            writes: Family::default(),
            watch_errors: Family::default(),
            events_dropped: Counter::default(),
            requests: Family::default(),
            durations: Family::new_with_constructor(seconds),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KubernetesRequest {
    verb: &'static str,
    resource: &'static str,
    code: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct VerbLabel {
    verb: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ObjectLabel {
    object: &'static str,
}

impl KubernetesMetrics {
    /// Registers the metrics.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        for object in ["plan", "secret", "event"] {
            let _ = metrics.writes.get_or_create(&ObjectLabel { object });
        }
        for object in ["plan", "secret"] {
            let _ = metrics.watch_errors.get_or_create(&ObjectLabel { object });
        }
        registry.register("kubernetes_writes", "Writes to the API server by kind of object", metrics.writes.clone());
        registry.register(
            "watch_errors",
            "Watches of the API server that failed and were restarted, by kind of object",
            metrics.watch_errors.clone(),
        );
        registry.register("events_dropped", "Events that could not be written", metrics.events_dropped.clone());
        registry.register(
            "kubernetes_requests",
            "Requests to the API server by verb, resource and status code; none: there was no response",
            metrics.requests.clone(),
        );
        registry.register_with_unit(
            "kubernetes_request_duration",
            "How long the API server takes until it begins its response",
            Unit::Seconds,
            metrics.durations.clone(),
        );
        metrics
    }

    /// Counts a write of an object.
    pub fn record_write(&self, object: &'static str) {
        self.writes.get_or_create(&ObjectLabel { object }).inc();
    }

    /// Counts an Event that could not be written.
    pub fn record_dropped_event(&self) {
        self.events_dropped.inc();
    }

    /// Counts a failed watch.
    pub fn record_watch_error(&self, object: &'static str) {
        self.watch_errors.get_or_create(&ObjectLabel { object }).inc();
    }

    /// Counts a request.
    pub fn record_request(&self, verb: &'static str, resource: &'static str, code: &'static str, duration: Duration) {
        self.requests.get_or_create(&KubernetesRequest { verb, resource, code }).inc();
        self.durations.get_or_create(&VerbLabel { verb }).observe(duration.as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

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

    #[test]
    fn format_is_the_classic_one_unless_the_client_asks_for_openmetrics() {
        for accept in [
            "",
            "*/*",
            "text/plain",
            "text/html,application/xhtml+xml,*/*;q=0.8",
            "application/openmetrics-text;q=0",
            "application/openmetrics-text;version=9.0.0",
            "application/openmetrics-text;version=1.0.0;q=0.3,text/plain;version=0.0.4;q=0.5,*/*;q=0.2",
            "application/openmetrics-text;q=much",
        ] {
            assert_eq!(Format::accepted(accept), Format::Classic, "{accept}");
        }
        for accept in [
            "application/openmetrics-text",
            "Application/OpenMetrics-Text; Version=1.0.0; Q=1",
            "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,\
             text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
            "text/plain;version=1.0.0;q=0.9, application/openmetrics-text; q=0.5",
        ] {
            assert_eq!(Format::accepted(accept), Format::OpenMetrics, "{accept}");
        }
    }

    #[test]
    fn both_formats_name_the_same_series() {
        let mut registry = registry();
        KubernetesMetrics::register(&mut registry).record_write("plan");
        let histogram = seconds();
        registry.register_with_unit("wait", "A wait", prometheus_client::registry::Unit::Seconds, histogram.clone());
        histogram.observe(1.0);
        let encoded = |format: Format| format.encode(&registry).expect("the metrics are encoded");
        let series = |format| {
            let text = encoded(format);
            let lines = text.lines().filter(|line| !line.starts_with('#'));
            lines.map(|line| line.split(' ').next().unwrap_or_default().to_owned()).collect::<BTreeSet<_>>()
        };
        assert_eq!(series(Format::Classic), series(Format::OpenMetrics));
        let (classic, openmetrics) = (encoded(Format::Classic), encoded(Format::OpenMetrics));
        for line in [
            "# HELP fic_operator_kubernetes_writes_total Writes",
            "# TYPE fic_operator_kubernetes_writes_total counter",
            "# TYPE fic_operator_build_info gauge",
            "# TYPE fic_operator_wait_seconds histogram",
        ] {
            assert!(classic.contains(line), "{line} is missing in {classic}");
        }
        assert!(!classic.contains("# UNIT") && !classic.contains("# EOF"), "{classic}");
        assert!(openmetrics.contains("# UNIT") && openmetrics.ends_with("# EOF\n"), "{openmetrics}");
    }
}
