use serde_json::json;

use super::metrics::PlanSeries;
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
    let index = Index::new(&PlanMetrics::default());
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

/// A list may bring another plan of the same name, without the deletion of the first.
#[test]
fn nothing_of_a_plan_stays_when_another_one_of_the_same_name_appears() {
    let mut registry = crate::metrics::registry();
    let index = Index::new(&PlanMetrics::register(&mut registry, PlanSeries::default()));
    let mut first = plan("a", 1, true);
    first.status = serde_json::from_value(json!({ "conditions": [{
        "type": "Ready", "status": "False", "reason": "Processing", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z",
    }] }))
    .ok();
    index.put(&first);
    index.put(&plan("b", 2, false));
    index.set_create_open(&key("a"), "uid-a", true);
    let mut second = plan("a", 3, false);
    second.metadata.uid = Some("another".into());
    second.spec.tenant_id = "2".repeat(32);
    second.spec.credentials_secret_ref.name = "other".into();
    let affected = index.put(&second);
    assert_eq!((affected.plans, affected.secrets), (vec![key("b")], vec![key("secret")]));
    assert!(!index.is_create_open(&key("a"), "another"));
    assert_eq!(index.claim(&key("b"), &"1".repeat(32)), Claim::Ours);
    assert_eq!(index.plans_of_secret(&key("secret")), [key("b")]);
    let metrics = crate::metrics::text(&registry).expect("the metrics are encoded");
    assert!(metrics.contains("fic_operator_plans{reason=\"Processing\",progress=\"reconciling\"} 0"), "{metrics}");
    index.remove(&key("a"));
    index.remove(&key("b"));
    let inner = index.lock();
    assert!(inner.plans.is_empty() && inner.by_tenant.is_empty() && inner.by_secret.is_empty());
}

/// A replica that loses the lead and regains it has a new index.
#[test]
fn plans_are_counted_once_after_the_lead_was_lost_and_regained() {
    let mut registry = crate::metrics::registry();
    let metrics = PlanMetrics::register(&mut registry, PlanSeries::default());
    let mut reported = plan("a", 1, true);
    reported.status = serde_json::from_value(json!({ "conditions": [{
        "type": "Ready", "status": "True", "reason": "Contracted", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z",
    }] }))
    .ok();
    let contracted = |registry| {
        let text = crate::metrics::text(registry).expect("the metrics are encoded");
        let row = "fic_operator_plans{reason=\"Contracted\",progress=\"settled\"} ";
        let line = text.lines().find_map(|line| line.strip_prefix(row));
        line.map(str::to_owned)
    };
    for _ in 0..2 {
        let index = Index::new(&metrics);
        index.put(&reported);
        index.put_undecodable(key("b"));
        assert_eq!(contracted(&registry).as_deref(), Some("1"));
        drop(index);
        assert_eq!(contracted(&registry).as_deref(), Some("0"), "a replica that does not lead counts no plans");
        assert!(crate::metrics::text(&registry).expect("text").contains("fic_operator_undecodable_plans 0"));
    }
}
