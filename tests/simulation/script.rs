//! The script of a simulation run: the settings, the fault rates, and who does what when, all chosen by the seed.

use std::time::Duration;

use fastrand::Rng;
use fic_simulator::portal::Action as PortalAction;
use serde_json::{Value, json};

use crate::faults::{Crash, FaultRates};
use crate::oracle::Slack;
use crate::scenario::Scenario;
use crate::script_builder::ScriptBuilder;
use crate::store::{Kind, ObjectRef};

/// What a user, the portal or the infrastructure does.
#[derive(Clone, Debug)]
pub enum Action {
    /// Creates a plan, with or without the finalizer of another controller.
    Apply(ObjectRef, Value, bool),
    /// Sets a field of the spec of a plan.
    Set(ObjectRef, &'static str, Value),
    /// Moves a plan to the shard of this replica.
    Relabel(ObjectRef, char),
    /// Sets the annotation that requests a reconcile.
    RequestReconcile(ObjectRef, u32),
    Delete(ObjectRef),
    /// Creates a copy of a plan, as a backup tool does: with the finalizers and annotations, without the status.
    Copy(ObjectRef, ObjectRef),
    /// Removes the annotation of the record, or both marks, as a replaced manifest does.
    RemoveMarks {
        plan: ObjectRef,
        both: bool,
    },
    /// Adds the finalizer of the record, or both marks.
    AddMarks {
        plan: ObjectRef,
        both: bool,
    },
    /// Removes the status of a plan.
    WipeStatus(ObjectRef),
    /// Creates or changes a Secret, with data of this kind.
    Secret(ObjectRef, &'static str),
    Portal(String, PortalAction),
    /// Changes the API secret of the account, or changes it back.
    LockOut(bool),
    RevokeTokens,
    /// Kills the process of a replica.
    Kill(char),
    /// Requests a graceful shutdown of a replica.
    Stop(char),
    /// Freezes a replica for this long.
    Freeze(char, Duration),
    Unfreeze(char),
    DeleteNamespace(String),
    /// Deletes the CRD.
    Uninstall,
}

pub struct Script {
    pub scenario: Scenario,
    /// How long an operation of FIC takes.
    pub processing: Duration,
    pub fault_rates: FaultRates,
    pub crashes: Vec<Crash>,
    /// `--max-recreations-per-hour`.
    pub max_recreations: Option<u32>,
    pub replicas: &'static [char],
    pub elects: bool,
    /// In the order of time.
    pub actions: Vec<(Duration, Action)>,
    /// When the last fault happens.
    pub length: Duration,
    pub plans: Vec<ObjectRef>,
}

pub fn tenant(number: usize) -> String {
    if number < 16 { format!("{number:x}").repeat(32) } else { format!("{number:032x}") }
}

pub fn spec(tenant: &str) -> Value {
    json!({
        "tenantID": tenant, "credentialsSecretRef": { "name": "credentials" }, "menu": "PremiumPlan",
        "managementPolicy": "Manage", "adoptionPolicy": "Never", "recreationPolicy": "IfLost",
        "deletionPolicy": "Delete", "suspend": false,
    })
}

impl Script {
    pub fn of(seed: u64) -> Self {
        let scenario = Scenario::of(seed);
        let mut rng = Rng::with_seed(seed);
        let length = rng.u64(10_000..40_000);
        let processing = Duration::from_millis(*rng.choice(&[0, 300, 2000, 4000]).unwrap());
        let mut builder = ScriptBuilder::new(rng, length);
        builder.add_plans(scenario);
        builder.add_scenario(scenario);
        builder.actions.sort_by_key(|(at, _)| *at);
        let elects =
            scenario == Scenario::LeaderChanges || (scenario == Scenario::AllFaults && builder.rng.u8(0..4) == 0);
        let two = elects || matches!(scenario, Scenario::TwoLeaders | Scenario::Shards);
        Self {
            scenario,
            processing,
            fault_rates: builder.fault_rates,
            crashes: builder.crashes,
            max_recreations: (scenario == Scenario::MassLoss).then_some(1),
            replicas: if two { &['a', 'b'] } else { &['a'] },
            elects,
            actions: builder.actions,
            length: Duration::from_millis(length),
            plans: builder.plans.into_iter().map(|(id, _)| id).collect(),
        }
    }

    /// The plan that holds a tenant is deleted, and another plan of the tenant is created at about the same time.
    pub fn tenant_handover(seed: u64) -> Self {
        let plans = ["plan-0", "plan-1"].map(|name| ObjectRef::new(Kind::Plan, "alpha", name));
        let second_applied_at = Rng::with_seed(seed).u64(5850..6050);
        let [first, second] = plans.clone();
        let actions = [
            (0, Action::Secret(ObjectRef::new(Kind::Secret, "alpha", "credentials"), "good")),
            (4000, Action::Apply(first.clone(), spec(&tenant(1)), false)),
            (second_applied_at, Action::Apply(second, spec(&tenant(1)), false)),
            (6000, Action::Delete(first)),
        ];
        let actions = actions.map(|(at, action)| (Duration::from_millis(at), action));
        Self::calm(actions.into(), Duration::from_millis(second_applied_at + 14_000), plans.into())
    }

    /// Plans of as many tenants, which become Ready.
    pub fn many_plans(count: usize) -> Self {
        let plans = (0..count).map(|number| ObjectRef::new(Kind::Plan, "alpha", &format!("plan-{number}")));
        let plans = plans.collect::<Vec<_>>();
        let secret = Action::Secret(ObjectRef::new(Kind::Secret, "alpha", "credentials"), "good");
        let apply =
            |(number, plan): (usize, &ObjectRef)| Action::Apply(plan.clone(), spec(&format!("{number:032x}")), false);
        let actions = std::iter::once(secret).chain(plans.iter().enumerate().map(apply));
        Self::calm(actions.map(|action| (Duration::ZERO, action)).collect(), Duration::from_secs(5), plans)
    }

    /// One replica, no faults, and operations that take no time.
    fn calm(actions: Vec<(Duration, Action)>, length: Duration, plans: Vec<ObjectRef>) -> Self {
        Self {
            scenario: Scenario::Calm,
            processing: Duration::ZERO,
            fault_rates: FaultRates::default(),
            crashes: vec![],
            max_recreations: None,
            replicas: &['a'],
            elects: false,
            actions,
            length,
            plans,
        }
    }

    /// How long a decision may still take effect after the plan has changed: a request may be slow, hang until its
    /// timeout, or wait in a frozen process, and watches may be late. The client restarts a broken watch within half a
    /// minute, and it may break again.
    pub fn slack(&self) -> Slack {
        let FaultRates { fic_requests, api_requests, watch_breaks, .. } = self.fault_rates;
        let has_timeouts = fic_requests > 0 || self.fault_rates.failing_tenant.is_some();
        let request_timeout = Duration::from_secs(if has_timeouts { 11 } else { 0 });
        let frozen = Duration::from_secs(if self.elects { 11 } else { 0 });
        let watch_lag = if api_requests + watch_breaks > 0 { Duration::from_mins(1) } else { Duration::from_secs(2) };
        // A change triggers a reconcile of its plan at most once a second.
        let changes = Duration::from_millis(2500) + request_timeout + frozen;
        Slack { changes, reads: changes + watch_lag }
    }

    /// Whether an Event may get lost: its process may end before it writes the Event, or the request may fail.
    pub fn may_lose_events(&self) -> bool {
        let loses_events = |(_, action): &(Duration, Action)| {
            matches!(
                action,
                Action::Kill(_) | Action::Stop(_) | Action::Freeze(..) | Action::DeleteNamespace(_) | Action::Uninstall
            )
        };
        self.fault_rates.api_requests + self.fault_rates.panics > 0
            || self.replicas.len() > 1
            || self.elects
            || !self.crashes.is_empty()
            || self.actions.iter().any(loses_events)
    }
}
