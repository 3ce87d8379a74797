//! From apply to a contract: read, claim, buy, adopt.

use super::*;

fn found(id: ContractId) -> Vec<Contract> {
    vec![contract(id, OperationStatus::Completed)]
}

#[test]
fn the_steps_before_the_create_are_in_order() {
    let case = Case::new();
    assert_eq!(case.step(), Step::Query(Query::List));
    let case = case.listed(vec![]);
    assert_eq!(case.step(), Step::Command(Command::AddSecretFinalizer));
    let case = case.with_secret_finalizer();
    assert_eq!(case.step(), Step::Command(Command::AddFinalizer));
    let case = case.learns(StepResult::FinalizerAdded);
    assert_eq!(case.step(), Step::Query(Query::Holder));
    assert_eq!(case.holds_tenant().step(), Step::Command(Command::Create));
}

#[test]
fn an_accepted_create_is_recorded_before_anything_else() {
    let accepted = || WriteOutcome::Accepted(contract(ours(), OperationStatus::Processing));
    let case = Case::open().learns(StepResult::FinalizerAdded).listed(vec![]).holds_tenant();
    let status = case.learns(StepResult::Created(accepted())).status();
    assert_eq!(status.state, ReadyState::Processing { id: ours() });
    assert_eq!(status.record, RecordChange::Purchased(ours()));
    for change in [
        |case: &mut Case| case.secret = SecretState::NotFound,
        |case: &mut Case| case.claim = Claim::HeldBy("a/b".into()),
        |case: &mut Case| case.plan.deleting = true,
        |case: &mut Case| case.plan.management = ManagementPolicy::Observe,
    ] {
        let mut case = Case::open().learns(StepResult::Created(accepted()));
        change(&mut case);
        assert_eq!(case.status().record, RecordChange::Purchased(ours()));
    }
}

#[test]
fn a_create_of_unknown_outcome_is_checked_before_another_is_sent() {
    let case = Case::open().learns(StepResult::FinalizerAdded).listed(vec![]).holds_tenant();
    let case = case.learns(StepResult::Created(WriteOutcome::Unknown(unavailable())));
    assert_eq!(case.step(), Step::Query(Query::List));
    let (state, _, requeue) = case.listed(vec![]).done();
    assert_eq!((state, requeue), (Some(ReadyState::Purchasing { cause: Some(unavailable()) }), Requeue::Poll));
}

#[test]
fn a_contract_found_after_an_unconfirmed_create_belongs_to_the_plan() {
    let case = Case::open().listed(found(ours()));
    assert_eq!(case.step(), Step::Query(Query::Holder));
    let status = case.holds_tenant().status();
    assert_eq!(status.state, ReadyState::Contracted { id: ours(), observed: false });
    assert_eq!(status.record, RecordChange::Purchased(ours()));
}

#[test]
fn an_unconfirmed_create_is_sent_again_only_after_the_required_empty_reads() {
    let mut case = Case::open();
    for _ in 0..CONFIRMATIONS_REQUIRED - 1 {
        case.run = RunState::default();
        case = case.listed(vec![]);
        assert_eq!(case.done(), (Some(ReadyState::Purchasing { cause: None }), RecordChange::Keep, Requeue::Poll));
    }
    case.run = RunState::default();
    assert_eq!(case.listed(vec![]).holds_tenant().step(), Step::Command(Command::Create));
}

#[test]
fn a_refused_create_closes_the_record_and_a_contract_found_then_is_not_taken() {
    let refusals = [
        FicError::Conflict { message: "exists".into() },
        FicError::Rejected { message: "no".into() },
        FicError::PermissionDenied { message: "no".into() },
    ];
    for refusal in refusals {
        let case = Case::open().learns(StepResult::FinalizerAdded).listed(vec![]).holds_tenant();
        let case = case.learns(StepResult::Created(WriteOutcome::Refused(refusal.clone())));
        let close = Step::Command(Command::RemoveFinalizer(ReleaseReason::NothingBought));
        assert_eq!(case.step(), close, "{refusal:?}");
        let (state, record, _) = case.learns(StepResult::FinalizerRemoved).listed(found(other())).done();
        assert_eq!(state, Some(ReadyState::AlreadyContracted { id: Some(other()), replaced: None }));
        assert_eq!(record, RecordChange::Forget);
    }
}

