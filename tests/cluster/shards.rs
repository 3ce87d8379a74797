//! Three operators divide the plans, by label or by namespace. They are added and removed, their scopes change, and plans
//! move from one to another, all while contracts are bought and abolished.
//!
//! `PLANS` sets the number of plans.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use fic_support_operator::api::plan::PremiumSupportPlan;
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::support::operator::Operator;
use crate::support::plan::has_reason;
use crate::support::texts::log::{CACHES_SYNCED, LEASE_ACQUIRED};
use crate::support::waiting::POLL_INTERVAL;
use crate::support::{TestEnvironment, new_tenant};

/// The values of the label `shard`. There are more than operators, so that the scopes can change.
const LABELS: usize = 6;
/// One plan moves for so many requests to FIC.
const REQUESTS_PER_MOVE: usize = 5;

/// The number of plans.
fn number_of_plans() -> usize {
    std::env::var("PLANS").map_or(60, |plans| plans.parse().expect("PLANS must be a number"))
}

/// The number of requests per second that an operator sends: few, so that the work lasts while the operators change.
fn rate() -> String {
    format!("--fic-requests-per-second={}", (number_of_plans() / 60).max(10))
}

/// How long a phase may take. A plan that moves with an open record waits for as long as a lease lasts.
fn limit() -> Duration {
    Duration::from_mins(4) + Duration::from_millis(200) * u32::try_from(number_of_plans()).unwrap()
}

/// The namespace and the tenant of each plan, by its name.
type Plans = BTreeMap<String, (String, String)>;

