//! What must come about once nothing goes wrong any more: each plan is Ready, or stalled for a cause that is really there, or waits
//! for its user, or is gone.

use fic_support_operator::api::condition::{Progress, Ready, Reason};
use fic_support_operator::api::plan::{ManagementPolicy, RecreationPolicy};
use fic_support_operator::domain::contract::OperationStatus;
use fic_support_operator::domain::facts::{Claim, PlanFacts};

use crate::budget::Budget;
use crate::process::Luck;
use crate::world::{Events, Held, World};

/// So many rounds are enough for everything that is looked at several times.
const ROUNDS: usize = 24;
/// So many steps are enough for any pass.
const STEPS: usize = 40;

impl World {
    /// Passes go on round after round, FIC finishes what it is at, and nobody does anything.
    pub fn recovers(&self) -> Result<(), String> {
        let mut world = self.after(|next| next.budget = Budget::default());
        let mut late = Events::default();
        world.adrift_events(&mut late);
        if let Some((_, arrived)) = late.all.pop() {
            world = arrived?;
        }
        let at_work = world.plans.iter().position(|plan| plan.operator.is_some());
        world = at_work.map_or_else(|| Ok(world.clone()), |number| world.whole_pass(number))?;
        let mut settled = None;
        for _ in 0..ROUNDS {
            for number in 0..world.plans.len() {
                world.know(number);
                world = world.whole_pass(number)?;
            }
            let mut fic = Events::default();
            world.fic_events(&mut fic);
            if let Some((_, finished)) = fic.all.pop() {
                world = finished?;
            } else if (0..world.plans.len()).all(|number| world.is_settled(number)) {
                let objects = world.plans.iter().map(|plan| plan.object.clone()).collect::<Vec<_>>();
                if settled.as_ref() == Some(&objects) {
                    return world.nothing_is_left_behind();
                }
                settled = Some(objects);
            }
        }
        let plans = world.plans.iter().map(|plan| &plan.object).collect::<Vec<_>>();
        Err(format!("it never comes to rest: {plans:?}"))
    }

    /// What was bought is somebody's, unless its plan was to leave it.
    fn nothing_is_left_behind(&self) -> Result<(), String> {
        let Some(held) = &self.contract else { return Ok(()) };
        let Some(buyer) = held.buyer.map(|buyer| &self.plans[buyer]) else { return Ok(()) };
        let owned = self.plans.iter().any(|plan| plan.object.as_ref().is_some_and(|plan| self.has_contract(plan)));
        let waits = buyer.object.as_ref().is_some_and(|plan| plan.finalizer);
        if owned || waits || buyer.retained {
            Ok(())
        } else {
            Err(format!("contract {} was bought for a plan that has let it go", held.id))
        }
    }

    /// The pass that is under way, or a new one, to its end.
    fn whole_pass(&self, number: usize) -> Result<Self, String> {
        let mut world = self.clone();
        if world.plans[number].operator.is_none() {
            world.begin_when_due(number);
        }
        for _ in 0..STEPS {
            let Some(operator) = &world.plans[number].operator else { return Ok(world) };
            let step = world.decision(number, operator);
            world = world.take(number, &step, Luck::Well)?;
        }
        Err("a pass never comes to its end".into())
    }

    fn is_settled(&self, number: usize) -> bool {
        let Some(plan) = &self.plans[number].object else { return true };
        let Some(reported) = &plan.reported else { return false };
        if plan.suspend {
            return true;
        }
        let Some(reason) = reported.reason else { return false };
        match reason.progress() {
            // One that watches records no id under the finalizer: that would make it a claim.
            Progress::Still if plan.management == ManagementPolicy::Observe => {
                reported.ready == Ready::True && !plan.deleting && self.contract.is_some()
            }
            Progress::Still => reported.ready == Ready::True && !plan.deleting && self.has_contract(plan),
            Progress::Stalled => self.is_really_there(number, plan, reason),
            Progress::Reconciling => match reason {
                Reason::CredentialsMissing => !self.secret.there || self.secret.deleting,
                Reason::NotContracted => {
                    plan.management == ManagementPolicy::Observe && !plan.deleting && self.contract.is_none()
                }
                _ => false,
            },
        }
    }

    fn has_contract(&self, plan: &PlanFacts) -> bool {
        self.contract.as_ref().is_some_and(|held| Some(&held.id) == plan.id.as_ref())
    }

    /// Whether the cause of a stall is really there.
    fn is_really_there(&self, number: usize, plan: &PlanFacts, reason: Reason) -> bool {
        match reason {
            Reason::AlreadyContracted => {
                let is_ours = |held: &Held| {
                    self.unclaimed.as_ref() == Some(&held.id) || self.plans[number].own.contains(&held.id)
                };
                self.contract.as_ref().is_some_and(|held| !is_ours(held))
            }
            Reason::ContractLost => plan.recreation == RecreationPolicy::Never && !self.has_contract(plan),
            Reason::TenantClaimed => self.claim(number, |plan| plan.object.as_ref()) != Claim::Ours,
            Reason::OperationFailed => self.contract.as_ref().is_some_and(|held| held.status == OperationStatus::Error),
            _ => false,
        }
    }
}
