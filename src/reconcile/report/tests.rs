//! What users read, all of it: each situation with its conditions and Events, in `messages.txt`. A changed word is a change that users see,
//! so it stands in the diff. `UPDATE=1` writes the file anew.

use serde_json::json;

use super::*;
use crate::api::credentials::SecretDefect;
use crate::api::plan::ContractMenu;
use crate::domain::contract::{ContractId, OperationStatus};
use crate::domain::error::FicError;
use crate::domain::ready_state::{Abolishing, ReadyState};
use std::time::Duration;

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

fn fresh() -> PremiumSupportPlan {
    plan(&json!({ "name": "premium", "generation": 1 }), &json!(null))
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::new(seconds, 500_000_000).expect("in range")
}

fn troubles() -> Vec<FicError> {
    let words = || Box::<str>::from("its words");
    vec![
        FicError::Unavailable { what: "HTTP 503".into(), retry_after: None },
        FicError::RateLimited { retry_after: None },
        FicError::AuthenticationFailed { words: words() },
        FicError::PermissionDenied { words: words() },
        FicError::Rejected { words: words() },
        FicError::Conflict { words: words() },
        FicError::Unexpected { what: "it speaks of another tenant".into() },
    ]
}

fn situations() -> Vec<ReadyState> {
    let mut all = vec![
        ReadyState::Contracted { id: id(1), observed: false },
        ReadyState::Contracted { id: id(1), observed: true },
        ReadyState::Purchasing { cause: None },
        ReadyState::Repurchasing { lost: id(1) },
        ReadyState::Processing { id: id(1) },
        ReadyState::Abolishing(Abolishing::WaitingForOperation(id(1))),
        ReadyState::Abolishing(Abolishing::UnderWay(id(1))),
        ReadyState::Abolishing(Abolishing::Busy(id(1), "its words".into())),
        ReadyState::Abolishing(Abolishing::Busy(id(1), "".into())),
        ReadyState::Abolishing(Abolishing::LookingForCreate),
        ReadyState::Abolishing(Abolishing::MakingSure(id(1))),
        ReadyState::CredentialsMissing,
        ReadyState::CredentialsLeaving,
        ReadyState::CredentialsInvalid(SecretDefect::WrongType),
        ReadyState::CredentialsInvalid(SecretDefect::KeyMissing("apiKey")),
        ReadyState::CredentialsInvalid(SecretDefect::KeyEmpty("apiKey")),
        ReadyState::CredentialsInvalid(SecretDefect::NotUtf8("apiKey")),
        ReadyState::NotContracted,
        ReadyState::Suspended,
        ReadyState::AlreadyContracted { id: Some(id(2)), replaced: None },
        ReadyState::AlreadyContracted { id: Some(id(2)), replaced: Some(id(1)) },
        ReadyState::AlreadyContracted { id: None, replaced: None },
        ReadyState::ContractLost { id: id(1) },
        ReadyState::TenantClaimed { holder: "network/premium".into() },
        ReadyState::OperationFailed { id: id(1), why: Some("its words".into()) },
        ReadyState::OperationFailed { id: id(1), why: None },
        ReadyState::OperationTimedOut { id: id(1), after: Duration::from_mins(10) },
        ReadyState::MenuMismatch { id: id(1), menu: "OtherPlan".into() },
    ];
    for trouble in troubles() {
        all.push(ReadyState::Troubled(trouble.clone()));
        all.push(ReadyState::Purchasing { cause: Some(trouble) });
    }
    for silence in [Duration::from_millis(1500), Duration::from_millis(600), Duration::from_secs(119)] {
        all.push(ReadyState::NotObserved { trouble: troubles().remove(0), silence });
    }
    all.push(ReadyState::NotObserved { trouble: troubles().remove(0), silence: Duration::from_mins(2) });
    all
}

fn verdict(situation: ReadyState) -> StatusChange {
    StatusChange { situation, shown: ContractDisplay::AsBefore, id: IdChange::Keep, occasion: None }
}

