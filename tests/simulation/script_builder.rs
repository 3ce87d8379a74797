//! Builds a script: chooses the plans, the actions and the faults of a scenario at random.
//!
//! Each call to the random generator, and its place in the order, is part of every seed: keep them.

use std::time::Duration;

use fastrand::Rng;
use fic_simulator::faults::Kind as FicFault;
use fic_simulator::portal::Action as PortalAction;
use serde_json::{Value, json};

use crate::faults::{Crash, FaultRates};
use crate::scenario::Scenario;
use crate::script::{Action, spec, tenant};
use crate::store::{Kind, ObjectRef};

pub struct ScriptBuilder {
    pub rng: Rng,
    /// In milliseconds.
    length: u64,
    pub fault_rates: FaultRates,
    pub crashes: Vec<Crash>,
    pub actions: Vec<(Duration, Action)>,
    /// With their tenants.
    pub plans: Vec<(ObjectRef, String)>,
}

impl ScriptBuilder {
    pub fn new(rng: Rng, length: u64) -> Self {
        Self { rng, length, fault_rates: FaultRates::default(), crashes: vec![], actions: vec![], plans: vec![] }
    }

    fn add_between(&mut self, from: u64, to: u64, action: Action) {
        let at = Duration::from_millis(self.rng.u64(from..to.max(from + 1)));
        self.actions.push((at, action));
    }

    fn add(&mut self, action: Action) {
        self.add_between(50, self.length, action);
    }

    fn any_plan(&mut self) -> (ObjectRef, String) {
        self.rng.choice(self.plans.clone()).unwrap()
    }

    /// Adds the plans and their Secrets.
    pub fn add_plans(&mut self, scenario: Scenario) {
        let may_share_tenant = matches!(scenario, Scenario::CompetingTenants | Scenario::ChangedRecords)
            || (matches!(scenario, Scenario::AllFaults | Scenario::Secrets) && self.rng.bool());
        let count = match scenario {
            Scenario::Calm => 1,
            Scenario::CompetingTenants | Scenario::Secrets => self.rng.usize(2..4),
            Scenario::MassLoss => self.rng.usize(3..6),
            Scenario::FailingTenant => 2,
            _ => self.rng.usize(1..3),
        };
        let is_plain = matches!(scenario, Scenario::Calm | Scenario::FailingTenant | Scenario::MassLoss);
        for number in 0..count {
            let namespace = if self.rng.u8(0..3) == 0 { "beta" } else { "alpha" };
            let id = ObjectRef::new(Kind::Plan, namespace, &format!("plan-{number}"));
            let tenant = tenant(if may_share_tenant && self.rng.u8(0..4) != 0 { 1 } else { number + 1 });
            let mut spec = spec(&tenant);
            if !is_plain {
                self.vary(&mut spec);
            }
            // Without faults the Secret exists, and the operator has observed it, before the plan is created.
            let from = if scenario == Scenario::Calm { 4000 } else { 0 };
            // Another controller may have a finalizer on the plan: then the plan still exists after ours is removed.
            let held = !is_plain && self.rng.u8(0..6) == 0;
            self.add_between(from, from + 300, Action::Apply(id.clone(), spec.clone(), held));
            // A user may create a plan of the same name again after the deletion. It is a different plan.
            if held || (!is_plain && self.rng.u8(0..3) == 0) {
                self.add_between(1000, self.length, Action::Apply(id.clone(), spec, false));
            }
            self.plans.push((id, tenant));
        }
        for namespace in ["alpha", "beta"] {
            let latest = if scenario == Scenario::Secrets { 5000 } else { 200 };
            let data = if scenario == Scenario::Secrets && self.rng.u8(0..4) == 0 { "empty" } else { "good" };
            let id = ObjectRef::new(Kind::Secret, namespace, "credentials");
            self.add_between(0, latest, Action::Secret(id, data));
        }
    }

