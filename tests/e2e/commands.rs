//! The commands that people run beside the operator: `check` and `report`.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use std::process::Output;

use fic_simulator::portal::Action;
use flate2::read::GzDecoder;
use serde_json::json;
use tokio::process::Command;

use crate::support::TestEnvironment;

/// Runs a command with this kubeconfig.
async fn run(env: &TestEnvironment, kubeconfig: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fic-support-operator"));
    command.args(arguments).env("KUBECONFIG", kubeconfig).env("FIC_OPERATOR_ALLOW_INSECURE_HTTP", "true");
    command.env("FIC_OPERATOR_FIC_ENDPOINT", env.simulator.fic_endpoint());
    command.env("FIC_OPERATOR_KEYSTONE_ENDPOINT", env.simulator.keystone_endpoint());
    command.output().await.unwrap()
}

/// What `check` prints for the Secret of the test, and its exit code.
async fn check(env: &TestEnvironment, kubeconfig: &Path, flags: &[&str]) -> (String, Option<i32>) {
    let secret = format!("--secret={}/fic-credentials", env.namespace);
    let output = run(env, kubeconfig, &[&["check", &secret], flags].concat()).await;
    (String::from_utf8([output.stdout, output.stderr].concat()).unwrap(), output.status.code())
}

#[tokio::test(flavor = "multi_thread")]
async fn check_with_a_secret_finds_the_tenant_of_its_plan_and_names_the_plan() {
    let env = TestEnvironment::with_operator().await;
    env.apply("premium", json!({})).await;
    env.wait_for_reason("premium", "Contracted").await;
    let admin = env.cluster.control_plane.details().kubeconfig.clone();
    let (text, exit_code) = check(&env, &admin, &[]).await;
    assert_eq!(exit_code, Some(0), "{text}");
    let plan = format!("One plan in the cluster is for this tenant: {}/premium (Contracted).", env.namespace);
    for expected in [&*format!("tenant: The token is for tenant {}.", env.tenant), &plan, "✔ crd: ", "✔ rights: "] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    let (text, exit_code) = check(&env, &admin, &["--name=another"]).await;
    assert!(exit_code == Some(1) && text.contains("✗ plans: Another plan in the cluster is for this tenant"), "{text}");
    env.apply("second", json!({})).await;
    env.wait_for_reason("second", "TenantClaimed").await;
    let (text, exit_code) = check(&env, &admin, &[]).await;
    assert!(exit_code == Some(1) && text.contains("✗ plans: Several plans in the cluster"), "{text}");
    assert!(text.contains(&format!("{}/second (TenantClaimed)", env.namespace)), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn check_by_a_user_with_few_rights_says_what_is_missing() {
    let env = TestEnvironment::without_operator().await;
    env.create_secret().await;
    env.simulator.portal(&env.tenant, &Action::Create);
    env.kubectl(&["create", "serviceaccount", "reader"]);
    env.kubectl(&["create", "role", "reader", "--verb=list", "--resource=secrets"]);
    let account = format!("--serviceaccount={}:reader", env.namespace);
    env.kubectl(&["create", "rolebinding", "reader", "--role=reader", &account]);
    let reader = env.cluster.kubeconfig_of(&env.namespace, "reader");
    let tenant = format!("--tenant-id={}", env.tenant);
    let (text, exit_code) = check(&env, &reader, &[&tenant]).await;
    assert_eq!(exit_code, Some(1), "{text}");
    let namespace = &env.namespace;
    let rights = format!(
        "✗ rights: You may not create premiumsupportplans.fic.ntt.com in namespace {namespace}, create secrets in namespace {namespace}."
    );
    for expected in [&*rights, "✔ contract: ", "- crd: "] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    assert!(!text.contains("plans: "), "the plans cannot be read: {text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn check_says_that_a_secret_is_missing_has_another_type_or_an_empty_key() {
    let env = TestEnvironment::without_operator().await;
    let admin = env.cluster.control_plane.details().kubeconfig.clone();
    let tenant = format!("--tenant-id={}", env.tenant);
    let (text, exit_code) = check(&env, &admin, &[&tenant]).await;
    let missing = format!("✗ credentials: There is no Secret {}/fic-credentials of type", env.namespace);
    assert!(exit_code == Some(1) && text.contains(&missing), "{text}");
    env.create_secret_with(&env.namespace, "fic.ntt.com/credentials", &[("apiKey", "key"), ("apiSecret", "")]).await;
    let (text, exit_code) = check(&env, &admin, &[&tenant]).await;
    assert!(exit_code == Some(1) && text.contains("cannot be used: apiSecret is empty."), "{text}");
    assert!(env.calls().is_empty(), "nothing is sent without credentials");
}

/// The files of an archive by name, without their folder.
fn files(archive: &Path) -> BTreeMap<String, String> {
    let mut archive = tar::Archive::new(GzDecoder::new(std::fs::File::open(archive).unwrap()));
    let entries = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().strip_prefix("fic-support-report").unwrap().display().to_string();
        let mut text = String::new();
        entry.read_to_string(&mut text).unwrap();
        (path, text)
    });
    entries.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn report_has_plans_and_events_and_no_value_of_a_secret() {
    let env = TestEnvironment::with_operator().await;
    env.apply("premium", json!({})).await;
    env.wait_for_reason("premium", "Contracted").await;
    env.wait_until("the Event of the contract", || async {
        env.event_reasons("premium").await.contains(&"Contracted".to_owned())
    })
    .await;
    let admin = env.cluster.control_plane.details().kubeconfig.clone();
    let folder = tempfile::tempdir().unwrap();
    let archive = folder.path().join("report.tar.gz");
    let output = format!("--output={}", archive.display());
    let namespace = format!("--namespace={}", env.namespace);
    let reported = run(&env, &admin, &["report", &output, &namespace]).await;
    let text = String::from_utf8([reported.stdout, reported.stderr].concat()).unwrap();
    // The operator of a test is no Pod.
    assert!(reported.status.code() == Some(1) && text.contains("✗ operator: namespace"), "{text}");
    let files = files(&archive);
    let names = files.keys().map(String::as_str).collect::<Vec<_>>();
    let expected = [
        "crd.yaml",
        "events.yaml",
        "leases.yaml",
        "missing.txt",
        "operator/deployments.yaml",
        "operator/pods.yaml",
        "plans.yaml",
        "secrets.yaml",
        "versions.txt",
    ];
    assert_eq!(names, expected);
    assert!(files["plans.yaml"].contains(&env.tenant) && files["events.yaml"].contains("Contracted"));
    assert!(files["secrets.yaml"].contains("apiSecret") && files["secrets.yaml"].contains("fic.ntt.com/in-use"));
    let all = files.into_values().collect::<String>();
    for value in ["c2VjcmV0", "apiSecret: secret", "last-applied-configuration"] {
        assert!(!all.contains(value), "{value}");
    }
    let again = run(&env, &admin, &["report", &output]).await;
    let text = String::from_utf8(again.stderr).unwrap();
    assert!(again.status.code() == Some(1) && text.contains("cannot write"), "an archive is not overwritten: {text}");
}
