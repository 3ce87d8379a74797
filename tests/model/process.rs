//! The process that leads: its passes, step by step, and how each step may go.

use std::time::Duration;

use fic_support_operator::api::plan::{AdoptionPolicy, DeletionPolicy, ManagementPolicy, RecreationPolicy};
use fic_support_operator::domain::contract::{ContractId, OperationStatus};
use fic_support_operator::domain::decide::{
    Command, Facts, IdChange, Occasion, Query, ReleaseReason, StatusChange, Step, decide,
};
use fic_support_operator::domain::error::{FicError, WriteOutcome};
use fic_support_operator::domain::facts::{Claim, PlanFacts, Reported, SecretState};
use fic_support_operator::domain::memory::{CONFIRMATIONS_REQUIRED, CreateState, Memory};
use fic_support_operator::domain::run_state::{CrdState, RunState, SecretAbsence, StepResult};

use crate::budget::Budget;
use crate::world::{Adrift, Events, Held, Operator, Outcome, SETTINGS, World, name};

/// How a step goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Luck {
    Well,
    LostBefore,
    LostAfter,
    /// It shows how things were at an earlier time: this one.
    Lagging(usize),
    Refused,
    /// Turned away at the door, unread.
    NotSent,
}

/// What a step came to.
enum Came {
    /// The world is not as the pass had thought: it is over.
    Over,
    /// It goes on, with this news if there is any.
    On(Option<StepResult>),
}

impl From<StepResult> for Came {
    fn from(news: StepResult) -> Self {
        Self::On(Some(news))
    }
}

fn unavailable() -> FicError {
    FicError::Unavailable { what: "".into(), retry_after: None }
}

/// FIC asks for fewer calls.
fn busy() -> FicError {
    FicError::RateLimited { retry_after: None }
}

fn calls_fic(step: &Step) -> bool {
    let looks = matches!(step, Step::Query(Query::List | Query::Show(_) | Query::Explain(_)));
    looks || matches!(step, Step::Command(Command::Create | Command::Delete(_)))
}

/// Whether the contract stays when this plan goes.
fn retains(plan: &PlanFacts) -> bool {
    plan.deletion == DeletionPolicy::Retain || plan.management == ManagementPolicy::Observe
}

impl Operator {
    /// One that only watches claims nothing, and one that has recorded its contract holds on.
    fn is_claimed_by_another(&self) -> bool {
        let claim = self.pass.holder.as_ref().unwrap_or(&self.claim);
        let owns = self.plan.finalizer && self.plan.id.is_some();
        *claim != Claim::Ours && !owns && self.plan.management == ManagementPolicy::Manage
    }

    /// The state in which this pass has seen a contract.
    fn has_seen(&self, id: &ContractId) -> Option<OperationStatus> {
        let shown = self.pass.shown.iter().flatten().flatten();
        let listed = self.pass.listed.iter().flatten().flatten();
        shown.chain(listed).find(|contract| contract.id == *id).map(|contract| contract.status.clone())
    }
}

