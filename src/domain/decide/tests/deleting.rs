//! A plan that is being deleted: abolish the contract, confirm that it is gone, remove the finalizer.

use super::*;

fn deleting() -> Case {
    Case::ready().deleting()
}

impl Case {
    fn shows(self, status: OperationStatus) -> Self {
        self.shown(Some(contract(ours(), status)))
    }
}

fn in_progress() -> ReadyState {
    ReadyState::Abolishing(AbolishProgress::InProgress(ours()))
}

#[test]
fn a_suspended_plan_that_is_being_deleted_stays_unless_the_crd_is_deleted() {
    let case = deleting().plan(|plan| plan.suspend = true);
    assert_eq!(case.step(), Step::Query(Query::Crd));
    let present = case.clone().with_crd();
    assert_eq!(present.done(), (Some(ReadyState::Suspended), RecordChange::Keep, Requeue::Backoff));
    let uninstalled = case.learns(StepResult::Crd(CrdState::Deleting));
    let reason = ReleaseReason::Retained { id: Some(ours()), cause: RetainCause::Uninstall };
    assert_eq!(uninstalled.step(), Step::Command(Command::CloseRecord(reason)));
}

#[test]
fn a_plan_without_a_record_is_deleted_without_a_request() {
    let case = Case { secret: SecretState::NotFound, ..Case::new().deleting() };
    assert_eq!(case.done(), (None, RecordChange::Keep, Requeue::OnChange));
}

#[test]
fn retain_and_observe_remove_the_finalizer_without_credentials() {
    for change in [
        |plan: &mut PlanFacts| plan.deletion = DeletionPolicy::Retain,
        |plan: &mut PlanFacts| plan.management = ManagementPolicy::Observe,
    ] {
        let case = Case { secret: SecretState::NotFound, ..deleting().plan(change) };
        let reason = ReleaseReason::Retained { id: Some(ours()), cause: RetainCause::Policy };
        assert_eq!(case.step(), Step::Command(Command::CloseRecord(reason)));
    }
}

#[test]
fn a_delete_reads_the_contract_the_plan_and_the_crd_and_then_confirms_the_absence() {
    let case = deleting();
    assert_eq!(case.step(), Step::Query(Query::Show(ours())));
    let case = case.shows(OperationStatus::Completed);
    assert_eq!(case.step(), Step::Query(Query::Plan), "the plan may say Retain now");
    let case = case.learns(StepResult::PlanRead);
    assert_eq!(case.step(), Step::Query(Query::Crd));
    let case = case.with_crd();
    assert_eq!(case.step(), Step::Command(Command::Delete(ours())));
    let mut case = case.learns(StepResult::Deleted(WriteOutcome::Accepted(())));
    assert_eq!(case.state(), in_progress());
    for read in 1..=CONFIRMATIONS_REQUIRED {
        case.run = RunState::default();
        case = case.shown(None);
        assert_eq!(case.step(), Step::Query(Query::List));
        case = case.listed(vec![]);
        if read < CONFIRMATIONS_REQUIRED {
            assert_eq!(case.state(), in_progress());
        }
    }
    let reason = ReleaseReason::Abolished { id: ours(), other: None };
    assert_eq!(case.step(), Step::Command(Command::CloseRecord(reason)));
}

#[test]
fn a_delete_waits_until_fic_has_finished_the_operation() {
    let case = deleting().shows(OperationStatus::Processing).with_crd();
    assert_eq!(case.state(), ReadyState::Abolishing(AbolishProgress::WaitingForOperation(ours())));
}

#[test]
fn an_operation_that_exceeds_the_timeout_stalls_the_deletion() {
    let since = NOW - Duration::from_secs(600);
    let case = deleting().memory(|memory| memory.in_progress_since = Some(since));
    let case = case.shows(OperationStatus::Processing).with_crd();
    assert_eq!(case.state(), ReadyState::OperationTimedOut { id: ours(), timeout: Duration::from_secs(600) });
    assert_eq!(case.done().2, Requeue::Resync);
}

#[test]
fn a_delete_is_sent_again_only_if_it_evidently_never_arrived() {
    let sent = |accepted, unchanged_reads| {
        let delete = DeleteState { id: ours(), sent_at: NOW, accepted, unchanged_reads, failed: false };
        let case = deleting().memory(|memory| memory.delete = Some(delete));
        case.shows(OperationStatus::Completed).holds_tenant().with_crd()
    };
    assert_eq!(sent(true, 50).state(), in_progress());
    assert_eq!(sent(false, 0).state(), in_progress());
    assert_eq!(sent(false, CONFIRMATIONS_REQUIRED).step(), Step::Command(Command::Delete(ours())));
}

