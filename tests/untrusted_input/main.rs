//! Whatever comes from outside is bad until it is read: answers of FIC and Keystone, Secrets, plans of other versions, flags.
//!
//! Nothing of it makes the operator panic, passes for an answer about something else, or reaches a reader with a secret or a control
//! character in it. What is tried is drawn at random from the corpus in `corpus/`, spoilt byte by byte, and from JSON of the
//! right shape with the wrong things in it. What ever failed is kept beside this file and tried first.

#![allow(clippy::unwrap_used, missing_docs, reason = "a test that goes wrong must stop at once")]

use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use clap::Parser;
use fic_support_operator::api::credentials::{Credentials, CredentialsSecret};
use fic_support_operator::api::plan::{Menu, PremiumSupportPlan};
use fic_support_operator::cli::Cli;
use fic_support_operator::domain::contract::ContractId;
use fic_support_operator::domain::decide::{Facts, Step, decide};
use fic_support_operator::domain::error::{FicError, WriteOutcome};
use fic_support_operator::domain::facts::{self, Claim, PlanFacts, Settings};
use fic_support_operator::domain::memory::Memory;
use fic_support_operator::domain::run_state::{RunState, SecretAbsence, StepResult};
use fic_support_operator::fic::http::{HttpClient, TransportError};
use fic_support_operator::fic::{Access, Endpoints, FicClient, Limits};
use fic_support_operator::leader_election::Leadership;
use fic_support_operator::metrics::Metrics;
use fic_support_operator::reconcile::observe::plan_facts;
use fic_support_operator::reconcile::report;
use fic_support_operator::text;
use futures::FutureExt;
use futures::future::BoxFuture;
use kube::core::DeserializeGuard;
use proptest::prelude::*;
use proptest::test_runner::{FileFailurePersistence, RngSeed};
use reqwest::{Request, Response};
use serde_json::{Value, json};

const TENANT: &str = "db8b0e40743f460685040c46167cf19e";
const ID: &str = "F520123456789";
const API_KEY: &str = "a-key-that-must-not-show";
const API_SECRET: &str = "a-secret-that-must-not-show";
const TOKEN: &str = "a-token-that-must-not-show";

/// Answers with what it was given: signing in with the first, everything else with the second.
struct Parrot(Mutex<[Option<Answer>; 2]>);

#[derive(Clone, Debug)]
struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

impl HttpClient for Parrot {
    fn execute(&self, request: Request) -> BoxFuture<'static, Result<Response, TransportError>> {
        let which = usize::from(!request.url().path().contains("auth/tokens"));
        let answer = self.0.lock().unwrap()[which].clone();
        async move {
            let answer = answer.ok_or_else(|| TransportError::Lost("nothing".into()))?;
            let mut response = http::Response::builder().status(answer.status);
            for (name, value) in answer.headers {
                response = response.header(name, value);
            }
            Ok(response.body(answer.body).map_err(|_| TransportError::Lost("no answer at all".into()))?.into())
        }
        .boxed()
    }
}

fn signed_in() -> Answer {
    Answer { status: 201, headers: vec![("x-subject-token", TOKEN.into())], body: b"{}".into() }
}

fn fic(sign_in: Answer, answer: Answer) -> (FicClient, Access) {
    let endpoints = Endpoints { fic: "http://fic/f".parse().unwrap(), keystone: "http://fic/k".parse().unwrap() };
    let limits = Limits { request_timeout: Duration::from_secs(5), requests_per_second: 0 };
    let parrot = Box::new(Parrot(Mutex::new([Some(sign_in), Some(answer)])));
    let fic = FicClient::with_http_client(parrot, endpoints, limits, Arc::new(Metrics::default()));
    (fic, Access { tenant: TENANT.into(), credentials: Credentials::new(API_KEY, API_SECRET) })
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    static RUNTIME: LazyLock<tokio::runtime::Runtime> =
        LazyLock::new(|| tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap());
    RUNTIME.block_on(future)
}

fn corpus() -> Vec<Vec<u8>> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/untrusted_input/corpus");
    let mut files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect::<Vec<_>>();
    files.sort();
    assert!(files.len() > 10, "the corpus is there");
    files.into_iter().map(|path| std::fs::read(path).unwrap()).collect()
}

/// A body of the corpus with a few bytes changed, put in or taken out.
fn spoilt() -> impl Strategy<Value = Vec<u8>> {
    let edits = prop::collection::vec((any::<prop::sample::Index>(), 0_u8..4, any::<u8>()), 0..6);
    (prop::sample::select(corpus()), edits).prop_map(|(mut body, edits)| {
        for (index, edit, byte) in edits {
            if body.is_empty() {
                break;
            }
            let at = index.index(body.len());
            match edit {
                0 => body[at] = byte,
                1 => body.insert(at, byte),
                2 => drop(body.remove(at)),
                _ => body.truncate(at),
            }
        }
        body
    })
}

