//! The workflows: each action is pinned, no job has a permission that it does not name, and each target exists.

use std::collections::BTreeSet;
use std::fs;

use serde_json::{Value, json};

use crate::generated::{read, root};

/// The text of each workflow with its name.
fn workflows() -> Vec<(String, String)> {
    let folder = fs::read_dir(root().join(".github/workflows")).expect("the folder is readable");
    let names = folder.map(|file| file.expect("an entry").file_name().into_string().expect("names are UTF-8"));
    names.map(|name| (name.clone(), read(&format!(".github/workflows/{name}")))).collect()
}

fn parsed(text: &str) -> Value {
    serde_saphyr::from_str(text).expect("a workflow is YAML")
}

fn jobs(workflow: &Value) -> impl Iterator<Item = &Value> {
    workflow["jobs"].as_object().expect("jobs").values()
}

fn steps(workflow: &Value) -> impl Iterator<Item = &Value> {
    jobs(workflow).flat_map(|job| job["steps"].as_array().expect("steps"))
}

#[test]
fn each_action_is_pinned_by_its_commit_with_the_version_beside_it() {
    for (name, text) in workflows() {
        let uses = text.lines().filter_map(|line| line.split_once("uses: ").map(|(_, action)| action));
        for action in uses {
            let (reference, version) =
                action.split_once(" # v").unwrap_or_else(|| panic!("{name}: no version: {action}"));
            let commit = reference.split_once('@').map_or("", |(_, commit)| commit);
            let is_commit = commit.len() == 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
            assert!(is_commit, "{name}: not pinned by a commit id: {action}");
            assert_eq!(version.split('.').count(), 3, "{name}: not a whole version: {action}");
        }
    }
}

#[test]
fn a_workflow_has_no_permissions_but_those_that_its_jobs_name() {
    for (name, text) in workflows() {
        let workflow = parsed(&text);
        assert_eq!(workflow["permissions"], json!({}), "{name}");
        for job in jobs(&workflow) {
            assert!(job["permissions"].is_object(), "{name}: a job without permissions: {}", job["name"]);
        }
    }
}

#[test]
fn a_checkout_leaves_no_credentials() {
    for (name, text) in workflows() {
        let workflow = parsed(&text);
        let is_checkout =
            |step: &&Value| step["uses"].as_str().is_some_and(|uses| uses.starts_with("actions/checkout@"));
        for checkout in steps(&workflow).filter(is_checkout) {
            assert_eq!(checkout["with"]["persist-credentials"], json!(false), "{name}");
        }
    }
}

#[test]
fn each_target_that_a_workflow_makes_exists() {
    let makefiles = read("Makefile") + &read("release/release.mk");
    let targets = makefiles.lines().filter_map(|line| line.strip_prefix(".PHONY: ")).collect::<BTreeSet<_>>();
    for (name, text) in workflows() {
        let workflow = parsed(&text);
        let commands =
            steps(&workflow).filter_map(|step| step["run"].as_str()?.strip_prefix("make ").map(ToOwned::to_owned));
        let made = commands.flat_map(|command| command.split(' ').map(ToOwned::to_owned).collect::<Vec<_>>());
        let made = made.collect::<Vec<_>>();
        assert!(!made.is_empty(), "{name}");
        for target in made {
            assert!(targets.contains(target.as_str()), "{name}: there is no target {target}");
        }
    }
}
