//! The values: one for each flag of the operator, with its default in the README, and a clear message for what does not fit.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::process::Stdio;

use clap::{Arg, CommandFactory};
use fic_support_operator::cli::{Cli, Command};
use serde_json::{Value, json};

use crate::helm::{NAMESPACE, objects, template};
use crate::tools::{TOOLS, chart, control_plane};

/// The flags of `run`.
fn flags() -> Vec<Arg> {
    let cli = Cli::command();
    let run = cli.find_subcommand("run").unwrap();
    run.get_arguments().cloned().collect()
}

/// The value of the chart for a flag.
fn value_name(flag: &Arg) -> String {
    let mut words = flag.get_id().as_str().split('_');
    let first = words.next().unwrap().to_owned();
    words.fold(first, |name, word| name + &word[..1].to_uppercase() + &word[1..])
}

fn values_file() -> Value {
    serde_saphyr::from_str(&fs::read_to_string(chart().join("values.yaml")).unwrap()).unwrap()
}

fn schema() -> Value {
    serde_json::from_str(&fs::read_to_string(chart().join("values.schema.json")).unwrap()).unwrap()
}

fn keys(object: &Value) -> BTreeSet<&str> {
    object.as_object().unwrap().keys().map(String::as_str).collect()
}

/// The container of the operator.
fn container(yaml: &str) -> Value {
    let deployment = objects(yaml).into_iter().find(|object| object["kind"] == "Deployment").unwrap();
    deployment.pointer("/spec/template/spec/containers/0").unwrap().clone()
}

fn arguments(yaml: &str) -> Vec<String> {
    let arguments = container(yaml)["args"].as_array().unwrap().clone();
    arguments.into_iter().map(|argument| argument.as_str().unwrap().to_owned()).collect()
}

#[test]
fn each_flag_is_a_value_and_each_value_a_flag() {
    let names = flags().iter().map(value_name).collect::<BTreeSet<_>>();
    let mut expected = names.iter().map(String::as_str).collect::<BTreeSet<_>>();
    assert!(expected.insert("logLevel"), "it is a variable, RUST_LOG");
    assert_eq!(keys(&values_file()["operator"]), expected);
    assert_eq!(keys(&schema()["properties"]["operator"]["properties"]), expected);
}

/// A value sets its flag and no other, as the operator reads it.
#[test]
fn a_value_becomes_the_flag_that_the_operator_reads() {
    let of_type: BTreeMap<&str, (Value, &[&str])> = BTreeMap::from([
        ("URL", (json!("https://fic.example/v1"), &["https://fic.example/v1"][..])),
        ("TIME", (json!("90s"), &["90s"])),
        // As a float it would be 6e+04.
        ("N", (json!(60000), &["60000"])),
        ("BOOL", (json!(true), &[])),
        (
            "FILE",
            (json!({ "configMap": "corporate-ca", "key": "bundle.pem" }), &["/etc/fic-support-operator/bundle.pem"]),
        ),
        ("NS", (json!(["team-a", "team-b"]), &["team-a", "team-b"])),
        ("SEL", (json!("shard in (east, west)"), &["shard in (east, west)"])),
        ("NAME", (json!("another"), &["another"])),
        ("ADDR", (json!("[::1]:9090"), &["[::1]:9090"])),
        ("FORMAT", (json!("json"), &["json"])),
    ]);
    for helm in &TOOLS.helm {
        for flag in flags() {
            let (value, values) = &of_type[flag.get_value_names().unwrap()[0].as_str()];
            let name = value_name(&flag);
            let yaml = template(helm, &json!({ "operator": { name: value } }), &[]).unwrap();
            let long = format!("--{}", flag.get_long().unwrap());
            let set = if values.is_empty() {
                vec![long]
            } else {
                values.iter().map(|value| format!("{long}={value}")).collect()
            };
            let expected = [["run", "--leader-elect"].map(String::from).to_vec(), set].concat();
            let mut arguments = arguments(&yaml);
            // --leader-elect is set already.
            if flag.get_id() == "leader_elect" {
                arguments.push("--leader-elect".into());
            }
            assert_eq!(arguments, expected);
            // The file of certificates exists only in the container.
            if flag.get_id() != "ca_bundle" {
                let cli = Cli::read([vec!["fic-support-operator".to_owned()], arguments].concat());
                assert!(matches!(cli.unwrap().command, Command::Run(_)));
            }
        }
    }
}

/// 0 and an empty value are not the same.
#[test]
fn zero_is_a_value() {
    for helm in &TOOLS.helm {
        let yaml = template(helm, &json!({ "operator": { "ficRequestsPerSecond": 0 } }), &[]).unwrap();
        assert_eq!(arguments(&yaml), ["run", "--leader-elect", "--fic-requests-per-second=0"]);
    }
}

#[test]
fn the_readme_names_each_default() {
    let readme = fs::read_to_string(chart().join("README.md")).unwrap();
    for flag in flags() {
        let row = readme.lines().find(|line| line.starts_with(&format!("| operator.{}", value_name(&flag)))).unwrap();
        // Where the chart has the default itself, such as false, its column says it.
        let is_switch = flag.get_value_names().unwrap()[0] == "BOOL";
        if let ([default], false) = (flag.get_default_values(), is_switch) {
            let expected = format!("Default: {} |", default.to_str().unwrap());
            assert!(row.contains(&expected), "{row}: {expected}");
        }
    }
}

