//! What a decision can say.

use crate::domain::contract::{Contract, ContractId};
use crate::domain::facts::Uptime;
use crate::domain::ready_state::ReadyState;

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// Find something out.
    Query(Query),
    /// Change something; one call.
    Command(Command),
    /// Write the status, and go on.
    Report(StatusChange),
    /// Write the status if there is something to say, and end the pass.
    Rest {
        /// What to say.
        verdict: Option<StatusChange>,
        /// When to look again.
        wait: Requeue,
    },
}

/// Something to find out.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Query {
    /// Whether there is a Secret of that name, of another type.
    Secret,
    /// The plans of the tenant, and with them this one, by the API server's own word.
    Holder,
    /// Whether the definition of our resource is being deleted.
    Crd,
    /// The contracts of the tenant.
    List,
    /// The plan's contract.
    Show(ContractId),
    /// Why the last operation on the contract failed.
    Explain(ContractId),
}

/// Something to change.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Command {
    /// Put the finalizer on the Secret.
    AddSecretFinalizer,
    /// Put the finalizer on the plan: the record that something may be bought.
    AddFinalizer,
    /// Take it off again.
    RemoveFinalizer(ReleaseReason),
    /// Buy.
    Create,
    /// Abolish.
    Delete(ContractId),
}

/// Why a plan lets go.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ReleaseReason {
    /// Nothing was bought.
    NothingBought,
    /// Another plan holds the tenant.
    Yielded,
    /// The contract is gone.
    Abolished {
        /// The contract.
        id: ContractId,
        /// Another contract that the tenant holds now; it is left alone.
        other: Option<ContractId>,
    },
    /// The contract stays.
    Retained {
        /// The contract, where it is known.
        id: Option<ContractId>,
        /// Because the definition is being deleted, not because the plan says so.
        uninstall: bool,
    },
}

/// What to report.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StatusChange {
    /// Where the plan stands.
    pub situation: ReadyState,
    /// What to show of the contract.
    pub shown: ContractDisplay,
    /// What becomes of the id in the status.
    pub id: IdChange,
    /// What has just happened, beyond what the change of the condition says.
    pub occasion: Option<Occasion>,
}

/// What to show of the contract in the status.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ContractDisplay {
    /// What is shown already: nothing new was seen.
    AsBefore,
    /// This.
    Contract(Contract),
    /// Nothing: there is none.
    Nothing,
}

/// What becomes of the id in the status: the record of what is ours.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum IdChange {
    /// It stays as it is.
    Keep,
    /// It is recorded.
    Set(ContractId),
    /// It goes.
    Clear,
}

/// Something that happened once and deserves an Event of its own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Occasion {
    /// Our create was accepted, or found to have been.
    Purchased(ContractId),
    /// A contract was taken over.
    Adopted(ContractId),
    /// Our contract is gone.
    Lost(ContractId),
}

/// When to look again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Requeue {
    /// After the poll interval: something is in progress.
    Poll,
    /// After the resync interval: nothing is expected to change.
    Resync,
    /// Doubling from pass to pass: something is in the way.
    Backoff,
    /// Not before this moment: FIC asked for it.
    Until(Uptime),
    /// When something of it changes; nothing else could help.
    Change,
}

impl Step {
    /// Whether it leaves the plan with the finalizer and no id: the record that something may be bought.
    #[must_use]
    pub fn opens_record(&self) -> bool {
        match self {
            Self::Command(Command::AddFinalizer) => true,
            Self::Report(verdict) | Self::Rest { verdict: Some(verdict), .. } => verdict.id == IdChange::Clear,
            Self::Command(
                Command::AddSecretFinalizer | Command::RemoveFinalizer(_) | Command::Create | Command::Delete(_),
            )
            | Self::Query(_)
            | Self::Rest { verdict: None, .. } => false,
        }
    }
}

impl StatusChange {
    pub(super) fn of(situation: ReadyState) -> Self {
        Self { situation, shown: ContractDisplay::AsBefore, id: IdChange::Keep, occasion: None }
    }

    pub(super) fn showing(mut self, contract: &Contract) -> Self {
        self.shown = ContractDisplay::Contract(contract.clone());
        self
    }

    pub(super) fn showing_nothing(mut self) -> Self {
        self.shown = ContractDisplay::Nothing;
        self
    }

    pub(super) fn with_id(mut self, id: IdChange) -> Self {
        if id == IdChange::Clear {
            self.shown = ContractDisplay::Nothing;
        }
        self.id = id;
        self
    }

    pub(super) fn because(mut self, occasion: Option<Occasion>) -> Self {
        self.occasion = occasion;
        self
    }

    pub(super) fn rest(self, wait: Requeue) -> Step {
        Step::Rest { verdict: Some(self), wait }
    }
}

impl Requeue {
    /// Whether something is in the way, that is waited out ever more slowly.
    #[must_use]
    pub fn uses_backoff(self) -> bool {
        match self {
            Self::Backoff | Self::Until(_) => true,
            Self::Poll | Self::Resync | Self::Change => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_opened_by_the_finalizer_and_by_an_id_that_goes() {
        let verdict = |id| StatusChange::of(ReadyState::NotContracted).with_id(id);
        let set = IdChange::Set(ContractId::parse("F000000000001").expect("well formed"));
        for (step, opens) in [
            (Step::Command(Command::AddFinalizer), true),
            (Step::Command(Command::AddSecretFinalizer), false),
            (Step::Command(Command::Create), false),
            (Step::Query(Query::List), false),
            (Step::Report(verdict(IdChange::Clear)), true),
            (Step::Report(verdict(IdChange::Keep)), false),
            (Step::Report(verdict(set)), false),
            (verdict(IdChange::Clear).rest(Requeue::Resync), true),
            (verdict(IdChange::Keep).rest(Requeue::Resync), false),
            (Step::Rest { verdict: None, wait: Requeue::Change }, false),
        ] {
            assert_eq!(step.opens_record(), opens, "{step:?}");
        }
    }
}
