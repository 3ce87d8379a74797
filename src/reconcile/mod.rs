//! The loop: observe → decide → act → report, until the decision comes to rest.

pub mod act;
pub mod context;
pub mod error;
pub mod message;
pub mod observe;
pub mod report;
pub mod state;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kube::core::DeserializeGuard;
use kube::runtime::controller::Action;
use tracing::{debug, error, info, warn};

use crate::api::key::Key;
use crate::api::plan::{PremiumSupportPlan, version};
use crate::backoff::{self, spread};
use crate::domain::decide::{Facts, Requeue, StatusChange, Step, decide};
use crate::domain::memory::Memory;
use crate::domain::run_state::{RunState, StepResult};
use crate::reconcile::context::Context;
use crate::reconcile::error::Error;
use crate::reconcile::state::{PlanState, ReconcileInputs};
use crate::text;
use observe::PlanSnapshot;

/// More steps than any pass takes: a decision that never rests is a defect, and must not spin.
const MOST_STEPS: usize = 40;
/// When the cache is behind our own write; the watch is faster than this.
const CACHE_CATCH_UP: Duration = Duration::from_secs(1);

/// One pass over one plan.
///
/// # Errors
/// Never: whatever happens is either reported in the plan's status or, when the pass was interrupted, waited out.
pub async fn reconcile(
    plan: Arc<DeserializeGuard<PremiumSupportPlan>>,
    context: Arc<Context>,
) -> Result<Action, Infallible> {
    let Ok(plan) = &plan.0 else {
        // The watch has said so in the log. It wakes us when the object is mended.
        return Ok(Action::await_change());
    };
    let Some(_turn) = context.turns.take(&plan.spec.tenant_id, &Key::of(plan)) else {
        return Ok(Action::await_change());
    };
    let began = Instant::now();
    let mut view = PlanSnapshot::of(&context, plan.clone());
    let mut note = match take_note(&context, &view) {
        Ok(note) => note,
        Err(rest) => return Ok(rest),
    };
    let outcome = pass(&context, &mut view, &mut note.memory).await;
    let result = outcome.as_ref().map_or_else(Error::category, |_| "rested");
    let action = conclude(&context, &view, note, outcome);
    context.metrics.passed(result, began.elapsed());
    Ok(action)
}

/// How a pass has come to rest.
struct Rest {
    wait: Requeue,
    /// What it has gone by.
    stimulus: ReconcileInputs,
}

/// The pass itself: each step is decided on all that is known, and what it brings to light is learnt before the next.
async fn pass(context: &Context, view: &mut PlanSnapshot, memory: &mut Memory) -> Result<Rest, Error> {
    let mut pass = RunState::default();
    for _ in 0..MOST_STEPS {
        // What the decision goes by. A change that comes with the answer to a write has not been decided on yet.
        let stimulus = view.stimulus();
        let step = decide(&Facts {
            now: context.clock.uptime(),
            settings: &context.settings,
            plan: &view.facts,
            credentials: &view.credentials,
            claim: &view.claim,
            memory,
            pass: &pass,
        });
        if step.opens_record() {
            memory.opens_record();
        }
        let news = match &step {
            Step::Query(_) | Step::Command(_) if context.is_stopping() => return Err(Error::Stopping),
            Step::Query(look) => Some(observe::look(context, view, look).await?),
            Step::Command(act) => Some(act::act(context, view, act).await?),
            Step::Report(verdict) => report(context, view, verdict).await?,
            Step::Rest { verdict, wait } => {
                let news = match verdict {
                    Some(verdict) => report(context, view, verdict).await?,
                    None => None,
                };
                learn(context, view, memory, &mut pass, news.as_ref());
                memory.rested(wait.uses_backoff());
                return Ok(Rest { wait: *wait, stimulus });
            }
        };
        learn(context, view, memory, &mut pass, news.as_ref());
    }
    Err(Error::Bug("a pass that does not come to rest"))
}

async fn report(
    context: &Context,
    view: &mut PlanSnapshot,
    verdict: &StatusChange,
) -> Result<Option<StepResult>, Error> {
    act::publish(context, view, verdict).await
}

