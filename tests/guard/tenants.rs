//! With the policy `tenants`, a namespace has only plans for tenants that an administrator has listed for it.

use serde_json::{Value, json};

use crate::environment::{Namespace, Outcome, WithoutList, assert_denied, list_tenant, wait_until, without_list};
use crate::support::{new_tenant, plan};

fn create(namespace: &Namespace, name: &str, tenant: &str, more: &Value) -> Outcome {
    namespace.kubectl_with("create", &plan::manifest(name, &plan::spec(tenant, more)), &[])
}

#[test]
fn nobody_creates_a_plan_without_a_list_but_existing_plans_can_be_changed() {
    let WithoutList { message, change } = without_list();
    assert!(message.contains("fic-support-operator-tenants") && message.contains("no params found"), "{message}");
    assert!(change.is_ok(), "{change:?}");
}

#[test]
fn only_listed_namespaces_have_plans_for_a_tenant() {
    let (tenant, other_tenant) = (new_tenant(), new_tenant());
    let [first, second, third] = [(); 3].map(|()| Namespace::create());
    let message = assert_denied(create(&first, "premium", &tenant, &json!({})), "tenants", &first.0);
    assert!(message.contains(&tenant) && message.contains("ConfigMap allowed-tenants"), "{message}");
    // One name is the beginning of another one.
    list_tenant(&tenant, &format!("{}, {}-2\n{}", first.0, second.0, third.0));
    let created = || create(&first, "premium", &tenant, &json!({}));
    let _ = wait_until("the list of tenants to be read", created, Result::is_ok);
    create(&third, "premium", &tenant, &json!({})).unwrap();
    assert_denied(create(&second, "premium", &tenant, &json!({})), "tenants", &second.0);
    assert_denied(create(&first, "other", &other_tenant, &json!({})), "tenants", &other_tenant);
}

#[test]
fn plan_of_a_namespace_that_is_not_listed_any_more_can_be_changed_and_deleted() {
    let (namespace, tenant) = (Namespace::create(), new_tenant());
    list_tenant(&tenant, &namespace.0);
    let created = || create(&namespace, "premium", &tenant, &json!({}));
    let _ = wait_until("the list of tenants to be read", created, Result::is_ok);
    list_tenant(&tenant, "");
    let again = || create(&namespace, "again", &tenant, &json!({}));
    let refused = wait_until("the list of tenants to be read again", again, |outcome: &Outcome| {
        let _ = namespace.kubectl(&["delete", "psplan", "again"]);
        outcome.is_err()
    });
    assert_denied(refused, "tenants", &namespace.0);
    namespace.patch("psplan/premium", &json!({ "spec": { "deletionPolicy": "Retain" } }), &[]).unwrap();
    namespace.kubectl(&["delete", "psplan", "premium", "--timeout=60s"]).unwrap();
}
