//! Events that the operator does not control: operations of FIC, changes in the portal, and changes of the plans, the
//! Secret and the CRD by users.

use fic_support_operator::api::plan::{AdoptionPolicy, DeletionPolicy, ManagementPolicy, RecreationPolicy};
use fic_support_operator::domain::contract::OperationStatus;
use fic_support_operator::domain::decide::{Command, Step};
use fic_support_operator::domain::facts::{Marks, PlanFacts, Record};

use crate::events::Events;
use crate::plan::{Plan, set_marks};
use crate::state::{FicContract, ModelState, Secret, name};
use crate::transitions::{Label, Transition};

/// What a copy of a plan has, and what a user adds by hand.
const FINALIZER_ONLY: Marks = Marks { finalizer: true, owner_uid: false };

impl ModelState {
    pub fn fic_events(&self, events: &mut Events) {
        let Some(contract) = self.contract.clone().filter(|contract| contract.status == OperationStatus::Processing)
        else {
            return;
        };
        let completed =
            (!contract.abolishing).then(|| FicContract { status: OperationStatus::Completed, ..contract.clone() });
        events.push(|| "FIC completes the operation".into(), Ok(self.with(|next| next.set_contract(completed))));
        if self.budget.failed_operations > 0 {
            let failed = self.with(|next| {
                next.budget.failed_operations -= 1;
                next.set_contract(Some(FicContract { status: OperationStatus::Error, abolishing: false, ..contract }));
            });
            events.push(|| "the operation fails at FIC".into(), Ok(failed));
        }
    }

    pub fn portal_events(&self, events: &mut Events) {
        if self.budget.portal_changes == 0 {
            return;
        }
        let mut push = |what: &str, change: &dyn Fn(&mut Self)| {
            let next = self.with(|next| {
                next.budget.portal_changes -= 1;
                change(next);
            });
            events.push(|| format!("in the portal: {what}"), Ok(next));
        };
        let buy = |state: &mut Self| {
            let contract = state.new_contract(OperationStatus::Completed, None);
            state.set_contract(Some(contract));
        };
        let allow_repurchase = |state: &mut Self| {
            if let Some(buyer) = state.contract.as_ref().and_then(|contract| contract.buyer) {
                state.plans[buyer].purchases_allowed += 1;
            }
        };
        if self.contract.is_none() {
            push("a contract is bought", &buy);
        } else {
            push("the contract is abolished", &|state| {
                allow_repurchase(state);
                state.set_contract(None);
            });
            push("the contract is replaced", &|state| {
                allow_repurchase(state);
                buy(state);
            });
        }
    }

    pub fn user_events(&self, number: usize, events: &mut Events) {
        let plan = &self.plans[number];
        let who = name(number);
        if !plan.was_created {
            let next = self.with(|next| next.plans[number].create());
            let transition = Transition::between(plan, &next.plans[number], Label::UserCreates);
            events.push_transition(|| format!("the user creates {who}"), Ok(next), transition);
        }
        let Some(object) = &plan.object else { return };
        if !object.deleting {
            let next = self.with(|next| next.edit(number, |plan| plan.deleting = true));
            let transition = Transition::between(plan, &next.plans[number], Label::UserDeletes);
            events.push_transition(|| format!("the user deletes {who}"), Ok(next), transition);
        }
        if self.budget.uninstalls > 0 {
            let next = self.with(|next| {
                next.budget.uninstalls -= 1;
                next.crd_deleting = true;
                for number in 0..next.plans.len() {
                    next.edit(number, |plan| plan.deleting = true);
                }
            });
            let transition = Transition::between(plan, &next.plans[number], Label::UserDeletes);
            events.push_transition(|| "the user deletes the CRD".into(), Ok(next), transition);
        }
        if self.budget.edits > 0 {
            self.edit_events(number, events);
        }
        if self.budget.record_changes > 0 {
            self.record_change_events(number, events);
        }
    }

    /// Copies, replaced manifests and users change the marks; `kubectl replace --subresource=status` wipes the status.
    fn record_change_events(&self, number: usize, events: &mut Events) {
        let Some(object) = &self.plans[number].object else { return };
        let mut push = |what: &str, label: Label, change: &dyn Fn(&mut Self)| {
            let next = self.with(|next| {
                next.budget.record_changes -= 1;
                change(next);
            });
            let transition = Transition::between(&self.plans[number], &next.plans[number], label);
            events.push_transition(|| format!("a user {what} of {}", name(number)), Ok(next), transition);
        };
        for (what, marks) in [("adds the finalizer", FINALIZER_ONLY), ("adds both marks", Marks::COMPLETE)] {
            if !object.deleting && !object.marks.finalizer {
                push(what, Label::UserAddsMarks, &|state| {
                    state.edit(number, |plan| set_marks(plan, marks));
                    // Nobody can tell these marks from those of the operator.
                    state.plans[number].create_is_ambiguous |= marks.are_complete();
                });
            }
        }
        for (what, marks) in [("removes the annotation", FINALIZER_ONLY), ("removes both marks", Marks::NONE)] {
            if object.marks.are_complete() {
                push(what, Label::UserRemovesMarks, &|state| state.remove_marks(number, marks));
            }
        }
        if object.reported.is_some() {
            push("wipes the status", Label::UserWipesStatus, &|state| state.wipe_status(number));
        }
    }

