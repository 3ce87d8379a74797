//! What follows from writes to FIC, and from requests that failed.

use super::*;

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
