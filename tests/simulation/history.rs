//! One history: the script is played against the real operator; then everything goes well, and all must come to rest.

use std::collections::BinaryHeap;
use std::time::Duration;

use fic_simulator::portal::Action as Portal;
use fic_simulator::world::Settings;
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::sleep_until;

use crate::oracle::{ANOTHERS, IN_USE};
use crate::replica::{RESYNC_INTERVAL, Replica};
use crate::rest;
use crate::script::{Action, Script, Theme, tenant};
use crate::store::{Id, Kind, has_finalizer};
use crate::world::{Life, Perils, Shared, World};

/// How long the operator may take to come to rest once nothing goes wrong any more: its longest backoff, and a few calls.
const PATIENCE: Duration = Duration::from_mins(15);
/// How long a Secret, a plan or a process is away.
const RESTART: std::ops::Range<u64> = 50..3000;
/// So many calls are enough for the drift checks of a plan in two resync intervals: three times to sign in, to look at both witnesses, and
/// to ask why an operation has failed.
const CALLS_AT_REST: u32 = 12;

/// What a history came to.
pub struct Outcome {
    pub theme: Theme,
    pub broken: Result<(), String>,
    pub story: String,
    pub creates: u32,
    pub deletes: u32,
    pub deaths: u32,
}

pub fn play(seed: u64, tell: bool) -> Outcome {
    fastrand::seed(seed);
    runtime().block_on(async {
        let mut history = History::new(Script::of(seed), seed, tell);
        let broken = history.run().await;
        let lives = history.lives;
        let world = history.world.lock();
        Outcome {
            theme: history.script.theme,
            broken,
            story: world.story(),
            creates: world.oracle.creates,
            deletes: world.oracle.deletes,
            deaths: lives - u32::try_from(history.script.replicas.len()).unwrap(),
        }
    })
}

/// Whoever waits for a tenant has it as soon as it is free, not only when it would have looked anyway.
pub fn play_succession(seed: u64) -> (Result<(), String>, String) {
    fastrand::seed(seed);
    runtime().block_on(async {
        let script = Script::succession(seed);
        let (length, second) = (script.length, script.plans[1].clone());
        let mut history = History::new(script, seed, true);
        let mut outcome = history.go_on(length).await;
        let world = history.world.lock();
        if outcome.is_ok() {
            outcome = rest::plan_is_ready(world.store.get(&second).unwrap());
        }
        (outcome, world.story())
    })
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap()
}

struct History {
    script: Script,
    world: Shared,
    replicas: Vec<Replica>,
    killed: mpsc::UnboundedReceiver<Life>,
    agenda: BinaryHeap<std::cmp::Reverse<Due>>,
    lives: u32,
}

/// Something to be done at a time. Of two at the same time the one that was put down first comes first.
struct Due(Duration, usize, Deed);

enum Deed {
    Act(Action),
    Start(char),
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Due {}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.0, self.1).cmp(&(other.0, other.1))
    }
}

impl History {
    fn new(script: Script, seed: u64, tell: bool) -> Self {
        let (sender, killed) = mpsc::unbounded_channel();
        let settings = Settings {
            processing_ms: u64::try_from(script.processing.as_millis()).unwrap(),
            token_lifetime_ms: 20_000,
            ..Settings::default()
        };
        let world = Shared::new(seed, settings, tell, sender);
        {
            let mut world = world.lock();
            world.fic.lock().began_by_wall = World::wall_began();
            world.perils = script.perils.clone();
            world.oracle.slack = script.slack();
            world.oracle.reads_lag = script.perils.lag > 0;
            world.elects = script.elects;
            world.deaths.clone_from(&script.deaths);
            let id = Id::new(Kind::Definition, "", fic_support_operator::api::crd::NAME);
            let wall = world.wall();
            world.store.create(&id, json!({ "metadata": { "finalizers": ["customresourcecleanup"] } }), &wall).unwrap();
            world.tell(|| format!("{:?}, an operation takes {:?}", script.theme, script.processing));
        }
        let mut history = Self { script, world, replicas: vec![], killed, agenda: BinaryHeap::new(), lives: 0 };
        for replica in history.script.replicas {
            history.plan(Duration::ZERO, Deed::Start(*replica));
        }
        for (at, action) in history.script.actions.clone() {
            history.plan(at, Deed::Act(action));
        }
        history
    }

