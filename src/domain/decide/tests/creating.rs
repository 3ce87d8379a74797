//! From apply to a contract: look, claim, buy, take over.

use super::*;

/// The steps from apply to the create, and what each waits for.
#[test]
fn a_purchase_goes_list_secret_finalizer_holder_create() {
    let world = World::new();
    assert_eq!(world.step(), Step::Query(Query::List));
    let mut world = world.listed(vec![]);
    assert_eq!(world.step(), Step::Command(Command::AddSecretFinalizer));
    world = world.protected();
    assert_eq!(world.step(), Step::Command(Command::AddFinalizer));
    world = world.news(StepResult::FinalizerAdded);
    assert_eq!(world.step(), Step::Query(Query::Holder));
    world = world.holding();
    assert_eq!(world.step(), Step::Command(Command::Create));
}

#[test]
fn an_accepted_create_is_recorded_before_anything_else() {
    let bought = contract(ours(), OperationStatus::Processing);
    let world = World::open().news(StepResult::FinalizerAdded).listed(vec![]).holding();
    let world = world.news(StepResult::Created(WriteOutcome::Accepted(bought)));
    let verdict = world.verdict();
    assert_eq!(verdict.situation, ReadyState::Processing { id: ours() });
    assert_eq!(verdict.id, IdChange::Set(ours()));
    assert_eq!(verdict.occasion, Some(Occasion::Purchased(ours())));
    // Whatever else is in the way.
    for change in [
        |world: &mut World| world.credentials = SecretState::NotFound,
        |world: &mut World| world.claim = Claim::HeldBy("a/b".into()),
        |world: &mut World| world.plan.deleting = true,
        |world: &mut World| world.plan.management = ManagementPolicy::Observe,
    ] {
        let mut hindered = World::open()
            .news(StepResult::Created(WriteOutcome::Accepted(contract(ours(), OperationStatus::Processing))));
        change(&mut hindered);
        assert_eq!(hindered.verdict().id, IdChange::Set(ours()));
    }
}

#[test]
fn a_create_of_unknown_outcome_is_looked_up_and_not_sent_again_at_once() {
    let world = World::open().news(StepResult::FinalizerAdded).listed(vec![]).holding();
    let world = world.news(StepResult::Created(WriteOutcome::Unknown(unavailable())));
    assert_eq!(world.step(), Step::Query(Query::List));
    let (situation, _, wait) = world.listed(vec![]).rests();
    assert_eq!((situation, wait), (Some(ReadyState::Purchasing { cause: Some(unavailable()) }), Requeue::Poll));
}

#[test]
fn a_contract_found_after_an_open_create_is_ours() {
    let world = World::open().listed(vec![contract(ours(), OperationStatus::Completed)]);
    assert_eq!(world.step(), Step::Query(Query::Holder));
    let verdict = world.holding().verdict();
    assert_eq!(verdict.situation, ReadyState::Contracted { id: ours(), observed: false });
    assert_eq!((verdict.id, verdict.occasion), (IdChange::Set(ours()), Some(Occasion::Purchased(ours()))));
}

#[test]
fn an_open_create_is_sent_again_only_after_several_empty_looks() {
    let mut world = World::open();
    for _ in 0..CONFIRMATIONS_REQUIRED - 1 {
        world.pass = RunState::default();
        world = world.listed(vec![]);
        assert_eq!(world.rests(), (Some(ReadyState::Purchasing { cause: None }), IdChange::Keep, Requeue::Poll));
    }
    world.pass = RunState::default();
    assert_eq!(world.listed(vec![]).holding().step(), Step::Command(Command::Create));
}

#[test]
fn each_further_create_takes_twice_as_many_empty_looks() {
    let believed_after = |resent| {
        (0..)
            .find(|&empty_looks| CreateState::Open { empty_looks, resent }.is_believed_void())
            .expect("some number of looks")
    };
    assert_eq!([0, 1, 2].map(believed_after), [3, 6, 12]);
}

#[test]
fn a_refused_create_gives_the_finalizer_back_and_what_is_there_then_is_not_ours() {
    let refusals = [
        FicError::Conflict { words: "exists".into() },
        FicError::Rejected { words: "no".into() },
        FicError::PermissionDenied { words: "no".into() },
    ];
    for refusal in refusals {
        let world = World::open().news(StepResult::FinalizerAdded).listed(vec![]).holding();
        let world = world.news(StepResult::Created(WriteOutcome::Refused(refusal.clone())));
        assert_eq!(world.step(), Step::Command(Command::RemoveFinalizer(ReleaseReason::NothingBought)), "{refusal:?}");
        let world = world.news(StepResult::FinalizerRemoved);
        let found = contract(other(), OperationStatus::Completed);
        let (situation, id, _) = world.listed(vec![found]).rests();
        assert_eq!(situation, Some(ReadyState::AlreadyContracted { id: Some(other()), replaced: None }));
        assert_eq!(id, IdChange::Clear);
    }
}

