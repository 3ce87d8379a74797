//! Requests by kind, at the API server and at FIC.

use std::collections::BTreeMap;
use std::ops::Sub;

use fic_simulator::log::Entry;

/// The number of requests by kind.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts(BTreeMap<String, u64>);

impl Counts {
    /// Reads the metrics of an API server. A kind is a verb and a resource, such as `PATCH premiumsupportplans/status`.
    pub(crate) fn of_api_server(metrics: &str) -> Self {
        let mut counts = Self::default();
        for line in metrics.lines().filter_map(|line| line.strip_prefix("apiserver_request_total{")) {
            let Some((labels, value)) = line.rsplit_once("} ") else { continue };
            let label = |name: &str| {
                let mut labels = labels.split(',').filter_map(|label| label.split_once('='));
                labels.find(|(known, _)| *known == name).map_or("", |(_, value)| value.trim_matches('"'))
            };
            let (resource, subresource) = (label("resource"), label("subresource"));
            let separator = if subresource.is_empty() { "" } else { "/" };
            let kind = format!("{} {resource}{separator}{subresource}", label("verb"));
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a counter is a whole number")]
            let value = value.parse::<f64>().unwrap_or_default() as u64;
            *counts.0.entry(kind).or_default() += value;
        }
        counts
    }

    /// Counts the requests in the log of a simulator.
    pub(crate) fn of_fic(log: &[Entry]) -> Self {
        let mut counts = Self::default();
        for entry in log {
            *counts.0.entry(format!("{:?}", entry.call)).or_default() += 1;
        }
        counts
    }

    /// The number of requests of a kind.
    pub(crate) fn get(&self, kind: &str) -> u64 {
        self.0.get(kind).copied().unwrap_or_default()
    }

    /// All requests.
    pub(crate) fn total(&self) -> u64 {
        self.0.values().sum()
    }

    /// The writes that an operator sends.
    pub(crate) fn writes(&self) -> u64 {
        let is_write = |kind: &str| kind.starts_with("PATCH ") || kind == "POST events";
        self.0.iter().filter(|(kind, _)| is_write(kind)).map(|(_, count)| count).sum()
    }
}

/// The requests since an earlier count.
impl Sub for Counts {
    type Output = Self;

    fn sub(mut self, earlier: Self) -> Self {
        for (kind, count) in &mut self.0 {
            *count -= earlier.get(kind);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const METRICS: &str = "# TYPE apiserver_request_total counter\n\
        apiserver_request_total{code=\"200\",resource=\"premiumsupportplans\",subresource=\"status\",verb=\"PATCH\"} 3\n\
        apiserver_request_total{code=\"409\",resource=\"premiumsupportplans\",subresource=\"status\",verb=\"PATCH\"} 1\n\
        apiserver_request_total{code=\"201\",resource=\"events\",subresource=\"\",verb=\"POST\"} 2e+03\n\
        apiserver_request_total{code=\"200\",resource=\"premiumsupportplans\",subresource=\"\",verb=\"LIST\"} 7\n\
        apiserver_request_duration_seconds_sum{verb=\"PATCH\"} 9\n";

    #[test]
    fn requests_are_counted_by_verb_and_resource() {
        let counts = Counts::of_api_server(METRICS);
        assert_eq!(counts.get("PATCH premiumsupportplans/status"), 4);
        assert_eq!(counts.get("LIST premiumsupportplans"), 7);
        assert_eq!((counts.writes(), counts.total()), (2004, 2011));
        let later = Counts::of_api_server(&METRICS.replace("} 3", "} 5"));
        assert_eq!((later - counts).writes(), 2);
    }
}
