//! The configuration of kube-state-metrics: each of its paths exists in a plan.

use std::fs;

use serde_json::{Value, json};

use crate::repository;

const EXAMPLES: &str = "deploy/gitops/argocd/resource_customizations/fic.ntt.com/PremiumSupportPlan/testdata";

fn yaml(file: &str) -> Value {
    serde_saphyr::from_str(&fs::read_to_string(repository().join(file)).unwrap()).unwrap()
}

/// What kube-state-metrics finds at a path. A segment such as `[type=Ready]` selects an element of a list.
fn resolve<'a>(mut value: &'a Value, path: &Value) -> Option<&'a Value> {
    for segment in path.as_array().unwrap() {
        let segment = segment.as_str().unwrap();
        value = match segment.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            Some(selector) => {
                let (key, expected) = selector.split_once('=').unwrap();
                value.as_array()?.iter().find(|element| element[key] == expected)?
            }
            None => value.get(segment)?,
        };
    }
    Some(value)
}

#[test]
fn each_path_exists_in_a_plan() {
    let configuration = yaml("deploy/monitoring/kube-state-metrics.yaml");
    let crd = yaml("crds/premiumsupportplans.fic.ntt.com.yaml");
    let contracted = yaml(&format!("{EXAMPLES}/contracted.yaml"));
    let abolishing = yaml(&format!("{EXAMPLES}/abolishing.yaml"));
    let resource = &configuration["spec"]["resources"][0];
    let kind = json!({
        "group": crd["spec"]["group"], "version": crd["spec"]["versions"][0]["name"], "kind": crd["spec"]["names"]["kind"]
    });
    assert_eq!(resource["groupVersionKind"], kind);
    let mut paths = resource["labelsFromPath"].as_object().unwrap().values().collect::<Vec<_>>();
    for metric in resource["metrics"].as_array().unwrap() {
        let each = &metric["each"];
        let info = each["info"]["labelsFromPath"].as_object();
        paths.extend(info.into_iter().flat_map(|labels| labels.values()));
        let gauge = &each["gauge"];
        paths.extend(gauge.get("path"));
        // These are relative to what the path selects.
        let selected = gauge.get("path").and_then(|path| resolve(&contracted, path));
        let labels = gauge["labelsFromPath"].as_object().into_iter().flat_map(|labels| labels.values());
        for relative in labels.chain(gauge.get("valueFrom")) {
            assert!(resolve(selected.unwrap(), relative).is_some(), "{relative}");
        }
    }
    assert_eq!(paths.len(), 11);
    for path in paths {
        assert!(resolve(&contracted, path).or_else(|| resolve(&abolishing, path)).is_some(), "{path}");
    }
}
