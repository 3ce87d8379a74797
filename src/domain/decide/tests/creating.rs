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
    assert_eq!(case.step(), Step::Command(Command::OpenRecord));
    let case = case.learns(StepResult::RecordOpened);
    assert_eq!(case.step(), Step::Query(Query::Holder));
    assert_eq!(case.holds_tenant().step(), Step::Command(Command::Create));
}

#[test]
fn an_accepted_create_is_recorded_before_anything_else() {
    let accepted = || WriteOutcome::Accepted(contract(ours(), OperationStatus::Processing));
    let case = Case::open().learns(StepResult::RecordOpened).listed(vec![]).holds_tenant();
    let status = case.learns(StepResult::Created(accepted())).status();
    assert_eq!(status.state, ReadyState::Processing { id: ours() });
    assert_eq!(status.record, RecordChange::Purchased(ours()));
    for change in [
        |case: &mut Case| case.secret = SecretState::NotFound,
        |case: &mut Case| case.claim = held_by_other(None),
        |case: &mut Case| case.plan.deleting = true,
        |case: &mut Case| case.plan.management = ManagementPolicy::Observe,
        |case: &mut Case| (case.plan.record, case.plan.marks.owner_uid) = (Record::None, false),
        |case: &mut Case| (case.plan.record, case.plan.marks.owner_uid) = (Record::Watched(other()), false),
        |case: &mut Case| case.run.write_refused = Some("no".into()),
    ] {
        let mut case = Case::open().learns(StepResult::Created(accepted()));
        change(&mut case);
        assert_eq!(case.status().record, RecordChange::Purchased(ours()));
    }
}

#[test]
fn a_create_of_unknown_outcome_is_checked_before_another_is_sent() {
    let case = Case::open().learns(StepResult::RecordOpened).listed(vec![]).holds_tenant();
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
    let not_sent = [FicError::RateLimited { retry_after: None }, unavailable()].map(WriteOutcome::NotSent);
    for outcome in refusals.map(WriteOutcome::Refused).into_iter().chain(not_sent) {
        let case = Case::open().learns(StepResult::RecordOpened).listed(vec![]).holds_tenant();
        let case = case.learns(StepResult::Created(outcome.clone()));
        let close = Step::Command(Command::CloseRecord(ReleaseReason::NothingBought));
        assert_eq!(case.step(), close, "{outcome:?}");
        let (state, record, _) = case.learns(StepResult::RecordClosed).listed(found(other())).done();
        assert_eq!(state, Some(ReadyState::AlreadyContracted { id: other(), replaced: None }));
        assert_eq!(record, RecordChange::Forget);
    }
}

#[test]
fn a_request_that_was_not_sent_is_reported_after_the_record_is_closed() {
    let case = Case::open().learns(StepResult::RecordOpened).listed(vec![]).holds_tenant();
    let limited = FicError::RateLimited { retry_after: Some(Duration::from_secs(60)) };
    let case = case.learns(StepResult::Created(WriteOutcome::NotSent(limited.clone())));
    let (state, _, requeue) = case.learns(StepResult::RecordClosed).done();
    assert_eq!(
        (state, requeue),
        (Some(ReadyState::RequestFailed(limited)), Requeue::At(NOW + Duration::from_secs(60)))
    );
}

#[test]
fn a_request_that_was_not_sent_during_an_unconfirmed_create_keeps_the_record_open() {
    let mut case = Case::open();
    case.memory.create = CreateState::Unconfirmed { sent_here: true, empty_reads: CONFIRMATIONS_REQUIRED, resent: 0 };
    let case = case.listed(vec![]).holds_tenant();
    let case = case.learns(StepResult::Created(WriteOutcome::NotSent(unavailable())));
    assert_eq!(case.state(), ReadyState::Purchasing { cause: Some(unavailable()) });
}

#[test]
fn a_conflict_without_a_contract_is_another_order_in_progress() {
    let conflict = FicError::Conflict { message: "another order".into() };
    let case = Case::open().learns(StepResult::RecordOpened).listed(vec![]).holds_tenant();
    let case = case.learns(StepResult::Created(WriteOutcome::Refused(conflict)));
    let case = case.learns(StepResult::RecordClosed);
    assert_eq!(case.step(), Step::Query(Query::List));
    let (state, record, requeue) = case.listed(vec![]).done();
    assert_eq!(state, Some(ReadyState::OrderConflict { message: "another order".into() }));
    assert_eq!((record, requeue), (RecordChange::Keep, Requeue::Backoff));
}

