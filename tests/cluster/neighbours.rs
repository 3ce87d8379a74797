//! A namespace that is filled with as much as the API server takes, or with plans for the tenant of another namespace, does not
//! affect a plan of another namespace.

use std::pin::pin;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use fic_simulator::log::Call;
use fic_support_operator::api::plan::PremiumSupportPlan;
use futures::StreamExt;
use futures::stream::iter;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::runtime::watcher::watch_object;
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use crate::support::environment::SECRET_TYPE;
use crate::support::operator::Operator;
use crate::support::plan::{has_reason, manifest, spec};
use crate::support::texts::log::CACHES_SYNCED;
use crate::support::{TestEnvironment, new_tenant};

/// The neighbour.
const NEIGHBOUR: &str = "neighbour";
/// Secrets with almost 1 MiB of keys that the operator does not read.
const LARGE_SECRETS: usize = 60;
/// Secrets whose API key has almost 1 MiB.
const LARGE_KEYS: usize = 10;
/// Plans with an annotation as large as the API server takes, each for its own tenant.
const LARGE_PLANS: usize = 300;
/// Plans for the tenant of a good plan.
const PLANS_FOR_ITS_TENANT: usize = 300;
/// Plans of one tenant that are created and deleted, and how many of them at a time.
const PLANS_OF_ONE_TENANT: usize = 5000;
const AT_A_TIME: usize = 1000;
/// How many requests of the test are in flight at once.
const IN_FLIGHT: usize = 16;
/// How many requests to the API server, and deliveries by a watch, follow each other for a good plan: the test applies it,
/// a watch delivers it, the operator opens the record, lists the plans of the tenant in each of two namespaces, writes the
/// status and an Event, writes both again, and a watch delivers that.
const CHANGES_OF_A_PLAN: u32 = 10;
/// What the operator itself may add to that: it shares two CPUs with the API server and the test.
const OWN_TIME: Duration = Duration::from_secs(5);
/// What the operator may use, in KiB: 64 MiB, of which the code of the release binary is less than 16 MiB. Tests run a debug
/// binary, whose code alone is about 27 MiB.
const MEMORY_LIMIT: usize = (64 - 16) * 1024;

/// A namespace that takes as much as it can get.
struct Neighbour<'a> {
    env: &'a TestEnvironment,
    tenant: String,
}

impl Neighbour<'_> {
    fn plans(&self) -> Api<PremiumSupportPlan> {
        self.env.plans_in(NEIGHBOUR)
    }

    async fn create_plans(&self, plans: impl Iterator<Item = Value>) {
        let api = self.plans();
        let create = |plan: Value| {
            let api = api.clone();
            async move { api.create(&PostParams::default(), &serde_json::from_value(plan).unwrap()).await.unwrap() }
        };
        iter(plans.map(create)).buffer_unordered(IN_FLIGHT).for_each(|_| std::future::ready(())).await;
    }

    async fn create_secrets(&self) {
        let api: Api<Secret> = Api::namespaced(self.env.client.clone(), NEIGHBOUR);
        let secret = |number: usize| {
            let large = "x".repeat(1024 * 1024 - 100);
            let (name, data) = if number < LARGE_SECRETS {
                (format!("large-{number}"), json!({ "apiKey": "key", "apiSecret": "secret", "other": large }))
            } else {
                (format!("large-key-{number}"), json!({ "apiKey": large, "apiSecret": "secret" }))
            };
            let secret = json!({ "metadata": { "name": name }, "type": SECRET_TYPE, "stringData": data });
            let api = api.clone();
            async move { api.create(&PostParams::default(), &serde_json::from_value(secret).unwrap()).await.unwrap() }
        };
        let secrets = iter((0..LARGE_SECRETS + LARGE_KEYS).map(secret));
        secrets.buffer_unordered(4).for_each(|_| std::future::ready(())).await;
    }

    async fn create_large_plans(&self) {
        let annotation = "x".repeat(256 * 1024 - 100);
        let plan = |number: usize| {
            let mut plan = manifest(&format!("large-{number}"), &spec(&new_tenant(), &json!({})));
            plan["metadata"]["annotations"] = json!({ "note": annotation });
            plan["spec"]["credentialsSecretRef"]["name"] = json!(format!("large-{}", number % LARGE_SECRETS));
            plan
        };
        self.create_plans((0..LARGE_PLANS).map(plan)).await;
    }

    /// Creates and deletes plans of one tenant until there were [`PLANS_OF_ONE_TENANT`].
    async fn create_and_delete_plans_of_one_tenant(&self) {
        for _ in 0..PLANS_OF_ONE_TENANT / AT_A_TIME {
            let number = |number: usize| {
                let mut plan = manifest(&format!("same-{number}"), &spec(&self.tenant, &json!({})));
                plan["metadata"]["labels"] = json!({ "tenant": "same" });
                plan
            };
            self.create_plans((0..AT_A_TIME).map(number)).await;
            let all = ListParams::default().labels("tenant=same");
            // The API server ends a request that takes it longer than a minute. What it has deleted until then is deleted, so
            // the next request has less to do.
            let mut requests = 1;
            while let Err(error) = self.plans().delete_collection(&DeleteParams::default(), &all).await {
                requests += 1;
                assert!(requests < 10, "the plans of one tenant are not deleted: {error}");
            }
            self.env
                .wait_until("the plans of one tenant to be deleted", || async {
                    self.plans().list_metadata(&all).await.is_ok_and(|plans| plans.items.is_empty())
                })
                .await;
        }
    }

    /// How many of the large plans are Contracted.
    async fn contracted(&self) -> usize {
        let (mut count, mut page) = (0, ListParams::default().limit(50));
        loop {
            let plans = self.plans().list(&page).await.unwrap();
            count += plans.items.iter().filter(|plan| has_reason(plan, "Contracted")).count();
            match plans.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => page = page.continue_token(&token),
                None => return count,
            }
        }
    }
}

