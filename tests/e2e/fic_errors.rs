//! Every trouble between the operator and FIC has its row in the table, and each is got over.

use fic_simulator::faults::{Fault, Kind};
use fic_simulator::log::Call;
use fic_simulator::portal::Action;
use serde_json::json;

use crate::environment::{Stage, condition, message, ready};

fn status(code: u16) -> Kind {
    Kind::Status { code, body: None, retry_after: None }
}

/// Puts a fault on List, waits for the reason, takes the fault back and waits for Ready.
async fn list_trouble(kind: Kind, reason: &str, progress: &str) {
    let mut stage = Stage::empty().await.with_flags(&["--resync-interval=500ms"]);
    stage.create_secret().await;
    stage.simulator.fault(Fault::always(Call::List, &stage.tenant, kind));
    stage.start_operator().await;
    stage.apply("premium", json!({})).await;
    let plan = stage.reaches("premium", reason).await;
    assert_eq!(ready(&plan).unwrap().status, "False");
    assert!(condition(&plan, progress).is_some(), "{plan:?}");
    assert_eq!(plan.status.as_ref().unwrap().conditions.len(), 2);
    assert_eq!(stage.count(Call::Create), 0);
    stage.simulator.clear_faults();
    stage.reaches("premium", "Contracted").await;
}

macro_rules! list_troubles {
    ($($name:ident: $kind:expr => $reason:literal, $progress:literal;)*) => {
        $(#[tokio::test(flavor = "multi_thread")]
        async fn $name() {
            list_trouble($kind, $reason, $progress).await;
        })*
    };
}

