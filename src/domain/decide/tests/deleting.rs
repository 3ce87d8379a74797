//! A plan that is being deleted: abolish, see it gone, let go.

use super::*;

#[test]
fn a_plan_without_the_finalizer_goes_without_a_call() {
    let mut world = World::new().deleting();
    world.credentials = SecretState::NotFound;
    assert_eq!(world.rests(), (None, IdChange::Keep, Requeue::Change));
}

#[test]
fn retain_and_observe_let_go_at_once_without_credentials() {
    for change in [
        |plan: &mut PlanFacts| plan.deletion = DeletionPolicy::Retain,
        |plan: &mut PlanFacts| plan.management = ManagementPolicy::Observe,
    ] {
        let mut world = World::ready().deleting().plan(change);
        world.credentials = SecretState::NotFound;
        let farewell = ReleaseReason::Retained { id: Some(ours()), uninstall: false };
        assert_eq!(world.step(), Step::Command(Command::RemoveFinalizer(farewell)));
    }
}

#[test]
fn an_abolition_goes_show_holder_definition_delete_then_two_witnesses() {
    let world = World::ready().deleting();
    assert_eq!(world.step(), Step::Query(Query::Show(ours())));
    let world = world.shown(Some(contract(ours(), OperationStatus::Completed)));
    assert_eq!(world.step(), Step::Query(Query::Holder), "the plan as it is now: it may say Retain");
    let world = world.holding();
    assert_eq!(world.step(), Step::Query(Query::Crd));
    let world = world.news(StepResult::Crd(CrdState::Present));
    assert_eq!(world.step(), Step::Command(Command::Delete(ours())));
    let mut world = world.news(StepResult::Deleted(WriteOutcome::Accepted(())));
    assert_eq!(world.rests().0, Some(ReadyState::Abolishing(Abolishing::UnderWay(ours()))));
    for look in 1..=CONFIRMATIONS_REQUIRED {
        world.pass = RunState::default();
        world = world.shown(None);
        assert_eq!(world.step(), Step::Query(Query::List));
        world = world.listed(vec![]);
        if look < CONFIRMATIONS_REQUIRED {
            assert_eq!(world.rests().0, Some(ReadyState::Abolishing(Abolishing::UnderWay(ours()))));
        }
    }
    assert_eq!(
        world.step(),
        Step::Command(Command::RemoveFinalizer(ReleaseReason::Abolished { id: ours(), other: None }))
    );
}

#[test]
fn a_delete_waits_until_fic_has_finished() {
    let world = World::ready().deleting().shown(Some(contract(ours(), OperationStatus::Processing)));
    let world = world.news(StepResult::Crd(CrdState::Present));
    assert_eq!(world.rests().0, Some(ReadyState::Abolishing(Abolishing::WaitingForOperation(ours()))));
}

#[test]
fn an_operation_that_takes_too_long_holds_up_the_delete_and_says_so() {
    let since = NOW - Duration::from_secs(600);
    let world = World::ready().deleting().memory(|memory| memory.in_progress_since = Some(since));
    let world = world.shown(Some(contract(ours(), OperationStatus::Processing)));
    let (situation, _, wait) = world.news(StepResult::Crd(CrdState::Present)).rests();
    assert_eq!(situation, Some(ReadyState::OperationTimedOut { id: ours(), after: Duration::from_secs(600) }));
    assert_eq!(wait, Requeue::Resync);
}

#[test]
fn a_delete_is_sent_once() {
    let sent = |accepted, unchanged_looks| {
        let delete = DeleteState { sent_at: NOW, accepted, unchanged_looks, failed: false };
        let world = World::ready().deleting().memory(|memory| memory.delete = Some(delete));
        world
            .shown(Some(contract(ours(), OperationStatus::Completed)))
            .holding()
            .news(StepResult::Crd(CrdState::Present))
    };
    assert_eq!(sent(true, 50).rests().0, Some(ReadyState::Abolishing(Abolishing::UnderWay(ours()))));
    assert_eq!(sent(false, 0).rests().0, Some(ReadyState::Abolishing(Abolishing::UnderWay(ours()))));
    assert_eq!(
        sent(false, CONFIRMATIONS_REQUIRED).step(),
        Step::Command(Command::Delete(ours())),
        "evidently never arrived"
    );
}

#[test]
fn a_failed_delete_is_told_and_tried_again_slowly() {
    let failed = |sent_at| {
        let delete = DeleteState { sent_at, accepted: true, unchanged_looks: 0, failed: true };
        let world = World::ready().deleting().memory(|memory| memory.delete = Some(delete));
        world.shown(Some(contract(ours(), OperationStatus::Error))).news(StepResult::Crd(CrdState::Present)).holding()
    };
    assert_eq!(failed(NOW).step(), Step::Query(Query::Explain(ours())));
    let not_known_to_have = failed(NOW).memory(|memory| memory.delete.as_mut().expect("sent").failed = false);
    let situation = not_known_to_have.rests().0;
    assert_eq!(situation, Some(ReadyState::Abolishing(Abolishing::UnderWay(ours()))), "the look may be behind");
    let situation = failed(NOW).news(StepResult::Explained(None)).rests().0.expect("something to say");
    assert_eq!(situation.reason(), Reason::OperationFailed);
    assert_eq!(failed(NOW - Duration::from_secs(600)).step(), Step::Command(Command::Delete(ours())));
}

