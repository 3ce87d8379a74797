//! Secrets and plans with any content: nothing of a Secret is shown, and a plan of another version is read or skipped.

use std::time::Duration;

use fic_support_operator::api::credentials::CredentialsSecret;
use fic_support_operator::api::plan::PremiumSupportPlan;
use fic_support_operator::clock::Clock;
use fic_support_operator::domain::contract::ContractId;
use fic_support_operator::domain::decide::{Facts, Step, decide};
use fic_support_operator::domain::facts::{Claim, PlanFacts, SecretState, Settings};
use fic_support_operator::domain::memory::Memory;
use fic_support_operator::domain::run_state::{RunState, SecretAbsence, StepResult};
use fic_support_operator::reconcile::report::{self, ReportContext};
use kube::core::DeserializeGuard;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::strategies::json;
use crate::{CREDENTIALS, TENANT, config, is_clean};

/// The texts that the operator writes for a plan whose Secret does not exist.
fn reported(plan: &PremiumSupportPlan, facts: &PlanFacts) -> Vec<String> {
    let mut run = RunState::default();
    run.learn(&StepResult::SecretAbsence(SecretAbsence::NotFound));
    let second = Duration::from_secs(1);
    let settings = Settings {
        poll_interval: second,
        resync_interval: second,
        operation_timeout: second,
        loss_patience: second,
        max_recreations_per_hour: None,
        lease_duration: second,
    };
    let step = decide(&Facts {
        now: second,
        settings: &settings,
        plan: facts,
        secret: &SecretState::NotFound,
        claim: &Claim::Ours,
        memory: &Memory::new(facts, second),
        run: &run,
    });
    let Step::Done { status: Some(change), .. } = step else { panic!("{step:?}") };
    let at = ReportContext { moment: Clock::default().moment(), documentation: Some("https://docs.example") };
    let status = report::status(plan, &change, at);
    let notes = report::events(plan, &change, at).into_iter().map(|event| event.note);
    status.conditions.into_iter().map(|condition| condition.message).chain(notes).collect()
}

/// The data of a Secret in valid and invalid formats, often with credentials in it.
fn secret_data() -> impl Strategy<Value = Value> {
    let secret = prop::sample::select(CREDENTIALS.to_vec());
    let value = prop_oneof![
        secret.clone().prop_map(|secret| json!(k8s_openapi::ByteString(secret.into()))),
        secret.clone().prop_map(Value::from),
        secret.prop_map(|secret| json!([secret])),
        json(),
    ];
    prop_oneof![
        value.clone(),
        (value.clone(), value).prop_map(|(key, secret)| json!({ "apiKey": key, "apiSecret": secret })),
    ]
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn content_of_secret_is_never_shown(more in json(), data in secret_data()) {
        let secret = json!({
            "metadata": { "name": "c", "namespace": "n" }, "type": "fic.ntt.com/credentials",
            "data": data, "more": more,
        });
        // One that cannot be decoded would end the watch.
        let shown = format!("{:?}", serde_json::from_value::<CredentialsSecret>(secret).unwrap());
        prop_assert!(!CREDENTIALS.iter().any(|secret| shown.contains(secret)), "{shown}");
    }

    #[test]
    fn bytes_in_secret_are_usable_only_if_they_are_text(key in any::<Vec<u8>>(), value in any::<Vec<u8>>()) {
        let is_text = |bytes: &[u8]| std::str::from_utf8(bytes).is_ok_and(|text| !text.trim().is_empty());
        let expected = is_text(&key) && is_text(&value);
        let secret = json!({ "metadata": {}, "data": {
            "apiKey": k8s_openapi::ByteString(key), "apiSecret": k8s_openapi::ByteString(value),
        } });
        let secret = serde_json::from_value::<CredentialsSecret>(secret).unwrap();
        prop_assert_eq!(secret.credentials.0.is_ok(), expected);
    }

    #[test]
    fn plan_of_another_version_is_read_or_undecodable(spec in json(), status in json(), more in json()) {
        let plan = json!({
            "apiVersion": "fic.ntt.com/v1beta1", "kind": "PremiumSupportPlan",
            "metadata": { "name": "p", "namespace": "n", "uid": "u", "resourceVersion": "1" },
            "spec": spec, "status": status, "more": more,
        });
        // The guard catches the error, so the watch continues.
        prop_assert!(serde_json::from_value::<DeserializeGuard<PremiumSupportPlan>>(plan).is_ok());
        let plan = json!({
            "metadata": { "name": "p", "namespace": "n" }, "status": status,
            "spec": { "tenantID": TENANT, "credentialsSecretRef": { "name": "c" }, "ofALaterVersion": more },
        });
        if let Ok(plan) = serde_json::from_value::<PremiumSupportPlan>(plan) {
            let facts = PlanFacts::of(&plan);
            prop_assert!(facts.record.id().is_none_or(|id| ContractId::parse(id.as_str()).is_some()));
            prop_assert!(reported(&plan, &facts).iter().all(|text| is_clean(text)));
        }
    }
}
