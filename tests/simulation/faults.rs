//! The faults of a simulation run: how often they happen, when a process crashes, and which fault FIC gets.

use fic_simulator::faults::Kind as FicFault;

/// How often faults happen, per thousand requests or watch events.
#[derive(Clone, Debug, Default)]
pub struct FaultRates {
    /// A request to the API server is lost or refused, or its response is lost.
    pub api_requests: u32,
    /// The response to a write of a Secret is lost.
    pub secret_responses: u32,
    /// A watch breaks.
    pub watch_breaks: u32,
    /// A watch event is late. Without this fault some are late too, but fewer.
    pub watch_delays: u32,
    /// A request to FIC or Keystone is lost or refused, or gets an invalid response.
    pub fic_requests: u32,
    /// The response to a create or delete request is lost.
    pub fic_responses: u32,
    /// A read of FIC returns the state of a moment ago.
    pub fic_lag: u32,
    /// The API server refuses a write of a plan or of a Secret.
    pub refused_writes: u32,
    /// A reconcile panics at a request to FIC or Keystone.
    pub panics: u32,
    /// Every request for this tenant fails in this way.
    pub failing_tenant: Option<(String, FicFault)>,
}

/// A crash of a process at its n-th write: before the write takes effect, or right after.
#[derive(Clone, Copy, Debug)]
pub struct Crash {
    pub at_write: u32,
    pub after_effect: bool,
}

/// Chooses the fault of a request to FIC or Keystone at random.
pub fn random_fic_fault(chance: &mut fastrand::Rng) -> FicFault {
    let status = |code| FicFault::Status { code, body: None, retry_after: None };
    match chance.u32(0..22) {
        0..=3 => FicFault::DropBefore,
        4..=7 => FicFault::DropAfter,
        8 => status(500),
        9 => status(503),
        10 => status(400),
        11 => status(403),
        12 => status(401),
        13 => FicFault::Status { code: 429, body: None, retry_after: Some(chance.u32(1..20).to_string()) },
        14 => FicFault::Garbage,
        15 => FicFault::Hang { ms: None, effect_first: true },
        16 => FicFault::SlowDrip { interval_ms: 1000 },
        17 => FicFault::WrongTenant,
        18 => FicFault::WrongId,
        19 => FicFault::WrongAbsence,
        20 => FicFault::Html { code: 504, effect_first: true },
        _ => FicFault::Empty,
    }
}
