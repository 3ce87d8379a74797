//! A state of the model: the plans of one tenant, their Secret, the leader, a request in flight from the previous
//! leader, and FIC.

use fic_support_operator::domain::contract::{Contract, ContractId, OperationStatus};
use fic_support_operator::domain::facts::{Claim, PlanFacts, SecretState};
use fic_support_operator::domain::write_state::CONFIRMATIONS_REQUIRED;
use fic_support_operator::index::claim::{self, Contender};
use jiff::Timestamp;

use crate::budget::Budget;
use crate::events::{Event, Events};
use crate::plan::{InFlight, Opening, Plan};

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ModelState {
    pub budget: Budget,
    pub secret: Secret,
    pub crd_deleting: bool,
    pub plans: Vec<Plan>,
    pub in_flight: Option<Box<InFlight>>,
    /// The contract at FIC.
    pub contract: Option<FicContract>,
    /// What a stale read may still return.
    pub past: Vec<PastContract>,
    pub next_id: u8,
    /// Hidden from the operator: a contract that it bought and that no plan records yet.
    pub unrecorded_purchase: Option<ContractId>,
}

/// The credentials Secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Secret {
    pub exists: bool,
    pub has_finalizer: bool,
    pub deleting: bool,
}

/// A contract at FIC.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FicContract {
    pub id: ContractId,
    pub status: OperationStatus,
    /// FIC accepted a delete request.
    pub abolishing: bool,
    /// The plan that bought it. `None`: it was bought in the portal.
    pub buyer: Option<usize>,
}

/// An earlier state of the contract at FIC.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PastContract {
    pub contract: Option<FicContract>,
    /// How many intervals between reads have passed since, by plan.
    intervals: [u8; 2],
}

impl Secret {
    pub fn facts(self) -> SecretState {
        if self.exists {
            SecretState::Found { defect: None, has_finalizer: self.has_finalizer, deleting: self.deleting }
        } else {
            SecretState::NotFound
        }
    }
}

impl FicContract {
    /// The contract as FIC returns it.
    pub fn to_response(&self) -> Contract {
        Contract {
            id: self.id.clone(),
            status: self.status.clone(),
            current_menu: Some("PremiumPlan".into()),
            menus: vec![],
        }
    }
}

impl ModelState {
    /// The first plan exists. A second plan of the same tenant may be created at any time; its rank puts it before or
    /// after the first.
    pub fn initial(budget: Budget, creation_ranks: &[u8]) -> Self {
        let mut plans = creation_ranks.iter().map(|rank| Plan::new(*rank)).collect::<Vec<_>>();
        plans[0].create();
        Self {
            budget,
            secret: Secret { exists: true, has_finalizer: budget.secret_changes == 0, deleting: false },
            crd_deleting: false,
            plans,
            in_flight: None,
            contract: None,
            past: vec![],
            next_id: 1,
            unrecorded_purchase: None,
        }
    }

    /// A copy with a change.
    pub fn with(&self, change: impl FnOnce(&mut Self)) -> Self {
        let mut next = self.clone();
        change(&mut next);
        next
    }

    /// Every event that can follow.
    pub fn events(&self, described: bool) -> Vec<Event> {
        let mut events = Events { described, all: vec![] };
        for number in 0..self.plans.len() {
            self.reconcile_events(number, &mut events);
            self.user_events(number, &mut events);
        }
        self.in_flight_events(&mut events);
        self.fic_events(&mut events);
        self.portal_events(&mut events);
        self.secret_events(&mut events);
        events.all
    }

    /// A plan changed: a request in flight for it was decided on an older resourceVersion.
    pub fn outdate_in_flight(&mut self, number: usize) {
        if let Some(in_flight) = self.in_flight.as_mut().filter(|in_flight| in_flight.plan == number) {
            in_flight.reconcile.stale = true;
        }
    }

    /// The cache of the leader receives the current plan.
    pub fn update_cache(&mut self, number: usize) {
        let plan = &mut self.plans[number];
        plan.cached.clone_from(&plan.object);
        for (_, other) in self.plans.iter_mut().enumerate().filter(|(other, _)| *other != number) {
            if let Some(reconcile) = &mut other.reconcile
                && reconcile.opening == Opening::AwaitsWatch
            {
                reconcile.opening = Opening::Delivered;
            }
        }
    }

    /// A user removed every trace of what this plan bought, so no process can know of it any more.
    pub fn forget_purchase(&mut self, number: usize) {
        self.plans[number].retained = true;
        if self.contract.as_ref().is_some_and(|contract| contract.buyer == Some(number)) {
            self.unrecorded_purchase = None;
        }
    }

    pub fn new_contract(&mut self, status: OperationStatus, buyer: Option<usize>) -> FicContract {
        let id = ContractId::parse(&format!("F{:012}", self.next_id)).unwrap();
        self.next_id += 1;
        FicContract { id, status, abolishing: false, buyer }
    }

    pub fn set_contract(&mut self, contract: Option<FicContract>) {
        let before = std::mem::replace(&mut self.contract, contract);
        // Without another stale read the past has no effect.
        if self.budget.stale_reads > 0 {
            self.past.retain(|past| past.contract != before);
            self.past.push(PastContract { contract: before, intervals: [0, 0] });
        }
    }

    /// The interval between two reads of a plan passes. Reads are stale for less time than it takes to confirm an
    /// absence.
    pub fn pass_interval(&mut self, number: usize) {
        for past in &mut self.past {
            past.intervals[number] += 1;
        }
        self.past.retain(|past| u32::from(past.intervals[number]) < CONFIRMATIONS_REQUIRED);
    }

    /// Which plan holds the tenant, from `view` of each plan: the cache or the API server.
    pub fn claim<'a>(&'a self, number: usize, view: impl Fn(usize) -> Option<&'a PlanFacts>) -> Claim {
        let contenders = self.plans.iter().enumerate().filter_map(|(number, plan)| {
            let facts = view(number)?;
            let contender = Contender {
                uid: number.to_string().into(),
                record: facts.record.clone(),
                is_create_open: plan.is_create_open(),
                created: Timestamp::from_second(plan.creation_rank.into()).unwrap(),
            };
            Some((name(number), contender))
        });
        let contenders = contenders.collect::<Vec<_>>();
        claim::claim_of(&name(number), contenders.iter().map(|(name, contender)| (name, contender)))
    }
}

/// The name of a plan.
pub fn name(number: usize) -> &'static str {
    ["A", "B"][number]
}
