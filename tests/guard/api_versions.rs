//! Each policy holds for each version that plans are served in.

use serde_json::json;

use crate::environment::{Namespace, assert_denied};
use crate::record::{PLAN, marks, owned, with_record};
use crate::support::new_tenant;
use crate::support::plan::{VERSIONS, in_version, manifest, resource, spec};

#[test]
fn plan_is_deleted_only_after_a_confirmation_in_each_version() {
    for version in VERSIONS {
        let namespace = Namespace::create();
        namespace.create_plan("premium");
        let refused = "deleting this plan abolishes its contract";
        let plan = format!("{}/premium", resource(version));
        assert_denied(namespace.kubectl(&["delete", &plan]), "plans", refused);
        let collection = format!("/apis/fic.ntt.com/{version}/namespaces/{}/premiumsupportplans", namespace.0);
        assert_denied(namespace.kubectl(&["delete", "--raw", &collection]), "plans", refused);
        namespace.kubectl(&["annotate", &plan, "fic.ntt.com/confirm-delete=premium"]).unwrap();
        namespace.kubectl(&["delete", &plan, "--timeout=60s"]).unwrap();
    }
}

#[test]
fn nobody_changes_a_record_in_any_version() {
    let namespace = with_record();
    let uid = namespace.field(PLAN, ".metadata.uid");
    for version in VERSIONS {
        let plan = format!("{}/premium", resource(version));
        let marks_refused = "Only the operator may change them";
        for change in [json!({ "metadata": { "finalizers": null } }), marks("another")] {
            assert_denied(namespace.patch(&plan, &change, &[]), "record", marks_refused);
        }
        let status_refused = "only the operator may change status.id and status.ownerUID";
        let change = namespace.patch(&plan, &owned("F100000000002", &uid), &["--subresource=status"]);
        assert_denied(change, "record", status_refused);
        namespace.patch(&plan, &json!({ "spec": { "suspend": true } }), &[]).unwrap();
        namespace.patch(&plan, &json!({ "spec": { "suspend": false } }), &[]).unwrap();
    }
}

#[test]
fn plan_of_a_tenant_that_is_not_listed_is_refused_in_each_version() {
    let namespace = Namespace::create();
    let plan = manifest("premium", &spec(&new_tenant(), &json!({})));
    for version in VERSIONS {
        let create = namespace.kubectl_with("create", &in_version(version, &plan), &[]);
        assert_denied(create, "tenants", "may not have a plan for tenant");
    }
}
