//! schemathesis makes requests from the description, valid and invalid ones, and compares the responses of the simulator
//! with it. It follows the links too: a created contract is shown and deleted.

use std::process::{Output, Stdio};

use fic_simulator::Simulator;
use fic_simulator::state::Settings;
use serde_json::json;
use tokio::process::Command;

use crate::fic_calls::{DESCRIPTION, TENANT, install_crypto_provider};
use crate::make;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/openapi_tools");

async fn token(simulator: &Simulator) -> String {
    install_crypto_provider();
    let user = json!({ "domain": { "id": "default" }, "name": "key", "password": "secret" });
    let identity = json!({ "methods": ["password"], "password": { "user": user } });
    let body = json!({ "auth": { "identity": identity, "scope": { "project": { "id": TENANT } } } });
    let url = format!("{}/auth/tokens", simulator.keystone_endpoint());
    let response = reqwest::Client::new().post(url).body(body.to_string()).send().await.unwrap();
    response.headers()["x-subject-token"].to_str().unwrap().to_owned()
}

/// Runs schemathesis with this description against a simulator with these settings.
async fn run(description: &str, settings: Settings) -> (bool, String) {
    let simulator = Simulator::start(([127, 0, 0, 1], 0).into(), settings).await.unwrap();
    let token = token(&simulator).await;
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(make::tool("schemathesis"));
    command.args(["--config-file", &format!("{FOLDER}/schemathesis.toml"), "run", description]);
    command.args(["--url", &format!("http://{}", simulator.address()), "--header", &format!("X-Auth-Token: {token}")]);
    // With a seed a failure can be repeated.
    command.args(["--seed", "1", "--max-examples", "200", "--no-color"]);
    // It writes files into the current folder.
    command.current_dir(&folder).stdin(Stdio::null()).kill_on_drop(true);
    let Output { status, stdout, stderr } = command.output().await.unwrap();
    (status.success(), String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned())
}

fn settings() -> Settings {
    Settings { processing_ms: 0, ..Settings::default() }
}

#[tokio::test]
async fn the_simulator_does_what_is_described() {
    let (is_ok, text) = run(DESCRIPTION, settings()).await;
    assert!(is_ok, "{text}");
    assert!(text.contains("Tested: 6"), "{text}");
    println!("{}", text.lines().filter(|line| line.contains(" passed")).collect::<Vec<_>>().join("\n"));
}

/// The simulator is one of another service then.
#[tokio::test]
async fn a_simulator_that_does_something_else_is_noticed() {
    let settings = Settings { answer_key: "contract".into(), ..settings() };
    let (is_ok, text) = run(DESCRIPTION, settings).await;
    assert!(!is_ok && text.contains("Response violates schema"), "{text}");
}