    fn vary(&mut self, spec: &mut Value) {
        let mut one_in = |chance: u8| self.rng.u8(0..chance) == 0;
        if one_in(8) {
            spec["managementPolicy"] = json!("Observe");
        } else if one_in(4) {
            spec["adoptionPolicy"] = json!("IfPresent");
        }
        if one_in(4) {
            spec["recreationPolicy"] = json!("Never");
        }
        if one_in(6) {
            spec["deletionPolicy"] = json!("Retain");
        }
        if one_in(12) {
            spec["suspend"] = json!(true);
        }
    }

    /// Adds what the scenario is about, often some other faults, and the deletion of most plans.
    pub fn add_scenario(&mut self, scenario: Scenario) {
        match scenario {
            // A user deletes the plan, perhaps while the contract is being created.
            Scenario::Calm if self.rng.bool() => {
                let (id, _) = self.plans[0].clone();
                self.add_between(4300, 5300, Action::Delete(id));
            }
            Scenario::Calm => {}
            Scenario::Crashes => {
                self.add_crashes();
                self.add_process_end();
            }
            Scenario::LostResponses => self.fault_rates.fic_requests = self.rng.u32(50..500),
            Scenario::ApiServerFaults => self.set_api_server_faults(),
            Scenario::LaggingReads => {
                self.fault_rates.fic_lag = self.rng.u32(100..900);
                self.fault_rates.fic_responses = self.rng.u32(0..900);
                self.add_reconcile_requests();
            }
            Scenario::Portal => self.add_portal_actions(),
            Scenario::Edits => self.add_edits(),
            Scenario::CompetingTenants => {
                if self.rng.bool() {
                    self.add_edits();
                }
                if self.rng.bool() {
                    self.fault_rates.fic_responses = self.rng.u32(100..900);
                    self.add_crashes();
                }
            }
            Scenario::Secrets => {
                self.add_secret_changes();
                if self.rng.bool() {
                    self.set_api_server_faults();
                }
                if self.rng.bool() {
                    self.fault_rates.secret_responses = self.rng.u32(100..900);
                    self.fault_rates.watch_delays = self.rng.u32(100..900);
                }
            }
            Scenario::LeaderChanges => self.add_leader_changes(),
            Scenario::Uninstall => self.add(Action::Uninstall),
            Scenario::NamespaceDeletion => self.add(Action::DeleteNamespace("alpha".into())),
            Scenario::FailingTenant => return self.set_failing_tenant(),
            Scenario::AllFaults => self.add_all_faults(),
            Scenario::ChangedRecords => {
                self.add_record_changes();
                if self.rng.bool() {
                    self.add_portal_actions();
                }
                if self.rng.bool() {
                    self.fault_rates.fic_responses = self.rng.u32(100..900);
                }
            }
            Scenario::MassLoss => self.add_mass_loss(),
            Scenario::RefusedWrites => self.fault_rates.refused_writes = self.rng.u32(100..900),
            Scenario::Panics => self.fault_rates.panics = self.rng.u32(50..400),
            Scenario::Shards => self.add_relabelling(),
            Scenario::TwoLeaders => {
                if self.rng.bool() {
                    self.add_portal_actions();
                }
                if self.rng.bool() {
                    self.add_edits();
                }
            }
        }
        self.add_other_faults(scenario);
        // Users delete most plans while faults still happen.
        for (id, _) in self.plans.clone() {
            if !matches!(scenario, Scenario::Uninstall | Scenario::MassLoss) && self.rng.u8(0..3) != 0 {
                self.add_between(500, self.length, Action::Delete(id));
            }
        }
    }

    fn set_api_server_faults(&mut self) {
        self.fault_rates.api_requests = self.rng.u32(20..250);
        self.fault_rates.watch_breaks = self.rng.u32(0..300);
    }

    fn set_failing_tenant(&mut self) {
        let status = |code| FicFault::Status { code, body: None, retry_after: None };
        let faults = [
            status(500),
            status(429),
            FicFault::Hang { ms: None, effect_first: false },
            FicFault::Garbage,
            FicFault::DropBefore,
        ];
        let fault = self.rng.choice(&faults).cloned().unwrap();
        self.fault_rates.failing_tenant = Some((tenant(1), fault));
        self.length = 120_000;
    }

