use serde_json::json;

use super::*;
use crate::api::plan::{CONTRACT_FINALIZER, OWNER_UID};

fn plan(name: &str, version: u32, has_record: bool) -> PremiumSupportPlan {
    let finalizers = if has_record { vec![CONTRACT_FINALIZER] } else { vec![] };
    serde_json::from_value(json!({
        "metadata": {
            "name": name, "namespace": "team", "uid": format!("uid-{name}"), "resourceVersion": version.to_string(),
            "finalizers": finalizers, "annotations": { OWNER_UID: format!("uid-{name}") },
        },
        "spec": { "tenantID": "1".repeat(32), "credentialsSecretRef": { "name": "secret" } },
    }))
    .expect("a plan")
}

fn key(name: &str) -> ObjectKey {
    ObjectKey::new("team", name)
}

fn index(plans: &[PremiumSupportPlan]) -> Index {
    let index = Index::new(PlanMetrics::default());
    for plan in plans {
        index.put(plan);
    }
    index
}

#[test]
fn an_older_version_does_not_replace_a_newer_one() {
    let index = index(&[plan("a", 2, true)]);
    assert_eq!(index.put(&plan("a", 1, false)), Affected::default());
    assert!(index.get(&key("a")).is_some_and(|plan| plan.depends_on_secret && plan.version == 2));
}

#[test]
fn a_changed_claim_affects_the_other_plans_of_the_tenant() {
    let index = index(&[plan("a", 1, false), plan("b", 2, false)]);
    assert_eq!(index.put(&plan("a", 3, true)).plans, [key("b")]);
    assert_eq!(index.put(&plan("a", 4, true)).plans, []);
    assert_eq!(index.remove(&key("a")).plans, [key("b")]);
}

#[test]
fn a_plan_that_loses_its_finalizer_affects_its_secret() {
    let index = index(&[plan("a", 1, true)]);
    assert!(index.may_depend_on_secret(&key("secret")));
    assert_eq!(index.put(&plan("a", 2, true)).secrets, []);
    assert_eq!(index.put(&plan("a", 3, false)).secrets, [key("secret")]);
    assert!(!index.may_depend_on_secret(&key("secret")));
    index.put(&plan("a", 4, true));
    let mut moved = plan("a", 5, true);
    moved.spec.credentials_secret_ref.name = "other".into();
    assert_eq!(index.put(&moved).secrets, [key("secret")]);
    assert_eq!(index.plans_of_secret(&key("other")), [key("a")]);
}

#[test]
fn a_plan_that_the_watch_removed_does_not_return_with_a_late_response() {
    let index = index(&[plan("a", 1, false)]);
    index.update(&plan("a", 2, true));
    assert!(index.get(&key("a")).is_some_and(|plan| plan.depends_on_secret));
    index.remove(&key("a"));
    assert_eq!(index.update(&plan("a", 3, true)), Affected::default());
    assert_eq!(index.get(&key("a")), None);
    let mut recreated = plan("a", 4, false);
    recreated.metadata.uid = Some("another".into());
    index.put(&recreated);
    index.update(&plan("a", 5, true));
    assert_eq!(index.uid(&key("a")).as_deref(), Some("another"));
}

#[test]
fn a_plan_without_its_last_finalizer_is_deleted() {
    let index = index(&[plan("a", 1, true)]);
    let mut deleted = plan("a", 2, false);
    deleted.metadata.deletion_timestamp = serde_json::from_value(json!("2026-01-01T00:00:00Z")).ok();
    assert_eq!(index.put(&deleted).secrets, [key("secret")]);
    assert_eq!(index.get(&key("a")), None);
}