impl World {
    pub fn process_events(&self, number: usize, events: &mut Events) {
        let plan = &self.plans[number];
        let who = name(number);
        let Some(operator) = &plan.operator else {
            if plan.known != plan.object {
                events.push(|| format!("the watch tells of {who}"), Ok(self.after(|next| next.know(number))));
            }
            // The plans of a tenant take turns.
            if plan.known.is_none() || self.plans.iter().any(|plan| plan.operator.is_some()) {
                return;
            }
            events.push(|| format!("{who}: a pass begins"), Ok(self.after(|next| next.begin_when_due(number))));
            let waits = plan.memory.as_ref().is_some_and(|memory| memory.looks_count_from > Duration::ZERO);
            if self.budget.edits > 0 && waits {
                let woken = self.after(|next| {
                    next.budget.edits -= 1;
                    next.begin(number);
                });
                events.push(|| format!("the user: asks for a look at {who}, and a pass begins"), Ok(woken));
            }
            return;
        };
        let step = self.decision(number, operator);
        let reads = matches!(&step, Step::Query(Query::List | Query::Show(_)));
        if reads && operator.due {
            let later = self.after(|next| {
                next.plans[number].operator.as_mut().unwrap().due = false;
                next.time_passes(number);
            });
            return later.process_events(number, events);
        }
        if self.adrift.is_some() && self.would_believe(number, &step) {
            // What is on its way arrives before looks that are a poll interval apart have come to a belief.
            return;
        }
        let what = || format!("{who}: {step:?}");
        events.push(what, self.take(number, &step, Luck::Well));
        let effects = matches!(&step, Step::Command(Command::Create | Command::Delete(_)));
        let writes =
            !effects && matches!(&step, Step::Command(_) | Step::Report(_) | Step::Rest { verdict: Some(_), .. });
        let mut maybe = |possible: bool, luck: Luck, spend: fn(&mut Budget) -> &mut u8| {
            let mut poorer = self.clone();
            let left = spend(&mut poorer.budget);
            if possible && *left > 0 {
                *left -= 1;
                events.push(|| format!("{luck:?}: {}", what()), poorer.take(number, &step, luck));
            }
        };
        maybe(reads || effects, Luck::LostBefore, |budget| &mut budget.losses);
        maybe(effects || writes, Luck::LostAfter, |budget| &mut budget.losses);
        maybe(effects, Luck::Refused, |budget| &mut budget.refusals);
        maybe(effects, Luck::NotSent, |budget| &mut budget.refusals);
        self.lagging_events(number, &step, events);
        if self.budget.crashes > 0 {
            for after in [false, true] {
                // Killed before the step, or right after its effect, before anything was learnt of it.
                let mut next = if after { self.take(number, &step, Luck::Well) } else { Ok(self.clone()) };
                if let Ok(next) = &mut next {
                    next.budget.crashes -= 1;
                    next.end();
                }
                events.push(|| format!("killed {} {}", if after { "right after" } else { "before" }, what()), next);
            }
        }
        if self.budget.successions > 0 && self.adrift.is_none() && (effects || writes) {
            let succeeded = self.after(|next| {
                next.budget.successions -= 1;
                next.end();
                let (operator, step) = (operator.clone(), step.clone());
                next.adrift = Some(Box::new(Adrift { plan: number, operator, step, retained: false }));
            });
            events.push(|| format!("another replica leads while this is on its way: {}", what()), Ok(succeeded));
        }
    }

    /// A read that lags shows any time before. One pass may be hit by it in all its looks, and counts once.
    fn lagging_events(&self, number: usize, step: &Step, events: &mut Events) {
        if !matches!(step, Step::Query(Query::List | Query::Show(_))) {
            return;
        }
        let lagged = self.plans[number].operator.as_ref().is_some_and(|operator| operator.lagged);
        if self.budget.lags == 0 && !lagged {
            return;
        }
        for time in (0..self.before.len()).filter(|time| self.before[*time].held != self.contract) {
            let mut poorer = self.clone();
            poorer.budget.lags -= u8::from(!lagged);
            if let Some(operator) = &mut poorer.plans[number].operator {
                operator.lagged = true;
            }
            let what = || format!("{}: {step:?} shows {:?}", name(number), self.before[time].held);
            events.push(what, poorer.take(number, step, Luck::Lagging(time)));
        }
    }

    /// What a process left on its way arrives, or never does.
    pub fn adrift_events(&self, events: &mut Events) {
        let Some(adrift) = &self.adrift else { return };
        let Adrift { plan, operator, step, retained } = &**adrift;
        let mut next = self.after(|next| next.adrift = None);
        events.push(|| "what was on its way is lost".into(), Ok(next.clone()));
        let came = next.effect(*plan, &mut operator.clone(), step, Luck::Well);
        // A finalizer that its process did not live to see says that something may have been bought.
        next.plans[*plan].note_ambiguity();
        if *retained {
            next.unclaimed.clone_from(&self.unclaimed);
        }
        events.push(|| format!("arrives late: {}: {step:?}", name(*plan)), came.map(|_| next));
    }

