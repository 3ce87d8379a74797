//! Everything that users read: each state with its conditions and Events, in `messages.txt`. A changed word is a change
//! that users see, so it must show in the diff. `UPDATE=1` regenerates the file.

use std::time::Duration;

use serde_json::json;
use strum::VariantArray;

use super::*;
use crate::api::credentials::SecretDefect;
use crate::api::plan::{ContractMenu, RECONCILE_REQUESTED_AT};
use crate::domain::contract::{ContractId, OperationStatus};
use crate::domain::error::FicError;
use crate::domain::ready_state::{AbolishProgress, LossCause, ReadyState};

fn id(number: u32) -> ContractId {
    ContractId::parse(&format!("F{number:012}")).expect("well formed")
}

fn plan(metadata: &serde_json::Value, status: &serde_json::Value) -> PremiumSupportPlan {
    serde_json::from_value(json!({
        "metadata": metadata,
        "spec": { "tenantID": "1".repeat(32), "credentialsSecretRef": { "name": "fic" } },
        "status": status,
    }))
    .expect("a plan")
}

/// A plan just applied.
fn applied() -> PremiumSupportPlan {
    plan(&json!({ "name": "premium", "namespace": "network-team", "generation": 1 }), &json!(null))
}

fn at(seconds: i64) -> ReportContext<'static> {
    let time = |seconds| Timestamp::new(seconds, 500_000_000).expect("in range");
    ReportContext { moment: Moment { wall: time(seconds), uptime_zero: time(1_800_000_000) }, documentation: None }
}

fn errors() -> Vec<FicError> {
    let message = || Box::<str>::from("FIC's message");
    vec![
        FicError::Unavailable { message: "HTTP 503".into(), retry_after: None },
        FicError::RateLimited { retry_after: None },
        FicError::AuthenticationFailed { message: message(), retry_after: None },
        FicError::PermissionDenied { message: message() },
        FicError::Rejected { message: message() },
        FicError::Conflict { message: message() },
        FicError::Unexpected { message: "a response for another tenant".into() },
    ]
}

fn states() -> Vec<ReadyState> {
    let mut all = vec![
        ReadyState::Contracted { id: id(1), observed: false },
        ReadyState::Contracted { id: id(1), observed: true },
        ReadyState::Preparing,
        ReadyState::Purchasing { cause: None },
        ReadyState::Recreating { lost: id(1) },
        ReadyState::Processing { id: id(1) },
        ReadyState::Abolishing(AbolishProgress::WaitingForOperation(id(1))),
        ReadyState::Abolishing(AbolishProgress::InProgress(id(1))),
        ReadyState::Abolishing(AbolishProgress::Conflict(id(1), "FIC's message".into())),
        ReadyState::Abolishing(AbolishProgress::Conflict(id(1), "".into())),
        ReadyState::Abolishing(AbolishProgress::CheckingCreate),
        ReadyState::Abolishing(AbolishProgress::ConfirmingAbsence(id(1))),
        ReadyState::CredentialsMissing,
        ReadyState::CredentialsDeleting,
        ReadyState::CredentialsInvalid(SecretDefect::WrongType),
        ReadyState::CredentialsInvalid(SecretDefect::KeyMissing("apiKey")),
        ReadyState::CredentialsInvalid(SecretDefect::KeyEmpty("apiKey")),
        ReadyState::CredentialsInvalid(SecretDefect::NotUtf8("apiKey")),
        ReadyState::CredentialsInvalid(SecretDefect::TooLong("apiKey")),
        ReadyState::NotContracted,
        ReadyState::Suspended,
        ReadyState::OrderConflict { message: "FIC's message".into() },
        ReadyState::AlreadyContracted { id: id(2), replaced: None },
        ReadyState::AlreadyContracted { id: id(2), replaced: Some(id(1)) },
        ReadyState::ContractNotFound { id: id(1), lost_from: Duration::from_mins(5) },
        ReadyState::ContractLost { id: id(1), cause: LossCause::Policy },
        ReadyState::ContractLost { id: id(1), cause: LossCause::Guard { limit: 3 } },
        ReadyState::TenantClaimed { holder: "network-team/other".into() },
        ReadyState::TenantClaimed { holder: "another-team/premium".into() },
        ReadyState::WriteRefused { message: "admission webhook denied the request".into() },
        ReadyState::OperationFailed { id: id(1), cause: Some("FIC's message".into()) },
        ReadyState::OperationFailed { id: id(1), cause: None },
        ReadyState::OperationTimedOut { id: id(1), timeout: Duration::from_mins(10) },
        ReadyState::MenuMismatch { id: id(1), menu: "OtherPlan".into() },
    ];
    all.extend(errors().into_iter().map(ReadyState::RequestFailed));
    // Errors that a person must fix are reported as such, also during a purchase.
    let transient = errors()
        .into_iter()
        .filter(|error| ReadyState::RequestFailed(error.clone()).reason().progress() == Progress::Reconciling);
    all.extend(transient.map(|cause| ReadyState::Purchasing { cause: Some(cause) }));
    for duration in [Duration::from_millis(1500), Duration::from_millis(600), Duration::from_secs(119)] {
        all.push(ReadyState::NotObserved { error: errors().remove(0), duration });
    }
    all.push(ReadyState::NotObserved { error: errors().remove(0), duration: Duration::from_mins(2) });
    all
}

