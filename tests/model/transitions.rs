//! The state diagram of a plan: its states, and the transitions that the exploration visits.

use fic_support_operator::domain::decide::{Command, RecordChange, ReleaseReason, Step};
use fic_support_operator::domain::facts::Record;

use crate::plan::Plan;

/// The state of a plan, in the order of the diagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PlanState {
    NotCreated,
    None,
    Watched,
    Open,
    Owned,
    OpenDeleting,
    OwnedDeleting,
    NoneDeleting,
    Deleted,
}

/// Why a plan changes its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Label {
    UserCreates,
    UserDeletes,
    UserAddsMarks,
    UserRemovesMarks,
    UserWipesStatus,
    OpenRecord,
    RestoreRecord,
    Purchased,
    Adopted,
    Watched,
    Forget,
    Lost,
    NoRecord,
    NothingBought,
    Yielded,
    Abolished,
    Retained,
}

/// A change of the record of a plan, or of its deletion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Transition {
    pub from: PlanState,
    pub to: PlanState,
    pub label: Label,
}

impl PlanState {
    fn of(plan: &Plan) -> Self {
        let Some(object) = &plan.object else {
            return if plan.was_created { Self::Deleted } else { Self::NotCreated };
        };
        match (&object.record, object.deleting) {
            (Record::None, false) => Self::None,
            (Record::Watched(_), false) => Self::Watched,
            (Record::Open, false) => Self::Open,
            (Record::Owned(_), false) => Self::Owned,
            (Record::Open, true) => Self::OpenDeleting,
            (Record::Owned(_), true) => Self::OwnedDeleting,
            (Record::None | Record::Watched(_), true) => Self::NoneDeleting,
        }
    }
}

impl Label {
    fn of_step(step: &Step) -> Option<Self> {
        match step {
            Step::Command(Command::OpenRecord) => Some(Self::OpenRecord),
            Step::Command(Command::RestoreRecord { .. }) => Some(Self::RestoreRecord),
            Step::Command(Command::CloseRecord(reason)) => Some(match reason {
                ReleaseReason::NoRecord => Self::NoRecord,
                ReleaseReason::NothingBought => Self::NothingBought,
                ReleaseReason::Yielded => Self::Yielded,
                ReleaseReason::Abolished { .. } => Self::Abolished,
                ReleaseReason::Retained { .. } => Self::Retained,
            }),
            Step::Report(status) | Step::Done { status: Some(status), .. } => match status.record {
                RecordChange::Keep => None,
                RecordChange::Purchased(_) => Some(Self::Purchased),
                RecordChange::Adopted(_) => Some(Self::Adopted),
                RecordChange::Watched(_) => Some(Self::Watched),
                RecordChange::Forget => Some(Self::Forget),
                RecordChange::Lost(_) => Some(Self::Lost),
            },
            Step::Command(
                Command::AddSecretFinalizer | Command::ObserveSpec | Command::Create | Command::Delete(_),
            )
            | Step::Query(_)
            | Step::Done { status: None, .. } => None,
        }
    }
}

impl Transition {
    /// The transition between two states of a plan. `None`: neither the record nor the deletion changes.
    pub fn between(before: &Plan, after: &Plan, label: Label) -> Option<Self> {
        changes(before, after).then(|| Self { from: PlanState::of(before), to: PlanState::of(after), label })
    }

    /// The transition that a step of the operator makes.
    ///
    /// # Panics
    /// If a step changes the plan that must not change it.
    pub fn of_step(before: &Plan, after: &Plan, step: &Step) -> Option<Self> {
        match Label::of_step(step) {
            Some(label) => Self::between(before, after, label),
            None if changes(before, after) => panic!("this step changes the record of the plan: {step:?}"),
            None => None,
        }
    }
}

fn changes(before: &Plan, after: &Plan) -> bool {
    fn state(plan: &Plan) -> Option<(bool, &Record)> {
        plan.object.as_ref().map(|object| (object.deleting, &object.record))
    }
    state(before) != state(after)
}
