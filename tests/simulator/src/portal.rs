//! What people do in the vendor's portal, behind the API's back.

use serde::{Deserialize, Serialize};

use crate::world::World;

/// Something done in the portal.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Action {
    /// A contract is bought, and is there at once.
    Create,
    /// The contract is abolished, at once.
    Abolish,
    /// The contract is abolished and another one bought.
    Replace,
    /// A contract is bought just before the next create that comes over the API.
    CreateBeforeNextCreate,
    /// The next operation ends in Error, for this reason.
    FailNextOperation(String),
    /// The contract is moved to another menu.
    SetMenu(String),
    /// The contract gets this operationStatus, whatever the word.
    SetStatus(String),
}

impl World {
    /// Does it.
    pub fn portal(&mut self, tenant: &str, action: &Action) {
        match action {
            Action::Create | Action::Replace => {
                let contract = self.new_contract("Completed");
                self.put(tenant, Some(contract));
            }
            Action::Abolish => self.put(tenant, None),
            Action::CreateBeforeNextCreate => *self.portal_first.entry(tenant.into()).or_default() += 1,
            Action::FailNextOperation(why) => self.fail_next_operation(tenant, why),
            Action::SetMenu(menu) => self.amend(tenant, |contract| contract.current_menu.clone_from(menu)),
            Action::SetStatus(status) => self.amend(tenant, |contract| {
                contract.pending = None;
                contract.operation_status.clone_from(status);
            }),
        }
    }

    fn amend(&mut self, tenant: &str, change: impl FnOnce(&mut crate::world::Contract)) {
        if let Some(mut contract) = self.contract(tenant) {
            change(&mut contract);
            self.put(tenant, Some(contract));
        }
    }
}