    /// It was due: what was looked for before may be looked for again.
    pub fn begin_when_due(&mut self, number: usize) {
        if let Some(memory) = &mut self.plans[number].memory {
            memory.looks_count_from = Duration::ZERO;
        }
        self.begin(number);
        if let Some(operator) = &mut self.plans[number].operator {
            operator.due = true;
        }
    }

    fn begin(&mut self, number: usize) {
        let plan = &mut self.plans[number];
        // The cache has what the watch has told, which may be behind.
        let Some(known) = plan.known.clone() else { return };
        plan.memory.get_or_insert_with(|| Memory::fresh(&known, Duration::ZERO)).meet(&known);
        let stale = plan.object.as_ref() != Some(&known);
        let credentials = self.secret.facts();
        let claim = self.claim(number, |plan| plan.known.as_ref());
        let operator =
            Operator { plan: known, stale, credentials, claim, pass: RunState::default(), due: false, lagged: false };
        self.plans[number].operator = Some(operator);
    }

    /// The process is no more, and the next one remembers nothing. It lists the plans before it begins.
    fn end(&mut self) {
        for number in 0..self.plans.len() {
            self.know(number);
            let plan = &mut self.plans[number];
            plan.operator = None;
            plan.memory = None;
            plan.note_ambiguity();
        }
    }

    pub fn decision(&self, number: usize, operator: &Operator) -> Step {
        decide(&Facts {
            now: Duration::ZERO,
            settings: &SETTINGS,
            plan: &operator.plan,
            credentials: &operator.credentials,
            claim: &operator.claim,
            memory: self.plans[number].memory.as_ref().unwrap(),
            pass: &operator.pass,
        })
    }

    /// Whether this look may be the last that it takes to believe what looks show.
    fn would_believe(&self, number: usize, step: &Step) -> bool {
        let Some(memory) = self.plans[number].memory.as_ref() else { return false };
        let open = match memory.create {
            CreateState::Open { empty_looks, .. } => empty_looks,
            CreateState::Unsent | CreateState::Refused | CreateState::Accepted(_) => 0,
        };
        let unchanged = memory.delete.as_ref().map_or(0, |delete| delete.unchanged_looks);
        matches!(step, Step::Query(Query::List | Query::Show(_)))
            && open.max(unchanged).max(memory.absences) + 1 >= CONFIRMATIONS_REQUIRED
    }

    /// A step of the process that leads: its effect, and what is learnt of it.
    pub fn take(&self, number: usize, step: &Step, luck: Luck) -> Outcome {
        let mut next = self.clone();
        let mut operator = next.plans[number].operator.take().unwrap();
        let before = operator.plan.clone();
        if step.opens_record()
            && let Some(memory) = &mut next.plans[number].memory
        {
            memory.opens_record();
        }
        let came = next.effect(number, &mut operator, step, luck)?;
        let plan = &mut next.plans[number];
        if plan.object.is_none() {
            plan.vanish();
            return Ok(next);
        }
        let Came::On(news) = came else { return Ok(next) };
        let news_of_it = operator.plan != before;
        plan.operator = Some(operator);
        if let Some(news) = news {
            plan.learn(&news);
        }
        if matches!(step, Step::Rest { .. }) {
            plan.operator = None;
            if next.budget.lags == 0 {
                // No read will lag any more.
                next.before.clear();
            }
        }
        if news_of_it {
            next.know(number);
            let claim = next.claim(number, |plan| plan.known.as_ref());
            if let Some(operator) = &mut next.plans[number].operator {
                operator.claim = claim;
            }
        }
        Ok(next)
    }

