//! The metrics of the FIC client: requests by call and outcome, how long they take and wait, sign-ins by cause, and at each
//! scrape the tokens and the rate.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use strum::{IntoStaticStr, VariantArray};

use crate::fic::call::Call;
use crate::fic::rate_limit::RateLimiter;
use crate::fic::tokens::TokenCache;
use crate::metrics::{Source, count, encode_gauge, seconds};

/// The metrics of the FIC client. Clones share their values.
#[derive(Clone, Debug)]
pub struct FicMetrics {
    requests: Family<RequestLabels, Counter>,
    last_success: Gauge,
    durations: Family<CallLabel, Histogram>,
    active: Gauge,
    rate_limit_waits: Histogram,
    token_requests: Family<CauseLabel, Counter>,
    rate_limiter: Source<RateLimiter>,
    tokens: Source<TokenCache>,
}

/// Why a token is requested.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, VariantArray, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub(super) enum TokenCause {
    /// There is none for the credentials and the tenant.
    First,
    /// The one before expires soon, or has expired.
    Expiring,
    /// FIC refused the one before.
    Refused,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CauseLabel {
    cause: TokenCause,
}

/// A request that was sent and is not answered yet.
pub(super) struct ActiveRequest(Gauge);

impl Drop for ActiveRequest {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    call: Call,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabel {
    call: Call,
}

impl EncodeLabelValue for Call {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
        <&'static str>::from(self).encode(encoder)
    }
}

impl EncodeLabelValue for TokenCause {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
        <&'static str>::from(self).encode(encoder)
    }
}

impl Default for FicMetrics {
    /// Metrics that no registry exports, for tests.
    fn default() -> Self {
        Self {
            requests: Family::default(),
            last_success: Gauge::default(),
            durations: Family::new_with_constructor(seconds),
            active: Gauge::default(),
            rate_limit_waits: seconds(),
            token_requests: Family::default(),
            rate_limiter: Source::default(),
            tokens: Source::default(),
        }
    }
}

/// The outcomes of a call. Their rows exist from the start, so that the first request of a kind is an increase.
const OUTCOMES: [&str; 12] =
    ["2xx", "3xx", "401", "403", "404", "409", "429", "4xx", "5xx", "other", "lost", "not_sent"];

impl FicMetrics {
    /// Creates the metrics and adds them to a registry.
    #[must_use]
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        for call in Call::VARIANTS.iter().copied() {
            for outcome in OUTCOMES {
                let _ = metrics.requests.get_or_create(&RequestLabels { call, outcome });
            }
            let _ = metrics.durations.get_or_create(&CallLabel { call });
        }
        registry.register("fic_requests", "Calls to FIC and Keystone by outcome", metrics.requests.clone());
        registry.register_with_unit(
            "fic_last_success_timestamp",
            "When FIC last answered a call with success, as a Unix time; 0: not yet",
            Unit::Seconds,
            metrics.last_success.clone(),
        );
        registry.register_with_unit(
            "fic_request_duration",
            "How long calls to FIC and Keystone take",
            Unit::Seconds,
            metrics.durations.clone(),
        );
        registry.register(
            "fic_requests_active",
            "Calls to FIC and Keystone that are not answered yet",
            metrics.active.clone(),
        );
        registry.register_with_unit(
            "fic_rate_limit_wait",
            "How long calls to FIC and Keystone wait because of --fic-requests-per-second",
            Unit::Seconds,
            metrics.rate_limit_waits.clone(),
        );
        for cause in TokenCause::VARIANTS.iter().copied() {
            let _ = metrics.token_requests.get_or_create(&CauseLabel { cause });
        }
        registry.register("token_requests", "Sign-ins by cause", metrics.token_requests.clone());
        registry.register_collector(Box::new(metrics.clone()));
        metrics
    }

    /// From now on the tokens and the rate are those of this client.
    pub(super) fn show(&self, rate_limiter: &Arc<RateLimiter>, tokens: &Arc<TokenCache>) {
        self.rate_limiter.show(rate_limiter);
        self.tokens.show(tokens);
    }

    /// Counts a sign-in.
    pub(super) fn record_token_request(&self, cause: TokenCause) {
        self.token_requests.get_or_create(&CauseLabel { cause }).inc();
    }

    /// Records that a request is sent after a wait for the rate limit of the operator. It is active until the result is
    /// dropped.
    pub(super) fn begin(&self, waited: Duration) -> ActiveRequest {
        self.rate_limit_waits.observe(waited.as_secs_f64());
        self.active.inc();
        ActiveRequest(self.active.clone())
    }

    /// Records one request.
    pub(super) fn record(&self, call: Call, outcome: &'static str, duration: Duration) {
        self.requests.get_or_create(&RequestLabels { call, outcome }).inc();
        if outcome == "2xx" && call != Call::SignIn {
            self.last_success.set(Timestamp::now().as_second());
        }
        self.durations.get_or_create(&CallLabel { call }).observe(duration.as_secs_f64());
    }
}

