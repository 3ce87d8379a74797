//! The world: plans of one tenant and their Secret, the process that leads, what one before it left on its way, FIC.

use std::time::Duration;

use fic_support_operator::api::plan::{AdoptionPolicy, DeletionPolicy, ManagementPolicy, Menu, RecreationPolicy};
use fic_support_operator::domain::contract::{Contract, ContractId, OperationStatus};
use fic_support_operator::domain::decide::Step;
use fic_support_operator::domain::facts::{Claim, PlanFacts, SecretState, Settings};
use fic_support_operator::domain::memory::{CONFIRMATIONS_REQUIRED, CreateState, Memory};
use fic_support_operator::domain::run_state::{RunState, StepResult};
use fic_support_operator::index::claim::{self, Contender};
use k8s_openapi::jiff::Timestamp;

use crate::budget::Budget;

pub type Outcome = Result<World, String>;

/// What can happen next. Its words cost more than all the rest, and only a story needs them.
#[derive(Default)]
pub struct Events {
    pub told: bool,
    pub all: Vec<(String, Outcome)>,
}

impl Events {
    pub fn push(&mut self, words: impl FnOnce() -> String, next: Outcome) {
        self.all.push((if self.told { words() } else { String::new() }, next));
    }
}

pub const SETTINGS: Settings = Settings {
    poll_interval: Duration::from_secs(1),
    resync_interval: Duration::from_secs(1),
    operation_timeout: Duration::MAX,
};

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World {
    pub budget: Budget,
    pub secret: Secret,
    /// The definition is being deleted.
    pub leaving: bool,
    pub plans: Vec<Plan>,
    /// A request that a process sent which leads no longer.
    pub adrift: Option<Box<Adrift>>,
    /// The contract at FIC, and what there was before: what a lagging read may still show.
    pub contract: Option<Held>,
    pub before: Vec<Past>,
    pub next_id: u8,
    /// The truth that the operator cannot see: a contract that it bought, and that no plan has recorded yet.
    pub unclaimed: Option<ContractId>,
}

/// A plan, and what the process that leads has of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Plan {
    /// When it was created, compared with the others.
    pub rank: u8,
    /// The plan at the API server; none before it is made and once it is gone.
    pub object: Option<PlanFacts>,
    pub made: bool,
    /// How many contracts may be bought for it: one, and one more for each that was lost.
    pub needs: u8,
    /// It was let go with its contract left at FIC, as was wished.
    pub retained: bool,
    /// The plan as the index of the process has it: what other plans go by until they ask the API server.
    pub known: Option<PlanFacts>,
    pub memory: Option<Memory>,
    pub operator: Option<Operator>,
    /// The truth that the operator cannot see: contracts that are the plan's own.
    pub own: Vec<ContractId>,
    /// A create may be open as far as any process can know: what is found then may be taken for ours, as the promises have it.
    pub ambiguous: bool,
}

/// A pass under way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Operator {
    pub plan: PlanFacts,
    /// The plan has changed since: a write that carries its version fails.
    pub stale: bool,
    pub credentials: SecretState,
    pub claim: Claim,
    pub pass: RunState,
    /// It was due, and has not looked yet.
    pub due: bool,
    /// A look of this pass showed an earlier time.
    pub lagged: bool,
}

/// A request on its way, decided on by a process that leads no longer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Adrift {
    pub plan: usize,
    pub operator: Operator,
    pub step: Step,
    /// The plan was let go meanwhile, with whatever it may have bought.
    pub retained: bool,
}

/// The credentials Secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Secret {
    pub there: bool,
    pub protected: bool,
    pub deleting: bool,
}

/// What was at FIC before.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Past {
    pub held: Option<Held>,
    /// How many looks of each plan have been due since.
    looks: [u8; 2],
}

/// A contract at FIC.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Held {
    pub id: ContractId,
    pub status: OperationStatus,
    pub going: bool,
    /// The plan that it was bought for, if it was not bought in the portal.
    pub buyer: Option<usize>,
}

impl Secret {
    pub fn facts(self) -> SecretState {
        if self.there {
            SecretState::Found { defect: None, protected: self.protected, deleting: self.deleting }
        } else {
            SecretState::NotFound
        }
    }
}

impl Held {
    pub fn shown(&self) -> Contract {
        Contract {
            id: self.id.clone(),
            status: self.status.clone(),
            current_menu: Some("PremiumPlan".into()),
            menus: vec![],
        }
    }
}

impl Plan {
    fn new(rank: u8) -> Self {
        Self {
            rank,
            object: None,
            made: false,
            needs: 1,
            retained: false,
            known: None,
            memory: None,
            operator: None,
            own: vec![],
            ambiguous: false,
        }
    }

    pub fn make(&mut self) {
        self.made = true;
        self.object = Some(PlanFacts {
            menu: Menu::PremiumPlan,
            management: ManagementPolicy::Manage,
            adoption: AdoptionPolicy::Never,
            recreation: RecreationPolicy::IfLost,
            deletion: DeletionPolicy::Delete,
            suspend: false,
            deleting: false,
            finalizer: false,
            id: None,
            reported: None,
        });
    }