    /// Adds a few faults of other scenarios to half of the runs.
    fn add_other_faults(&mut self, scenario: Scenario) {
        if matches!(scenario, Scenario::Calm | Scenario::MassLoss) || self.rng.bool() {
            return;
        }
        let rates = &mut self.fault_rates;
        rates.api_requests = rates.api_requests.max(self.rng.u32(0..60));
        rates.watch_breaks = rates.watch_breaks.max(self.rng.u32(0..60));
        rates.fic_requests = rates.fic_requests.max(self.rng.u32(0..100));
        rates.fic_lag = rates.fic_lag.max(self.rng.u32(0..150));
        rates.fic_responses = rates.fic_responses.max(self.rng.u32(0..200));
        if self.rng.bool() {
            self.add_crashes();
        }
    }

    fn add_crashes(&mut self) {
        for _ in 0..self.rng.u32(1..4) {
            self.crashes.push(Crash { at_write: self.rng.u32(1..16), after_effect: self.rng.bool() });
        }
    }

    fn add_process_end(&mut self) {
        if self.rng.bool() {
            self.add(Action::Kill('a'));
        }
        if self.rng.u8(0..4) == 0 {
            self.add(Action::Stop('a'));
        }
    }

    fn add_portal_actions(&mut self) {
        for _ in 0..self.rng.u32(1..4) {
            let (_, tenant) = self.any_plan();
            let action = match self.rng.u8(0..12) {
                0..=2 => PortalAction::Create,
                3..=4 => PortalAction::Abolish,
                5..=6 => PortalAction::Replace,
                7..=8 => PortalAction::CreateBeforeNextCreate,
                9 => PortalAction::FailNextOperation("no capacity".into()),
                10 => PortalAction::SetMenu("StandardPlan".into()),
                _ => PortalAction::SetStatus("Error".into()),
            };
            let from = if self.rng.bool() { 0 } else { 500 };
            self.add_between(from, self.length, Action::Portal(tenant, action));
        }
    }

    fn add_edits(&mut self) {
        for _ in 0..self.rng.u32(1..6) {
            let (id, _) = self.any_plan();
            if self.rng.u8(0..8) == 0 {
                self.add_secret_switch(id);
                continue;
            }
            let flip = self.rng.bool();
            let pick = |one: &str, other: &str| json!(if flip { one } else { other });
            let action = match self.rng.u8(0..7) {
                0 => Action::Set(id, "managementPolicy", pick("Manage", "Observe")),
                1 => Action::Set(id, "adoptionPolicy", pick("Never", "IfPresent")),
                2 => Action::Set(id, "recreationPolicy", pick("IfLost", "Never")),
                3 => Action::Set(id, "deletionPolicy", pick("Delete", "Retain")),
                4 => Action::Set(id, "suspend", json!(flip)),
                number => Action::RequestReconcile(id, u32::from(number) + self.rng.u32(0..1000)),
            };
            self.add(action);
        }
    }

    /// Plans move between two shards and back, most of them while their contract is created.
    fn add_relabelling(&mut self) {
        for _ in 0..self.rng.u32(1..7) {
            let (plan, _) = self.any_plan();
            let shard = if self.rng.bool() { 'b' } else { 'a' };
            let to = if self.rng.u8(0..4) == 0 { self.length } else { 5000 };
            self.add_between(100, to, Action::Relabel(plan, shard));
        }
        if self.rng.bool() {
            self.fault_rates.fic_responses = self.rng.u32(100..900);
        }
        if self.rng.bool() {
            let replica = if self.rng.bool() { 'b' } else { 'a' };
            self.add_between(100, 8000, Action::Kill(replica));
        }
    }