#[test]
fn a_conflict_that_list_does_not_explain_uses_backoff() {
    let conflict = FicError::Conflict { message: "exists".into() };
    let case = Case::open().learns(StepResult::FinalizerAdded).listed(vec![]).holds_tenant();
    let case = case.learns(StepResult::Created(WriteOutcome::Refused(conflict)));
    let case = case.learns(StepResult::FinalizerRemoved);
    assert_eq!(case.step(), Step::Query(Query::List));
    let (state, _, requeue) = case.listed(vec![]).done();
    assert_eq!(state, Some(ReadyState::AlreadyContracted { id: None, replaced: None }));
    assert_eq!(requeue, Requeue::Backoff);
}

#[test]
fn a_refusal_during_an_earlier_unconfirmed_create_keeps_the_record_open() {
    let conflict = FicError::Conflict { message: "exists".into() };
    let case = || Case::open().learns(StepResult::Created(WriteOutcome::Refused(conflict.clone())));
    assert_eq!(case().listed(vec![]).state(), ReadyState::Purchasing { cause: Some(conflict.clone()) });
    let case = case().listed(found(ours())).holds_tenant();
    assert_eq!(case.status().record, RecordChange::Purchased(ours()));
}

#[test]
fn a_contract_bought_elsewhere_before_the_create_is_not_taken() {
    // The portal bought a contract after the record was opened, and before the create request.
    let case = Case::new().with_secret_finalizer().learns(StepResult::FinalizerAdded).listed(found(other()));
    assert_eq!(case.step(), Step::Command(Command::RemoveFinalizer(ReleaseReason::NothingBought)));
}

#[test]
fn an_existing_contract_is_reported_or_adopted_by_policy() {
    let (state, _, requeue) = Case::new().listed(found(other())).done();
    assert_eq!(state, Some(ReadyState::AlreadyContracted { id: Some(other()), replaced: None }));
    assert_eq!(requeue, Requeue::Resync);

    let case = Case::new().plan(|plan| plan.adoption = AdoptionPolicy::IfPresent).listed(found(other()));
    assert_eq!(case.step(), Step::Command(Command::AddSecretFinalizer));
    let case = case.with_secret_finalizer();
    assert_eq!(case.step(), Step::Command(Command::AddFinalizer));
    let case = case.learns(StepResult::FinalizerAdded).holds_tenant();
    assert_eq!(case.status().record, RecordChange::Adopted(other()));
}

#[test]
fn a_contract_on_another_menu_is_not_adopted() {
    let mut existing = found(other());
    existing[0].current_menu = Some("GoldPlan".into());
    let case = Case::new().plan(|plan| plan.adoption = AdoptionPolicy::IfPresent).listed(existing);
    let (state, record, _) = case.done();
    assert_eq!(state, Some(ReadyState::MenuMismatch { id: other(), menu: "GoldPlan".into() }));
    assert_eq!(record, RecordChange::Keep);
}

#[test]
fn a_watched_id_is_removed_before_the_record_is_opened() {
    let case = Case::new().with_secret_finalizer().plan(|plan| plan.record = Record::Watched(other()));
    match case.listed(vec![]).step() {
        Step::Report(status) => assert_eq!(status.record, RecordChange::Forget),
        step => panic!("the watched id must not become an owned contract, not {step:?}"),
    }
}

#[test]
fn a_refused_create_closes_an_open_record_and_no_other() {
    let refused = |case: Case| case.memory(|memory| memory.create = CreateState::Refused);
    let close = Step::Command(Command::RemoveFinalizer(ReleaseReason::NothingBought));
    assert_eq!(refused(Case::open()).step(), close);
    assert_eq!(refused(Case::open()).deleting().step(), close);
    assert_eq!(refused(Case::new()).step(), Step::Query(Query::List));
    assert_eq!(refused(Case::ready()).step(), Step::Query(Query::Show(ours())));
    assert_eq!(refused(Case::ready()).deleting().step(), Step::Query(Query::Show(ours())));
}

#[test]
fn an_accepted_create_has_no_effect_once_an_id_is_recorded() {
    let accepted = contract(other(), OperationStatus::Processing);
    let case = Case::ready().memory(|memory| memory.create = CreateState::Accepted(accepted));
    assert_eq!(case.step(), Step::Query(Query::Show(ours())));
    assert_eq!(case.deleting().step(), Step::Query(Query::Show(ours())));
}

#[test]
fn a_failed_read_during_an_unconfirmed_create_reports_purchasing() {
    let case = Case::open().learns(StepResult::Listed(Err(unavailable())));
    assert_eq!(case.state(), ReadyState::Purchasing { cause: Some(unavailable()) });
}
