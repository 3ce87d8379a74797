//! The tables of `docs/reference/roles.md`: what each role in `deploy/` allows, and the comments there that say why.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::generated::{check, root};

const VERBS: [&str; 8] = ["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"];

/// The files with roles, for each table of the page.
const TABLES: [(&str, &[&str]); 2] = [
    (
        "operator",
        &[
            "deploy/permissions/watched/role.yaml",
            "deploy/permissions/crd/role.yaml",
            "deploy/base/leader-election.yaml",
        ],
    ),
    ("people", &["deploy/user-roles/roles.yaml"]),
];

/// The comment before each rule of a document. A rule without a comment of its own has that of the rule before it, and
/// the first one that of the document.
fn reasons(document: &str) -> Vec<String> {
    let (mut reasons, mut comment) = (Vec::<String>::new(), Vec::new());
    let mut of_document = String::new();
    for line in document.lines().map(str::trim) {
        if let Some(text) = line.strip_prefix('#') {
            comment.push(text.trim());
        } else if line.starts_with("- apiGroups:") {
            let own = std::mem::take(&mut comment).join(" ");
            let inherited = reasons.last().unwrap_or(&of_document).clone();
            reasons.push(if own.is_empty() { inherited } else { own });
        } else if line.starts_with("apiVersion:") {
            of_document = std::mem::take(&mut comment).join(" ");
        }
    }
    reasons
}

fn texts(value: &Value) -> Vec<&str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

fn table(files: &[&str]) -> String {
    let mut table =
        format!("| role | resource | {} | why |\n|{}\n", VERBS.join(" | "), " --- |".repeat(VERBS.len() + 3));
    for file in files {
        let manifest = fs::read_to_string(root().join(file)).expect("the file of a role is readable");
        for document in manifest.split("\n---\n") {
            let object = serde_saphyr::from_str::<Value>(document).expect("YAML");
            let kind = object["kind"].as_str().expect("a kind");
            if !matches!(kind, "Role" | "ClusterRole") {
                continue;
            }
            let role = format!("{kind} `{}`", object["metadata"]["name"].as_str().expect("a name"));
            let rules = object["rules"].as_array().expect("rules");
            let reasons = reasons(document);
            assert_eq!(rules.len(), reasons.len(), "each rule of {file} begins with apiGroups");
            for (rule, reason) in rules.iter().zip(reasons) {
                assert!(!reason.is_empty(), "a rule of {role} in {file} has no comment that says why");
                let _ = writeln!(table, "| {role} | {} | {} | {reason} |", resources(rule), verbs(rule));
            }
        }
    }
    table
}

/// The resources of a rule as `kubectl auth can-i` takes them.
fn resources(rule: &Value) -> String {
    let names =
        texts(&rule["resourceNames"]).iter().map(|name| format!(" named `{name}`")).collect::<Vec<_>>().concat();
    let resources = texts(&rule["apiGroups"]).into_iter().flat_map(|group| {
        let suffix = if group.is_empty() { String::new() } else { format!(".{group}") };
        texts(&rule["resources"]).into_iter().map(move |resource| match resource.split_once('/') {
            Some((resource, subresource)) => format!("`{resource}{suffix}/{subresource}`"),
            None => format!("`{resource}{suffix}`"),
        })
    });
    format!("{}{names}", resources.collect::<Vec<_>>().join(", "))
}

fn verbs(rule: &Value) -> String {
    let granted = texts(&rule["verbs"]);
    let unknown = granted.iter().find(|verb| !VERBS.contains(verb));
    assert_eq!(unknown, None, "the table has no column for this verb");
    VERBS.map(|verb| if granted.contains(&verb) { "yes" } else { "" }).join(" | ")
}

#[test]
fn the_tables_of_permissions_are_up_to_date() {
    check("docs/reference/roles.md", &TABLES.map(|(name, files)| (name, table(files))));
}

/// Another file with a role needs a place in the page.
#[test]
fn the_page_names_every_role_of_deploy() {
    fn roles_below(folder: &Path) -> Vec<PathBuf> {
        let entries =
            fs::read_dir(folder).expect("the folder is readable").map(|entry| entry.expect("an entry").path());
        let (folders, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
        let has_rules =
            |file: &PathBuf| fs::read_to_string(file).is_ok_and(|text| text.lines().any(|line| line == "rules:"));
        let files = files.into_iter().filter(has_rules);
        files.chain(folders.iter().flat_map(|folder| roles_below(folder))).collect()
    }
    let named = TABLES.iter().flat_map(|(_, files)| files.iter().map(|file| root().join(file))).collect::<Vec<_>>();
    // The templates of the Helm chart are compared with the manifests elsewhere.
    let chart = root().join("deploy/chart");
    let unnamed = roles_below(&root().join("deploy"));
    let unnamed = unnamed.into_iter().filter(|file| !named.contains(file) && !file.starts_with(&chart));
    assert_eq!(unnamed.collect::<Vec<_>>(), [] as [PathBuf; 0]);
}
