//! With the policy `credentials`, a Secret that the operator could not use is refused.

use serde_json::json;

use crate::environment::{Namespace, Outcome, as_wide_operator, assert_denied};

const TYPE: &str = "fic.ntt.com/credentials";

fn create(namespace: &Namespace, type_: &str, data: &[(&str, &str)]) -> Outcome {
    let data = data.iter().map(|(key, value)| ((*key).to_owned(), json!(value))).collect::<serde_json::Map<_, _>>();
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "type": type_, "metadata": { "generateName": "secret-" }, "stringData": data,
    });
    namespace.kubectl_with("create", &secret, &[])
}

#[test]
fn secrets_need_both_keys_and_no_others() {
    let namespace = Namespace::create();
    create(&namespace, TYPE, &[("apiKey", "key"), ("apiSecret", "secret")]).unwrap();
    create(&namespace, "Opaque", &[("apiKey", "key"), ("apisecret", "secret")]).unwrap();
    for (data, message) in [
        (&[][..], "missing: apiKey, apiSecret"),
        (&[("apiKey", "key")], "missing: apiSecret"),
        (&[("apiKey", "key"), ("apisecret", "secret")], "missing: apiSecret; not allowed: apisecret"),
        (&[("apiKey", "key"), ("apiSecret", "secret"), ("user", "me")], "and no others; not allowed: user"),
    ] {
        assert_denied(create(&namespace, TYPE, data), "credentials", message);
    }
}

#[test]
fn values_have_one_to_1024_bytes() {
    let namespace = Namespace::create();
    // The lengths around a multiple of three differ in the padding of base64.
    for length in [1, 2, 3, 1022, 1023, 1024] {
        create(&namespace, TYPE, &[("apiKey", "key"), ("apiSecret", &"x".repeat(length))]).unwrap();
    }
    for length in [1025, 1026, 1027, 5000] {
        let outcome = create(&namespace, TYPE, &[("apiKey", &"x".repeat(length)), ("apiSecret", "secret")]);
        assert_denied(outcome, "credentials", "must have at most 1,024 bytes each");
    }
    let outcome = create(&namespace, TYPE, &[("apiKey", "key"), ("apiSecret", "")]);
    let message = assert_denied(outcome, "credentials", "apiKey and apiSecret must not be empty");
    assert!(!message.contains("\"key\""), "the message must not contain a value");
}

#[test]
fn changes_of_a_secret_are_checked_too() {
    let namespace = Namespace::create();
    let secret = create(&namespace, TYPE, &[("apiKey", "key"), ("apiSecret", "secret")]).unwrap();
    let secret = secret.split_whitespace().next().unwrap();
    namespace.patch(secret, &json!({ "stringData": { "apiSecret": "rotated" } }), &[]).unwrap();
    let outcome = namespace.patch(secret, &json!({ "data": { "apiSecret": null } }), &[]);
    assert_denied(outcome, "credentials", "missing: apiSecret");
}

/// Otherwise the operator could not remove its finalizer, and a namespace could not be deleted.
#[test]
fn secret_that_is_older_than_the_policy_keeps_its_keys_and_loses_its_finalizer() {
    let namespace = Namespace::older();
    for finalizers in [json!(["fic.ntt.com/in-use"]), json!(null)] {
        let patch = json!({ "metadata": { "finalizers": finalizers } });
        namespace.patch("secret/incomplete", &patch, &[&as_wide_operator()]).unwrap();
    }
    let outcome = namespace.patch("secret/incomplete", &json!({ "stringData": { "apiKey": "key" } }), &[]);
    assert_denied(outcome, "credentials", "missing: apiSecret");
    namespace.patch("secret/incomplete", &json!({ "stringData": { "apiKey": "k", "apiSecret": "s" } }), &[]).unwrap();
}
