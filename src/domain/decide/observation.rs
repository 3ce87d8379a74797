//! What the looks at FIC amount to. Two witnesses are asked before a contract is called gone: Show, and then List.

use crate::domain::contract::{Contract, ContractId};
use crate::domain::decide::{Facts, Query, Step};
use crate::domain::error::FicError;
use crate::domain::memory::CONFIRMATIONS_REQUIRED;

/// What the looks at FIC amount to.
#[derive(Debug)]
pub(super) enum Observation<'a> {
    /// The plan's own contract, still there.
    Own(&'a Contract),
    /// The plan's own contract is gone, and the tenant has none.
    Gone(&'a ContractId),
    /// The plan's own contract is gone, and the tenant has another.
    Replaced(&'a ContractId, &'a Contract),
    /// The plan has none of its own, and the tenant has one.
    Found(&'a Contract),
    /// The plan has none of its own, and the tenant has none.
    Nothing,
}

impl<'a> Facts<'a> {
    /// What has been seen, or the look that is missing, or what to do about the trouble in the way.
    pub(super) fn sighting(&self) -> Result<Observation<'a>, Step> {
        let (Some(id), true) = (&self.plan.id, self.plan.finalizer) else {
            return self.tenant_sighting();
        };
        match &self.pass.shown {
            None => return Err(Step::Query(Query::Show(id.clone()))),
            Some(Err(trouble)) => return Err(self.troubled(trouble)),
            Some(Ok(Some(contract))) => return Ok(Observation::Own(contract)),
            Some(Ok(None)) => {}
        }
        let listed = self.listed()?;
        Ok(match listed.iter().find(|contract| contract.id == *id) {
            Some(contract) => Observation::Own(contract),
            None => match listed.first() {
                Some(other) => Observation::Replaced(id, other),
                None => Observation::Gone(id),
            },
        })
    }

    fn tenant_sighting(&self) -> Result<Observation<'a>, Step> {
        match self.listed()? {
            [] => Ok(Observation::Nothing),
            [contract] => Ok(Observation::Found(contract)),
            several => Err(self.troubled(&FicError::Unexpected {
                what: format!("{} contracts for one tenant, where FIC allows one", several.len()).into(),
            })),
        }
    }

    fn listed(&self) -> Result<&'a [Contract], Step> {
        match &self.pass.listed {
            None => Err(Step::Query(Query::List)),
            Some(Err(trouble)) => Err(self.troubled(trouble)),
            Some(Ok(contracts)) => Ok(contracts),
        }
    }

    /// Whether the absence of the plan's own contract can be believed.
    ///
    /// FIC's reads may lag behind its writes, and one that lags may follow one that did not: a contract that a look has shown may seem
    /// absent to the next, as if it were not bought yet. Even after a delete of ours one absence is not enough: whoever buys for the
    /// tenant next could be shown the contract that has just gone, and take it for the outcome of its own create.
    pub(super) fn absence_is_believed(&self) -> bool {
        self.memory.absences >= CONFIRMATIONS_REQUIRED
    }
}
