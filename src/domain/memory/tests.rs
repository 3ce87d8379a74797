//! What each piece of news leaves in the memory.

use super::*;
use crate::api::condition::{Ready, Reason};
use crate::domain::contract::OperationStatus;
use crate::domain::facts::Reported;

const START: Duration = Duration::from_secs(10_000);

fn settings() -> Settings {
    Settings {
        poll_interval: Duration::from_secs(4),
        resync_interval: Duration::from_mins(10),
        operation_timeout: Duration::from_mins(10),
    }
}

fn at(seconds: u64) -> Duration {
    START + Duration::from_secs(seconds)
}

fn id(number: u32) -> ContractId {
    ContractId::parse(&format!("F{number:012}")).expect("well formed")
}

fn contract(number: u32, status: OperationStatus) -> Contract {
    Contract { id: id(number), status, current_menu: None, menus: vec![] }
}

/// A plan with the finalizer, without an id, and what a process remembers that has just met it.
fn open() -> (PlanFacts, Memory) {
    let plan = PlanFacts { finalizer: true, ..crate::domain::decide::tests::plan() };
    let memory = Memory::fresh(&plan, START);
    (plan, memory)
}

/// Likewise with an id.
fn owner() -> (PlanFacts, Memory) {
    let (plan, memory) = open();
    (PlanFacts { id: Some(id(1)), ..plan }, memory)
}

fn slow() -> FicError {
    FicError::RateLimited { retry_after: Some(Duration::from_secs(30)) }
}

#[test]
fn looks_are_counted_as_far_apart_as_they_would_be_if_nobody_woke_the_plan() {
    let (plan, mut memory) = open();
    let mut look = |seconds| {
        memory.learn(&StepResult::Listed(Ok(vec![])), &plan, &settings(), at(seconds));
        match memory.create {
            CreateState::Open { empty_looks, .. } => empty_looks,
            CreateState::Unsent | CreateState::Refused | CreateState::Accepted(_) => unreachable!("it stays open"),
        }
    };
    assert_eq!([0, 1, 2, 3, 4, 6].map(&mut look), [1, 1, 1, 2, 2, 3]);
}

#[test]
fn a_look_that_shows_a_contract_is_no_empty_one() {
    let (plan, mut memory) = open();
    memory.learn(&StepResult::Listed(Ok(vec![contract(1, OperationStatus::Completed)])), &plan, &settings(), START);
    assert_eq!(memory.create, CreateState::Open { empty_looks: 0, resent: 0 });
}

#[test]
fn only_its_own_contract_ends_the_absence_of_a_plans_contract() {
    let (plan, mut memory) = owner();
    let mut listed = |contracts, seconds| {
        memory.learn(&StepResult::Listed(Ok(contracts)), &plan, &settings(), at(seconds));
        memory.absences
    };
    assert_eq!(listed(vec![], 0), 1);
    assert_eq!(listed(vec![contract(2, OperationStatus::Completed)], 4), 2);
    assert_eq!(listed(vec![contract(1, OperationStatus::Completed)], 8), 0);
    assert_eq!(listed(vec![], 12), 1);
    memory.learn(&StepResult::Shown(Ok(None)), &plan, &settings(), at(16));
    assert_eq!(memory.absences, 1, "List is the second witness, and counts for both");
    memory.learn(&StepResult::Shown(Ok(Some(contract(1, OperationStatus::Completed)))), &plan, &settings(), at(20));
    assert_eq!(memory.absences, 0);
}

