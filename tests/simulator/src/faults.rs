//! Fault injection: which requests fail, and how.

use serde::{Deserialize, Serialize};

use crate::log::Call;

/// A fault, and the requests that it applies to.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Fault {
    /// Only this call. None: every call.
    #[serde(default)]
    pub call: Option<Call>,
    /// Only this tenant. None: every tenant.
    #[serde(default)]
    pub tenant: Option<String>,
    /// The number of matching requests to let pass first.
    #[serde(default)]
    pub skip: u32,
    /// How often the fault is injected. None: until it is removed.
    #[serde(default)]
    pub times: Option<u32>,
    /// The kind of fault.
    pub kind: Kind,
}

/// The kind of a fault.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Kind {
    /// Returns this status. The request has no effect.
    Status {
        /// The HTTP status.
        code: u16,
        /// The body. None: an error in the format of FIC.
        #[serde(default)]
        body: Option<String>,
        /// The value of the `Retry-After` header.
        #[serde(default)]
        retry_after: Option<String>,
    },
    /// Closes the connection without a response. The request has no effect.
    DropBefore,
    /// Executes the request, then closes the connection without a response.
    DropAfter,
    /// Delays the response.
    Hang {
        /// The delay in milliseconds. None: until the client disconnects.
        #[serde(default)]
        ms: Option<u64>,
        /// Whether the request is executed before the delay.
        #[serde(default)]
        effect_first: bool,
    },
    /// Executes the request and returns invalid JSON.
    Garbage,
    /// Returns this status and an HTML page, as a gateway does.
    Html {
        /// The HTTP status.
        code: u16,
        /// Whether the request is executed.
        #[serde(default)]
        effect_first: bool,
    },
    /// Returns a very large body. The request has no effect.
    Huge {
        /// The size in MiB.
        mib: usize,
    },
    /// Executes the request and sends the response one byte at a time.
    SlowDrip {
        /// The delay between two bytes in milliseconds.
        interval_ms: u64,
    },
    /// Returns a 302 redirect. The request has no effect.
    Redirect {
        /// The value of the `Location` header.
        to: String,
    },
    /// Executes the request. The returned contract names another tenant and has another id.
    WrongTenant,
    /// Executes the request. The returned contract has another id.
    WrongId,
    /// Executes the request and returns its status without a body.
    Empty,
    /// List and Show return an earlier state.
    Lag {
        /// The age of the state in milliseconds.
        ms: u64,
    },
    /// Show returns 404 and List returns no contract, although a contract exists.
    WrongAbsence,
}

impl Kind {
    /// The name of the fault for the log.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Status { .. } => "status",
            Self::DropBefore => "dropBefore",
            Self::DropAfter => "dropAfter",
            Self::Hang { .. } => "hang",
            Self::Garbage => "garbage",
            Self::Html { .. } => "html",
            Self::Huge { .. } => "huge",
            Self::SlowDrip { .. } => "slowDrip",
            Self::Redirect { .. } => "redirect",
            Self::WrongTenant => "wrongTenant",
            Self::WrongId => "wrongId",
            Self::Empty => "empty",
            Self::Lag { .. } => "lag",
            Self::WrongAbsence => "wrongAbsence",
        }
    }
}

impl Fault {
    /// A fault on the next such call for a tenant.
    #[must_use]
    pub fn once(call: Call, tenant: &str, kind: Kind) -> Self {
        Self { times: Some(1), ..Self::always(call, tenant, kind) }
    }

    /// A fault on each such call for a tenant, until the fault is removed.
    #[must_use]
    pub fn always(call: Call, tenant: &str, kind: Kind) -> Self {
        Self { call: Some(call), tenant: Some(tenant.into()), skip: 0, times: None, kind }
    }

    /// A fault on every call for a tenant, until the fault is removed.
    #[must_use]
    pub fn on_tenant(tenant: &str, kind: Kind) -> Self {
        Self { call: None, tenant: Some(tenant.into()), skip: 0, times: None, kind }
    }

    fn matches(&self, call: Call, tenant: Option<&str>) -> bool {
        self.call.is_none_or(|wanted| wanted == call)
            && self.tenant.as_deref().is_none_or(|wanted| Some(wanted) == tenant)
            && self.times != Some(0)
    }
}

/// The active faults, in the order of their injection. The first fault that matches a request applies.
#[derive(Default)]
pub struct Faults {
    next: u64,
    faults: Vec<(u64, Fault)>,
}

impl Faults {
    /// Adds a fault. Returns its number for [`Faults::remove`].
    pub fn add(&mut self, fault: Fault) -> u64 {
        self.next += 1;
        self.faults.push((self.next, fault));
        self.next
    }

    /// Removes one fault.
    pub fn remove(&mut self, number: u64) {
        self.faults.retain(|(known, _)| *known != number);
    }

    /// Removes all faults.
    pub fn clear(&mut self) {
        self.faults.clear();
    }

    /// All active faults with their numbers.
    #[must_use]
    pub fn all(&self) -> &[(u64, Fault)] {
        &self.faults
    }

    /// The fault to inject into a request. This counts against `skip` and `times` of the fault.
    pub fn take_matching(&mut self, call: Call, tenant: Option<&str>) -> Option<Kind> {
        let (_, fault) = self.faults.iter_mut().find(|(_, fault)| fault.matches(call, tenant))?;
        if fault.skip > 0 {
            fault.skip -= 1;
            return None;
        }
        if let Some(times) = &mut fault.times {
            *times -= 1;
        }
        let kind = fault.kind.clone();
        self.faults.retain(|(_, fault)| fault.times != Some(0));
        Some(kind)
    }
}