list_troubles! {
    a_server_error_is_waited_out: status(503) => "ServiceUnavailable", "Reconciling";
    a_dropped_connection_is_waited_out: Kind::DropBefore => "ServiceUnavailable", "Reconciling";
    a_page_of_html_is_waited_out: Kind::Html { code: 502, effect_first: false } => "ServiceUnavailable", "Reconciling";
    broken_json_is_waited_out: Kind::Garbage => "ServiceUnavailable", "Reconciling";
    an_empty_answer_is_not_an_empty_list: Kind::Empty => "ServiceUnavailable", "Reconciling";
    a_huge_answer_is_cut_off: Kind::Huge { mib: 64 } => "ServiceUnavailable", "Reconciling";
    an_answer_that_drips_ends: Kind::SlowDrip { interval_ms: 200 } => "ServiceUnavailable", "Reconciling";
    a_redirect_is_not_followed: Kind::Redirect { to: "http://127.0.0.1:1/".into() } => "ServiceUnavailable", "Reconciling";
    too_many_requests_are_waited_out: status(429) => "RateLimited", "Reconciling";
    a_refusal_is_told: status(403) => "PermissionDenied", "Stalled";
    a_token_that_is_never_good_is_told: status(401) => "PermissionDenied", "Stalled";
    a_bad_request_is_told: status(400) => "RequestRejected", "Stalled";
    another_status_is_waited_out: status(418) => "ServiceUnavailable", "Reconciling";
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_about_another_tenant_is_not_acted_on() {
    let stage = Stage::new().await;
    stage.simulator.portal(&stage.tenant, &Action::Create);
    stage.simulator.fault(Fault::always(Call::List, &stage.tenant, Kind::WrongTenant));
    stage.apply("premium", json!({ "adoptionPolicy": "IfPresent" })).await;
    let plan = stage.reaches("premium", "UnexpectedAnswer").await;
    assert!(condition(&plan, "Stalled").is_some());
    assert!(plan.metadata.finalizers.is_none());
    stage.simulator.clear_faults();
    stage.reaches("premium", "Contracted").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_about_another_contract_is_not_acted_on() {
    let stage = Stage::new().await;
    stage.apply("premium", json!({})).await;
    stage.reaches("premium", "Contracted").await;
    stage.simulator.fault(Fault::always(Call::Show, &stage.tenant, Kind::WrongId));
    stage.delete("premium").await;
    stage.reaches("premium", "UnexpectedAnswer").await;
    assert_eq!(stage.count(Call::Delete), 0);
    stage.simulator.clear_faults();
    stage.is_gone("premium").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn retry_after_is_kept_to_even_when_a_look_is_asked_for() {
    let stage = Stage::new().await;
    let kind = Kind::Status { code: 429, body: None, retry_after: Some("3".into()) };
    stage.simulator.fault(Fault::once(Call::List, &stage.tenant, kind));
    stage.apply("premium", json!({})).await;
    stage.reaches("premium", "RateLimited").await;
    stage.kubectl_prints(&["annotate", "psplan", "premium", "fic.ntt.com/reconcile-requested-at=now"]);
    stage.reaches("premium", "Contracted").await;
    let lists = stage.simulator.log().into_iter().filter(|entry| entry.call == Call::List).collect::<Vec<_>>();
    let waited = lists[1].at_ms - lists[0].at_ms;
    assert!(waited >= 2950, "it waited {waited} ms");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ready_plan_survives_an_outage_and_says_so_when_it_lasts() {
    let mut stage = Stage::empty().await.with_flags(&["--resync-interval=1s"]);
    stage.create_secret().await;
    stage.start_operator().await;
    stage.apply("premium", json!({})).await;
    stage.reaches("premium", "Contracted").await;
    stage.simulator.fault(Fault::on_tenant(&stage.tenant, status(503)));
    let plan = stage.reaches("premium", "ServiceUnavailable").await;
    assert_eq!(ready(&plan).unwrap().status, "Unknown");
    assert!(plan.status.as_ref().unwrap().id.is_some());
    let failed = stage.simulator.log().iter().filter(|entry| entry.status == Some(503)).count();
    assert!(failed >= 2, "it was not called unknown at the first failure");
    stage.simulator.clear_faults();
    stage.reaches("premium", "Contracted").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_create_is_told_in_fics_own_words() {
    let stage = Stage::new().await;
    stage.simulator.portal(&stage.tenant, &Action::FailNextOperation("no line to support".into()));
    stage.apply("premium", json!({})).await;
    let plan = stage.reaches("premium", "OperationFailed").await;
    assert!(message(&plan).contains("no line to support"), "{}", message(&plan));
    assert!(condition(&plan, "Stalled").is_some());
    stage.simulator.portal(&stage.tenant, &Action::SetStatus("Completed".into()));
    stage.reaches("premium", "Contracted").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_that_takes_too_long_is_told_and_got_over() {
    let mut stage = Stage::empty().await.with_flags(&["--operation-timeout=1s", "--resync-interval=500ms"]);
    stage.simulator.set(|settings| settings.processing_ms = 600_000);
    stage.create_secret().await;
    stage.start_operator().await;
    stage.apply("premium", json!({})).await;
    let plan = stage.reaches("premium", "OperationTimedOut").await;
    assert!(condition(&plan, "Stalled").is_some());
    stage.simulator.portal(&stage.tenant, &Action::SetStatus("Completed".into()));
    stage.reaches("premium", "Contracted").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_create_gives_the_finalizer_back() {
    for (code, reason) in [(400, "RequestRejected"), (403, "PermissionDenied")] {
        let stage = Stage::new().await;
        stage.simulator.fault(Fault::always(Call::Create, &stage.tenant, status(code)));
        stage.apply("premium", json!({})).await;
        let plan = stage.reaches("premium", reason).await;
        assert!(plan.metadata.finalizers.is_none());
        stage.delete("premium").await;
        stage.is_gone("premium").await;
        assert_eq!(stage.count(Call::Delete), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_create_that_fails_on_the_server_is_looked_up_first() {
    let stage = Stage::new().await;
    stage.simulator.fault(Fault::once(Call::Create, &stage.tenant, status(500)));
    stage.apply("premium", json!({})).await;
    stage.reaches("premium", "Purchasing").await;
    stage.reaches("premium", "Contracted").await;
    let calls = stage.calls();
    let creates =
        calls.iter().enumerate().filter(|(_, call)| **call == Call::Create).map(|(at, _)| at).collect::<Vec<_>>();
    assert_eq!(creates.len(), 2);
    assert!(calls[creates[0]..creates[1]].contains(&Call::List));
}

#[tokio::test(flavor = "multi_thread")]
async fn words_that_are_not_known_today_are_kept_and_waited_out() {
    let stage = Stage::new().await;
    stage.simulator.set(|settings| {
        settings.extra_fields = true;
        settings.answer_key = "premiumProfessionalSupportService".into();
    });
    stage.apply("premium", json!({})).await;
    stage.reaches("premium", "Contracted").await;
    stage.simulator.portal(&stage.tenant, &Action::SetStatus("Migrating".into()));
    let plan = stage.reaches("premium", "Processing").await;
    assert_eq!(plan.status.unwrap().operation_status.as_deref(), Some("Migrating"));
}
