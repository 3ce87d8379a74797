//! Two clusters with plans for the same tenants: two control planes, each with an operator, and one FIC.
//!
//! docs/tasks/second-cluster.md says what each policy does.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use fic_simulator::faults::{Fault, Kind};
use fic_simulator::log::Call;
use fic_simulator::log::Summary;
use fic_simulator::portal::Action;
use fic_support_operator::api::plan::PremiumSupportPlan;
use kube::ResourceExt;
use kube::api::PostParams;
use serde_json::{Value, json};

use crate::support::cluster::Cluster;
use crate::support::plan::{self, has_reason};
use crate::support::{TestEnvironment, new_tenant};

/// How many tenants both clusters buy for at the same time.
const TENANTS: usize = 12;

/// The operators of both clusters sign in to the simulator of the first.
struct TwoClusters {
    first: TestEnvironment,
    second: TestEnvironment,
    tenant: String,
}

impl TwoClusters {
    async fn start() -> Self {
        static SECOND: OnceLock<Arc<Cluster>> = OnceLock::new();
        // The start of a control plane blocks its thread.
        let start = || Arc::clone(SECOND.get_or_init(|| Arc::new(Cluster::start())));
        let second = tokio::task::spawn_blocking(start).await.unwrap();
        let mut first = TestEnvironment::without_operator().await;
        let endpoints = [
            format!("--fic-endpoint={}", first.simulator.fic_endpoint()),
            format!("--keystone-endpoint={}", first.simulator.keystone_endpoint()),
        ];
        let second = TestEnvironment::on(second).await.with_flags(&endpoints.each_ref().map(String::as_str));
        let mut second = second.with_flags(&["--request-timeout=20s"]);
        assert_ne!(
            first.cluster.control_plane.details().server,
            second.cluster.control_plane.details().server,
            "two API servers"
        );
        for env in [&mut first, &mut second] {
            env.create_secret().await;
            env.start_operator().await;
        }
        let tenant = first.tenant.clone();
        Self { first, second, tenant }
    }

    fn summary(&self) -> Summary {
        self.first.simulator.summary(&self.tenant)
    }

    /// How often the contract of the tenant was bought and abolished, and whether there is one.
    fn bought_abolished_left(&self) -> (usize, usize, bool) {
        let summary = self.summary();
        (summary.creates_with_effect, summary.deletes_with_effect, summary.contract.is_some())
    }

    fn both(&self) -> [&TestEnvironment; 2] {
        [&self.first, &self.second]
    }
}

impl TestEnvironment {
    async fn apply_for(&self, tenant: &str, more: Value) -> PremiumSupportPlan {
        self.apply_in(&self.namespace, "premium", tenant, more).await;
        self.plans().get("premium").await.unwrap()
    }

    async fn delete_and_wait(&self, name: &str) {
        self.delete(name).await;
        self.wait_for_deletion(name).await;
    }
}

/// Both clusters have seen no contract when each sends its create request.
#[tokio::test(flavor = "multi_thread")]
async fn concurrent_purchases_in_two_clusters_give_one_contract_with_one_owner() {
    let clusters = TwoClusters::start().await;
    let simulator = &clusters.first.simulator;
    let plans = (0..TENANTS).map(|number| (format!("plan-{number}"), new_tenant())).collect::<Vec<_>>();
    for (_, tenant) in &plans {
        // The first request takes effect only when the other one has arrived, too.
        let hang = Kind::Hang { ms: Some(1000), effect_first: false };
        simulator.fault(Fault { times: Some(2), ..Fault::once(Call::Create, tenant, hang) });
    }
    let began = Instant::now();
    let apply = async |env: &TestEnvironment| {
        for (name, tenant) in &plans {
            env.apply_in(&env.namespace, name, tenant, json!({})).await;
        }
    };
    futures::future::join(apply(&clusters.first), apply(&clusters.second)).await;

    let mut bought_at_once = 0;
    for (name, tenant) in &plans {
        let of_both = async || {
            let [one, other] = clusters.both().map(TestEnvironment::plans);
            [one.get(name).await.unwrap(), other.get(name).await.unwrap()]
        };
        let is_settled = async || {
            let plans = of_both().await;
            ["Contracted", "AlreadyContracted"].iter().all(|reason| plans.iter().any(|plan| has_reason(plan, reason)))
        };
        clusters.first.wait_until("one owner and one other plan", is_settled).await;
        let summary = simulator.summary(tenant);
        assert_eq!((summary.creates_with_effect, summary.deletes_sent), (1, 0), "{name}");
        bought_at_once += usize::from(summary.creates_sent == 2);
        let contract = summary.contract.unwrap();

        let owns = |plan: &PremiumSupportPlan| plan.status.as_ref().is_some_and(|status| status.owner_uid.is_some());
        let [first, second] = of_both().await;
        assert_ne!(owns(&first), owns(&second), "{name}");
        let [owner, other] = if owns(&first) { clusters.both() } else { [&clusters.second, &clusters.first] };
        other.delete_and_wait(name).await;
        let left = simulator.summary(tenant);
        assert_eq!((left.deletes_sent, left.contract), (0, Some(contract)), "{name}: the other plan owns nothing");
        owner.delete_and_wait(name).await;
        let left = simulator.summary(tenant);
        assert_eq!((left.creates_with_effect, left.deletes_sent, left.contract), (1, 1, None), "{name}");
    }
    println!("{TENANTS} tenants, both clusters sent a create request for {bought_at_once}: {:?}", began.elapsed());
    assert!(bought_at_once > TENANTS / 2, "the purchases must overlap");
}

