//! The Secret with the credentials: created late, invalid, rotated, deleted, protected by a finalizer.

use fic_simulator::log::Call;
use kube::api::DeleteParams;
use serde_json::json;

use crate::support::environment::SECRET_TYPE;
use crate::support::plan::{condition, message};
use crate::support::{SECRET, TestEnvironment, new_tenant};

#[tokio::test(flavor = "multi_thread")]
async fn secret_created_after_its_plan_triggers_a_reconcile() {
    let mut env = TestEnvironment::without_operator().await;
    env.start_operator().await;
    env.apply("premium", json!({})).await;
    let plan = env.wait_for_reason("premium", "CredentialsMissing").await;
    assert!(condition(&plan, "Reconciling").is_some());
    assert!(message(&plan).contains(SECRET), "{}", message(&plan));
    env.create_secret().await;
    env.wait_for_reason("premium", "Contracted").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn secret_of_another_type_is_not_used() {
    let mut env = TestEnvironment::without_operator().await;
    env.create_secret_with(&env.namespace, "Opaque", &[("apiKey", "key"), ("apiSecret", "secret")]).await;
    env.start_operator().await;
    env.apply("premium", json!({})).await;
    let plan = env.wait_for_reason("premium", "CredentialsInvalid").await;
    assert!(condition(&plan, "Stalled").is_some());
    assert!(message(&plan).contains(SECRET_TYPE), "{}", message(&plan));
    env.wait_for_events("premium", &["CredentialsInvalid"]).await;
    assert!(env.calls().is_empty());
    // The type of a Secret is immutable, so the message asks the user to recreate the Secret.
    env.secrets().delete(SECRET, &DeleteParams::default()).await.unwrap();
    env.create_secret().await;
    env.wait_for_reason("premium", "Contracted").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_or_empty_key_of_the_secret_is_named_in_the_message() {
    for (data, key) in [(&[("apiKey", "key")][..], "apiSecret"), (&[("apiKey", " "), ("apiSecret", "s")], "apiKey")] {
        let mut env = TestEnvironment::without_operator().await;
        env.create_secret_with(&env.namespace, SECRET_TYPE, data).await;
        env.start_operator().await;
        env.apply("premium", json!({})).await;
        let plan = env.wait_for_reason("premium", "CredentialsInvalid").await;
        assert!(message(&plan).contains(key), "{}", message(&plan));
        env.patch_secret(&[("apiKey", "key"), ("apiSecret", "secret")]).await;
        env.wait_for_reason("premium", "Contracted").await;
    }
}

/// So the operator never sees one. It would read it as a value that is not text.
#[tokio::test(flavor = "multi_thread")]
async fn api_server_stores_no_secret_whose_data_is_not_base64() {
    let env = TestEnvironment::without_operator().await;
    for data in [json!({ "apiKey": "!" }), json!({ "apiKey": "a2V" }), json!({ "apiKey": 1 }), json!(["a2V5"])] {
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "type": SECRET_TYPE, "metadata": { "name": SECRET }, "data": data,
        });
        let refused = env.kubectl_with("create", &["--validate=false"], &secret);
        assert!(refused.as_ref().is_err_and(|error| error.contains("BadRequest")), "{refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rejected_credentials_stall_the_plan_until_the_secret_changes() {
    let mut env = TestEnvironment::without_operator().await.with_flags(&["--resync-interval=1h"]);
    env.create_secret_with(&env.namespace, SECRET_TYPE, &[("apiKey", "key"), ("apiSecret", "wrong")]).await;
    env.start_operator().await;
    env.apply("premium", json!({})).await;
    let plan = env.wait_for_reason("premium", "AuthenticationFailed").await;
    assert!(condition(&plan, "Stalled").is_some());
    env.patch_secret(&[("apiSecret", "right")]).await;
    env.wait_for_reason("premium", "Contracted").await;
    env.wait_for_events("premium", &["AuthenticationFailed", "Purchased", "Contracted"]).await;
}

/// Too many refused sign-ins lock the account.
#[tokio::test(flavor = "multi_thread")]
async fn many_plans_with_one_wrong_pair_of_credentials_sign_in_few_times() {
    let mut env = TestEnvironment::without_operator().await;
    env.create_secret_with(&env.namespace, SECRET_TYPE, &[("apiKey", "key"), ("apiSecret", "wrong")]).await;
    let names = (0..20).map(|number| format!("plan-{number}")).collect::<Vec<_>>();
    for name in &names {
        env.apply_in(&env.namespace, name, &new_tenant(), json!({})).await;
    }
    env.start_operator().await;
    for name in &names {
        env.wait_for_reason(name, "AuthenticationFailed").await;
    }
    let refused = env.count(Call::SignIn);
    assert!(refused <= 6, "{refused} refused sign-ins");
    env.patch_secret(&[("apiSecret", "right")]).await;
    for name in &names {
        env.wait_for_reason(name, "Contracted").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rotated_credentials_replace_the_old_ones() {
    let env = TestEnvironment::with_operator().await;
    env.apply("premium", json!({})).await;
    env.wait_for_reason("premium", "Contracted").await;
    env.simulator.account("key", Some("rotated"));
    env.simulator.revoke_tokens(None);
    env.wait_for_reason("premium", "AuthenticationFailed").await;
    env.patch_secret(&[("apiSecret", "rotated")]).await;
    env.wait_for_reason("premium", "Contracted").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn revoked_token_is_replaced_without_a_status_change() {
    let env = TestEnvironment::with_operator().await;
    env.apply("premium", json!({})).await;
    env.wait_for_reason("premium", "Contracted").await;
    env.assert_plan_writes(3).await;
    env.simulator.revoke_tokens(None);
    env.wait_for_requests("another sign-in and a successful call after it", |log| {
        let sign_in = log.iter().rposition(|entry| entry.call == Call::SignIn);
        sign_in.is_some_and(|at| at > 0 && log[at..].iter().any(|entry| entry.status == Some(200)))
    })
    .await;
    env.assert_plan_writes(3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn token_is_renewed_before_it_expires() {
    let mut env = TestEnvironment::without_operator().await;
    env.simulator.set(|settings| settings.token_lifetime_ms = 3000);
    env.create_secret().await;
    env.start_operator().await;
    env.apply("premium", json!({})).await;
    env.wait_for_reason("premium", "Contracted").await;
    env.wait_for_requests("a third sign-in", |log| log.iter().filter(|entry| entry.call == Call::SignIn).count() >= 3)
        .await;
    assert!(env.simulator.log().iter().all(|entry| entry.status != Some(401)));
}

#[tokio::test(flavor = "multi_thread")]
async fn secret_in_use_is_not_removed_until_the_contract_is_abolished() {
    let env = TestEnvironment::with_operator().await;
    env.apply("premium", json!({})).await;
    env.wait_for_reason("premium", "Contracted").await;
    env.secrets().delete(SECRET, &DeleteParams::default()).await.unwrap();
    env.delete("premium").await;
    env.wait_for_deletion("premium").await;
    assert!(env.simulator.contract(&env.tenant).is_none());
    env.wait_until("the Secret to be deleted", || async { env.secrets().get_opt(SECRET).await.unwrap().is_none() })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn secret_that_no_plan_references_loses_its_finalizer() {
    let env = TestEnvironment::with_operator().await;
    env.apply("premium", json!({})).await;
    env.wait_for_reason("premium", "Contracted").await;
    env.wait_for_secret_finalizer(true).await;
    env.kubectl(&[
        "create",
        "secret",
        "generic",
        "other",
        "--type=fic.ntt.com/credentials",
        "--from-literal=apiKey=key",
        "--from-literal=apiSecret=secret",
    ]);
    env.patch_spec("premium", json!({ "credentialsSecretRef": { "name": "other" } })).await;
    env.wait_for_secret_finalizer(false).await;
    env.wait_for_finalizer_of("other", true).await;
}
