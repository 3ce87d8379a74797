//! *Decide*: from [`Facts`] to the next [`Step`]. No client, no async, no clock.
//!
//! A reconcile calls [`decide`] again after each step, with what the step returned, until the decision is to end. So
//! each effect is a step of its own, with a decision before and after it, and a crash may happen between any two steps.
//!
//! - `active`: a plan that is not being deleted.
//! - `deleting`: a plan that is being deleted.
//! - `observation`: what the reads from FIC mean, for both.
//! - `step`: what a decision can return.

mod active;
mod deleting;
mod observation;
mod step;
#[cfg(test)]
pub(crate) mod tests;

use std::convert::Infallible;
use std::ops::ControlFlow::{self, Break, Continue};

use crate::api::condition::ConditionStatus;
use crate::api::credentials::SecretDefect;
use crate::api::plan::{DeletionPolicy, ManagementPolicy};
use crate::domain::contract::{Contract, ContractId};
use crate::domain::error::FicError;
use crate::domain::facts::{Claim, PlanFacts, Record, SecretState, Settings, Uptime};
use crate::domain::memory::{Memory, RetryAfter};
use crate::domain::ready_state::ReadyState;
use crate::domain::run_state::{CrdState, RunState, SecretAbsence};
use crate::domain::write_state::CreateState;
pub use step::{
    Command, ContractDisplay, Query, RecordChange, ReleaseReason, Requeue, RetainCause, StatusChange, Step,
};

/// Everything that a decision depends on.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The current time.
    pub now: Uptime,
    /// The settings of the operator.
    pub settings: &'a Settings,
    /// The plan, as last read or written.
    pub plan: &'a PlanFacts,
    /// Its Secret.
    pub secret: &'a SecretState,
    /// Which plan holds the tenant, according to the cache.
    pub claim: &'a Claim,
    /// What this process remembers from earlier reconciles.
    pub memory: &'a Memory,
    /// What this reconcile has learned so far.
    pub run: &'a RunState,
}

/// A part of the decision: `Break` with the next step, or `Continue` with the value that the following parts need. A
/// part that always decides has no value to continue with.
type Decision<T = Infallible> = ControlFlow<Step, T>;

/// How many resync intervals FIC may fail to answer before a Ready plan is reported as Unknown.
const RESYNCS_WITHOUT_ANSWER: u32 = 3;

/// Decides the next step.
#[must_use]
pub fn decide(facts: &Facts<'_>) -> Step {
    let Break(step) = if facts.plan.deleting { facts.decide_deleting() } else { facts.decide_active() };
    facts.honour_retry_after(step)
}

/// Reports a state and ends the reconcile.
fn report(state: ReadyState, requeue: Requeue) -> Step {
    StatusChange::new(state).done(requeue)
}

/// A Secret that requests can be made with.
#[derive(Clone, Copy, Debug)]
struct UsableSecret {
    has_finalizer: bool,
    deleting: bool,
}