#[test]
fn a_conflict_on_a_create_that_list_does_not_show_yet_is_not_tried_at_once() {
    let world = World::open().news(StepResult::FinalizerAdded).listed(vec![]).holding();
    let world = world.news(StepResult::Created(WriteOutcome::Refused(FicError::Conflict { words: "exists".into() })));
    let world = world.news(StepResult::FinalizerRemoved);
    assert_eq!(world.step(), Step::Query(Query::List));
    let (situation, _, wait) = world.listed(vec![]).rests();
    assert_eq!(situation, Some(ReadyState::AlreadyContracted { id: None, replaced: None }));
    assert_eq!(wait, Requeue::Backoff);
}

#[test]
fn a_refusal_while_an_earlier_create_is_open_keeps_the_finalizer() {
    let conflict = FicError::Conflict { words: "exists".into() };
    let world = World::open().news(StepResult::Created(WriteOutcome::Refused(conflict.clone())));
    let (situation, _, _) = world.listed(vec![]).rests();
    assert_eq!(situation, Some(ReadyState::Purchasing { cause: Some(conflict) }));
    let world =
        World::open().news(StepResult::Created(WriteOutcome::Refused(FicError::Conflict { words: "exists".into() })));
    let found = world.listed(vec![contract(ours(), OperationStatus::Completed)]).holding();
    assert_eq!(found.verdict().id, IdChange::Set(ours()));
}

#[test]
fn a_contract_bought_elsewhere_before_any_create_of_ours_is_not_taken() {
    // The finalizer went on, and before the create the portal was faster.
    let world = World::new().protected().news(StepResult::FinalizerAdded);
    let world = world.listed(vec![contract(other(), OperationStatus::Completed)]);
    assert_eq!(world.step(), Step::Command(Command::RemoveFinalizer(ReleaseReason::NothingBought)));
}

#[test]
fn a_contract_that_was_there_is_left_alone_or_taken_over_by_policy() {
    let there = || vec![contract(other(), OperationStatus::Completed)];
    let (situation, _, wait) = World::new().listed(there()).rests();
    assert_eq!(situation, Some(ReadyState::AlreadyContracted { id: Some(other()), replaced: None }));
    assert_eq!(wait, Requeue::Resync);

    let world = World::new().plan(|plan| plan.adoption = AdoptionPolicy::IfPresent).listed(there());
    assert_eq!(world.step(), Step::Command(Command::AddSecretFinalizer));
    let world = world.protected();
    assert_eq!(world.step(), Step::Command(Command::AddFinalizer));
    let world = world.news(StepResult::FinalizerAdded).holding();
    let verdict = world.verdict();
    assert_eq!((verdict.id, verdict.occasion), (IdChange::Set(other()), Some(Occasion::Adopted(other()))));
}

#[test]
fn a_contract_on_another_menu_is_never_taken_over() {
    let mut there = contract(other(), OperationStatus::Completed);
    there.current_menu = Some("GoldPlan".into());
    let world = World::new().plan(|plan| plan.adoption = AdoptionPolicy::IfPresent).listed(vec![there]);
    let (situation, id, _) = world.rests();
    assert_eq!(situation, Some(ReadyState::MenuMismatch { id: other(), menu: "GoldPlan".into() }));
    assert_eq!(id, IdChange::Keep);
}

#[test]
fn an_id_that_was_only_watched_never_becomes_a_claim() {
    let world = World::new().protected().plan(|plan| plan.id = Some(other())).listed(vec![]);
    match world.step() {
        Step::Report(verdict) => assert_eq!(verdict.id, IdChange::Clear),
        step => panic!("the old id must go before the finalizer is put on, not {step:?}"),
    }
}

#[test]
fn a_refused_create_takes_back_the_finalizer_and_never_the_record_of_a_contract() {
    let refused = |world: World| world.memory(|memory| memory.create = CreateState::Refused);
    let give_up = Step::Command(Command::RemoveFinalizer(ReleaseReason::NothingBought));
    assert_eq!(refused(World::open()).step(), give_up);
    assert_eq!(refused(World::open()).deleting().step(), give_up);
    assert_eq!(refused(World::new()).step(), Step::Query(Query::List));
    assert_eq!(refused(World::ready()).step(), Step::Query(Query::Show(ours())));
    assert_eq!(refused(World::ready()).deleting().step(), Step::Query(Query::Show(ours())));
}

#[test]
fn an_accepted_create_says_nothing_any_more_once_an_id_is_recorded() {
    let bought = contract(other(), OperationStatus::Processing);
    let world = World::ready().memory(|memory| memory.create = CreateState::Accepted(bought));
    assert_eq!(world.step(), Step::Query(Query::Show(ours())));
    assert_eq!(world.deleting().step(), Step::Query(Query::Show(ours())));
}

#[test]
fn trouble_while_a_create_is_open_is_still_a_purchase() {
    let (situation, _, _) = World::open().news(StepResult::Listed(Err(unavailable()))).rests();
    assert_eq!(situation, Some(ReadyState::Purchasing { cause: Some(unavailable()) }));
}
