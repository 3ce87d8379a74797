//! From apply to a contract: look, claim, buy, take over.

use super::*;

/// The steps from apply to the create, and what each waits for.
#[test]
fn a_purchase_goes_list_secret_finalizer_holder_create() {
    let world = World::new();
    assert_eq!(world.step(), Step::Look(Look::List));
    let mut world = world.listed(vec![]);
    assert_eq!(world.step(), Step::Act(Act::ProtectSecret));
    world = world.protected();
    assert_eq!(world.step(), Step::Act(Act::AddFinalizer));
    world = world.news(News::FinalizerAdded);
    assert_eq!(world.step(), Step::Look(Look::Holder));
    world = world.holding();
    assert_eq!(world.step(), Step::Act(Act::Create));
}

#[test]
fn an_accepted_create_is_recorded_before_anything_else() {
    let bought = contract(ours(), OperationStatus::Processing);
    let world = World::open().news(News::FinalizerAdded).listed(vec![]).holding();
    let world = world.news(News::Created(Sent::Accepted(bought)));
    let verdict = world.verdict();
    assert_eq!(verdict.situation, Situation::Processing { id: ours() });
    assert_eq!(verdict.id, IdChange::Set(ours()));
    assert_eq!(verdict.occasion, Some(Occasion::Purchased(ours())));
    // Whatever else is in the way.
    for change in [
        |world: &mut World| world.credentials = Credentials::NotSeen,
        |world: &mut World| world.claim = Claim::HeldBy("a/b".into()),
        |world: &mut World| world.plan.deleting = true,
        |world: &mut World| world.plan.management = ManagementPolicy::Observe,
    ] {
        let mut hindered =
            World::open().news(News::Created(Sent::Accepted(contract(ours(), OperationStatus::Processing))));
        change(&mut hindered);
        assert_eq!(hindered.verdict().id, IdChange::Set(ours()));
    }
}

#[test]
fn a_create_of_unknown_outcome_is_looked_up_and_not_sent_again_at_once() {
    let world = World::open().news(News::FinalizerAdded).listed(vec![]).holding();
    let world = world.news(News::Created(Sent::Unknown(unavailable())));
    assert_eq!(world.step(), Step::Look(Look::List));
    let (situation, _, wait) = world.listed(vec![]).rests();
    assert_eq!((situation, wait), (Some(Situation::Purchasing { cause: Some(unavailable()) }), Wait::Poll));
}

#[test]
fn a_contract_found_after_an_open_create_is_ours() {
    let world = World::open().listed(vec![contract(ours(), OperationStatus::Completed)]);
    assert_eq!(world.step(), Step::Look(Look::Holder));
    let verdict = world.holding().verdict();
    assert_eq!(verdict.situation, Situation::Contracted { id: ours(), observed: false });
    assert_eq!((verdict.id, verdict.occasion), (IdChange::Set(ours()), Some(Occasion::Purchased(ours()))));
}

#[test]
fn an_open_create_is_sent_again_only_after_several_empty_looks() {
    let mut world = World::open();
    for _ in 0..LOOKS_TO_BELIEVE - 1 {
        world.pass = Pass::default();
        world = world.listed(vec![]);
        assert_eq!(world.rests(), (Some(Situation::Purchasing { cause: None }), IdChange::Keep, Wait::Poll));
    }
    world.pass = Pass::default();
    assert_eq!(world.listed(vec![]).holding().step(), Step::Act(Act::Create));
}

#[test]
fn each_further_create_takes_twice_as_many_empty_looks() {
    let believed_after = |resent| {
        (0..)
            .find(|&empty_looks| Create::Open { empty_looks, resent }.is_believed_void())
            .expect("some number of looks")
    };
    assert_eq!([0, 1, 2].map(believed_after), [3, 6, 12]);
}

#[test]
fn a_refused_create_gives_the_finalizer_back_and_what_is_there_then_is_not_ours() {
    let refusals = [
        Trouble::Conflict { words: "exists".into() },
        Trouble::Rejected { words: "no".into() },
        Trouble::PermissionDenied { words: "no".into() },
    ];
    for refusal in refusals {
        let world = World::open().news(News::FinalizerAdded).listed(vec![]).holding();
        let world = world.news(News::Created(Sent::Refused(refusal.clone())));
        assert_eq!(world.step(), Step::Act(Act::RemoveFinalizer(Farewell::NothingBought)), "{refusal:?}");
        let world = world.news(News::FinalizerRemoved);
        let found = contract(other(), OperationStatus::Completed);
        let (situation, id, _) = world.listed(vec![found]).rests();
        assert_eq!(situation, Some(Situation::AlreadyContracted { id: Some(other()), replaced: None }));
        assert_eq!(id, IdChange::Clear);
    }
}

