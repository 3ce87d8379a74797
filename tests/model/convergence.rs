//! What must follow from every state once faults and changes end: each plan is Ready, or Stalled for a cause that
//! exists, or waits for its user, or is deleted.

use fic_support_operator::api::condition::{ConditionStatus, Reason};
use fic_support_operator::api::plan::{ManagementPolicy, RecreationPolicy};
use fic_support_operator::domain::contract::OperationStatus;
use fic_support_operator::domain::facts::{Claim, PlanFacts};

use crate::budget::Budget;
use crate::effects::Fault;
use crate::events::Events;
use crate::state::{FicContract, ModelState};

/// Enough rounds for everything that several reads must confirm.
const ROUNDS: usize = 24;
/// Enough steps for any reconcile.
const STEPS: usize = 40;

impl ModelState {
    /// Reconciles every plan, round after round, while FIC completes its operations and no user changes anything.
    pub fn check_converges(&self) -> Result<(), String> {
        let mut state = self.with(|next| next.budget = Budget::default());
        let mut arrival = Events::default();
        state.in_flight_events(&mut arrival);
        if let Some(event) = arrival.all.pop() {
            state = event.outcome?;
        }
        let running = state.plans.iter().position(|plan| plan.reconcile.is_some());
        state = running.map_or_else(|| Ok(state.clone()), |number| state.complete_reconcile(number))?;
        let mut settled = None;
        for _ in 0..ROUNDS {
            for number in 0..state.plans.len() {
                state.update_cache(number);
                state = state.complete_reconcile(number)?;
            }
            let mut fic = Events::default();
            state.fic_events(&mut fic);
            if let Some(event) = fic.all.pop() {
                state = event.outcome?;
            } else if (0..state.plans.len()).all(|number| state.is_settled(number)) {
                let objects = state.plans.iter().map(|plan| plan.object.clone()).collect::<Vec<_>>();
                if settled.as_ref() == Some(&objects) {
                    return state.check_contract_has_owner();
                }
                settled = Some(objects);
            }
        }
        let plans = state.plans.iter().map(|plan| &plan.object).collect::<Vec<_>>();
        Err(format!("the plans do not converge: {plans:?}"))
    }

    /// A contract that the operator bought belongs to a plan, unless its plan retained it.
    fn check_contract_has_owner(&self) -> Result<(), String> {
        let Some(contract) = &self.contract else { return Ok(()) };
        let Some(buyer) = contract.buyer.map(|buyer| &self.plans[buyer]) else { return Ok(()) };
        let recorded =
            self.plans.iter().any(|plan| plan.object.as_ref().is_some_and(|plan| self.records_contract(plan)));
        if recorded || buyer.has_record() || buyer.is_create_open() || buyer.retained {
            Ok(())
        } else {
            Err(format!("contract {} was bought for a plan that released it", contract.id))
        }
    }

    /// Completes the reconcile in progress, or a new one.
    fn complete_reconcile(&self, number: usize) -> Result<Self, String> {
        let mut state = self.clone();
        if state.plans[number].reconcile.is_none() {
            state.start_after_interval(number);
        }
        for _ in 0..STEPS {
            let Some(reconcile) = &state.plans[number].reconcile else { return Ok(state) };
            let step = state.decision(number, reconcile);
            state = state.take_step(number, &step, Fault::None)?;
        }
        Err("a reconcile never ends".into())
    }

    fn is_settled(&self, number: usize) -> bool {
        let Some(plan) = &self.plans[number].object else { return true };
        let Some(reported) = &plan.reported else { return false };
        if !reported.covers_spec {
            return false;
        }
        if plan.suspend {
            return true;
        }
        let is_ready = reported.ready == ConditionStatus::True;
        reported
            .reason
            .is_some_and(|reason| is_ready == (reason == Reason::Contracted) && self.is_final(number, plan, reason))
    }

    /// Whether the plan can keep the reason for ever: it is true, and only a user can change that.
    fn is_final(&self, number: usize, plan: &PlanFacts, reason: Reason) -> bool {
        let observes = plan.management == ManagementPolicy::Observe;
        match reason {
            // With the finalizer, a plan that only watches records no id: the id would be a claim.
            Reason::Contracted if observes => !plan.deleting && self.contract.is_some(),
            Reason::Contracted => !plan.deleting && self.records_contract(plan),
            Reason::NotContracted => observes && !plan.deleting && self.contract.is_none(),
            Reason::CredentialsMissing => !self.secret.exists || self.secret.deleting,
            Reason::AlreadyContracted => {
                let is_own = |contract: &FicContract| {
                    self.unrecorded_purchase.as_ref() == Some(&contract.id)
                        || self.plans[number].owned.contains(&contract.id)
                };
                self.contract.as_ref().is_some_and(|contract| !is_own(contract))
            }
            Reason::ContractLost => plan.recreation == RecreationPolicy::Never && !self.records_contract(plan),
            Reason::TenantClaimed => self.claim(number, |plan| self.plans[plan].object.as_ref()) != Claim::Ours,
            Reason::OperationFailed => {
                self.contract.as_ref().is_some_and(|contract| contract.status == OperationStatus::Error)
            }
            // The operator continues by itself, or the cause does not exist in the model.
            Reason::Purchasing
            | Reason::Processing
            | Reason::Abolishing
            | Reason::ServiceUnavailable
            | Reason::RateLimited
            | Reason::Suspended
            | Reason::CredentialsInvalid
            | Reason::AuthenticationFailed
            | Reason::PermissionDenied
            | Reason::RequestRejected
            | Reason::OperationTimedOut
            | Reason::MenuMismatch
            | Reason::OrderConflict
            | Reason::ContractNotFound
            | Reason::WriteRefused
            | Reason::UnexpectedAnswer => false,
        }
    }

    fn records_contract(&self, plan: &PlanFacts) -> bool {
        self.contract.as_ref().is_some_and(|contract| Some(&contract.id) == plan.record.id())
    }
}
