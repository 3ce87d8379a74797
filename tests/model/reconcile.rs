//! The leader: when a reconcile starts, which step it takes, and how the step may fail.

use std::time::Duration;

use fic_support_operator::domain::decide::{Command, Facts, Query, Step, decide};
use fic_support_operator::domain::memory::Memory;
use fic_support_operator::domain::run_state::RunState;
use fic_support_operator::domain::write_state::{CONFIRMATIONS_REQUIRED, CreateState, TookEffect};

use crate::budget::Budget;
use crate::effects::{Fault, StepOutcome};
use crate::events::{Events, Outcome};
use crate::plan::{InFlight, Opening, RunningReconcile, SETTINGS};
use crate::state::{ModelState, name};
use crate::transitions::Transition;

fn reads_contract(step: &Step) -> bool {
    matches!(step, Step::Query(Query::List | Query::Show(_)))
}

fn changes_contract(step: &Step) -> bool {
    matches!(step, Step::Command(Command::Create | Command::Delete(_)))
}

fn writes_to_kubernetes(step: &Step) -> bool {
    let writes = matches!(step, Step::Command(_) | Step::Report(_) | Step::Done { status: Some(_), .. });
    writes && !changes_contract(step)
}

impl ModelState {
    /// The events of the process that leads: the watch, the start of a reconcile, and its next step.
    pub fn reconcile_events(&self, number: usize, events: &mut Events) {
        let Some(reconcile) = &self.plans[number].reconcile else { return self.start_events(number, events) };
        let step = self.decision(number, reconcile);
        if reads_contract(&step) && reconcile.read_is_due {
            let later = self.with(|next| {
                next.plans[number].reconcile.as_mut().unwrap().read_is_due = false;
                next.pass_interval(number);
            });
            return later.reconcile_events(number, events);
        }
        if self.in_flight.is_some() && self.may_confirm_absence(number, &step) {
            // A request in flight arrives before reads a poll interval apart confirm an absence.
            return;
        }
        self.push_step(number, &step, Fault::None, events);
        self.fault_events(number, &step, events);
        self.stale_read_events(number, &step, events);
        self.crash_events(number, &step, events);
        self.failover_events(number, reconcile, &step, events);
    }

    fn start_events(&self, number: usize, events: &mut Events) {
        let plan = &self.plans[number];
        let who = name(number);
        if plan.cached != plan.object {
            events.push(|| format!("the watch delivers {who}"), Ok(self.with(|next| next.update_cache(number))));
        }
        // The lock of the tenant allows one reconcile at a time.
        if plan.cached.is_none() || self.plans.iter().any(|plan| plan.reconcile.is_some()) {
            return;
        }
        events.push(|| format!("{who}: a reconcile starts"), Ok(self.with(|next| next.start_after_interval(number))));
        let waits = plan.memory.as_ref().is_some_and(|memory| memory.reads_count_from > Duration::ZERO);
        if self.budget.edits > 0 && waits {
            let requested = self.with(|next| {
                next.budget.edits -= 1;
                next.start(number);
            });
            events.push(|| format!("the user requests a reconcile of {who}, and it starts"), Ok(requested));
        }
    }

    /// The step with a fault.
    fn fault_events(&self, number: usize, step: &Step, events: &mut Events) {
        let (reads, changes, writes) = (reads_contract(step), changes_contract(step), writes_to_kubernetes(step));
        let mut maybe = |possible: bool, fault: Fault, field: fn(&mut Budget) -> &mut u8| {
            let mut next = self.clone();
            let left = field(&mut next.budget);
            if possible && *left > 0 {
                *left -= 1;
                next.push_step(number, step, fault, events);
            }
        };
        maybe(reads || changes, Fault::RequestLost, |budget| &mut budget.losses);
        maybe(changes || writes, Fault::ResponseLost, |budget| &mut budget.losses);
        maybe(changes, Fault::Refused, |budget| &mut budget.refusals);
        maybe(changes, Fault::NotSent, |budget| &mut budget.refusals);
    }