#[test]
fn an_answer_says_that_fic_was_seen_and_a_trouble_may_ask_to_be_left_alone() {
    let (plan, fresh) = open();
    let until = Some(at(7) + Duration::from_secs(30));
    for (news, seen, hold) in [
        (StepResult::Listed(Ok(vec![])), at(7), None),
        (StepResult::Shown(Ok(None)), at(7), None),
        (StepResult::Listed(Err(slow())), START, until),
        (StepResult::Shown(Err(slow())), START, until),
        (StepResult::Created(WriteOutcome::NotSent(slow())), START, until),
        (StepResult::Deleted(WriteOutcome::NotSent(slow())), START, until),
        (StepResult::Shown(Err(FicError::RateLimited { retry_after: None })), START, None),
    ] {
        let mut memory = fresh.clone();
        memory.learn(&news, &plan, &settings(), at(7));
        assert_eq!((memory.last_seen, memory.hold_until), (seen, hold), "{news:?}");
    }
}

#[test]
fn a_create_is_open_until_its_outcome_is_known() {
    let (plan, fresh) = open();
    let bought = || contract(1, OperationStatus::Processing);
    let opened = |resent| CreateState::Open { empty_looks: 0, resent };
    let waited = |resent| CreateState::Open { empty_looks: 3, resent };
    for (before, outcome, after) in [
        (CreateState::Unsent, WriteOutcome::Accepted(bought()), CreateState::Accepted(bought())),
        (CreateState::Unsent, WriteOutcome::Refused(slow()), CreateState::Refused),
        (CreateState::Unsent, WriteOutcome::Unknown(slow()), opened(0)),
        (CreateState::Unsent, WriteOutcome::NotSent(slow()), CreateState::Unsent),
        (waited(0), WriteOutcome::Accepted(bought()), CreateState::Accepted(bought())),
        (waited(0), WriteOutcome::Refused(slow()), opened(1)),
        (waited(1), WriteOutcome::Unknown(slow()), opened(2)),
        (waited(1), WriteOutcome::NotSent(slow()), waited(1)),
    ] {
        let mut memory = Memory { create: before.clone(), ..fresh.clone() };
        memory.learn(&StepResult::Created(outcome.clone()), &plan, &settings(), START);
        assert_eq!(memory.create, after, "{before:?}, {outcome:?}");
    }
}

#[test]
fn each_create_sent_again_takes_twice_as_many_looks_to_be_given_up() {
    let void = |empty_looks, resent| CreateState::Open { empty_looks, resent }.is_believed_void();
    for (resent, looks) in [(0, 3), (1, 6), (2, 12), (6, 192), (40, 192)] {
        assert!(!void(looks - 1, resent) && void(looks, resent), "{resent}");
    }
    assert!(CreateState::Unsent.is_believed_void() && CreateState::Refused.is_believed_void());
    assert!(!CreateState::Accepted(contract(1, OperationStatus::Processing)).is_believed_void());
}

#[test]
fn a_delete_is_remembered_if_it_may_have_been_carried_out() {
    let (plan, fresh) = owner();
    for (outcome, accepted) in [
        (WriteOutcome::Accepted(()), Some(true)),
        (WriteOutcome::Unknown(slow()), Some(false)),
        (WriteOutcome::Refused(slow()), None),
        (WriteOutcome::NotSent(slow()), None),
    ] {
        let mut memory = fresh.clone();
        memory.learn(&StepResult::Deleted(outcome.clone()), &plan, &settings(), at(5));
        let delete =
            accepted.map(|accepted| DeleteState { sent_at: at(5), accepted, unchanged_looks: 0, failed: false });
        assert_eq!(memory.in_progress_since, delete.as_ref().map(|delete| delete.sent_at), "{outcome:?}");
        assert_eq!(memory.delete, delete, "{outcome:?}");
    }
}