    fn plan(&mut self, at: Duration, deed: Deed) {
        let number = self.agenda.len() + usize::try_from(self.lives).unwrap() * 1000;
        self.agenda.push(std::cmp::Reverse(Due(at, number, deed)));
    }

    async fn run(&mut self) -> Result<(), String> {
        self.gone_soon().await?;
        self.go_on(self.script.length).await?;
        self.check_good_tenant()?;
        self.all_is_well();
        self.come_to_rest().await?;
        self.asked_to_look().await?;
        if self.world.lock().seed.is_multiple_of(2) {
            self.everybody_leaves();
            self.come_to_rest().await?;
            self.nothing_is_left()?;
        }
        Ok(())
    }

    /// Lets time pass until then, with all that is to happen.
    async fn go_on(&mut self, until: Duration) -> Result<(), String> {
        let began = self.world.lock().began;
        loop {
            let next = self.agenda.peek().map_or(until, |due| due.0.0.min(until));
            tokio::select! {
                biased;
                Some(life) = self.killed.recv() => self.died(life),
                () = sleep_until(began + next) => {
                    let now = self.world.lock().now();
                    while let Some(due) = self.agenda.peek().filter(|due| due.0.0 <= now) {
                        let _ = due;
                        if let Some(std::cmp::Reverse(Due(_, _, deed))) = self.agenda.pop() {
                            self.perform(deed);
                        }
                    }
                    if now >= until {
                        return self.world.lock().oracle.verdict();
                    }
                }
            }
            self.world.lock().oracle.verdict()?;
        }
    }

    /// A process that is gone is started again, after a while.
    fn died(&mut self, life: Life) {
        self.replicas.retain(|replica| replica.life() != life);
        let mut world = self.world.lock();
        let wait = Duration::from_millis(world.chance((life, "restart")).u64(RESTART));
        let at = world.now() + wait;
        drop(world);
        self.plan(at, Deed::Start(life.0));
    }

    fn perform(&mut self, deed: Deed) {
        match deed {
            Deed::Start(replica) => {
                self.lives += 1;
                self.replicas.push(Replica::start(&self.world, (replica, self.lives), self.script.elects));
            }
            Deed::Act(action) => self.act(action),
        }
    }