    /// Nothing of it is left at the API server, and so nothing in the process.
    pub fn vanish(&mut self) {
        self.object = None;
        self.known = None;
        self.operator = None;
        self.memory = None;
    }

    /// It was changed by somebody else than the pass under way.
    pub fn changed(&mut self) {
        if let Some(operator) = &mut self.operator {
            operator.stale = true;
        }
    }

    /// From here on no process can tell whether a create of this plan took effect.
    pub fn note_ambiguity(&mut self) {
        if self.object.as_ref().is_some_and(|plan| plan.finalizer && plan.id.is_none()) {
            self.ambiguous = true;
        }
    }

    pub fn holds_secret(&self) -> bool {
        self.object.as_ref().is_some_and(|plan| plan.finalizer)
    }

    /// How a pass finds the plan in memory.
    pub fn learn(&mut self, news: &StepResult) {
        let (Some(operator), Some(memory)) = (&mut self.operator, &mut self.memory) else { return };
        memory.learn(news, &operator.plan, &SETTINGS, Duration::ZERO);
        operator.pass.learn(news);
        // What only counts up is cut off where counting on makes no difference, or there would be no end of states.
        memory.failures = 0;
        memory.absences = memory.absences.min(3);
        memory.in_progress_since = None;
        if let CreateState::Open { empty_looks, resent } = &mut memory.create {
            *resent = (*resent).min(1);
            *empty_looks = (*empty_looks).min(6);
        }
        if let Some(delete) = &mut memory.delete {
            delete.unchanged_looks = delete.unchanged_looks.min(3);
        }
    }
}

impl World {
    /// One plan, or one and another of the same tenant that may be made at any time and goes before it or after it.
    pub fn start(budget: Budget, ranks: &[u8]) -> Self {
        let mut plans = ranks.iter().map(|rank| Plan::new(*rank)).collect::<Vec<_>>();
        plans[0].make();
        Self {
            budget,
            secret: Secret { there: true, protected: budget.secrets == 0, deleting: false },
            leaving: false,
            plans,
            adrift: None,
            contract: None,
            before: vec![],
            next_id: 1,
            unclaimed: None,
        }
    }

    pub fn after(&self, change: impl FnOnce(&mut Self)) -> Self {
        let mut next = self.clone();
        change(&mut next);
        next
    }

    /// Everything that can happen next, in words or without.
    pub fn events(&self, told: bool) -> Vec<(String, Outcome)> {
        let mut events = Events { told, all: vec![] };
        for number in 0..self.plans.len() {
            self.process_events(number, &mut events);
            self.user_events(number, &mut events);
        }
        self.adrift_events(&mut events);
        self.fic_events(&mut events);
        self.portal_events(&mut events);
        self.secret_events(&mut events);
        events.all
    }

    /// A plan was changed: what is on its way for it was decided on another version.
    pub fn outdate_adrift(&mut self, number: usize) {
        if let Some(adrift) = self.adrift.as_mut().filter(|adrift| adrift.plan == number) {
            adrift.operator.stale = true;
        }
    }

    /// The caches of the process take in what a plan is now.
    pub fn know(&mut self, number: usize) {
        let plan = &mut self.plans[number];
        plan.known.clone_from(&plan.object);
    }

    pub fn new_contract(&mut self, status: OperationStatus, buyer: Option<usize>) -> Held {
        let id = ContractId::parse(&format!("F{:012}", self.next_id)).unwrap();
        self.next_id += 1;
        Held { id, status, going: false, buyer }
    }

    pub fn set_contract(&mut self, contract: Option<Held>) {
        let before = std::mem::replace(&mut self.contract, contract);
        // Where no read will lag any more, or has yet to, the past is of no use.
        if self.budget.lags > 0 {
            self.before.retain(|past| past.held != before);
            self.before.push(Past { held: before, looks: [0, 0] });
        }
    }

    /// A look is due: so much time has gone by since the one before. No read lags for as long as it takes to believe what looks show.
    pub fn time_passes(&mut self, number: usize) {
        for past in &mut self.before {
            past.looks[number] += 1;
        }
        self.before.retain(|past| u32::from(past.looks[number]) < CONFIRMATIONS_REQUIRED);
    }

    /// Who holds the tenant, by what is known of the plans.
    pub fn claim<'a>(&'a self, number: usize, known: impl Fn(&'a Plan) -> Option<&'a PlanFacts>) -> Claim {
        let contenders = self.plans.iter().enumerate().filter_map(|(number, plan)| {
            let facts = known(plan)?;
            let contender = Contender {
                uid: number.to_string().into(),
                finalizer: facts.finalizer,
                contracted: facts.finalizer && facts.id.is_some(),
                observes: facts.management == ManagementPolicy::Observe,
                deleting: facts.deleting,
                created: Timestamp::from_second(plan.rank.into()).unwrap(),
            };
            Some((number, contender))
        });
        let contenders = contenders.collect::<Vec<_>>();
        match claim::holder(&contenders, |(_, contender)| contender) {
            Some((holder, _)) if *holder != number => Claim::HeldBy(name(*holder).into()),
            Some(_) | None => Claim::Ours,
        }
    }
}

pub fn name(plan: usize) -> &'static str {
    ["A", "B"][plan]
}
