//! What prevents progress: the claim of another plan, the Secret, errors of FIC.

use super::*;

fn held_by_another(mut case: Case) -> Case {
    case.claim = Claim::HeldBy("team/other".into());
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
    let requeues = [Requeue::Backoff, Requeue::At(NOW), Requeue::Poll, Requeue::Resync, Requeue::OnChange];
    assert_eq!(requeues.map(Requeue::uses_backoff), [true, true, false, false, false]);
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
    let case = case.learns(StepResult::Holder(Claim::HeldBy("team/other".into())));
    let yielded = Step::Command(Command::RemoveFinalizer(ReleaseReason::Yielded));
    assert_eq!(case.step(), yielded);
    assert_eq!(case.deleting().step(), yielded);
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
    for (error, reason, requeue) in [
        (unavailable(), Reason::ServiceUnavailable, Requeue::Backoff),
        (FicError::RateLimited { retry_after: None }, Reason::RateLimited, Requeue::Backoff),
        (FicError::Conflict { message: message() }, Reason::ServiceUnavailable, Requeue::Backoff),
        (FicError::AuthenticationFailed { message: message() }, Reason::AuthenticationFailed, Requeue::Resync),
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
    assert!(matches!(retained.step(), Step::Command(Command::RemoveFinalizer(_))), "it sends no request to FIC");
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