impl Collector for FicMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let (Some(rate_limiter), Some(tokens)) = (self.rate_limiter.get(), self.tokens.get()) else { return Ok(()) };
        let help = "Tokens that are valid, one for each pair of credentials and tenant";
        encode_gauge(&mut encoder, "tokens", help, None, count(tokens.valid()))?;
        let help = "How many requests per second are sent at most: --fic-requests-per-second, or fewer while FIC limits \
                    the rate of several tenants; 0: no limit";
        encode_gauge(&mut encoder, "fic_requests_per_second_limit", help, None, rate_limiter.rate().unwrap_or(0.0))
    }
}

/// The metric label of an HTTP status: one value for each status that calls for a different reaction.
pub(super) fn status_class(status: u16) -> &'static str {
    match status {
        200..=299 => "2xx",
        300..=399 => "3xx",
        401 => "401",
        403 => "403",
        404 => "404",
        409 => "409",
        429 => "429",
        400..=499 => "4xx",
        500..=599 => "5xx",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;

    use super::*;

    #[test]
    fn requests_are_exported_by_call_and_outcome() {
        let mut registry = Registry::with_prefix("fic_operator");
        let metrics = FicMetrics::register(&mut registry);
        let calls = [Call::SignIn, Call::List, Call::Show, Call::Create, Call::Delete, Call::Operations];
        for call in calls {
            metrics.record(call, "2xx", Duration::from_millis(3));
        }
        let mut text = String::new();
        encode(&mut text, &registry).expect("writable");
        for call in ["sign_in", "list", "show", "create", "delete", "operations"] {
            for line in [
                format!("fic_operator_fic_requests_total{{call=\"{call}\",outcome=\"2xx\"}} 1"),
                format!("fic_operator_fic_request_duration_seconds_count{{call=\"{call}\"}} 1"),
            ] {
                assert!(text.contains(&line), "{line} is missing in {text}");
            }
        }
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            assert!(line.starts_with("fic_operator_"), "{line}");
        }
    }

    #[test]
    fn a_request_is_active_until_it_ends() {
        let metrics = FicMetrics::default();
        let requests = [metrics.begin(Duration::ZERO), metrics.begin(Duration::from_secs(1))];
        assert_eq!(metrics.active.get(), 2);
        drop(requests);
        assert_eq!(metrics.active.get(), 0);
    }

    #[test]
    fn status_class_separates_statuses_that_need_different_reactions() {
        for (status, class) in [
            (200, "2xx"),
            (202, "2xx"),
            (302, "3xx"),
            (400, "4xx"),
            (401, "401"),
            (403, "403"),
            (404, "404"),
            (409, "409"),
            (418, "4xx"),
            (429, "429"),
            (500, "5xx"),
            (503, "5xx"),
            (600, "other"),
        ] {
            assert_eq!(status_class(status), class);
        }
    }
}
