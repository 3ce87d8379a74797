//! What follows from the record and from writes of it.

use super::*;

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
