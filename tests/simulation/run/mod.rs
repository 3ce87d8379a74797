//! One simulation run: the operator executes the script with its faults, then the faults end and the operator must
//! converge.

mod checks;
pub mod outage;

use std::time::Duration;

use fic_simulator::state::Settings;
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::sleep_until;

use crate::agenda::{Agenda, Task};
use crate::convergence::{check_converged, check_ready};
use crate::faults::FaultRates;
use crate::plan_fields::FOREIGN_FINALIZER;
use crate::replica::{RESYNC_INTERVAL, Replica};
use crate::scenario::Scenario;
use crate::script::{Action, Script};
use crate::sim_world::{Incarnation, Shared, SimWorld};
use crate::store::{Kind, ObjectRef};
use crate::user_actions;

/// How long the operator may take to converge after the last fault: its longest backoff, and a few requests.
const CONVERGENCE_TIMEOUT: Duration = Duration::from_mins(15);
/// How long, in milliseconds, until a process that has ended is started again.
const RESTART: std::ops::Range<u64> = 50..3000;

/// The result of a simulation run.
pub struct Outcome {
    pub scenario: Scenario,
    pub result: Result<(), String>,
    pub trace: String,
    pub creates: u32,
    pub deletes: u32,
    pub processes_ended: u32,
}

/// Runs the script of a seed.
pub fn run(seed: u64, with_trace: bool) -> Outcome {
    fastrand::seed(seed);
    runtime().block_on(async {
        let mut run = Run::new(Script::of(seed), seed, with_trace);
        let result = run.execute().await;
        let started = run.incarnations;
        let world = run.world.lock();
        Outcome {
            scenario: run.script.scenario,
            result,
            trace: world.trace_text(),
            creates: world.oracle.creates,
            deletes: world.oracle.deletes,
            processes_ended: started - u32::try_from(run.script.replicas.len()).unwrap(),
        }
    })
}

/// A plan that waits for a tenant claims it when the tenant is released, and not only at its next resync.
pub fn run_tenant_handover(seed: u64) -> (Result<(), String>, String) {
    fastrand::seed(seed);
    runtime().block_on(async {
        let script = Script::tenant_handover(seed);
        let (length, second) = (script.length, script.plans[1].clone());
        let mut run = Run::new(script, seed, true);
        let mut result = run.advance(length).await;
        let world = run.world.lock();
        if result.is_ok() {
            result = check_ready(world.store.get(&second).unwrap());
        }
        (result, world.trace_text())
    })
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap()
}

struct Run {
    script: Script,
    world: Shared,
    replicas: Vec<Replica>,
    ended: mpsc::UnboundedReceiver<Incarnation>,
    agenda: Agenda,
    /// How many processes were started.
    incarnations: u32,
}

impl Run {
    fn new(script: Script, seed: u64, with_trace: bool) -> Self {
        let (sender, ended) = mpsc::unbounded_channel();
        let settings = Settings {
            processing_ms: u64::try_from(script.processing.as_millis()).unwrap(),
            token_lifetime_ms: 20_000,
            ..Settings::default()
        };
        let world = Shared::new(seed, settings, with_trace, sender);
        {
            let mut world = world.lock();
            world.fic.lock().began_by_wall = SimWorld::wall_clock_start();
            world.fault_rates = script.fault_rates.clone();
            world.oracle.slack = script.slack();
            world.oracle.reads_lag = script.fault_rates.fic_lag > 0;
            world.elects = script.elects;
            world.has_shards = script.scenario == Scenario::Shards;
            world.oracle.has_shards = world.has_shards;
            world.max_recreations_per_hour = script.max_recreations;
            world.oracle.max_recreations = script.max_recreations;
            world.oracle.two_lead = script.scenario == Scenario::TwoLeaders;
            world.crashes.clone_from(&script.crashes);
            let wall_clock = world.wall_clock();
            let crd = json!({ "metadata": { "finalizers": ["customresourcecleanup"] } });
            world.store.create(&ObjectRef::crd(), crd, &wall_clock).unwrap();
            world.trace(|| format!("{}, an operation takes {:?}", script.scenario.name(), script.processing));
        }
        let mut run = Self { script, world, replicas: vec![], ended, agenda: Agenda::default(), incarnations: 0 };
        for replica in run.script.replicas {
            run.schedule(Duration::ZERO, Task::Start(*replica));
        }
        for (at, action) in run.script.actions.clone() {
            run.schedule(at, Task::Act(action));
        }
        run
    }

    fn schedule(&mut self, at: Duration, task: Task) {
        let number = self.agenda.len() + usize::try_from(self.incarnations).unwrap() * 1000;
        self.agenda.add(at, number, task);
    }

    /// The phases of a run.
    async fn execute(&mut self) -> Result<(), String> {
        self.check_prompt_deletion().await?;
        self.advance(self.script.length).await?;
        self.check_failing_tenant()?;
        self.end_faults();
        self.converge().await?;
        self.check_requested_reconcile().await?;
        if self.world.lock().seed.is_multiple_of(2) {
            self.delete_everything();
            self.converge().await?;
            self.check_nothing_left()?;
        }
        Ok(())
    }