    fn effect(&mut self, number: usize, operator: &mut Operator, step: &Step, luck: Luck) -> Result<Came, String> {
        let suspended = operator.plan.suspend;
        if suspended && matches!(step, Step::Query(_) | Step::Command(_)) {
            return Err("a suspended plan was touched".into());
        }
        if calls_fic(step) && operator.is_claimed_by_another() {
            return Err("rule 7: a call for a plan whose tenant another one holds".into());
        }
        let came = self.effect_of(number, operator, step, luck)?;
        // It has taken effect, and no answer came: nothing is learnt of it.
        let unheard = luck == Luck::LostAfter && !calls_fic(step);
        Ok(if unheard { Came::Over } else { came })
    }

    fn effect_of(&mut self, number: usize, operator: &mut Operator, step: &Step, luck: Luck) -> Result<Came, String> {
        match step {
            Step::Query(look) => Ok(self.look(number, operator, look, luck).map_or(Came::Over, Came::from)),
            Step::Command(act) => self.act(number, operator, act, luck),
            Step::Report(verdict) | Step::Rest { verdict: Some(verdict), .. } => self.report(number, operator, verdict),
            Step::Rest { verdict: None, .. } => Ok(Came::On(None)),
        }
    }

    fn look(&self, number: usize, operator: &mut Operator, look: &Query, luck: Luck) -> Option<StepResult> {
        let seen = match luck {
            Luck::Lagging(time) => self.before[time].held.clone(),
            _ => self.contract.clone(),
        };
        let lost = luck == Luck::LostBefore;
        Some(match look {
            Query::List if lost => StepResult::Listed(Err(unavailable())),
            Query::Show(_) if lost => StepResult::Shown(Err(unavailable())),
            Query::List => StepResult::Listed(Ok(seen.iter().map(Held::shown).collect())),
            Query::Show(id) => StepResult::Shown(Ok(seen.filter(|held| held.id == *id).map(|held| held.shown()))),
            Query::Explain(_) => StepResult::Explained(None),
            Query::Crd if self.leaving => StepResult::Crd(CrdState::Deleting),
            Query::Crd => StepResult::Crd(CrdState::Present),
            Query::Holder => {
                let plan = &self.plans[number];
                operator.plan = plan.object.clone()?;
                operator.stale = false;
                StepResult::Holder(self.claim(number, |plan| plan.object.as_ref()))
            }
            Query::Secret => StepResult::Secret(SecretAbsence::Absent),
        })
    }

    fn act(&mut self, number: usize, operator: &mut Operator, act: &Command, luck: Luck) -> Result<Came, String> {
        match act {
            Command::AddSecretFinalizer => Ok(self.protect_secret(operator)),
            Command::AddFinalizer => {
                let written = self.write(number, operator, |plan| plan.finalizer = true);
                Ok(if written { StepResult::FinalizerAdded.into() } else { Came::Over })
            }
            Command::RemoveFinalizer(farewell) => self.let_go(number, operator, farewell),
            Command::Create => self.create(number, operator, luck).map(Came::from),
            Command::Delete(id) => self.delete(number, operator, id, luck).map(Came::from),
        }
    }

    /// A write that carries the version it was decided on. False: it was refused.
    fn write(&mut self, number: usize, operator: &mut Operator, change: impl FnOnce(&mut PlanFacts)) -> bool {
        let plan = &mut self.plans[number];
        let Some(object) = plan.object.as_mut().filter(|_| !operator.stale) else { return false };
        let before = object.clone();
        change(object);
        operator.plan = object.clone();
        if operator.plan != before {
            plan.changed();
            self.outdate_adrift(number);
        }
        true
    }

