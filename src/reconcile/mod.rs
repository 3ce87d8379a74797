//! The reconcile loop: observe → decide → act → report, until the decision is to end.
//!
//! | file | input → output | network |
//! | --- | --- | --- |
//! | [`snapshot`] | caches → the plan, its Secret, its claim | none |
//! | [`crate::domain::decide`] | all that is known → the next step | none; pure |
//! | [`observe`] | a query → its result | one read |
//! | [`act`] | a command or a status change → its result | one write |
//! | [`report`], [`message`] | a status change → status, Events, text | none; pure |
//! | [`resync`] | the UID → when a plan is read again | none; pure |
//! | [`state`] | what is kept between reconciles, and what makes one due | none |
//! | [`slots`], [`queue`], [`ticket`] | how many reconciles run, and which goes first | none |
//! | [`api_server`] | whose request to the API server is sent next | none |

pub mod act;
pub mod api_server;
pub mod context;
pub mod error;
pub mod event;
pub mod message;
pub mod metrics;
pub mod observe;
pub mod purchase_guard;
mod queue;
pub mod report;
mod resync;
pub mod slots;
pub mod snapshot;
pub mod state;
pub mod ticket;

use std::time::{Duration, Instant};

use kube::core::ObjectMeta;
use tracing::field::Empty;
use tracing::{Instrument, Span, debug, error, info, info_span, warn};

use crate::api::condition::Reason;
use crate::api::plan::PremiumSupportPlan;
use crate::backoff::{self, jitter};
use crate::domain::decide::{Facts, Requeue, Step, decide};
use crate::domain::facts::Record;
use crate::domain::memory::Memory;
use crate::domain::run_state::{RunState, StepResult};
use crate::domain::write_state::TookEffect;
use crate::{telemetry, text};
use context::Context;
use error::Error;
use slots::Slot;
use snapshot::PlanSnapshot;
use state::{PlanState, ReconcileInputs};
use ticket::Ticket;

/// More steps than any reconcile takes. A decision that never ends is a bug, and must not loop.
const MAX_STEPS: usize = 40;
/// How long to wait for a cache that does not have the operator's own write yet. The watch is usually faster.
const CACHE_DELAY: Duration = Duration::from_secs(1);
/// When to look again for a place for a plan whose requests to FIC hang.
const WAIT_FOR_PLACE: Duration = Duration::from_secs(5);
/// Changes trigger a reconcile of a plan no more often than this, however often a user makes them and whether or not the
/// last reconcile was aborted.
const TRIGGER_INTERVAL: Duration = Duration::from_secs(1);

/// Reconciles one plan. Returns when to reconcile it again; `None`: when something changes.
///
/// It returns no error: a failure is either reported in the status, or retried.
pub async fn reconcile(plan: PremiumSupportPlan, context: &Context) -> Option<Duration> {
    let ObjectMeta { namespace, uid, .. } = &plan.metadata;
    let (namespace, uid) = (namespace.as_deref().unwrap_or_default(), uid.as_deref().unwrap_or_default());
    let ticket = context.tickets.take(context.states.ticket(uid), context.clock.uptime());
    let waiting = context.metrics.wait();
    let Some(mut slot) = context.slots.take(namespace, uid, ticket).await else {
        return Some(jitter(WAIT_FOR_PLACE, 0.5));
    };
    drop(waiting);
    let _running = context.metrics.run();
    // Hundreds of plans may wait for a slot, and what follows takes much memory.
    Box::pin(reconcile_in_slot(plan, context, ticket, &mut slot)).await
}

async fn reconcile_in_slot(
    plan: PremiumSupportPlan,
    context: &Context,
    ticket: Ticket,
    slot: &mut Slot<'_>,
) -> Option<Duration> {
    let started = Instant::now();
    let mut snapshot = PlanSnapshot::new(context, plan, ticket);
    let mut state = match due_state(context, &snapshot) {
        Due::Now(state) => *state,
        Due::Later(wait) => return wait,
    };
    let mut effects = Vec::new();
    let span = reconcile_span(&snapshot);
    // Not in a variable: the future would be kept twice.
    let outcome =
        run_steps(context, &mut snapshot, &mut state.memory, slot, &mut effects).instrument(span.clone()).await;
    log_decision(&snapshot, &effects);
    let result = outcome.as_ref().map_or_else(Error::category, |_| "success");
    record_outcome(&span, &snapshot, &effects, result);
    let wait = finish(context, &snapshot, state, outcome);
    context.metrics.record(result, started.elapsed());
    wait
}

