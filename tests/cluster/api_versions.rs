//! The upgrade run: the version of plans changes from v1alpha1 to v1beta1, and back, while plans are in the middle of a
//! purchase and of a deletion.
//!
//! No binary of an earlier version is there to run. This operator stands for it, behind a proxy that asks the API server for
//! the earlier version.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::File;

use fic_simulator::faults::{Fault, Kind};
use fic_simulator::log::Call;
use fic_simulator::portal::Action;
use fic_support_operator::api::crd::{EARLIER_VERSION, crd, version};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::{Value, json};

use crate::many_plans::MANY;
use crate::support::api_proxy::ApiProxy;
use crate::support::cluster::{CRD, CRDS_FOLDER};
use crate::support::plan::{VERSIONS, in_version, manifest, resource, spec};
use crate::support::texts::log::VERSIONS_WENT_BACK;
use crate::support::{TestEnvironment, new_tenant};

/// Plans that nothing happens to: no operator writes them.
const AT_REST: [&str; 4] = ["ready", "adopted", "suspended", "observed"];
/// Plans in the middle of a purchase.
const BOUGHT: [&str; 3] = ["processing", "answer-lost", "not-executed"];
/// Plans in the middle of a deletion.
const DELETED: [&str; 2] = ["deleting", "delete-answer-lost"];

/// An operation takes longer than the test. The portal ends it.
const LONG: u64 = 3_600_000;
const SHORT: u64 = 300;

/// The CRD with these versions, as a name and whether it is stored.
fn crd_with(versions: &[(&str, bool)]) -> Value {
    let mut crd = json!(crd());
    let all = crd["spec"]["versions"].take();
    let versions = versions.iter().map(|(name, is_stored)| {
        let mut version = all.as_array().unwrap().iter().find(|version| version["name"] == *name).unwrap().clone();
        version["storage"] = json!(is_stored);
        version
    });
    crd["spec"]["versions"] = versions.collect();
    crd
}

/// The CRD from before the newer version.
fn earlier_crd() -> Value {
    crd_with(&[(EARLIER_VERSION, true)])
}

/// The CRD of this operator, but plans are stored in the earlier version.
fn crd_that_stores_the_earlier_version() -> Value {
    crd_with(&[(&version(), false), (EARLIER_VERSION, true)])
}

/// What a user sees of each plan, by its name.
type Plans = BTreeMap<String, Value>;

impl TestEnvironment {
    /// The plans in this version, without the version.
    fn plans_in_version(&self, version: &str) -> Plans {
        let list = self.kubectl(&["get", &resource(version), "--output=json", "--show-managed-fields"]);
        let mut list = serde_json::from_str::<Value>(&list).unwrap();
        let plans = list["items"].as_array_mut().unwrap().iter_mut().map(|plan| {
            assert_eq!(plan["apiVersion"].take(), format!("fic.ntt.com/{version}"));
            (plan["metadata"]["name"].as_str().unwrap().to_owned(), plan.take())
        });
        plans.collect()
    }

    fn stored_versions(&self) -> Value {
        serde_json::from_str(&self.kubectl(&["get", CRD, "--output=jsonpath={.status.storedVersions}"])).unwrap()
    }

    /// Waits until the API server serves plans in this version, or does not.
    async fn wait_for_version(&self, version: &str, is_served: bool) {
        let list = format!("/apis/fic.ntt.com/{version}/premiumsupportplans");
        let serves = || {
            let mut kubectl = self.cluster.control_plane.kubectl();
            kubectl.args(["get", "--raw", &list]).output().unwrap().status.success()
        };
        self.wait_until(&format!("{version} to be served ({is_served})"), || async { serves() == is_served }).await;
    }

    /// Changes the CRD, and waits until the API server works with it: then it ends the watches of plans. There must be a plan.
    async fn change_crd(&self, change: impl FnOnce()) {
        let file = self.cluster.control_plane.details().folder.join("watch");
        let uri = format!("/apis/fic.ntt.com/{EARLIER_VERSION}/premiumsupportplans?watch=true");
        let mut kubectl = self.cluster.control_plane.kubectl();
        let watch = kubectl.args(["get", "--raw", &uri]).stdout(File::create(&file).unwrap()).spawn();
        let watch = RefCell::new(watch.unwrap());
        self.wait_until("the watch to begin", || async { file.metadata().unwrap().len() > 0 }).await;
        change();
        self.wait_until("the watch to end", || async { watch.borrow_mut().try_wait().unwrap().is_some() }).await;
    }

