//! Misbehaviour on demand.

use serde::{Deserialize, Serialize};

use crate::log::Call;

/// How to misbehave, and when.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Fault {
    /// On this call only.
    #[serde(default)]
    pub call: Option<Call>,
    /// For this tenant only.
    #[serde(default)]
    pub tenant: Option<String>,
    /// Let so many pass first.
    #[serde(default)]
    pub skip: u32,
    /// So many times; without it until it is taken back.
    #[serde(default)]
    pub times: Option<u32>,
    /// What to do.
    pub kind: Kind,
}

/// What to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Kind {
    /// Answer with this status, without an effect.
    Status {
        /// The status.
        code: u16,
        /// The body; without it an error in FIC's form.
        #[serde(default)]
        body: Option<String>,
        /// The value of `Retry-After`.
        #[serde(default)]
        retry_after: Option<String>,
    },
    /// Close the connection without an answer and without an effect.
    DropBefore,
    /// Let it take effect, then close the connection without an answer.
    DropAfter,
    /// Give no answer for so long (without it: until the client leaves), then go on as usual.
    Hang {
        /// In milliseconds.
        #[serde(default)]
        ms: Option<u64>,
        /// Whether it takes effect before the wait.
        #[serde(default)]
        effect_first: bool,
    },
    /// Let it take effect and answer with JSON that is broken.
    Garbage,
    /// Answer with this status and a page of HTML, as a gateway does.
    Html {
        /// The status.
        code: u16,
        /// Whether it takes effect before.
        #[serde(default)]
        effect_first: bool,
    },
    /// Answer with so many MiB.
    Huge {
        /// How many.
        mib: usize,
    },
    /// Let it take effect and answer a byte at a time.
    SlowDrip {
        /// Milliseconds between two bytes.
        interval_ms: u64,
    },
    /// Send elsewhere.
    Redirect {
        /// Where to.
        to: String,
    },
    /// Answer about another tenant.
    WrongTenant,
    /// Answer about another contract.
    WrongId,
    /// Answer with success and no body.
    Empty,
    /// Answer a List or a Show with what was true so many milliseconds ago.
    Lag {
        /// How many.
        ms: u64,
    },
    /// Say of a contract that is there that it is not (Show), or list nothing (List).
    WrongAbsence,
}

impl Kind {
    /// Its name, for the log.
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
    /// A fault on a call for a tenant, once.
    #[must_use]
    pub fn once(call: Call, tenant: &str, kind: Kind) -> Self {
        Self { times: Some(1), ..Self::always(call, tenant, kind) }
    }

    /// A fault on a call for a tenant, until it is taken back.
    #[must_use]
    pub fn always(call: Call, tenant: &str, kind: Kind) -> Self {
        Self { call: Some(call), tenant: Some(tenant.into()), skip: 0, times: None, kind }
    }

    /// A fault on every call for a tenant, until it is taken back.
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

/// The faults in force.
#[derive(Default)]
pub struct Faults {
    next: u64,
    faults: Vec<(u64, Fault)>,
}

impl Faults {
    /// One more. The number it gives takes it back.
    pub fn add(&mut self, fault: Fault) -> u64 {
        self.next += 1;
        self.faults.push((self.next, fault));
        self.next
    }

    /// Takes one back.
    pub fn remove(&mut self, number: u64) {
        self.faults.retain(|(known, _)| *known != number);
    }

    /// Takes all back.
    pub fn clear(&mut self) {
        self.faults.clear();
    }

    /// All of them.
    #[must_use]
    pub fn all(&self) -> &[(u64, Fault)] {
        &self.faults
    }

    /// What to do on a call; this counts it.
    pub fn strike(&mut self, call: Call, tenant: Option<&str>) -> Option<Kind> {
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