/// Reconciles a plan again after a reconcile that panicked: a bug. What that one did is not known, so the plan is treated
/// as by a new process. Other plans are not affected.
pub fn after_panic(plan: PremiumSupportPlan, context: &Context, started: Instant) -> Option<Duration> {
    let now = context.clock.uptime();
    let snapshot = PlanSnapshot::new(context, plan, context.tickets.take(None, now));
    let uid = snapshot.uid();
    let before = context.states.get(uid);
    let memory = match &before {
        Some(state) => state.memory.after_panic(&snapshot.facts, now),
        None => Memory::new(&snapshot.facts, now).after_panic(&snapshot.facts, now),
    };
    context.secret_finalizer.end_use(&snapshot.key, true);
    context.set_create_open(&snapshot.key, uid, memory.create.is_open_here());
    let wait = backoff::after(memory.failures);
    error!(plan = %snapshot.key, ?wait, "the reconcile panicked, retrying with backoff; please report this bug");
    let written_version = before.map_or(0, |state| state.written_version);
    let inputs = Some(snapshot.inputs());
    let due_at = Some(now.saturating_add(wait));
    let ticket = snapshot.ticket;
    store(context, &snapshot, PlanState { memory, inputs, started_at: now, due_at, written_version, ticket });
    context.metrics.record("panic", started.elapsed());
    Some(wait)
}

/// Whether a reconcile is due.
enum Due {
    /// It is, with what is kept of the plan.
    Now(Box<PlanState>),
    /// It is not, before this time or before a change.
    Later(Option<Duration>),
}

fn due_state(context: &Context, snapshot: &PlanSnapshot) -> Due {
    let now = context.clock.uptime();
    let Some(mut state) = context.states.get(snapshot.uid()) else {
        let mut memory = Memory::new(&snapshot.facts, now);
        // The operator of another shard does not stop when this one starts, and may have had the plan until now.
        let may_be_foreign = context.scope.is_shard() || context.index.changed_since_sync(snapshot.version());
        if snapshot.facts.record == Record::Open && may_be_foreign {
            memory.expect_other_process(&context.settings, now);
        }
        return Due::Now(Box::new(PlanState {
            memory,
            inputs: None,
            started_at: now,
            due_at: None,
            written_version: 0,
            ticket: snapshot.ticket,
        }));
    };
    if snapshot.version().is_some_and(|cached| cached < state.written_version) {
        return Due::Later(Some(CACHE_DELAY));
    }
    if state.inputs.as_ref() == Some(&snapshot.inputs()) {
        match state.due_at {
            Some(time) if time > now => return Due::Later(Some(time.saturating_sub(now))),
            Some(_) => {}
            None => return Due::Later(None),
        }
    } else {
        let next = state.started_at.saturating_add(TRIGGER_INTERVAL);
        if next > now {
            return Due::Later(Some(next.saturating_sub(now)));
        }
        if state.inputs.is_some() {
            state.memory.inputs_changed();
        }
    }
    state.started_at = now;
    state.ticket = snapshot.ticket;
    state.memory.start_reconcile(&snapshot.facts, &context.settings, now);
    Due::Now(Box::new(state))
}

/// How the steps ended.
struct Finished {
    requeue: Requeue,
    /// The inputs of the last decision.
    inputs: ReconcileInputs,
}

/// Decides and executes step by step. The next decision knows the result of each step.
async fn run_steps(
    context: &Context,
    snapshot: &mut PlanSnapshot,
    memory: &mut Memory,
    slot: &mut Slot<'_>,
    effects: &mut Vec<&'static str>,
) -> Result<Finished, Error> {
    let mut run = RunState::default();
    for _ in 0..MAX_STEPS {
        // The inputs of this decision. A write may return a change that no decision has considered yet.
        let mut inputs = snapshot.inputs();
        let step = decide(&Facts {
            now: context.clock.uptime(),
            settings: &context.settings,
            plan: &snapshot.facts,
            secret: &snapshot.secret,
            claim: &snapshot.claim,
            memory,
            run: &run,
        });
        let version = snapshot.version();
        let executed = execute(context, snapshot, &step);
        let result = if step.calls_fic() { slot.wait_for(executed).await } else { slot.lend(executed).await };
        effects.extend(step.effect(snapshot.version() != version));
        step.remember(memory, took_effect(&result));
        if let Some(result) = result? {
            learn(context, snapshot, memory, &mut run, &result);
        }
        if let Step::Done { status, requeue } = step {
            memory.end_reconcile(requeue.uses_backoff());
            if status.is_some() {
                // The record as this process wrote it is not a change.
                inputs.record.clone_from(&snapshot.facts.record);
            }
            return Ok(Finished { requeue, inputs });
        }
    }
    Err(Error::Bug("the decision never ends"))
}

/// The span of a reconcile. What it did is recorded at its end.
fn reconcile_span(snapshot: &PlanSnapshot) -> Span {
    info_span!(
        target: telemetry::TARGET,
        "reconcile",
        plan = %snapshot.key,
        tenant = snapshot.plan.spec.tenant_id,
        generation = snapshot.plan.metadata.generation,
        contract = Empty,
        decision = Empty,
        reason = Empty,
        result = Empty,
    )
}

fn record_outcome(span: &Span, snapshot: &PlanSnapshot, effects: &[&str], result: &str) {
    if span.is_disabled() {
        return;
    }
    span.record("contract", snapshot.plan.status.as_ref().and_then(|status| status.id.as_deref()));
    span.record("decision", effects.join(","));
    span.record("reason", snapshot.plan.reported_reason().map(Reason::as_str));
    span.record("result", result);
}

