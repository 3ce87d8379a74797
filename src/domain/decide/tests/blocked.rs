//! What is in the way: another plan's tenant, Secrets, trouble with FIC.

use super::*;

#[test]
fn a_secret_that_is_being_deleted_buys_nothing_new() {
    let mut world = World::new();
    world.credentials = SecretState::Found { defect: None, protected: true, deleting: true };
    let (situation, _, _) = world.listed(vec![]).rests();
    assert_eq!(situation, Some(ReadyState::CredentialsLeaving));
}

#[test]
fn a_secret_in_use_is_protected_again_if_it_lost_its_finalizer() {
    let mut world = World::ready();
    world.credentials = SecretState::Found { defect: None, protected: false, deleting: false };
    assert_eq!(world.step(), Step::Command(Command::AddSecretFinalizer));
}

#[test]
fn what_is_in_the_way_is_waited_out_ever_more_slowly() {
    let hindered = [Requeue::Backoff, Requeue::Until(NOW), Requeue::Poll, Requeue::Resync, Requeue::Change]
        .map(Requeue::uses_backoff);
    assert_eq!(hindered, [true, true, false, false, false]);
}

#[test]
fn a_plan_that_does_not_hold_its_tenant_makes_no_calls() {
    let mut world = World::new();
    world.claim = Claim::HeldBy("team/other".into());
    let (situation, id, _) = world.rests();
    assert_eq!((situation, id), (Some(ReadyState::TenantClaimed { holder: "team/other".into() }), IdChange::Clear));
}

#[test]
fn an_id_that_was_only_watched_does_not_hold_a_tenant() {
    let mut world = World::new().plan(|plan| plan.id = Some(other()));
    world.claim = Claim::HeldBy("team/other".into());
    assert_eq!(world.rests().0, Some(ReadyState::TenantClaimed { holder: "team/other".into() }));
}

#[test]
fn a_plan_with_the_finalizer_yields_only_on_the_api_servers_word() {
    let mut world = World::open();
    world.claim = Claim::HeldBy("team/other".into());
    assert_eq!(world.step(), Step::Query(Query::Holder));
    let world = world.news(StepResult::Holder(Claim::HeldBy("team/other".into())));
    assert_eq!(world.step(), Step::Command(Command::RemoveFinalizer(ReleaseReason::Yielded)));
    assert_eq!(
        World { plan: PlanFacts { deleting: true, ..world.plan.clone() }, ..world }.step(),
        Step::Command(Command::RemoveFinalizer(ReleaseReason::Yielded))
    );
}

#[test]
fn a_plan_with_a_contract_never_yields() {
    let mut world = World::ready();
    world.claim = Claim::HeldBy("team/other".into());
    assert_eq!(world.step(), Step::Query(Query::Show(ours())));
}

#[test]
fn a_deleted_plan_with_a_contract_never_yields() {
    let mut world = World::ready().deleting();
    world.claim = Claim::HeldBy("team/other".into());
    assert_eq!(world.step(), Step::Query(Query::Show(ours())));
}

#[test]
fn a_deleted_plan_keeps_its_secret_unless_that_is_too_late() {
    let with = |protected, deleting| {
        World { credentials: SecretState::Found { defect: None, protected, deleting }, ..World::ready().deleting() }
            .step()
    };
    assert_eq!(with(false, false), Step::Command(Command::AddSecretFinalizer));
    for (protected, deleting) in [(false, true), (true, false), (true, true)] {
        assert_eq!(with(protected, deleting), Step::Query(Query::Show(ours())));
    }
}

#[test]
fn credentials_are_told_apart() {
    let with = |credentials| World { credentials, ..World::new() };
    assert_eq!(with(SecretState::NotFound).step(), Step::Query(Query::Secret));
    assert_eq!(
        with(SecretState::NotFound).news(StepResult::Secret(SecretAbsence::Absent)).rests().0,
        Some(ReadyState::CredentialsMissing)
    );
    assert_eq!(
        with(SecretState::NotFound).news(StepResult::Secret(SecretAbsence::WrongType)).rests().0,
        Some(ReadyState::CredentialsInvalid(SecretDefect::WrongType))
    );
    let defect = SecretDefect::KeyMissing("apiKey");
    let invalid = |protected, deleting| SecretState::Found { defect: Some(defect.clone()), protected, deleting };
    assert_eq!(with(invalid(false, false)).rests().0, Some(ReadyState::CredentialsInvalid(defect.clone())));
}