/// How long the API server takes for another client: from the begin of a change of a plan until a watch delivers it.
#[derive(Default)]
struct BareClient(Mutex<Changes>);

#[derive(Default)]
struct Changes {
    /// When each change ended, and how long it took.
    ended: Vec<(Instant, Duration)>,
    /// When the change in progress began.
    began: Option<Instant>,
}

impl BareClient {
    async fn run(&self, env: &TestEnvironment) {
        let name = "bare-client";
        env.apply_in(&env.namespace, name, &new_tenant(), json!({ "suspend": true })).await;
        let mut changes = pin!(watch_object(env.plans(), name));
        let mut pause = tokio::time::interval(Duration::from_millis(50));
        for number in 0.. {
            pause.tick().await;
            let began = Instant::now();
            self.0.lock().unwrap().began = Some(began);
            let value = number.to_string();
            env.patch_plan(name, json!({ "metadata": { "annotations": { "number": value } } })).await;
            while let Some(plan) = changes.next().await {
                // A watch that ends with an error begins again.
                if plan.ok().flatten().is_some_and(|plan| plan.annotations().get("number") == Some(&value)) {
                    break;
                }
            }
            let mut changes = self.0.lock().unwrap();
            changes.ended.push((Instant::now(), began.elapsed()));
            changes.began = None;
        }
    }

    /// The slowest change that ended since then, or that is in progress.
    fn slowest_since(&self, time: Instant) -> Duration {
        let changes = self.0.lock().unwrap();
        let ended = changes.ended.iter().rev().take_while(|(ended, _)| *ended >= time).map(|(_, took)| *took);
        ended.chain(changes.began.map(|began| began.elapsed())).max().unwrap_or_default()
    }
}

/// A good plan that became Ready beside the neighbour.
struct Good {
    took: Duration,
    /// The slowest change of a bare client meanwhile.
    bare: Duration,
}

/// Applies a plan of the test's own namespace, and returns how long it took to become Ready.
async fn time_to_ready(env: &TestEnvironment, name: &str) -> Duration {
    time_to_ready_with(env, name, &new_tenant()).await
}

async fn time_to_ready_with(env: &TestEnvironment, name: &str, tenant: &str) -> Duration {
    let began = Instant::now();
    env.apply_in(&env.namespace, name, tenant, json!({})).await;
    env.wait_for_reason(name, "Contracted").await;
    let took = began.elapsed();
    let summary = env.simulator.summary(tenant);
    assert_eq!((summary.creates_sent, summary.deletes_sent), (1, 0), "{name}");
    took
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// The largest resident memory of the operator so far, without its code, in KiB.
fn peak_memory(operator: &Operator) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", operator.id())).unwrap();
    let value = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().trim_end_matches(" kB").parse::<usize>().unwrap()
    };
    value("VmHWM:") - value("RssFile:")
}

/// Who holds the lease, and how often it changed hands.
async fn lease(env: &TestEnvironment) -> (Option<String>, Option<i32>) {
    let leases: Api<Lease> = Api::namespaced(env.client.clone(), &env.namespace);
    let spec = leases.get("fic-support-operator").await.unwrap().spec.unwrap();
    (spec.holder_identity, spec.lease_transitions)
}