/// One line for each reconcile that changed something, or tried to: what was done, and why.
fn log_decision(snapshot: &PlanSnapshot, effects: &[&str]) {
    if effects.is_empty() {
        return;
    }
    let status = snapshot.plan.status.as_ref();
    info!(
        plan = %snapshot.key,
        tenant = snapshot.plan.spec.tenant_id,
        contract = status.and_then(|status| status.id.as_deref()),
        generation = snapshot.plan.metadata.generation,
        decision = effects.join(","),
        reason = snapshot.plan.reported_reason().map(Reason::as_str),
        deleting = snapshot.facts.deleting,
        "reconciled"
    );
}

/// Whether a step that writes took effect.
fn took_effect(result: &Result<Option<StepResult>, Error>) -> TookEffect {
    match result {
        Ok(Some(StepResult::WriteRefused(_))) => TookEffect::No,
        Ok(_) => TookEffect::Yes,
        Err(error) if error.leaves_in_doubt() => TookEffect::Perhaps,
        Err(_) => TookEffect::No,
    }
}

async fn execute(context: &Context, snapshot: &mut PlanSnapshot, step: &Step) -> Result<Option<StepResult>, Error> {
    match step {
        Step::Query(_) | Step::Command(_) if context.is_stopping() => Err(Error::Stopping),
        Step::Query(query) => observe::execute(context, snapshot, query).await.map(Some),
        Step::Command(command) => match act::execute(context, snapshot, command).await {
            // It stays so, and the plan reports it. Every other error is a matter of trying again.
            Err(Error::Refused(message)) => Ok(Some(StepResult::WriteRefused(message))),
            result => result.map(Some),
        },
        Step::Report(change) | Step::Done { status: Some(change), .. } => {
            act::write_status(context, snapshot, change).await
        }
        Step::Done { status: None, .. } => Ok(None),
    }
}

fn learn(context: &Context, snapshot: &PlanSnapshot, memory: &mut Memory, run: &mut RunState, result: &StepResult) {
    memory.learn(result, &snapshot.facts, &context.settings, context.clock.uptime());
    run.learn(result);
    context.set_create_open(&snapshot.key, snapshot.uid(), memory.create.is_open_here());
}

/// Stores the state of the plan, and returns when to reconcile it again.
fn finish(
    context: &Context,
    snapshot: &PlanSnapshot,
    mut state: PlanState,
    outcome: Result<Finished, Error>,
) -> Option<Duration> {
    let in_doubt = outcome.as_ref().is_err_and(Error::leaves_in_doubt);
    context.secret_finalizer.end_use(&snapshot.key, in_doubt);
    let wait = match outcome {
        Ok(Finished { requeue, inputs }) => {
            state.inputs = Some(inputs);
            wait_of(context, snapshot, &state.memory, requeue)
        }
        Err(error) => {
            // Without stored inputs every trigger makes the next reconcile due.
            state.inputs = None;
            Some(wait_after_error(snapshot, &mut state.memory, &error))
        }
    };
    state.due_at = wait.map(|wait| context.clock.uptime().saturating_add(wait));
    state.written_version = snapshot.version().unwrap_or(0).max(state.written_version);
    store(context, snapshot, state);
    wait
}

/// Stores the state of a plan, unless the plan was deleted meanwhile: nothing would remove the state any more.
fn store(context: &Context, snapshot: &PlanSnapshot, state: PlanState) {
    let uid = snapshot.uid();
    if context.is_known(&snapshot.key, uid) {
        context.states.put(uid, state);
    } else {
        context.states.remove(uid);
    }
}

fn wait_of(context: &Context, snapshot: &PlanSnapshot, memory: &Memory, requeue: Requeue) -> Option<Duration> {
    let settings = &context.settings;
    let now = context.clock.uptime();
    Some(match requeue {
        Requeue::Poll => jitter(settings.poll_interval, 0.1),
        Requeue::Resync => resync::wait(snapshot.uid(), settings.resync_interval, now),
        Requeue::Backoff => backoff::after(memory.failures),
        Requeue::At(time) => time.saturating_sub(now),
        Requeue::AfterOutage(wait) => wait,
        Requeue::OnChange => return None,
    })
}

fn wait_after_error(snapshot: &PlanSnapshot, memory: &mut Memory, error: &Error) -> Duration {
    match error {
        Error::Conflict | Error::SecretBusy => {
            debug!(plan = %snapshot.key, %error, "reconcile aborted, retrying with backoff");
            memory.end_reconcile(true);
            backoff::after(memory.failures)
        }
        Error::Kubernetes(_) | Error::Refused(_) => {
            warn!(plan = %snapshot.key, error = %text::error_chain(error), "reconcile failed, retrying with backoff");
            memory.end_reconcile(true);
            backoff::after(memory.failures)
        }
        Error::Gone | Error::Stopping | Error::NotLeader => {
            info!(plan = %snapshot.key, %error, "reconcile aborted");
            backoff::FIRST
        }
        Error::Bug(_) => {
            error!(plan = %snapshot.key, %error, "please report this bug");
            backoff::LONGEST
        }
    }
}

#[cfg(test)]
mod tests;
