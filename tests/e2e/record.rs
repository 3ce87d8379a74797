//! The record of a plan against copies, replaced manifests, users and other clusters.

use fic_simulator::faults::{Fault, Kind};
use fic_simulator::log::Call;
use fic_simulator::portal::Action;
use fic_support_operator::api::plan::{CONTRACT_FINALIZER, OWNER_UID, PremiumSupportPlan};
use k8s_openapi::api::admissionregistration::v1::{ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, Resource, ResourceExt};
use serde_json::{Value, json};

use crate::support::plan::{self, condition, message};
use crate::support::{SECRET, TestEnvironment};

/// Whether the plan has both marks of the record.
fn has_both_marks(plan: &PremiumSupportPlan) -> bool {
    has_finalizer(plan) && plan.annotations().get(OWNER_UID) == plan.meta().uid.as_ref()
}

fn has_finalizer(plan: &PremiumSupportPlan) -> bool {
    plan.finalizers().iter().any(|name| name == CONTRACT_FINALIZER)
}

/// What a backup tool restores elsewhere: everything but the status, the UID and the version.
fn copy_of(plan: &PremiumSupportPlan) -> Value {
    let mut copy = plan::manifest(&plan.name_any(), &json!(plan.spec));
    copy["metadata"]["finalizers"] = json!(plan.finalizers());
    copy["metadata"]["annotations"] = json!(plan.annotations());
    copy
}

impl TestEnvironment {
    /// Another cluster with the same tenant: a namespace with an operator of its own, which does not see the plans of
    /// the first one.
    async fn second_cluster(&mut self) -> String {
        let first = self.namespace.clone();
        let second = format!("{first}-2");
        self.create_namespace(&second).await;
        self.create_secret_in(&second).await;
        self.namespace.clone_from(&second);
        self.start_operator().await;
        self.namespace = first;
        second
    }

