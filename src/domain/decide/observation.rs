//! What the reads from FIC mean. A contract counts as absent only if both Show and List do not show it.

use std::ops::ControlFlow::{Break, Continue};

use crate::domain::contract::{Contract, ContractId};
use crate::domain::decide::{Decision, Facts, Query, Requeue, Step, report};
use crate::domain::error::FicError;
use crate::domain::facts::Record;
use crate::domain::ready_state::ReadyState;
use crate::domain::write_state::CONFIRMATIONS_REQUIRED;

/// What the reads from FIC show.
#[derive(Debug)]
pub(super) enum Observation<'a> {
    /// The contract of the plan exists.
    Own(&'a Contract),
    /// The contract of the plan is absent, and the tenant has no other.
    Gone(&'a ContractId),
    /// The contract of the plan is absent, and the tenant has another.
    Replaced(&'a ContractId, &'a Contract),
    /// The plan owns no contract, and the tenant has one.
    Found(&'a Contract),
    /// The plan owns no contract, and the tenant has none.
    Nothing,
}

impl<'a> Facts<'a> {
    /// What was read, or the query that is missing, or what to do about the error.
    pub(super) fn observation(&self) -> Decision<Observation<'a>> {
        match &self.plan.record {
            Record::Owned(id) => self.observe_own(id),
            Record::None | Record::Watched(_) | Record::Open => self.observe_tenant(),
        }
    }

    fn observe_own(&self, id: &'a ContractId) -> Decision<Observation<'a>> {
        match &self.run.shown {
            None => return Break(Step::Query(Query::Show(id.clone()))),
            Some(Err(error)) => return Break(self.after_error(error)),
            Some(Ok(Some(contract))) => return Continue(Observation::Own(contract)),
            Some(Ok(None)) => {}
        }
        let listed = self.listed()?;
        Continue(match listed.iter().find(|contract| contract.id == *id) {
            Some(contract) => Observation::Own(contract),
            None => match listed.first() {
                Some(other) => Observation::Replaced(id, other),
                None => Observation::Gone(id),
            },
        })
    }

    fn observe_tenant(&self) -> Decision<Observation<'a>> {
        match self.listed()? {
            [] => Continue(Observation::Nothing),
            [contract] => Continue(Observation::Found(contract)),
            several => Break(self.after_error(&FicError::Unexpected {
                message: format!("FIC lists {} contracts for one tenant and allows only one", several.len()).into(),
            })),
        }
    }

    fn listed(&self) -> Decision<&'a [Contract]> {
        match &self.run.listed {
            None => Break(Step::Query(Query::List)),
            Some(Err(error)) => Break(self.after_error(error)),
            Some(Ok(contracts)) => Continue(contracts),
        }
    }

    /// Nothing is concluded from an open record while another process may act on it, except that a contract belongs to the
    /// plan which the plan is known to own.
    pub(super) fn wait_for_other_process(&self, observation: &Observation<'_>, waiting: ReadyState) -> Decision<()> {
        let until = self.memory.foreign_until.filter(|until| self.plan.record == Record::Open && *until > self.now);
        match (until, observation) {
            (None, _) => Continue(()),
            (Some(_), Observation::Found(contract)) if self.memory.owned.as_ref() == Some(&contract.id) => Continue(()),
            (Some(until), _) => Break(report(waiting, Requeue::At(until))),
        }
    }

    /// Whether enough reads agree that the contract of the plan is absent.
    ///
    /// Reads of FIC may be stale, and a stale read may follow a fresh one, so an earlier read that showed the contract
    /// proves nothing. One absence is not enough after a delete request of ours either: the next plan to buy for the
    /// tenant could be shown the contract that was just abolished, and take it for the outcome of its own create
    /// request.
    pub(super) fn absence_is_confirmed(&self) -> bool {
        self.memory.absences >= CONFIRMATIONS_REQUIRED
    }
}
