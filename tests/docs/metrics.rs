//! The table of metrics: from the registry of the operator.

use std::collections::{BTreeMap, BTreeSet};

use fic_support_operator::controller::ControllerMetrics;
use fic_support_operator::fic::metrics::FicMetrics;
use fic_support_operator::index::metrics::PlanSeries;
use fic_support_operator::metrics;

use crate::generated::{check, table};

const PREFIX: &str = "fic_operator_";

/// The metrics that have rows only once there is a client, a request, a plan that is not Ready, or a contract: the type, the labels,
/// the meaning.
const LATER: [(&str, &str, &str, &str); 6] = [
    ("tokens", "gauge", "", "Tokens that are valid, one for each pair of credentials and tenant"),
    (
        "fic_requests_per_second_limit",
        "gauge",
        "",
        "--fic-requests-per-second, or less while FIC limits the rate of several tenants; 0: no limit",
    ),
    (
        "kubernetes_requests_total",
        "counter",
        "`verb`, `resource`, `code`",
        "Requests to the API server; code none: no response",
    ),
    ("kubernetes_request_duration_seconds", "histogram", "`verb`", "How long it takes until a response begins"),
    (
        "plan_not_ready_since_timestamp_seconds",
        "gauge",
        "`plan_namespace`, `plan`, `reason`, `progress`",
        "Since when a plan is not Ready; only for plans that are not Ready",
    ),
    (
        "contract_info",
        "gauge",
        "`plan_namespace`, `plan`, `tenant`, `contract`, `menu`",
        "The contract of each plan that owns one; only with --metrics-contracts",
    ),
];

/// The labels of the rows of a metric, each with its values unless there are many.
fn labels(rows: &[&str]) -> String {
    let mut labels = BTreeMap::<&str, BTreeSet<&str>>::new();
    for row in rows {
        let Some((_, rest)) = row.split_once('{') else { continue };
        for label in rest.split('}').next().unwrap_or_default().split("\",") {
            let (name, value) = label.split_once("=\"").expect("a label has a value");
            labels.entry(name).or_default().insert(value.trim_end_matches('"'));
        }
    }
    labels.remove("le");
    let text = labels.into_iter().map(|(name, values)| {
        if values.len() > 12 || name == "version" {
            return format!("`{name}`");
        }
        format!("`{name}`: {}", values.into_iter().collect::<Vec<_>>().join(", "))
    });
    text.collect::<Vec<_>>().join("; ")
}

#[test]
fn the_table_of_metrics_is_up_to_date() {
    let mut registry = metrics::registry();
    let _controller = ControllerMetrics::register(&mut registry, PlanSeries::default());
    let _fic = FicMetrics::register(&mut registry);
    let text = metrics::Format::Classic.encode(&registry).expect("the metrics are encoded");
    let lines = text.lines().collect::<Vec<_>>();
    let mut rows = BTreeMap::new();
    for line in &lines {
        let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')) else { continue };
        let kind = lines.iter().find_map(|line| line.strip_prefix("# TYPE ")?.strip_prefix(name)?.strip_prefix(' '));
        let of_metric = lines.iter().filter(|line| !line.starts_with('#') && line.starts_with(name)).copied();
        let own = of_metric.filter(|line| line[name.len()..].starts_with(['{', ' ', '_']));
        let name = name.strip_prefix(PREFIX).expect("the prefix");
        let labels = labels(&own.collect::<Vec<_>>());
        rows.insert(name, [kind.expect("a type").to_owned(), labels, format!("{}.", help.trim_end_matches('.'))]);
    }
    for (name, kind, labels, help) in LATER {
        let before = rows.insert(name, [kind.into(), labels.into(), format!("{help}.")]);
        assert_eq!(before, None, "{name} has rows from the start: remove it from LATER");
    }
    let rows = rows.into_iter().map(|(name, [kind, labels, help])| [format!("`{name}`"), kind, labels, help]);
    let metrics = table(["metric", "type", "labels", "meaning"], rows);
    check("docs/reference/metrics.md", &[("metrics", metrics)]);
}