#[test]
fn a_contract_that_failed_before_is_abolished_all_the_same() {
    let world = World::ready().deleting().shown(Some(contract(ours(), OperationStatus::Error)));
    let world = world.holding().news(StepResult::Crd(CrdState::Present));
    assert_eq!(world.step(), Step::Command(Command::Delete(ours())));
}

#[test]
fn a_refused_delete_is_told() {
    let refused = |trouble| {
        let world = World::ready().deleting().shown(Some(contract(ours(), OperationStatus::Completed))).holding();
        let world =
            world.news(StepResult::Crd(CrdState::Present)).news(StepResult::Deleted(WriteOutcome::Refused(trouble)));
        if world.pass.shown.is_none() { world.shown(Some(contract(ours(), OperationStatus::Completed))) } else { world }
    };
    let of = |world: World| world.rests().0.expect("something to say").reason();
    assert_eq!(of(refused(FicError::Conflict { words: "busy".into() })), Reason::Abolishing);
    assert_eq!(of(refused(FicError::Rejected { words: "no".into() })), Reason::RequestRejected);
    assert_eq!(of(refused(FicError::PermissionDenied { words: "no".into() })), Reason::PermissionDenied);
}

#[test]
fn another_contract_of_the_tenant_is_left_when_ours_is_gone() {
    let world = World::ready().deleting().shown(None).listed(vec![contract(other(), OperationStatus::Completed)]);
    let world = world.long_absent();
    let farewell = ReleaseReason::Abolished { id: ours(), other: Some(other()) };
    assert_eq!(world.step(), Step::Command(Command::RemoveFinalizer(farewell)));
}

#[test]
fn a_contract_that_vanished_without_a_delete_is_looked_for_again_before_it_is_let_go() {
    let mut world = World::ready().deleting();
    for look in 1..=CONFIRMATIONS_REQUIRED {
        world.pass = RunState::default();
        world = world.shown(None).listed(vec![]).news(StepResult::Crd(CrdState::Present));
        if look < CONFIRMATIONS_REQUIRED {
            assert_eq!(world.rests().0, Some(ReadyState::Abolishing(Abolishing::MakingSure(ours()))));
        }
    }
    assert!(matches!(world.step(), Step::Command(Command::RemoveFinalizer(ReleaseReason::Abolished { .. }))));
}

#[test]
fn a_deleted_plan_with_an_open_create_looks_for_it_before_it_goes() {
    let mut world = World::open().deleting();
    for look in 1..=CONFIRMATIONS_REQUIRED {
        world.pass = RunState::default();
        world = world.listed(vec![]).news(StepResult::Crd(CrdState::Present));
        if look < CONFIRMATIONS_REQUIRED {
            assert_eq!(world.rests().0, Some(ReadyState::Abolishing(Abolishing::LookingForCreate)));
        }
    }
    assert_eq!(world.step(), Step::Command(Command::RemoveFinalizer(ReleaseReason::NothingBought)));

    let found = World::open().deleting().listed(vec![contract(ours(), OperationStatus::Completed)]).holding();
    assert_eq!(found.verdict().id, IdChange::Set(ours()), "recorded first, abolished then");
}

#[test]
fn the_definition_being_deleted_retains_also_what_could_not_be_abolished() {
    let leaving = |world: World| world.news(StepResult::Crd(CrdState::Deleting)).step();
    let retained = |id| Step::Command(Command::RemoveFinalizer(ReleaseReason::Retained { id, uninstall: true }));
    let world = World::ready().deleting().shown(Some(contract(ours(), OperationStatus::Completed))).holding();
    assert_eq!(leaving(world), retained(Some(ours())));
    let stuck = World { credentials: SecretState::NotFound, ..World::ready().deleting() }
        .news(StepResult::Secret(SecretAbsence::Absent));
    assert_eq!(stuck.step(), Step::Query(Query::Crd));
    assert_eq!(leaving(stuck), retained(Some(ours())));
    let unreachable = World::ready().deleting().news(StepResult::Shown(Err(unavailable())));
    assert_eq!(leaving(unreachable), retained(Some(ours())));
}

#[test]
fn a_deleted_plan_that_was_ready_tells_of_trouble_at_once() {
    let world =
        World::ready().deleting().news(StepResult::Shown(Err(unavailable()))).news(StepResult::Crd(CrdState::Present));
    assert_eq!(world.rests().0, Some(ReadyState::Troubled(unavailable())));
}
