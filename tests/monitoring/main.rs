//! The alerts: unit tests with promtool, a page for each, and only metrics that exist.

#![allow(clippy::unwrap_used, reason = "a test panics at the first unexpected result")]

mod kube_state_metrics;
#[path = "../support/make.rs"]
mod make;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use fic_support_operator::controller::ControllerMetrics;
use fic_support_operator::fic::metrics::FicMetrics;
use fic_support_operator::index::metrics::PlanSeries;
use fic_support_operator::metrics;
use serde_json::Value;

static PROMTOOL: LazyLock<PathBuf> = LazyLock::new(|| make::tool("promtool"));

const PREFIX: &str = "fic_operator_";

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The groups of rules, without the object of the Prometheus operator around them.
fn groups() -> Value {
    let manifest = fs::read_to_string(repository().join("deploy/monitoring/alerts.yaml")).unwrap();
    serde_saphyr::from_str::<Value>(&manifest).unwrap()["spec"].take()
}

fn rules(groups: &mut Value) -> Vec<&mut Value> {
    let groups = groups["groups"].as_array_mut().unwrap().iter_mut();
    groups.flat_map(|group| group["rules"].as_array_mut().unwrap()).collect()
}

/// Runs the unit tests on these rules. Returns what promtool prints if one fails.
fn run_unit_tests(groups: &Value) -> Result<(), String> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("rules.yaml"), groups.to_string()).unwrap();
    let tests = repository().join("tests/monitoring/alerts_test.yaml");
    fs::copy(tests, folder.path().join("alerts_test.yaml")).unwrap();
    let mut promtool = Command::new(&*PROMTOOL);
    let output = promtool.args(["test", "rules", "alerts_test.yaml"]).current_dir(folder.path()).output().unwrap();
    let printed = [output.stdout, output.stderr].concat();
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&printed).into()) }
}

#[test]
fn every_alert_fires_and_stays_silent_as_its_unit_tests_say() {
    run_unit_tests(&groups()).unwrap_or_else(|output| panic!("{output}"));
}

/// The unit tests of each alert notice when it is missing, when its threshold is lower, and when it does not wait.
#[test]
fn the_unit_tests_notice_each_change_of_an_alert() {
    for (what, change) in [
        ("be missing", (|rule| rule["alert"] = "Another".into()) as fn(&mut Value)),
        ("have a lower threshold", |rule| rule["expr"] = loosen(rule["expr"].as_str().unwrap()).into()),
        ("not wait", |rule| rule["for"] = "0m".into()),
    ] {
        let mut changed = groups();
        let mut alerts = Vec::new();
        for rule in rules(&mut changed) {
            let (name, before) = (rule["alert"].as_str().unwrap().to_owned(), rule.clone());
            change(rule);
            if *rule != before {
                alerts.push(name);
            }
        }
        assert!(alerts.len() >= 15, "{alerts:?}");
        let output = run_unit_tests(&changed).expect_err(what);
        for name in alerts {
            assert!(output.contains(&format!("alertname: {name},")), "{name} may {what}");
        }
    }
}

/// An expression with a lower threshold: the last number that follows a comparison.
fn loosen(expression: &str) -> String {
    let at = expression.rfind("> ").or_else(|| expression.rfind("== ")).unwrap();
    let (before, comparison) = expression.split_at(at);
    let (operator, rest) = comparison.split_once(' ').unwrap();
    let end = rest.find(|character: char| !character.is_ascii_digit() && character != '.').unwrap_or(rest.len());
    let threshold = rest[..end].parse::<f64>().unwrap();
    let (operator, threshold) = if operator == "==" { (">=", 0.0) } else { (">=", threshold * 0.7) };
    format!("{before}{operator} {threshold}{}", &rest[end..])
}

#[test]
fn every_alert_has_a_page_and_every_page_an_alert() {
    let mut groups = groups();
    let mut alerts = BTreeSet::new();
    for rule in rules(&mut groups) {
        let name = rule["alert"].as_str().unwrap().to_owned();
        let url = rule["annotations"]["runbook_url"].as_str().unwrap();
        let path =
            url.strip_prefix("https://fic-support-operator.example/").and_then(|path| path.strip_suffix(".html"));
        let page = repository().join(path.expect(url)).with_extension("md");
        let page = fs::read_to_string(page).expect(url);
        for heading in
            [&*format!("# {name}\n"), "\n## Meaning\n", "\n## Impact\n", "\n## Diagnosis\n", "\n## Mitigation\n"]
        {
            assert!(page.contains(heading), "{name}: {heading}");
        }
        alerts.insert(name);
    }
    let pages = fs::read_dir(repository().join("docs/reference/alerts")).unwrap();
    let pages = pages.map(|page| page.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned());
    assert_eq!(pages.collect::<BTreeSet<_>>(), alerts);
}

#[test]
fn every_metric_that_is_used_exists_and_every_metric_is_documented() {
    let mut registry = metrics::registry();
    let _controller = ControllerMetrics::register(&mut registry, PlanSeries::default());
    let _fic = FicMetrics::register(&mut registry);
    let text = metrics::Format::Classic.encode(&registry).unwrap();
    let mut known =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect::<BTreeSet<_>>();
    // These have rows only once there is a client, a request, a plan that is not Ready, and a contract.
    known.extend([
        "fic_operator_tokens",
        "fic_operator_fic_requests_per_second_limit",
        "fic_operator_kubernetes_requests_total",
        "fic_operator_kubernetes_request_duration_seconds",
        "fic_operator_plan_not_ready_since_timestamp_seconds",
        "fic_operator_contract_info",
    ]);
    for file in ["alerts.yaml", "dashboard.json"] {
        let text = fs::read_to_string(repository().join("deploy/monitoring").join(file)).unwrap();
        let words = text.split(|character: char| !character.is_ascii_alphanumeric() && character != '_');
        for metric in words.filter(|word| word.starts_with(PREFIX)) {
            let metric = metric.strip_suffix("_bucket").unwrap_or(metric);
            assert!(known.contains(metric), "{file}: {metric} does not exist");
        }
    }
    let documented = fs::read_to_string(repository().join("docs/reference/metrics.md")).unwrap();
    for metric in known {
        let name = metric.strip_prefix(PREFIX).unwrap();
        assert!(documented.contains(&format!("`{name}`")), "{name} is not in docs/reference/metrics.md");
    }
}