/// In a namespace that is going away a Secret can be mended, and none be created.
#[test]
fn a_secret_that_cannot_be_used_is_kept_too_by_whoever_may_need_it() {
    let defect = SecretDefect::KeyMissing("apiKey");
    let invalid = |protected, deleting| SecretState::Found { defect: Some(defect.clone()), protected, deleting };
    for world in [World::ready(), World::ready().deleting(), World::open()] {
        let with = |credentials| World { credentials, ..world.clone() };
        assert_eq!(with(invalid(false, false)).step(), Step::Command(Command::AddSecretFinalizer));
        for (protected, deleting) in [(false, true), (true, false), (true, true)] {
            assert_ne!(with(invalid(protected, deleting)).step(), Step::Command(Command::AddSecretFinalizer));
        }
    }
}

#[test]
fn every_trouble_of_a_look_has_its_reason() {
    let words = || Box::<str>::from("words");
    for (trouble, reason, wait) in [
        (unavailable(), Reason::ServiceUnavailable, Requeue::Backoff),
        (FicError::RateLimited { retry_after: None }, Reason::RateLimited, Requeue::Backoff),
        (FicError::Conflict { words: words() }, Reason::ServiceUnavailable, Requeue::Backoff),
        (FicError::AuthenticationFailed { words: words() }, Reason::AuthenticationFailed, Requeue::Resync),
        (FicError::PermissionDenied { words: words() }, Reason::PermissionDenied, Requeue::Resync),
        (FicError::Rejected { words: words() }, Reason::RequestRejected, Requeue::Resync),
        (FicError::Unexpected { what: words() }, Reason::UnexpectedAnswer, Requeue::Resync),
    ] {
        let (situation, _, waits) = World::new().news(StepResult::Listed(Err(trouble.clone()))).rests();
        assert_eq!((situation.expect("something to say").reason(), waits), (reason, wait), "{trouble:?}");
    }
}

#[test]
fn several_contracts_for_one_tenant_are_not_acted_on() {
    let several = vec![contract(ours(), OperationStatus::Completed), contract(other(), OperationStatus::Completed)];
    assert_eq!(World::new().listed(several).rests().0.expect("something to say").reason(), Reason::UnexpectedAnswer);
}

#[test]
fn retry_after_is_kept_to_whoever_asks() {
    let until = NOW + Duration::from_secs(30);
    let world = World::new().memory(|memory| memory.hold_until = Some(until));
    let (situation, _, wait) = world.rests();
    assert_eq!(situation.expect("something to say").reason(), Reason::RateLimited);
    assert_eq!(wait, Requeue::Until(until));
    let letting_go = World::ready().deleting().plan(|plan| plan.deletion = DeletionPolicy::Retain);
    let letting_go = letting_go.memory(|memory| memory.hold_until = Some(until));
    assert!(
        matches!(letting_go.step(), Step::Command(Command::RemoveFinalizer(_))),
        "what takes no call need not wait"
    );
}

#[test]
fn a_retry_after_that_is_over_holds_nothing_up() {
    for over in [NOW, NOW - Duration::from_secs(1)] {
        let world = World::new().memory(|memory| memory.hold_until = Some(over));
        assert_eq!(world.step(), Step::Query(Query::List));
        let (_, _, wait) = world.news(StepResult::Listed(Err(unavailable()))).rests();
        assert_eq!(wait, Requeue::Backoff);
    }
}

#[test]
fn an_owner_that_only_watches_for_now_keeps_its_secret_all_the_same() {
    let observe = |world: World| {
        World { credentials: World::new().credentials, ..world }
            .plan(|plan| plan.management = ManagementPolicy::Observe)
    };
    assert_eq!(observe(World::ready()).step(), Step::Command(Command::AddSecretFinalizer));
    assert_eq!(observe(World::new()).step(), Step::Query(Query::List), "what is not its own it leaves as it is");
}
