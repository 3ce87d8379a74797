//! The checks of a run that depend on its phase.

use std::time::Duration;

use super::Run;
use crate::convergence::check_ready;
use crate::plan_fields::IN_USE_FINALIZER;
use crate::scenario::Scenario;
use crate::script::{Action, tenant};
use crate::sim_world::SimWorld;
use crate::store::{Kind, has_finalizer};
use crate::user_actions;

/// This many requests to FIC are enough for the drift checks of a plan in two resync intervals: three sign-ins, List
/// and Show requests, and the list of operations after a failed operation.
const CALLS_WHEN_CONVERGED: u32 = 12;

impl Run {
    /// A failing tenant does not delay another one: the other plan becomes Ready as fast as if it were alone.
    pub(super) fn check_failing_tenant(&self) -> Result<(), String> {
        let world = self.world.lock();
        if self.script.scenario != Scenario::FailingTenant {
            return Ok(());
        }
        let other = world.store.get(&self.script.plans[1]).ok_or("the other plan does not exist")?;
        check_ready(other).map_err(|why| format!("rule 10: the other plan is not Ready: {why}"))?;
        let since = other["status"]["conditions"][0]["lastTransitionTime"].as_str().unwrap_or_default();
        let since: jiff::Timestamp = since.parse().map_err(|_| "the Ready condition has no lastTransitionTime")?;
        let took = since.duration_since(SimWorld::wall_clock_start()).as_secs();
        if took > 12 {
            return Err(format!("rule 10: the other plan was Ready only after {took} s"));
        }
        // The backoff doubles from one second: two minutes give at most eight reconciles, each with a sign-in and two
        // other requests.
        let calls = world.fic.lock().log.entries().iter().filter(|entry| entry.tenant == Some(tenant(1))).count();
        if calls > 24 {
            return Err(format!("rule 10: {calls} requests for a tenant, and none of them succeeded"));
        }
        Ok(())
    }

    /// Without faults a deleted plan is removed promptly, whatever the operator was doing, and not only at the next
    /// resync.
    pub(super) async fn check_prompt_deletion(&mut self) -> Result<(), String> {
        let actions = self.script.actions.iter();
        let mut actions = actions.skip_while(|(_, action)| !matches!(action, Action::Apply(..)));
        let deletion = actions.find(|(_, action)| matches!(action, Action::Delete(_)));
        let Some((at, Action::Delete(id))) = deletion.filter(|_| self.script.scenario == Scenario::Calm).cloned()
        else {
            return Ok(());
        };
        // One operation each for the create and the delete request, a few reads, and a few late caches.
        self.advance(at + self.script.processing * 2 + Duration::from_secs(12)).await?;
        match self.world.lock().store.get(&id) {
            Some(plan) => Err(format!("the plan was deleted and still exists: {plan}")),
            None => Ok(()),
        }
    }

    /// Without faults a requested reconcile happens at once, and not only at the next resync.
    pub(super) async fn check_requested_reconcile(&mut self) -> Result<(), String> {
        if self.script.scenario != Scenario::Calm {
            return Ok(());
        }
        let id = self.script.plans[0].clone();
        user_actions::perform(&mut self.world.lock(), Action::RequestReconcile(id.clone(), 1));
        let now = self.world.lock().now();
        self.advance(now + Duration::from_secs(4)).await?;
        match self.world.lock().store.get(&id) {
            Some(plan) if plan["status"]["lastHandledReconcileAt"] != "1" => {
                Err("a requested reconcile did not happen at once".into())
            }
            Some(_) | None => Ok(()),
        }
    }

    /// A converged operator sends the requests of drift checks only.
    pub(super) fn check_calls(&self, calls: u32) -> Result<(), String> {
        let leaders = if self.script.elects { 1 } else { self.script.replicas.len() };
        let most = CALLS_WHEN_CONVERGED * u32::try_from(self.script.plans.len() * leaders).unwrap();
        if calls > most {
            return Err(format!("too many requests: {calls} in two resync intervals after convergence"));
        }
        Ok(())
    }

    /// Without faults a plan becomes Ready after three writes of the plan.
    pub(super) fn check_writes(&self, world: &SimWorld) -> Result<(), String> {
        let has_plans = world.store.all(Kind::Plan).next().is_some();
        if self.script.scenario == Scenario::Calm && has_plans && world.plan_writes > 3 {
            return Err(format!("rule 4: {} writes of a plan from its creation to Ready", world.plan_writes));
        }
        Ok(())
    }

    pub(super) fn check_nothing_left(&self) -> Result<(), String> {
        let world = self.world.lock();
        if let Some((id, plan)) = world.store.all(Kind::Plan).next() {
            return Err(format!("{id} still exists: {plan}"));
        }
        match world.store.all(Kind::Secret).find(|(_, secret)| has_finalizer(secret, IN_USE_FINALIZER)) {
            Some((id, _)) => Err(format!("rule 8: no plan exists, and {id} still has the finalizer")),
            None => Ok(()),
        }
    }
}
