//! What happens to a cluster as a whole, on a control plane that nobody else uses: the definition goes or changes, operators are killed and
//! frozen, the API server goes away.

#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    clippy::manual_assert,
    clippy::match_wild_err_arm,
    unreachable_pub,
    dead_code,
    missing_docs,
    reason = "a test ends at the first thing that is not as it should be; the stage is shared with tests that use more of it"
)]

#[path = "../e2e/environment.rs"]
mod environment;

use std::collections::BTreeMap;
use std::process::Command;
use std::time::{Duration, Instant};

use control_plane::supervisor::Order;
use fic_simulator::faults::{Fault, Kind};
use fic_simulator::log::{Call, Entry};
use kube::api::ListParams;
use serde_json::json;

use crate::environment::{Stage, control_plane, new_tenant, ready};

const MANY: usize = 50;
/// An operator that is killed less often was killed between two jobs, not in the middle of one.
const FEWEST_KILLS: usize = 3;

/// Applies many plans, each of a tenant of its own; gives the tenants.
async fn apply_many(stage: &mut Stage) -> BTreeMap<String, String> {
    let mut tenants = BTreeMap::new();
    for number in 0..MANY {
        stage.tenant = new_tenant();
        let name = format!("plan-{number}");
        stage.apply(&name, json!({})).await;
        tenants.insert(name, stage.tenant.clone());
    }
    tenants
}

async fn how_many_are(stage: &Stage, reason: &str) -> usize {
    // While the API server is away nothing is known.
    let plans = stage.plans().list(&ListParams::default()).await.map(|plans| plans.items).unwrap_or_default();
    plans.iter().filter(|plan| ready(plan).is_some_and(|ready| ready.reason == reason)).count()
}

async fn are_ready(stage: &Stage) {
    stage.wait("all to be Contracted", || async { how_many_are(stage, "Contracted").await == MANY }).await;
}

async fn are_gone(stage: &Stage) {
    stage
        .wait("all to be gone", || async {
            stage.plans().list(&ListParams::default()).await.is_ok_and(|plans| plans.items.is_empty())
        })
        .await;
}

/// Each tenant was bought for and abolished exactly once, and nothing is left.
async fn one_of_each(stage: &Stage, tenants: &BTreeMap<String, String>) {
    for tenant in tenants.values() {
        let summary = stage.simulator.summary(tenant);
        let counts =
            (summary.creates_sent, summary.creates_with_effect, summary.deletes_sent, summary.deletes_with_effect);
        let calls =
            stage.simulator.log().into_iter().filter(|entry| entry.tenant.as_ref() == Some(tenant)).collect::<Vec<_>>();
        assert_eq!(counts, (1, 1, 1, 1), "{tenant}: {calls:#?}");
        assert_eq!(summary.contract, None, "{tenant} is left behind");
    }
    stage.secret_is_protected(false).await;
}

