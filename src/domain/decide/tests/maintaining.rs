//! A contract that is active, fails, is lost, or is only watched.

use super::*;

#[test]
fn a_contract_is_reported_by_its_status_and_menu() {
    let shown = |status, menu: Option<&str>| {
        let shown = Contract { current_menu: menu.map(Into::into), ..contract(ours(), status) };
        let case = Case::ready().shown(Some(shown));
        (case.state(), case.done().2)
    };
    let premium = Some("PremiumPlan");
    assert_eq!(
        shown(OperationStatus::Completed, premium),
        (ReadyState::Contracted { id: ours(), observed: false }, Requeue::Resync)
    );
    assert_eq!(
        shown(OperationStatus::Completed, Some("GoldPlan")),
        (ReadyState::MenuMismatch { id: ours(), menu: "GoldPlan".into() }, Requeue::Resync)
    );
    for status in [OperationStatus::Processing, OperationStatus::Other("Migrating".into())] {
        assert_eq!(shown(status, premium), (ReadyState::Processing { id: ours() }, Requeue::Poll));
    }
    assert_eq!(shown(OperationStatus::Completed, None), (ReadyState::Processing { id: ours() }, Requeue::Poll));
}

#[test]
fn the_cause_of_a_failed_operation_is_read_before_it_is_reported() {
    let case = Case::ready().shown(Some(contract(ours(), OperationStatus::Error)));
    assert_eq!(case.step(), Step::Query(Query::OperationError(ours())));
    let case = case.learns(StepResult::OperationError(Some("no capacity".into())));
    assert_eq!(case.state(), ReadyState::OperationFailed { id: ours(), cause: Some("no capacity".into()) });
}

#[test]
fn the_status_shows_a_contract_only_with_its_id() {
    let existing = contract(other(), OperationStatus::Completed);
    let refused = Case::new().listed(vec![existing.clone()]).status();
    assert_eq!((refused.record, refused.display), (RecordChange::Forget, ContractDisplay::Cleared));
    let found = Case::open().listed(vec![existing.clone()]).holds_tenant().status();
    assert_eq!((found.record, found.display), (RecordChange::Purchased(other()), ContractDisplay::Contract(existing)));
}

#[test]
fn an_operation_that_exceeds_the_timeout_stalls() {
    let since = NOW - Duration::from_secs(600);
    let processing = || Some(contract(ours(), OperationStatus::Processing));
    let case = Case::ready().memory(|memory| memory.in_progress_since = Some(since)).shown(processing());
    assert_eq!(case.state(), ReadyState::OperationTimedOut { id: ours(), timeout: Duration::from_secs(600) });
    assert_eq!(case.done().2, Requeue::Resync);
    // A new process continues from the last report.
    for reason in [Reason::Processing, Reason::OperationTimedOut] {
        let reported = Reported { ready: ConditionStatus::False, reason: Some(reason) };
        let case = Case::ready().plan(|plan| plan.reported = Some(reported));
        assert_eq!(case.shown(processing()).state().reason(), reason);
    }
}

#[test]
fn a_contract_is_lost_only_after_the_required_reads_of_show_and_list() {
    let mut case = Case::ready().shown(None);
    assert_eq!(case.step(), Step::Query(Query::List), "both must show no contract");
    for read in 1..=CONFIRMATIONS_REQUIRED {
        case.run = RunState::default();
        case = case.shown(None).listed(vec![]);
        if read < CONFIRMATIONS_REQUIRED {
            assert_eq!(case.done(), (None, RecordChange::Keep, Requeue::Poll));
        }
    }
    match case.step() {
        Step::Report(status) => assert_eq!(status.record, RecordChange::Lost(ours())),
        step => panic!("the id must be removed before the next create request, not {step:?}"),
    }
    let case = case.plan(|plan| plan.recreation = RecreationPolicy::Never);
    assert_eq!(case.done(), (Some(ReadyState::ContractLost { id: ours() }), RecordChange::Keep, Requeue::Resync));
}

#[test]
fn an_absence_in_show_alone_does_not_count() {
    let case = Case::ready().shown(None).listed(vec![contract(ours(), OperationStatus::Completed)]);
    assert_eq!(case.state(), ReadyState::Contracted { id: ours(), observed: false });
}

#[test]
fn a_lost_contract_that_appears_again_still_belongs_to_the_plan() {
    let case = Case::open().learns(StepResult::IdCleared { lost: Some(ours()) });
    let case = case.listed(vec![contract(ours(), OperationStatus::Completed)]).holds_tenant();
    assert_eq!(case.status().record, RecordChange::Purchased(ours()));
}

