//! A cluster with all policies, its namespaces, and kubectl.

use std::process::{Command, Output, Stdio};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use serde_json::{Value, json};

use crate::support::cluster::{CRD, Cluster, OPERATOR};
use crate::support::waiting::{POLL_INTERVAL, TIMEOUT};
use crate::support::{new_tenant, plan};

/// The policies, by the name of their folder.
pub const POLICIES: [&str; 6] = ["crd", "credentials", "plans", "record", "secret-writes", "tenants"];

/// A namespace with a plan and a Secret that are older than the policies: the plan `plan` would abolish a contract, and
/// the Secret `incomplete` has no keys.
pub const OLDER: &str = "older";

/// What kubectl prints: the output of a success, or the error.
pub type Outcome = Result<String, String>;

/// A namespace on the cluster.
pub struct Namespace(pub String);

impl Namespace {
    /// A new one.
    pub fn create() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let namespace = Self(format!("test-{}", NEXT.fetch_add(1, Ordering::Relaxed)));
        cluster().kubectl(&["create", "namespace", &namespace.0]);
        namespace
    }

    /// The one with objects that are older than the policies.
    pub fn older() -> Self {
        cluster();
        Self(OLDER.into())
    }

    /// Runs kubectl as the administrator, or with `--as` as somebody else.
    pub fn kubectl(&self, arguments: &[&str]) -> Outcome {
        run(cluster().control_plane.kubectl().args(["--namespace", &self.0]).args(arguments))
    }

    /// Runs a kubectl command on a manifest.
    pub fn kubectl_with(&self, command: &str, manifest: &Value, flags: &[&str]) -> Outcome {
        kubectl_with(cluster(), &self.0, command, manifest, flags)
    }

    /// Applies a merge patch.
    pub fn patch(&self, object: &str, patch: &Value, flags: &[&str]) -> Outcome {
        self.kubectl(&[&["patch", object, "--type=merge", "--patch", &patch.to_string()], flags].concat())
    }

    /// A field of an object, by its JSON path.
    pub fn field(&self, object: &str, path: &str) -> String {
        self.kubectl(&["get", object, &format!("--output=jsonpath={{{path}}}")]).unwrap()
    }

    /// Creates a plan that abolishes nothing when it is deleted.
    pub fn create_observer(&self, name: &str) {
        self.create_plan_with(name, &json!({ "managementPolicy": "Observe" }));
    }

    /// Creates a plan that abolishes its contract when it is deleted.
    pub fn create_plan(&self, name: &str) {
        self.create_plan_with(name, &json!({}));
    }

    fn create_plan_with(&self, name: &str, more: &Value) {
        let tenant = new_tenant();
        list_tenant(&tenant, &self.0);
        let plan = plan::manifest(name, &plan::spec(&tenant, more));
        let create = || self.kubectl_with("create", &plan, &[]);
        let _ = wait_until("the list of tenants to be read", create, Result::is_ok);
    }
}

/// Runs the command that a message names, as a user who copies it.
pub fn run_the_command_in(message: &str) -> Outcome {
    let (_, command) = message.split_once("run: ").unwrap_or_else(|| panic!("no command in: {message}"));
    let command = command.split_once(" and delete").map_or(command, |(command, _)| command);
    let control_plane = &cluster().control_plane;
    let kubectl = control_plane.details().kubectl.parent().unwrap().display().to_string();
    let path = format!("{kubectl}:{}", std::env::var("PATH").unwrap());
    let mut shell = Command::new("sh");
    run(shell.args(["-c", command]).env("PATH", path).env("KUBECONFIG", &control_plane.details().kubeconfig))
}

/// The flag that lets kubectl act as the operator.
pub fn as_operator() -> String {
    as_account(OPERATOR, OPERATOR)
}

/// The flag that lets kubectl act as an operator with all rights: kubectl reads a Secret or a status before it patches it,
/// and the operator may not.
pub fn as_wide_operator() -> String {
    as_account(OLDER, OPERATOR)
}

/// The flag that lets kubectl act as a service account.
pub fn as_account(namespace: &str, name: &str) -> String {
    format!("--as=system:serviceaccount:{namespace}:{name}")
}

/// The policy has refused a request, with a message that contains this text. Returns the message.
#[track_caller]
pub fn assert_denied(outcome: Outcome, policy: &str, text: &str) -> String {
    let error = outcome.expect_err("the policy must refuse this");
    assert!(is_denied_by(&error, policy) && error.contains(text), "{error}");
    error
}

fn is_denied_by(error: &str, policy: &str) -> bool {
    error.contains(&format!("ValidatingAdmissionPolicy 'fic-support-operator-{policy}'"))
}

/// Waits until kubectl prints what satisfies a condition.
pub fn wait_until(what: &str, outcome: impl Fn() -> Outcome, condition: impl Fn(&Outcome) -> bool) -> Outcome {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        let outcome = outcome();
        if condition(&outcome) {
            return outcome;
        }
        assert!(Instant::now() < deadline, "timed out waiting for {what}: {outcome:?}");
        std::thread::sleep(POLL_INTERVAL);
    }
}

/// Lists the namespaces that may have plans for a tenant.
pub fn list_tenant(tenant: &str, namespaces: &str) {
    let patch = json!({ "data": { tenant: namespaces } }).to_string();
    let list = ["patch", "configmap", "allowed-tenants", "--namespace", OPERATOR, "--type=merge", "--patch", &patch];
    cluster().kubectl(&list);
}