/// The user deletes every plan; each contract goes, and nothing was done twice or without the right to.
async fn all_leave(stage: &Stage, tenants: &BTreeMap<String, String>) {
    stage.kubectl_prints(&["delete", "psplan", "--all", "--wait=false"]);
    are_gone(stage).await;
    one_of_each(stage, tenants).await;
    stage.was_never_forbidden();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_killed_again_and_again_buys_and_abolishes_each_once() {
    let mut stage = Stage::empty().await;
    stage.create_secret().await;
    let tenants = apply_many(&mut stage).await;
    stage.start_operator().await;
    let began = Instant::now();
    let mut kills = 0;
    // Killed after ever more calls: at first among the first steps of all, at last among the last.
    while how_many_are(&stage, "Contracted").await < MANY {
        kills += 1;
        kill_after_some_calls(&mut stage, 20 * kills).await;
    }
    println!("{MANY} plans Ready after {kills} kills, {:?}", began.elapsed());
    assert!(kills >= FEWEST_KILLS);
    stage.kubectl_prints(&["delete", "psplan", "--all", "--wait=false"]);
    let (began, mut kills) = (Instant::now(), 0);
    while !stage.plans().list(&ListParams::default()).await.unwrap().items.is_empty() {
        kills += 1;
        kill_after_some_calls(&mut stage, 20 * kills).await;
    }
    println!("{MANY} plans gone after {kills} kills, {:?}", began.elapsed());
    assert!(kills >= FEWEST_KILLS);
    one_of_each(&stage, &tenants).await;
    stage.was_never_forbidden();
}

async fn kill_after_some_calls(stage: &mut Stage, calls: usize) {
    let before = stage.simulator.log().len();
    let deadline = Instant::now() + Duration::from_secs(2);
    while stage.simulator.log().len() < before + calls && Instant::now() < deadline {
        tokio::task::yield_now().await;
    }
    stage.operator().kill();
    stage.start_operator().await;
}

/// FIC hangs, drips, and answers nonsense for a third of the tenants: the others do not notice, and the third goes on once it is over.
#[tokio::test(flavor = "multi_thread")]
async fn bad_tenants_hold_up_no_good_ones() {
    let mut stage = Stage::empty().await.with_flags(&["--request-timeout=1s"]);
    stage.create_secret().await;
    let tenants = apply_many(&mut stage).await;
    let bad = tenants.values().take(MANY / 3).collect::<Vec<_>>();
    let hang = Kind::Hang { ms: None, effect_first: false };
    for (number, tenant) in bad.iter().enumerate() {
        let kinds = [hang.clone(), Kind::SlowDrip { interval_ms: 300 }, Kind::Garbage, Kind::Huge { mib: 2 }];
        stage.simulator.fault(Fault::on_tenant(tenant, kinds[number % kinds.len()].clone()));
    }
    stage.start_operator().await;
    let began = Instant::now();
    let good = MANY - bad.len();
    stage.wait("the good ones to be Contracted", || async { how_many_are(&stage, "Contracted").await == good }).await;
    println!("{good} good plans Ready beside {} bad ones, {:?}", bad.len(), began.elapsed());
    for tenant in &bad {
        assert_eq!(
            stage.simulator.summary(tenant).creates_with_effect,
            0,
            "nothing is bought on a word that is no answer"
        );
    }
    stage.simulator.clear_faults();
    let began = Instant::now();
    are_ready(&stage).await;
    println!("{MANY} plans Ready {:?} after FIC was well again", began.elapsed());
    all_leave(&stage, &tenants).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_are_rotated_and_tokens_revoked_while_they_are_in_use() {
    let mut stage = Stage::new().await;
    let tenants = apply_many(&mut stage).await;
    stage.wait("some to be bought", || async { how_many_are(&stage, "Contracted").await > MANY / 5 }).await;
    // The new pair first, as one would: the old one goes, and every token with it, when the Secret has the new one.
    stage.rotate_secret("rotated-key", "rotated-secret").await;
    stage.simulator.account("key", None);
    stage.simulator.revoke_tokens(None);
    let began = Instant::now();
    are_ready(&stage).await;
    println!("{MANY} plans Ready {:?} after the credentials were rotated", began.elapsed());
    stage.kubectl_prints(&["delete", "psplan", "--all", "--wait=false"]);
    stage.simulator.revoke_tokens(None);
    are_gone(&stage).await;
    one_of_each(&stage, &tenants).await;
    stage.was_never_forbidden();
}

#[tokio::test(flavor = "multi_thread")]
async fn etcd_and_the_api_server_may_go_away_meanwhile() {
    let mut stage = Stage::new().await;
    let tenants = apply_many(&mut stage).await;
    let outage = |stop: Order, start: Order| {
        tokio::task::spawn_blocking(move || {
            control_plane().order(stop).unwrap();
            control_plane().order(start).unwrap();
        })
    };
    assert!(how_many_are(&stage, "Contracted").await < MANY, "it is in the middle of it");
    // Later on it may be: an API server that has just begun refuses everybody until it has read its own rules.
    stage.was_never_forbidden();
    outage(Order::StopApiServer, Order::StartApiServer).await.unwrap();
    let began = Instant::now();
    are_ready(&stage).await;
    println!("{MANY} plans Ready {:?} after the API server was back", began.elapsed());
    stage.kubectl_prints(&["delete", "psplan", "--all", "--wait=false"]);
    outage(Order::StopEtcd, Order::StartEtcd).await.unwrap();
    let began = Instant::now();
    are_gone(&stage).await;
    println!("{MANY} plans gone {:?} after etcd was back", began.elapsed());
    one_of_each(&stage, &tenants).await;
}

/// Two replicas, and what the one that leads is at when it is frozen, for longer than its lease.
struct Freeze {
    stage: Stage,
    leader: usize,
}

impl Freeze {
    async fn begin() -> Self {
        let mut stage = Stage::empty().await.with_flags(&["--leader-elect", "--request-timeout=60s"]);
        stage.create_secret().await;
        let leader = stage.start_operator().await;
        Self { stage, leader }
    }

    /// The so many-eth of these calls of the tenant gets no answer for a second; meanwhile its sender is frozen.
    async fn at(&mut self, call: Call, nth: usize) {
        let is_there = |log: &[Entry]| log.iter().filter(|entry| entry.call == call).count() >= nth;
        self.stage.sees("the call that hangs", is_there).await;
        self.stage.signal(self.leader, "STOP");
        self.stage.start_operator().await;
    }

    fn hang(&self, call: Call, skip: u32) {
        let kind = Kind::Hang { ms: Some(1000), effect_first: true };
        self.stage.simulator.fault(Fault { skip, ..Fault::once(call, &self.stage.tenant, kind) });
    }

    /// The token is refused once: what comes after the next sign-in is the same call again.
    fn refuse_token(&self, call: Call) {
        let kind = Kind::Status { code: 401, body: None, retry_after: None };
        self.stage.simulator.fault(Fault::once(call, &self.stage.tenant, kind));
    }

    /// It goes on when the other replica has long bought and abolished, and sends nothing. Then another plan is bought and abolished.
    async fn end(mut self, creates: usize, deletes: usize) {
        let stage = &mut self.stage;
        stage.is_gone("premium").await;
        stage.signal(self.leader, "CONT");
        let says = |words: &'static str| {
            let log = stage.log(self.leader);
            async move { log.contains(words) }
        };
        stage.wait("the frozen leader to notice", || says("the lead")).await;
        stage.wait("the frozen leader to stand by", || says("standing by")).await;
        stage.apply("premium", json!({})).await;
        stage.reaches("premium", "Contracted").await;
        stage.delete("premium").await;
        stage.is_gone("premium").await;
        let summary = stage.simulator.summary(&stage.tenant);
        assert_eq!((summary.creates_sent, summary.deletes_sent), (creates, deletes));
        assert_eq!((summary.creates_with_effect, summary.deletes_with_effect), (2, 2), "one for each of the two plans");
    }
}

async fn a_leader_is_frozen_at(call: Call) -> Freeze {
    let mut freeze = Freeze::begin().await;
    freeze.hang(call, 0);
    freeze.stage.apply("premium", json!({})).await;
    freeze.at(call, 1).await;
    freeze
}

/// The other replica goes on where the frozen one was.
async fn the_other_replica_buys_and_abolishes(stage: &Stage) {
    let began = Instant::now();
    stage.reaches("premium", "Contracted").await;
    println!("the other replica had it Ready {:?} after the leader froze", began.elapsed());
    stage.delete("premium").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_frozen_right_before_a_purchase_sends_nothing_when_it_wakes() {
    let freeze = a_leader_is_frozen_at(Call::List).await;
    the_other_replica_buys_and_abolishes(&freeze.stage).await;
    freeze.end(2, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_frozen_in_the_middle_of_a_purchase_buys_nothing_more_when_it_wakes() {
    let freeze = a_leader_is_frozen_at(Call::Create).await;
    the_other_replica_buys_and_abolishes(&freeze.stage).await;
    freeze.end(2, 2).await;
}

/// All that is left for it to do is to send the create.
#[tokio::test(flavor = "multi_thread")]
async fn a_leader_frozen_with_the_create_in_hand_does_not_send_it_when_it_wakes() {
    let mut freeze = Freeze::begin().await;
    freeze.refuse_token(Call::Create);
    freeze.hang(Call::SignIn, 1);
    freeze.stage.apply("premium", json!({})).await;
    freeze.at(Call::SignIn, 2).await;
    the_other_replica_buys_and_abolishes(&freeze.stage).await;
    // The first was refused for its token.
    freeze.end(3, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_frozen_with_the_delete_in_hand_does_not_send_it_when_it_wakes() {
    let mut freeze = Freeze::begin().await;
    freeze.stage.apply("premium", json!({})).await;
    freeze.stage.reaches("premium", "Contracted").await;
    freeze.refuse_token(Call::Delete);
    freeze.hang(Call::SignIn, 0);
    freeze.stage.delete("premium").await;
    freeze.at(Call::SignIn, 2).await;
    freeze.end(2, 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_killed_while_it_buys_is_followed_by_the_other_replica() {
    let mut stage = Stage::empty().await.with_flags(&["--leader-elect"]);
    stage.create_secret().await;
    let tenants = apply_many(&mut stage).await;
    stage.start_operator().await;
    stage.sees("the first purchases", |log| log.iter().any(|entry| entry.call == Call::Create)).await;
    stage.operator().kill();
    assert!(how_many_are(&stage, "Contracted").await < MANY, "it was killed in the middle");
    stage.start_operator().await;
    let began = Instant::now();
    are_ready(&stage).await;
    println!("{MANY} plans Ready {:?} after their leader was killed", began.elapsed());
    all_leave(&stage, &tenants).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_deleted_while_the_operator_is_down_takes_its_contracts_with_it() {
    let mut stage = Stage::new().await;
    stage.apply("premium", json!({})).await;
    stage.reaches("premium", "Contracted").await;
    stage.operator().kill();
    stage.kubectl_prints(&["delete", "namespace", &stage.namespace, "--wait=false"]);
    stage
        .wait("the namespace to be going", || async {
            stage.plans().get("premium").await.is_ok_and(|plan| plan.metadata.deletion_timestamp.is_some())
        })
        .await;
    stage.start_operator().await;
    stage.is_gone("premium").await;
    assert_eq!(stage.simulator.contract(&stage.tenant), None);
    stage.kubectl_prints(&["wait", "--for=delete", &format!("namespace/{}", stage.namespace), "--timeout=60s"]);
}

/// The two that change the definition itself come last, one after the other: every other test needs it as it is.
#[tokio::test(flavor = "multi_thread")]
async fn zz_the_definition_may_change_and_go() {
    let mut stage = Stage::new().await;
    an_object_that_cannot_be_decoded_does_not_stop_the_watch(&mut stage).await;
    deleting_the_definition_retains_every_contract(&mut stage).await;
}

async fn an_object_that_cannot_be_decoded_does_not_stop_the_watch(stage: &mut Stage) {
    // A newer version of the definition knows another menu.
    let schema = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/menu/enum";
    let patch = json!([{ "op": "replace", "path": schema, "value": ["PremiumPlan", "GoldPlan"] }]).to_string();
    let crd = "crd/premiumsupportplans.fic.ntt.com";
    stage.kubectl_prints(&["patch", crd, "--type=json", "--patch", &patch]);
    stage
        .wait("the newer definition to be served", || {
            let manifest = json!({
                "apiVersion": "fic.ntt.com/v1alpha1",
                "kind": "PremiumSupportPlan",
                "metadata": { "name": "newer" },
                "spec": { "tenantID": new_tenant(), "credentialsSecretRef": { "name": "x" }, "menu": "GoldPlan" },
            });
            let applied = stage.kubectl_apply(&manifest).is_ok();
            async move { applied }
        })
        .await;
    stage.tenant = new_tenant();
    stage.apply("good", json!({})).await;
    stage.reaches("good", "Contracted").await;
    assert!(stage.operator().log().contains("cannot be decoded"));
    stage.kubectl_prints(&["delete", "psplan", "newer"]);
    stage.delete("good").await;
    stage.is_gone("good").await;
}

async fn deleting_the_definition_retains_every_contract(stage: &mut Stage) {
    // A plan that another test left, with nobody to let it go, would hold the definition up.
    let everywhere = stage.kubectl_prints(&["get", "psplan", "--all-namespaces", "-o", "name"]);
    assert_eq!(everywhere, "", "tests before this one have left plans");
    let tenants = apply_many(stage).await;
    are_ready(stage).await;
    stage.kubectl_prints(&["delete", "crd", "premiumsupportplans.fic.ntt.com", "--timeout=60s"]);
    for tenant in tenants.values() {
        let summary = stage.simulator.summary(tenant);
        assert_eq!((summary.deletes_sent, summary.contract.is_some()), (0, true), "{tenant}");
    }
    stage
        .wait("each to have the Event Retained", || async {
            let events = stage.kubectl_prints(&["get", "events", "-o", "jsonpath={.items[*].reason}"]);
            events.split_whitespace().filter(|reason| *reason == "Retained").count() == MANY
        })
        .await;
}

impl Stage {
    fn signal(&self, operator: usize, signal: &str) {
        let id = self.process_id(operator).to_string();
        assert!(Command::new("kill").args([&format!("-{signal}"), &id]).status().unwrap().success());
    }
}