    /// Rewrites each plan in the version that is stored now, as the document says.
    fn rewrite_plans(&self, from: &str, to: &str) {
        let [from, to] = [from, to].map(|version| format!("\"apiVersion\": \"fic.ntt.com/{version}\""));
        let list = self.kubectl(&["get", "psplan", "--output=json", "--show-managed-fields"]);
        assert!(list.contains(&from), "{list}");
        let list = serde_json::from_str::<Value>(&list.replace(&from, &to)).unwrap();
        let replaced = self.kubectl_with("replace", &[], &list).unwrap();
        assert_eq!(replaced.lines().count(), list["items"].as_array().unwrap().len(), "{replaced}");
    }

    /// Applies the plan in this version, as a tool that uses server-side apply and has applied it before.
    fn apply_again(&self, name: &str, tenant: &str, version: &str) -> Result<String, String> {
        let plan = in_version(version, &manifest(name, &spec(tenant, &json!({}))));
        self.kubectl_with("apply", &["--server-side", "--field-manager=test"], &plan)
    }

    /// Says that no plan is stored in another version any more.
    fn set_stored_version(&self, version: &str) {
        let patch = json!({ "status": { "storedVersions": [version] } }).to_string();
        self.kubectl(&["patch", CRD, "--subresource=status", "--type=merge", "--patch", &patch]);
    }

    /// Has the operators that start from now on, and the test, use the earlier version.
    async fn with_earlier_version(mut self) -> Self {
        let proxy = ApiProxy::start(&self.cluster).await;
        proxy.translate_to_earlier_version();
        self.kubectl(&["create", "serviceaccount", "administrator"]);
        let subject = format!("--serviceaccount={}:administrator", self.namespace);
        self.kubectl(&["create", "clusterrolebinding", "administrator", "--clusterrole=cluster-admin", &subject]);
        let mut config = Kubeconfig::read_from(self.cluster.kubeconfig_of(&self.namespace, "administrator")).unwrap();
        let server = config.clusters[0].cluster.as_mut().unwrap();
        (server.server, server.certificate_authority) = (Some(proxy.url()), None);
        let config = Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await.unwrap();
        self.client = Client::try_from(config).unwrap();
        self.with_api_proxy(&proxy)
    }

    /// The opposite.
    async fn with_own_version(mut self) -> Self {
        let config = Kubeconfig::read_from(&self.cluster.control_plane.details().kubeconfig).unwrap();
        let config = Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await.unwrap();
        self.client = Client::try_from(config).unwrap();
        let kubeconfig = self.cluster.operator_kubeconfig.to_str().unwrap().to_owned();
        self.with_variable("KUBECONFIG", &kubeconfig)
    }

    async fn wait_for_call(&self, call: Call, tenant: &str) {
        let is_sent = |log: &[fic_simulator::log::Entry]| {
            log.iter().any(|entry| entry.call == call && entry.tenant.as_deref() == Some(tenant))
        };
        self.wait_for_requests(&format!("{call:?} for {tenant}"), is_sent).await;
    }
}

/// An environment without an operator whose CRD has the earlier version only.
async fn cluster_with_the_earlier_version() -> TestEnvironment {
    let env = TestEnvironment::without_operator_on_own_control_plane().await;
    env.kubectl(&["delete", CRD, "--timeout=60s"]);
    env.kubectl_apply(&earlier_crd()).unwrap();
    env.wait_for_version(EARLIER_VERSION, true).await;
    env.wait_for_version(&version(), false).await;
    env
}

/// Plans whose operator is killed in the middle of everything.
struct Scene {
    /// The tenant of each plan.
    tenants: BTreeMap<&'static str, String>,
    /// The plans when no operator ran.
    plans: Plans,
    /// The contracts of the plans at rest.
    contracts: BTreeMap<&'static str, String>,
    /// The Events of the plans at rest.
    events: BTreeMap<&'static str, Vec<String>>,
}

