//! Errors between the operator and FIC: the operator reports each one and recovers from it.

use fic_simulator::faults::{Fault, Kind};
use fic_simulator::log::{Call, Entry};
use fic_simulator::portal::Action;
use serde_json::json;

use crate::support::plan::{condition, message, ready};
use crate::support::{TestEnvironment, new_tenant};

fn status(code: u16) -> Kind {
    Kind::Status { code, body: None, retry_after: None }
}

/// Every List fails until the plan reports `reason`. Then List succeeds again and the operator creates the contract.
async fn check_list_error(kind: Kind, reason: &str, progress: &str) {
    let env = TestEnvironment::with_operator_flags(&["--resync-interval=500ms"]).await;
    env.simulator.fault(Fault::always(Call::List, &env.tenant, kind));
    env.apply("premium", json!({})).await;
    let plan = env.wait_for_reason("premium", reason).await;
    assert_eq!(ready(&plan).unwrap().status, "False");
    assert!(condition(&plan, progress).is_some(), "{plan:?}");
    assert_eq!(plan.status.as_ref().unwrap().conditions.len(), 2);
    assert_eq!(env.count(Call::Create), 0);
    env.simulator.clear_faults();
    env.wait_for_reason("premium", "Contracted").await;
}

macro_rules! list_errors {
    ($($name:ident: $kind:expr => $reason:literal, $progress:literal;)*) => {
        $(#[tokio::test(flavor = "multi_thread")]
        async fn $name() {
            check_list_error($kind, $reason, $progress).await;
        })*
    };
}

list_errors! {
    server_error_is_retried: status(503) => "ServiceUnavailable", "Reconciling";
    dropped_connection_is_retried: Kind::DropBefore => "ServiceUnavailable", "Reconciling";
    html_page_is_retried: Kind::Html { code: 502, effect_first: false } => "ServiceUnavailable", "Reconciling";
    broken_json_is_retried: Kind::Garbage => "ServiceUnavailable", "Reconciling";
    empty_body_is_not_an_empty_list: Kind::Empty => "ServiceUnavailable", "Reconciling";
    huge_response_is_cut_off: Kind::Huge { mib: 64 } => "ServiceUnavailable", "Reconciling";
    slow_response_times_out: Kind::SlowDrip { interval_ms: 200 } => "ServiceUnavailable", "Reconciling";
    redirect_is_not_followed: Kind::Redirect { to: "http://127.0.0.1:1/".into() } => "ServiceUnavailable", "Reconciling";
    too_many_requests_is_reported_as_rate_limited: status(429) => "RateLimited", "Reconciling";
    forbidden_request_stalls_the_plan: status(403) => "PermissionDenied", "Stalled";
    token_that_is_always_rejected_stalls_the_plan: status(401) => "PermissionDenied", "Stalled";
    bad_request_stalls_the_plan: status(400) => "RequestRejected", "Stalled";
    unexpected_status_is_retried: status(418) => "ServiceUnavailable", "Reconciling";
}