fn told() -> String {
    let mut lines = Vec::new();
    let event = |PlanEvent { warning, reason, note, action }: PlanEvent| {
        format!("    Event: {} {reason} ({action}): {note}", if warning { "Warning" } else { "Normal" })
    };
    for situation in situations() {
        let plan = fresh();
        let verdict = verdict(situation);
        let status = status(&plan, &verdict, at(7));
        for Condition { type_, status, reason, .. } in &status.conditions {
            lines.push(format!("{type_}={status} {reason}"));
        }
        lines.push(format!("    {}", status.conditions[0].message));
        lines.extend(announcements(&plan, &verdict).into_iter().map(event));
    }
    lines.push("What has happened".into());
    for occasion in [Occasion::Purchased(id(1)), Occasion::Adopted(id(1)), Occasion::Lost(id(1))] {
        lines.push(event(occasion_words(&occasion)));
    }
    for farewell in [
        ReleaseReason::NothingBought,
        ReleaseReason::Yielded,
        ReleaseReason::Abolished { id: id(1), other: None },
        ReleaseReason::Abolished { id: id(1), other: Some(id(2)) },
        ReleaseReason::Retained { id: Some(id(1)), uninstall: false },
        ReleaseReason::Retained { id: None, uninstall: true },
    ] {
        lines.extend(super::farewell(&farewell).map(event));
    }
    lines.join("\n") + "\n"
}

#[test]
fn users_are_told_what_stands_in_the_file() {
    let told = told();
    if std::env::var_os("UPDATE").is_some() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/src/reconcile/report/messages.txt");
        std::fs::write(file, &told).expect("the file can be written");
    }
    for reason in Reason::ALL {
        assert!(told.contains(&format!(" {}\n", reason.as_str())), "{reason:?} is never told");
    }
    let expected = include_str!("messages.txt");
    for (told, expected) in told.lines().zip(expected.lines()) {
        assert_eq!(told, expected);
    }
    assert_eq!(told.len(), expected.len());
}

#[test]
fn a_plan_that_is_being_deleted_says_how_to_let_it_go() {
    let leaving = plan(&json!({ "name": "premium", "deletionTimestamp": "2026-01-01T00:00:00Z" }), &json!(null));
    for situation in situations() {
        let hangs = !matches!(situation, ReadyState::Contracted { .. } | ReadyState::Suspended);
        let message = |plan| status(plan, &verdict(situation.clone()), at(7)).conditions.remove(0).message;
        assert_eq!(message(&leaving).ends_with("set deletionPolicy: Retain."), hangs, "{situation:?}");
        assert!(!message(&fresh()).ends_with("set deletionPolicy: Retain."), "{situation:?}");
    }
}

#[test]
fn a_message_has_an_end() {
    let with = |holder: String| {
        let situation = ReadyState::TenantClaimed { holder: holder.into() };
        status(&fresh(), &verdict(situation), at(7)).conditions.remove(0).message
    };
    let long = with("ü".repeat(2000));
    assert!((980..=993).contains(&long.len()), "{}", long.len());
    assert!(long.ends_with('…'));
    let room = message::LONGEST - with(String::new()).len();
    assert!(!with("x".repeat(room)).ends_with('…'));
    assert!(with("x".repeat(room + 1)).ends_with('…'));
}

#[test]
fn the_time_of_a_condition_changes_with_its_status_alone() {
    let mut plan = fresh();
    plan.status = Some(status(&plan, &verdict(ReadyState::Processing { id: id(1) }), at(7)));
    let since = |plan: &PremiumSupportPlan, type_| {
        let conditions = &plan.status.as_ref().expect("a status").conditions;
        conditions.iter().find(|condition| condition.type_ == type_).map(|condition| condition.last_transition_time.0)
    };
    let whole = |seconds| Some(Timestamp::from_second(seconds).expect("in range"));
    assert_eq!((since(&plan, READY), since(&plan, RECONCILING)), (whole(7), whole(7)));
    plan.status = Some(status(&plan, &verdict(ReadyState::CredentialsMissing), at(8)));
    assert_eq!(
        (since(&plan, READY), since(&plan, RECONCILING)),
        (whole(7), whole(7)),
        "another reason, the same status"
    );
    plan.status = Some(status(&plan, &verdict(ReadyState::Contracted { id: id(1), observed: false }), at(9)));
    assert_eq!((since(&plan, READY), since(&plan, RECONCILING)), (whole(9), None));
    plan.status = Some(status(&plan, &verdict(ReadyState::NotContracted), at(10)));
    assert_eq!((since(&plan, READY), since(&plan, RECONCILING)), (whole(10), whole(10)));
}