    fn replica(&self, name: char) -> Option<&Replica> {
        self.replicas.iter().find(|replica| replica.life().0 == name)
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Kill(name) => {
                if let Some(replica) = self.replica(name) {
                    replica.kill();
                }
            }
            Action::Stop(name) => {
                if let Some(replica) = self.replica(name) {
                    self.world.lock().tell(|| format!("{name} is asked to end"));
                    replica.stop();
                }
            }
            Action::Freeze(name, time) => {
                let now = self.world.lock().now();
                if let Some(replica) = self.replica(name) {
                    self.world.lock().tell(|| format!("{name} is frozen for {time:?}"));
                    replica.freeze(true);
                    self.plan(now + time, Deed::Act(Action::Thaw(name)));
                }
            }
            Action::Thaw(name) => {
                if let Some(replica) = self.replica(name) {
                    let mut world = self.world.lock();
                    world.oracle.thawed_at = Some(world.now());
                    world.tell(|| format!("{name} goes on"));
                    drop(world);
                    replica.freeze(false);
                }
            }
            action => outside(&mut self.world.lock(), action),
        }
    }

    /// A bad tenant holds up nobody: the other plan is Ready as if it were alone.
    fn check_good_tenant(&self) -> Result<(), String> {
        let world = self.world.lock();
        if self.script.theme != Theme::BadTenant {
            return Ok(());
        }
        let good = world.store.get(&self.script.plans[1]).ok_or("the good plan is gone")?;
        rest::plan_is_ready(good).map_err(|is| format!("rule 10: the good plan is not Ready: {is}"))?;
        let since = good["status"]["conditions"][0]["lastTransitionTime"].as_str().unwrap_or_default();
        let since: jiff::Timestamp = since.parse().map_err(|_| "no time")?;
        let took = since.duration_since(World::wall_began()).as_secs();
        if took > 12 {
            return Err(format!("rule 10: the good plan was Ready only after {took} s"));
        }
        // 120 s of a backoff that doubles from one second: at most eight passes, each of a sign-in and two calls.
        let asked = world.fic.lock().log.entries().iter().filter(|entry| entry.tenant == Some(tenant(1))).count();
        if asked > 24 {
            return Err(format!("rule 10: {asked} calls for a tenant none of which succeeded"));
        }
        Ok(())
    }

    fn all_is_well(&mut self) {
        let mut world = self.world.lock();
        world.perils = Perils::default();
        world.deaths.clear();
        world.fic.lock().faults.clear();
        world.oracle.thawed_at = Some(world.now());
        world.tell(|| "from here on nothing goes wrong any more".into());
        for id in self.script.plans.clone() {
            let written = world.store.edit(&id, |plan| {
                if let Some(finalizers) = plan["metadata"]["finalizers"].as_array_mut() {
                    finalizers.retain(|name| name != ANOTHERS);
                }
            });
            if let Some(written) = written {
                world.written(&id, &written, None);
            }
        }
        drop(world);
        for replica in &self.replicas {
            replica.freeze(false);
        }
    }

    /// All plans are where they should be, and stay there without a write.
    async fn come_to_rest(&mut self) -> Result<(), String> {
        let deadline = self.world.lock().now() + PATIENCE;
        loop {
            let now = self.world.lock().now();
            self.go_on(now + Duration::from_secs(5)).await?;
            let settled = rest::settled(&self.world.lock());
            match settled {
                Ok(()) => {
                    let (writes, calls) = self.world.lock().counts();
                    let now = self.world.lock().now();
                    self.go_on(now + RESYNC_INTERVAL * 2).await?;
                    let world = self.world.lock();
                    if world.writes == writes && rest::settled(&world).is_ok() {
                        self.check_calls(world.calls - calls)?;
                        if !self.script.may_lose_events() {
                            world.oracle.ledger.complete()?;
                        }
                        return self.check_writes(&world);
                    }
                }
                Err(why) if now > deadline => return Err(format!("never at rest: {why}")),
                Err(_) => {}
            }
            if now > deadline {
                return Err("never quiet: it goes on writing while nothing changes".into());
            }
        }
    }

    /// Where nothing goes wrong, a plan that is deleted goes at once, whatever it was at, not only when it would have looked anyway.
    async fn gone_soon(&mut self) -> Result<(), String> {
        let actions = self.script.actions.iter();
        let mut since = actions.skip_while(|(_, action)| !matches!(action, Action::Apply(..)));
        let deleted = since.find(|(_, action)| matches!(action, Action::Delete(_)));
        let Some((at, Action::Delete(id))) = deleted.filter(|_| self.script.theme == Theme::Calm).cloned() else {
            return Ok(());
        };
        // An operation each for the purchase and the abolition, a few looks, and a few caches that are late.
        self.go_on(at + self.script.processing * 2 + Duration::from_secs(12)).await?;
        match self.world.lock().store.get(&id) {
            Some(plan) => Err(format!("it was deleted and is still there: {plan}")),
            None => Ok(()),
        }
    }

    /// Where nothing goes wrong, a plan that is asked to look does so at once, not only when it would have anyway.
    async fn asked_to_look(&mut self) -> Result<(), String> {
        if self.script.theme != Theme::Calm {
            return Ok(());
        }
        let id = self.script.plans[0].clone();
        outside(&mut self.world.lock(), Action::Touch(id.clone(), 1));
        let now = self.world.lock().now();
        self.go_on(now + Duration::from_secs(4)).await?;
        match self.world.lock().store.get(&id) {
            Some(plan) if plan["status"]["lastHandledReconcileAt"] != "1" => {
                Err("it was asked to look and did not do so at once".into())
            }
            Some(_) | None => Ok(()),
        }
    }

    /// At rest there are drift checks, and nothing else.
    fn check_calls(&self, calls: u32) -> Result<(), String> {
        let most = CALLS_AT_REST * u32::try_from(self.script.plans.len()).unwrap();
        if calls > most {
            return Err(format!("never quiet: {calls} calls in two resync intervals at rest"));
        }
        Ok(())
    }

    /// Where nothing goes wrong, three writes of a plan lead to Ready.
    fn check_writes(&self, world: &World) -> Result<(), String> {
        let gone = world.store.all(Kind::Plan).next().is_none();
        if self.script.theme == Theme::Calm && !gone && world.plan_writes > 3 {
            return Err(format!("rule 4: {} writes of a plan from apply to Ready", world.plan_writes));
        }
        Ok(())
    }

    /// The user mends what is in the way of a goodbye, and deletes everything.
    fn everybody_leaves(&self) {
        let mut world = self.world.lock();
        world.tell(|| "the user deletes everything".into());
        outside(&mut world, Action::LockOut(false));
        for (namespace, name) in
            [("alpha", "credentials"), ("alpha", "other"), ("beta", "credentials"), ("beta", "other")]
        {
            outside(&mut world, Action::Secret(Id::new(Kind::Secret, namespace, name), "good"));
        }
        let plans = world.store.all(Kind::Plan).map(|(id, _)| id.clone()).collect::<Vec<_>>();
        for id in plans {
            outside(&mut world, Action::Set(id.clone(), "suspend", json!(false)));
            outside(&mut world, Action::Delete(id));
        }
    }

    fn nothing_is_left(&self) -> Result<(), String> {
        let world = self.world.lock();
        if let Some((id, plan)) = world.store.all(Kind::Plan).next() {
            return Err(format!("{id} is still there: {plan}"));
        }
        match world.store.all(Kind::Secret).find(|(_, secret)| has_finalizer(secret, IN_USE)) {
            Some((id, _)) => Err(format!("rule 8: no plan is left, and {id} still carries the finalizer")),
            None => Ok(()),
        }
    }
}