/// The second create request is refused, because the first has bought. Meanwhile its plan is deleted.
#[tokio::test(flavor = "multi_thread")]
async fn plan_that_is_deleted_while_its_create_is_refused_leaves_the_contract_of_the_other_cluster() {
    let clusters = TwoClusters::start().await;
    let (first, second) = (&clusters.first, &clusters.second);
    let hang = Kind::Hang { ms: Some(1000), effect_first: false };
    first.simulator.fault(Fault::once(Call::Create, &clusters.tenant, hang));
    second.apply_for(&clusters.tenant, json!({})).await;
    first.wait_for_requests("its create request", |log| log.iter().any(|entry| entry.call == Call::Create)).await;
    first.simulator.portal(&clusters.tenant, &Action::Create);
    second.delete_and_wait("premium").await;
    assert_eq!((clusters.summary().creates_with_effect, clusters.summary().deletes_sent), (0, 0));
    assert!(clusters.summary().contract.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn adoption_policy_never_waits_for_the_other_cluster_and_then_buys_its_own_contract() {
    let clusters = TwoClusters::start().await;
    let (first, second) = (&clusters.first, &clusters.second);
    first.apply_for(&clusters.tenant, json!({})).await;
    first.wait_for_reason("premium", "Contracted").await;
    let contract = clusters.summary().contract;
    second.apply_for(&clusters.tenant, json!({})).await;
    second.wait_for_reason("premium", "AlreadyContracted").await;
    second.delete_and_wait("premium").await;
    assert_eq!(clusters.summary().contract, contract);

    second.apply_for(&clusters.tenant, json!({})).await;
    second.wait_for_reason("premium", "AlreadyContracted").await;
    first.delete_and_wait("premium").await;
    second.wait_for_reason("premium", "Contracted").await;
    assert_eq!(clusters.bought_abolished_left(), (2, 1, true));
    assert_ne!(clusters.summary().contract, contract);
    second.delete_and_wait("premium").await;
    assert_eq!(clusters.bought_abolished_left(), (2, 2, false));
}

#[tokio::test(flavor = "multi_thread")]
async fn adoption_policy_if_present_in_both_clusters_lets_both_own_the_contract() {
    for recreation in ["IfLost", "Never"] {
        let clusters = TwoClusters::start().await;
        let (first, second) = (&clusters.first, &clusters.second);
        first.simulator.portal(&clusters.tenant, &Action::Create);
        let policies = json!({ "adoptionPolicy": "IfPresent", "recreationPolicy": recreation });
        for env in clusters.both() {
            env.apply_for(&clusters.tenant, policies.clone()).await;
        }
        for env in clusters.both() {
            env.wait_for_reason("premium", "Contracted").await;
        }
        let contract = clusters.summary().contract.unwrap();
        assert_eq!(clusters.bought_abolished_left(), (0, 0, true));
        second.delete_and_wait("premium").await;
        if recreation == "Never" {
            first.wait_for_reason("premium", "ContractLost").await;
            assert_eq!(clusters.bought_abolished_left(), (0, 1, false));
            continue;
        }
        let is_another = |plan: &PremiumSupportPlan| {
            has_reason(plan, "Contracted")
                && plan.status.as_ref().and_then(|status| status.id.as_ref()) != Some(&contract)
        };
        first.wait_for_plan("premium", "another contract to be bought", is_another).await;
        assert_eq!(clusters.bought_abolished_left(), (1, 1, true));
        first.delete_and_wait("premium").await;
        assert_eq!(clusters.bought_abolished_left(), (1, 2, false));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn management_policy_observe_reports_the_contract_of_the_other_cluster() {
    let clusters = TwoClusters::start().await;
    let (first, second) = (&clusters.first, &clusters.second);
    first.apply_for(&clusters.tenant, json!({})).await;
    first.wait_for_reason("premium", "Contracted").await;
    second.apply_for(&clusters.tenant, json!({ "managementPolicy": "Observe" })).await;
    second.wait_for_reason("premium", "Contracted").await;
    second.delete_and_wait("premium").await;
    assert_eq!(clusters.bought_abolished_left(), (1, 0, true));
    second.apply_for(&clusters.tenant, json!({ "managementPolicy": "Observe" })).await;
    second.wait_for_reason("premium", "Contracted").await;
    first.delete_and_wait("premium").await;
    second.wait_for_reason("premium", "NotContracted").await;
    assert_eq!(clusters.bought_abolished_left(), (1, 1, false));
}

#[tokio::test(flavor = "multi_thread")]
async fn plan_moves_to_another_cluster_with_its_contract() {
    let clusters = TwoClusters::start().await;
    let (first, second) = (&clusters.first, &clusters.second);
    first.apply_for(&clusters.tenant, json!({})).await;
    let original = first.wait_for_reason("premium", "Contracted").await;
    let contract = clusters.summary().contract;
    // A backup tool restores the finalizer and the annotation, too.
    let mut copy = plan::manifest("premium", &json!(original.spec));
    copy["metadata"]["finalizers"] = json!(original.finalizers());
    copy["metadata"]["annotations"] = json!(original.annotations());
    let copy = serde_json::from_value(copy).unwrap();
    second.plans().create(&PostParams::default(), &copy).await.unwrap();
    let copy = second.wait_for_reason("premium", "AlreadyContracted").await;
    assert!(copy.finalizers().is_empty(), "{:?}", copy.finalizers());

    first.patch_spec("premium", json!({ "deletionPolicy": "Retain" })).await;
    second.patch_spec("premium", json!({ "adoptionPolicy": "IfPresent" })).await;
    second.wait_for_reason("premium", "Contracted").await;
    first.delete_and_wait("premium").await;
    assert_eq!(clusters.summary().contract, contract);
    second.delete_and_wait("premium").await;
    assert_eq!(clusters.bought_abolished_left(), (1, 1, false));
}

/// The only case that cannot be told apart: the answer that refuses the create request of the second cluster is lost.
#[tokio::test(flavor = "multi_thread")]
async fn purchase_whose_refusal_is_lost_takes_the_contract_of_the_other_cluster() {
    let clusters = TwoClusters::start().await;
    let (first, second) = (&clusters.first, &clusters.second);
    let fault = |fault| first.simulator.fault(fault);
    // FIC refuses the first token of the second cluster, and the sign-in for another one hangs.
    let refused = Kind::Status { code: 401, body: None, retry_after: None };
    fault(Fault::once(Call::Create, &clusters.tenant, refused));
    let hang = Kind::Hang { ms: Some(5000), effect_first: true };
    fault(Fault { skip: 1, ..Fault::once(Call::SignIn, &clusters.tenant, hang) });
    second.apply_for(&clusters.tenant, json!({})).await;
    first.wait_until("the second sign-in", || async { clusters.summary().sign_ins == 2 }).await;
    first.apply_for(&clusters.tenant, json!({})).await;
    first.wait_for_reason("premium", "Contracted").await;
    fault(Fault::once(Call::Create, &clusters.tenant, Kind::DropAfter));

    let plan = second.wait_for_reason("premium", "Contracted").await;
    assert_eq!(plan.status.unwrap().id, clusters.summary().contract);
    assert_eq!((clusters.summary().creates_sent, clusters.bought_abolished_left()), (3, (1, 0, true)));
    second.delete_and_wait("premium").await;
    first
        .wait_until("the first plan to buy again", || async { clusters.bought_abolished_left() == (2, 1, true) })
        .await;
}
