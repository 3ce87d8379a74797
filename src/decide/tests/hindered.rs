//! What is in the way: another plan's tenant, Secrets, trouble with FIC.

use super::*;

#[test]
fn a_secret_that_is_being_deleted_buys_nothing_new() {
    let mut world = World::new();
    world.credentials = Credentials::Seen { defect: None, protected: true, deleting: true };
    let (situation, _, _) = world.listed(vec![]).rests();
    assert_eq!(situation, Some(Situation::CredentialsLeaving));
}

#[test]
fn a_secret_in_use_is_protected_again_if_it_lost_its_finalizer() {
    let mut world = World::ready();
    world.credentials = Credentials::Seen { defect: None, protected: false, deleting: false };
    assert_eq!(world.step(), Step::Act(Act::ProtectSecret));
}

#[test]
fn what_is_in_the_way_is_waited_out_ever_more_slowly() {
    let hindered = [Wait::Backoff, Wait::Until(NOW), Wait::Poll, Wait::Resync, Wait::Change].map(Wait::is_hindered);
    assert_eq!(hindered, [true, true, false, false, false]);
}

#[test]
fn a_plan_that_does_not_hold_its_tenant_makes_no_calls() {
    let mut world = World::new();
    world.claim = Claim::HeldBy("team/other".into());
    let (situation, id, _) = world.rests();
    assert_eq!((situation, id), (Some(Situation::TenantClaimed { holder: "team/other".into() }), IdChange::Clear));
}

#[test]
fn an_id_that_was_only_watched_does_not_hold_a_tenant() {
    let mut world = World::new().plan(|plan| plan.id = Some(other()));
    world.claim = Claim::HeldBy("team/other".into());
    assert_eq!(world.rests().0, Some(Situation::TenantClaimed { holder: "team/other".into() }));
}

#[test]
fn a_plan_with_the_finalizer_yields_only_on_the_api_servers_word() {
    let mut world = World::open();
    world.claim = Claim::HeldBy("team/other".into());
    assert_eq!(world.step(), Step::Look(Look::Holder));
    let world = world.news(News::Holder(Claim::HeldBy("team/other".into())));
    assert_eq!(world.step(), Step::Act(Act::RemoveFinalizer(Farewell::Yielded)));
    assert_eq!(
        World { plan: PlanFacts { deleting: true, ..world.plan.clone() }, ..world }.step(),
        Step::Act(Act::RemoveFinalizer(Farewell::Yielded))
    );
}

#[test]
fn a_plan_with_a_contract_never_yields() {
    let mut world = World::ready();
    world.claim = Claim::HeldBy("team/other".into());
    assert_eq!(world.step(), Step::Look(Look::Show(ours())));
}

#[test]
fn a_deleted_plan_with_a_contract_never_yields() {
    let mut world = World::ready().deleting();
    world.claim = Claim::HeldBy("team/other".into());
    assert_eq!(world.step(), Step::Look(Look::Show(ours())));
}

#[test]
fn a_deleted_plan_keeps_its_secret_unless_that_is_too_late() {
    let with = |protected, deleting| {
        World { credentials: Credentials::Seen { defect: None, protected, deleting }, ..World::ready().deleting() }
            .step()
    };
    assert_eq!(with(false, false), Step::Act(Act::ProtectSecret));
    for (protected, deleting) in [(false, true), (true, false), (true, true)] {
        assert_eq!(with(protected, deleting), Step::Look(Look::Show(ours())));
    }
}

#[test]
fn credentials_are_told_apart() {
    let with = |credentials| World { credentials, ..World::new() };
    assert_eq!(with(Credentials::NotSeen).step(), Step::Look(Look::Secret));
    assert_eq!(
        with(Credentials::NotSeen).news(News::Secret(Unseen::Absent)).rests().0,
        Some(Situation::CredentialsMissing)
    );
    assert_eq!(
        with(Credentials::NotSeen).news(News::Secret(Unseen::WrongType)).rests().0,
        Some(Situation::CredentialsInvalid(Defect::WrongType))
    );
    let defect = Defect::KeyMissing("apiKey");
    let invalid = |protected, deleting| Credentials::Seen { defect: Some(defect.clone()), protected, deleting };
    assert_eq!(with(invalid(false, false)).rests().0, Some(Situation::CredentialsInvalid(defect.clone())));
}

/// In a namespace that is going away a Secret can be mended, and none be created.
#[test]
fn a_secret_that_cannot_be_used_is_kept_too_by_whoever_may_need_it() {
    let defect = Defect::KeyMissing("apiKey");
    let invalid = |protected, deleting| Credentials::Seen { defect: Some(defect.clone()), protected, deleting };
    for world in [World::ready(), World::ready().deleting(), World::open()] {
        let with = |credentials| World { credentials, ..world.clone() };
        assert_eq!(with(invalid(false, false)).step(), Step::Act(Act::ProtectSecret));
        for (protected, deleting) in [(false, true), (true, false), (true, true)] {
            assert_ne!(with(invalid(protected, deleting)).step(), Step::Act(Act::ProtectSecret));
        }
    }
}

#[test]
fn every_trouble_of_a_look_has_its_reason() {
    let words = || Box::<str>::from("words");
    for (trouble, reason, wait) in [
        (unavailable(), Reason::ServiceUnavailable, Wait::Backoff),
        (Trouble::RateLimited { retry_after: None }, Reason::RateLimited, Wait::Backoff),
        (Trouble::Conflict { words: words() }, Reason::ServiceUnavailable, Wait::Backoff),
        (Trouble::AuthenticationFailed { words: words() }, Reason::AuthenticationFailed, Wait::Resync),
        (Trouble::PermissionDenied { words: words() }, Reason::PermissionDenied, Wait::Resync),
        (Trouble::Rejected { words: words() }, Reason::RequestRejected, Wait::Resync),
        (Trouble::Unexpected { what: words() }, Reason::UnexpectedAnswer, Wait::Resync),
    ] {
        let (situation, _, waits) = World::new().news(News::Listed(Err(trouble.clone()))).rests();
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
    assert_eq!(wait, Wait::Until(until));
    let letting_go = World::ready().deleting().plan(|plan| plan.deletion = DeletionPolicy::Retain);
    let letting_go = letting_go.memory(|memory| memory.hold_until = Some(until));
    assert!(matches!(letting_go.step(), Step::Act(Act::RemoveFinalizer(_))), "what takes no call need not wait");
}

#[test]
fn a_retry_after_that_is_over_holds_nothing_up() {
    for over in [NOW, NOW - Duration::from_secs(1)] {
        let world = World::new().memory(|memory| memory.hold_until = Some(over));
        assert_eq!(world.step(), Step::Look(Look::List));
        let (_, _, wait) = world.news(News::Listed(Err(unavailable()))).rests();
        assert_eq!(wait, Wait::Backoff);
    }
}

#[test]
fn an_owner_that_only_watches_for_now_keeps_its_secret_all_the_same() {
    let observe = |world: World| {
        World { credentials: World::new().credentials, ..world }
            .plan(|plan| plan.management = ManagementPolicy::Observe)
    };
    assert_eq!(observe(World::ready()).step(), Step::Act(Act::ProtectSecret));
    assert_eq!(observe(World::new()).step(), Step::Look(Look::List), "what is not its own it leaves as it is");
}
