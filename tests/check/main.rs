//! The command `check` against the simulator: its whole output in each situation. `UPDATE=1` rewrites the files.

#![allow(clippy::unwrap_used, reason = "a test stops at the first unexpected result")]

use std::fmt::Write as _;
use std::path::Path;

use fic_simulator::Simulator;
use fic_simulator::faults::{Fault, Kind};
use fic_simulator::log::Call;
use fic_simulator::portal::Action;
use fic_simulator::state::Settings;
use tokio::process::Command;

const TENANT: &str = "db8b0e40743f460685040c46167cf19e";
const VARIABLES: [(&str, &str); 3] =
    [("OS_USERNAME", "key"), ("OS_PASSWORD", "the-api-secret"), ("OS_TENANT_ID", TENANT)];

/// A situation: its name, what is done to the simulator, the flags, and variables in addition or instead.
struct Situation {
    name: &'static str,
    set_up: fn(&Simulator),
    flags: &'static [&'static str],
    variables: &'static [(&'static str, &'static str)],
}

const COMPLETED: Situation = Situation {
    name: "contract",
    set_up: |simulator| simulator.portal(TENANT, &Action::Create),
    flags: &[],
    variables: &[],
};

fn fault(simulator: &Simulator, call: Call, kind: Kind) {
    simulator.fault(Fault { call: Some(call), tenant: None, skip: 0, times: None, kind });
}

fn status(code: u16) -> Kind {
    Kind::Status { code, body: None, retry_after: None }
}

const SITUATIONS: &[Situation] = &[
    COMPLETED,
    Situation { name: "contract-json", flags: &["--output=json"], ..COMPLETED },
    Situation { name: "contract-yaml", flags: &["-o", "yaml", "-n", "team", "--name", "support"], ..COMPLETED },
    Situation { name: "no-contract", set_up: |_| {}, ..COMPLETED },
    Situation { name: "no-contract-yaml", set_up: |_| {}, flags: &["-o", "yaml"], ..COMPLETED },
    Situation { name: "wrong-credentials", set_up: |simulator| simulator.account("key", Some("another")), ..COMPLETED },
    Situation { name: "no-permission", set_up: |simulator| fault(simulator, Call::List, status(403)), ..COMPLETED },
    Situation { name: "fic-unavailable", set_up: |simulator| fault(simulator, Call::List, status(503)), ..COMPLETED },
    Situation {
        name: "keystone-unavailable",
        set_up: |simulator| fault(simulator, Call::SignIn, Kind::DropBefore),
        ..COMPLETED
    },
    Situation { name: "rate-limited", set_up: |simulator| fault(simulator, Call::SignIn, status(429)), ..COMPLETED },
    Situation {
        name: "not-shown",
        set_up: |simulator| {
            simulator.portal(TENANT, &Action::Create);
            fault(simulator, Call::Show, status(404));
        },
        ..COMPLETED
    },
    Situation {
        name: "another-menu",
        set_up: |simulator| {
            simulator.portal(TENANT, &Action::Create);
            simulator.portal(TENANT, &Action::SetMenu("BasicPlan".into()));
        },
        ..COMPLETED
    },
    Situation {
        name: "operation-failed",
        set_up: |simulator| {
            simulator.portal(TENANT, &Action::Create);
            simulator.portal(TENANT, &Action::SetStatus("Error".into()));
        },
        ..COMPLETED
    },
    Situation {
        name: "operation-failed-yaml",
        set_up: |simulator| {
            simulator.portal(TENANT, &Action::Create);
            simulator.portal(TENANT, &Action::SetStatus("Error".into()));
        },
        flags: &["-o", "yaml"],
        ..COMPLETED
    },
    Situation {
        name: "operation-in-progress",
        set_up: |simulator| {
            simulator.portal(TENANT, &Action::Create);
            simulator.portal(TENANT, &Action::SetStatus("Processing".into()));
        },
        ..COMPLETED
    },
    Situation {
        name: "another-tenant",
        set_up: |simulator| {
            simulator.portal(TENANT, &Action::Create);
            fault(simulator, Call::List, Kind::WrongTenant);
        },
        ..COMPLETED
    },
    Situation { name: "no-credentials", variables: &[("OS_USERNAME", ""), ("OS_PASSWORD", "")], ..COMPLETED },
    Situation { name: "half-a-pair", variables: &[("OS_PASSWORD", " ")], ..COMPLETED },
    Situation { name: "secret-without-cluster", flags: &["--secret=team/fic-credentials"], ..COMPLETED },
    Situation { name: "unencrypted", flags: &["--allow-insecure-http=false"], ..COMPLETED },
    Situation {
        name: "proxy",
        flags: &["--request-timeout=1s"],
        variables: &[("HTTP_PROXY", "http://user:the-password@127.0.0.1:1"), ("NO_PROXY", "")],
        ..COMPLETED
    },
];

