//! A contract that stands, fails, is lost, or is only watched.

use super::*;

#[test]
fn a_standing_contract_is_reported_as_what_it_is() {
    let shown = |status, menu: Option<&str>| {
        let mut shown = contract(ours(), status);
        shown.current_menu = menu.map(Into::into);
        World::ready().shown(Some(shown))
    };
    let premium = Some("PremiumPlan");
    let of = |world: World| {
        let (situation, _, wait) = world.rests();
        (situation.expect("something to say"), wait)
    };
    assert_eq!(
        of(shown(OperationStatus::Completed, premium)),
        (ReadyState::Contracted { id: ours(), observed: false }, Requeue::Resync)
    );
    assert_eq!(
        of(shown(OperationStatus::Completed, Some("GoldPlan"))),
        (ReadyState::MenuMismatch { id: ours(), menu: "GoldPlan".into() }, Requeue::Resync)
    );
    for status in [OperationStatus::Processing, OperationStatus::Other("Migrating".into())] {
        assert_eq!(of(shown(status, premium)), (ReadyState::Processing { id: ours() }, Requeue::Poll));
    }
    assert_eq!(of(shown(OperationStatus::Completed, None)), (ReadyState::Processing { id: ours() }, Requeue::Poll));
}

#[test]
fn a_failed_operation_is_explained_before_it_is_reported() {
    let world = World::ready().shown(Some(contract(ours(), OperationStatus::Error)));
    assert_eq!(world.step(), Step::Query(Query::Explain(ours())));
    let (situation, _, _) = world.news(StepResult::Explained(Some("no capacity".into()))).rests();
    assert_eq!(situation, Some(ReadyState::OperationFailed { id: ours(), why: Some("no capacity".into()) }));
}

#[test]
fn what_is_shown_of_a_contract_goes_with_its_id() {
    let there = contract(other(), OperationStatus::Completed);
    let refused = World::new().listed(vec![there.clone()]).verdict();
    assert_eq!((refused.id, refused.shown), (IdChange::Clear, ContractDisplay::Nothing));
    let found = World::open().listed(vec![there.clone()]).holding().verdict();
    assert_eq!((found.id, found.shown), (IdChange::Set(other()), ContractDisplay::Contract(there)));
}

#[test]
fn an_operation_that_takes_too_long_stalls_and_recovers() {
    let since = NOW - Duration::from_secs(600);
    let world = World::ready().memory(|memory| memory.in_progress_since = Some(since));
    let (situation, _, wait) = world.shown(Some(contract(ours(), OperationStatus::Processing))).rests();
    assert_eq!(situation, Some(ReadyState::OperationTimedOut { id: ours(), after: Duration::from_secs(600) }));
    assert_eq!(wait, Requeue::Resync);
    // A process that has just begun goes by what was reported before it.
    for reason in [Reason::Processing, Reason::OperationTimedOut] {
        let reported = Reported { ready: Ready::False, reason: Some(reason) };
        let world = World::ready().plan(|plan| plan.reported = Some(reported));
        let (situation, _, _) = world.shown(Some(contract(ours(), OperationStatus::Processing))).rests();
        assert_eq!(situation.expect("something to say").reason(), reason);
    }
}

#[test]
fn a_lost_contract_needs_two_witnesses_and_several_looks() {
    let mut world = World::ready().shown(None);
    assert_eq!(world.step(), Step::Query(Query::List), "the second witness");
    for look in 1..=CONFIRMATIONS_REQUIRED {
        world.pass = RunState::default();
        world = world.shown(None).listed(vec![]);
        if look < CONFIRMATIONS_REQUIRED {
            assert_eq!(world.rests(), (None, IdChange::Keep, Requeue::Poll));
        }
    }
    match world.step() {
        Step::Report(verdict) => {
            assert_eq!((verdict.id, verdict.occasion), (IdChange::Clear, Some(Occasion::Lost(ours()))));
        }
        step => panic!("the id must go before anything is bought, not {step:?}"),
    }
    let world = world.plan(|plan| plan.recreation = RecreationPolicy::Never);
    assert_eq!(world.rests(), (Some(ReadyState::ContractLost { id: ours() }), IdChange::Keep, Requeue::Resync));
}

#[test]
fn one_witness_alone_is_not_believed() {
    let world = World::ready().shown(None).listed(vec![contract(ours(), OperationStatus::Completed)]);
    assert_eq!(world.rests().0, Some(ReadyState::Contracted { id: ours(), observed: false }));
}