/// Words that mean something somewhere, and some that do not.
fn word() -> impl Strategy<Value = Value> {
    let known = [
        TENANT,
        ID,
        "F520999999999",
        "ffffffffffffffffffffffffffffffff",
        "Processing",
        "Completed",
        "Error",
        "PremiumPlan",
        "",
        "\u{0}",
        "\u{202e}gnp",
        "../../other",
        API_KEY,
        API_SECRET,
        TOKEN,
        "2026-03-01T06:48:00Z",
    ];
    prop_oneof![
        prop::sample::select(known.to_vec()).prop_map(|word| json!(word)),
        any::<String>().prop_map(|word| json!(word)),
        Just(json!("x".repeat(5000))),
        any::<i64>().prop_map(|number| json!(number)),
        Just(Value::Null),
        any::<bool>().prop_map(|is| json!(is)),
    ]
}

/// JSON of the right shape with anything in it.
fn shaped() -> impl Strategy<Value = Value> {
    let names = [
        "premiumProfessionalSupportServices",
        "professionalSupportServices",
        "professionalSupportService",
        "premiumProfessionalSupportService",
        "id",
        "tenantId",
        "operationStatus",
        "currentMenu",
        "menus",
        "menu",
        "menuStartDate",
        "error",
        "message",
        "operations",
        "resourceId",
        "receptionTime",
        "token",
        "issued_at",
        "expires_at",
        "metadata",
        "spec",
        "status",
        "conditions",
        "tenantID",
        "credentialsSecretRef",
        "name",
        "finalizers",
        "data",
        "apiKey",
        "apiSecret",
        "type",
        "lastTransitionTime",
        "deletionTimestamp",
    ];
    word().prop_recursive(5, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            prop::collection::btree_map(prop::sample::select(names.to_vec()), inner, 0..7)
                .prop_map(|fields| json!(fields)),
        ]
    })
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        spoilt(),
        shaped().prop_map(|value| value.to_string().into_bytes()),
        prop::collection::vec(any::<u8>(), 0..200),
    ]
}

fn answer() -> impl Strategy<Value = Answer> {
    let status = prop_oneof![
        prop::sample::select(vec![200_u16, 201, 202, 204, 302, 400, 401, 403, 404, 409, 429, 500, 503]),
        200_u16..600,
    ];
    let retry =
        prop::option::of(prop_oneof!["[0-9]{0,20}", "[ -~]{0,40}", Just("Thu, 01 Jan 1970 00:00:00 GMT".to_owned())]);
    (status, retry, body()).prop_map(|(status, retry, body)| Answer {
        status,
        headers: retry.into_iter().map(|value| ("retry-after", value)).collect(),
        body,
    })
}

/// What a body says of a tenant and an id at the places where they may stand.
fn says(body: &[u8], id: &ContractId) -> bool {
    String::from_utf8_lossy(body).contains(id.as_str())
}

/// One line, not too long.
fn is_clean(words: &str) -> bool {
    words.chars().count() <= 500 && !words.chars().any(char::is_control)
}

/// A message in FIC's or Keystone's own words: without what the call was made with, too.
fn is_bare(words: &str, secrets: &[&str]) -> bool {
    is_clean(words) && !secrets.iter().any(|secret| words.contains(secret))
}

fn trouble_is_clean(trouble: &FicError, secrets: &[&str]) -> bool {
    match trouble {
        FicError::Unavailable { what, .. } | FicError::Unexpected { what } => is_clean(what),
        FicError::AuthenticationFailed { words }
        | FicError::PermissionDenied { words }
        | FicError::Rejected { words }
        | FicError::Conflict { words } => is_bare(words, secrets),
        FicError::RateLimited { retry_after } => retry_after.is_none_or(|wait| wait <= Duration::from_hours(24)),
    }
}

const CREDENTIALS: [&str; 2] = [API_KEY, API_SECRET];
const ALL_SECRETS: [&str; 3] = [API_KEY, API_SECRET, TOKEN];

/// The same cases each time, so that a change is judged by itself alone; with `FUZZ` set to a number, that many new ones.
fn config() -> ProptestConfig {
    let fuzz = std::env::var("FUZZ").ok().map(|cases| cases.parse().unwrap());
    ProptestConfig {
        cases: fuzz.unwrap_or(3000),
        rng_seed: if fuzz.is_some() { RngSeed::Random } else { RngSeed::Fixed(1) },
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("failed"))),
        ..ProptestConfig::default()
    }
}