    fn remove_marks(&mut self, number: usize, marks: Marks) {
        let plan = &mut self.plans[number];
        let is_deleted = !marks.finalizer && plan.object.as_ref().is_some_and(|plan| plan.deleting);
        let is_unknown = plan.object.as_ref().is_some_and(|plan| plan.record == Record::Open) && !plan.is_create_open();
        if is_deleted || is_unknown {
            if !is_deleted {
                plan.owned.clear();
            }
            self.forget_purchase(number);
            // No process can know of such a request any more, whatever it does.
            self.in_flight
                .take_if(|in_flight| in_flight.plan == number && in_flight.step == Step::Command(Command::Create));
        }
        self.edit(number, |plan| set_marks(plan, marks));
    }

    fn wipe_status(&mut self, number: usize) {
        self.edit(number, |plan| {
            plan.record = Record::new(plan.marks, None, false);
            plan.reported = None;
        });
        let plan = &mut self.plans[number];
        plan.mark_ambiguous_if_open();
        // The process may not know that its adoption of a contract was written.
        let forgets_adoption =
            plan.memory.as_ref().is_some_and(|memory| memory.record_opened && memory.owned.is_none());
        if (!plan.has_record() || forgets_adoption) && !plan.is_create_open() {
            plan.retained |= !plan.owned.is_empty();
            plan.owned.clear();
        }
    }

    fn edit_events(&self, number: usize, events: &mut Events) {
        let mut push = |field: &str, change: &dyn Fn(&mut PlanFacts)| {
            let next = self.with(|next| {
                next.budget.edits -= 1;
                next.edit(number, |plan| {
                    change(plan);
                    if let Some(reported) = &mut plan.reported {
                        reported.covers_spec = false;
                    }
                });
            });
            events.push(|| format!("the user changes {field} of {}", name(number)), Ok(next));
        };
        push("suspend", &|plan| plan.suspend = !plan.suspend);
        push("managementPolicy", &|plan| {
            plan.management = match plan.management {
                ManagementPolicy::Manage => ManagementPolicy::Observe,
                ManagementPolicy::Observe => ManagementPolicy::Manage,
            };
        });
        push("adoptionPolicy", &|plan| {
            plan.adoption = match plan.adoption {
                AdoptionPolicy::Never => AdoptionPolicy::IfPresent,
                AdoptionPolicy::IfPresent => AdoptionPolicy::Never,
            };
        });
        push("recreationPolicy", &|plan| {
            plan.recreation = match plan.recreation {
                RecreationPolicy::IfLost => RecreationPolicy::Never,
                RecreationPolicy::Never => RecreationPolicy::IfLost,
            };
        });
        push("deletionPolicy", &|plan| {
            plan.deletion = match plan.deletion {
                DeletionPolicy::Delete => DeletionPolicy::Retain,
                DeletionPolicy::Retain => DeletionPolicy::Delete,
            };
        });
    }

    /// A user changes a plan. The API server removes a plan that is being deleted and has no finalizer.
    fn edit(&mut self, number: usize, change: impl Fn(&mut PlanFacts)) {
        let plan = &mut self.plans[number];
        let Some(object) = &mut plan.object else { return };
        change(object);
        if object.deleting && !object.marks.finalizer {
            let forgets = plan.is_create_open() || !plan.owned.is_empty();
            plan.remove();
            if forgets {
                // A user removed the marks, and the plan is gone before the operator restores them.
                self.forget_purchase(number);
            }
        } else {
            plan.outdate_reconcile();
        }
        self.outdate_in_flight(number);
    }

    /// The model replaces `secret_finalizer` by one atomic event: the operator removes the finalizer of an unused
    /// Secret.
    pub fn secret_events(&self, events: &mut Events) {
        let uses = |plan: &Plan| plan.has_record() || plan.is_create_open() || plan.reconcile.is_some();
        let in_use = self.plans.iter().any(uses) || self.in_flight.is_some();
        if self.secret.exists && self.secret.has_finalizer && !in_use && self.budget.secret_changes > 0 {
            let released = self.with(|next| {
                next.secret.has_finalizer = false;
                next.secret.exists = !next.secret.deleting;
            });
            events.push(|| "the operator removes the finalizer from the Secret".into(), Ok(released));
        }
        if self.budget.secret_changes == 0 {
            return;
        }
        let mut push = |what: &str, secret: Secret| {
            let next = self.with(|next| {
                next.budget.secret_changes -= 1;
                next.secret = secret;
            });
            events.push(|| format!("the user {what} the Secret"), Ok(next));
        };
        if !self.secret.exists {
            push("creates", Secret { exists: true, has_finalizer: false, deleting: false });
        } else if !self.secret.deleting {
            let has_finalizer = self.secret.has_finalizer;
            push("deletes", Secret { exists: has_finalizer, has_finalizer, deleting: has_finalizer });
        }
    }
}