#[test]
fn a_lost_contract_that_turns_up_again_is_still_ours() {
    let world = World::open().news(StepResult::IdForgotten(Some(ours())));
    let world = world.listed(vec![contract(ours(), OperationStatus::Completed)]).holding();
    assert_eq!(world.verdict().id, IdChange::Set(ours()));
}

#[test]
fn a_contract_of_another_menu_that_turns_up_before_the_create_is_not_taken_over() {
    let world = World::new().protected().news(StepResult::FinalizerAdded);
    let world = world.plan(|plan| plan.adoption = AdoptionPolicy::IfPresent);
    let found = |menu: &str| {
        let there = Contract { current_menu: Some(menu.into()), ..contract(other(), OperationStatus::Completed) };
        World { memory: world.memory.clone(), plan: world.plan.clone(), ..World::new().protected() }
            .listed(vec![there])
            .holding()
    };
    assert_eq!(found("GoldPlan").step(), Step::Command(Command::RemoveFinalizer(ReleaseReason::NothingBought)));
    assert_eq!(found("PremiumPlan").verdict().id, IdChange::Set(other()));
}

#[test]
fn a_contract_replaced_outside_is_left_alone_or_taken_over_by_policy() {
    let world = || World::ready().shown(None).listed(vec![contract(other(), OperationStatus::Completed)]).long_absent();
    let (situation, id, _) = world().rests();
    assert_eq!(situation, Some(ReadyState::AlreadyContracted { id: Some(other()), replaced: Some(ours()) }));
    assert_eq!(id, IdChange::Keep, "what was ours stays on record");
    let world = world().plan(|plan| plan.adoption = AdoptionPolicy::IfPresent).holding();
    assert_eq!(world.verdict().id, IdChange::Set(other()));
}

#[test]
fn a_contract_is_not_given_up_for_another_at_once() {
    let world = World::ready().shown(None).listed(vec![contract(other(), OperationStatus::Completed)]);
    assert_eq!(world.rests(), (None, IdChange::Keep, Requeue::Poll));
}

#[test]
fn a_ready_plan_stays_ready_through_three_silent_resyncs_and_is_then_unknown() {
    let world = |seen: u64| {
        let world = World::ready().news(StepResult::Shown(Err(unavailable())));
        world.memory(|memory| memory.last_seen = NOW - Duration::from_secs(seen))
    };
    assert_eq!(world(1799).rests(), (None, IdChange::Keep, Requeue::Backoff));
    let (situation, _, _) = world(1800).rests();
    let situation = situation.expect("something to say");
    assert_eq!((situation.reason(), situation.ready()), (Reason::ServiceUnavailable, Ready::Unknown));
}

#[test]
fn suspended_means_hands_off() {
    for world in [World::new(), World::open(), World::ready(), World::ready().deleting()] {
        let world = world.plan(|plan| plan.suspend = true);
        match world.plan.reported {
            None => assert_eq!(world.rests(), (Some(ReadyState::Suspended), IdChange::Keep, Requeue::Change)),
            Some(_) => assert_eq!(world.rests(), (None, IdChange::Keep, Requeue::Change)),
        }
    }
}

#[test]
fn observing_reports_and_changes_nothing() {
    let observe = |world: World| world.plan(|plan| plan.management = ManagementPolicy::Observe);
    let there = contract(other(), OperationStatus::Completed);
    let (situation, id, _) = observe(World::new()).listed(vec![there.clone()]).rests();
    assert_eq!(situation, Some(ReadyState::Contracted { id: other(), observed: true }));
    assert_eq!(id, IdChange::Set(other()));
    let (situation, id, _) = observe(World::new()).listed(vec![]).rests();
    assert_eq!((situation, id), (Some(ReadyState::NotContracted), IdChange::Clear));
    // An owner that was switched to Observe keeps its record of what is its own.
    let (situation, id, _) = observe(World::ready()).shown(None).listed(vec![there]).rests();
    assert_eq!((situation, id), (Some(ReadyState::Contracted { id: other(), observed: true }), IdChange::Keep));
    let (_, id, _) = observe(World::ready()).shown(None).listed(vec![]).rests();
    assert_eq!(id, IdChange::Keep);
}

#[test]
fn observing_a_failed_contract_comes_to_rest() {
    let world = World::new().plan(|plan| plan.management = ManagementPolicy::Observe);
    let world = world.listed(vec![contract(other(), OperationStatus::Error)]);
    assert!(matches!(world.step(), Step::Report(_)));
    let world = world.plan(|plan| plan.id = Some(other())).news(StepResult::IdRecorded);
    assert_eq!(world.step(), Step::Query(Query::Explain(other())));
    assert_eq!(
        world.news(StepResult::Explained(None)).rests().0.expect("something to say").reason(),
        Reason::OperationFailed
    );
}
