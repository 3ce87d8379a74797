//! The rules of the operator, checked at every step that could break them. Each error is the message of the failed
//! test.

use fic_support_operator::api::plan::{AdoptionPolicy, ManagementPolicy, RecreationPolicy};
use fic_support_operator::domain::contract::{ContractId, OperationStatus};
use fic_support_operator::domain::decide::{Command, Query, RecordChange, ReleaseReason, Step};
use fic_support_operator::domain::facts::{PlanFacts, Record, SecretState};
use fic_support_operator::domain::run_state::CrdState;

use crate::plan::{RunningReconcile, retains_contract};
use crate::state::{FicContract, ModelState};

type Check = Result<(), String>;

/// Whether the step sends a request to FIC. Independent of the same question in the library, which is under test.
pub fn calls_fic(step: &Step) -> bool {
    matches!(
        step,
        Step::Query(Query::List | Query::Show(_) | Query::OperationError(_))
            | Step::Command(Command::Create | Command::Delete(_))
    )
}

impl ModelState {
    pub fn check_step(&self, number: usize, reconcile: &RunningReconcile, step: &Step) -> Check {
        let is_uninstalled = reconcile.plan.deleting && self.crd_deleting;
        let touches = match step {
            Step::Query(Query::Crd) => !reconcile.plan.deleting,
            Step::Command(Command::CloseRecord(_)) => !is_uninstalled,
            Step::Command(Command::ObserveSpec) => false,
            step => matches!(step, Step::Query(_) | Step::Command(_)),
        };
        if reconcile.plan.suspend && touches {
            return Err("a request for a suspended plan".into());
        }
        if calls_fic(step) && reconcile.is_claimed_by_another() && !self.plans[number].is_create_open() {
            return Err("rule 7: a call for a plan whose tenant another plan holds".into());
        }
        Ok(())
    }

    pub fn check_create(&self, reconcile: &RunningReconcile) -> Check {
        if reconcile.plan.record != Record::Open || !reconcile.plan.marks.are_complete() {
            return Err("rule 2: a create request without an open record".into());
        }
        if self.secret.exists && !self.secret.has_finalizer {
            return Err("rule 8: a create request without the finalizer on the Secret".into());
        }
        if let SecretState::Found { deleting: true, .. } = reconcile.secret {
            return Err("rule 8: a create request with a Secret that is being deleted".into());
        }
        if reconcile.plan.deleting || reconcile.plan.management == ManagementPolicy::Observe {
            return Err("a create request for a plan that is being deleted or only watches".into());
        }
        if self.contract.as_ref().is_some_and(|contract| self.unrecorded_purchase.as_ref() == Some(&contract.id)) {
            return Err("rule 3: another create request, although a contract was bought and is not recorded yet".into());
        }
        Ok(())
    }

    /// FIC is about to accept a create request.
    pub fn check_purchase(&self, number: usize) -> Check {
        if self.plans[number].purchases_allowed == 0 {
            return Err("rule 1: more contracts bought than needed".into());
        }
        Ok(())
    }

    pub fn check_delete(&self, number: usize, reconcile: &RunningReconcile, id: &ContractId) -> Check {
        if !self.plans[number].owned.contains(id) && !self.is_forgotten_purchase(number, id) {
            return Err(format!("a delete request for contract {id}, which the plan does not own"));
        }
        if self.crd_deleting && reconcile.run.crd != Some(CrdState::Present) {
            return Err(format!("rule 12: a delete request for contract {id}, although the CRD is being deleted"));
        }
        if !reconcile.plan.deleting || retains_contract(&reconcile.plan) {
            return Err(format!("a delete request for contract {id}, which its plan keeps or retains"));
        }
        if reconcile.observed_status(id).is_none_or(|status| status == OperationStatus::Processing) {
            return Err(format!("rule 5: a delete request for contract {id} while FIC is processing it"));
        }
        Ok(())
    }

    /// Whether the plan bought this contract, and a user removed every trace of it while a step was in progress.
    fn is_forgotten_purchase(&self, number: usize, id: &ContractId) -> bool {
        let is_bought = |contract: &FicContract| contract.id == *id && contract.buyer == Some(number);
        self.plans[number].retained && self.contract.as_ref().is_some_and(is_bought)
    }

    pub fn check_release_reason(reason: &ReleaseReason, may_retain: bool) -> Check {
        if matches!(reason, ReleaseReason::Retained { .. }) && !may_retain {
            return Err("rule 5: the finalizer is removed with Retained, which no user requested".into());
        }
        Ok(())
    }

    /// The finalizer was removed, and not to retain the contract.
    pub fn check_nothing_is_left_behind(&self, number: usize, another_is_open: bool) -> Check {
        let owned = |id| {
            self.plans[number].owned.contains(id) || (self.unrecorded_purchase.as_ref() == Some(id) && !another_is_open)
        };
        match self.contract.as_ref().filter(|contract| owned(&contract.id)) {
            Some(contract) => Err(format!("contract {} belongs to the plan and was left behind", contract.id)),
            None => Ok(()),
        }
    }

    pub fn check_record_cleared(reconcile: &RunningReconcile, record: &RecordChange) -> Check {
        let plan = &reconcile.plan;
        if record.clears_id() && plan.record.is_present() && plan.recreation == RecreationPolicy::Never {
            return Err("rule 6: a lost contract would be bought again, although recreationPolicy is Never".into());
        }
        Ok(())
    }

    /// The plan recorded the id of a contract as its own. Is it?
    pub fn check_ownership(&self, number: usize, id: &ContractId, plan: &PlanFacts, adopted: bool) -> Check {
        if adopted && plan.adoption != AdoptionPolicy::IfPresent {
            return Err(format!("contract {id} was adopted, although adoptionPolicy is Never"));
        }
        let records = |plan: &PlanFacts| plan.record.owned() == Some(id);
        let others = self.plans.iter().enumerate().filter(|(other, _)| *other != number);
        for (_, other) in others {
            if other.owned.contains(id) && other.object.as_ref().is_some_and(records) {
                return Err(format!("rule 7: contract {id} belongs to another plan and was taken over"));
            }
        }
        let plan = &self.plans[number];
        let bought = self.unrecorded_purchase.as_ref() == Some(id) || self.is_forgotten_purchase(number, id);
        if !(bought || adopted || plan.create_is_ambiguous || plan.owned.contains(id)) {
            return Err(format!("contract {id} was bought in the portal, and the plan records it as its own"));
        }
        Ok(())
    }
}