#[test]
fn an_event_comes_with_the_entry_into_ready_or_stalled_and_not_again() {
    let mut plan = fresh();
    let mut tell = |situation| {
        let verdict = verdict(situation);
        let told = announcements(&plan, &verdict);
        plan.status = Some(status(&plan, &verdict, at(7)));
        told.into_iter().map(|told| (told.warning, told.reason)).collect::<Vec<_>>()
    };
    let contracted = || ReadyState::Contracted { id: id(1), observed: false };
    assert_eq!(tell(ReadyState::Processing { id: id(1) }), []);
    assert_eq!(tell(contracted()), [(false, "Contracted")]);
    assert_eq!(tell(contracted()), []);
    assert_eq!(tell(ReadyState::ContractLost { id: id(1) }), [(true, "ContractLost")]);
    assert_eq!(tell(ReadyState::ContractLost { id: id(1) }), []);
    let denied = FicError::PermissionDenied { words: "no".into() };
    assert_eq!(tell(ReadyState::Troubled(denied)), [(true, "PermissionDenied")], "from one cause to another");
    let away = FicError::Unavailable { what: "HTTP 503".into(), retry_after: None };
    assert_eq!(tell(ReadyState::Troubled(away)), [], "that passes by itself");
    let told =
        announcements(&plan, &StatusChange { occasion: Some(Occasion::Purchased(id(1))), ..verdict(contracted()) });
    assert_eq!(told.iter().map(|told| told.reason).collect::<Vec<_>>(), ["Purchased", "Contracted"]);
}

#[test]
fn the_status_shows_the_contract_as_far_as_it_is_known() {
    let mut plan = plan(
        &json!({ "name": "premium", "generation": 4, "annotations": { RECONCILE_REQUESTED_AT: "now" } }),
        &json!(null),
    );
    let contract = Contract {
        id: id(1),
        status: OperationStatus::Completed,
        current_menu: Some("PremiumPlan".into()),
        menus: vec![ContractMenu { menu: "PremiumPlan".into(), menu_start_date: None }],
    };
    let mut told = |shown, id| {
        plan.status = Some(status(&plan, &StatusChange { shown, id, ..verdict(ReadyState::NotContracted) }, at(7)));
        plan.status.clone().expect("a status")
    };
    let shown = told(ContractDisplay::Contract(contract.clone()), IdChange::Set(id(1)));
    assert_eq!((shown.observed_generation, shown.last_handled_reconcile_at.as_deref()), (Some(4), Some("now")));
    assert_eq!(shown.id.as_deref(), Some("F000000000001"));
    assert_eq!(shown.operation_status.as_deref(), Some("Completed"));
    assert_eq!(shown.current_menu.as_deref(), Some("PremiumPlan"));
    assert_eq!(shown.menus.as_ref().map(Vec::len), Some(1));
    assert_eq!(told(ContractDisplay::AsBefore, IdChange::Keep), shown);
    let wordless =
        Contract { status: OperationStatus::parse(""), current_menu: Some("".into()), menus: vec![], ..contract };
    let bare = told(ContractDisplay::Contract(wordless), IdChange::Keep);
    assert_eq!((bare.operation_status, bare.current_menu, bare.menus), (None, None, None));
    let gone = told(ContractDisplay::Nothing, IdChange::Clear);
    assert_eq!((gone.id, gone.operation_status, gone.menus), (None, None, None));
}
