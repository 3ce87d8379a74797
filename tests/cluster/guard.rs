//! The admission policies in `deploy/guard`, on a real API server: what each denies and what it allows, and that the type
//! checker of the API server finds nothing wrong with them.

use k8s_openapi::api::core::v1::Secret;
use kube::api::{Patch, PatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use serde_json::{Value, json};

use crate::support::cluster::{CRD, DEPLOY_FOLDER, OPERATOR};
use crate::support::environment::SECRET_TYPE;
use crate::support::plan::{manifest, spec};
use crate::support::{SECRET, TestEnvironment, new_tenant};

/// What confirms the deletion of an object: its own name.
const CONFIRM_DELETE: &str = "fic.ntt.com/confirm-delete";

impl TestEnvironment {
    /// Installs a policy. It is in force a moment later.
    fn install_guard(&self, name: &str) {
        self.cluster.kubectl(&["apply", "-k", &format!("{DEPLOY_FOLDER}/guard/{name}")]);
    }

    /// Waits until a request is denied, and returns the message. The request must have no effect: a policy is in force only a
    /// moment after it was installed.
    async fn denial(&self, arguments: &[&str]) -> String {
        self.wait_until(&format!("{arguments:?} to be denied"), || async { self.try_kubectl(arguments).is_err() })
            .await;
        let message = self.try_kubectl(arguments).expect_err("it is denied");
        assert!(message.contains("ValidatingAdmissionPolicy"), "{message}");
        message
    }

    /// The same for the creation of an object.
    async fn creation_denial(&self, object: &Value) -> String {
        let create = || self.kubectl_with("create", &["--dry-run=server"], object);
        self.wait_until("the creation to be denied", || async { create().is_err() }).await;
        let message = create().expect_err("it is denied");
        assert!(message.contains("ValidatingAdmissionPolicy"), "{message}");
        message
    }

    /// Creates an object, which must be allowed, without an effect.
    fn assert_allowed(&self, object: &Value) {
        let created = self.kubectl_with("create", &["--dry-run=server"], object);
        assert!(created.is_ok(), "{created:?}");
    }

    /// What the type checker of the API server says about a policy.
    async fn type_warnings(&self, policy: &str) -> Value {
        let status = || {
            let policy = self.cluster.kubectl(&["get", "validatingadmissionpolicy", policy, "--output=json"]);
            serde_json::from_str::<Value>(&policy).unwrap()["status"].clone()
        };
        self.wait_until("the policy to be checked", || async { status()["observedGeneration"].is_number() }).await;
        status()["typeChecking"]["expressionWarnings"].clone()
    }

    fn annotate(&self, object: &[&str], annotation: &str) {
        self.kubectl(&[&["annotate"], object, &[annotation]].concat());
    }
}

fn secret(name: &str, data: &[(&str, &str)]) -> Value {
    let data = data.iter().map(|(key, value)| ((*key).to_owned(), json!(value))).collect::<serde_json::Map<_, _>>();
    json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": name }, "type": SECRET_TYPE, "stringData": data })
}

#[tokio::test(flavor = "multi_thread")]
async fn each_policy_is_well_typed() {
    let env = TestEnvironment::without_operator_on_own_control_plane().await;
    for name in ["crd", "plans", "credentials", "tenants"] {
        env.install_guard(name);
    }
    for name in ["crd", "plans", "credentials", "tenants", "secret-writes", "record"] {
        let warnings = env.type_warnings(&format!("fic-support-operator-{name}")).await;
        assert!(warnings.is_null(), "{name}: {warnings}");
    }
    // The check finds a mistake.
    let mut wrong =
        env.cluster.kubectl(&["get", "validatingadmissionpolicy", "fic-support-operator-plans", "-o", "json"]);
    wrong = wrong.replace("oldObject.spec.?deletionPolicy", "oldObject.spec.?deletionpolicy");
    let mut wrong = serde_json::from_str::<Value>(&wrong).unwrap();
    wrong["metadata"] = json!({ "name": "wrong" });
    env.kubectl_apply(&wrong).unwrap();
    let warnings = env.type_warnings("wrong").await;
    assert!(warnings.to_string().contains("deletionpolicy"), "{warnings}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_crd_is_deleted_only_with_a_confirmation() {
    let env = TestEnvironment::without_operator_on_own_control_plane().await;
    env.install_guard("crd");
    let message = env.denial(&["delete", CRD, "--dry-run=server"]).await;
    assert!(message.contains("their contracts stay at FIC"), "{message}");
    let confirmation = "kubectl annotate crd premiumsupportplans.fic.ntt.com fic.ntt.com/confirm-delete=premiumsupportplans.fic.ntt.com";
    assert!(message.contains(confirmation), "{message}");
    // Neither the folder nor a wrong confirmation deletes it.
    env.denial(&["delete", "-f", crate::support::cluster::CRDS_FOLDER, "--dry-run=server"]).await;
    env.annotate(&[CRD], &format!("{CONFIRM_DELETE}=yes"));
    env.denial(&["delete", CRD, "--dry-run=server"]).await;
    let command = confirmation.split_whitespace().skip(1).collect::<Vec<_>>();
    env.kubectl(&[&command[..], &["--overwrite"]].concat());
    env.kubectl(&["delete", CRD, "--timeout=60s"]);
}

/// As the service account of the operator, which RBAC allows to patch every Secret.
#[tokio::test(flavor = "multi_thread")]
async fn the_operator_may_change_only_its_finalizer_of_a_secret() {
    let env = TestEnvironment::without_operator_on_own_control_plane().await;
    env.create_secret().await;
    env.kubectl(&["create", "secret", "generic", "other", "--from-literal=key=value"]);
    let kubeconfig = Kubeconfig::read_from(&env.cluster.operator_kubeconfig).unwrap();
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    let secrets: Api<Secret> = Api::namespaced(Client::try_from(config).unwrap(), &env.namespace);
    let patch = async |name: &str, patch: Value, dry_run: bool| {
        let parameters = PatchParams { dry_run, ..PatchParams::default() };
        secrets.patch(name, &parameters, &Patch::Merge(&patch)).await.map_err(|error| error.to_string())
    };
    for (name, change, message) in [
        (SECRET, json!({ "stringData": { "apiSecret": "mine" } }), "nothing of a Secret but its finalizer"),
        (SECRET, json!({ "data": { "more": "bWluZQ==" } }), "nothing of a Secret but its finalizer"),
        (SECRET, json!({ "metadata": { "labels": { "a": "b" } } }), "no label, annotation or owner reference"),
        (SECRET, json!({ "metadata": { "annotations": { "a": "b" } } }), "no label, annotation or owner reference"),
        (SECRET, json!({ "metadata": { "finalizers": ["example.com/other"] } }), "no finalizer of a Secret but"),
        (SECRET, json!({ "immutable": true }), "nothing of a Secret but its finalizer"),
        (
            "other",
            json!({ "metadata": { "finalizers": ["fic.ntt.com/in-use"] } }),
            "only Secrets with type fic.ntt.com/credentials",
        ),
    ] {
        // The policy is part of deploy/, but in force only a moment later.
        env.wait_until(&format!("{change} to be denied"), || async {
            patch(name, change.clone(), true).await.is_err()
        })
        .await;
        let error = patch(name, change.clone(), false).await.expect_err("it is denied");
        assert!(error.contains(message), "{change}: {error}");
    }
    for finalizers in [json!(["fic.ntt.com/in-use"]), json!([])] {
        patch(SECRET, json!({ "metadata": { "finalizers": finalizers } }), false).await.unwrap();
    }
    // Everybody else may.
    env.patch_secret(&[("apiSecret", "new")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_the_record_is_warned_of_or_denied() {
    let mut env = TestEnvironment::with_own_control_plane().await;
    env.apply("premium", json!({})).await;
    env.wait_for_reason("premium", "Contracted").await;
    let without = ["patch", "psplan", "premium", "--type=merge", "--patch", r#"{"metadata":{"finalizers":null}}"#];
    let dry_run = [&without[..], &["--dry-run=server"]].concat();
    env.wait_until("the warning", || async {
        env.try_kubectl(&dry_run).unwrap().contains("Warning: Validation failed for ValidatingAdmissionPolicy")
    })
    .await;
    // The operator itself is not warned of, and restores the record.
    env.kubectl(&without);
    env.wait_for_events("premium", &["Purchased", "Contracted", "RecordRestored"]).await;

    let binding = ["patch", "validatingadmissionpolicybinding", "fic-support-operator-record", "--type=merge"];
    env.kubectl(&[&binding[..], &["--patch", r#"{"spec":{"validationActions":["Deny"]}}"#]].concat());
    let message = env.denial(&dry_run).await;
    assert!(message.contains("Use kubectl apply, not kubectl replace"), "{message}");
    for forged in [
        r#"{"metadata":{"annotations":{"fic.ntt.com/owner-uid":"188d167f"}}}"#,
        r#"{"metadata":{"annotations":{"fic.ntt.com/owner-uid":null}}}"#,
    ] {
        env.denial(&["patch", "psplan", "premium", "--type=merge", "--patch", forged, "--dry-run=server"]).await;
    }
    // Everything else is allowed, the operator may write the record, and Retain is the way out.
    env.patch_spec("premium", json!({ "deletionPolicy": "Retain" })).await;
    env.delete("premium").await;
    env.wait_for_deletion("premium").await;
    env.tenant = new_tenant();
    env.apply("second", json!({})).await;
    env.wait_for_reason("second", "Contracted").await;
    env.delete("second").await;
    env.wait_for_deletion("second").await;
    assert_eq!(env.simulator.contract(&env.tenant), None);
    env.assert_no_request_was_forbidden();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_that_abolishes_its_contract_is_deleted_only_with_a_confirmation() {
    let env = TestEnvironment::with_own_control_plane().await;
    env.install_guard("plans");
    env.apply("premium", json!({})).await;
    env.wait_for_reason("premium", "Contracted").await;
    let message = env.denial(&["delete", "psplan", "premium", "--dry-run=server"]).await;
    assert!(message.contains("deleting this plan abolishes its contract"), "{message}");
    for (name, policy) in
        [("retain", json!({ "deletionPolicy": "Retain" })), ("observe", json!({ "managementPolicy": "Observe" }))]
    {
        env.apply_in(&env.namespace, name, &new_tenant(), policy).await;
        env.kubectl(&["delete", "psplan", name, "--timeout=60s"]);
    }
    // A namespace is not deleted either, and says why.
    env.kubectl(&["delete", "namespace", &env.namespace, "--wait=false"]);
    env.wait_until("the namespace to say why it stays", || async {
        let namespace = env.kubectl(&["get", "namespace", &env.namespace, "--output=json"]);
        namespace.contains("NamespaceDeletionContentFailure") && namespace.contains("confirm-delete=premium")
    })
    .await;
    // The command in the message confirms.
    let (_, command) = message.split_once("run: kubectl ").unwrap();
    let (command, _) = command.split_once(" and delete").unwrap();
    env.cluster.kubectl(&command.split_whitespace().collect::<Vec<_>>());
    env.wait_for_deletion("premium").await;
    env.kubectl(&["wait", "--for=delete", &format!("namespace/{}", env.namespace), "--timeout=60s"]);
    assert_eq!(env.simulator.contract(&env.tenant), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_that_the_operator_could_not_use_are_denied() {
    let env = TestEnvironment::without_operator_on_own_control_plane().await;
    env.kubectl_with("create", &[], &secret("before", &[("apiKey", "key"), ("apikey", "typo")])).unwrap();
    env.install_guard("credentials");
    let longest = "x".repeat(1024);
    let too_long = "x".repeat(1025);
    for data in [
        &[("apiKey", "key"), ("apisecret", "secret")][..],
        &[("apiKey", "key")],
        &[("apiKey", ""), ("apiSecret", "secret")],
        &[("apiKey", "key"), ("apiSecret", &too_long)],
        &[("apiKey", "key"), ("apiSecret", "secret"), ("more", "x")],
        &[],
    ] {
        let message = env.creation_denial(&secret("new", data)).await;
        assert!(message.contains("apiKey"), "{message}");
    }
    env.assert_allowed(&secret("new", &[("apiKey", "key"), ("apiSecret", &longest)]));
    let mut other = secret("other", &[("more", "x")]);
    other["type"] = json!("Opaque");
    env.assert_allowed(&other);
    // A Secret from before the policy can be labelled and let go, but not changed to the worse.
    env.kubectl(&["label", "secret", "before", "a=b"]);
    let change = r#"{"stringData":{"apiSecret":""}}"#;
    env.denial(&["patch", "secret", "before", "--type=merge", "--patch", change, "--dry-run=server"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_is_bought_only_from_the_namespaces_that_are_listed_for_it() {
    let env = TestEnvironment::without_operator_on_own_control_plane().await;
    let plan = |more: Value| manifest("premium", &spec(&env.tenant, &more));
    env.kubectl_with("create", &[], &manifest("before", &spec(&env.tenant, &json!({})))).unwrap();
    env.install_guard("tenants");
    env.creation_denial(&plan(json!({}))).await;
    let list = |namespaces: &str| {
        let list = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "allowed-tenants", "namespace": OPERATOR },
            "data": { env.tenant.as_str(): namespaces },
        });
        let file = env.cluster.control_plane.details().folder.join("allowed-tenants.json");
        std::fs::write(&file, list.to_string()).unwrap();
        env.cluster.kubectl(&["apply", "-f", file.to_str().unwrap()]);
    };
    list("other-team");
    env.wait_until("the list to be in force", || async {
        env.creation_denial(&plan(json!({}))).await.contains("may not buy a contract for tenant")
    })
    .await;
    env.assert_allowed(&plan(json!({ "managementPolicy": "Observe" })));
    // A plan from before can be changed and let go.
    env.patch_plan("before", json!({ "metadata": { "labels": { "a": "b" } } })).await;
    env.delete("before").await;
    list(&format!("other-team {}", env.namespace));
    env.wait_until("the list to be in force", || async {
        env.kubectl_with("create", &["--dry-run=server"], &plan(json!({}))).is_ok()
    })
    .await;
}