/// Starts an operator, brings plans into each state, and kills it. A request that hangs is in progress until then.
async fn kill_in_the_middle(env: &mut TestEnvironment) -> Scene {
    env.create_secret().await;
    env.set_flags(&["--request-timeout=60s"]);
    env.start_operator().await;
    let names = AT_REST.into_iter().chain(BOUGHT).chain(DELETED);
    let tenants = names.map(|name| (name, new_tenant())).collect::<BTreeMap<_, _>>();
    let apply = async |name: &str, more| env.apply_in(&env.namespace, name, &tenants[name], more).await;
    for name in ["adopted", "observed"] {
        env.simulator.portal(&tenants[name], &Action::Create);
    }
    apply("ready", json!({})).await;
    apply("adopted", json!({ "adoptionPolicy": "IfPresent" })).await;
    apply("observed", json!({ "managementPolicy": "Observe" })).await;
    for name in ["suspended", "deleting", "delete-answer-lost"] {
        apply(name, json!({})).await;
    }
    for name in AT_REST.into_iter().chain(DELETED) {
        env.wait_for_reason(name, "Contracted").await;
    }
    env.patch_spec("suspended", json!({ "suspend": true })).await;
    env.wait_for_plan("suspended", "the suspension to be observed", |plan| {
        plan.status.as_ref().is_some_and(|status| status.observed_generation == Some(2))
    })
    .await;

    env.simulator.set(|settings| settings.processing_ms = LONG);
    let hang = |effect_first| Kind::Hang { ms: None, effect_first };
    env.simulator.fault(Fault::once(Call::Create, &tenants["answer-lost"], hang(true)));
    env.simulator.fault(Fault::once(Call::Create, &tenants["not-executed"], hang(false)));
    env.simulator.fault(Fault::once(Call::Delete, &tenants["delete-answer-lost"], hang(true)));
    for name in BOUGHT {
        apply(name, json!({})).await;
        env.wait_for_call(Call::Create, &tenants[name]).await;
    }
    for name in DELETED {
        env.delete(name).await;
        env.wait_for_call(Call::Delete, &tenants[name]).await;
    }
    env.wait_for_reason("processing", "Processing").await;
    env.wait_for_reason("deleting", "Abolishing").await;
    let mut events = BTreeMap::new();
    for name in AT_REST {
        let expected: &[&str] = match name {
            "adopted" => &["Adopted", "Contracted"],
            "observed" => &["Contracted"],
            _ => &["Purchased", "Contracted"],
        };
        env.wait_for_events(name, expected).await;
        events.insert(name, expected.iter().map(ToString::to_string).collect());
    }
    env.operator().kill();
    env.set_flags(&[]);
    let contracts = AT_REST.map(|name| (name, env.simulator.contract(&tenants[name]).unwrap().id)).into();
    Scene { tenants, plans: BTreeMap::new(), contracts, events }
}

impl Scene {
    /// Another operator has started. Everything in progress comes to its end, once, and nothing happens to the other plans.
    async fn finish(&self, env: &mut TestEnvironment) {
        // In the middle of the purchase also for this operator: it knows the contract, and FIC still processes the order.
        for name in ["processing", "answer-lost"] {
            env.wait_for_reason(name, "Processing").await;
        }
        env.simulator.set(|settings| settings.processing_ms = SHORT);
        for name in ["processing", "answer-lost"] {
            env.simulator.portal(&self.tenants[name], &Action::SetStatus("Completed".into()));
        }
        for name in DELETED {
            env.simulator.portal(&self.tenants[name], &Action::Abolish);
            env.wait_for_deletion(name).await;
        }
        // FIC is read several times first.
        env.wait_until("the second create request", || async {
            env.simulator.summary(&self.tenants["not-executed"]).creates_sent == 2
        })
        .await;
        env.simulator.portal(&self.tenants["not-executed"], &Action::SetStatus("Completed".into()));
        for name in BOUGHT {
            let plan = env.wait_for_reason(name, "Contracted").await;
            assert!(plan.owns_reported_contract() && plan.is_marked_as_owner(), "{name}");
        }
        self.check(env).await;
    }

