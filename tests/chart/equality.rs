//! The chart and the kustomizations in `deploy/` are two ways to the same objects.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::helm::{WITH_PROMETHEUS_OPERATOR, objects, template};
use crate::tools::{TOOLS, chart, control_plane, output, repository};

/// The labels that the chart adds to those of the kustomization.
const LABELS_OF_HELM: [&str; 4] =
    ["app.kubernetes.io/instance", "app.kubernetes.io/managed-by", "app.kubernetes.io/version", "helm.sh/chart"];

type Objects = BTreeMap<(String, String, String), Value>;

/// The objects by kind, namespace and name.
fn by_name(objects: Vec<Value>) -> Objects {
    let count = objects.len();
    let named = objects.into_iter().map(|object| {
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        ((text("/kind"), text("/metadata/namespace"), text("/metadata/name")), object)
    });
    let named = named.collect::<Objects>();
    assert_eq!(named.len(), count, "two objects have one name: {:?}", named.keys());
    named
}

fn kustomize(folder: &str) -> Vec<Value> {
    let yaml = output(control_plane().kubectl().arg("kustomize").arg(repository().join(folder))).unwrap();
    objects(&yaml)
}

/// What the kustomizations install, without the namespace: a release is in a namespace that exists.
fn kustomized(folders: &[&str]) -> Objects {
    let crd = fs::read_to_string(repository().join("crds/premiumsupportplans.fic.ntt.com.yaml")).unwrap();
    let all = folders.iter().flat_map(|folder| kustomize(folder)).chain(objects(&crd));
    let mut all = by_name(all.filter(|object| object["kind"] != "Namespace").collect());
    // The label of the kustomization, which the guard of the CRD and the CRD do not have, since they stay.
    for object in all.values_mut() {
        object["metadata"]["labels"]["app.kubernetes.io/name"] = json!("fic-support-operator");
    }
    all
}

fn rendered(binary: &Path, values: &Value) -> Objects {
    let mut all = by_name(objects(&template(binary, values, WITH_PROMETHEUS_OPERATOR).unwrap()));
    for (name, object) in &mut all {
        let labels = object["metadata"]["labels"].as_object_mut().unwrap();
        for label in LABELS_OF_HELM {
            assert!(labels.remove(label).is_some(), "{name:?} has no label {label}");
        }
    }
    all
}

fn assert_equal(chart: &Objects, kustomization: &Objects) {
    assert_eq!(chart.keys().collect::<Vec<_>>(), kustomization.keys().collect::<Vec<_>>());
    for (name, object) in chart {
        assert_eq!(object, &kustomization[name], "{name:?}");
    }
}

#[test]
fn the_default_values_install_what_deploy_installs() {
    let kustomization = kustomized(&["deploy", "deploy/guard/crd"]);
    for helm in &TOOLS.helm {
        assert_equal(&rendered(helm, &json!({})), &kustomization);
    }
}

#[test]
fn with_namespaces_to_watch_it_installs_what_deploy_namespaced_installs() {
    let kustomization = kustomized(&["deploy/namespaced", "deploy/guard/crd"]);
    for helm in &TOOLS.helm {
        let values = json!({ "operator": { "watchNamespaces": ["network-team"] } });
        assert_equal(&rendered(helm, &values), &kustomization);
    }
}

/// Every optional part of `deploy/` has a value.
#[test]
fn with_all_values_it_installs_every_part_of_deploy() {
    let folder = copy_of(&["deploy"]);
    let overlay = folder.path().join("overlay");
    fs::create_dir(&overlay).unwrap();
    let kustomization = json!({
        "resources": ["../deploy", "../deploy/guard/plans", "../deploy/guard/credentials", "../deploy/guard/tenants", "../deploy/monitoring"],
        "components": ["../deploy/guard/record-deny", "../deploy/user-roles-in-edit"],
    });
    fs::write(overlay.join("kustomization.yaml"), kustomization.to_string()).unwrap();
    let kustomization = kustomized(&[overlay.to_str().unwrap(), "deploy/guard/crd"]);
    let values = json!({
        "monitoring": { "serviceMonitor": { "enabled": true }, "alerts": { "enabled": true }, "dashboard": { "enabled": true } },
        "guard": { "plans": true, "credentials": true, "tenants": true, "record": "Deny" },
        "roles": { "inEdit": true },
    });
    for helm in &TOOLS.helm {
        assert_equal(&rendered(helm, &values), &kustomization);
    }
}

/// A copy of folders and files of the repository.
fn copy_of(names: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    for name in names {
        output(Command::new("cp").arg("-r").arg(repository().join(name)).arg(folder.path())).unwrap();
    }
    folder
}

/// The chart cannot read what is outside of its folder, so it has copies, and a README that helm-docs writes.
#[test]
fn the_copies_and_the_readme_are_fresh() {
    let copy = copy_of(&["deploy", "crds", "Makefile", "release"]);
    output(Command::new("make").args(["--silent", "chart"]).current_dir(copy.path())).unwrap();
    let fresh = copy.path().join("deploy/chart");
    let difference = output(Command::new("diff").arg("-r").arg(chart()).arg(fresh));
    assert_eq!(difference, Ok(String::new()), "run `make chart`");
}

/// One version is released, with one number.
#[test]
fn all_versions_are_one() {
    let version = env!("CARGO_PKG_VERSION");
    let chart = fs::read_to_string(chart().join("Chart.yaml")).unwrap();
    let chart: Value = serde_saphyr::from_str(&chart).unwrap();
    assert_eq!((&chart["version"], &chart["appVersion"]), (&json!(version), &json!(version)));
    let deployment = fs::read_to_string(repository().join("deploy/base/deployment.yaml")).unwrap();
    assert!(deployment.contains(&format!("image: fic-support-operator:{version}\n")));
}