fn learn(context: &Context, view: &PlanSnapshot, memory: &mut Memory, pass: &mut RunState, news: Option<&StepResult>) {
    if let Some(news) = news {
        memory.learn(news, &view.facts, &context.settings, context.clock.uptime());
        pass.learn(news);
    }
}

/// What is remembered of the plan, or how long to rest if nothing has called for a pass: most are called by our own writes.
fn take_note(context: &Context, view: &PlanSnapshot) -> Result<PlanState, Action> {
    let now = context.clock.uptime();
    let uid = view.plan.metadata.uid.as_deref().unwrap_or_default();
    let Some(mut note) = context.notes.get(uid) else {
        let memory = Memory::fresh(&view.facts, now);
        return Ok(PlanState { memory, stimulus: None, rest_until: None, written: 0 });
    };
    if version(view.plan.metadata.resource_version.as_deref()).is_some_and(|cached| cached < note.written) {
        return Err(Action::requeue(CACHE_CATCH_UP));
    }
    if note.stimulus.as_ref() == Some(&view.stimulus()) {
        match note.rest_until {
            Some(until) if until > now => return Err(Action::requeue(until.saturating_sub(now))),
            Some(_) => {}
            None => return Err(Action::await_change()),
        }
    } else if note.stimulus.is_some() {
        note.memory.woken();
    }
    note.memory.meet(&view.facts);
    Ok(note)
}

/// Keeps what is to be remembered, and says when to look again.
fn conclude(context: &Context, view: &PlanSnapshot, mut note: PlanState, outcome: Result<Rest, Error>) -> Action {
    let in_doubt = outcome.as_ref().is_err_and(Error::leaves_in_doubt);
    if let Some(secret) = context.directory.settle(&view.key, in_doubt) {
        // It was meant to be used and is not: it may be let go.
        context.bells.check_secret(secret);
    }
    let uid = view.plan.metadata.uid.as_deref().unwrap_or_default();
    let wait = match outcome {
        Ok(Rest { wait, stimulus }) => {
            note.stimulus = Some(stimulus);
            duration(context, &note.memory, wait)
        }
        Err(interrupt) => {
            // The next pass must not find the stimulus it knows, or it would rest.
            note.stimulus = None;
            Some(after_interrupt(view, &mut note.memory, &interrupt))
        }
    };
    note.rest_until = wait.map(|wait| context.clock.uptime().saturating_add(wait));
    note.written = version(view.plan.metadata.resource_version.as_deref()).unwrap_or(0).max(note.written);
    if context.directory.uid(&view.key).as_deref() == Some(uid) {
        context.notes.put(uid, note);
    } else {
        context.notes.forget(uid);
    }
    wait.map_or_else(Action::await_change, Action::requeue)
}

/// How long a wait is.
fn duration(context: &Context, memory: &Memory, wait: Requeue) -> Option<Duration> {
    let settings = &context.settings;
    Some(match wait {
        Requeue::Poll => spread(settings.poll_interval, 0.1),
        Requeue::Resync => spread(settings.resync_interval, 0.1),
        Requeue::Backoff => backoff::after(memory.failures),
        Requeue::Until(until) => until.saturating_sub(context.clock.uptime()),
        Requeue::Change => return None,
    })
}

fn after_interrupt(view: &PlanSnapshot, memory: &mut Memory, interrupt: &Error) -> Duration {
    match interrupt {
        Error::Conflict | Error::SecretBusy => {
            memory.failures = memory.failures.saturating_add(1);
            debug!(plan = %view.key, %interrupt, "tried again");
            backoff::after(memory.failures)
        }
        Error::Gone | Error::Stopping | Error::NotLeading => {
            info!(plan = %view.key, %interrupt, "left alone");
            backoff::FIRST
        }
        Error::Kubernetes(_) => {
            memory.failures = memory.failures.saturating_add(1);
            warn!(plan = %view.key, error = %text::error(interrupt), "tried again");
            backoff::after(memory.failures)
        }
        Error::Bug(_) => {
            error!(plan = %view.key, %interrupt, "please report this");
            backoff::LONGEST
        }
    }
}