#[test]
fn a_conflict_on_a_create_that_list_does_not_show_yet_is_not_tried_at_once() {
    let world = World::open().news(News::FinalizerAdded).listed(vec![]).holding();
    let world = world.news(News::Created(Sent::Refused(Trouble::Conflict { words: "exists".into() })));
    let world = world.news(News::FinalizerRemoved);
    assert_eq!(world.step(), Step::Look(Look::List));
    let (situation, _, wait) = world.listed(vec![]).rests();
    assert_eq!(situation, Some(Situation::AlreadyContracted { id: None, replaced: None }));
    assert_eq!(wait, Wait::Backoff);
}

#[test]
fn a_refusal_while_an_earlier_create_is_open_keeps_the_finalizer() {
    let conflict = Trouble::Conflict { words: "exists".into() };
    let world = World::open().news(News::Created(Sent::Refused(conflict.clone())));
    let (situation, _, _) = world.listed(vec![]).rests();
    assert_eq!(situation, Some(Situation::Purchasing { cause: Some(conflict) }));
    let world = World::open().news(News::Created(Sent::Refused(Trouble::Conflict { words: "exists".into() })));
    let found = world.listed(vec![contract(ours(), OperationStatus::Completed)]).holding();
    assert_eq!(found.verdict().id, IdChange::Set(ours()));
}

#[test]
fn a_contract_bought_elsewhere_before_any_create_of_ours_is_not_taken() {
    // The finalizer went on, and before the create the portal was faster.
    let world = World::new().protected().news(News::FinalizerAdded);
    let world = world.listed(vec![contract(other(), OperationStatus::Completed)]);
    assert_eq!(world.step(), Step::Act(Act::RemoveFinalizer(Farewell::NothingBought)));
}

#[test]
fn a_contract_that_was_there_is_left_alone_or_taken_over_by_policy() {
    let there = || vec![contract(other(), OperationStatus::Completed)];
    let (situation, _, wait) = World::new().listed(there()).rests();
    assert_eq!(situation, Some(Situation::AlreadyContracted { id: Some(other()), replaced: None }));
    assert_eq!(wait, Wait::Resync);

    let world = World::new().plan(|plan| plan.adoption = AdoptionPolicy::IfPresent).listed(there());
    assert_eq!(world.step(), Step::Act(Act::ProtectSecret));
    let world = world.protected();
    assert_eq!(world.step(), Step::Act(Act::AddFinalizer));
    let world = world.news(News::FinalizerAdded).holding();
    let verdict = world.verdict();
    assert_eq!((verdict.id, verdict.occasion), (IdChange::Set(other()), Some(Occasion::Adopted(other()))));
}

#[test]
fn a_contract_on_another_menu_is_never_taken_over() {
    let mut there = contract(other(), OperationStatus::Completed);
    there.current_menu = Some("GoldPlan".into());
    let world = World::new().plan(|plan| plan.adoption = AdoptionPolicy::IfPresent).listed(vec![there]);
    let (situation, id, _) = world.rests();
    assert_eq!(situation, Some(Situation::MenuMismatch { id: other(), menu: "GoldPlan".into() }));
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
    let refused = |world: World| world.memory(|memory| memory.create = Create::Refused);
    let give_up = Step::Act(Act::RemoveFinalizer(Farewell::NothingBought));
    assert_eq!(refused(World::open()).step(), give_up);
    assert_eq!(refused(World::open()).deleting().step(), give_up);
    assert_eq!(refused(World::new()).step(), Step::Look(Look::List));
    assert_eq!(refused(World::ready()).step(), Step::Look(Look::Show(ours())));
    assert_eq!(refused(World::ready()).deleting().step(), Step::Look(Look::Show(ours())));
}

#[test]
fn an_accepted_create_says_nothing_any_more_once_an_id_is_recorded() {
    let bought = contract(other(), OperationStatus::Processing);
    let world = World::ready().memory(|memory| memory.create = Create::Accepted(bought));
    assert_eq!(world.step(), Step::Look(Look::Show(ours())));
    assert_eq!(world.deleting().step(), Step::Look(Look::Show(ours())));
}

#[test]
fn trouble_while_a_create_is_open_is_still_a_purchase() {
    let (situation, _, _) = World::open().news(News::Listed(Err(unavailable()))).rests();
    assert_eq!(situation, Some(Situation::Purchasing { cause: Some(unavailable()) }));
}
