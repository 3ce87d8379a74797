//! What prevents progress: the claim of another plan, the Secret, errors of FIC.

use super::*;

fn held_by_another(mut case: Case) -> Case {
    case.claim = held_by_other(None);
    case
}

fn secret(defect: Option<SecretDefect>, has_finalizer: bool, deleting: bool) -> SecretState {
    SecretState::Found { defect, has_finalizer, deleting }
}

#[test]
fn nothing_is_bought_with_a_secret_that_is_being_deleted() {
    let case = Case { secret: secret(None, true, true), ..Case::new() }.listed(vec![]);
    assert_eq!(case.state(), ReadyState::CredentialsDeleting);
}

#[test]
fn a_secret_in_use_that_lost_its_finalizer_gets_it_again() {
    let case = Case { secret: secret(None, false, false), ..Case::ready() };
    assert_eq!(case.step(), Step::Command(Command::AddSecretFinalizer));
}

#[test]
fn only_what_prevents_progress_uses_backoff() {
    let outage = Requeue::AfterOutage(Duration::ZERO);
    let requeues = [Requeue::Backoff, Requeue::At(NOW), Requeue::Poll, Requeue::Resync, outage, Requeue::OnChange];
    assert_eq!(requeues.map(Requeue::uses_backoff), [true, true, false, false, false, false]);
}

#[test]
fn a_plan_that_does_not_hold_its_tenant_sends_no_request() {
    let (state, record, _) = held_by_another(Case::new()).done();
    let claimed = ReadyState::TenantClaimed { holder: "team/other".into() };
    assert_eq!((state, record), (Some(claimed), RecordChange::Forget));
}

#[test]
fn a_watched_id_does_not_claim_the_tenant() {
    let case = held_by_another(Case::new().plan(|plan| plan.record = Record::Watched(other())));
    assert_eq!(case.state(), ReadyState::TenantClaimed { holder: "team/other".into() });
}

#[test]
fn a_plan_with_an_open_record_yields_only_after_a_live_read() {
    let case = held_by_another(Case::open());
    assert_eq!(case.step(), Step::Query(Query::Holder));
    let case = case.memory(|memory| memory.create = CreateState::Unsent);
    let case = case.learns(StepResult::Holder(held_by_other(None)));
    let yielded = Step::Command(Command::CloseRecord(ReleaseReason::Yielded));
    assert_eq!(case.step(), yielded);
    assert_eq!(case.clone().deleting().step(), yielded);
    // The cache may not show the other plan yet.
    let yielded = Case { claim: Claim::Ours, ..case }.learns(StepResult::RecordClosed);
    assert_eq!(yielded.state().reason(), Reason::TenantClaimed);
}

#[test]
fn a_plan_whose_create_may_have_been_accepted_keeps_its_record() {
    let with = |create: &CreateState, contract| {
        let mut case = held_by_another(Case::open()).memory(|memory| memory.create = create.clone());
        case.claim = held_by_other(contract);
        case.run.holder = Some(case.claim.clone());
        case
    };
    let yielded = Step::Command(Command::CloseRecord(ReleaseReason::Yielded));
    let foreign = CreateState::UNCONFIRMED_BY_OTHER;
    // It waits for the other plan, which may have bought the contract.
    let case = with(&foreign, None);
    assert_eq!(case.state(), ReadyState::TenantClaimed { holder: "team/other".into() });
    assert_eq!(case.done().1, RecordChange::Keep);
    let unprotected = SecretState::Found { defect: None, has_finalizer: false, deleting: false };
    for case in [case.clone(), case.clone().deleting()] {
        let case = Case { secret: unprotected.clone(), ..case };
        assert_eq!(case.step(), Step::Command(Command::AddSecretFinalizer), "with its record it keeps its Secret");
    }
    let deleting = case.deleting().with_crd();
    assert_eq!(deleting.state(), ReadyState::Abolishing(AbolishProgress::CheckingCreate));
    // A tenant has one contract, so the recorded one settles it.
    assert_eq!(with(&foreign, Some(other())).step(), yielded);
    assert_eq!(with(&foreign, Some(other())).deleting().step(), yielded);
    // A request of this process is checked, whatever another plan says.
    let sent = CreateState::Unconfirmed { sent_here: true, empty_reads: 0, resent: 0 };
    let found = |id| vec![contract(id, OperationStatus::Completed)];
    let case = with(&sent, Some(other()));
    assert_eq!(case.step(), Step::Query(Query::List));
    assert_eq!(case.clone().listed(found(ours())).status().record, RecordChange::Purchased(ours()));
    assert_eq!(case.clone().listed(found(other())).step(), yielded);
    let deleting = case.deleting();
    assert_eq!(deleting.clone().listed(found(ours())).status().record, RecordChange::Purchased(ours()));
    let nothing_bought = Step::Command(Command::CloseRecord(ReleaseReason::NothingBought));
    assert_eq!(deleting.listed(found(other())).step(), nothing_bought);
}

