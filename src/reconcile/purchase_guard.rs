//! The purchase guard: how many lost contracts all plans together buy again within an hour.
//!
//! Many contracts gone at once are more likely a wrong endpoint, a change of permissions or a fault of FIC than a wish
//! to buy them all again. The status of each plan says when it last bought a lost contract again, so the count survives
//! the process.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};

use crate::domain::contract::ContractId;
use crate::domain::run_state::Recreation;

/// The time in which recreations are counted together.
const WINDOW: SignedDuration = SignedDuration::from_hours(1);
/// A status that says a recreation was so close to one that is known means the same one.
const SAME: SignedDuration = SignedDuration::from_secs(30);

/// The recreations of the last hour, by UID of the plan.
#[derive(Default)]
pub struct PurchaseGuard(Mutex<HashMap<Box<str>, Vec<CountedRecreation>>>);

struct CountedRecreation {
    at: Timestamp,
    /// The contract that is bought again. `None`: another process decided it.
    lost: Option<ContractId>,
}

impl PurchaseGuard {
    /// The status of a plan says that a lost contract was bought again at this time.
    pub fn observe(&self, uid: &str, at: Timestamp, now: Timestamp) {
        let mut recreations = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        prune(&mut recreations, now);
        if !is_recent(at, now) {
            return;
        }
        let of_plan = recreations.entry(uid.into()).or_default();
        if !of_plan.iter().any(|known| at.duration_since(known.at).abs() <= SAME) {
            of_plan.push(CountedRecreation { at, lost: None });
        }
    }

    /// Whether a plan may buy this lost contract again. Asked again for the same contract, the answer stays the same. A
    /// person may approve a recreation beyond the limit, and it counts too.
    pub fn request(&self, uid: &str, lost: &ContractId, approved: bool, limit: u32, now: Timestamp) -> Recreation {
        let mut recreations = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        prune(&mut recreations, now);
        let is_counted = |known: &CountedRecreation| known.lost.as_ref() == Some(lost);
        if recreations.get(uid).is_some_and(|of_plan| of_plan.iter().any(is_counted)) {
            return Recreation::Allowed;
        }
        let count = recreations.values().map(Vec::len).sum::<usize>();
        if count >= usize::try_from(limit).unwrap_or(usize::MAX) && !approved {
            return Recreation::HeldBack;
        }
        let counted = CountedRecreation { at: now, lost: Some(lost.clone()) };
        recreations.entry(uid.into()).or_default().push(counted);
        Recreation::Allowed
    }
}

fn prune(recreations: &mut HashMap<Box<str>, Vec<CountedRecreation>>, now: Timestamp) {
    recreations.retain(|_, of_plan| {
        of_plan.retain(|known| is_recent(known.at, now));
        !of_plan.is_empty()
    });
}

fn is_recent(at: Timestamp, now: Timestamp) -> bool {
    now.duration_since(at) < WINDOW
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + minutes * 60).expect("in range")
    }

    fn id(number: u32) -> ContractId {
        ContractId::parse(&format!("F{number:012}")).expect("well formed")
    }

    /// Whether the plan may buy the contract of this number again.
    fn request(guard: &PurchaseGuard, number: u32, now: Timestamp) -> Recreation {
        guard.request(&format!("uid-{number}"), &id(number), false, 2, now)
    }

    #[test]
    fn all_plans_together_buy_only_so_many_again_within_an_hour() {
        let guard = PurchaseGuard::default();
        let requests = [1, 2, 3].map(|number| request(&guard, number, at(0)));
        assert_eq!(requests, [Recreation::Allowed, Recreation::Allowed, Recreation::HeldBack]);
        assert_eq!(request(&guard, 3, at(59)), Recreation::HeldBack);
        assert_eq!(request(&guard, 3, at(60)), Recreation::Allowed);
    }

    #[test]
    fn the_answer_for_one_contract_stays_the_same() {
        let guard = PurchaseGuard::default();
        for _ in 0..3 {
            assert_eq!(request(&guard, 1, at(0)), Recreation::Allowed);
        }
        assert_eq!(request(&guard, 2, at(0)), Recreation::Allowed);
        assert_eq!(request(&guard, 1, at(0)), Recreation::Allowed);
        assert_eq!(guard.request("uid-1", &id(7), false, 2, at(0)), Recreation::HeldBack, "the next one is lost too");
    }

    #[test]
    fn a_person_may_exceed_the_limit() {
        let guard = PurchaseGuard::default();
        for number in [1, 2, 3] {
            assert_eq!(guard.request("uid", &id(number), true, 1, at(0)), Recreation::Allowed);
        }
        assert_eq!(guard.request("uid", &id(4), false, 3, at(0)), Recreation::HeldBack, "they count");
    }

    #[test]
    fn the_recreations_of_an_earlier_process_count() {
        let guard = PurchaseGuard::default();
        guard.observe("uid-1", at(0), at(10));
        guard.observe("uid-1", at(0), at(11));
        assert_eq!(request(&guard, 2, at(20)), Recreation::Allowed);
        guard.observe("uid-2", at(20), at(20));
        assert_eq!(request(&guard, 3, at(20)), Recreation::HeldBack);
        assert_eq!(request(&guard, 3, at(61)), Recreation::Allowed);
        let guard = PurchaseGuard::default();
        guard.observe("uid-1", at(0), at(60));
        assert!(guard.0.lock().expect("not poisoned").is_empty(), "nothing old is kept");
    }
}
