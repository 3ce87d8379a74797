//! The state of the service. No task changes it in the background: each read computes what is due from the clock.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::faults::Faults;
use crate::log::Log;

/// The only menu that a create request may name.
pub const PREMIUM: &str = "PremiumPlan";

/// The behaviour without faults.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// How long an operation stays `Processing`, in milliseconds.
    pub processing_ms: u64,
    /// The lifetime of a token, in milliseconds.
    pub token_lifetime_ms: u64,
    /// The delay of every response, in milliseconds.
    pub latency_ms: u64,
    /// The key of a response that contains one contract. The API reference uses two different keys.
    pub answer_key: String,
    /// Whether responses contain fields that the API reference does not document.
    pub extra_fields: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            processing_ms: 3000,
            token_lifetime_ms: 3_600_000,
            latency_ms: 0,
            answer_key: "professionalSupportService".into(),
            extra_fields: false,
        }
    }
}

/// A contract.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Contract {
    /// The id of the contract.
    pub id: String,
    /// `Processing`, `Completed`, `Error`, or the text that [`crate::portal::Action::SetStatus`] has set.
    pub operation_status: String,
    /// The current menu.
    pub current_menu: String,
    /// The start date of the current menu.
    pub menu_start_date: String,
    /// The operation in progress.
    #[serde(skip)]
    pub pending: Option<PendingOperation>,
}

/// An operation in progress on a contract.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingOperation {
    /// Whether it is a delete.
    pub delete: bool,
    /// When it finishes.
    pub until: Instant,
    /// The reason why it fails. None: it succeeds.
    pub failure: Option<String>,
}

/// An operation as the operations API reports it.
#[derive(Clone, Debug)]
pub struct Operation {
    /// The id of the operation.
    pub id: String,
    /// The tenant.
    pub tenant: String,
    /// The id of the contract.
    pub resource: String,
    /// `Create` or `Delete`.
    pub request: &'static str,
    /// When the request was received.
    pub received: Timestamp,
    /// When it finishes.
    pub until: Instant,
    /// The reason why it fails. None: it succeeds.
    pub failure: Option<String>,
}

/// A token.
#[derive(Clone, Debug)]
pub struct Token {
    /// The tenant that the token is scoped to.
    pub tenant: String,
    /// When it expires.
    pub expires: Instant,
}

/// The state of FIC and Keystone.
pub struct FicState {
    /// The behaviour without faults.
    pub settings: Settings,
    /// The faults to inject.
    pub faults: Faults,
    /// The received requests.
    pub log: Log,
    /// When this state was created.
    pub began: Instant,
    /// The wall-clock time at `began`. Later wall-clock times are computed from it.
    pub began_by_wall: Timestamp,
    /// Every change of the contract of each tenant, so that a fault can return an earlier state.
    contract_changes: HashMap<String, Vec<(Instant, Option<Contract>)>>,
    /// Every operation, in the order of the requests.
    pub operations: Vec<Operation>,
    pub(crate) tokens: HashMap<String, Token>,
    pub(crate) accounts: HashMap<String, Option<String>>,
    failures: HashMap<String, String>,
    /// Tenants for which the portal creates a contract just before their next create request.
    pub(crate) portal_creates_before_next: HashMap<String, usize>,
    created: u64,
}

impl FicState {
    /// An empty state.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            faults: Faults::default(),
            log: Log::default(),
            began: Instant::now(),
            began_by_wall: Timestamp::now(),
            contract_changes: HashMap::new(),
            operations: Vec::new(),
            tokens: HashMap::new(),
            accounts: HashMap::new(),
            failures: HashMap::new(),
            portal_creates_before_next: HashMap::new(),
            created: 0,
        }
    }

    /// The current wall-clock time.
    #[must_use]
    pub fn wall_time(&self) -> Timestamp {
        self.began_by_wall + self.began.elapsed()
    }

    /// The current contract of a tenant.
    #[must_use]
    pub fn contract(&self, tenant: &str) -> Option<Contract> {
        self.contract_at(tenant, Instant::now())
    }

    /// The contract of a tenant at a given time.
    #[must_use]
    pub fn contract_at(&self, tenant: &str, at: Instant) -> Option<Contract> {
        let changes = self.contract_changes.get(tenant)?;
        let (_, contract) = changes.iter().rev().find(|(since, _)| *since <= at)?;
        let mut contract = contract.clone()?;
        let Some(pending) = contract.pending.take_if(|pending| pending.until <= at) else { return Some(contract) };
        if pending.failure.is_none() && pending.delete {
            return None;
        }
        contract.operation_status = if pending.failure.is_some() { "Error" } else { "Completed" }.into();
        Some(contract)
    }

    /// Replaces the contract of a tenant. None removes it.
    pub fn put(&mut self, tenant: &str, contract: Option<Contract>) {
        self.contract_changes.entry(tenant.into()).or_default().push((Instant::now(), contract));
    }

    /// The tenants that have, or once had, a contract.
    pub fn tenants(&self) -> impl Iterator<Item = &str> {
        self.contract_changes.keys().map(String::as_str)
    }

    /// Starts the creation of a contract.
    pub fn create(&mut self, tenant: &str) -> Contract {
        let pending = self.start_operation(tenant, false);
        let mut contract = self.new_contract("Processing");
        self.record_operation(tenant, &contract.id, "Create", &pending);
        contract.pending = Some(pending);
        self.put(tenant, Some(contract.clone()));
        contract
    }

    /// Starts the deletion of a contract.
    pub fn delete(&mut self, tenant: &str, mut contract: Contract) -> Contract {
        let pending = self.start_operation(tenant, true);
        self.record_operation(tenant, &contract.id, "Delete", &pending);
        contract.operation_status = "Processing".into();
        contract.pending = Some(pending);
        self.put(tenant, Some(contract.clone()));
        contract
    }

    /// A contract with a new id. The caller stores it.
    pub fn new_contract(&mut self, status: &str) -> Contract {
        self.created += 1;
        Contract {
            id: format!("F{:012}", 520_000_000_000 + self.created),
            operation_status: status.into(),
            current_menu: PREMIUM.into(),
            menu_start_date: self.wall_time().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            pending: None,
        }
    }

    /// Makes the next operation of a tenant fail.
    pub fn fail_next_operation(&mut self, tenant: &str, reason: &str) {
        self.failures.insert(tenant.into(), reason.into());
    }

    fn start_operation(&mut self, tenant: &str, delete: bool) -> PendingOperation {
        let until = Instant::now() + Duration::from_millis(self.settings.processing_ms);
        PendingOperation { delete, until, failure: self.failures.remove(tenant) }
    }

    fn record_operation(&mut self, tenant: &str, resource: &str, request: &'static str, pending: &PendingOperation) {
        self.operations.push(Operation {
            id: random_hex(32),
            tenant: tenant.into(),
            resource: resource.into(),
            request,
            received: self.wall_time(),
            until: pending.until,
            failure: pending.failure.clone(),
        });
    }
}

pub(crate) fn random_hex(length: usize) -> String {
    (0..length).map(|_| char::from_digit(fastrand::u32(..16), 16).unwrap_or('0')).collect()
}