/// The cluster of all tests.
pub fn cluster() -> &'static Cluster {
    &guarded().cluster
}

/// What users saw while there was no list of tenants.
pub fn without_list() -> &'static WithoutList {
    &guarded().without_list
}

/// What a user sees who writes the record of a plan in an installation from `deploy/`. The request succeeds.
pub fn record_warning() -> &'static str {
    &guarded().record_warning
}

struct Guarded {
    cluster: Cluster,
    without_list: WithoutList,
    record_warning: String,
}

/// What users see while there is no list of tenants.
pub struct WithoutList {
    /// The refusal of a new plan.
    pub message: String,
    /// A change of a plan that exists already.
    pub change: Outcome,
}

fn guarded() -> &'static Guarded {
    // If the start fails, all tests fail at once.
    static GUARDED: LazyLock<Guarded> = LazyLock::new(|| {
        let cluster = Cluster::start();
        cluster.kubectl(&["create", "namespace", OLDER]);
        cluster.kubectl(&["create", "secret", "generic", "incomplete", "-n", OLDER, "--type=fic.ntt.com/credentials"]);
        let subject = format!("--serviceaccount={OLDER}:{OPERATOR}");
        cluster.kubectl(&["create", "clusterrolebinding", "wide", "--clusterrole=cluster-admin", &subject]);
        let plan = plan::manifest("plan", &plan::spec(&new_tenant(), &json!({})));
        kubectl_with(&cluster, OLDER, "create", &plan, &[]).unwrap();
        let record_warning = wait_for_record_warning(&cluster);
        for policy in POLICIES {
            let folder = if policy == "record" { "tests/guard/record-deny" } else { &format!("deploy/guard/{policy}") };
            cluster.kubectl(&["apply", "-k", &format!("{}/{folder}", env!("CARGO_MANIFEST_DIR"))]);
        }
        let operator = as_wide_operator();
        wait_until_denied(&cluster, "crd", &["delete", CRD]);
        wait_until_denied(
            &cluster,
            "credentials",
            &["create", "secret", "generic", "new", "--type=fic.ntt.com/credentials"],
        );
        wait_until_denied(&cluster, "plans", &["delete", "psplan", "plan"]);
        wait_until_denied(&cluster, "record", &["annotate", "psplan", "plan", "fic.ntt.com/owner-uid=forged"]);
        wait_until_denied(&cluster, "secret-writes", &["label", "secret", "incomplete", "label=new", &operator]);
        let other = cluster.control_plane.details().folder.join("other-plan.json");
        let manifest = plan::manifest("other", &plan::spec(&new_tenant(), &json!({})));
        std::fs::write(&other, manifest.to_string()).unwrap();
        let message = wait_until_denied(&cluster, "tenants", &["create", "-f", other.to_str().unwrap()]);
        let retain = ["patch", "psplan", "plan", "--type=merge", "-p", r#"{"spec":{"deletionPolicy":"Retain"}}"#];
        let change = run(cluster.control_plane.kubectl().args(retain).args(["--namespace", OLDER, "--dry-run=server"]));
        let without_list = WithoutList { message, change };
        cluster.kubectl(&["create", "configmap", "allowed-tenants", "--namespace", OPERATOR]);
        Guarded { cluster, without_list, record_warning }
    });
    &GUARDED
}

/// The API server reads a new policy a moment later.
fn wait_for_record_warning(cluster: &Cluster) -> String {
    let forge = ["annotate", "psplan", "plan", "fic.ntt.com/owner-uid=forged", "-n", OLDER, "--dry-run=server"];
    let outcome = || {
        let Output { status, stderr, .. } = cluster.control_plane.kubectl().args(forge).output().unwrap();
        let stderr = String::from_utf8(stderr).unwrap();
        if status.success() { Ok(stderr) } else { Err(stderr) }
    };
    let is_warned = |outcome: &Outcome| outcome.as_ref().is_ok_and(|warning| !warning.is_empty());
    wait_until("the policy of the record to be in force", outcome, is_warned).unwrap()
}

/// The API server reads a new policy a moment later. Returns the message of the policy.
fn wait_until_denied(cluster: &Cluster, policy: &str, arguments: &[&str]) -> String {
    let flags = ["--namespace", OLDER, "--dry-run=server"];
    let outcome = || run(cluster.control_plane.kubectl().args(arguments).args(flags));
    let is_denied = |outcome: &Outcome| outcome.as_ref().is_err_and(|error| is_denied_by(error, policy));
    wait_until(&format!("the policy {policy} to be in force"), outcome, is_denied).unwrap_err()
}

fn kubectl_with(cluster: &Cluster, namespace: &str, command: &str, manifest: &Value, flags: &[&str]) -> Outcome {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let file = format!("manifest-{}.json", NEXT.fetch_add(1, Ordering::Relaxed));
    let file = cluster.control_plane.details().folder.join(file);
    std::fs::write(&file, manifest.to_string()).unwrap();
    run(cluster.control_plane.kubectl().args(["--namespace", namespace, command, "-f"]).arg(&file).args(flags))
}

fn run(command: &mut Command) -> Outcome {
    let Output { status, stdout, stderr } = command.stdin(Stdio::null()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    if status.success() { Ok(text(stdout)) } else { Err(text(stderr)) }
}
