//! What follows from reads of FIC.

use super::*;

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