/// What users and the portal do.
fn outside(world: &mut World, action: Action) {
    world.tell(|| format!("outside: {action:?}"));
    let wall = world.wall();
    let (id, written) = match action {
        Action::Apply(id, spec, held) => {
            if world
                .store
                .get(&Id::new(Kind::Definition, "", fic_support_operator::api::crd::NAME))
                .is_some_and(crate::store::is_deleting)
                || world.leaving_namespaces.contains(&id.namespace)
            {
                return;
            }
            let plan = json!({
                "apiVersion": "fic.ntt.com/v1alpha1", "kind": "PremiumSupportPlan", "spec": spec,
                "metadata": { "finalizers": if held { vec![ANOTHERS] } else { vec![] } },
            });
            let written = world.store.create(&id, plan, &wall).ok();
            (id, written)
        }
        Action::Set(id, field, value) => {
            let written = world.store.edit(&id, |plan| {
                plan["spec"][field] = value;
                if plan["spec"]["managementPolicy"] == "Observe" && plan["spec"]["adoptionPolicy"] == "IfPresent" {
                    // The schema refuses the two together.
                    plan["spec"]["adoptionPolicy"] = json!("Never");
                }
            });
            (id, written)
        }
        Action::Touch(id, number) => {
            let written = world.store.edit(&id, |plan| {
                plan["metadata"]["annotations"] = json!({ "fic.ntt.com/reconcile-requested-at": number.to_string() });
            });
            (id, written)
        }
        Action::Delete(id) => {
            let written = world.store.delete(&id, &wall);
            (id, written)
        }
        Action::Secret(id, kind) => {
            let written = put_secret(world, &id, kind, &wall);
            (id, written)
        }
        Action::Portal(tenant, action) => return portal(world, &tenant, &action),
        Action::LockOut(out) => {
            world.fic.lock().set_account("key", if out { Some("another") } else { Some("secret") });
            return;
        }
        Action::RevokeTokens => {
            world.fic.lock().revoke_tokens(None);
            return;
        }
        Action::DeleteNamespace(namespace) => return delete_namespace(world, &namespace),
        Action::Uninstall => return uninstall(world),
        Action::Kill(_) | Action::Stop(_) | Action::Freeze(..) | Action::Thaw(_) => return,
    };
    if let Some(written) = written {
        world.written(&id, &written, None);
    }
}