/// What users set, all at once and each on its own, is valid for the API server.
#[test]
fn the_api_server_accepts_what_the_values_make() {
    let namespace = ["create", "namespace", NAMESPACE];
    control_plane().kubectl().args(namespace).output().unwrap();
    control_plane().kubectl().args(["create", "namespace", "team-a"]).output().unwrap();
    let all = json!({
        "operator": {
            "caBundle": { "configMap": "corporate-ca" }, "logLevel": "debug", "watchNamespaces": ["team-a"],
            "httpBindAddress": "0.0.0.0:9090", "concurrency": 8
        },
        "replicas": 3,
        "image": {
            "repository": "registry.example/fic", "digest": format!("sha256:{}", "0".repeat(64)),
            "pullPolicy": "Always", "pullSecrets": [{ "name": "registry" }]
        },
        "networkPolicy": { "extraEgress": [{ "ports": [{ "protocol": "TCP", "port": 3128 }] }] },
        "resources": { "requests": { "memory": "64Mi" } },
        "extraEnv": [{ "name": "HTTPS_PROXY", "value": "http://proxy.example:3128" }],
        "commonLabels": { "team": "network" }, "podLabels": { "pod": "label" }, "podAnnotations": { "pod": "annotation" },
        "nodeSelector": { "disk": "ssd" }, "tolerations": [{ "key": "infra", "operator": "Exists" }],
        "affinity": { "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": [{ "matchExpressions": [{ "key": "infra", "operator": "Exists" }] }] } } },
        "priorityClassName": "system-cluster-critical",
        "guard": { "plans": true, "credentials": true, "tenants": true, "record": "Deny" },
        "roles": { "inEdit": true },
        "global": { "of": "a parent chart" }
    });
    let shard = json!({ "shard": "east", "operator": { "labelSelector": "shard=east" } });
    let one = json!({ "replicas": 1, "operator": { "leaderElect": false } });
    let nothing = json!({
        "crds": { "enabled": false }, "roles": { "enabled": false }, "networkPolicy": { "enabled": false },
        "guard": { "crd": false, "secretWrites": false, "record": "Off" }
    });
    for helm in &TOOLS.helm {
        for values in [&json!({}), &all, &shard, &one, &nothing] {
            let yaml = template(helm, values, &[]).unwrap();
            let arguments = ["apply", "--dry-run=server", "--validate=strict", "-f", "-"];
            let mut kubectl = control_plane().kubectl();
            let kubectl = kubectl.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
            let mut kubectl = kubectl.spawn().unwrap();
            kubectl.stdin.take().unwrap().write_all(yaml.as_bytes()).unwrap();
            let printed = kubectl.wait_with_output().unwrap();
            let warnings = String::from_utf8(printed.stderr).unwrap();
            assert!(printed.status.success() && warnings.is_empty(), "{values}: {warnings}");
        }
    }
}

/// A label that a user adds is on every object.
#[test]
fn common_labels_are_on_every_object() {
    for helm in &TOOLS.helm {
        let values = json!({ "commonLabels": { "team": "network" } });
        for object in objects(&template(helm, &values, &[]).unwrap()) {
            assert_eq!(object["metadata"]["labels"]["team"], "network", "{object}");
        }
    }
}

/// What a user sees who sets what does not exist or does not fit together.
#[test]
fn a_value_that_does_not_fit_is_refused_with_the_reason() {
    let shard = "shard is set, so operator.labelSelector or operator.watchNamespaces must say which plans belong to it";
    let leader = "operator.leaderElect is false, so replicas must be 1";
    let monitoring =
        "need the CustomResourceDefinitions of the Prometheus operator, and this cluster does not have them";
    for (values, messages) in [
        (json!({ "operator": { "ficEndpiont": "https://fic.example" } }), ["ficEndpiont", "operator"]),
        (json!({ "operator": { "pollInterval": 3 } }), ["pollInterval", "string"]),
        (json!({ "operator": { "pollInterval": "3 seconds" } }), ["pollInterval", "does not match pattern"]),
        (json!({ "operator": { "concurrency": 0 } }), ["concurrency", "1"]),
        (json!({ "operator": { "concurrency": "many" } }), ["concurrency", "does not match pattern"]),
        (json!({ "operator": { "watchNamespaces": "network-team" } }), ["watchNamespaces", "array"]),
        (json!({ "operator": { "logFormat": "xml" } }), ["logFormat", "json"]),
        (json!({ "replicas": -1 }), ["replicas", "0"]),
        (json!({ "guard": { "record": "deny" } }), ["record", "Deny"]),
        (json!({ "guard": { "record": true } }), ["record", "got boolean, want string"]),
        (json!({ "image": { "digest": "sha256:abc" } }), ["digest", "does not match pattern"]),
        (json!({ "shard": "east" }), [shard, "otherwise two operators reconcile the same plans"]),
        (json!({ "operator": { "leaderElect": false } }), [leader, "otherwise two operators reconcile the same plans"]),
        (
            json!({ "replicas": 1, "operator": { "leaderElect": false, "leaseName": "other" } }),
            ["operator.leaseName has no effect", "remove one of the two"],
        ),
        (
            json!({ "crds": { "keep": false } }),
            ["crds.keep is false, so guard.crd must be false", "helm uninstall fails"],
        ),
        (json!({ "monitoring": { "serviceMonitor": { "enabled": true } } }), [monitoring, "install them first"]),
        (json!({ "monitoring": { "alerts": { "enabled": true } } }), [monitoring, "--api-versions"]),
    ] {
        for helm in &TOOLS.helm {
            let error = template(helm, &values, &[]).expect_err(&values.to_string());
            for message in messages {
                assert!(error.contains(message), "{values}: {error}");
            }
        }
    }
}
