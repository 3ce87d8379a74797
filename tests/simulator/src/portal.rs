//! Actions of users in the portal of the vendor, which bypass the API.

use serde::{Deserialize, Serialize};

use crate::state::{Contract, FicState};

/// An action in the portal.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Action {
    /// Creates a contract that is `Completed` at once.
    Create,
    /// Deletes the contract at once.
    Abolish,
    /// Deletes the contract and creates another one.
    Replace,
    /// Creates a contract just before the next create request over the API.
    CreateBeforeNextCreate,
    /// The next create or delete ends in `Error` with this reason.
    FailNextOperation(String),
    /// Moves the contract to another menu.
    SetMenu(String),
    /// Sets the operationStatus of the contract to any text.
    SetStatus(String),
}

impl FicState {
    /// Performs a portal action.
    pub fn portal(&mut self, tenant: &str, action: &Action) {
        match action {
            Action::Create | Action::Replace => {
                let contract = self.new_contract("Completed");
                self.put(tenant, Some(contract));
            }
            Action::Abolish => self.put(tenant, None),
            Action::CreateBeforeNextCreate => *self.portal_creates_before_next.entry(tenant.into()).or_default() += 1,
            Action::FailNextOperation(reason) => self.fail_next_operation(tenant, reason),
            Action::SetMenu(menu) => self.update(tenant, |contract| contract.current_menu.clone_from(menu)),
            Action::SetStatus(status) => self.update(tenant, |contract| {
                contract.pending = None;
                contract.operation_status.clone_from(status);
            }),
        }
    }

    fn update(&mut self, tenant: &str, change: impl FnOnce(&mut Contract)) {
        if let Some(mut contract) = self.contract(tenant) {
            change(&mut contract);
            self.put(tenant, Some(contract));
        }
    }
}