#[test]
fn a_failed_delete_is_reported_and_sent_again_after_a_resync_interval() {
    let failed = |sent_at| {
        let delete = DeleteState { id: ours(), sent_at, accepted: true, unchanged_reads: 0, failed: true };
        let case = deleting().memory(|memory| memory.delete = Some(delete));
        case.shows(OperationStatus::Error).with_crd().holds_tenant()
    };
    assert_eq!(failed(NOW).step(), Step::Query(Query::OperationError(ours())));
    let unconfirmed = failed(NOW).memory(|memory| memory.delete.as_mut().expect("sent").failed = false);
    assert_eq!(unconfirmed.state(), in_progress(), "the read may be stale");
    let reported = failed(NOW).learns(StepResult::OperationError(None));
    assert_eq!(reported.state().reason(), Reason::OperationFailed);
    assert_eq!(failed(NOW - Duration::from_secs(600)).step(), Step::Command(Command::Delete(ours())));
}

#[test]
fn a_contract_whose_last_operation_failed_is_abolished() {
    let case = deleting().shows(OperationStatus::Error).holds_tenant().with_crd();
    assert_eq!(case.step(), Step::Command(Command::Delete(ours())));
}

#[test]
fn a_refused_delete_is_reported() {
    let refused = |error| {
        let case = deleting().shows(OperationStatus::Completed).holds_tenant().with_crd();
        let case = case.learns(StepResult::Deleted(WriteOutcome::Refused(error)));
        let case = if case.run.shown.is_none() { case.shows(OperationStatus::Completed) } else { case };
        case.state().reason()
    };
    assert_eq!(refused(FicError::Conflict { message: "busy".into() }), Reason::Abolishing);
    assert_eq!(refused(FicError::Rejected { message: "no".into() }), Reason::RequestRejected);
    assert_eq!(refused(FicError::PermissionDenied { message: "no".into() }), Reason::PermissionDenied);
}

#[test]
fn another_contract_of_the_tenant_is_not_changed() {
    let case = deleting().shown(None).listed(vec![contract(other(), OperationStatus::Completed)]).absent();
    let reason = ReleaseReason::Abolished { id: ours(), other: Some(other()) };
    assert_eq!(case.step(), Step::Command(Command::CloseRecord(reason)));
}

#[test]
fn an_absence_without_a_delete_is_confirmed_before_the_finalizer_is_removed() {
    let mut case = deleting();
    for read in 1..=CONFIRMATIONS_REQUIRED {
        case.run = RunState::default();
        case = case.shown(None).listed(vec![]).with_crd();
        if read < CONFIRMATIONS_REQUIRED {
            assert_eq!(case.state(), ReadyState::Abolishing(AbolishProgress::ConfirmingAbsence(ours())));
        }
    }
    assert!(matches!(case.step(), Step::Command(Command::CloseRecord(ReleaseReason::Abolished { .. }))));
}

#[test]
fn a_deleted_plan_with_an_unconfirmed_create_checks_it_before_the_finalizer_is_removed() {
    let mut case = Case::open().deleting();
    for read in 1..=CONFIRMATIONS_REQUIRED {
        case.run = RunState::default();
        case = case.listed(vec![]).with_crd();
        if read < CONFIRMATIONS_REQUIRED {
            assert_eq!(case.state(), ReadyState::Abolishing(AbolishProgress::CheckingCreate));
        }
    }
    assert_eq!(case.step(), Step::Command(Command::CloseRecord(ReleaseReason::NothingBought)));

    let found = Case::open().deleting().listed(vec![contract(ours(), OperationStatus::Completed)]).holds_tenant();
    assert_eq!(found.status().record, RecordChange::Purchased(ours()), "it is recorded before it is abolished");
}

#[test]
fn an_uninstall_retains_contracts_also_where_the_delete_is_blocked() {
    let uninstalling = |case: Case| case.learns(StepResult::Crd(CrdState::Deleting)).step();
    let retained = Step::Command(Command::CloseRecord(ReleaseReason::Retained {
        id: Some(ours()),
        cause: RetainCause::Uninstall,
    }));
    assert_eq!(uninstalling(deleting().shows(OperationStatus::Completed).holds_tenant()), retained);
    let blocked = Case { secret: SecretState::NotFound, ..deleting() };
    let blocked = blocked.learns(StepResult::SecretAbsence(SecretAbsence::NotFound));
    assert_eq!(blocked.step(), Step::Query(Query::Crd));
    assert_eq!(uninstalling(blocked), retained);
    assert_eq!(uninstalling(deleting().learns(StepResult::Shown(Err(unavailable())))), retained);
}

#[test]
fn an_uninstall_does_not_interrupt_a_delete_in_progress() {
    let delete = DeleteState { id: ours(), sent_at: NOW, accepted: true, unchanged_reads: 0, failed: false };
    let case = deleting().memory(|memory| memory.delete = Some(delete)).shows(OperationStatus::Processing);
    assert_eq!(case.state(), in_progress());
}

#[test]
fn a_deleted_plan_that_was_ready_reports_an_error_at_once() {
    let case = deleting().learns(StepResult::Shown(Err(unavailable()))).with_crd();
    assert_eq!(case.state(), ReadyState::RequestFailed(unavailable()));
}
