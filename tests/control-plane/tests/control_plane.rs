//! Tests that the control plane starts, enforces RBAC, restarts, and leaves no process or file.

#![allow(clippy::unwrap_used, reason = "a panic fails the test")]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use control_plane::ControlPlane;
use control_plane::supervisor::{Details, Order};

fn wait_until(condition: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_mins(1);
    while !holds() {
        assert!(Instant::now() < deadline, "timed out waiting until {condition}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Whether a process with the folder on its command line exists.
fn has_processes(folder: &Path) -> bool {
    let folder = folder.display().to_string();
    let processes = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let mut command_lines =
        processes.filter_map(|process| std::fs::read_to_string(process.path().join("cmdline")).ok());
    command_lines.any(|line| line.contains(&folder))
}

#[test]
fn control_plane_enforces_rbac_survives_restarts_and_is_removed_on_drop() {
    let control_plane = ControlPlane::start().unwrap();
    let kubectl = |arguments: &[&str]| control_plane.kubectl().args(arguments).output().unwrap();
    assert!(kubectl(&["create", "namespace", "test"]).status.success());
    assert!(kubectl(&["create", "serviceaccount", "tester", "--namespace=test"]).status.success());
    let kubeconfig = control_plane.service_account_kubeconfig("test", "tester").unwrap();
    let forbidden = control_plane.kubectl().env("KUBECONFIG", kubeconfig).args(["get", "secrets"]).output().unwrap();
    assert!(String::from_utf8_lossy(&forbidden.stderr).contains("Forbidden"), "RBAC is enabled");

    for order in [Order::StopApiServer, Order::StopEtcd, Order::StartEtcd, Order::StartApiServer] {
        control_plane.order(order).unwrap();
    }
    assert!(kubectl(&["get", "namespace", "test"]).status.success(), "the data survives the restarts");
    assert!(
        kubectl(&["delete", "namespace", "test", "--timeout=30s"]).status.success(),
        "the namespace controller deletes namespaces"
    );
    assert!(control_plane.details().audit_log.exists());

    let folder = control_plane.details().folder.clone();
    drop(control_plane);
    assert!(!folder.exists() && !has_processes(&folder));
}

#[test]
fn control_plane_is_removed_when_the_test_process_is_killed() {
    // `sleep` holds the write end of the pipe, like a test process, and is killed.
    let mut holder = Command::new("sh")
        .args(["-c", "sleep 600 | \"$0\" up --until-stdin-closes --json", env!("CARGO_BIN_EXE_control-plane")])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let line = BufReader::new(holder.stdout.take().unwrap()).lines().next().unwrap().unwrap();
    let details: Details = serde_json::from_str(&line).unwrap();
    assert!(details.folder.exists());
    let sleeper = Command::new("pgrep").args(["-P", &holder.id().to_string(), "sleep"]).output().unwrap();
    let sleeper = String::from_utf8(sleeper.stdout).unwrap();
    assert!(Command::new("kill").args(["-9", sleeper.trim()]).status().unwrap().success());
    wait_until("the folder is removed", || !details.folder.exists());
    wait_until("no process exists", || !has_processes(&details.folder));
    holder.wait().unwrap();
}