    /// A stale read returns any earlier state. All reads of one reconcile may be stale, and count once.
    fn stale_read_events(&self, number: usize, step: &Step, events: &mut Events) {
        if !reads_contract(step) {
            return;
        }
        let had_stale_read = self.plans[number].reconcile.as_ref().is_some_and(|reconcile| reconcile.had_stale_read);
        if self.budget.stale_reads == 0 && !had_stale_read {
            return;
        }
        for index in (0..self.past.len()).filter(|index| self.past[*index].contract != self.contract) {
            let mut next = self.clone();
            next.budget.stale_reads -= u8::from(!had_stale_read);
            if let Some(reconcile) = &mut next.plans[number].reconcile {
                reconcile.had_stale_read = true;
            }
            next.push_step(number, step, Fault::StaleRead(index), events);
        }
    }

    /// The process is killed before the step, or after its effect and before it learns the result.
    fn crash_events(&self, number: usize, step: &Step, events: &mut Events) {
        if self.budget.crashes == 0 {
            return;
        }
        for after in [false, true] {
            let mut next = if after { self.take_step(number, step, Fault::None) } else { Ok(self.clone()) };
            if let Ok(next) = &mut next {
                next.budget.crashes -= 1;
                next.end_process();
            }
            let when = if after { "after" } else { "before" };
            events.push(|| format!("the process is killed {when} the step {}: {step:?}", name(number)), next);
        }
    }

    /// Another replica acquires the lease while the request of the step is in flight.
    fn failover_events(&self, number: usize, reconcile: &RunningReconcile, step: &Step, events: &mut Events) {
        let sends_write = changes_contract(step) || writes_to_kubernetes(step);
        if self.budget.failovers == 0 || self.in_flight.is_some() || !sends_write {
            return;
        }
        if *step == Step::Command(Command::Create) && !self.plans[number].has_record() {
            // A user removed the marks, so no other process can know of this request, whatever it does.
            return;
        }
        let failover = self.with(|next| {
            next.budget.failovers -= 1;
            next.end_process();
            let (reconcile, step) = (reconcile.clone(), step.clone());
            next.in_flight = Some(Box::new(InFlight { plan: number, reconcile, step, retained: false }));
        });
        let describe =
            || format!("another replica acquires the lease while this is in flight: {}: {step:?}", name(number));
        events.push(describe, Ok(failover));
    }

    /// The request in flight is lost, or arrives.
    pub fn in_flight_events(&self, events: &mut Events) {
        let Some(in_flight) = &self.in_flight else { return };
        let InFlight { plan, reconcile, step, retained } = &**in_flight;
        let mut next = self.with(|next| next.in_flight = None);
        events.push(|| "the request in flight is lost".into(), Ok(next.clone()));
        let outcome = next.execute(*plan, &mut reconcile.clone(), step, Fault::None);
        // The leader did not add this finalizer, so it must assume that a contract was bought.
        next.plans[*plan].mark_ambiguous_if_open();
        if *retained {
            next.unrecorded_purchase.clone_from(&self.unrecorded_purchase);
        }
        let outcome = outcome.map(|_| next);
        let transition = self.transition_of_step(*plan, step, &outcome);
        let describe = || format!("the request in flight arrives: {}: {step:?}", name(*plan));
        events.push_transition(describe, outcome, transition);
    }

    fn push_step(&self, number: usize, step: &Step, fault: Fault, events: &mut Events) {
        let outcome = self.take_step(number, step, fault);
        let transition = self.transition_of_step(number, step, &outcome);
        let describe = || {
            let what = format!("{}: {step:?}", name(number));
            match fault {
                Fault::None => what,
                Fault::StaleRead(index) => format!("{what} returns a stale read: {:?}", self.past[index].contract),
                Fault::RequestLost | Fault::ResponseLost | Fault::Refused | Fault::NotSent => {
                    format!("{fault:?}: {what}")
                }
            }
        };
        events.push_transition(describe, outcome, transition);
    }

    fn transition_of_step(&self, number: usize, step: &Step, outcome: &Outcome) -> Option<Transition> {
        let next = outcome.as_ref().ok()?;
        Transition::of_step(&self.plans[number], &next.plans[number], step)
    }

    /// A reconcile starts after its requeue interval, so its reads count.
    pub fn start_after_interval(&mut self, number: usize) {
        if let Some(memory) = &mut self.plans[number].memory {
            memory.reads_count_from = Duration::ZERO;
        }
        self.start(number);
        if let Some(reconcile) = &mut self.plans[number].reconcile {
            reconcile.read_is_due = true;
        }
    }

