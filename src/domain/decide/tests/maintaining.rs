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
        let reported = Reported::current(ConditionStatus::False, reason);
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
    let case = case.learns(StepResult::Recreation(Recreation::Allowed));
    match case.step() {
        Step::Report(status) => assert_eq!(status.record, RecordChange::Lost(ours())),
        step => panic!("the id must be removed before the next create request, not {step:?}"),
    }
    let case = case.plan(|plan| plan.recreation = RecreationPolicy::Never);
    let lost = ReadyState::ContractLost { id: ours(), cause: LossCause::Policy };
    assert_eq!(case.done(), (Some(lost), RecordChange::Keep, Requeue::Resync));
}

#[test]
fn a_contract_that_was_active_is_lost_only_after_the_patience() {
    let absent_for = |seconds: u64, absences| {
        let case = Case::ready().shown(None).listed(vec![]);
        case.memory(|memory| {
            memory.was_completed = true;
            memory.absences = absences;
            memory.absent_since = Some(NOW - Duration::from_secs(seconds));
        })
    };
    assert_eq!(absent_for(0, 1).done(), (None, RecordChange::Keep, Requeue::Poll));
    let not_found =
        |lost_in| ReadyState::ContractNotFound { id: ours(), lost_from: NOW + Duration::from_secs(lost_in) };
    let next = |seconds| Requeue::At(NOW + Duration::from_secs(seconds));
    assert_eq!(absent_for(3, 2).done(), (Some(not_found(297)), RecordChange::Keep, next(30)));
    assert_eq!(absent_for(299, 50).done(), (Some(not_found(1)), RecordChange::Keep, next(1)));
    assert_eq!(not_found(1).condition(), (ConditionStatus::Unknown, Reason::ContractNotFound));
    assert_eq!(absent_for(300, 2).done(), (None, RecordChange::Keep, Requeue::Poll), "the reads are required too");
    let lost = absent_for(300, 3).learns(StepResult::Recreation(Recreation::Allowed));
    assert_eq!(lost.status().record, RecordChange::Lost(ours()));
    let patient = absent_for(0, 3).memory(|memory| memory.was_completed = false);
    assert_eq!(patient.step(), Step::Query(Query::Recreation { lost: ours(), approved: false }));
}

#[test]
fn a_recreation_that_is_held_back_waits_until_a_person_changes_the_plan() {
    let lost = Case::ready().shown(None).listed(vec![]).absent();
    assert_eq!(lost.step(), Step::Query(Query::Recreation { lost: ours(), approved: false }));
    let held_back = lost.clone().learns(StepResult::Recreation(Recreation::HeldBack));
    let state = ReadyState::ContractLost { id: ours(), cause: LossCause::Guard { limit: 3 } };
    assert_eq!(held_back.done(), (Some(state.clone()), RecordChange::Keep, Requeue::Resync));
    // The report is what survives a restart.
    let reported = Reported::current(ConditionStatus::False, Reason::ContractLost);
    let reported = lost.clone().plan(|plan| plan.reported = Some(reported));
    assert_eq!(reported.done(), (Some(state), RecordChange::Keep, Requeue::Resync));
    for change in [
        |reported: &mut Reported| reported.covers_spec = false,
        |reported: &mut Reported| reported.covers_request = false,
    ] {
        let mut changed = reported.clone();
        change(changed.reported());
        let approved = Step::Query(Query::Recreation { lost: ours(), approved: true });
        assert_eq!(changed.step(), approved);
    }
    let mut unlimited = lost;
    unlimited.settings.max_recreations_per_hour = None;
    assert_eq!(unlimited.status().record, RecordChange::Lost(ours()));
}