fn change(state: ReadyState) -> StatusChange {
    StatusChange { state, display: ContractDisplay::Unchanged, record: RecordChange::Keep }
}

fn event_text(event: PlanEvent) -> String {
    let PlanEvent { type_, reason, note, action } = event;
    format!("    Event: {type_:?} {reason} ({action}): {note}")
}

fn all_messages() -> String {
    let mut lines = Vec::new();
    for state in states() {
        let (plan, change) = (applied(), change(state));
        let status = status(&plan, &change, at(7));
        for Condition { type_, status, reason, .. } in &status.conditions {
            lines.push(format!("{type_}={status} {reason}"));
        }
        lines.push(format!("    {}", status.conditions[0].message));
        lines.extend(events(&plan, &change, at(7)).into_iter().map(event_text));
    }
    lines.push("Changes of the record".into());
    for record in [RecordChange::Purchased(id(1)), RecordChange::Adopted(id(1)), RecordChange::Lost(id(1))] {
        lines.extend(record_event(&record).map(event_text));
    }
    lines.push("Restoration of the record".into());
    lines.push(event_text(restore_event()));
    lines.push("Removal of the finalizer".into());
    for reason in [
        ReleaseReason::NoRecord,
        ReleaseReason::NothingBought,
        ReleaseReason::Yielded,
        ReleaseReason::Abolished { id: id(1), other: None },
        ReleaseReason::Abolished { id: id(1), other: Some(id(2)) },
        ReleaseReason::Retained { id: Some(id(1)), cause: RetainCause::Policy },
        ReleaseReason::Retained { id: None, cause: RetainCause::Uninstall },
    ] {
        lines.extend(release_event(&reason).map(event_text));
    }
    lines.join("\n") + "\n"
}

#[test]
fn the_committed_messages_are_up_to_date() {
    let messages = all_messages();
    if std::env::var_os("UPDATE").is_some() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/src/reconcile/report/messages.txt");
        std::fs::write(file, &messages).expect("the file is written");
        return;
    }
    let committed = include_str!("messages.txt");
    for (message, committed) in messages.lines().zip(committed.lines()) {
        assert_eq!(message, committed, "run `UPDATE=1 cargo test --lib messages` and commit messages.txt");
    }
    assert_eq!(messages.len(), committed.len());
}

#[test]
fn every_reason_has_a_message() {
    let messages = all_messages();
    for reason in Reason::VARIANTS {
        assert!(
            messages.contains(&format!("Ready={} {}\n", status_of(*reason), reason.as_str())),
            "{reason:?} has no state in `states`"
        );
    }
}

fn status_of(reason: Reason) -> &'static str {
    if reason == Reason::Contracted {
        "True"
    } else if reason == Reason::ContractNotFound {
        "Unknown"
    } else {
        "False"
    }
}

