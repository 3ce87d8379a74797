//! The effect of each step at FIC and at the API server, and the result that the reconcile gets.

use fic_support_operator::domain::contract::{ContractId, OperationStatus};
use fic_support_operator::domain::decide::{Command, Query, RecordChange, ReleaseReason, StatusChange, Step};
use fic_support_operator::domain::error::{FicError, WriteOutcome};
use fic_support_operator::domain::facts::{Marks, PlanFacts, Record, Reported};
use fic_support_operator::domain::run_state::{CrdState, Recreation, SecretAbsence, StepResult};

use crate::plan::{Opening, RunningReconcile, retains_contract, set_marks};
use crate::rules::calls_fic;
use crate::state::{FicContract, ModelState};

/// How a step fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    None,
    RequestLost,
    ResponseLost,
    /// The read returns an earlier state: the one with this index.
    StaleRead(usize),
    Refused,
    /// The rate limit: FIC returns 429 before it processes the request.
    NotSent,
}

/// How a reconcile proceeds after a step.
pub enum StepOutcome {
    /// It ends: a write had a conflict, or its response is lost.
    Ended,
    /// It continues, with the result of the step if there is any.
    Continues(Option<StepResult>),
}

impl From<StepResult> for StepOutcome {
    fn from(result: StepResult) -> Self {
        Self::Continues(Some(result))
    }
}

fn unavailable() -> FicError {
    FicError::Unavailable { message: "".into(), retry_after: None }
}

/// The outcome of a request that FIC does not execute.
fn not_executed<T>(fault: Fault) -> Option<WriteOutcome<T>> {
    match fault {
        Fault::Refused => Some(WriteOutcome::Refused(FicError::Rejected { message: "".into() })),
        Fault::NotSent => Some(WriteOutcome::NotSent(FicError::RateLimited { retry_after: None })),
        Fault::None | Fault::RequestLost | Fault::ResponseLost | Fault::StaleRead(_) => None,
    }
}

impl ModelState {
    /// Executes a step and checks the rules that it could break.
    pub fn execute(
        &mut self,
        number: usize,
        reconcile: &mut RunningReconcile,
        step: &Step,
        fault: Fault,
    ) -> Result<StepOutcome, String> {
        self.check_step(number, reconcile, step)?;
        let outcome = match step {
            Step::Query(query) => self.query(number, reconcile, query, fault).map_or(StepOutcome::Ended, Into::into),
            Step::Command(command) => self.command(number, reconcile, command, fault)?,
            Step::Report(status) | Step::Done { status: Some(status), .. } => self.report(number, reconcile, status)?,
            Step::Done { status: None, .. } => StepOutcome::Continues(None),
        };
        // A write to the API server whose response is lost took effect, and the reconcile learns nothing.
        let unknown = fault == Fault::ResponseLost && !calls_fic(step);
        Ok(if unknown { StepOutcome::Ended } else { outcome })
    }

    fn query(
        &self,
        number: usize,
        reconcile: &mut RunningReconcile,
        query: &Query,
        fault: Fault,
    ) -> Option<StepResult> {
        let seen = match fault {
            Fault::StaleRead(index) => self.past[index].contract.clone(),
            _ => self.contract.clone(),
        };
        let lost = fault == Fault::RequestLost;
        Some(match query {
            Query::List if lost => StepResult::Listed(Err(unavailable())),
            Query::Show(_) if lost => StepResult::Shown(Err(unavailable())),
            Query::List => StepResult::Listed(Ok(seen.iter().map(FicContract::to_response).collect())),
            Query::Show(id) => {
                let contract = seen.filter(|contract| contract.id == *id);
                StepResult::Shown(Ok(contract.map(|contract| contract.to_response())))
            }
            Query::OperationError(_) => StepResult::OperationError(None),
            Query::Crd if self.crd_deleting => StepResult::Crd(CrdState::Deleting),
            Query::Crd => StepResult::Crd(CrdState::Present),
            Query::Plan => {
                self.read_plan(number, reconcile)?;
                StepResult::PlanRead
            }
            // The watch has delivered every record that was opened before that of this plan, and perhaps no later one.
            Query::Holder if reconcile.opening == Opening::Delivered => {
                let view = |other: usize| {
                    if other == number { Some(&reconcile.plan) } else { self.plans[other].cached.as_ref() }
                };
                StepResult::Holder(self.claim(number, view))
            }
            // A list. If this reconcile opened the record, the watch has not delivered that in time.
            Query::Holder => {
                self.read_plan(number, reconcile)?;
                StepResult::Holder(self.claim(number, |plan| self.plans[plan].object.as_ref()))
            }
            Query::Recreation { .. } => StepResult::Recreation(Recreation::Allowed),
            Query::Secret => StepResult::SecretAbsence(SecretAbsence::NotFound),
        })
    }