/// What a user sees, without what differs from run to run.
async fn output(situation: &Situation) -> String {
    let simulator = Simulator::start(([127, 0, 0, 1], 0).into(), Settings::default()).await.unwrap();
    simulator.account("key", Some("the-api-secret"));
    (situation.set_up)(&simulator);
    let mut command = Command::new(env!("CARGO_BIN_EXE_fic-support-operator"));
    command.env_clear().envs(VARIABLES).env("KUBECONFIG", "/nowhere").arg("check");
    command.arg(format!("--fic-endpoint={}", simulator.fic_endpoint()));
    command.arg(format!("--keystone-endpoint={}", simulator.keystone_endpoint()));
    command.arg("--allow-insecure-http").args(situation.flags).envs(situation.variables.iter().copied());
    let output = command.output().await.unwrap();
    let mut text = String::new();
    for (name, bytes) in [("stdout", &output.stdout), ("stderr", &output.stderr)] {
        let shown = std::str::from_utf8(bytes).unwrap();
        if !shown.is_empty() {
            let _ = writeln!(text, "[{name}]\n{}", shown.trim_end());
        }
    }
    let _ = writeln!(text, "[exit code]\n{}", output.status.code().unwrap());
    let writes = simulator.log().iter().filter(|entry| matches!(entry.call, Call::Create | Call::Delete)).count();
    assert_eq!(writes, 0, "{}: a check changed something", situation.name);
    for secret in ["the-api-secret", "the-password"] {
        assert!(!text.contains(secret), "{}: a secret is shown: {text}", situation.name);
    }
    let text = text.replace(&simulator.address().to_string(), "simulator");
    match simulator.contract(TENANT) {
        Some(contract) => text.replace(&contract.menu_start_date, "DATE"),
        None => text,
    }
}

#[tokio::test]
async fn output_in_each_situation_is_up_to_date() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/check");
    let mut different = Vec::new();
    for situation in SITUATIONS {
        let file = folder.join(format!("{}.txt", situation.name));
        let seen = output(situation).await;
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&file, seen).unwrap();
        } else if std::fs::read_to_string(&file).ok().as_deref() != Some(&seen) {
            different.push(format!("{}:\n{seen}", situation.name));
        }
    }
    assert!(
        different.is_empty(),
        "run `UPDATE=1 cargo test --test check` and commit tests/check\n{}",
        different.join("\n")
    );
}

#[tokio::test]
async fn address_of_keystone_may_be_that_of_the_variables_or_of_the_cloud() {
    let simulator = Simulator::start(([127, 0, 0, 1], 0).into(), Settings::default()).await.unwrap();
    let keystone = simulator.keystone_endpoint();
    let without_version = keystone.strip_suffix("/v3").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let auth = format!("auth_url: {without_version}, username: key, password: the-api-secret, project_id: {TENANT}");
    std::fs::write(folder.path().join("clouds.yaml"), format!("clouds: {{fic: {{auth: {{{auth}}}}}}}")).unwrap();
    let check = async |flags: &[&str], variables: &[(&str, &str)]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fic-support-operator"));
        command.env_clear().env("KUBECONFIG", "/nowhere").current_dir(folder.path()).arg("check");
        command.arg("--allow-insecure-http").arg(format!("--fic-endpoint={}", simulator.fic_endpoint()));
        let output = command.args(flags).envs(variables.iter().copied()).output().await.unwrap();
        let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        (output.status.code(), text)
    };
    let of_variables = [&VARIABLES[..], &[("OS_AUTH_URL", without_version)]].concat();
    for (flags, variables) in
        [(&[][..], of_variables.as_slice()), (&["--cloud=fic"], &[]), (&[], &[("OS_CLOUD", "fic")])]
    {
        let (code, text) = check(flags, variables).await;
        assert!(code == Some(3) && text.contains(&format!("Keystone answers at {keystone}.")), "{text}");
    }
    // The flag is stronger, and an address without TLS is refused wherever it comes from.
    let (code, text) = check(&["--keystone-endpoint=http://127.0.0.1:1/v3"], &of_variables).await;
    assert!(code == Some(1) && text.contains("http://127.0.0.1:1/v3: no connection"), "{text}");
    let flags = ["--allow-insecure-http=false", "--fic-endpoint=https://fic.example"];
    let (code, text) = check(&flags, &of_variables).await;
    assert!(code == Some(2) && text.contains("error: OS_AUTH_URL is http://"), "{text}");
}

#[test]
fn each_file_belongs_to_a_situation() {
    let files = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/check")).unwrap();
    for file in files {
        let name = file.unwrap().file_name().into_string().unwrap();
        if let Some(name) = name.strip_suffix(".txt") {
            assert!(SITUATIONS.iter().any(|situation| situation.name == name), "{name} belongs to no situation");
        }
    }
}
