//! The state of the service. Nothing happens by itself: what time has brought about is worked out when it is asked for.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::faults::Faults;
use crate::log::Log;

/// The one menu that can be bought.
pub const PREMIUM: &str = "PremiumPlan";

/// How it behaves when nothing is wrong.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// How long an operation is `Processing`, in milliseconds.
    pub processing_ms: u64,
    /// How long a token lasts, in milliseconds.
    pub token_lifetime_ms: u64,
    /// How long every answer takes, in milliseconds.
    pub latency_ms: u64,
    /// The key of an answer that holds one contract: the reference names two.
    pub answer_key: String,
    /// Whether answers hold fields that no reference names.
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
    /// Its id.
    pub id: String,
    /// Processing, Completed, Error, or another word on demand.
    pub operation_status: String,
    /// The menu it is on.
    pub current_menu: String,
    /// When that began.
    pub menu_start_date: String,
    /// The operation that goes on.
    #[serde(skip)]
    pub pending: Option<Pending>,
}

/// An operation that goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// Whether it is the delete.
    pub delete: bool,
    /// When it is over.
    pub until: Instant,
    /// Why it will fail, if it will.
    pub failure: Option<String>,
}

/// An operation as the operations API tells of it.
#[derive(Clone, Debug)]
pub struct Operation {
    /// Its id.
    pub id: String,
    /// The tenant.
    pub tenant: String,
    /// The contract.
    pub resource: String,
    /// Create or Delete.
    pub request: &'static str,
    /// When it was received.
    pub received: Timestamp,
    /// When it is over.
    pub until: Instant,
    /// Why it fails, if it does.
    pub failure: Option<String>,
}

/// A token.
#[derive(Clone, Debug)]
pub struct Token {
    /// The tenant it is for.
    pub tenant: String,
    /// When it expires.
    pub expires: Instant,
}

/// The state of the service.
pub struct World {
    /// How it behaves.
    pub settings: Settings,
    /// How it misbehaves.
    pub faults: Faults,
    /// What was asked.
    pub log: Log,
    /// When it began.
    pub began: Instant,
    /// What the time of day was then; it goes on from there.
    pub began_by_wall: Timestamp,
    /// Every change of each tenant's contract, so that a read can lag.
    history: HashMap<String, Vec<(Instant, Option<Contract>)>>,
    /// The operations.
    pub operations: Vec<Operation>,
    tokens: HashMap<String, Token>,
    accounts: HashMap<String, Option<String>>,
    failures: HashMap<String, String>,
    /// Tenants for which a contract is bought in the portal just before their next create.
    pub portal_first: HashMap<String, usize>,
    created: u64,
}