#[test]
fn a_plan_whose_deletion_is_blocked_says_how_to_delete_it() {
    let deleted = plan(&json!({ "name": "premium", "deletionTimestamp": "2026-01-01T00:00:00Z" }), &json!(null));
    for state in states() {
        let is_blocked = !matches!(state, ReadyState::Contracted { .. });
        let message = |plan| status(plan, &change(state.clone()), at(7)).conditions.remove(0).message;
        assert_eq!(message(&deleted).ends_with("set deletionPolicy: Retain."), is_blocked, "{state:?}");
        assert!(!message(&applied()).ends_with("set deletionPolicy: Retain."), "{state:?}");
    }
}

#[test]
fn the_conditions_of_other_controllers_stay() {
    let other = json!({
        "type": "example.com/Approved", "status": "True", "reason": "Approved", "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    });
    let stale = json!({
        "type": "Stalled", "status": "True", "reason": "ContractLost", "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    });
    let plan = plan(&json!({ "name": "premium" }), &json!({ "conditions": [other, stale] }));
    let status = status(&plan, &change(ReadyState::Processing { id: id(1) }), at(7));
    let types = status.conditions.iter().map(|condition| condition.type_.as_str()).collect::<Vec<_>>();
    assert_eq!(types, ["example.com/Approved", "Ready", "Reconciling"]);
}

#[test]
fn a_request_is_kept_up_to_256_bytes() {
    let request = |text: &str| {
        let annotations = json!({ RECONCILE_REQUESTED_AT: text });
        let plan = plan(&json!({ "name": "premium", "annotations": annotations }), &json!(null));
        status(&plan, &change(ReadyState::NotContracted), at(7)).last_handled_reconcile_at.expect("it is handled").len()
    };
    assert_eq!([request("now"), request(&"x".repeat(300)), request(&"ü".repeat(200))], [3, 256, 256]);
}

#[test]
fn a_long_message_is_cut() {
    let message = |menu: String| {
        let state = ReadyState::MenuMismatch { id: id(1), menu: menu.into() };
        status(&applied(), &change(state), at(7)).conditions.remove(0).message
    };
    let long = message("ü".repeat(2000));
    assert!((980..=993).contains(&long.len()), "{}", long.len());
    assert!(long.ends_with('…'));
    let rest = message::MAX_LENGTH - message(String::new()).len();
    assert!(!message("x".repeat(rest)).ends_with('…'));
    assert!(message("x".repeat(rest + 1)).ends_with('…'));
}

#[test]
fn a_message_ends_with_the_page_of_its_reason_also_where_it_is_cut() {
    let documented = ReportContext { documentation: Some("https://docs.example"), ..at(7) };
    for state in states() {
        let reason = state.reason();
        let change = change(state);
        let messages =
            status(&applied(), &change, documented).conditions.into_iter().map(|condition| condition.message);
        let notes = events(&applied(), &change, documented).into_iter().map(|event| event.note);
        let page = format!(" See https://docs.example/{}", message::page(reason));
        for message in messages.chain(notes) {
            assert_eq!(message.ends_with(&page), reason != Reason::Contracted, "{message}");
        }
    }
    let state = ReadyState::MenuMismatch { id: id(1), menu: "x".repeat(2000).into() };
    let message = status(&applied(), &change(state), documented).conditions.remove(0).message;
    assert!(message.ends_with("x… See https://docs.example/docs/reference/reasons/menu-mismatch.html"), "{message}");
    assert!((980..=993).contains(&message.len()), "{}", message.len());
}

#[test]
fn the_transition_time_changes_only_with_the_status() {
    let mut plan = applied();
    let mut times = |state, seconds| {
        let status = status(&plan, &change(state), at(seconds));
        let time = |type_| {
            let condition = status.conditions.iter().find(|condition| condition.type_ == type_);
            condition.map(|condition| condition.last_transition_time.0.as_second())
        };
        let times = (time(READY), time(RECONCILING));
        plan.status = Some(status);
        times
    };
    assert_eq!(times(ReadyState::Processing { id: id(1) }, 7), (Some(7), Some(7)));
    assert_eq!(times(ReadyState::CredentialsMissing, 8), (Some(7), Some(7)), "another reason, the same status");
    assert_eq!(times(ReadyState::Contracted { id: id(1), observed: false }, 9), (Some(9), None));
    assert_eq!(times(ReadyState::NotContracted, 10), (Some(10), Some(10)));
}

#[test]
fn an_event_is_published_once_for_each_transition_to_contracted_or_stalled() {
    let mut plan = applied();
    let mut reasons = |state| {
        let change = change(state);
        let events = events(&plan, &change, at(7));
        plan.status = Some(status(&plan, &change, at(7)));
        events.into_iter().map(|event| (event.type_, event.reason)).collect::<Vec<_>>()
    };
    let contracted = || ReadyState::Contracted { id: id(1), observed: false };
    assert_eq!(reasons(ReadyState::Processing { id: id(1) }), []);
    assert_eq!(reasons(contracted()), [(EventType::Normal, "Contracted")]);
    assert_eq!(reasons(contracted()), []);
    let lost = || ReadyState::ContractLost { id: id(1), cause: LossCause::Policy };
    assert_eq!(reasons(lost()), [(EventType::Warning, "ContractLost")]);
    assert_eq!(reasons(lost()), []);
    let denied = FicError::PermissionDenied { message: "no".into() };
    assert_eq!(
        reasons(ReadyState::RequestFailed(denied)),
        [(EventType::Warning, "PermissionDenied")],
        "another Stalled reason"
    );
    let unavailable = FicError::Unavailable { message: "HTTP 503".into(), retry_after: None };
    assert_eq!(reasons(ReadyState::RequestFailed(unavailable)), [], "a Reconciling reason");
    let purchased = StatusChange { record: RecordChange::Purchased(id(1)), ..change(contracted()) };
    let events = events(&plan, &purchased, at(7));
    assert_eq!(events.iter().map(|event| event.reason).collect::<Vec<_>>(), ["Purchased", "Contracted"]);
}

#[test]
fn the_status_shows_the_known_fields_of_the_contract() {
    let annotations = json!({ RECONCILE_REQUESTED_AT: "now" });
    let metadata = json!({ "name": "premium", "uid": "u", "generation": 4, "annotations": annotations });
    let mut plan = plan(&metadata, &json!(null));
    let contract = Contract {
        id: id(1),
        status: OperationStatus::Completed,
        current_menu: Some("PremiumPlan".into()),
        menus: vec![ContractMenu { menu: "PremiumPlan".into(), menu_start_date: None }],
    };
    let mut reported = |display, record| {
        let change = StatusChange { display, record, ..change(ReadyState::NotContracted) };
        plan.status = Some(status(&plan, &change, at(7)));
        plan.status.clone().expect("a status")
    };
    let shown = reported(ContractDisplay::Contract(contract.clone()), RecordChange::Purchased(id(1)));
    assert_eq!((shown.observed_generation, shown.last_handled_reconcile_at.as_deref()), (Some(4), Some("now")));
    assert_eq!(shown.id.as_deref(), Some("F000000000001"));
    assert_eq!(shown.operation_status.as_deref(), Some("Completed"));
    assert_eq!(shown.current_menu.as_deref(), Some("PremiumPlan"));
    assert_eq!(shown.menus.as_ref().map(Vec::len), Some(1));
    assert_eq!(reported(ContractDisplay::Unchanged, RecordChange::Keep), shown);
    let empty =
        Contract { status: OperationStatus::parse(""), current_menu: Some("".into()), menus: vec![], ..contract };
    let empty = reported(ContractDisplay::Contract(empty), RecordChange::Keep);
    assert_eq!((empty.operation_status, empty.current_menu, empty.menus), (None, None, None));
    for (record, id_after, owner_after, recreated) in [
        (RecordChange::Adopted(id(2)), Some("F000000000002"), Some("u"), None),
        (RecordChange::Forget, None, None, None),
        (RecordChange::Purchased(id(2)), Some("F000000000002"), Some("u"), None),
        (RecordChange::Watched(id(3)), Some("F000000000003"), None, None),
        (RecordChange::Keep, Some("F000000000003"), None, None),
        (RecordChange::Lost(id(3)), None, None, Some(7)),
    ] {
        let status = reported(ContractDisplay::Cleared, record.clone());
        assert_eq!((status.id.as_deref(), status.owner_uid.as_deref()), (id_after, owner_after), "{record:?}");
        assert_eq!(status.last_recreation_time.map(|time| time.0.as_second()), recreated, "{record:?}");
        assert_eq!((status.operation_status, status.menus), (None, None));
    }
}
