//! What the chart tells Artifact Hub is what it installs.

use std::fs;

use serde_json::{Value, json};

use crate::helm::{objects, template};
use crate::tools::{TOOLS, chart, repository};

fn yaml(file: &str) -> Value {
    serde_saphyr::from_str(&fs::read_to_string(repository().join(file)).unwrap()).unwrap()
}

/// An annotation of the chart that is YAML itself.
fn annotation(name: &str) -> Value {
    let chart = yaml("deploy/chart/Chart.yaml");
    serde_saphyr::from_str(chart["annotations"][format!("artifacthub.io/{name}")].as_str().unwrap()).unwrap()
}

#[test]
fn the_image_is_the_one_that_the_chart_installs() {
    let rendered = objects(&template(&TOOLS.helm[0], &json!({}), &[]).unwrap());
    let deployment = rendered.iter().find(|object| object["kind"] == "Deployment").unwrap();
    let image = &deployment["spec"]["template"]["spec"]["containers"][0]["image"];
    let images = annotation("images");
    assert_eq!(images.as_array().map(Vec::len), Some(1));
    assert_eq!(&images[0]["image"], image);
    assert_eq!(images[0]["platforms"], json!(["linux/amd64", "linux/arm64"]));
}

#[test]
fn each_version_of_the_crd_is_listed() {
    let crd = yaml("crds/premiumsupportplans.fic.ntt.com.yaml");
    let versions = crd["spec"]["versions"].as_array().unwrap();
    let expected = versions.iter().map(|version| {
        let (kind, name) = (&crd["spec"]["names"]["kind"], &crd["metadata"]["name"]);
        json!({ "kind": kind, "name": name, "version": version["name"] })
    });
    let listed = annotation("crds");
    let listed = listed.as_array().unwrap().iter().map(|listed| {
        assert!(listed["displayName"].is_string() && listed["description"].is_string(), "{listed}");
        json!({ "kind": listed["kind"], "name": listed["name"], "version": listed["version"] })
    });
    assert_eq!(listed.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
}

#[test]
fn the_example_is_the_sample() {
    assert_eq!(annotation("crdsExamples"), json!([yaml("deploy/samples/buy.yaml")]));
}

/// `make release-files` writes the name and the digest of the image into these lines.
#[test]
fn a_release_can_set_the_image_of_the_chart() {
    let lines = |file: &str, line: &str| {
        let text = fs::read_to_string(chart().join(file)).unwrap();
        text.lines().filter(|found| found.trim_end_matches(env!("CARGO_PKG_VERSION")) == line).count()
    };
    assert_eq!(lines("values.yaml", "  repository: fic-support-operator"), 1);
    assert_eq!(lines("values.yaml", "  digest: \"\""), 1);
    assert_eq!(lines("Chart.yaml", "      image: fic-support-operator:"), 1);
}
