use super::*;
use serde_json::json;

fn plan(version: u32, finalizer: bool) -> PremiumSupportPlan {
    let finalizers = if finalizer { vec![crate::api::plan::CONTRACT_FINALIZER] } else { vec![] };
    serde_json::from_value(json!({
        "metadata": {
            "name": "plan", "namespace": "team", "uid": "1", "resourceVersion": version.to_string(), "finalizers": finalizers,
        },
        "spec": { "tenantID": "1".repeat(32), "credentialsSecretRef": { "name": "secret" } },
    }))
    .expect("a plan")
}

fn keys() -> (Key, Key) {
    (Key::new("team", "plan"), Key::new("team", "secret"))
}

fn directory() -> Index {
    let directory = Index::new(Arc::default());
    directory.put(&plan(1, false));
    directory
}

#[test]
fn a_finalizer_in_doubt_keeps_the_secret_until_a_newer_version_of_the_plan_is_known() {
    let (directory, (key, secret)) = (directory(), keys());
    assert!(directory.intend(&key, &secret, Some(1)));
    assert_eq!(directory.settle(&key, true), None);
    // Trying again, whatever it comes to, does not remove the doubt; nor does the version that is known already.
    assert!(directory.intend(&key, &secret, Some(1)));
    assert_eq!(directory.settle(&key, false), None);
    directory.put(&plan(1, false));
    assert!(!directory.begin_release(&secret, Some(1)));
    assert_eq!(directory.put(&plan(2, false)).secrets, std::slice::from_ref(&secret));
    assert!(directory.begin_release(&secret, Some(1)));
}

#[test]
fn an_intent_that_came_to_nothing_has_the_secret_looked_at_again() {
    let (directory, (key, secret)) = (directory(), keys());
    assert_eq!(directory.settle(&key, false), None);
    assert!(directory.intend(&key, &secret, Some(1)));
    assert!(!directory.begin_release(&secret, Some(1)));
    assert_eq!(directory.settle(&key, false), Some(secret.clone()));
    directory.intend(&key, &secret, Some(1));
    directory.put(&plan(2, true));
    assert_eq!(directory.settle(&key, false), None);
    assert!(!directory.begin_release(&secret, Some(1)));
}

#[test]
fn a_secret_that_was_let_go_counts_as_such_until_the_cache_knows() {
    let (directory, (key, secret)) = (directory(), keys());
    assert!(directory.begin_release(&secret, Some(5)));
    assert!(!directory.intend(&key, &secret, Some(5)));
    directory.end_release(&secret, Outcome::Done(Some(6)));
    assert!(directory.is_released_since(&secret, Some(5)));
    assert!(!directory.intend(&key, &secret, Some(5)));
    assert!(!directory.begin_release(&secret, Some(5)));
    assert!(!directory.is_released_since(&secret, Some(6)));
    assert!(directory.intend(&key, &secret, Some(6)));
}

#[test]
fn while_it_is_in_doubt_whether_a_secret_was_let_go_only_who_depends_on_it_may_protect_it() {
    let (directory, (key, secret)) = (directory(), keys());
    assert!(directory.begin_release(&secret, Some(5)));
    directory.end_release(&secret, Outcome::Unknown);
    assert!(directory.is_released_since(&secret, Some(5)));
    assert!(!directory.intend(&key, &secret, Some(5)));
    directory.put(&plan(2, true));
    assert!(directory.intend(&key, &secret, Some(5)));
    assert!(directory.is_released_since(&secret, Some(5)), "the release may still be on its way");
    assert!(directory.intend(&key, &secret, Some(6)), "not to this version, as protecting it has left it");
    assert!(!directory.is_released_since(&secret, Some(6)));
}

#[test]
fn a_plan_that_the_watch_has_taken_out_does_not_come_back_with_a_late_answer() {
    let (directory, (key, _)) = (directory(), keys());
    directory.update(&plan(2, true));
    assert!(directory.lock().plans[&key].contender.finalizer);
    directory.remove(&key);
    assert_eq!(directory.update(&plan(3, true)), Affected::default());
    assert!(directory.keys(None).is_empty());
    let mut namesake = plan(4, false);
    namesake.metadata.uid = Some("2".into());
    directory.put(&namesake);
    directory.update(&plan(5, true));
    assert_eq!(directory.uid(&key).as_deref(), Some("2"));
}

#[test]
fn a_secret_stays_while_nobody_knows_what_a_plan_of_its_namespace_uses() {
    let (directory, (_, secret)) = (directory(), keys());
    directory.put_undecodable(Key::new("elsewhere", "newer"));
    directory.put_undecodable(Key::new("team", "newer"));
    assert!(!directory.begin_release(&secret, Some(1)));
    directory.remove(&Key::new("team", "newer"));
    assert!(directory.begin_release(&secret, Some(1)));
}

#[test]
fn a_secret_of_the_same_name_is_another_one() {
    let (directory, (_, secret)) = (directory(), keys());
    assert!(directory.begin_release(&secret, Some(5)));
    directory.end_release(&secret, Outcome::Unknown);
    directory.forget_release(&secret);
    assert!(!directory.is_released_since(&secret, Some(5)));
}
