//! Which plan of a namespace goes first where several compete: for a slot, for the API server, and at the rate limit of FIC.
//!
//! Each plan has a ticket with a number, and the lowest number goes first. A plan keeps its ticket over several reconciles,
//! so it is finished before others begin. Otherwise all plans advance one request at a time, and an operator that is
//! restarted again and again under load starts every plan and finishes none. But a ticket expires, so a plan that sends
//! requests again and again delays no other for longer.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::domain::facts::Uptime;

/// How long a plan keeps its ticket.
const LIFETIME: Duration = Duration::from_secs(10);

/// The ticket of a plan. An earlier one is less.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket {
    /// Its number. No two tickets have the same.
    pub number: u64,
    issued_at: Uptime,
}

/// Issues tickets.
#[derive(Debug, Default)]
pub struct Tickets(AtomicU64);

impl Tickets {
    /// The ticket that a plan has, or the next one if it has none or an expired one.
    pub fn take(&self, current: Option<Ticket>, now: Uptime) -> Ticket {
        let valid = current.filter(|ticket| now < ticket.issued_at.saturating_add(LIFETIME));
        valid.unwrap_or_else(|| Ticket { number: self.0.fetch_add(1, Ordering::Relaxed), issued_at: now })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Ticket {
        /// The next ticket of all tests.
        pub(in crate::reconcile) fn next() -> Self {
            static TICKETS: Tickets = Tickets(AtomicU64::new(0));
            TICKETS.take(None, Duration::ZERO)
        }
    }

    #[test]
    fn a_plan_keeps_its_ticket_until_it_expires() {
        let tickets = Tickets::default();
        let at = |millis| Duration::from_mins(1) + Duration::from_millis(millis);
        let first = tickets.take(None, at(0));
        let second = tickets.take(None, at(0));
        assert!(first < second);
        assert_eq!(tickets.take(Some(first), at(9_999)), first);
        let renewed = tickets.take(Some(first), at(10_000));
        assert!(second < renewed, "the other plan goes first now");
        assert_eq!(tickets.take(Some(renewed), at(19_999)), renewed);
    }
}
