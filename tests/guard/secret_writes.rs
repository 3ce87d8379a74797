//! The operator changes nothing of a Secret but its own finalizer, whatever its rights are. Here it has all of them.

use serde_json::{Value, json};

use crate::environment::{Namespace, Outcome, as_wide_operator, assert_denied};

const IN_USE: &str = "fic.ntt.com/in-use";

fn finalizers(names: &[&str]) -> Value {
    json!({ "metadata": { "finalizers": names } })
}

/// A namespace with the Secret `fic-credentials`, which has a label, an annotation and a finalizer of somebody else.
fn with_secret() -> Namespace {
    let namespace = Namespace::create();
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "fic.ntt.com/credentials",
        "metadata": {
            "name": "fic-credentials", "finalizers": ["example.com/other"],
            "labels": { "label": "old" }, "annotations": { "annotation": "old" },
        },
        "stringData": { "apiKey": "key", "apiSecret": "secret" },
    });
    namespace.kubectl_with("create", &secret, &[]).unwrap();
    namespace
}

/// Patches the Secret as the operator.
fn patch(namespace: &Namespace, patch: &Value) -> Outcome {
    namespace.patch("secret/fic-credentials", patch, &[&as_wide_operator()])
}

#[test]
fn operator_adds_and_removes_its_finalizer() {
    let namespace = with_secret();
    patch(&namespace, &finalizers(&["example.com/other", IN_USE])).unwrap();
    patch(&namespace, &finalizers(&["example.com/other"])).unwrap();
    patch(&namespace, &finalizers(&["example.com/other", IN_USE])).unwrap();
    // The Secret is deleted while a plan uses it. The operator removes the last finalizer.
    namespace.kubectl(&["delete", "secret", "fic-credentials", "--wait=false"]).unwrap();
    namespace.patch("secret/fic-credentials", &finalizers(&[IN_USE]), &[]).unwrap();
    patch(&namespace, &finalizers(&[])).unwrap();
    assert_eq!(namespace.kubectl(&["get", "secrets", "--output=name"]).unwrap(), "");
}

#[test]
fn operator_changes_nothing_else_of_a_secret() {
    let namespace = with_secret();
    patch(&namespace, &finalizers(&["example.com/other", IN_USE])).unwrap();
    let owner = json!([{ "apiVersion": "v1", "kind": "Pod", "name": "pod", "uid": "7c0f1a4e" }]);
    let only_finalizer = "may change nothing of a Secret but its finalizer fic.ntt.com/in-use";
    let no_metadata = "may change no label, annotation or owner reference of a Secret";
    let no_finalizer = "may change no finalizer of a Secret but fic.ntt.com/in-use";
    for (change, message) in [
        (json!({ "data": { "apiKey": "bmV3" } }), only_finalizer),
        (json!({ "stringData": { "apiKey": "new" } }), only_finalizer),
        (json!({ "immutable": true }), only_finalizer),
        (json!({ "metadata": { "labels": { "label": "new" } } }), no_metadata),
        (json!({ "metadata": { "labels": null } }), no_metadata),
        (json!({ "metadata": { "annotations": { "annotation": "new" } } }), no_metadata),
        (json!({ "metadata": { "annotations": null } }), no_metadata),
        (json!({ "metadata": { "ownerReferences": owner } }), no_metadata),
        (finalizers(&[IN_USE]), no_finalizer),
        (finalizers(&["example.com/other", "example.com/new", IN_USE]), no_finalizer),
    ] {
        assert_denied(patch(&namespace, &change), "secret-writes", message);
        // Others are not concerned.
        namespace.patch("secret/fic-credentials", &change, &["--dry-run=server"]).unwrap();
    }
}

#[test]
fn operator_changes_no_secret_of_another_type() {
    let namespace = Namespace::create();
    namespace.kubectl(&["create", "secret", "generic", "fic-credentials", "--from-literal=password=secret"]).unwrap();
    let outcome = patch(&namespace, &finalizers(&[IN_USE]));
    assert_denied(outcome, "secret-writes", "only Secrets with type fic.ntt.com/credentials");
}

#[test]
fn operator_neither_creates_nor_deletes_a_secret() {
    let (namespace, operator) = (with_secret(), as_wide_operator());
    let message = "the operator may neither create nor delete a Secret";
    let create = ["create", "secret", "generic", "new", "--from-literal=a=b", &operator];
    assert_denied(namespace.kubectl(&create), "secret-writes", message);
    assert_denied(namespace.kubectl(&["delete", "secret", "fic-credentials", &operator]), "secret-writes", message);
    assert_denied(namespace.kubectl(&["delete", "secrets", "--all", &operator]), "secret-writes", message);
}