#[test]
fn after_a_delete_the_looks_count_that_show_nothing_of_it_and_a_failure_is_kept() {
    let (plan, mut memory) = owner();
    let shown = |memory: &mut Memory, status, seconds| {
        let news = StepResult::Shown(Ok(Some(contract(1, status))));
        memory.learn(&news, &plan, &settings(), at(seconds));
        memory.delete.as_ref().map(|delete| (delete.unchanged_looks, delete.failed))
    };
    assert_eq!(shown(&mut memory, OperationStatus::Completed, 0), None);
    memory.learn(&StepResult::Deleted(WriteOutcome::Unknown(slow())), &plan, &settings(), at(0));
    assert_eq!(shown(&mut memory, OperationStatus::Completed, 1), Some((1, false)));
    assert_eq!(shown(&mut memory, OperationStatus::Completed, 2), Some((1, false)), "too soon to say more");
    assert_eq!(shown(&mut memory, OperationStatus::Completed, 5), Some((2, false)));
    assert_eq!(shown(&mut memory, OperationStatus::Processing, 9), Some((2, false)));
    memory.woken();
    assert!(memory.delete.is_some());
    assert_eq!(shown(&mut memory, OperationStatus::Error, 7), Some((2, false)), "it may be an older one");
    assert_eq!(shown(&mut memory, OperationStatus::Error, 13), Some((3, true)));
    assert_eq!(shown(&mut memory, OperationStatus::Error, 17), Some((4, true)));
    assert_eq!(shown(&mut memory, OperationStatus::Processing, 21), Some((4, true)));
    memory.woken();
    assert_eq!(memory.delete, None, "who asks for a look asks for another try");
}

#[test]
fn an_operation_is_in_progress_from_when_it_was_first_seen_to_be() {
    let (plan, fresh) = owner();
    let shown = |plan: &PlanFacts, statuses: &[OperationStatus]| {
        let mut memory = fresh.clone();
        for (status, seconds) in statuses.iter().zip(50..) {
            memory.learn(&StepResult::Shown(Ok(Some(contract(1, status.clone())))), plan, &settings(), at(seconds));
        }
        memory.in_progress_since
    };
    let other = || OperationStatus::Other("Migrating".into());
    assert_eq!(shown(&plan, &[OperationStatus::Processing, other()]), Some(at(50)));
    assert_eq!(shown(&plan, &[other(), OperationStatus::Processing]), Some(at(50)));
    assert_eq!(shown(&plan, &[OperationStatus::Processing, OperationStatus::Completed]), None);
    assert_eq!(shown(&plan, &[OperationStatus::Processing, OperationStatus::Error]), None);
    // What took too long for the process before this one takes too long.
    for (reason, since) in [
        (Reason::OperationTimedOut, at(50).saturating_sub(settings().operation_timeout)),
        (Reason::Processing, at(50)),
        (Reason::Contracted, at(50)),
    ] {
        let reported = Some(Reported { ready: Ready::False, reason: Some(reason) });
        let plan = PlanFacts { reported, ..plan.clone() };
        assert_eq!(shown(&plan, &[OperationStatus::Processing]), Some(since), "{reason:?}");
    }
}

#[test]
fn a_record_that_this_process_has_not_left_says_that_something_may_have_been_bought() {
    let (open, mut memory) = open();
    let bare = PlanFacts { finalizer: false, ..open.clone() };
    let owner = PlanFacts { id: Some(id(1)), ..open.clone() };
    let unsent = CreateState::Open { empty_looks: 0, resent: 0 };
    let mut met = |learnt: Option<StepResult>, plan: &PlanFacts| {
        if let Some(news) = learnt {
            if matches!(news, StepResult::FinalizerAdded | StepResult::IdForgotten(_)) {
                memory.opens_record();
            }
            memory.learn(&news, plan, &settings(), START);
        }
        memory.meet(plan);
        memory.create.clone()
    };
    assert_eq!(met(None, &open), unsent, "by a process before this one");
    assert_eq!(met(Some(StepResult::FinalizerRemoved), &bare), CreateState::Unsent);
    assert_eq!(met(Some(StepResult::FinalizerAdded), &open), CreateState::Unsent, "by this process itself");
    assert_eq!(met(None, &open), CreateState::Unsent);
    assert_eq!(met(Some(StepResult::IdRecorded), &owner), CreateState::Unsent);
    assert_eq!(met(None, &open), unsent, "somebody took the id out");
    assert_eq!(met(Some(StepResult::IdRecorded), &owner), CreateState::Unsent);
    assert_eq!(met(Some(StepResult::IdForgotten(Some(id(1)))), &open), CreateState::Unsent, "by this process itself");
    assert_eq!(met(Some(StepResult::FinalizerRemoved), &bare), CreateState::Unsent);
    assert_eq!(met(None, &open), unsent, "somebody else put it on");
    let accepted = StepResult::Created(WriteOutcome::Accepted(contract(1, OperationStatus::Processing)));
    assert_eq!(met(Some(accepted), &open), CreateState::Accepted(contract(1, OperationStatus::Processing)));
}