    fn replace_with_manifest(&self, name: &str) {
        let manifest = plan::manifest(name, &plan::spec(&self.tenant, &json!({})));
        self.kubectl_with("replace", &[], &manifest).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn copy_in_another_cluster_neither_takes_nor_abolishes_the_contract() {
    let mut env = TestEnvironment::with_operator().await;
    env.apply("premium", json!({})).await;
    let original = env.wait_for_reason("premium", "Contracted").await;
    let second = env.second_cluster().await;
    let copies = env.plans_in(&second);
    let copy = serde_json::from_value(copy_of(&original)).unwrap();
    copies.create(&PostParams::default(), &copy).await.unwrap();
    let copy = env.wait_for_reason_in(&second, "premium", "AlreadyContracted").await;
    assert!(!has_finalizer(&copy) && copy.status.as_ref().unwrap().owner_uid.is_none());
    copies.delete("premium", &DeleteParams::default()).await.unwrap();
    env.wait_until("the copy to be deleted", || async { copies.get_opt("premium").await.unwrap().is_none() }).await;
    assert_eq!((env.count(Call::Create), env.count(Call::Delete)), (1, 0));
    assert!(env.simulator.contract(&env.tenant).is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn copy_in_another_namespace_of_the_operator_neither_takes_nor_abolishes_the_contract() {
    let mut env = TestEnvironment::without_operator().await;
    let second = format!("{}-2", env.namespace);
    env.create_namespace(&second).await;
    env.create_secret_in(&second).await;
    env.create_secret().await;
    env.set_flags(&[&format!("--watch-namespace={second}")]);
    env.start_operator().await;
    env.apply("premium", json!({})).await;
    let original = env.wait_for_reason("premium", "Contracted").await;
    let copies = env.plans_in(&second);
    let copy = serde_json::from_value(copy_of(&original)).unwrap();
    copies.create(&PostParams::default(), &copy).await.unwrap();
    let copy = env.wait_for_reason_in(&second, "premium", "TenantClaimed").await;
    assert!(!has_finalizer(&copy) && copy.status.as_ref().unwrap().owner_uid.is_none());
    copies.delete("premium", &DeleteParams::default()).await.unwrap();
    env.wait_until("the copy to be deleted", || async { copies.get_opt("premium").await.unwrap().is_none() }).await;
    assert_eq!((env.count(Call::Create), env.count(Call::Delete)), (1, 0));
    env.delete("premium").await;
    env.wait_for_deletion("premium").await;
    assert_eq!((env.count(Call::Create), env.count(Call::Delete)), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_clusters_with_one_tenant_buy_one_contract_and_only_its_owner_abolishes_it() {
    let mut env = TestEnvironment::with_operator().await;
    let second = env.second_cluster().await;
    env.apply("premium", json!({})).await;
    env.apply_in(&second, "premium", &env.tenant, json!({})).await;
    let settled = async || {
        let reasons = [env.plans().get("premium").await.unwrap(), env.plans_in(&second).get("premium").await.unwrap()];
        let reason =
            |plan: &PremiumSupportPlan| plan::ready(plan).map(|ready| ready.reason.clone()).unwrap_or_default();
        let mut reasons = reasons.iter().map(reason).collect::<Vec<_>>();
        reasons.sort();
        reasons == ["AlreadyContracted", "Contracted"]
    };
    env.wait_until("one owner and one other plan", settled).await;
    let contract = env.simulator.contract(&env.tenant).unwrap().id;
    let first_owns = plan::has_reason(&env.plans().get("premium").await.unwrap(), "Contracted");
    let (owner, other) = if first_owns { (&env.namespace, &second) } else { (&second, &env.namespace) };
    for (namespace, is_left) in [(other, true), (owner, false)] {
        let plans = env.plans_in(namespace);
        plans.delete("premium", &DeleteParams::default()).await.unwrap();
        env.wait_until("the plan to be deleted", || async { plans.get_opt("premium").await.unwrap().is_none() }).await;
        assert_eq!(env.simulator.contract(&env.tenant).is_some_and(|left| left.id == contract), is_left);
    }
    assert_eq!(env.count(Call::Delete), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn replaced_manifest_of_a_ready_plan_does_not_disown_its_contract() {
    let env = TestEnvironment::with_operator().await;
    env.apply("premium", json!({})).await;
    env.wait_for_reason("premium", "Contracted").await;
    env.replace_with_manifest("premium");
    env.wait_for_plan("premium", "the record to be restored", has_both_marks).await;
    env.wait_for_events("premium", &["Purchased", "Contracted", "RecordRestored"]).await;
    env.delete("premium").await;
    env.wait_for_deletion("premium").await;
    assert_eq!((env.count(Call::Create), env.count(Call::Delete)), (1, 1));
    assert!(env.simulator.contract(&env.tenant).is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn replaced_manifest_in_the_middle_of_a_purchase_leaves_nothing_behind() {
    let env = TestEnvironment::with_operator().await;
    env.simulator.fault(Fault::once(Call::Create, &env.tenant, Kind::Hang { ms: None, effect_first: true }));
    env.apply("premium", json!({})).await;
    env.wait_for_requests("the create request", |log| log.iter().any(|entry| entry.call == Call::Create)).await;
    env.replace_with_manifest("premium");
    env.wait_for_reason("premium", "Contracted").await;
    let plan = env.wait_for_plan("premium", "the record to be restored", has_both_marks).await;
    assert_eq!(plan.status.unwrap().owner_uid, plan.metadata.uid);
    assert_eq!(env.count(Call::Create), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn finalizer_that_is_removed_again_and_again_is_restored_with_backoff_and_told_once() {
    let env = TestEnvironment::with_operator().await;
    env.apply("premium", json!({})).await;
    env.wait_for_reason("premium", "Contracted").await;
    for _ in 0..3 {
        env.patch_plan("premium", json!({ "metadata": { "finalizers": [] } })).await;
        env.wait_for_plan("premium", "the record to be restored", has_both_marks).await;
    }
    assert_eq!(env.event_reasons("premium").await, ["Purchased", "Contracted", "RecordRestored"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn finalizer_added_by_hand_makes_no_record() {
    let env = TestEnvironment::with_operator().await;
    env.simulator.portal(&env.tenant, &Action::Create);
    env.apply("premium", json!({})).await;
    env.wait_for_reason("premium", "AlreadyContracted").await;
    env.patch_plan("premium", json!({ "metadata": { "finalizers": [CONTRACT_FINALIZER] } })).await;
    env.wait_for_plan("premium", "the finalizer to be removed", |plan| !has_finalizer(plan)).await;
    env.patch_plan("premium", json!({ "metadata": { "finalizers": [CONTRACT_FINALIZER] } })).await;
    env.delete("premium").await;
    env.wait_for_deletion("premium").await;
    assert_eq!(env.count(Call::Delete), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn finalizer_put_back_by_hand_is_kept_where_the_plan_owns_its_contract() {
    let mut env = TestEnvironment::with_operator().await;
    env.apply("premium", json!({})).await;
    env.wait_for_reason("premium", "Contracted").await;
    env.operator().kill();
    env.replace_with_manifest("premium");
    env.patch_plan("premium", json!({ "metadata": { "finalizers": [CONTRACT_FINALIZER] } })).await;
    env.start_operator().await;
    let plan = env.wait_for_plan("premium", "the annotation to be restored", has_both_marks).await;
    assert!(plan::has_reason(&plan, "Contracted"));
    env.delete("premium").await;
    env.wait_for_deletion("premium").await;
    assert_eq!((env.count(Call::Create), env.count(Call::Delete)), (1, 1));
    assert!(env.simulator.contract(&env.tenant).is_none());
}

/// The id of a purchase is recorded whatever has changed meanwhile, and nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn condition_that_another_controller_adds_during_the_purchase_stays() {
    let env = TestEnvironment::with_operator().await;
    env.simulator.fault(Fault::once(Call::Create, &env.tenant, Kind::Hang { ms: Some(1000), effect_first: true }));
    env.apply("premium", json!({})).await;
    env.wait_for_requests("the create request", |log| log.iter().any(|entry| entry.call == Call::Create)).await;
    let condition = json!({
        "type": "Budget", "status": "True", "reason": "Approved", "message": "", "observedGeneration": 1,
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    });
    let patch = json!({ "status": { "conditions": [condition] } });
    env.plans().patch_status("premium", &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
    let plan = env.wait_for_reason("premium", "Contracted").await;
    assert!(plan::condition(&plan, "Budget").is_some(), "{plan:?}");
    assert_eq!(env.count(Call::Create), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn wiped_status_is_found_again_and_nothing_is_bought() {
    let env = TestEnvironment::with_operator().await;
    env.apply("premium", json!({})).await;
    let before = env.wait_for_reason("premium", "Contracted").await;
    let manifest = plan::manifest("premium", &plan::spec(&env.tenant, &json!({})));
    env.kubectl_with("replace", &["--subresource=status"], &manifest).unwrap();
    env.wait_for_plan("premium", "the contract to be recorded again", |plan| {
        plan::has_reason(plan, "Contracted")
            && plan.status.as_ref().and_then(|status| status.id.as_ref())
                == before.status.as_ref().and_then(|status| status.id.as_ref())
    })
    .await;
    assert_eq!(env.count(Call::Create), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn create_that_was_not_sent_leaves_no_record() {
    let mut env = TestEnvironment::with_operator().await;
    let limited = Kind::Status { code: 429, body: None, retry_after: Some("3600".into()) };
    env.simulator.fault(Fault::once(Call::Create, &env.tenant, limited));
    env.apply("premium", json!({})).await;
    let plan = env.wait_for_reason("premium", "RateLimited").await;
    assert!(!has_finalizer(&plan));
    // The portal buys meanwhile, and the operator restarts.
    env.simulator.portal(&env.tenant, &Action::Create);
    env.operator().kill();
    env.start_operator().await;
    env.wait_for_reason("premium", "AlreadyContracted").await;
    env.delete("premium").await;
    env.wait_for_deletion("premium").await;
    assert_eq!(env.count(Call::Delete), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn plan_without_credentials_keeps_nobody_out_of_its_tenant() {
    let mut env = TestEnvironment::with_operator().await;
    let second = format!("{}-2", env.namespace);
    env.create_namespace(&second).await;
    env.set_flags(&[&format!("--watch-namespace={second}")]);
    env.operator().kill();
    env.start_operator().await;
    env.apply_in(&second, "squatter", &env.tenant, json!({})).await;
    env.wait_for_reason_in(&second, "squatter", "CredentialsMissing").await;
    env.apply("premium", json!({})).await;
    env.wait_for_reason("premium", "Contracted").await;
    let claimed = env.wait_for_reason_in(&second, "squatter", "TenantClaimed").await;
    assert!(message(&claimed).contains("in another namespace"), "{}", message(&claimed));
    assert!(!message(&claimed).contains(&env.namespace), "{}", message(&claimed));
}

/// A policy of the cluster refuses the finalizer, until an admin removes it.
#[tokio::test(flavor = "multi_thread")]
async fn refused_write_is_reported_and_ends_by_itself() {
    let env = TestEnvironment::with_operator().await;
    let name = format!("no-finalizers-{}", env.namespace);
    let policies = Api::<ValidatingAdmissionPolicy>::all(env.client.clone());
    let bindings = Api::<ValidatingAdmissionPolicyBinding>::all(env.client.clone());
    let policy = json!({
        "metadata": { "name": name },
        "spec": {
            "matchConstraints": { "resourceRules": [{
                "apiGroups": ["fic.ntt.com"], "apiVersions": ["*"], "operations": ["UPDATE"],
                "resources": ["premiumsupportplans"],
            }] },
            "validations": [{
                "expression": "!has(object.metadata.finalizers)",
                "message": "finalizers are not allowed here",
            }],
        },
    });
    let binding = json!({
        "metadata": { "name": name },
        "spec": {
            "policyName": name, "validationActions": ["Deny"],
            "matchResources": { "namespaceSelector": { "matchLabels": {
                "kubernetes.io/metadata.name": env.namespace,
            } } },
        },
    });
    policies.create(&PostParams::default(), &serde_json::from_value(policy).unwrap()).await.unwrap();
    bindings.create(&PostParams::default(), &serde_json::from_value(binding).unwrap()).await.unwrap();
    let probe = plan::manifest("probe", &plan::spec(&crate::support::new_tenant(), &json!({ "suspend": true })));
    env.kubectl_apply(&probe).unwrap();
    let plans = env.plans();
    let dry_run = PatchParams { dry_run: true, ..PatchParams::default() };
    let patch = Patch::Merge(json!({ "metadata": { "finalizers": ["example.com/probe"] } }));
    let refuses = || async { plans.patch("probe", &dry_run, &patch).await.is_err() };
    env.wait_until("the policy to be in force", refuses).await;
    env.apply("premium", json!({})).await;
    let plan = env.wait_for_reason("premium", "WriteRefused").await;
    assert!(message(&plan).contains("finalizers are not allowed here"), "{}", message(&plan));
    assert!(condition(&plan, "Stalled").is_some());
    assert_eq!(env.count(Call::Create), 0);
    bindings.delete(&name, &DeleteParams::default()).await.unwrap();
    policies.delete(&name, &DeleteParams::default()).await.unwrap();
    env.wait_for_reason("premium", "Contracted").await;
    env.wait_for_finalizer_of(SECRET, true).await;
    assert_eq!(env.count(Call::Create), 1);
}
