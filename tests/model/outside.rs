//! What happens outside of the operator: FIC goes on, the portal is used, users edit.

use fic_support_operator::api::plan::{AdoptionPolicy, DeletionPolicy, ManagementPolicy, RecreationPolicy};
use fic_support_operator::domain::contract::OperationStatus;
use fic_support_operator::domain::facts::PlanFacts;

use crate::world::{Events, Held, Secret, World, name};

impl World {
    pub fn fic_events(&self, events: &mut Events) {
        let Some(held) = self.contract.clone().filter(|held| held.status == OperationStatus::Processing) else {
            return;
        };
        let done = (!held.going).then(|| Held { status: OperationStatus::Completed, ..held.clone() });
        events.push(|| "FIC finishes".into(), Ok(self.after(|next| next.set_contract(done))));
        if self.budget.failures > 0 {
            let failed = self.after(|next| {
                next.budget.failures -= 1;
                next.set_contract(Some(Held { status: OperationStatus::Error, going: false, ..held }));
            });
            events.push(|| "FIC fails".into(), Ok(failed));
        }
    }

    pub fn portal_events(&self, events: &mut Events) {
        if self.budget.portal == 0 {
            return;
        }
        let mut happens = |what: &str, change: &dyn Fn(&mut Self)| {
            let next = self.after(|next| {
                next.budget.portal -= 1;
                change(next);
            });
            events.push(|| format!("in the portal: {what}"), Ok(next));
        };
        let buy = |world: &mut Self| {
            let held = world.new_contract(OperationStatus::Completed, None);
            world.set_contract(Some(held));
        };
        let lose = |world: &mut Self| {
            if let Some(buyer) = world.contract.as_ref().and_then(|held| held.buyer) {
                world.plans[buyer].needs += 1;
            }
        };
        if self.contract.is_none() {
            happens("a contract is bought", &buy);
        } else {
            happens("the contract is abolished", &|world| {
                lose(world);
                world.set_contract(None);
            });
            happens("the contract is replaced", &|world| {
                lose(world);
                buy(world);
            });
        }
    }

    pub fn user_events(&self, number: usize, events: &mut Events) {
        let who = name(number);
        if !self.plans[number].made {
            events.push(|| format!("the user: makes {who}"), Ok(self.after(|next| next.plans[number].make())));
        }
        let Some(plan) = &self.plans[number].object else { return };
        if !plan.deleting {
            let deleted = self.after(|next| next.edit(number, |plan| plan.deleting = true));
            events.push(|| format!("the user: deletes {who}"), Ok(deleted));
        }
        if self.budget.uninstalls > 0 {
            let uninstalled = self.after(|next| {
                next.budget.uninstalls -= 1;
                next.leaving = true;
                for number in 0..next.plans.len() {
                    next.edit(number, |plan| plan.deleting = true);
                }
            });
            events.push(|| "the user: uninstalls".into(), Ok(uninstalled));
        }
        if self.budget.edits == 0 {
            return;
        }
        let mut edits = |what: &str, change: &dyn Fn(&mut PlanFacts)| {
            let edited = self.after(|next| {
                next.budget.edits -= 1;
                next.edit(number, change);
            });
            events.push(|| format!("the user: {what} for {who}"), Ok(edited));
        };
        edits("suspend", &|plan| plan.suspend = !plan.suspend);
        edits("Observe or Manage", &|plan| {
            plan.management = match plan.management {
                ManagementPolicy::Manage => ManagementPolicy::Observe,
                ManagementPolicy::Observe => ManagementPolicy::Manage,
            };
        });
        edits("IfPresent or Never", &|plan| {
            plan.adoption = match plan.adoption {
                AdoptionPolicy::Never => AdoptionPolicy::IfPresent,
                AdoptionPolicy::IfPresent => AdoptionPolicy::Never,
            };
        });
        edits("IfLost or Never", &|plan| {
            plan.recreation = match plan.recreation {
                RecreationPolicy::IfLost => RecreationPolicy::Never,
                RecreationPolicy::Never => RecreationPolicy::IfLost,
            };
        });
        edits("Delete or Retain", &|plan| {
            plan.deletion = match plan.deletion {
                DeletionPolicy::Delete => DeletionPolicy::Retain,
                DeletionPolicy::Retain => DeletionPolicy::Delete,
            };
        });
    }

    fn edit(&mut self, number: usize, change: impl Fn(&mut PlanFacts)) {
        let plan = &mut self.plans[number];
        let Some(object) = &mut plan.object else { return };
        change(object);
        if object.deleting && !object.finalizer {
            plan.vanish();
        } else {
            plan.changed();
        }
        self.outdate_adrift(number);
    }

    pub fn secret_events(&self, events: &mut Events) {
        let used =
            self.plans.iter().any(|plan| plan.holds_secret() || plan.operator.is_some()) || self.adrift.is_some();
        if self.secret.there && self.secret.protected && !used && self.budget.secrets > 0 {
            let let_go = self.after(|next| {
                next.secret.protected = false;
                next.secret.there = !next.secret.deleting;
            });
            events.push(|| "the guard lets the Secret go".into(), Ok(let_go));
        }
        if self.budget.secrets == 0 {
            return;
        }
        let mut change = |what: &str, secret: Secret| {
            let next = self.after(|next| {
                next.budget.secrets -= 1;
                next.secret = secret;
            });
            events.push(|| format!("the user: {what} the Secret"), Ok(next));
        };
        if !self.secret.there {
            change("makes", Secret { there: true, protected: false, deleting: false });
        } else if !self.secret.deleting {
            let protected = self.secret.protected;
            change("deletes", Secret { there: protected, protected, deleting: protected });
        }
    }
}
