//! The overlays in `deploy/`, on a real API server: it accepts them, and they grant what they say and nothing else.

use std::path::PathBuf;
use std::process::Command;

use kube::ResourceExt;
use serde_json::{Value, json};

use crate::support::TestEnvironment;
use crate::support::cluster::{Cluster, DEPLOY_FOLDER, OPERATOR};

const REHEARSAL: &str = "fic-rehearsal";

impl Cluster {
    /// The objects of a kustomization.
    fn render(&self, folder: &str) -> Vec<Value> {
        let yaml = self.kubectl(&["kustomize", folder]);
        yaml.split("\n---\n").map(|object| serde_saphyr::from_str(object).unwrap()).collect()
    }

    /// Runs kubectl. Returns what it prints: the output of a success with its warnings, or the error.
    fn try_kubectl(&self, arguments: &[&str]) -> Result<String, String> {
        let output = self.control_plane.kubectl().args(arguments).output().unwrap();
        let printed = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        if output.status.success() { Ok(printed) } else { Err(printed) }
    }

    /// An overlay of `deploy/` with these components. Returns its folder.
    fn overlay(&self, components: &[&str]) -> PathBuf {
        // kustomize knows paths relative to the overlay only.
        let folder = self.control_plane.details().folder.join("overlays");
        let overlay = folder.join("overlay");
        std::fs::create_dir_all(&overlay).unwrap();
        let copied = Command::new("cp").arg("-r").arg(DEPLOY_FOLDER).arg(folder.join("deploy")).status().unwrap();
        assert!(copied.success());
        let components = components.iter().map(|name| format!("../deploy/{name}")).collect::<Vec<_>>();
        let kustomization = json!({ "resources": ["../deploy"], "components": components });
        std::fs::write(overlay.join("kustomization.yaml"), kustomization.to_string()).unwrap();
        overlay
    }

    /// Whether a service account may do this.
    fn may(&self, account: (&str, &str), namespace: &str, verb: &str, resource: &str) -> bool {
        let user = format!("--as=system:serviceaccount:{}:{}", account.0, account.1);
        self.may_user(&user, namespace, verb, resource)
    }

    fn may_user(&self, user: &str, namespace: &str, verb: &str, resource: &str) -> bool {
        let arguments = ["auth", "can-i", verb, resource, user, "--namespace", namespace];
        let output = self.control_plane.kubectl().args(arguments).output().unwrap();
        output.status.success()
    }
}

/// What the operator does with plans and Secrets.
const PERMISSIONS: [(&str, &str); 5] = [
    ("list", "secrets"),
    ("patch", "secrets"),
    ("watch", "premiumsupportplans.fic.ntt.com"),
    ("patch", "premiumsupportplans.fic.ntt.com"),
    ("create", "events.events.k8s.io"),
];

#[tokio::test(flavor = "multi_thread")]
async fn the_api_server_accepts_every_overlay() {
    let env = TestEnvironment::without_operator_on_own_control_plane().await;
    env.create_namespace("network-team").await;
    for overlay in
        ["", "/namespaced", "/rehearsal", "/guard/crd", "/guard/plans", "/guard/credentials", "/guard/tenants"]
    {
        let folder = format!("{DEPLOY_FOLDER}{overlay}");
        // Also what kubectl does not know: unknown and duplicate fields.
        let applied = env.cluster.try_kubectl(&["apply", "-k", &folder, "--validate=strict"]);
        let applied = applied.unwrap_or_else(|error| panic!("{overlay}: {error}"));
        assert!(!applied.contains("Warning"), "{overlay}: {applied}");
    }
}