    fn let_go(&mut self, number: usize, operator: &mut Operator, farewell: &ReleaseReason) -> Result<Came, String> {
        let may_stay = operator.plan.deleting && (retains(&operator.plan) || self.leaving);
        if matches!(farewell, ReleaseReason::Retained { .. }) && !may_stay {
            return Err("rule 5: let go as under Retain, which nobody has asked for".into());
        }
        if !self.write(number, operator, |plan| plan.finalizer = false) {
            return Ok(Came::Over);
        }
        let others = self.plans.iter().enumerate().any(|(other, plan)| {
            other != number && plan.object.as_ref().is_some_and(|plan| plan.finalizer && plan.id.is_none())
        });
        if !may_stay {
            let own = |id| self.plans[number].own.contains(id) || (self.unclaimed.as_ref() == Some(id) && !others);
            if let Some(held) = self.contract.as_ref().filter(|held| own(&held.id)) {
                return Err(format!("contract {} is ours and was left behind", held.id));
            }
        } else if !others {
            self.unclaimed = None;
            if let Some(adrift) = self.adrift.as_mut().filter(|adrift| adrift.plan == number) {
                adrift.retained = true;
            }
        }
        let plan = &mut self.plans[number];
        plan.ambiguous = false;
        plan.retained |= may_stay;
        if plan.object.as_ref().is_some_and(|plan| plan.deleting) {
            plan.vanish();
        }
        Ok(StepResult::FinalizerRemoved.into())
    }

    fn protect_secret(&mut self, operator: &mut Operator) -> Came {
        // What has changed since, or is going, takes no finalizer.
        if operator.credentials != self.secret.facts() || self.secret.deleting {
            return Came::Over;
        }
        self.secret.protected = true;
        operator.credentials = self.secret.facts();
        StepResult::SecretFinalizerAdded.into()
    }

    fn create(&mut self, number: usize, operator: &Operator, luck: Luck) -> Result<StepResult, String> {
        if !operator.plan.finalizer {
            return Err("rule 2: bought without the finalizer".into());
        }
        if self.secret.there && !self.secret.protected {
            return Err("rule 8: bought with a Secret that nothing keeps".into());
        }
        if let SecretState::Found { deleting: true, .. } = operator.credentials {
            return Err("rule 8: bought with a Secret that is being deleted".into());
        }
        if operator.plan.deleting || operator.plan.management == ManagementPolicy::Observe {
            return Err("bought for a plan that does not want it".into());
        }
        if self.contract.as_ref().is_some_and(|held| self.unclaimed.as_ref() == Some(&held.id)) {
            return Err("rule 3: sent again although a contract was bought and is not recorded yet".into());
        }
        match luck {
            Luck::Refused => {
                return Ok(StepResult::Created(WriteOutcome::Refused(FicError::Rejected { words: "".into() })));
            }
            Luck::NotSent => return Ok(StepResult::Created(WriteOutcome::NotSent(busy()))),
            _ => {}
        }
        let outcome = match (&self.contract, luck) {
            (_, Luck::LostBefore) | (Some(_), Luck::LostAfter) => WriteOutcome::Unknown(unavailable()),
            (Some(_), _) => WriteOutcome::Refused(FicError::Conflict { words: "".into() }),
            (None, _) => {
                let held = self.new_contract(OperationStatus::Processing, Some(number));
                if self.plans[number].needs == 0 {
                    return Err("rule 1: bought once more than is needed".into());
                }
                self.plans[number].needs -= 1;
                self.unclaimed = Some(held.id.clone());
                self.set_contract(Some(held.clone()));
                if luck == Luck::LostAfter {
                    WriteOutcome::Unknown(unavailable())
                } else {
                    WriteOutcome::Accepted(held.shown())
                }
            }
        };
        if matches!(outcome, WriteOutcome::Unknown(_)) {
            self.plans[number].note_ambiguity();
        }
        Ok(StepResult::Created(outcome))
    }

