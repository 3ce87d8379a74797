//! What each result of a step changes in the memory.

mod reads;
mod record;
mod writes;

use std::time::Duration;

use super::*;
use crate::api::condition::{ConditionStatus, Reason};
use crate::domain::contract::{Contract, OperationStatus};
use crate::domain::error::WriteOutcome;
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