    /// The plan as it is now. `None`: its record changed since the reconcile started, which ends it.
    fn read_plan(&self, number: usize, reconcile: &mut RunningReconcile) -> Option<()> {
        let current = self.plans[number].object.clone()?;
        if (current.marks, &current.record) != (reconcile.plan.marks, &reconcile.plan.record) {
            return None;
        }
        reconcile.plan = current;
        reconcile.stale = false;
        Some(())
    }

    fn command(
        &mut self,
        number: usize,
        reconcile: &mut RunningReconcile,
        command: &Command,
        fault: Fault,
    ) -> Result<StepOutcome, String> {
        match command {
            Command::AddSecretFinalizer => Ok(self.add_secret_finalizer(reconcile)),
            Command::OpenRecord => {
                let written = self.write(number, reconcile, |plan| set_marks(plan, Marks::COMPLETE));
                let mut others = self.plans.iter().enumerate().filter(|(other, _)| *other != number);
                let awaits_watch = others.any(|(_, plan)| plan.cached != plan.object);
                reconcile.opening = if awaits_watch { Opening::AwaitsWatch } else { Opening::Delivered };
                Ok(if written { StepResult::RecordOpened.into() } else { StepOutcome::Ended })
            }
            Command::RestoreRecord { .. } => {
                let written = self.write(number, reconcile, |plan| set_marks(plan, Marks::COMPLETE));
                Ok(if written { StepResult::RecordRestored.into() } else { StepOutcome::Ended })
            }
            Command::CloseRecord(reason) => self.close_record(number, reconcile, reason),
            Command::ObserveSpec => {
                let written = self.write(number, reconcile, |plan| {
                    if let Some(reported) = &mut plan.reported {
                        reported.covers_spec = true;
                    }
                });
                Ok(if written { StepResult::SpecObserved.into() } else { StepOutcome::Ended })
            }
            Command::Create => self.create(number, reconcile, fault).map(Into::into),
            Command::Delete(id) => self.delete(number, reconcile, id, fault).map(Into::into),
        }
    }

    /// A write to the plan with the resourceVersion that the step was decided on. Returns false after a conflict.
    fn write(&mut self, number: usize, reconcile: &mut RunningReconcile, change: impl FnOnce(&mut PlanFacts)) -> bool {
        let plan = &mut self.plans[number];
        let Some(object) = plan.object.as_mut().filter(|_| !reconcile.stale) else { return false };
        let before = object.clone();
        change(object);
        reconcile.plan = object.clone();
        if reconcile.plan != before {
            plan.outdate_reconcile();
            self.outdate_in_flight(number);
        }
        true
    }

    fn add_secret_finalizer(&mut self, reconcile: &mut RunningReconcile) -> StepOutcome {
        // The Secret changed since it was read, or the API server rejects a new finalizer because the Secret is being
        // deleted.
        if reconcile.secret != self.secret.facts() || self.secret.deleting {
            return StepOutcome::Ended;
        }
        self.secret.has_finalizer = true;
        reconcile.secret = self.secret.facts();
        StepResult::SecretFinalizerAdded.into()
    }

    fn close_record(
        &mut self,
        number: usize,
        reconcile: &mut RunningReconcile,
        reason: &ReleaseReason,
    ) -> Result<StepOutcome, String> {
        let may_retain = reconcile.plan.deleting && (retains_contract(&reconcile.plan) || self.crd_deleting);
        Self::check_release_reason(reason, may_retain)?;
        if !self.write(number, reconcile, |plan| set_marks(plan, Marks::NONE)) {
            return Ok(StepOutcome::Ended);
        }
        let another_is_open = self.plans.iter().enumerate().any(|(other, plan)| {
            other != number && plan.object.as_ref().is_some_and(|plan| plan.record == Record::Open)
        });
        if !may_retain {
            self.check_nothing_is_left_behind(number, another_is_open)?;
        } else if !another_is_open {
            self.unrecorded_purchase = None;
            if let Some(in_flight) = self.in_flight.as_mut().filter(|in_flight| in_flight.plan == number) {
                in_flight.retained = true;
            }
        }
        let plan = &mut self.plans[number];
        plan.create_is_ambiguous = false;
        plan.retained |= may_retain;
        if plan.object.as_ref().is_some_and(|plan| plan.deleting) {
            plan.remove();
        }
        Ok(StepResult::RecordClosed.into())
    }

