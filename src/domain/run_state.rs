//! What one pass of the loop learns, from its first look to its report. Nothing here outlives the pass.

use crate::domain::contract::{Contract, ContractId};
use crate::domain::error::{FicError, WriteOutcome};
use crate::domain::facts::Claim;

/// An answer of FIC that was asked for to see something.
pub type Seen<T> = Result<T, FicError>;

/// What is known of the definition of our own resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CrdState {
    /// It stands (or we may not look, and go on as if it did).
    Present,
    /// It is being deleted: an uninstall, not a wish to abolish.
    Deleting,
}

/// A Secret that is not among those of our type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SecretAbsence {
    /// There is none of that name.
    Absent,
    /// There is one, of another type.
    WrongType,
}

/// One thing learnt, by a look or by an act.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum StepResult {
    /// Why the Secret is not among those of our type.
    Secret(SecretAbsence),
    /// Who holds the tenant, by the API server's own word, just now.
    Holder(Claim),
    /// Whether our own definition stands.
    Crd(CrdState),
    /// What List says of the tenant.
    Listed(Seen<Vec<Contract>>),
    /// What Show says of the plan's contract.
    Shown(Seen<Option<Contract>>),
    /// What the operations say on why one failed.
    Explained(Option<Box<str>>),
    /// The Secret carries the finalizer now.
    SecretFinalizerAdded,
    /// The plan carries the finalizer now.
    FinalizerAdded,
    /// The plan carries it no longer.
    FinalizerRemoved,
    /// What became of a create.
    Created(WriteOutcome<Contract>),
    /// What became of a delete.
    Deleted(WriteOutcome<()>),
    /// The id of the contract stands in the status now.
    IdRecorded,
    /// The id of a lost contract is out of the status now.
    IdForgotten(Option<ContractId>),
}

/// What this pass has learnt so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct RunState {
    /// Why the Secret is not among those of our type.
    pub secret: Option<SecretAbsence>,
    /// Who holds the tenant, by the API server's own word; the same look brought the plan itself as it is now.
    pub holder: Option<Claim>,
    /// Whether our own definition stands.
    pub definition: Option<CrdState>,
    /// What List said.
    pub listed: Option<Seen<Vec<Contract>>>,
    /// What Show said.
    pub shown: Option<Seen<Option<Contract>>>,
    /// What the operations said.
    pub explained: Option<Option<Box<str>>>,
    /// What became of the create of this pass.
    pub created: Option<WriteOutcome<Contract>>,
    /// What became of the delete of this pass.
    pub deleted: Option<WriteOutcome<()>>,
}

impl RunState {
    /// Takes in one thing learnt.
    ///
    /// An effect makes what was seen before it stale: the look at FIC after a create or a delete must be a new one, and who
    /// holds the tenant must be asked after our finalizer is on, or two plans could each miss the other's.
    pub fn learn(&mut self, news: &StepResult) {
        match news {
            StepResult::Secret(unseen) => self.secret = Some(*unseen),
            StepResult::Holder(claim) => self.holder = Some(claim.clone()),
            StepResult::Crd(definition) => self.definition = Some(*definition),
            StepResult::Listed(seen) => self.listed = Some(seen.clone()),
            StepResult::Shown(seen) => self.shown = Some(seen.clone()),
            StepResult::Explained(why) => self.explained = Some(why.clone()),
            StepResult::FinalizerAdded | StepResult::FinalizerRemoved => self.holder = None,
            StepResult::Created(outcome) => {
                self.forget_sightings(outcome);
                self.created = Some(outcome.clone());
            }
            StepResult::Deleted(outcome) => {
                self.forget_sightings(outcome);
                self.deleted = Some(outcome.clone());
            }
            StepResult::SecretFinalizerAdded | StepResult::IdRecorded => {}
            StepResult::IdForgotten(_) => self.shown = None,
        }
    }

    fn forget_sightings<T>(&mut self, outcome: &WriteOutcome<T>) {
        match outcome {
            WriteOutcome::Accepted(_) | WriteOutcome::Unknown(_) | WriteOutcome::Refused(FicError::Conflict { .. }) => {
                self.listed = None;
                self.shown = None;
            }
            // These had no effect, and say nothing of the contract.
            WriteOutcome::Refused(_) | WriteOutcome::NotSent(_) => {}
        }
    }
}