#[test]
fn a_refused_write_is_reported_with_the_words_of_the_api_server() {
    let message = "denied by policy \"no-finalizers\"";
    let refused = |case: Case| case.learns(StepResult::WriteRefused(message.into()));
    let state = Some(ReadyState::WriteRefused { message: message.into() });
    let case = Case::new().with_secret_finalizer().listed(vec![]);
    for case in [case, Case::ready(), Case::ready().deleting()] {
        assert_eq!(refused(case).done(), (state.clone(), RecordChange::Keep, Requeue::Backoff));
    }
}

#[test]
fn a_plan_with_a_contract_never_yields() {
    assert_eq!(held_by_another(Case::ready()).step(), Step::Query(Query::Show(ours())));
    assert_eq!(held_by_another(Case::ready()).deleting().step(), Step::Query(Query::Show(ours())));
}

#[test]
fn a_deleted_plan_protects_its_secret_unless_that_is_being_deleted() {
    let with = |has_finalizer, deleting| {
        Case { secret: secret(None, has_finalizer, deleting), ..Case::ready().deleting() }.step()
    };
    assert_eq!(with(false, false), Step::Command(Command::AddSecretFinalizer));
    for (has_finalizer, deleting) in [(false, true), (true, false), (true, true)] {
        assert_eq!(with(has_finalizer, deleting), Step::Query(Query::Show(ours())));
    }
}

#[test]
fn every_state_of_the_secret_is_reported() {
    let with = |secret| Case { secret, ..Case::new() };
    assert_eq!(with(SecretState::NotFound).step(), Step::Query(Query::Secret));
    let absent = |absence| with(SecretState::NotFound).learns(StepResult::SecretAbsence(absence)).state();
    assert_eq!(absent(SecretAbsence::NotFound), ReadyState::CredentialsMissing);
    assert_eq!(absent(SecretAbsence::WrongType), ReadyState::CredentialsInvalid(SecretDefect::WrongType));
    let defect = SecretDefect::KeyMissing("apiKey");
    let invalid = with(secret(Some(defect.clone()), false, false));
    assert_eq!(invalid.state(), ReadyState::CredentialsInvalid(defect));
}

/// A namespace that is being deleted accepts no new Secret, but an existing one can be fixed.
#[test]
fn a_plan_with_a_record_protects_a_defective_secret_too() {
    let defect = || Some(SecretDefect::KeyMissing("apiKey"));
    for case in [Case::ready(), Case::ready().deleting(), Case::open()] {
        let with = |secret| Case { secret, ..case.clone() }.step();
        assert_eq!(with(secret(defect(), false, false)), Step::Command(Command::AddSecretFinalizer));
        for (has_finalizer, deleting) in [(false, true), (true, false), (true, true)] {
            let step = with(secret(defect(), has_finalizer, deleting));
            assert_ne!(step, Step::Command(Command::AddSecretFinalizer));
        }
    }
}