    fn create(&mut self, number: usize, reconcile: &RunningReconcile, fault: Fault) -> Result<StepResult, String> {
        self.check_create(reconcile)?;
        if let Some(outcome) = not_executed(fault) {
            return Ok(StepResult::Created(outcome));
        }
        let outcome = match (&self.contract, fault) {
            (_, Fault::RequestLost) | (Some(_), Fault::ResponseLost) => WriteOutcome::Unknown(unavailable()),
            (Some(_), _) => WriteOutcome::Refused(FicError::Conflict { message: "".into() }),
            (None, _) => {
                self.check_purchase(number)?;
                let contract = self.new_contract(OperationStatus::Processing, Some(number));
                self.plans[number].purchases_allowed -= 1;
                self.unrecorded_purchase = Some(contract.id.clone());
                self.set_contract(Some(contract.clone()));
                if fault == Fault::ResponseLost {
                    WriteOutcome::Unknown(unavailable())
                } else {
                    WriteOutcome::Accepted(contract.to_response())
                }
            }
        };
        if matches!(outcome, WriteOutcome::Unknown(_)) {
            self.plans[number].create_is_ambiguous = true;
        }
        Ok(StepResult::Created(outcome))
    }

    fn delete(
        &mut self,
        number: usize,
        reconcile: &RunningReconcile,
        id: &ContractId,
        fault: Fault,
    ) -> Result<StepResult, String> {
        self.check_delete(number, reconcile, id)?;
        if let Some(outcome) = not_executed(fault) {
            return Ok(StepResult::Deleted(outcome));
        }
        if fault != Fault::RequestLost
            && let Some(contract) = self.contract.clone().filter(|contract| contract.id == *id && !contract.abolishing)
        {
            self.set_contract(Some(FicContract { status: OperationStatus::Processing, abolishing: true, ..contract }));
        }
        let lost = matches!(fault, Fault::RequestLost | Fault::ResponseLost);
        Ok(StepResult::Deleted(if lost { WriteOutcome::Unknown(unavailable()) } else { WriteOutcome::Accepted(()) }))
    }

    fn report(
        &mut self,
        number: usize,
        reconcile: &mut RunningReconcile,
        status: &StatusChange,
    ) -> Result<StepOutcome, String> {
        // The id of a purchase is written without a check of the resourceVersion.
        reconcile.stale &= !matches!(status.record, RecordChange::Purchased(_));
        let (ready, reason) = status.state.condition();
        let written = self.write(number, reconcile, |plan| {
            plan.reported = Some(Reported::current(ready, reason));
            plan.record = match &status.record {
                RecordChange::Keep => return,
                RecordChange::Purchased(id) | RecordChange::Adopted(id) => {
                    Record::new(plan.marks, Some(id.clone()), true)
                }
                RecordChange::Watched(id) => Record::new(plan.marks, Some(id.clone()), false),
                RecordChange::Forget | RecordChange::Lost(_) => Record::new(plan.marks, None, false),
            };
        });
        if !written {
            return Ok(StepOutcome::Ended);
        }
        Self::check_record_cleared(reconcile, &status.record)?;
        if let RecordChange::Purchased(id) | RecordChange::Adopted(id) = &status.record {
            let adopted = matches!(status.record, RecordChange::Adopted(_));
            self.check_ownership(number, id, &reconcile.plan, adopted)?;
            self.transfer_ownership(number, id);
        }
        Ok(StepOutcome::Continues(match &status.record {
            RecordChange::Purchased(_) | RecordChange::Adopted(_) | RecordChange::Watched(_) => {
                Some(StepResult::IdRecorded)
            }
            RecordChange::Lost(id) => Some(StepResult::IdCleared { lost: Some(id.clone()) }),
            RecordChange::Forget => Some(StepResult::IdCleared { lost: None }),
            RecordChange::Keep => None,
        }))
    }

    /// The plan records the contract as its own, so from now on it owns the contract.
    fn transfer_ownership(&mut self, number: usize, id: &ContractId) {
        self.unrecorded_purchase.take_if(|bought| bought == id);
        let buyer = self.contract.as_ref().filter(|contract| contract.id == *id).and_then(|contract| contract.buyer);
        if let Some(buyer) = buyer.filter(|buyer| *buyer != number) {
            // Nobody can tell which plan bought it, and the buyer may need another contract later.
            self.plans[buyer].purchases_allowed += 1;
        }
        for plan in &mut self.plans {
            plan.owned.retain(|owned| owned != id);
        }
        let plan = &mut self.plans[number];
        plan.owned.push(id.clone());
        plan.create_is_ambiguous = false;
    }
}