    /// Lets time pass until then, and executes the agenda.
    async fn advance(&mut self, until: Duration) -> Result<(), String> {
        let started_at = self.world.lock().started_at;
        loop {
            let next = self.agenda.next_at().map_or(until, |at| at.min(until));
            tokio::select! {
                biased;
                Some(incarnation) = self.ended.recv() => self.schedule_restart(incarnation),
                () = sleep_until(started_at + next) => {
                    let now = self.world.lock().now();
                    while let Some(task) = self.agenda.pop_due(now) {
                        self.execute_task(task);
                    }
                    if now >= until {
                        return self.world.lock().oracle.result();
                    }
                }
            }
            self.world.lock().oracle.result()?;
        }
    }

    fn schedule_restart(&mut self, incarnation: Incarnation) {
        self.replicas.retain(|replica| replica.incarnation() != incarnation);
        let mut world = self.world.lock();
        let delay = Duration::from_millis(world.chance((incarnation, "restart")).u64(RESTART));
        let at = world.now() + delay;
        drop(world);
        self.schedule(at, Task::Start(incarnation.0));
    }

    fn execute_task(&mut self, task: Task) {
        match task {
            Task::Start(replica) => {
                self.incarnations += 1;
                self.replicas.push(Replica::start(&self.world, (replica, self.incarnations), self.script.elects));
            }
            Task::Act(action) => self.perform(action),
        }
    }

    fn replica(&self, name: char) -> Option<&Replica> {
        self.replicas.iter().find(|replica| replica.incarnation().0 == name)
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Kill(name) => {
                if let Some(replica) = self.replica(name) {
                    replica.kill();
                }
            }
            Action::Stop(name) => {
                if let Some(replica) = self.replica(name) {
                    self.world.lock().trace(|| format!("shutdown of {name} requested"));
                    replica.stop();
                }
            }
            Action::Freeze(name, time) => {
                let now = self.world.lock().now();
                if let Some(replica) = self.replica(name) {
                    self.world.lock().trace(|| format!("{name} is frozen for {time:?}"));
                    replica.freeze(true);
                    self.schedule(now + time, Task::Act(Action::Unfreeze(name)));
                }
            }
            Action::Unfreeze(name) => {
                if let Some(replica) = self.replica(name) {
                    let mut world = self.world.lock();
                    world.oracle.unfrozen_at = Some(world.now());
                    world.trace(|| format!("{name} continues"));
                    drop(world);
                    replica.freeze(false);
                }
            }
            action => user_actions::perform(&mut self.world.lock(), action),
        }
    }

    fn end_faults(&mut self) {
        let mut world = self.world.lock();
        world.fault_rates = FaultRates::default();
        world.crashes.clear();
        world.fic.lock().faults.clear();
        world.oracle.unfrozen_at = Some(world.now());
        world.trace(|| "no more faults from here on".into());
        for id in self.script.plans.clone() {
            let write = world.store.edit(&id, |plan| {
                if let Some(finalizers) = plan["metadata"]["finalizers"].as_array_mut() {
                    finalizers.retain(|name| name != FOREIGN_FINALIZER);
                }
            });
            if let Some(write) = write {
                world.object_written(&id, &write, None);
            }
        }
        drop(world);
        for replica in &self.replicas {
            replica.freeze(false);
        }
    }

    /// Waits until every plan reports the actual state, and checks that it stays so without a write.
    async fn converge(&mut self) -> Result<(), String> {
        let deadline = self.world.lock().now() + CONVERGENCE_TIMEOUT;
        loop {
            let now = self.world.lock().now();
            self.advance(now + Duration::from_secs(5)).await?;
            let converged = check_converged(&self.world.lock());
            match converged {
                Ok(()) => {
                    let (writes, calls) = self.world.lock().counts();
                    let now = self.world.lock().now();
                    self.advance(now + RESYNC_INTERVAL * 2).await?;
                    let world = self.world.lock();
                    if world.writes == writes && check_converged(&world).is_ok() {
                        self.check_calls(world.fic_calls - calls)?;
                        if !self.script.may_lose_events() {
                            world.oracle.event_ledger.check_complete()?;
                        }
                        return self.check_writes(&world);
                    }
                }
                Err(why) if now > deadline => return Err(format!("does not converge: {why}")),
                Err(_) => {}
            }
            if now > deadline {
                return Err("does not converge: writes continue although nothing changes".into());
            }
        }
    }

    /// A user fixes what blocks the deletion, and deletes all plans.
    fn delete_everything(&self) {
        let mut world = self.world.lock();
        world.trace(|| "the user deletes all plans".into());
        user_actions::perform(&mut world, Action::LockOut(false));
        for (namespace, name) in
            [("alpha", "credentials"), ("alpha", "other"), ("beta", "credentials"), ("beta", "other")]
        {
            let id = ObjectRef::new(Kind::Secret, namespace, name);
            user_actions::perform(&mut world, Action::Secret(id, "good"));
        }
        let plans = world.store.all(Kind::Plan).map(|(id, _)| id.clone()).collect::<Vec<_>>();
        for id in plans {
            user_actions::perform(&mut world, Action::Set(id.clone(), "suspend", json!(false)));
            user_actions::perform(&mut world, Action::Delete(id));
        }
    }
}