#[tokio::test(flavor = "multi_thread")]
async fn filled_namespace_costs_little_memory_and_stops_no_plan_of_another_one() {
    let mut env = TestEnvironment::without_operator_on_own_control_plane().await.with_leader_election();
    env = env.with_flags(&[&format!("--watch-namespace={NEIGHBOUR}"), "--resync-interval=10m"]);
    env.create_namespace(NEIGHBOUR).await;
    env.create_secret_in(NEIGHBOUR).await;
    env.create_secret().await;
    env.start_operator().await;
    let mut alone = Vec::new();
    for number in 0..5 {
        alone.push(time_to_ready(&env, &format!("alone-{number}")).await);
    }
    let alone = median(alone);
    println!("5 good plans Ready {alone:?} (median) without neighbours, {} KiB", peak_memory(&env.operators[0]));
    let leader = lease(&env).await;

    let neighbour = Neighbour { env: &env, tenant: new_tenant() };
    env.apply_in(NEIGHBOUR, "holder", &neighbour.tenant, json!({})).await;
    let began = Instant::now();
    let fill = async {
        neighbour.create_secrets().await;
        neighbour.create_large_plans().await;
        neighbour.create_and_delete_plans_of_one_tenant().await;
    };
    let bare_client = BareClient::default();
    let mut beside = Vec::new();
    let good = async {
        for number in 0.. {
            let began = Instant::now();
            let took = time_to_ready(&env, &format!("beside-{number}")).await;
            beside.push(Good { took, bare: bare_client.slowest_since(began) });
        }
    };
    tokio::select! {
        () = fill => {}
        () = good => {}
        () = bare_client.run(&env) => {}
    }
    let filled_for = began.elapsed();
    env.wait_until("the large plans to be Contracted", || async { neighbour.contracted().await > LARGE_PLANS }).await;
    assert_eq!(lease(&env).await, leader, "the operator lost its lead");
    let while_filled = peak_memory(&env.operators[0]);
    let usual = median(beside.iter().map(|plan| plan.took).collect());
    println!(
        "{} good plans Ready {usual:?} (median) beside a namespace that is filled for {filled_for:?}: {:.1} times as long as \
         alone; {while_filled} KiB",
        beside.len(),
        usual.as_secs_f64() / alone.as_secs_f64()
    );
    let excess = |plan: &Good| plan.took.saturating_sub(alone + plan.bare * CHANGES_OF_A_PLAN + OWN_TIME);
    let slowest = beside.iter().max_by_key(|plan| (excess(plan), plan.took));
    let slowest = slowest.expect("good plans became Ready while the namespace was filled");
    println!("slowest good plan Ready {:?} while a change by another client took {:?}", slowest.took, slowest.bare);

    // A new operator lists everything.
    env.operator().terminate();
    env.start_operator_until(&[CACHES_SYNCED]).await;
    let took = time_to_ready(&env, "after-restart").await;
    let after_restart = peak_memory(&env.operators[1]);
    println!("1 good plan Ready {took:?} after a restart beside the filled namespace; {after_restart} KiB");
    for used in [while_filled, after_restart] {
        assert!(used < MEMORY_LIMIT, "the operator has used {used} KiB apart from its code");
    }
    assert_eq!(
        excess(slowest),
        Duration::ZERO,
        "a good plan took {:?}, longer than alone ({alone:?}), {CHANGES_OF_A_PLAN} changes of {:?} and {OWN_TIME:?}",
        slowest.took,
        slowest.bare
    );
    assert_eq!(env.count(Call::Delete), 0);
    env.assert_no_request_was_forbidden();
}

/// The plans of the neighbour have no Secret, so each reports that. One plan of a tenant is reconciled at a time.
#[tokio::test(flavor = "multi_thread")]
async fn plans_for_the_tenant_of_another_namespace_stop_no_plan_of_that_one() {
    let mut env = TestEnvironment::without_operator_on_own_control_plane().await;
    env = env.with_flags(&[&format!("--watch-namespace={NEIGHBOUR}"), "--resync-interval=10m"]);
    env.create_namespace(NEIGHBOUR).await;
    env.create_secret().await;
    env.start_operator().await;
    let alone = time_to_ready(&env, "alone").await;

    let neighbour = Neighbour { env: &env, tenant: new_tenant() };
    let plan = |number: usize| manifest(&format!("same-{number}"), &spec(&neighbour.tenant, &json!({})));
    neighbour.create_plans((0..PLANS_FOR_ITS_TENANT).map(plan)).await;
    let reported = async || {
        let plans = neighbour.plans().list(&ListParams::default()).await.unwrap().items;
        plans.iter().filter(|plan| plan.reported_reason().is_some()).count()
    };
    let took = time_to_ready_with(&env, "good", &neighbour.tenant).await;
    let count = reported().await;
    println!(
        "a good plan Ready {took:?} when {count} of {PLANS_FOR_ITS_TENANT} plans of a neighbour have reported; alone {alone:?}"
    );
    assert!(count < PLANS_FOR_ITS_TENANT / 2, "the good plan has waited for plans of the neighbour");
    env.wait_until("the plans of the neighbour to report", || async { reported().await == PLANS_FOR_ITS_TENANT }).await;
    env.assert_no_request_was_forbidden();
}