#[test]
fn a_contract_on_another_menu_that_appears_before_the_create_is_not_adopted() {
    let case = Case::new().with_secret_finalizer().learns(StepResult::FinalizerAdded);
    let case = case.plan(|plan| plan.adoption = AdoptionPolicy::IfPresent);
    let found = |menu: &str| {
        let existing = Contract { current_menu: Some(menu.into()), ..contract(other(), OperationStatus::Completed) };
        Case { memory: case.memory.clone(), plan: case.plan.clone(), ..Case::new().with_secret_finalizer() }
            .listed(vec![existing])
            .holds_tenant()
    };
    let close = Step::Command(Command::RemoveFinalizer(ReleaseReason::NothingBought));
    assert_eq!(found("GoldPlan").step(), close);
    assert_eq!(found("PremiumPlan").status().record, RecordChange::Adopted(other()));
}

#[test]
fn a_replaced_contract_is_reported_or_adopted_by_policy() {
    let case = || Case::ready().shown(None).listed(vec![contract(other(), OperationStatus::Completed)]).absent();
    let (state, record, _) = case().done();
    assert_eq!(state, Some(ReadyState::AlreadyContracted { id: Some(other()), replaced: Some(ours()) }));
    assert_eq!(record, RecordChange::Keep, "the record still says what the plan owned");
    let case = case().plan(|plan| plan.adoption = AdoptionPolicy::IfPresent).holds_tenant();
    assert_eq!(case.status().record, RecordChange::Adopted(other()));
}

#[test]
fn a_contract_counts_as_replaced_only_after_the_required_reads() {
    let case = Case::ready().shown(None).listed(vec![contract(other(), OperationStatus::Completed)]);
    assert_eq!(case.done(), (None, RecordChange::Keep, Requeue::Poll));
}

#[test]
fn a_ready_plan_is_unknown_after_three_resync_intervals_without_an_answer() {
    let case = |seconds: u64| {
        let case = Case::ready().learns(StepResult::Shown(Err(unavailable())));
        case.memory(|memory| memory.last_answer_at = NOW - Duration::from_secs(seconds))
    };
    assert_eq!(case(1799).done(), (None, RecordChange::Keep, Requeue::Backoff));
    assert_eq!(case(1800).state().condition(), (ConditionStatus::Unknown, Reason::ServiceUnavailable));
}

#[test]
fn a_suspended_plan_is_not_touched() {
    for case in [Case::new(), Case::open(), Case::ready(), Case::ready().deleting()] {
        let case = case.plan(|plan| plan.suspend = true);
        let state = case.plan.reported.is_none().then_some(ReadyState::Suspended);
        assert_eq!(case.done(), (state, RecordChange::Keep, Requeue::OnChange));
    }
}

#[test]
fn observe_reports_and_changes_nothing() {
    let observe = |case: Case| case.plan(|plan| plan.management = ManagementPolicy::Observe);
    let existing = contract(other(), OperationStatus::Completed);
    let contracted = Some(ReadyState::Contracted { id: other(), observed: true });
    let (state, record, _) = observe(Case::new()).listed(vec![existing.clone()]).done();
    assert_eq!((&state, record), (&contracted, RecordChange::Watched(other())));
    let (state, record, _) = observe(Case::new()).listed(vec![]).done();
    assert_eq!((state, record), (Some(ReadyState::NotContracted), RecordChange::Forget));
    // A plan with a record keeps it.
    let (state, record, _) = observe(Case::ready()).shown(None).listed(vec![existing]).done();
    assert_eq!((state, record), (contracted, RecordChange::Keep));
    let (_, record, _) = observe(Case::ready()).shown(None).listed(vec![]).done();
    assert_eq!(record, RecordChange::Keep);
}

#[test]
fn observe_records_the_id_before_it_reads_the_cause_of_a_failure() {
    let case = Case::new().plan(|plan| plan.management = ManagementPolicy::Observe);
    let case = case.listed(vec![contract(other(), OperationStatus::Error)]);
    assert!(matches!(case.step(), Step::Report(_)));
    let case = case.plan(|plan| plan.record = Record::Watched(other())).learns(StepResult::IdRecorded);
    assert_eq!(case.step(), Step::Query(Query::OperationError(other())));
    assert_eq!(case.learns(StepResult::OperationError(None)).state().reason(), Reason::OperationFailed);
}