impl Facts<'_> {
    /// Requires that this reconcile knows the plan as it is now: the cache may be stale, and the next step abolishes a
    /// contract.
    fn require_current_plan(&self) -> Decision<()> {
        if self.run.plan_read { Continue(()) } else { Break(Step::Query(Query::Plan)) }
    }

    /// Requires that this reconcile knows the plan and the records of the other plans of the tenant as they are now: the
    /// cache may be stale, and the next step buys or records a contract.
    fn require_live_holder(&self) -> Decision<()> {
        match self.run.holder {
            Some(_) => Continue(()),
            None => Break(Step::Query(Query::Holder)),
        }
    }

    /// Which plan holds the tenant: by the live read of this reconcile, or else by the cache.
    fn holder(&self) -> &Claim {
        self.run.holder.as_ref().unwrap_or(self.claim)
    }

    fn require_crd_state(&self) -> Decision<CrdState> {
        match self.run.crd {
            Some(crd) => Continue(crd),
            None => Break(Step::Query(Query::Crd)),
        }
    }

    /// The contract of a create request that was accepted and whose id is not recorded yet. Recording it comes before
    /// anything else.
    fn unrecorded_purchase(&self) -> Option<&Contract> {
        match &self.memory.create {
            CreateState::Accepted(contract) if self.plan.record.owned().is_none() => Some(contract),
            CreateState::Accepted(_) | CreateState::Unsent | CreateState::Unconfirmed { .. } | CreateState::Refused => {
                None
            }
        }
    }

    /// A refused create request bought nothing, so the record is closed again before anything is read. Otherwise a
    /// contract that was bought in the portal meanwhile would be taken for the plan's own.
    fn close_record_of_refused_create(&self) -> Decision<()> {
        match (&self.memory.create, &self.plan.record) {
            (CreateState::Refused, Record::Open) => close_record(ReleaseReason::NothingBought),
            (CreateState::Refused, Record::None | Record::Watched(_) | Record::Owned(_))
            | (CreateState::Unsent | CreateState::Unconfirmed { .. } | CreateState::Accepted(_), _) => Continue(()),
        }
    }

    /// Whether a contract found under an open record belongs to the plan: a create request may be open, or it is the
    /// contract that the plan owned, or that was given up as lost.
    fn is_outcome_of_create(&self, contract: &Contract) -> bool {
        let id = Some(&contract.id);
        match &self.memory.create {
            CreateState::Unconfirmed { .. } => true,
            CreateState::Unsent => self.memory.lost.as_ref() == id || self.memory.owned.as_ref() == id,
            CreateState::Refused | CreateState::Accepted(_) => false,
        }
    }

    fn is_observed(&self) -> bool {
        self.plan.management == ManagementPolicy::Observe
    }

    fn is_retained(&self) -> bool {
        self.is_observed() || self.plan.deletion == DeletionPolicy::Retain
    }

    /// The record of a plan that lost a mark is restored before anything else: the plan may own a contract. A copied or
    /// replaced manifest and users remove the marks. A tool that removes them again and again is not followed any faster
    /// than the backoff allows.
    fn restore_record(&self) -> Decision<()> {
        let needs_marks = self.plan.record.owned().is_some() || self.memory.create.is_open_here();
        if !needs_marks || self.plan.marks.are_complete() {
            return Continue(());
        }
        let memory = self.memory;
        Break(if memory.restore_from > self.now {
            Step::wait(Requeue::At(memory.restore_from))
        } else {
            Step::Command(Command::RestoreRecord { announce: memory.restores == 0 })
        })
    }

    /// The finalizer without a record is on a copy of another plan, or a user added it. It means nothing.
    fn remove_stray_finalizer(&self) -> Decision<()> {
        if self.plan.marks.finalizer && !self.plan.record.is_present() {
            return close_record(ReleaseReason::NoRecord);
        }
        Continue(())
    }

    /// The API server refused a write of this reconcile. Another attempt now would fail too.
    fn report_refused_write(&self) -> Decision<()> {
        match &self.run.write_refused {
            Some(message) => Break(report(ReadyState::WriteRefused { message: message.clone() }, Requeue::Backoff)),
            None => Continue(()),
        }
    }

    /// The other plan that holds the tenant.
    fn other_holder(&self) -> Option<&str> {
        match self.holder() {
            Claim::Ours => None,
            Claim::HeldBy { holder, .. } => Some(holder),
        }
    }

    /// The contract of the other plan that holds the tenant.
    fn contract_of_holder(&self) -> Option<&ContractId> {
        match self.holder() {
            Claim::Ours => None,
            Claim::HeldBy { contract, .. } => contract.as_ref(),
        }
    }

    /// A plan without an id yields to the plan that holds the tenant, once a live read confirms that. While its create
    /// request may have been accepted, it keeps its record: it waits for the holder, or, if this process sent the
    /// request, finds out. `Continue` with whether it must wait.
    fn yield_to_holder(&self) -> Decision<bool> {
        if self.plan.record != Record::Open || self.other_holder().is_none() {
            return Continue(false);
        }
        self.require_live_holder()?;
        if self.other_holder().is_none() {
            return Continue(false);
        }
        let create = &self.memory.create;
        // A tenant has one contract, so the contract of the holder is the outcome of any earlier request too.
        if create.nothing_was_created() || (self.contract_of_holder().is_some() && !create.is_open_here()) {
            return close_record(ReleaseReason::Yielded);
        }
        let must_wait = !create.is_open_here();
        if must_wait {
            // It keeps its record, so it keeps its Secret too.
            self.ensure_secret_finalizer()?;
        }
        Continue(must_wait)
    }

    /// The Secret, if requests can be made with it.
    fn usable_secret(&self) -> Decision<UsableSecret> {
        match self.secret {
            SecretState::Found { defect, has_finalizer, deleting } => {
                let secret = UsableSecret { has_finalizer: *has_finalizer, deleting: *deleting };
                let Some(defect) = defect else { return Continue(secret) };
                // While it exists it can be fixed, also in a namespace that is being deleted and accepts no new Secret.
                self.ensure_secret_finalizer()?;
                Break(report(ReadyState::CredentialsInvalid(defect.clone()), Requeue::Resync))
            }
            SecretState::NotFound => Break(match self.run.secret_absence {
                None => Step::Query(Query::Secret),
                Some(SecretAbsence::NotFound) => report(ReadyState::CredentialsMissing, Requeue::Backoff),
                Some(SecretAbsence::WrongType) => {
                    report(ReadyState::CredentialsInvalid(SecretDefect::WrongType), Requeue::Backoff)
                }
            }),
        }
    }

    /// A Secret that a plan with a record uses carries the finalizer. The API server adds none to a Secret that is
    /// being deleted.
    fn ensure_secret_finalizer(&self) -> Decision<()> {
        match self.secret {
            SecretState::Found { has_finalizer: false, deleting: false, .. } if self.plan.record.is_present() => {
                Break(Step::Command(Command::AddSecretFinalizer))
            }
            SecretState::Found { .. } | SecretState::NotFound => Continue(()),
        }
    }

    /// What a failed request means for the plan.
    ///
    /// A failed read says nothing about the contract, so a Ready plan stays Ready. Only after several resync intervals
    /// it is Unknown. A refusal must be repeated before a Ready plan reports it.
    fn after_error(&self, error: &FicError) -> Step {
        let requeue = match error {
            FicError::Unavailable { .. } | FicError::RateLimited { .. } | FicError::Conflict { .. } => Requeue::Backoff,
            FicError::Outage { wait, .. } => Requeue::AfterOutage(*wait),
            FicError::AuthenticationFailed { .. } | FicError::PermissionDenied { .. } | FicError::Rejected { .. }
                if self.was_ready() && !self.is_refusal_confirmed() =>
            {
                return Step::wait(Requeue::Poll);
            }
            // Another plan was refused with the same credentials. They may be right for this plan.
            FicError::AuthenticationFailed { retry_after: Some(_), .. } => {
                let requeue = self.retry_after().map_or(Requeue::Resync, |retry| Requeue::At(retry.not_before));
                return report(ReadyState::RequestFailed(error.clone()), requeue);
            }
            FicError::AuthenticationFailed { retry_after: None, .. }
            | FicError::PermissionDenied { .. }
            | FicError::Rejected { .. }
            | FicError::Unexpected { .. } => return report(ReadyState::RequestFailed(error.clone()), Requeue::Resync),
        };
        let requeue = self.retry_after().map_or(requeue, |retry| Requeue::At(retry.not_before));
        if !self.was_ready() {
            let error = error.clone();
            return report(
                if self.may_have_bought() {
                    ReadyState::Purchasing { cause: Some(error) }
                } else {
                    ReadyState::RequestFailed(error)
                },
                requeue,
            );
        }
        let duration = self.settings.resync_interval.saturating_mul(RESYNCS_WITHOUT_ANSWER);
        if self.now.saturating_sub(self.memory.last_answer_at) < duration {
            return Step::wait(requeue);
        }
        report(ReadyState::NotObserved { error: error.clone(), duration }, requeue)
    }

    fn is_refusal_confirmed(&self) -> bool {
        self.memory.refusal.as_ref().is_some_and(|refusal| refusal.confirmed)
    }

    fn was_ready(&self) -> bool {
        !self.plan.deleting
            && self.plan.reported.as_ref().is_some_and(|reported| match reported.ready {
                ConditionStatus::True | ConditionStatus::Unknown => true,
                ConditionStatus::False => false,
            })
    }

    /// Whether an active plan has a create request of unknown outcome. Reporting that matters more than why it cannot
    /// be checked now.
    fn may_have_bought(&self) -> bool {
        self.memory.create.is_unconfirmed()
            && self.plan.record == Record::Open
            && !self.plan.deleting
            && !self.is_observed()
    }

    /// No step sends a request before the time that FIC asked for. Until then the plan reports the error that asked for
    /// it.
    fn honour_retry_after(&self, step: Step) -> Step {
        match self.retry_after() {
            Some(retry) if step.calls_fic() => self.after_error(&retry.error).requeued_at(retry.not_before),
            Some(_) | None => step,
        }
    }

    /// The request of FIC to wait, unless its time has passed.
    fn retry_after(&self) -> Option<&RetryAfter> {
        self.memory.retry_after.as_ref().filter(|retry| retry.not_before > self.now)
    }

    /// Whether the operation in progress has exceeded the timeout.
    fn is_overdue(&self) -> bool {
        let since = self.memory.in_progress_since;
        since.is_some_and(|since| self.now.saturating_sub(since) >= self.settings.operation_timeout)
    }
}

fn close_record<T>(reason: ReleaseReason) -> Decision<T> {
    Break(Step::Command(Command::CloseRecord(reason)))
}
