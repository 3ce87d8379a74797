//! The Secret: late, wrong, rotated, gone.

use fic_simulator::log::Call;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;

use crate::environment::{SECRET, Stage, condition, message};

const TYPE: &str = "fic.ntt.com/credentials";

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_created_late_wakes_its_plan_at_once() {
    let mut stage = Stage::empty().await;
    stage.start_operator().await;
    stage.apply("premium", json!({})).await;
    let plan = stage.reaches("premium", "CredentialsMissing").await;
    assert!(condition(&plan, "Reconciling").is_some());
    assert!(message(&plan).contains(SECRET), "{}", message(&plan));
    stage.create_secret().await;
    stage.reaches("premium", "Contracted").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_of_another_type_is_not_read() {
    let mut stage = Stage::empty().await;
    stage.create_secret_with("Opaque", &[("apiKey", "key"), ("apiSecret", "secret")]).await;
    stage.start_operator().await;
    stage.apply("premium", json!({})).await;
    let plan = stage.reaches("premium", "CredentialsInvalid").await;
    assert!(condition(&plan, "Stalled").is_some());
    assert!(message(&plan).contains(TYPE), "{}", message(&plan));
    stage.has_events("premium", &["CredentialsInvalid"]).await;
    assert!(stage.calls().is_empty());
    // The way out that the message names.
    stage.secrets().delete(SECRET, &DeleteParams::default()).await.unwrap();
    stage.create_secret().await;
    stage.reaches("premium", "Contracted").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_missing_or_empty_is_named() {
    for (data, key) in [(&[("apiKey", "key")][..], "apiSecret"), (&[("apiKey", " "), ("apiSecret", "s")], "apiKey")] {
        let mut stage = Stage::empty().await;
        stage.create_secret_with(TYPE, data).await;
        stage.start_operator().await;
        stage.apply("premium", json!({})).await;
        let plan = stage.reaches("premium", "CredentialsInvalid").await;
        assert!(message(&plan).contains(key), "{}", message(&plan));
        set_secret(&stage, &[("apiKey", "key"), ("apiSecret", "secret")]).await;
        stage.reaches("premium", "Contracted").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_credentials_stall_and_corrected_ones_go_on_at_once() {
    let mut stage = Stage::empty().await.with_flags(&["--resync-interval=1h"]);
    stage.create_secret_with(TYPE, &[("apiKey", "key"), ("apiSecret", "wrong")]).await;
    stage.start_operator().await;
    stage.apply("premium", json!({})).await;
    let plan = stage.reaches("premium", "AuthenticationFailed").await;
    assert!(condition(&plan, "Stalled").is_some());
    set_secret(&stage, &[("apiSecret", "right")]).await;
    stage.reaches("premium", "Contracted").await;
    stage.has_events("premium", &["AuthenticationFailed", "Purchased", "Contracted"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rotated_credentials_are_used_from_then_on() {
    let stage = Stage::new().await;
    stage.apply("premium", json!({})).await;
    stage.reaches("premium", "Contracted").await;
    stage.simulator.account("key", Some("rotated"));
    stage.simulator.revoke_tokens(None);
    stage.reaches("premium", "AuthenticationFailed").await;
    set_secret(&stage, &[("apiSecret", "rotated")]).await;
    stage.reaches("premium", "Contracted").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_token_is_replaced_without_a_word() {
    let stage = Stage::new().await;
    stage.apply("premium", json!({})).await;
    stage.reaches("premium", "Contracted").await;
    stage.has_written_plans(3).await;
    stage.simulator.revoke_tokens(None);
    stage
        .sees("another sign-in and a look after it", |log| {
            let sign_in = log.iter().rposition(|entry| entry.call == Call::SignIn);
            sign_in.is_some_and(|at| at > 0 && log[at..].iter().any(|entry| entry.status == Some(200)))
        })
        .await;
    stage.has_written_plans(3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_that_expire_are_renewed_before_they_do() {
    let mut stage = Stage::empty().await;
    stage.simulator.set(|settings| settings.token_lifetime_ms = 3000);
    stage.create_secret().await;
    stage.start_operator().await;
    stage.apply("premium", json!({})).await;
    stage.reaches("premium", "Contracted").await;
    stage.sees("a third sign-in", |log| log.iter().filter(|entry| entry.call == Call::SignIn).count() >= 3).await;
    assert!(stage.simulator.log().iter().all(|entry| entry.status != Some(401)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_that_is_deleted_takes_its_contracts_with_it() {
    let stage = Stage::new().await;
    stage.apply("premium", json!({})).await;
    stage.reaches("premium", "Contracted").await;
    stage.kubectl_prints(&["delete", "namespace", &stage.namespace, "--timeout=60s"]);
    let summary = stage.simulator.summary(&stage.tenant);
    assert_eq!((summary.deletes_with_effect, summary.contract), (1, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_in_use_stays_until_the_last_contract_is_gone() {
    let stage = Stage::new().await;
    stage.apply("premium", json!({})).await;
    stage.reaches("premium", "Contracted").await;
    stage.secrets().delete(SECRET, &DeleteParams::default()).await.unwrap();
    stage.delete("premium").await;
    stage.is_gone("premium").await;
    assert!(stage.simulator.contract(&stage.tenant).is_none());
    stage.wait("the Secret to be gone", || async { stage.secrets().get_opt(SECRET).await.unwrap().is_none() }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_is_named_no_more_is_let_go() {
    let stage = Stage::new().await;
    stage.apply("premium", json!({})).await;
    stage.reaches("premium", "Contracted").await;
    stage.secret_is_protected(true).await;
    stage.kubectl_prints(&[
        "create",
        "secret",
        "generic",
        "other",
        "--type=fic.ntt.com/credentials",
        "--from-literal=apiKey=key",
        "--from-literal=apiSecret=secret",
    ]);
    stage.patch_spec("premium", json!({ "credentialsSecretRef": { "name": "other" } })).await;
    stage.secret_is_protected(false).await;
    stage
        .wait("the other Secret to be protected", || async {
            !stage.secrets().get("other").await.unwrap().metadata.finalizers.unwrap_or_default().is_empty()
        })
        .await;
}

async fn set_secret(stage: &Stage, data: &[(&str, &str)]) {
    let data = data.iter().copied().collect::<std::collections::BTreeMap<_, _>>();
    let patch = Patch::Merge(json!({ "stringData": data }));
    stage.secrets().patch(SECRET, &PatchParams::default(), &patch).await.unwrap();
}