    /// Nothing was bought or abolished but what users wanted, and each plan is the one that it was.
    async fn check(&self, env: &mut TestEnvironment) {
        let plans = env.plans_in_version(EARLIER_VERSION);
        assert_eq!(plans.len(), AT_REST.len() + BOUGHT.len(), "{:?}", plans.keys());
        for (name, tenant) in &self.tenants {
            let summary = env.simulator.summary(tenant);
            let requests = (summary.creates_sent, summary.creates_with_effect, summary.deletes_with_effect);
            let expected = match *name {
                "adopted" | "observed" => (0, 0, 0),
                "not-executed" => (2, 1, 0),
                name if DELETED.contains(&name) => (1, 1, 1),
                _ => (1, 1, 0),
            };
            assert_eq!(requests, expected, "{name}");
            let reported = plans.get(*name).map(|plan| plan["status"]["id"].as_str().unwrap().to_owned());
            assert_eq!(summary.contract, reported, "{name}");
            let uid = |plans: &Plans| plans[*name]["metadata"]["uid"].clone();
            assert!(reported.is_none() || uid(&plans) == uid(&self.plans), "{name} is another plan");
        }
        for name in AT_REST {
            assert_eq!(plans[name], self.plans[name], "{name} was written");
            assert_eq!(plans[name]["status"]["id"], self.contracts[name], "{name}");
            assert_eq!(env.event_reasons(name).await, self.events[name], "{name}");
        }
        let log = env.operator().log();
        assert!(!log.contains(VERSIONS_WENT_BACK), "{log}");
        env.assert_no_request_was_forbidden();
    }