#[test]
fn every_error_of_a_read_has_its_reason() {
    let message = || Box::<str>::from("message");
    let wait = Duration::from_secs(7);
    for (error, reason, requeue) in [
        (unavailable(), Reason::ServiceUnavailable, Requeue::Backoff),
        (FicError::Outage { message: message(), wait }, Reason::ServiceUnavailable, Requeue::AfterOutage(wait)),
        (FicError::RateLimited { retry_after: None }, Reason::RateLimited, Requeue::Backoff),
        (FicError::Conflict { message: message() }, Reason::ServiceUnavailable, Requeue::Backoff),
        (
            FicError::AuthenticationFailed { message: message(), retry_after: None },
            Reason::AuthenticationFailed,
            Requeue::Resync,
        ),
        (FicError::PermissionDenied { message: message() }, Reason::PermissionDenied, Requeue::Resync),
        (FicError::Rejected { message: message() }, Reason::RequestRejected, Requeue::Resync),
        (FicError::Unexpected { message: message() }, Reason::UnexpectedAnswer, Requeue::Resync),
    ] {
        let case = Case::new().learns(StepResult::Listed(Err(error.clone())));
        assert_eq!((case.state().reason(), case.done().2), (reason, requeue), "{error:?}");
    }
}

#[test]
fn several_contracts_of_one_tenant_are_an_unexpected_answer() {
    let several = [ours(), other()].map(|id| contract(id, OperationStatus::Completed));
    assert_eq!(Case::new().listed(several.into()).state().reason(), Reason::UnexpectedAnswer);
}

#[test]
fn retry_after_delays_every_request_to_fic() {
    let until = NOW + Duration::from_secs(30);
    let retry_after = |error| Some(RetryAfter { not_before: until, error });
    let limited = FicError::RateLimited { retry_after: None };
    for (error, reason) in [(limited, Reason::RateLimited), (unavailable(), Reason::ServiceUnavailable)] {
        let case = Case::new().memory(|memory| memory.retry_after = retry_after(error));
        assert_eq!((case.state().reason(), case.done().2), (reason, Requeue::At(until)));
    }
    let retained = Case::ready().deleting().plan(|plan| plan.deletion = DeletionPolicy::Retain);
    let retained = retained.memory(|memory| memory.retry_after = retry_after(unavailable()));
    assert!(matches!(retained.step(), Step::Command(Command::CloseRecord(_))), "it sends no request to FIC");
}

#[test]
fn refused_credentials_are_tried_again_at_the_next_check_and_when_the_wait_is_over_if_they_changed() {
    let refused = FicError::AuthenticationFailed { message: "no".into(), retry_after: None };
    let case = Case::new().learns(StepResult::Listed(Err(refused.clone())));
    assert_eq!(case.done().2, Requeue::Resync);
    let shared = FicError::AuthenticationFailed { message: "no".into(), retry_after: Some(Duration::from_secs(4)) };
    let shared = Case::new().learns(StepResult::Listed(Err(shared)));
    assert_eq!(shared.done().2, Requeue::At(NOW + Duration::from_secs(4)), "another plan was refused with them");
    // A user has changed the Secret within the wait.
    let triggered = Case { run: RunState::default(), ..case };
    let until = NOW + Duration::from_secs(1);
    assert_eq!((triggered.state(), triggered.done().2), (ReadyState::RequestFailed(refused), Requeue::At(until)));
}

#[test]
fn an_expired_retry_after_delays_nothing() {
    for expired in [NOW, NOW - Duration::from_secs(1)] {
        let retry_after = RetryAfter { not_before: expired, error: unavailable() };
        let case = Case::new().memory(|memory| memory.retry_after = Some(retry_after));
        assert_eq!(case.step(), Step::Query(Query::List));
        let (_, _, requeue) = case.learns(StepResult::Listed(Err(unavailable()))).done();
        assert_eq!(requeue, Requeue::Backoff);
    }
}

#[test]
fn an_owner_under_observe_protects_its_secret() {
    let observe = |case: Case| {
        Case { secret: secret(None, false, false), ..case }.plan(|plan| plan.management = ManagementPolicy::Observe)
    };
    assert_eq!(observe(Case::ready()).step(), Step::Command(Command::AddSecretFinalizer));
    assert_eq!(observe(Case::new()).step(), Step::Query(Query::List), "a plan without a record does not need it");
}