/// The operators that run, by the names of their Leases.
#[derive(Default)]
struct Shards(BTreeMap<&'static str, usize>);

impl Shards {
    /// Starts an operator with this scope, or changes the scope of the one that runs, as a rolling update does: the new one
    /// waits for the Lease of the former.
    async fn set(&mut self, env: &mut TestEnvironment, lease: &'static str, scope: &[String]) {
        let lease_flag = format!("--lease-name={lease}");
        let rate = rate();
        let flags = ["--leader-elect", &rate, &lease_flag];
        env.set_flags(&flags.into_iter().chain(scope.iter().map(String::as_str)).collect::<Vec<_>>());
        let index = env.start_operator().await;
        if let Some(former) = self.0.insert(lease, index) {
            assert!(!env.operators[index].log().contains(LEASE_ACQUIRED), "two operators lead with {lease}");
            env.operators[former].terminate();
        }
        env.wait_until("the operator to reconcile", || async { env.operators[index].log().contains(CACHES_SYNCED) })
            .await;
    }

    fn remove(&mut self, env: &mut TestEnvironment, lease: &str) {
        let index = self.0.remove(lease).expect("the operator runs");
        env.operators[index].terminate();
    }

    /// How many plans each operator reports as Contracted.
    async fn contracted(&self, env: &TestEnvironment) -> Vec<usize> {
        let mut counts = Vec::new();
        for index in self.0.values() {
            let address = env.operators[*index].http_address();
            let metrics = reqwest::get(format!("http://{address}/metrics")).await.unwrap().text().await.unwrap();
            let line = "fic_operator_plans{reason=\"Contracted\",progress=\"settled\"} ";
            counts.push(metrics.lines().find_map(|metric| metric.strip_prefix(line)?.parse().ok()).unwrap_or(0));
        }
        counts
    }
}

/// The scope of these values of the label.
fn labels(values: &[usize]) -> Vec<String> {
    let values = values.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    vec![format!("--label-selector=shard in ({values})")]
}

/// The scope of these namespaces.
fn namespaces(names: &[&String]) -> Vec<String> {
    names.iter().map(|name| format!("--watch-namespace={name}")).collect()
}

/// Moves plans from shard to shard, until it is dropped.
struct Mover {
    moves: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Mover {
    /// Moves a plan for each [`REQUESTS_PER_MOVE`] requests to FIC, so plans move at every moment of the work.
    fn start(env: &TestEnvironment, plans: &Plans) -> Self {
        let (requests, api, mut random) = (env.simulator.state(), env.plans(), fastrand::Rng::with_seed(7));
        let names = plans.keys().cloned().collect::<Vec<_>>();
        let moves = Arc::<AtomicUsize>::default();
        let counter = Arc::clone(&moves);
        let task = tokio::spawn(async move {
            let received = || requests.lock().log.entries().len();
            let before = received();
            loop {
                let due = (received() - before) / REQUESTS_PER_MOVE;
                while counter.load(Ordering::Relaxed) < due {
                    let shard = random.usize(..LABELS).to_string();
                    let labels = Patch::Merge(json!({ "metadata": { "labels": { "shard": shard } } }));
                    let name = &names[random.usize(..names.len())];
                    // The plan may be gone already.
                    let _ = api.patch(name, &PatchParams::default(), &labels).await;
                    counter.fetch_add(1, Ordering::Relaxed);
                }
                tokio::time::sleep(POLL_INTERVAL).await;
            }
        });
        Self { moves, task }
    }

    fn moves(&self) -> usize {
        self.moves.load(Ordering::Relaxed)
    }
}

impl Drop for Mover {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl TestEnvironment {
    /// An environment with leader election by several Leases.
    async fn with_leases(leases: &[&str]) -> Self {
        let env = Self::without_operator().await.with_leader_election();
        let names = json!([{ "op": "replace", "path": "/rules/0/resourceNames", "value": leases }]);
        env.kubectl(&["patch", "role", "fic-support-operator-leader", "--type=json", "--patch", &names.to_string()]);
        env
    }

    async fn apply_plan(&self, plans: &mut Plans, namespace: &str, labels: Value) {
        let (name, tenant) = (format!("plan-{}", plans.len()), new_tenant());
        self.apply_in(namespace, &name, &tenant, json!({})).await;
        let patch = json!({ "metadata": { "labels": labels } });
        self.plans_in(namespace).patch(&name, &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
        plans.insert(name, (namespace.to_owned(), tenant));
    }

    /// The plans in the namespaces of these.
    async fn list(&self, plans: &Plans) -> Vec<PremiumSupportPlan> {
        let all: Api<PremiumSupportPlan> = Api::all(self.client.clone());
        let listed = all.list(&ListParams::default()).await.unwrap().items;
        let is_one = |plan: &PremiumSupportPlan| {
            let (name, namespace) = (plan.metadata.name.as_ref(), plan.metadata.namespace.as_ref());
            name.and_then(|name| plans.get(name)).is_some_and(|(of_plan, _)| namespace == Some(of_plan))
        };
        listed.into_iter().filter(is_one).collect()
    }

    /// Waits until so many plans are Contracted.
    async fn until_contracted(&self, plans: &Plans, number: usize) {
        let is_contracted = |plan: &PremiumSupportPlan| has_reason(plan, "Contracted");
        self.until(plans, |listed| listed.iter().filter(|plan| is_contracted(plan)).count() >= number).await;
    }

    /// Waits until at most so many plans are left.
    async fn until_left(&self, plans: &Plans, number: usize) {
        self.until(plans, |listed| listed.len() <= number).await;
    }

    async fn until(&self, plans: &Plans, condition: impl Fn(&[PremiumSupportPlan]) -> bool) {
        let began = Instant::now();
        loop {
            let listed = self.list(plans).await;
            if condition(&listed) {
                return;
            }
            if began.elapsed() > limit() {
                let states = listed.iter().map(|plan| json!([plan.metadata, plan.status]).to_string());
                panic!("timed out\n{}\n{}", states.collect::<Vec<_>>().join("\n"), self.logs());
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    fn logs(&self) -> String {
        self.operators.iter().map(Operator::log).collect::<Vec<_>>().join("\n---\n")
    }

    fn delete_plans(&self, plans: &Plans) {
        let mut namespaces = plans.values().map(|(namespace, _)| namespace).collect::<Vec<_>>();
        namespaces.sort();
        namespaces.dedup();
        for namespace in namespaces {
            self.cluster.kubectl(&["delete", "psplan", "--all", "--wait=false", "--namespace", namespace]);
        }
    }

    /// Each tenant has had one create request and one contract, which was abolished once.
    fn assert_bought_and_abolished_once(&self, plans: &Plans) {
        for (name, (_, tenant)) in plans {
            let summary = self.simulator.summary(tenant);
            let counts = (summary.creates_sent, summary.creates_with_effect, summary.deletes_with_effect);
            assert_eq!((counts, &summary.contract), ((1, 1, 1), &None), "{name}");
        }
        self.assert_no_request_was_forbidden();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn shards_by_label_buy_and_abolish_once_while_operators_and_plans_move() {
    let (mut env, mut shards) = (TestEnvironment::with_leases(&["a", "b", "c"]).await, Shards::default());
    env.create_secret().await;
    let (mut plans, number) = (Plans::new(), number_of_plans());
    for index in 0..number {
        env.apply_plan(&mut plans, &env.namespace, json!({ "shard": (index % LABELS).to_string() })).await;
    }
    let (began, mover) = (Instant::now(), Mover::start(&env, &plans));

    shards.set(&mut env, "a", &labels(&[0, 1, 2])).await;
    shards.set(&mut env, "b", &labels(&[3, 4, 5])).await;
    env.until_contracted(&plans, number / 6).await;
    shards.set(&mut env, "a", &labels(&[0, 1])).await;
    shards.set(&mut env, "b", &labels(&[3, 4])).await;
    shards.set(&mut env, "c", &labels(&[2, 5])).await;
    env.until_contracted(&plans, number / 2).await;
    shards.set(&mut env, "c", &labels(&[2])).await;
    shards.set(&mut env, "a", &labels(&[0, 1, 5])).await;
    env.until_contracted(&plans, number).await;
    println!("{number} plans Ready in three shards after {} moves, {:?}", mover.moves(), began.elapsed());
    env.wait_until("each plan to belong to one shard", || async {
        shards.contracted(&env).await.iter().sum::<usize>() == number
    })
    .await;

    drop(mover);
    let (began, mover) = (Instant::now(), Mover::start(&env, &plans));
    env.delete_plans(&plans);
    env.until_left(&plans, number * 5 / 6).await;
    shards.remove(&mut env, "c");
    shards.set(&mut env, "b", &labels(&[2, 3, 4])).await;
    env.until_left(&plans, 0).await;
    println!("{number} plans gone after {} moves, {:?}", mover.moves(), began.elapsed());
    env.assert_bought_and_abolished_once(&plans);
}

#[tokio::test(flavor = "multi_thread")]
async fn shards_by_namespace_buy_and_abolish_once_while_operators_move() {
    let (mut env, mut shards) = (TestEnvironment::with_leases(&["a", "b", "c"]).await, Shards::default());
    let names = ["x", "y", "z"].map(|name| format!("{}-{name}", env.namespace));
    let [x, y, z] = &names;
    for name in &names {
        env.create_namespace(name).await;
        env.create_secret_in(name).await;
    }
    let (mut plans, number) = (Plans::new(), number_of_plans());
    for index in 0..number {
        env.apply_plan(&mut plans, &names[index % names.len()], json!({})).await;
    }
    let began = Instant::now();

    shards.set(&mut env, "a", &namespaces(&[x, y, z])).await;
    env.until_contracted(&plans, number / 6).await;
    shards.set(&mut env, "a", &namespaces(&[x])).await;
    shards.set(&mut env, "b", &namespaces(&[y])).await;
    shards.set(&mut env, "c", &namespaces(&[z])).await;
    env.until_contracted(&plans, number / 2).await;
    shards.remove(&mut env, "c");
    shards.set(&mut env, "b", &namespaces(&[y, z])).await;
    env.until_contracted(&plans, number).await;
    println!("{number} plans Ready in shards by namespace, {:?}", began.elapsed());
    env.wait_until("each plan to belong to one shard", || async {
        shards.contracted(&env).await.iter().sum::<usize>() == number
    })
    .await;

    let began = Instant::now();
    env.delete_plans(&plans);
    env.until_left(&plans, number * 5 / 6).await;
    shards.set(&mut env, "b", &namespaces(&[y])).await;
    shards.set(&mut env, "c", &namespaces(&[z])).await;
    env.until_left(&plans, 0).await;
    println!("{number} plans gone in shards by namespace, {:?}", began.elapsed());
    env.assert_bought_and_abolished_once(&plans);
}