    /// Each version shows the same plans. Remembers them.
    fn remember(&mut self, env: &TestEnvironment, versions: &[&str]) {
        for version in versions {
            let plans = env.plans_in_version(version);
            if self.plans.is_empty() {
                self.plans.clone_from(&plans);
            }
            assert_eq!(plans, self.plans, "{version}");
        }
        for name in BOUGHT {
            assert!(
                self.plans[name]["metadata"]["annotations"]["fic.ntt.com/owner-uid"].is_string(),
                "no record: {name}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn upgrade_to_v1beta1_in_mid_purchase_buys_and_abolishes_each_contract_once() {
    let mut env = cluster_with_the_earlier_version().await.with_earlier_version().await;
    let mut scene = kill_in_the_middle(&mut env).await;
    scene.remember(&env, &[EARLIER_VERSION]);
    let mut env = env.with_own_version().await;
    let (exit_code, log) = env.run_operator_to_exit().await;
    let expected = "it lacks version v1beta1; run kubectl apply -f crds/";
    assert!(exit_code == Some(1) && log.contains(expected), "{exit_code:?}: {log}");

    env.change_crd(|| _ = env.kubectl(&["apply", "-f", CRDS_FOLDER])).await;
    env.wait_for_version(&version(), true).await;
    assert_eq!(env.stored_versions(), json!(VERSIONS));
    scene.remember(&env, &VERSIONS);
    env.start_operator().await;
    scene.finish(&mut env).await;

    // The plans at rest are still stored in the earlier version, so it cannot go.
    let newer = crd_with(&[(&version(), true)]);
    let refused = env.kubectl_apply(&newer).expect_err("plans may be stored in v1alpha1");
    assert!(refused.contains("status.storedVersions") && refused.contains(EARLIER_VERSION), "{refused}");
    env.rewrite_plans(EARLIER_VERSION, &version());
    env.set_stored_version(&version());
    let before = env.plans_in_version(&version());
    env.kubectl_apply(&newer).unwrap();
    env.wait_for_version(EARLIER_VERSION, false).await;
    env.apply_again("ready", &scene.tenants["ready"], &version()).unwrap();
    // Of a plan that is still stored in the earlier version the API server could not say anything any more.
    assert_eq!(env.plans_in_version(&version()).keys().collect::<Vec<_>>(), before.keys().collect::<Vec<_>>());
    for name in AT_REST {
        assert_eq!(before[name]["status"], scene.plans[name]["status"], "{name}");
    }
    env.delete("ready").await;
    env.wait_for_deletion("ready").await;
    assert_eq!(env.simulator.contract(&scene.tenants["ready"]), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn way_back_to_v1alpha1_in_mid_purchase_buys_and_abolishes_each_contract_once() {
    let mut env = TestEnvironment::without_operator_on_own_control_plane().await;
    let mut scene = kill_in_the_middle(&mut env).await;
    scene.remember(&env, &VERSIONS);
    // The CRD stays: it serves both versions.
    let mut env = env.with_earlier_version().await;
    env.start_operator().await;
    scene.finish(&mut env).await;

    // For the earlier CRD, each plan must be stored in the version that it has.
    let refused = env.kubectl_apply(&earlier_crd()).expect_err("plans are stored in v1beta1");
    assert!(refused.contains("status.storedVersions") && refused.contains("v1beta1"), "{refused}");
    env.change_crd(|| _ = env.kubectl_apply(&crd_that_stores_the_earlier_version()).unwrap()).await;
    env.rewrite_plans(&version(), EARLIER_VERSION);
    env.set_stored_version(EARLIER_VERSION);
    env.kubectl_apply(&earlier_crd()).unwrap();
    env.wait_for_version(&version(), false).await;
    env.apply_again("ready", &scene.tenants["ready"], EARLIER_VERSION).unwrap();
    assert_eq!(env.plans_in_version(EARLIER_VERSION).len(), AT_REST.len() + BOUGHT.len());
    env.delete("ready").await;
    env.wait_for_deletion("ready").await;
    assert_eq!(env.simulator.contract(&scene.tenants["ready"]), None);
}

/// The operator runs all the time.
#[tokio::test(flavor = "multi_thread")]
async fn stored_version_changes_while_many_contracts_are_bought_and_abolished() {
    let mut env = TestEnvironment::with_own_control_plane().await;
    let tenants = env.apply_many().await;
    env.wait_until("some plans to be Contracted", || async { env.contracted().await > 0 }).await;
    assert!(env.contracted().await < MANY, "the version must change in the middle of the purchases");
    env.change_crd(|| _ = env.kubectl_apply(&crd_that_stores_the_earlier_version()).unwrap()).await;
    env.wait_until_all_are_contracted().await;
    assert_eq!(env.stored_versions(), json!(["v1beta1", "v1alpha1"]));
    env.request_deletion_of_all();
    env.change_crd(|| _ = env.kubectl(&["apply", "-f", CRDS_FOLDER])).await;
    env.wait_until_all_are_deleted().await;
    env.assert_one_create_and_delete_each(&tenants).await;
    assert!(!env.operator().log().contains(VERSIONS_WENT_BACK), "{}", env.operator().log());
    env.assert_no_request_was_forbidden();
}

#[tokio::test(flavor = "multi_thread")]
async fn stored_version_that_lacks_a_field_drops_it_and_ends_the_start_with_a_message() {
    let env = TestEnvironment::without_operator_on_own_control_plane().await;
    env.apply("premium", json!({ "managementPolicy": "Observe" })).await;
    let write = || {
        let patch = json!({ "status": { "ownerUID": "uid" } }).to_string();
        env.kubectl(&["patch", "psplan", "premium", "--subresource=status", "--type=merge", "--patch", &patch]);
        env.kubectl(&["get", "psplan", "premium", "--output=jsonpath={.status.ownerUID}"])
    };
    assert_eq!(write(), "uid");
    let mut crd = crd_that_stores_the_earlier_version();
    let fields = crd.pointer_mut("/spec/versions/1/schema/openAPIV3Schema/properties/status/properties");
    fields.unwrap().as_object_mut().unwrap().remove("ownerUID").unwrap();
    // The API server refuses versions with different schemas and the same selectable fields.
    let selectable = crd["spec"]["versions"][1]["selectableFields"].as_array_mut().unwrap();
    selectable.push(json!({ "jsonPath": ".spec.menu" }));
    env.change_crd(|| _ = env.kubectl_apply(&crd).unwrap()).await;
    assert_eq!(write(), "", "the version of the request has the field, and the stored version has not");
    let (exit_code, log) = env.run_operator_to_exit().await;
    let expected = "it lacks the field status.ownerUID in the stored version v1alpha1; run kubectl apply -f crds/";
    assert!(exit_code == Some(1) && log.contains(expected), "{exit_code:?}: {log}");
}