impl World {
    /// An empty one.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            faults: Faults::default(),
            log: Log::default(),
            began: Instant::now(),
            began_by_wall: Timestamp::now(),
            history: HashMap::new(),
            operations: Vec::new(),
            tokens: HashMap::new(),
            accounts: HashMap::new(),
            failures: HashMap::new(),
            portal_first: HashMap::new(),
            created: 0,
        }
    }

    /// The time of day.
    #[must_use]
    pub fn wall(&self) -> Timestamp {
        self.began_by_wall + self.began.elapsed()
    }

    /// The contract of a tenant now.
    #[must_use]
    pub fn contract(&self, tenant: &str) -> Option<Contract> {
        self.contract_at(tenant, Instant::now())
    }

    /// The contract of a tenant as it was at a moment.
    #[must_use]
    pub fn contract_at(&self, tenant: &str, at: Instant) -> Option<Contract> {
        let changes = self.history.get(tenant)?;
        let (_, contract) = changes.iter().rev().find(|(since, _)| *since <= at)?;
        let mut contract = contract.clone()?;
        let Some(pending) = contract.pending.take_if(|pending| pending.until <= at) else { return Some(contract) };
        if pending.failure.is_none() && pending.delete {
            return None;
        }
        contract.operation_status = if pending.failure.is_some() { "Error" } else { "Completed" }.into();
        Some(contract)
    }

    /// Puts a contract in place of what the tenant had.
    pub fn put(&mut self, tenant: &str, contract: Option<Contract>) {
        self.history.entry(tenant.into()).or_default().push((Instant::now(), contract));
    }

    /// The tenants that ever had a contract.
    pub fn tenants(&self) -> impl Iterator<Item = &str> {
        self.history.keys().map(String::as_str)
    }

    /// Buys.
    pub fn create(&mut self, tenant: &str) -> Contract {
        let pending = self.begin(tenant, false);
        let mut contract = self.new_contract("Processing");
        self.record(tenant, &contract.id, "Create", &pending);
        contract.pending = Some(pending);
        self.put(tenant, Some(contract.clone()));
        contract
    }

    /// Abolishes.
    pub fn delete(&mut self, tenant: &str, mut contract: Contract) -> Contract {
        let pending = self.begin(tenant, true);
        self.record(tenant, &contract.id, "Delete", &pending);
        contract.operation_status = "Processing".into();
        contract.pending = Some(pending);
        self.put(tenant, Some(contract.clone()));
        contract
    }

    /// A contract with an id of its own.
    pub fn new_contract(&mut self, status: &str) -> Contract {
        self.created += 1;
        Contract {
            id: format!("F{:012}", 520_000_000_000 + self.created),
            operation_status: status.into(),
            current_menu: PREMIUM.into(),
            menu_start_date: self.wall().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            pending: None,
        }
    }

    /// The next operation of a tenant fails.
    pub fn fail_next_operation(&mut self, tenant: &str, why: &str) {
        self.failures.insert(tenant.into(), why.into());
    }

    fn begin(&mut self, tenant: &str, delete: bool) -> Pending {
        let until = Instant::now() + Duration::from_millis(self.settings.processing_ms);
        Pending { delete, until, failure: self.failures.remove(tenant) }
    }

    fn record(&mut self, tenant: &str, resource: &str, request: &'static str, pending: &Pending) {
        self.operations.push(Operation {
            id: random_hex(32),
            tenant: tenant.into(),
            resource: resource.into(),
            request,
            received: self.wall(),
            until: pending.until,
            failure: pending.failure.clone(),
        });
    }

    /// From now on this key is accepted with this secret only; without a secret it is locked out.
    pub fn set_account(&mut self, api_key: &str, api_secret: Option<&str>) {
        self.accounts.insert(api_key.into(), api_secret.map(Into::into));
    }

    /// Whether a key and a secret are a pair. A key that nobody has set is accepted with every secret but `wrong`.
    #[must_use]
    pub fn is_pair(&self, api_key: &str, api_secret: &str) -> bool {
        match self.accounts.get(api_key) {
            Some(known) => known.as_deref() == Some(api_secret),
            None => !api_key.is_empty() && !api_secret.is_empty() && api_secret != "wrong",
        }
    }

    /// A token for a tenant.
    pub fn issue(&mut self, tenant: &str) -> (String, Timestamp) {
        // Since July 2025 tokens are of 140 to 240 bytes, of varying length.
        let token = random_hex(fastrand::usize(140..=240));
        let lifetime = Duration::from_millis(self.settings.token_lifetime_ms);
        self.tokens.insert(token.clone(), Token { tenant: tenant.into(), expires: Instant::now() + lifetime });
        (token, self.wall() + lifetime)
    }

    /// The tenant of a token that is good.
    #[must_use]
    pub fn tenant_of(&self, token: &str) -> Option<&str> {
        self.tokens.get(token).filter(|token| token.expires > Instant::now()).map(|token| token.tenant.as_str())
    }

    /// Revokes the tokens of a tenant, or all.
    pub fn revoke_tokens(&mut self, tenant: Option<&str>) {
        self.tokens.retain(|_, token| tenant.is_some_and(|tenant| token.tenant != tenant));
    }
}

fn random_hex(length: usize) -> String {
    (0..length).map(|_| char::from_digit(fastrand::u32(..16), 16).unwrap_or('0')).collect()
}