    fn start(&mut self, number: usize) {
        let plan = &mut self.plans[number];
        // The cache may be older than the object at the API server.
        let Some(cached) = plan.cached.clone() else { return };
        let memory = plan.memory.get_or_insert_with(|| Memory::new(&cached, Duration::ZERO));
        memory.start_reconcile(&cached, &SETTINGS, Duration::ZERO);
        let stale = plan.object.as_ref() != Some(&cached);
        let secret = self.secret.facts();
        let claim = self.claim(number, |plan| self.plans[plan].cached.as_ref());
        let run = RunState::default();
        let reconcile = RunningReconcile {
            plan: cached,
            stale,
            secret,
            claim,
            run,
            opening: Opening::No,
            read_is_due: false,
            had_stale_read: false,
        };
        self.plans[number].reconcile = Some(reconcile);
    }

    /// The process ends. The next leader has no memory, and lists the plans before its first reconcile.
    fn end_process(&mut self) {
        for number in 0..self.plans.len() {
            self.update_cache(number);
            let plan = &mut self.plans[number];
            let forgets_create = plan.is_create_open() && !plan.has_record();
            plan.reconcile = None;
            plan.memory = None;
            plan.mark_ambiguous_if_open();
            if forgets_create {
                // A user removed the marks, and the process ends before it restores them.
                plan.owned.clear();
                self.forget_purchase(number);
            }
        }
    }

    pub fn decision(&self, number: usize, reconcile: &RunningReconcile) -> Step {
        decide(&Facts {
            now: Duration::ZERO,
            settings: &SETTINGS,
            plan: &reconcile.plan,
            secret: &reconcile.secret,
            claim: &reconcile.claim,
            memory: self.plans[number].memory.as_ref().unwrap(),
            run: &reconcile.run,
        })
    }

    /// Whether this read may be the last one that is required to confirm an absence.
    fn may_confirm_absence(&self, number: usize, step: &Step) -> bool {
        let Some(memory) = self.plans[number].memory.as_ref() else { return false };
        let empty = match memory.create {
            CreateState::Unconfirmed { empty_reads, .. } => empty_reads,
            CreateState::Unsent | CreateState::Refused | CreateState::Accepted(_) => 0,
        };
        let unchanged = memory.delete.as_ref().map_or(0, |delete| delete.unchanged_reads);
        reads_contract(step) && empty.max(unchanged).max(memory.absences) + 1 >= CONFIRMATIONS_REQUIRED
    }

    /// The leader takes a step: its effect, and what the leader learns from it.
    pub fn take_step(&self, number: usize, step: &Step, fault: Fault) -> Outcome {
        let mut next = self.clone();
        let mut reconcile = next.plans[number].reconcile.take().unwrap();
        let before = reconcile.plan.clone();
        let outcome = next.execute(number, &mut reconcile, step, fault)?;
        let plan = &mut next.plans[number];
        let took_effect = match outcome {
            StepOutcome::Continues(_) => TookEffect::Yes,
            StepOutcome::Ended if fault == Fault::ResponseLost => TookEffect::Perhaps,
            StepOutcome::Ended => TookEffect::No,
        };
        if let Some(memory) = &mut plan.memory {
            step.remember(memory, took_effect);
        }
        if plan.object.is_none() {
            plan.remove();
            return Ok(next);
        }
        let StepOutcome::Continues(result) = outcome else { return Ok(next) };
        let plan_changed = reconcile.plan != before;
        plan.reconcile = Some(reconcile);
        if let Some(result) = result {
            plan.learn(&result);
        }
        if matches!(step, Step::Done { .. }) {
            plan.reconcile = None;
            if next.budget.stale_reads == 0 {
                // No later read is stale.
                next.past.clear();
            }
        }
        if plan_changed {
            next.update_cache(number);
            let claim = next.claim(number, |plan| next.plans[plan].cached.as_ref());
            if let Some(reconcile) = &mut next.plans[number].reconcile {
                reconcile.claim = claim;
            }
        }
        Ok(next)
    }
}