    fn delete(
        &mut self,
        number: usize,
        operator: &Operator,
        id: &ContractId,
        luck: Luck,
    ) -> Result<StepResult, String> {
        if !self.plans[number].own.contains(id) {
            return Err(format!("contract {id} is not ours and was to be abolished"));
        }
        if self.leaving && operator.pass.definition != Some(CrdState::Present) {
            return Err(format!("rule 12: contract {id} was to be abolished although the definition is being deleted"));
        }
        if !operator.plan.deleting || retains(&operator.plan) {
            return Err(format!("contract {id} was to be abolished, and its plan does not want that"));
        }
        if operator.has_seen(id).is_none_or(|status| status == OperationStatus::Processing) {
            return Err(format!("rule 5: contract {id} was to be abolished while FIC is still working on it"));
        }
        match luck {
            Luck::Refused => {
                return Ok(StepResult::Deleted(WriteOutcome::Refused(FicError::Rejected { words: "".into() })));
            }
            Luck::NotSent => return Ok(StepResult::Deleted(WriteOutcome::NotSent(busy()))),
            _ => {}
        }
        if luck != Luck::LostBefore
            && let Some(held) = self.contract.clone().filter(|held| held.id == *id && !held.going)
        {
            self.set_contract(Some(Held { status: OperationStatus::Processing, going: true, ..held }));
        }
        let lost = matches!(luck, Luck::LostBefore | Luck::LostAfter);
        Ok(StepResult::Deleted(if lost { WriteOutcome::Unknown(unavailable()) } else { WriteOutcome::Accepted(()) }))
    }

    fn report(&mut self, number: usize, operator: &mut Operator, verdict: &StatusChange) -> Result<Came, String> {
        let purchased = matches!(verdict.occasion, Some(Occasion::Purchased(_)));
        // The id of what was bought is written whatever else has changed.
        operator.stale &= !(purchased && verdict.id != IdChange::Keep);
        let situation = &verdict.situation;
        let reported = Reported { ready: situation.ready(), reason: Some(situation.reason()) };
        let written = self.write(number, operator, |plan| {
            plan.reported = Some(reported);
            match &verdict.id {
                IdChange::Keep => {}
                IdChange::Set(id) => plan.id = Some(id.clone()),
                IdChange::Clear => plan.id = None,
            }
        });
        if !written {
            return Ok(Came::Over);
        }
        let lost = verdict.id == IdChange::Clear && operator.plan.finalizer;
        if lost && operator.plan.recreation == RecreationPolicy::Never {
            return Err("rule 6: a lost contract is to be bought again though recreationPolicy is Never".into());
        }
        if operator.plan.finalizer
            && let IdChange::Set(id) = &verdict.id
        {
            let adopted = matches!(verdict.occasion, Some(Occasion::Adopted(_)));
            self.claimed(number, id, &operator.plan, adopted)?;
        }
        Ok(Came::On(match (&verdict.id, &verdict.occasion) {
            (IdChange::Set(_), _) => Some(StepResult::IdRecorded),
            (IdChange::Clear, Some(Occasion::Lost(id))) => Some(StepResult::IdForgotten(Some(id.clone()))),
            (IdChange::Clear, _) => Some(StepResult::IdForgotten(None)),
            (IdChange::Keep, _) => None,
        }))
    }

    /// The id of a contract was recorded under the finalizer: it counts as the plan's from now on. Is it?
    fn claimed(&mut self, number: usize, id: &ContractId, plan: &PlanFacts, adopted: bool) -> Result<(), String> {
        if adopted && plan.adoption != AdoptionPolicy::IfPresent {
            return Err(format!("contract {id} was taken over, and adoptionPolicy is Never"));
        }
        let holds = |plan: &PlanFacts| plan.finalizer && plan.id.as_ref() == Some(id);
        let others = self.plans.iter().enumerate().filter(|(other, _)| *other != number);
        for (_, other) in others {
            if other.own.contains(id) && other.object.as_ref().is_some_and(holds) {
                return Err(format!("rule 7: contract {id} belongs to another plan and was taken"));
            }
        }
        let bought = self.unclaimed.take_if(|bought| bought == id).is_some();
        let plan = &self.plans[number];
        if !(bought || adopted || plan.ambiguous || plan.own.contains(id)) {
            return Err(format!("contract {id} was bought in the portal and taken for ours"));
        }
        for plan in &mut self.plans {
            plan.own.retain(|own| own != id);
        }
        let plan = &mut self.plans[number];
        plan.own.push(id.clone());
        plan.ambiguous = false;
        Ok(())
    }
}
