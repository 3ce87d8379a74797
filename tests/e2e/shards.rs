//! Several operators divide the plans by label, and a plan moves from one to another.

use fic_simulator::faults::{Fault, Kind};
use fic_simulator::log::{Call, Entry};
use serde_json::json;

use crate::support::texts::log::{LEASE_ACQUIRED, WAITING_FOR_LEASE};
use crate::support::{TestEnvironment, new_tenant};

/// An operator for shard a and one for shard b, each with a Lease of its own.
async fn two_shards() -> TestEnvironment {
    let mut env = TestEnvironment::without_operator().await.with_leader_election();
    let names = json!([{ "op": "replace", "path": "/rules/0/resourceNames", "value": ["shard-a", "shard-b"] }]);
    env.kubectl(&["patch", "role", "fic-support-operator-leader", "--type=json", "--patch", &names.to_string()]);
    env.create_secret().await;
    for shard in ["a", "b"] {
        let (selector, lease) = (format!("--label-selector=shard={shard}"), format!("--lease-name=shard-{shard}"));
        env.set_flags(&["--leader-elect", &selector, &lease]);
        env.start_operator().await;
    }
    env
}

impl TestEnvironment {
    async fn apply_to_shard(&self, name: &str, tenant: &str, shard: &str) {
        self.apply_in(&self.namespace, name, tenant, json!({})).await;
        self.label(name, "shard", shard).await;
    }

    async fn wait_for_create(&self, tenant: &str) {
        let is_create = |entry: &Entry| entry.call == Call::Create && entry.tenant.as_deref() == Some(tenant);
        self.wait_for_requests("the create request", |log| log.iter().any(is_create)).await;
    }

    /// How many plans an operator reports as Contracted.
    async fn contracted_of(&self, operator: usize) -> Option<String> {
        let address = self.operators[operator].http_address();
        let metrics = reqwest::get(format!("http://{address}/metrics")).await.unwrap().text().await.unwrap();
        let line = "fic_operator_plans{reason=\"Contracted\",progress=\"settled\"} ";
        metrics.lines().find_map(|metric| metric.strip_prefix(line)).map(str::to_owned)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn plan_that_moves_to_another_shard_during_its_purchase_is_bought_and_abolished_once() {
    let env = two_shards().await;
    let hang = |ms, effect_first| Some(Kind::Hang { ms, effect_first });
    let plans = [
        ("in-flight", hang(Some(1500), false), &["b"][..]),
        ("slow-answer", hang(Some(1500), true), &["b"]),
        ("no-answer", hang(None, true), &["b"]),
        ("lost-answer", Some(Kind::DropAfter), &["b"]),
        ("processing", None, &["b"]),
        ("there-and-back", hang(Some(1500), false), &["b", "a"]),
    ]
    .map(|(name, fault, shards)| (name, new_tenant(), fault, shards));
    env.simulator.set(|settings| settings.processing_ms = 2000);
    for (name, tenant, fault, shards) in &plans {
        if let Some(kind) = fault {
            env.simulator.fault(Fault::once(Call::Create, tenant, kind.clone()));
        }
        env.apply_to_shard(name, tenant, "a").await;
        env.wait_for_create(tenant).await;
        for shard in *shards {
            env.label(name, "shard", shard).await;
        }
    }
    for (name, ..) in &plans {
        env.wait_for_reason(name, "Contracted").await;
    }
    let contracted = async || (env.contracted_of(0).await, env.contracted_of(1).await);
    env.wait_until("each plan to belong to one shard", || async {
        contracted().await == (Some("1".into()), Some("5".into()))
    })
    .await;
    // They move while their contracts are abolished, too.
    env.kubectl(&["delete", "psplan", "--all", "--wait=false"]);
    env.wait_for_requests("a delete request for each plan", |log| {
        log.iter().filter(|entry| entry.call == Call::Delete).count() >= plans.len()
    })
    .await;
    for (name, ..) in &plans {
        // The plan may be gone already.
        let label = ["label", "psplan", name, "shard=a", "--overwrite"];
        let _ = env.cluster.control_plane.kubectl().args(["--namespace", &env.namespace]).args(label).output();
    }
    for (name, tenant, ..) in &plans {
        env.wait_for_deletion(name).await;
        let summary = env.simulator.summary(tenant);
        let requests = (summary.creates_sent, summary.creates_with_effect, summary.deletes_with_effect);
        assert_eq!((requests, summary.contract), ((1, 1, 1), None), "{name}");
    }
    env.wait_for_secret_finalizer(false).await;
}

/// While a change of the scope rolls out, replicas with the old and the new scope run at the same time.
#[tokio::test(flavor = "multi_thread")]
async fn replicas_with_the_old_and_the_new_scope_have_one_leader() {
    let mut env = TestEnvironment::without_operator().await.with_leader_election();
    env.create_secret().await;
    let other = format!("{}-2", env.namespace);
    env.create_namespace(&other).await;
    env.create_secret_in(&other).await;
    let watch = format!("--watch-namespace={other}");
    env.set_flags(&["--leader-elect", "--label-selector=shard=a"]);
    env.start_operator().await;
    env.set_flags(&["--leader-elect", "--label-selector=shard in (a, b)", &watch]);
    env.start_operator_until(&[WAITING_FOR_LEASE]).await;

    let tenants = [new_tenant(), new_tenant()];
    env.apply_to_shard("old", &tenants[0], "a").await;
    env.apply_to_shard("new", &tenants[1], "b").await;
    env.wait_for_reason("old", "Contracted").await;
    assert_eq!(env.simulator.summary(&tenants[1]).creates_sent, 0, "no leader has this plan in its scope");
    assert!(!env.operators[1].log().contains(LEASE_ACQUIRED), "{}", env.operators[1].log());
    env.operators[0].terminate();
    env.wait_for_reason("new", "Contracted").await;
    env.delete("old").await;
    env.wait_for_deletion("old").await;
    for (tenant, deletes) in tenants.iter().zip([1, 0]) {
        let summary = env.simulator.summary(tenant);
        assert_eq!((summary.creates_sent, summary.deletes_sent), (1, deletes));
    }
}