#[test]
fn a_conflict_may_be_about_the_contract_that_was_given_up_as_lost() {
    let (plan, fresh) = open();
    let conflict = || StepResult::Created(WriteOutcome::Refused(FicError::Conflict { words: "".into() }));
    let after = |lost, create: CreateState, news: &StepResult| {
        let mut memory = Memory { create, lost, ..fresh.clone() };
        memory.learn(news, &plan, &settings(), START);
        memory.create
    };
    assert_eq!(after(Some(id(1)), CreateState::Unsent, &conflict()), CreateState::Unsent);
    assert_eq!(after(None, CreateState::Unsent, &conflict()), CreateState::Refused);
    let rejected = StepResult::Created(WriteOutcome::Refused(FicError::Rejected { words: "".into() }));
    assert_eq!(after(Some(id(1)), CreateState::Unsent, &rejected), CreateState::Refused);
    let open = CreateState::Open { empty_looks: 3, resent: 0 };
    assert_eq!(after(Some(id(1)), open, &conflict()), CreateState::Open { empty_looks: 0, resent: 1 });
}

#[test]
fn another_contract_takes_its_own_time() {
    let (plan, mut memory) = owner();
    let in_progress = Some(at(1));
    memory.in_progress_since = in_progress;
    memory.learn(&StepResult::IdForgotten(Some(id(1))), &plan, &settings(), at(9));
    assert_eq!(memory.in_progress_since, None);
    memory.in_progress_since = in_progress;
    memory.learn(&StepResult::IdRecorded, &plan, &settings(), at(9));
    assert_eq!(memory.in_progress_since, Some(at(9)));
}

#[test]
fn what_is_recorded_in_the_plan_need_not_be_remembered() {
    let (plan, fresh) = owner();
    let busy = Memory { absences: 2, lost: Some(id(3)), ..fresh };
    let after = |news: &StepResult| {
        let mut memory = busy.clone();
        memory.learn(news, &plan, &settings(), START);
        (memory.create, memory.absences, memory.lost)
    };
    assert_eq!(after(&StepResult::IdRecorded), (CreateState::Unsent, 0, None));
    assert_eq!(after(&StepResult::IdForgotten(Some(id(4)))), (CreateState::Unsent, 0, Some(id(4))));
    assert_eq!(after(&StepResult::IdForgotten(None)), (CreateState::Unsent, 0, None));
    for news in [StepResult::FinalizerAdded, StepResult::FinalizerRemoved] {
        assert_eq!(after(&news), (CreateState::Unsent, 2, Some(id(3))), "{news:?}");
    }
    assert_eq!(after(&StepResult::SecretFinalizerAdded), (busy.create.clone(), 2, Some(id(3))));
}

#[test]
fn what_is_in_the_way_is_waited_out_ever_more_slowly_until_a_pass_without_it() {
    let mut memory = Memory::fresh(&crate::domain::decide::tests::plan(), Duration::ZERO);
    for expected in 1..=3 {
        memory.rested(true);
        assert_eq!(memory.failures, expected);
    }
    memory.rested(false);
    assert_eq!(memory.failures, 0);
    memory.rested(true);
    memory.woken();
    assert_eq!(memory.failures, 0);
}