fn put_secret(world: &mut World, id: &Id, kind: &str, wall: &str) -> Option<crate::store::Written> {
    if world.leaving_namespaces.contains(&id.namespace) {
        return None;
    }
    // "key" and "secret", and another key that is good as well.
    let data = match kind {
        "good" => json!({ "apiKey": "a2V5", "apiSecret": "c2VjcmV0" }),
        "rotated" => json!({ "apiKey": "a2V5Mg==", "apiSecret": "c2VjcmV0Mg==" }),
        _ => json!({ "apiKey": "a2V5", "apiSecret": "" }),
    };
    if world.store.get(id).is_some() {
        return world.store.edit(id, |secret| secret["data"] = data);
    }
    let secret = json!({ "metadata": {}, "type": "fic.ntt.com/credentials", "data": data });
    world.store.create(id, secret, wall).ok()
}

fn portal(world: &mut World, tenant: &str, action: &Portal) {
    let before = world.fic.lock().contract(tenant);
    let possible = match action {
        Portal::Create => before.is_none(),
        Portal::Abolish | Portal::Replace | Portal::SetMenu(_) | Portal::SetStatus(_) => before.is_some(),
        Portal::CreateBeforeNextCreate | Portal::FailNextOperation(_) => true,
    };
    if !possible {
        return;
    }
    world.fic.lock().portal(tenant, action);
    if let (Some(before), Portal::Abolish | Portal::Replace) = (before, action) {
        world.oracle.lost_in_portal(tenant, &before.id);
    }
}

fn delete_namespace(world: &mut World, namespace: &str) {
    world.leaving_namespaces.insert(namespace.to_owned());
    let wall = world.wall();
    let ids = [Kind::Plan, Kind::Secret].into_iter().flat_map(|kind| {
        world.store.all(kind).map(|(id, _)| id.clone()).filter(|id| id.namespace == namespace).collect::<Vec<_>>()
    });
    for id in ids.collect::<Vec<_>>() {
        if let Some(written) = world.store.delete(&id, &wall) {
            world.written(&id, &written, None);
        }
    }
}

/// The API server marks the definition first, and then deletes every object of it.
fn uninstall(world: &mut World) {
    let wall = world.wall();
    let now = world.now();
    world.oracle.uninstalled_at = Some(now);
    let definition = Id::new(Kind::Definition, "", fic_support_operator::api::crd::NAME);
    let plans = world.store.all(Kind::Plan).map(|(id, _)| id.clone());
    for id in std::iter::once(definition).chain(plans.collect::<Vec<_>>()) {
        if let Some(written) = world.store.delete(&id, &wall) {
            world.written(&id, &written, None);
        }
    }
}