/// What is reported of a plan whose Secret does not exist.
fn reported(plan: &PremiumSupportPlan, facts: &PlanFacts) -> Vec<String> {
    let mut pass = RunState::default();
    pass.learn(&StepResult::Secret(SecretAbsence::Absent));
    let second = Duration::from_secs(1);
    let settings = Settings { poll_interval: second, resync_interval: second, operation_timeout: second };
    let step = decide(&Facts {
        now: second,
        settings: &settings,
        plan: facts,
        credentials: &facts::SecretState::NotFound,
        claim: &Claim::Ours,
        memory: &Memory::fresh(facts, second),
        pass: &pass,
    });
    let Step::Rest { verdict: Some(verdict), .. } = step else { panic!("{step:?}") };
    let status = report::status(plan, &verdict, jiff::Timestamp::UNIX_EPOCH);
    let notes = report::announcements(plan, &verdict).into_iter().map(|announcement| announcement.note);
    status.conditions.into_iter().map(|condition| condition.message).chain(notes).collect()
}

/// The data of a Secret, in and out of shape, with something in it that must not show.
fn data() -> impl Strategy<Value = Value> {
    let secret = prop::sample::select(CREDENTIALS.to_vec());
    let value = prop_oneof![
        secret.clone().prop_map(|secret| json!(k8s_openapi::ByteString(secret.into()))),
        secret.clone().prop_map(Value::from),
        secret.prop_map(|secret| json!([secret])),
        shaped(),
    ];
    prop_oneof![
        value.clone(),
        (value.clone(), value).prop_map(|(key, secret)| json!({ "apiKey": key, "apiSecret": secret })),
    ]
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn no_answer_is_taken_for_one_about_something_else(answer in answer()) {
        let (fic, access) = fic(signed_in(), answer.clone());
        let asked = ContractId::parse(ID).unwrap();
        match wait(fic.show(&access, &asked)) {
            Ok(Some(shown)) => {
                prop_assert_eq!(&shown.id, &asked);
                prop_assert_eq!(answer.status, 200);
                prop_assert!(shown.menus.len() <= 8);
            }
            Ok(None) => prop_assert_eq!(answer.status, 404),
            Err(trouble) => prop_assert!(trouble_is_clean(&trouble, &ALL_SECRETS), "{trouble:?}"),
        }
        match wait(fic.list(&access)) {
            Ok(contracts) => {
                prop_assert_eq!(answer.status, 200);
                prop_assert!(contracts.iter().all(|contract| says(&answer.body, &contract.id)));
                // Nothing is an answer only where a list says so.
                prop_assert!(!contracts.is_empty() || String::from_utf8_lossy(&answer.body).contains("upportServices"));
            }
            Err(trouble) => prop_assert!(trouble_is_clean(&trouble, &ALL_SECRETS), "{trouble:?}"),
        }
        let words = wait(fic.explain(&access, &asked));
        prop_assert!(words.is_none_or(|words| is_bare(&words, &ALL_SECRETS)));
    }

    #[test]
    fn only_a_refusal_counts_as_one(answer in answer()) {
        let (fic, access) = fic(signed_in(), answer.clone());
        let created = wait(fic.create(&access, Menu::PremiumPlan, &Leadership::Always));
        match &created {
            WriteOutcome::Accepted(contract) => prop_assert!(answer.status < 300 && says(&answer.body, &contract.id)),
            WriteOutcome::Refused(_) => prop_assert!(matches!(answer.status, 400 | 401 | 403 | 409)),
            WriteOutcome::NotSent(_) => prop_assert_eq!(answer.status, 429),
            WriteOutcome::Unknown(_) => prop_assert!(!matches!(answer.status, 400 | 403 | 409)),
        }
        prop_assert!(created.trouble().is_none_or(|trouble| trouble_is_clean(trouble, &ALL_SECRETS)), "{created:?}");
        let deleted = wait(fic.delete(&access, &ContractId::parse(ID).unwrap(), &Leadership::Always));
        match &deleted {
            WriteOutcome::Accepted(()) => prop_assert!(answer.status < 300 || answer.status == 404),
            WriteOutcome::Refused(_) => prop_assert!(matches!(answer.status, 400 | 401 | 403 | 409)),
            WriteOutcome::NotSent(_) => prop_assert_eq!(answer.status, 429),
            WriteOutcome::Unknown(_) => prop_assert!(answer.status >= 300),
        }
        prop_assert!(deleted.trouble().is_none_or(|trouble| trouble_is_clean(trouble, &ALL_SECRETS)), "{deleted:?}");
    }

    #[test]
    fn keystone_may_answer_anything(mut answer in answer(), token in prop::option::of("[ -~]{0,300}")) {
        if let Some(token) = &token {
            answer.headers.push(("x-subject-token", token.clone()));
        }
        let (fic, access) = fic(answer, Answer { status: 200, headers: vec![], body: b"{}".into() });
        let listed = wait(fic.list(&access));
        prop_assert!(listed.as_ref().is_err_and(|trouble| trouble_is_clean(trouble, &CREDENTIALS)), "{listed:?}");
        let words = format!("{listed:?}");
        prop_assert!(token.is_none_or(|token| token.len() < 8 || !words.contains(&token)));
    }

    #[test]
    fn a_secret_may_hold_anything_and_nothing_of_it_is_shown(more in shaped(), data in data()) {
        let secret = json!({ "metadata": { "name": "c", "namespace": "n" }, "type": "fic.ntt.com/credentials", "data": data, "more": more });
        let shown = match serde_json::from_value::<CredentialsSecret>(secret) {
            Ok(read) => format!("{read:?}"),
            Err(error) => error.to_string(),
        };
        prop_assert!(!CREDENTIALS.iter().any(|secret| shown.contains(secret)), "{shown}");
    }

    #[test]
    fn bytes_in_a_secret_are_text_or_a_defect(key in any::<Vec<u8>>(), value in any::<Vec<u8>>()) {
        let secret = json!({ "metadata": {}, "data": {
            "apiKey": k8s_openapi::ByteString(key), "apiSecret": k8s_openapi::ByteString(value),
        } });
        let read = serde_json::from_value::<CredentialsSecret>(secret).unwrap();
        let shown = format!("{read:?}");
        prop_assert!(shown.len() < 2000, "{shown}");
    }

    #[test]
    fn a_plan_of_another_version_is_read_or_told_as_undecodable(spec in shaped(), status in shaped(), more in shaped()) {
        let plan = json!({
            "apiVersion": "fic.ntt.com/v1alpha1", "kind": "PremiumSupportPlan",
            "metadata": { "name": "p", "namespace": "n", "uid": "u", "resourceVersion": "1" },
            "spec": spec, "status": status, "more": more,
        });
        // Behind the guard the watch goes on, whatever stands in there.
        prop_assert!(serde_json::from_value::<DeserializeGuard<PremiumSupportPlan>>(plan).is_ok());
        let plan = json!({
            "metadata": { "name": "p", "namespace": "n" }, "status": status,
            "spec": { "tenantID": TENANT, "credentialsSecretRef": { "name": "c" }, "ofALaterVersion": more },
        });
        if let Ok(plan) = serde_json::from_value::<PremiumSupportPlan>(plan) {
            let facts = plan_facts(&plan);
            prop_assert!(facts.id.as_ref().is_none_or(|id| ContractId::parse(id.as_str()).is_some()));
            prop_assert!(reported(&plan, &facts).iter().all(|words| is_clean(words)));
        }
    }

    #[test]
    fn flags_are_taken_or_refused_with_a_reason(arguments in prop::collection::vec(flag(), 0..5)) {
        let line = ["fic-support-operator".to_owned(), "run".to_owned()].into_iter().chain(arguments);
        if let Err(error) = Cli::try_parse_from(line) {
            prop_assert!(!error.to_string().trim().is_empty());
        }
    }

    #[test]
    fn words_are_one_short_clean_line(raw in any::<String>(), secret in "[a-z0-9]{4,40}", at in any::<prop::sample::Index>()) {
        let places = raw.char_indices().map(|(place, _)| place).chain([raw.len()]).collect::<Vec<_>>();
        let (before, after) = raw.split_at(places[at.index(places.len())]);
        let secret_string = secrecy::SecretString::from(secret.clone());
        let words = text::words(&format!("{before}{secret}{after}"), &[&secret_string]);
        prop_assert!(!words.contains(&secret), "{words}");
        prop_assert!(!words.chars().any(char::is_control) && !words.contains('\n'));
        prop_assert!(words.chars().count() <= 301 && text::word(&raw, &[]).chars().count() <= 65);
    }
}

fn flag() -> impl Strategy<Value = String> {
    let names = [
        "--fic-endpoint",
        "--keystone-endpoint",
        "--allow-insecure-http",
        "--ca-bundle",
        "--watch-namespace",
        "--label-selector",
        "--poll-interval",
        "--resync-interval",
        "--operation-timeout",
        "--request-timeout",
        "--fic-requests-per-second",
        "--concurrency",
        "--leader-elect",
        "--http-bind-address",
        "--log-format",
    ];
    let values = prop_oneof![
        "[0-9]{0,25}(ms|s|m|h|d|)",
        "http(s)?://[ -~]{0,20}",
        "[a-z=,!() ]{0,20}",
        any::<String>(),
        Just("9999999999999999999999h".to_owned()),
    ];
    prop_oneof![
        (prop::sample::select(names.to_vec()), values.clone()).prop_map(|(name, value)| format!("{name}={value}")),
        values,
    ]
}