#[test]
fn a_refused_read_is_reported_for_a_ready_plan_only_if_the_next_one_is_refused_too() {
    let denied = || FicError::PermissionDenied { message: "no".into() };
    let rejected = || FicError::Rejected { message: "no".into() };
    let read = |case: Case, error, now| {
        let mut case = case;
        case.memory.learn(&StepResult::Shown(Err(error)), &case.plan, &case.settings, now);
        (case.run.shown, case.run.listed) = (Some(Err(denied())), Some(Err(denied())));
        case
    };
    let case = read(Case::ready(), denied(), NOW);
    assert_eq!(case.done(), (None, RecordChange::Keep, Requeue::Poll));
    let too_soon = read(case.clone(), denied(), NOW + Duration::from_secs(1));
    assert_eq!(too_soon.done(), (None, RecordChange::Keep, Requeue::Poll));
    let another = read(case.clone(), rejected(), NOW + Duration::from_secs(3));
    assert_eq!(another.done(), (None, RecordChange::Keep, Requeue::Poll), "it does not say the same");
    let recovered = case.clone().shown(Some(contract(ours(), OperationStatus::Completed)));
    let recovered = read(recovered, denied(), NOW + Duration::from_secs(3));
    assert_eq!(recovered.done(), (None, RecordChange::Keep, Requeue::Poll), "it was answered in between");
    let again = read(case, denied(), NOW + Duration::from_secs(3));
    assert_eq!(again.state(), ReadyState::RequestFailed(denied()));
    let not_ready = read(Case::open(), denied(), NOW);
    assert_eq!(not_ready.state(), ReadyState::RequestFailed(denied()));
    assert_eq!(read(Case::ready().deleting(), denied(), NOW).with_crd().state(), ReadyState::RequestFailed(denied()));
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
    let case = Case::new().with_secret_finalizer().learns(StepResult::RecordOpened);
    let case = case.plan(|plan| plan.adoption = AdoptionPolicy::IfPresent);
    let found = |menu: &str| {
        let existing = Contract { current_menu: Some(menu.into()), ..contract(other(), OperationStatus::Completed) };
        Case { memory: case.memory.clone(), plan: case.plan.clone(), ..Case::new().with_secret_finalizer() }
            .listed(vec![existing])
            .holds_tenant()
    };
    let close = Step::Command(Command::CloseRecord(ReleaseReason::NothingBought));
    assert_eq!(found("GoldPlan").step(), close);
    assert_eq!(found("PremiumPlan").status().record, RecordChange::Adopted(other()));
}

#[test]
fn a_replaced_contract_is_reported_or_adopted_by_policy() {
    let case = || Case::ready().shown(None).listed(vec![contract(other(), OperationStatus::Completed)]).absent();
    let (state, record, _) = case().done();
    assert_eq!(state, Some(ReadyState::AlreadyContracted { id: other(), replaced: Some(ours()) }));
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
    for case in [Case::new(), Case::open(), Case::ready()] {
        let case = case.plan(|plan| plan.suspend = true);
        let state = case.plan.reported.is_none().then_some(ReadyState::Suspended);
        assert_eq!(case.done(), (state, RecordChange::Keep, Requeue::OnChange));
    }
}

#[test]
fn a_reported_plan_that_is_suspended_says_only_that_the_change_was_seen() {
    let mut case = Case::ready().plan(|plan| plan.suspend = true);
    case.reported().covers_spec = false;
    assert_eq!(case.step(), Step::Command(Command::ObserveSpec));
    assert_eq!(case.learns(StepResult::SpecObserved).done(), (None, RecordChange::Keep, Requeue::OnChange));
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
fn observe_follows_a_contract_that_was_replaced() {
    let watching = |id| {
        let case = Case::new().plan(|plan| plan.management = ManagementPolicy::Observe);
        let case = case.plan(|plan| plan.record = Record::Watched(id));
        case.listed(vec![contract(other(), OperationStatus::Completed)]).done().1
    };
    assert_eq!(watching(ours()), RecordChange::Watched(other()));
    assert_eq!(watching(other()), RecordChange::Keep);
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
