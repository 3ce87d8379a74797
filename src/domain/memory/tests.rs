//! What each result of a step changes in the memory.

use super::*;
use crate::api::condition::{ConditionStatus, Reason};
use crate::domain::contract::OperationStatus;
use crate::domain::facts::{Marks, Reported};

const START: Duration = Duration::from_secs(10_000);

fn settings() -> Settings {
    Settings {
        poll_interval: Duration::from_secs(4),
        resync_interval: Duration::from_mins(10),
        operation_timeout: Duration::from_mins(10),
        loss_patience: Duration::from_mins(5),
        max_recreations_per_hour: Some(3),
        lease_duration: Duration::from_secs(15),
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

/// A plan with an open record, and the memory of a process that sees it for the first time.
fn open() -> (PlanFacts, Memory) {
    let marks = Marks::COMPLETE;
    let plan = PlanFacts { record: Record::Open, marks, ..crate::domain::decide::tests::plan() };
    let memory = Memory::new(&plan, START);
    (plan, memory)
}

/// The same with a contract.
fn owner() -> (PlanFacts, Memory) {
    let (plan, memory) = open();
    (PlanFacts { record: Record::Owned(id(1)), ..plan }, memory)
}

fn rate_limited() -> FicError {
    FicError::RateLimited { retry_after: Some(Duration::from_secs(30)) }
}

#[test]
fn reads_count_only_a_poll_interval_apart() {
    let (plan, mut memory) = open();
    let mut read = |seconds| {
        memory.learn(&StepResult::Listed(Ok(vec![])), &plan, &settings(), at(seconds));
        match memory.create {
            CreateState::Unconfirmed { empty_reads, .. } => empty_reads,
            CreateState::Unsent | CreateState::Refused | CreateState::Accepted(_) => unreachable!("it stays open"),
        }
    };
    assert_eq!([0, 1, 2, 3, 4, 6].map(&mut read), [1, 1, 1, 2, 2, 3]);
}

#[test]
fn a_read_that_shows_a_contract_is_not_an_empty_read() {
    let (plan, mut memory) = open();
    memory.learn(&StepResult::Listed(Ok(vec![contract(1, OperationStatus::Completed)])), &plan, &settings(), START);
    assert_eq!(memory.create, CreateState::UNCONFIRMED_BY_OTHER);
}

#[test]
fn only_the_contract_of_the_plan_ends_its_absence() {
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
    assert_eq!(memory.absences, 1, "an absence counts only when List confirms it");
    memory.learn(&StepResult::Shown(Ok(Some(contract(1, OperationStatus::Completed)))), &plan, &settings(), at(20));
    assert_eq!(memory.absences, 0);
}

#[test]
fn an_answer_updates_the_last_answer_and_an_error_the_retry_after() {
    let (plan, fresh) = open();
    let until = Some(RetryAfter { not_before: at(7) + Duration::from_secs(30), error: rate_limited() });
    for (result, last_answer_at, retry_after) in [
        (StepResult::Listed(Ok(vec![])), at(7), None),
        (StepResult::Shown(Ok(None)), at(7), None),
        (StepResult::Listed(Err(rate_limited())), START, until.clone()),
        (StepResult::Shown(Err(rate_limited())), START, until.clone()),
        (StepResult::Created(WriteOutcome::NotSent(rate_limited())), START, until.clone()),
        (StepResult::Deleted(WriteOutcome::NotSent(rate_limited())), START, until.clone()),
        (StepResult::Shown(Err(FicError::RateLimited { retry_after: None })), START, None),
    ] {
        let mut memory = fresh.clone();
        memory.learn(&result, &plan, &settings(), at(7));
        assert_eq!((memory.last_answer_at, memory.retry_after), (last_answer_at, retry_after), "{result:?}");
    }
}

#[test]
fn a_create_is_unconfirmed_until_its_outcome_is_known() {
    let (plan, fresh) = open();
    let bought = || contract(1, OperationStatus::Processing);
    let unconfirmed = |resent| CreateState::Unconfirmed { sent_here: true, empty_reads: 0, resent };
    let waited = |resent| CreateState::Unconfirmed { sent_here: true, empty_reads: 3, resent };
    let foreign = |empty_reads, resent| CreateState::Unconfirmed { sent_here: false, empty_reads, resent };
    for (before, outcome, after) in [
        (CreateState::Unsent, WriteOutcome::Accepted(bought()), CreateState::Accepted(bought())),
        (CreateState::Unsent, WriteOutcome::Refused(rate_limited()), CreateState::Refused),
        (CreateState::Unsent, WriteOutcome::Unknown(rate_limited()), unconfirmed(0)),
        (CreateState::Unsent, WriteOutcome::NotSent(rate_limited()), CreateState::Refused),
        (foreign(3, 0), WriteOutcome::Refused(rate_limited()), foreign(0, 1)),
        (foreign(3, 0), WriteOutcome::Unknown(rate_limited()), unconfirmed(1)),
        (foreign(3, 0), WriteOutcome::NotSent(rate_limited()), foreign(3, 0)),
        (waited(0), WriteOutcome::Accepted(bought()), CreateState::Accepted(bought())),
        (waited(0), WriteOutcome::Refused(rate_limited()), unconfirmed(1)),
        (waited(1), WriteOutcome::Unknown(rate_limited()), unconfirmed(2)),
        (waited(1), WriteOutcome::NotSent(rate_limited()), waited(1)),
    ] {
        let mut memory = Memory { create: before.clone(), ..fresh.clone() };
        memory.learn(&StepResult::Created(outcome.clone()), &plan, &settings(), START);
        assert_eq!(memory.create, after, "{before:?}, {outcome:?}");
    }
}

#[test]
fn each_further_create_doubles_the_reads_that_confirm_it_void() {
    let void =
        |empty_reads, resent| CreateState::Unconfirmed { sent_here: true, empty_reads, resent }.nothing_was_created();
    for (resent, reads) in [(0, 3), (1, 6), (2, 12), (6, 192), (40, 192)] {
        assert!(!void(reads - 1, resent) && void(reads, resent), "{resent}");
    }
    assert!(CreateState::Unsent.nothing_was_created() && CreateState::Refused.nothing_was_created());
    assert!(!CreateState::Accepted(contract(1, OperationStatus::Processing)).nothing_was_created());
}

#[test]
fn a_delete_is_remembered_if_fic_may_have_executed_it() {
    let (plan, fresh) = owner();
    for (outcome, accepted) in [
        (WriteOutcome::Accepted(()), Some(true)),
        (WriteOutcome::Unknown(rate_limited()), Some(false)),
        (WriteOutcome::Refused(rate_limited()), None),
        (WriteOutcome::NotSent(rate_limited()), None),
    ] {
        let mut memory = fresh.clone();
        memory.learn(&StepResult::Deleted(outcome.clone()), &plan, &settings(), at(5));
        let delete = accepted.map(|accepted| DeleteState {
            id: id(1),
            sent_at: at(5),
            accepted,
            unchanged_reads: 0,
            failed: false,
        });
        assert_eq!(memory.in_progress_since, delete.as_ref().map(|delete| delete.sent_at), "{outcome:?}");
        assert_eq!(memory.delete, delete, "{outcome:?}");
    }
}

#[test]
fn reads_that_show_no_effect_of_a_delete_are_counted_and_a_failure_is_kept() {
    let (plan, mut memory) = owner();
    let shown = |memory: &mut Memory, status, seconds| {
        let result = StepResult::Shown(Ok(Some(contract(1, status))));
        memory.learn(&result, &plan, &settings(), at(seconds));
        memory.delete.as_ref().map(|delete| (delete.unchanged_reads, delete.failed))
    };
    assert_eq!(shown(&mut memory, OperationStatus::Completed, 0), None);
    memory.learn(&StepResult::Deleted(WriteOutcome::Unknown(rate_limited())), &plan, &settings(), at(0));
    assert_eq!(shown(&mut memory, OperationStatus::Completed, 1), Some((1, false)));
    assert_eq!(shown(&mut memory, OperationStatus::Completed, 2), Some((1, false)), "too close to the last read");
    assert_eq!(shown(&mut memory, OperationStatus::Completed, 5), Some((2, false)));
    assert_eq!(shown(&mut memory, OperationStatus::Processing, 9), Some((2, false)));
    memory.inputs_changed();
    assert!(memory.delete.is_some());
    assert_eq!(shown(&mut memory, OperationStatus::Error, 7), Some((2, false)), "it may be an earlier error");
    assert_eq!(shown(&mut memory, OperationStatus::Error, 13), Some((3, true)));
    assert_eq!(shown(&mut memory, OperationStatus::Error, 17), Some((4, true)));
    assert_eq!(shown(&mut memory, OperationStatus::Processing, 21), Some((4, true)));
    memory.inputs_changed();
    assert_eq!(memory.delete, None, "a requested reconcile sends the delete again");
}

#[test]
fn an_operation_is_in_progress_since_the_first_read_that_shows_it() {
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
    // An operation that timed out in an earlier process has timed out.
    for (reason, since) in [
        (Reason::OperationTimedOut, at(50).saturating_sub(settings().operation_timeout)),
        (Reason::Processing, at(50)),
        (Reason::Contracted, at(50)),
    ] {
        let reported = Some(Reported::current(ConditionStatus::False, reason));
        let plan = PlanFacts { reported, ..plan.clone() };
        assert_eq!(shown(&plan, &[OperationStatus::Processing]), Some(since), "{reason:?}");
    }
}

#[test]
fn a_record_that_another_process_opened_leaves_the_create_unconfirmed() {
    let (open, mut memory) = open();
    let closed = PlanFacts { record: Record::None, ..open.clone() };
    let owner = PlanFacts { record: Record::Owned(id(1)), ..open.clone() };
    let unconfirmed = CreateState::UNCONFIRMED_BY_OTHER;
    let mut reconcile = |learned: Option<StepResult>, plan: &PlanFacts| {
        if let Some(result) = learned {
            if matches!(result, StepResult::RecordOpened | StepResult::IdCleared { .. }) {
                memory.mark_record_open();
            }
            memory.learn(&result, plan, &settings(), START);
        }
        memory.start_reconcile(plan, &settings(), at(100));
        memory.create.clone()
    };
    assert_eq!(reconcile(None, &open), unconfirmed, "an earlier process opened it");
    assert_eq!(reconcile(Some(StepResult::RecordClosed), &closed), CreateState::Unsent);
    assert_eq!(reconcile(Some(StepResult::RecordOpened), &open), CreateState::Unsent, "this process opened it");
    assert_eq!(reconcile(None, &open), CreateState::Unsent);
    assert_eq!(reconcile(Some(StepResult::IdRecorded), &owner), CreateState::Unsent);
    assert_eq!(reconcile(None, &open), unconfirmed, "a user removed the id");
    assert_eq!(reconcile(Some(StepResult::IdRecorded), &owner), CreateState::Unsent);
    assert_eq!(
        reconcile(Some(StepResult::IdCleared { lost: Some(id(1)) }), &open),
        CreateState::Unsent,
        "this process opened it"
    );
    assert_eq!(reconcile(Some(StepResult::RecordClosed), &closed), CreateState::Unsent);
    assert_eq!(reconcile(None, &open), unconfirmed, "another process opened it");
    let accepted = StepResult::Created(WriteOutcome::Accepted(contract(1, OperationStatus::Processing)));
    assert_eq!(reconcile(Some(accepted), &open), CreateState::Accepted(contract(1, OperationStatus::Processing)));
}

#[test]
fn a_conflict_may_concern_the_contract_that_was_given_up_as_lost() {
    let (plan, fresh) = open();
    let conflict = || StepResult::Created(WriteOutcome::Refused(FicError::Conflict { message: "".into() }));
    let after = |lost, create: CreateState, result: &StepResult| {
        let mut memory = Memory { create, lost, ..fresh.clone() };
        memory.learn(result, &plan, &settings(), START);
        memory.create
    };
    assert_eq!(after(Some(id(1)), CreateState::Unsent, &conflict()), CreateState::Unsent);
    assert_eq!(after(None, CreateState::Unsent, &conflict()), CreateState::Refused);
    let rejected = StepResult::Created(WriteOutcome::Refused(FicError::Rejected { message: "".into() }));
    assert_eq!(after(Some(id(1)), CreateState::Unsent, &rejected), CreateState::Refused);
    let open = |empty_reads, resent| CreateState::Unconfirmed { sent_here: true, empty_reads, resent };
    assert_eq!(after(Some(id(1)), open(3, 0), &conflict()), open(0, 1));
}

#[test]
fn the_operation_timeout_starts_again_for_another_contract() {
    let (plan, mut memory) = owner();
    let in_progress = Some(at(1));
    memory.in_progress_since = in_progress;
    memory.learn(&StepResult::IdCleared { lost: Some(id(1)) }, &plan, &settings(), at(9));
    assert_eq!(memory.in_progress_since, None);
    memory.in_progress_since = in_progress;
    memory.learn(&StepResult::IdRecorded, &plan, &settings(), at(9));
    assert_eq!(memory.in_progress_since, Some(at(9)));
}

#[test]
fn a_recorded_id_resets_what_the_memory_knew_of_the_create() {
    let (plan, fresh) = owner();
    let busy = Memory { absences: 2, lost: Some(id(3)), ..fresh };
    let after = |result: &StepResult| {
        let mut memory = busy.clone();
        memory.learn(result, &plan, &settings(), START);
        (memory.create, memory.absences, memory.lost)
    };
    assert_eq!(after(&StepResult::IdRecorded), (CreateState::Unsent, 0, None));
    assert_eq!(after(&StepResult::IdCleared { lost: Some(id(4)) }), (CreateState::Unsent, 0, Some(id(4))));
    assert_eq!(after(&StepResult::IdCleared { lost: None }), (CreateState::Unsent, 0, None));
    for result in [StepResult::RecordOpened, StepResult::RecordClosed] {
        assert_eq!(after(&result), (CreateState::Unsent, 2, Some(id(3))), "{result:?}");
    }
    assert_eq!(after(&StepResult::SecretFinalizerAdded), (busy.create.clone(), 2, Some(id(3))));
}

#[test]
fn a_record_that_appears_may_be_acted_on_by_another_process() {
    let (plan, _) = open();
    let fresh = Memory::new(&PlanFacts { record: Record::None, ..plan.clone() }, START);
    let start = |memory: &Memory, record: Record| {
        let mut memory = memory.clone();
        memory.start_reconcile(&PlanFacts { record, ..plan.clone() }, &settings(), at(100));
        memory
    };
    let appeared = start(&fresh, Record::Open);
    assert_eq!((appeared.create.clone(), appeared.foreign_until), (CreateState::UNCONFIRMED_BY_OTHER, Some(at(115))));
    for record in [Record::None, Record::Watched(id(1)), Record::Owned(id(1))] {
        let gone = start(&appeared, record);
        assert_eq!((gone.create, gone.foreign_until), (CreateState::Unsent, None), "the other process has ended it");
    }
    for result in [StepResult::RecordOpened, StepResult::RecordClosed, StepResult::IdRecorded] {
        let mut memory = appeared.clone();
        memory.learn(&result, &plan, &settings(), at(101));
        assert_eq!(memory.foreign_until, None, "{result:?}");
    }
    let sent = Memory { create: CreateState::Unconfirmed { sent_here: true, empty_reads: 0, resent: 0 }, ..fresh };
    assert_eq!(start(&sent, Record::None), sent, "a request of this process is not forgotten");
    assert_eq!(start(&sent, Record::Owned(id(1))).create, CreateState::Unsent, "another process recorded its outcome");
}

#[test]
fn a_record_that_was_closed_without_a_response_is_not_open_any_more() {
    let (plan, fresh) = open();
    let mut memory = Memory { create: CreateState::Refused, record_opened: true, ..fresh };
    memory.start_reconcile(&PlanFacts { record: Record::None, ..plan.clone() }, &settings(), at(1));
    memory.start_reconcile(&plan, &settings(), at(2));
    assert_eq!((memory.create, memory.foreign_until), (CreateState::UNCONFIRMED_BY_OTHER, Some(at(17))));
}

#[test]
fn only_a_request_of_this_process_is_open_here() {
    let unconfirmed = |sent_here| CreateState::Unconfirmed { sent_here, empty_reads: 0, resent: 0 };
    let accepted = CreateState::Accepted(contract(1, OperationStatus::Processing));
    for (create, open) in [
        (CreateState::Unsent, false),
        (CreateState::Refused, false),
        (unconfirmed(false), false),
        (unconfirmed(true), true),
        (accepted, true),
    ] {
        assert_eq!(create.is_open_here(), open, "{create:?}");
    }
}

#[test]
fn the_backoff_of_restorations_starts_again_once_the_record_stays() {
    let (plan, mut memory) = owner();
    memory.learn(&StepResult::RecordRestored, &plan, &settings(), START);
    memory.learn(&StepResult::RecordRestored, &plan, &settings(), at(1));
    assert_eq!((memory.restores, memory.restore_from), (2, at(3)));
    let start = |marks, seconds| {
        let mut memory = memory.clone();
        memory.start_reconcile(&PlanFacts { marks, ..plan.clone() }, &settings(), at(seconds));
        memory.restores
    };
    assert_eq!(start(Marks::COMPLETE, 302), 2);
    assert_eq!(start(Marks::COMPLETE, 303), 0);
    assert_eq!(start(Marks::NONE, 303), 2);
}

#[test]
fn a_contract_is_absent_since_the_first_read_that_does_not_show_it() {
    let (plan, mut memory) = owner();
    let mut listed = |contracts, seconds| {
        memory.learn(&StepResult::Listed(Ok(contracts)), &plan, &settings(), at(seconds));
        (memory.absent_since, memory.was_completed)
    };
    assert_eq!(listed(vec![], 0), (Some(at(0)), false));
    assert_eq!(listed(vec![], 4), (Some(at(0)), false));
    assert_eq!(listed(vec![contract(1, OperationStatus::Processing)], 8), (None, false));
    assert_eq!(listed(vec![contract(1, OperationStatus::Completed)], 12), (None, true));
    assert_eq!(listed(vec![], 16), (Some(at(16)), true));
    memory.learn(&StepResult::IdCleared { lost: Some(id(1)) }, &plan, &settings(), at(20));
    assert_eq!((memory.absent_since, memory.was_completed), (None, false));
    assert!(Memory::new(&PlanFacts { was_completed: true, ..plan }, START).was_completed);
}

#[test]
fn after_a_panic_nothing_is_known_but_the_failures() {
    let (plan, fresh) = open();
    let before = Memory { failures: 2, create: CreateState::Unsent, record_opened: true, ..fresh.clone() };
    let after = before.after_panic(&plan, at(5));
    assert_eq!(after, Memory { failures: 3, ..Memory::new(&plan, at(5)) });
    let sent = CreateState::Accepted(contract(1, OperationStatus::Processing));
    let after = Memory { create: sent, ..fresh }.after_panic(&PlanFacts { record: Record::None, ..plan }, at(5));
    assert_eq!(after.create, CreateState::Unconfirmed { sent_here: true, empty_reads: 0, resent: 0 });
}

#[test]
fn a_delete_of_another_contract_is_forgotten_when_an_id_is_recorded() {
    let (plan, mut memory) = owner();
    memory.learn(&StepResult::Deleted(WriteOutcome::Accepted(())), &plan, &settings(), START);
    let recorded = |number| {
        let (mut memory, plan) = (memory.clone(), PlanFacts { record: Record::Owned(id(number)), ..plan.clone() });
        memory.learn(&StepResult::IdRecorded, &plan, &settings(), at(1));
        memory.delete.map(|delete| delete.id)
    };
    assert_eq!([recorded(1), recorded(2)], [Some(id(1)), None]);
}

#[test]
fn refused_sign_ins_wait_longer_and_longer_whatever_triggers_them() {
    let (plan, mut memory) = open();
    let refused = |retry_after| FicError::AuthenticationFailed { message: "no".into(), retry_after };
    let mut wait_at = |seconds| {
        memory.learn(&StepResult::Listed(Err(refused(None))), &plan, &settings(), at(seconds));
        memory.inputs_changed();
        memory.retry_after.as_ref().map(|retry| retry.not_before.saturating_sub(at(seconds)).as_secs())
    };
    assert_eq!([0, 1, 3, 7, 15, 31, 91].map(&mut wait_at), [1, 2, 4, 8, 16, 32, 60].map(Some));
    assert_eq!(wait_at(152), Some(1), "it was long ago");
    assert_eq!(wait_at(153), Some(2));
    memory.learn(&StepResult::Listed(Ok(vec![])), &plan, &settings(), at(154));
    memory.learn(&StepResult::Listed(Err(refused(None))), &plan, &settings(), at(155));
    assert_eq!(memory.retry_after.as_ref().map(|retry| retry.not_before), Some(at(156)), "they worked in between");
    // Another plan was refused with the same credentials: nothing was sent for this plan.
    memory.learn(&StepResult::Listed(Err(refused(Some(Duration::from_secs(9))))), &plan, &settings(), at(160));
    assert_eq!(memory.retry_after.as_ref().map(|retry| retry.not_before), Some(at(169)));
    assert_eq!(memory.sign_in_refusals, 0);
}

#[test]
fn failures_count_until_a_reconcile_ends_without_backoff() {
    let mut memory = Memory::new(&crate::domain::decide::tests::plan(), Duration::ZERO);
    for expected in 1..=3 {
        memory.end_reconcile(true);
        assert_eq!(memory.failures, expected);
    }
    memory.end_reconcile(false);
    assert_eq!(memory.failures, 0);
    memory.end_reconcile(true);
    memory.inputs_changed();
    assert_eq!(memory.failures, 0);
}