/// The samples are valid, and each keeps tools such as Argo CD from deleting its plan.
#[tokio::test(flavor = "multi_thread")]
async fn the_api_server_accepts_every_sample() {
    let env = TestEnvironment::without_operator().await;
    let files = std::fs::read_dir(format!("{DEPLOY_FOLDER}/samples")).unwrap().map(|file| file.unwrap().path());
    let files = files.collect::<Vec<_>>();
    assert!(files.len() >= 6, "{files:?}");
    for file in files {
        let path = file.to_str().unwrap();
        env.kubectl(&["apply", "-f", path, "--validate=strict"]);
        let plan = env.plans().get(file.file_stem().unwrap().to_str().unwrap()).await.unwrap();
        let annotation = |name: &str| plan.annotations().get(name).map(String::as_str);
        assert_eq!(annotation("argocd.argoproj.io/sync-options"), Some("Prune=false,Delete=false"), "{path}");
        assert_eq!(annotation("kustomize.toolkit.fluxcd.io/prune"), Some("disabled"), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rehearsal_is_in_its_namespace_and_may_do_nothing_outside_of_it() {
    let mut env = TestEnvironment::without_operator_on_own_control_plane().await;
    let folder = format!("{DEPLOY_FOLDER}/rehearsal");
    for object in env.cluster.render(&folder) {
        let (kind, namespace) = (object["kind"].as_str().unwrap(), object["metadata"]["namespace"].as_str());
        assert!(namespace == Some(REHEARSAL) || kind == "Namespace", "{kind} {}", object["metadata"]["name"]);
        for subject in object["subjects"].as_array().into_iter().flatten() {
            assert_eq!(subject["namespace"], REHEARSAL, "{object}");
        }
    }
    env.cluster.kubectl(&["apply", "-k", &folder]);
    for (verb, resource) in PERMISSIONS {
        assert!(env.cluster.may((REHEARSAL, OPERATOR), REHEARSAL, verb, resource), "{verb} {resource}");
        assert!(!env.cluster.may((REHEARSAL, OPERATOR), &env.namespace, verb, resource), "{verb} {resource}");
    }
    // It cannot reconcile another namespace.
    let kubeconfig = env.cluster.kubeconfig_of(REHEARSAL, OPERATOR);
    env = env.with_variable("KUBECONFIG", kubeconfig.to_str().unwrap()).with_variable("POD_NAMESPACE", REHEARSAL);
    let (code, log) = env.run_operator_to_exit().await;
    let expected = format!("not allowed to get premiumsupportplans.fic.ntt.com in namespace {}", env.namespace);
    assert!(code == Some(1) && log.contains(&expected), "{code:?}: {log}");
    // In its own it works.
    env.namespace = REHEARSAL.into();
    env.set_flags(&["--leader-elect"]);
    env.create_secret().await;
    env.start_operator().await;
    env.apply("premium", json!({})).await;
    env.wait_for_reason("premium", "Contracted").await;
    env.delete("premium").await;
    env.wait_for_deletion("premium").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_namespaced_operator_has_no_right_on_secrets_outside_of_its_namespaces() {
    let env = TestEnvironment::without_operator_on_own_control_plane().await;
    let folder = format!("{DEPLOY_FOLDER}/namespaced");
    env.cluster.kubectl(&["delete", "-k", DEPLOY_FOLDER, "--timeout=60s"]);
    // The namespace must exist, and the message names it.
    let error = env.cluster.try_kubectl(&["apply", "-k", &folder]).expect_err("the namespace does not exist");
    assert!(error.contains("namespaces \"network-team\" not found"), "{error}");
    env.create_namespace("network-team").await;
    env.cluster.kubectl(&["apply", "-k", &folder]);
    for (verb, resource) in PERMISSIONS {
        assert!(env.cluster.may((OPERATOR, OPERATOR), "network-team", verb, resource), "{verb} {resource}");
        for other in [OPERATOR, "kube-system", &env.namespace] {
            assert!(!env.cluster.may((OPERATOR, OPERATOR), other, verb, resource), "{verb} {resource} in {other}");
        }
    }
    let crd = "customresourcedefinitions.apiextensions.k8s.io/premiumsupportplans.fic.ntt.com";
    assert!(env.cluster.may((OPERATOR, OPERATOR), "network-team", "get", crd));
}

/// Who may edit objects in a namespace may not buy contracts, unless an admin wants it so.
#[tokio::test(flavor = "multi_thread")]
async fn the_built_in_role_edit_buys_nothing_by_default() {
    let env = TestEnvironment::without_operator_on_own_control_plane().await;
    let plans = "premiumsupportplans.fic.ntt.com";
    for (user, role) in [
        ("view", "view"),
        ("edit", "edit"),
        ("buyer", "fic-support-operator-edit"),
        ("manager", "fic-support-operator-admin"),
    ] {
        let (role, user_flag) = (format!("--clusterrole={role}"), format!("--user={user}"));
        env.kubectl(&["create", "rolebinding", user, &role, &user_flag]);
    }
    let may = |user: &str, verb: &str| env.cluster.may_user(&format!("--as={user}"), &env.namespace, verb, plans);
    // The built-in roles are aggregated a moment later.
    env.wait_until("the role view to include plans", || async { may("view", "list") && may("edit", "list") }).await;
    let rights = |user: &str| ["get", "create", "delete", "deletecollection"].map(|verb| may(user, verb));
    assert_eq!(rights("view"), [true, false, false, false]);
    assert_eq!(rights("edit"), [true, false, false, false]);
    assert_eq!(rights("buyer"), [true, true, true, false]);
    assert_eq!(rights("manager"), [true, true, true, true]);

    let overlay = env.cluster.overlay(&["user-roles-in-edit", "guard/record-deny"]);
    env.cluster.kubectl(&["apply", "-k", overlay.to_str().unwrap()]);
    env.wait_until("the role edit to include plans", || async { may("edit", "create") }).await;
    assert_eq!(rights("view"), [true, false, false, false]);
    let actions = ["--output=jsonpath={.spec.validationActions}"];
    let binding = ["get", "validatingadmissionpolicybinding", "fic-support-operator-record"];
    assert_eq!(env.cluster.kubectl(&[&binding[..], &actions].concat()), "[\"Deny\"]");
}
