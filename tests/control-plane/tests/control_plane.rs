//! The control plane itself: it comes up, it is real, and it is gone without a trace.

#![allow(clippy::unwrap_used, reason = "a test ends at the first thing that is not as it should be")]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use control_plane::ControlPlane;
use control_plane::supervisor::{Details, Order};

fn wait_until(what: &str, is: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_mins(1);
    while !is() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Whether any process still has the folder on its command line.
fn is_left(folder: &Path) -> bool {
    let folder = folder.display().to_string();
    let processes = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let mut command_lines =
        processes.filter_map(|process| std::fs::read_to_string(process.path().join("cmdline")).ok());
    command_lines.any(|line| line.contains(&folder))
}

#[test]
fn it_is_a_real_control_plane_that_can_be_restarted_and_leaves_nothing() {
    let control_plane = ControlPlane::start().unwrap();
    let kubectl = |arguments: &[&str]| control_plane.kubectl().args(arguments).output().unwrap();
    assert!(kubectl(&["create", "namespace", "here"]).status.success());
    assert!(kubectl(&["create", "serviceaccount", "someone", "--namespace=here"]).status.success());
    let kubeconfig = control_plane.service_account_kubeconfig("here", "someone").unwrap();
    let refused = control_plane.kubectl().env("KUBECONFIG", kubeconfig).args(["get", "secrets"]).output().unwrap();
    assert!(String::from_utf8_lossy(&refused.stderr).contains("Forbidden"), "RBAC is on");

    for order in [Order::StopApiServer, Order::StopEtcd, Order::StartEtcd, Order::StartApiServer] {
        control_plane.order(order).unwrap();
    }
    assert!(kubectl(&["get", "namespace", "here"]).status.success(), "what was written is still there");
    assert!(kubectl(&["delete", "namespace", "here", "--timeout=30s"]).status.success(), "namespaces really go");
    assert!(control_plane.details().audit_log.exists());

    let folder = control_plane.details().folder.clone();
    drop(control_plane);
    assert!(!folder.exists() && !is_left(&folder));
}

#[test]
fn it_goes_when_whoever_asked_for_it_is_killed() {
    // A shell holds the pipe, as a test process does, and is killed.
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
    wait_until("the folder to be gone", || !details.folder.exists());
    wait_until("the processes to be gone", || !is_left(&details.folder));
    holder.wait().unwrap();
}