#[tokio::test(flavor = "multi_thread")]
async fn response_for_another_tenant_is_not_used() {
    let env = TestEnvironment::with_operator().await;
    env.simulator.portal(&env.tenant, &Action::Create);
    env.simulator.fault(Fault::always(Call::List, &env.tenant, Kind::WrongTenant));
    env.apply("premium", json!({ "adoptionPolicy": "IfPresent" })).await;
    let plan = env.wait_for_reason("premium", "UnexpectedAnswer").await;
    assert!(condition(&plan, "Stalled").is_some());
    assert!(plan.metadata.finalizers.is_none());
    env.simulator.clear_faults();
    env.wait_for_reason("premium", "Contracted").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn response_for_another_contract_is_not_used() {
    let env = TestEnvironment::with_operator().await;
    env.apply("premium", json!({})).await;
    env.wait_for_reason("premium", "Contracted").await;
    env.simulator.fault(Fault::always(Call::Show, &env.tenant, Kind::WrongId));
    env.delete("premium").await;
    env.wait_for_reason("premium", "UnexpectedAnswer").await;
    assert_eq!(env.count(Call::Delete), 0);
    env.simulator.clear_faults();
    env.wait_for_deletion("premium").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn retry_after_is_honoured_even_if_the_user_requests_a_reconcile() {
    let env = TestEnvironment::with_operator().await;
    let kind = Kind::Status { code: 429, body: None, retry_after: Some("3".into()) };
    env.simulator.fault(Fault::once(Call::List, &env.tenant, kind));
    env.apply("premium", json!({})).await;
    env.wait_for_reason("premium", "RateLimited").await;
    env.kubectl(&["annotate", "psplan", "premium", "fic.ntt.com/reconcile-requested-at=now"]);
    env.wait_for_reason("premium", "Contracted").await;
    let lists = env.simulator.log().into_iter().filter(|entry| entry.call == Call::List).collect::<Vec<_>>();
    let waited = lists[1].at_ms - lists[0].at_ms;
    assert!(waited >= 2950, "the operator sent the next request after {waited} ms");
}

#[tokio::test(flavor = "multi_thread")]
async fn ready_plan_becomes_unknown_only_after_repeated_failures() {
    let env = TestEnvironment::with_operator_flags(&["--resync-interval=1s"]).await;
    env.apply("premium", json!({})).await;
    env.wait_for_reason("premium", "Contracted").await;
    env.simulator.fault(Fault::on_tenant(&env.tenant, status(503)));
    let plan = env.wait_for_reason("premium", "ServiceUnavailable").await;
    assert_eq!(ready(&plan).unwrap().status, "Unknown");
    assert!(plan.status.as_ref().unwrap().id.is_some());
    let failed = env.simulator.log().iter().filter(|entry| entry.status == Some(503)).count();
    assert!(failed >= 2, "a single failure must not change the status");
    env.simulator.clear_faults();
    env.wait_for_reason("premium", "Contracted").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_refused_read_does_not_stall_a_ready_plan_and_a_second_one_does() {
    // A refused token is replaced once before the read counts as refused.
    for (code, times, reason) in
        [(400, 1, "RequestRejected"), (401, 2, "PermissionDenied"), (403, 1, "PermissionDenied")]
    {
        let env = TestEnvironment::with_operator().await;
        env.apply("premium", json!({})).await;
        env.wait_for_reason("premium", "Contracted").await;
        env.simulator.fault(Fault { times: Some(times), ..Fault::always(Call::Show, &env.tenant, status(code)) });
        let refused_and_answered = |log: &[Entry]| {
            let refused = log.iter().filter(|entry| entry.status == Some(code)).count();
            let last_succeeded = log.last().is_some_and(|entry| entry.status == Some(200));
            refused == usize::try_from(times).unwrap() && last_succeeded
        };
        env.wait_for_requests("a refused read, and another one", refused_and_answered).await;
        assert_eq!(env.event_reasons("premium").await, ["Purchased", "Contracted"], "{code}");
        env.simulator.fault(Fault::always(Call::Show, &env.tenant, status(code)));
        env.wait_for_reason("premium", reason).await;
        env.simulator.clear_faults();
        env.wait_for_reason("premium", "Contracted").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn conflict_without_a_contract_is_another_order_and_the_operator_tries_again() {
    let env = TestEnvironment::with_operator().await;
    let conflict =
        Kind::Status { code: 409, body: Some(r#"{"message":"another order is processed"}"#.into()), retry_after: None };
    env.simulator.fault(Fault::always(Call::Create, &env.tenant, conflict));
    env.apply("premium", json!({})).await;
    let plan = env.wait_for_reason("premium", "OrderConflict").await;
    assert!(condition(&plan, "Reconciling").is_some());
    assert!(message(&plan).contains("another order is processed"), "{}", message(&plan));
    assert!(plan.metadata.finalizers.is_none(), "a refused request leaves no record");
    env.simulator.clear_faults();
    env.wait_for_reason("premium", "Contracted").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_create_is_reported_with_the_message_from_fic() {
    let env = TestEnvironment::with_operator().await;
    env.simulator.portal(&env.tenant, &Action::FailNextOperation("no line to support".into()));
    env.apply("premium", json!({})).await;
    let plan = env.wait_for_reason("premium", "OperationFailed").await;
    assert!(message(&plan).contains("no line to support"), "{}", message(&plan));
    assert!(condition(&plan, "Stalled").is_some());
    env.simulator.portal(&env.tenant, &Action::SetStatus("Completed".into()));
    env.wait_for_reason("premium", "Contracted").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn operation_timeout_is_reported_until_the_operation_completes() {
    let env = TestEnvironment::with_operator_flags(&["--operation-timeout=1s", "--resync-interval=500ms"]).await;
    env.simulator.set(|settings| settings.processing_ms = 600_000);
    env.apply("premium", json!({})).await;
    let plan = env.wait_for_reason("premium", "OperationTimedOut").await;
    assert!(condition(&plan, "Stalled").is_some());
    env.simulator.portal(&env.tenant, &Action::SetStatus("Completed".into()));
    env.wait_for_reason("premium", "Contracted").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_create_removes_the_finalizer() {
    for (code, reason) in [(400, "RequestRejected"), (403, "PermissionDenied")] {
        let env = TestEnvironment::with_operator().await;
        env.simulator.fault(Fault::always(Call::Create, &env.tenant, status(code)));
        env.apply("premium", json!({})).await;
        let plan = env.wait_for_reason("premium", reason).await;
        assert!(plan.metadata.finalizers.is_none());
        env.delete("premium").await;
        env.wait_for_deletion("premium").await;
        assert_eq!(env.count(Call::Delete), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn create_with_server_error_is_sent_again_only_after_list() {
    let env = TestEnvironment::with_operator().await;
    env.simulator.fault(Fault::once(Call::Create, &env.tenant, status(500)));
    env.apply("premium", json!({})).await;
    env.wait_for_reason("premium", "Purchasing").await;
    env.wait_for_reason("premium", "Contracted").await;
    let calls = env.calls();
    let creates =
        calls.iter().enumerate().filter(|(_, call)| **call == Call::Create).map(|(at, _)| at).collect::<Vec<_>>();
    assert_eq!(creates.len(), 2);
    assert!(calls[creates[0]..creates[1]].contains(&Call::List));
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_fields_and_operation_statuses_are_tolerated() {
    let env = TestEnvironment::with_operator().await;
    env.simulator.set(|settings| {
        settings.extra_fields = true;
        settings.answer_key = "premiumProfessionalSupportService".into();
    });
    env.apply("premium", json!({})).await;
    env.wait_for_reason("premium", "Contracted").await;
    env.simulator.portal(&env.tenant, &Action::SetStatus("Migrating".into()));
    let plan = env.wait_for_reason("premium", "Processing").await;
    assert_eq!(plan.status.unwrap().operation_status.as_deref(), Some("Migrating"));
}

/// The circuit breaker opens at ten tenants.
#[tokio::test(flavor = "multi_thread")]
async fn while_fic_answers_nobody_one_request_at_a_time_is_sent_and_a_tenant_that_works_goes_on() {
    let env = TestEnvironment::with_operator_flags(&["--resync-interval=500ms"]).await;
    let tenants = (0..12).map(|_| new_tenant()).collect::<Vec<_>>();
    let name = |number: usize| format!("plan-{number}");
    for (number, tenant) in tenants.iter().enumerate() {
        env.apply_in(&env.namespace, &name(number), tenant, json!({})).await;
    }
    for number in 0..tenants.len() {
        env.wait_for_reason(&name(number), "Contracted").await;
    }
    env.simulator.fault(Fault { call: None, tenant: None, skip: 0, times: None, kind: status(503) });
    let are_probes = |log: &[Entry]| log.windows(2).rev().take(3).all(|two| two[1].at_ms - two[0].at_ms >= 900);
    env.wait_for_requests("one request after the other", are_probes).await;

    env.simulator.clear_faults();
    for tenant in &tenants {
        env.simulator.fault(Fault::on_tenant(tenant, status(503)));
    }
    env.apply("good", json!({})).await;
    env.wait_for_reason("good", "Contracted").await;

    env.simulator.clear_faults();
    let before = env.simulator.log().len();
    let is_read = |log: &[Entry], tenant: &String| {
        log[before..].iter().any(|entry| entry.tenant.as_ref() == Some(tenant) && entry.status == Some(200))
    };
    env.wait_for_requests("every tenant", |log| tenants.iter().all(|tenant| is_read(log, tenant))).await;
    for number in 0..tenants.len() {
        env.wait_for_reason(&name(number), "Contracted").await;
    }
}