    /// Tools for backup and delivery, and users, copy plans and change their records.
    fn add_record_changes(&mut self) {
        for number in 0..self.rng.u32(1..5) {
            let (plan, tenant) = self.any_plan();
            let both = self.rng.bool();
            let action = match self.rng.u8(0..6) {
                0 => {
                    let namespace = if plan.namespace == "alpha" { "beta" } else { "alpha" };
                    let copy = ObjectRef::new(Kind::Plan, namespace, &format!("copy-{number}"));
                    self.plans.push((copy.clone(), tenant));
                    Action::Copy(plan, copy)
                }
                1 => Action::AddMarks { plan, both },
                2 => Action::WipeStatus(plan),
                _ => Action::RemoveMarks { plan, both },
            };
            let to = if self.rng.bool() { 2000 } else { self.length };
            self.add_between(200, to, action);
        }
    }

    /// All contracts are gone at about the same time. A person approves one recreation later.
    fn add_mass_loss(&mut self) {
        let at = self.rng.u64(6000..8000);
        for (_, tenant) in self.plans.clone() {
            self.add_between(at, at + 1500, Action::Portal(tenant, PortalAction::Abolish));
        }
        if self.rng.bool() {
            self.add_between(at, at + 12_000, Action::Kill('a'));
        }
        self.length = self.length.max(at + 20_000);
    }

    /// A user requests many reconciles in a short time.
    fn add_reconcile_requests(&mut self) {
        let (id, _) = self.any_plan();
        let begin = self.rng.u64(200..3000);
        for number in 0..self.rng.u32(0..12) {
            self.add_between(begin, begin + 1500, Action::RequestReconcile(id.clone(), number));
        }
        if self.rng.bool() {
            self.add_between(begin, begin + 1500, Action::Delete(id));
        }
    }

    /// A user sets another Secret in a plan. This Secret exists by then, is created later, or never.
    fn add_secret_switch(&mut self, id: ObjectRef) {
        let other = ObjectRef::new(Kind::Secret, &id.namespace, "other");
        if self.rng.u8(0..4) != 0 {
            self.add(Action::Secret(other, "good"));
        }
        let name = if self.rng.u8(0..4) == 0 { "credentials" } else { "other" };
        self.add(Action::Set(id, "credentialsSecretRef", json!({ "name": name })));
    }

    fn add_secret_changes(&mut self) {
        for _ in 0..self.rng.u32(1..5) {
            if self.rng.u8(0..5) == 0 {
                let (plan, _) = self.any_plan();
                self.add_secret_switch(plan);
                continue;
            }
            let namespace = if self.rng.bool() { "alpha" } else { "beta" };
            let name = if self.rng.u8(0..4) == 0 { "other" } else { "credentials" };
            let id = ObjectRef::new(Kind::Secret, namespace, name);
            let action = match self.rng.u8(0..6) {
                0 => Action::Delete(id),
                1 => Action::Secret(id, "empty"),
                2 => Action::Secret(id, "rotated"),
                3 => Action::LockOut(self.rng.bool()),
                4 => Action::RevokeTokens,
                _ => Action::Secret(id, "good"),
            };
            self.add(action);
        }
    }

    fn add_leader_changes(&mut self) {
        for _ in 0..self.rng.u32(1..4) {
            let replica = if self.rng.bool() { 'a' } else { 'b' };
            match self.rng.u8(0..5) {
                0 => self.add(Action::Stop(replica)),
                1..=2 => self.add(Action::Kill(replica)),
                _ => {
                    let time = Duration::from_millis(self.rng.u64(2_000..30_000));
                    self.add(Action::Freeze(replica, time));
                }
            }
        }
    }

    fn add_all_faults(&mut self) {
        self.fault_rates.api_requests = self.rng.u32(0..80);
        self.fault_rates.watch_breaks = self.rng.u32(0..100);
        self.fault_rates.fic_requests = self.rng.u32(0..150);
        self.fault_rates.fic_lag = self.rng.u32(0..200);
        self.add_crashes();
        self.add_process_end();
        self.add_portal_actions();
        self.add_edits();
        self.add_secret_changes();
    }
}