#[test]
fn a_conflict_after_a_loss_closes_the_record_once_list_shows_no_contract() {
    let conflict = FicError::Conflict { message: "another order".into() };
    let case = Case::open().learns(StepResult::IdCleared { lost: Some(ours()) }).listed(vec![]).holds_tenant();
    let case = case.learns(StepResult::Created(WriteOutcome::Refused(conflict)));
    assert_eq!(case.step(), Step::Query(Query::List), "it may concern the contract that was given up as lost");
    let case = case.listed(vec![]);
    assert_eq!(case.step(), Step::Command(Command::CloseRecord(ReleaseReason::NothingBought)));
    assert_eq!(case.learns(StepResult::RecordClosed).state().reason(), Reason::OrderConflict);
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
    let case = Case::new().with_secret_finalizer().learns(StepResult::RecordOpened).listed(found(other()));
    assert_eq!(case.step(), Step::Command(Command::CloseRecord(ReleaseReason::NothingBought)));
}

#[test]
fn an_existing_contract_is_reported_or_adopted_by_policy() {
    let (state, _, requeue) = Case::new().listed(found(other())).done();
    assert_eq!(state, Some(ReadyState::AlreadyContracted { id: other(), replaced: None }));
    assert_eq!(requeue, Requeue::Resync);

    let case = Case::new().plan(|plan| plan.adoption = AdoptionPolicy::IfPresent).listed(found(other()));
    assert_eq!(case.step(), Step::Command(Command::AddSecretFinalizer));
    let case = case.with_secret_finalizer();
    assert_eq!(case.step(), Step::Command(Command::OpenRecord));
    let case = case.learns(StepResult::RecordOpened).holds_tenant();
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
fn a_plan_that_watched_a_contract_opens_a_record_before_it_buys() {
    let case = Case::new().with_secret_finalizer().plan(|plan| plan.record = Record::Watched(other()));
    assert_eq!(case.listed(vec![]).step(), Step::Command(Command::OpenRecord));
}

#[test]
fn a_write_that_had_no_effect_opens_no_record_and_an_adoption_of_unknown_outcome_is_not_assumed() {
    let adopts = Step::Report(StatusChange::new(ReadyState::Preparing).with_record(RecordChange::Adopted(other())));
    for (took_effect, opened, adopted) in
        [(TookEffect::Yes, true, Some(other())), (TookEffect::Perhaps, true, None), (TookEffect::No, false, None)]
    {
        let opens = Case::new().memory(|memory| Step::Command(Command::OpenRecord).remember(memory, took_effect));
        assert_eq!(opens.memory.record_opened, opened, "{took_effect:?}");
        let adopts = Case::new().memory(|memory| adopts.remember(memory, took_effect));
        assert_eq!((adopts.memory.owned, adopts.memory.record_opened), (adopted, false), "{took_effect:?}");
    }
}

#[test]
fn nothing_is_concluded_from_a_record_while_another_process_may_act_on_it() {
    let until = NOW + Duration::from_secs(15);
    let mut case = Case::open();
    case.memory.expect_other_process(&case.settings, NOW);
    let waits = (Some(ReadyState::Purchasing { cause: None }), RecordChange::Keep, Requeue::At(until));
    assert_eq!(case.clone().listed(found(other())).done(), waits);
    assert_eq!(case.clone().listed(vec![]).done(), waits);
    let known = case.clone().memory(|memory| memory.mark_owned(&ours()));
    assert_eq!(known.clone().listed(found(other())).done(), waits);
    let known = known.listed(found(ours())).holds_tenant();
    assert_eq!(known.status().record, RecordChange::Purchased(ours()), "a user wiped the status");
    let deleting = case.clone().deleting().listed(found(other())).with_crd();
    let checking = Some(ReadyState::Abolishing(AbolishProgress::CheckingCreate));
    assert_eq!(deleting.done(), (checking, RecordChange::Keep, Requeue::At(until)));
    let retained = case.clone().deleting().plan(|plan| plan.deletion = DeletionPolicy::Retain);
    assert!(matches!(retained.step(), Step::Command(Command::CloseRecord(ReleaseReason::Retained { .. }))));
    case.memory.foreign_until = Some(NOW);
    assert_eq!(case.step(), Step::Query(Query::List), "the time has passed");
    // The record of a contract does not need the time.
    let mut owner = Case::ready();
    owner.memory.expect_other_process(&owner.settings, NOW);
    assert_eq!(owner.step(), Step::Query(Query::Show(ours())));
}

#[test]
fn a_finalizer_without_a_record_is_removed_without_a_request() {
    let stray = |record| Case::new().plan(|plan| (plan.marks.finalizer, plan.record) = (true, record));
    let remove = Step::Command(Command::CloseRecord(ReleaseReason::NoRecord));
    for record in [Record::None, Record::Watched(other())] {
        let case = stray(record);
        assert_eq!(case.step(), remove);
        let without_secret = Case { secret: SecretState::NotFound, claim: held_by_other(None), ..case.clone() };
        assert_eq!(without_secret.step(), remove);
        assert_eq!(without_secret.deleting().step(), remove);
        assert_eq!(case.plan(|plan| plan.management = ManagementPolicy::Observe).step(), remove);
    }
    let mut suspended = stray(Record::None).deleting().plan(|plan| plan.suspend = true);
    suspended.run.crd = Some(CrdState::Present);
    assert_eq!(suspended.state(), ReadyState::Suspended);
    assert_eq!(Case::new().plan(|plan| plan.marks.owner_uid = true).step(), Step::Query(Query::List));
}

#[test]
fn a_record_that_lost_a_mark_is_restored_before_anything_else() {
    let restore = |announce| Step::Command(Command::RestoreRecord { announce });
    let stripped = |case: Case| {
        let marks =
            [Marks::NONE, Marks { finalizer: true, owner_uid: false }, Marks { finalizer: false, owner_uid: true }];
        marks.map(|marks| case.clone().plan(|plan| plan.marks = marks))
    };
    for case in stripped(Case::ready()) {
        assert_eq!(case.step(), restore(true));
        let without_secret = Case { secret: SecretState::NotFound, ..case.clone() };
        assert_eq!(without_secret.step(), restore(true));
        assert_eq!(case.clone().plan(|plan| plan.management = ManagementPolicy::Observe).step(), restore(true));
        assert_eq!(case.learns(StepResult::RecordRestored).step(), Step::Query(Query::Show(ours())));
    }
    // While this process knows of a create request, the plan may own a contract, whatever it says.
    let sent = CreateState::Unconfirmed { sent_here: true, empty_reads: 0, resent: 0 };
    for case in stripped(Case::open().plan(|plan| plan.record = Record::None)) {
        assert_eq!(case.clone().memory(|memory| memory.create = sent.clone()).step(), restore(true));
    }
    let finalizer_only = Marks { finalizer: true, owner_uid: false };
    let deleting = Case::ready().deleting().plan(|plan| plan.marks = finalizer_only);
    assert_eq!(deleting.step(), restore(true));
    let deleting = deleting.plan(|plan| plan.record = Record::None).memory(|memory| memory.create = sent.clone());
    assert_eq!(deleting.step(), restore(true));
}

#[test]
fn a_record_that_is_removed_again_and_again_is_restored_with_backoff() {
    let strip = |case: Case| case.plan(|plan| plan.marks = Marks::NONE);
    let mut case = strip(Case::ready());
    for seconds in [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300] {
        assert!(matches!(case.step(), Step::Command(Command::RestoreRecord { .. })));
        case = strip(case.learns(StepResult::RecordRestored));
        let until = NOW + Duration::from_secs(seconds);
        assert_eq!(case.done(), (None, RecordChange::Keep, Requeue::At(until)));
        case.memory.restore_from = NOW;
        assert_eq!(case.step(), Step::Command(Command::RestoreRecord { announce: false }));
    }
}

#[test]
fn a_refused_create_closes_an_open_record_and_no_other() {
    let refused = |case: Case| case.memory(|memory| memory.create = CreateState::Refused);
    let close = Step::Command(Command::CloseRecord(ReleaseReason::NothingBought));
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
