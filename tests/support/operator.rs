//! The operator as a process, with the permissions of its service account.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::process::{Command, ExitStatus};
use std::sync::atomic::{AtomicU32, Ordering};

use super::TestEnvironment;
use super::cluster::OPERATOR;
use super::daemon::Daemon;
use super::texts::log::{CACHES_SYNCED, HTTP_ADDRESS, WAITING_FOR_LEASE};

/// A running operator. It is killed when this value is dropped.
pub struct Operator(Daemon);

impl Operator {
    pub fn log(&self) -> String {
        self.0.log()
    }

    /// The address of the health and metrics endpoints, read from the log.
    pub fn http_address(&self) -> SocketAddr {
        let log = self.log();
        let mut addresses = log.split(HTTP_ADDRESS).skip(1);
        addresses
            .find_map(|rest| rest.split_whitespace().next()?.parse().ok())
            .expect("the operator logs the address of its endpoints at the start")
    }

    /// The id of the process.
    #[allow(dead_code, reason = "only the cluster tests use it")]
    pub fn id(&self) -> u32 {
        self.0.process.id()
    }

    pub fn kill(&mut self) {
        self.0.process.kill().unwrap();
        self.0.process.wait().unwrap();
    }

    /// Sends SIGTERM and waits until the process has exited.
    pub fn terminate(&mut self) -> ExitStatus {
        self.0.terminate()
    }

    #[allow(dead_code, reason = "only the cluster tests use it")]
    pub fn signal(&self, signal: &str) {
        self.0.signal(signal);
    }
}

impl TestEnvironment {
    /// Starts an operator and waits until it reconciles or waits for the lease. Returns its index in `operators`.
    pub async fn start_operator(&mut self) -> usize {
        self.start_operator_until(&[CACHES_SYNCED, WAITING_FOR_LEASE]).await
    }

    /// Starts an operator and waits until its log contains one of these texts. Returns its index in `operators`.
    pub async fn start_operator_until(&mut self, texts: &[&str]) -> usize {
        let operator = self.spawn_operator();
        self.operators.push(operator);
        let index = self.operators.len() - 1;
        self.wait_until("the operator to start", || {
            let log = self.operators[index].log();
            async move { texts.iter().any(|text| log.contains(text)) }
        })
        .await;
        index
    }

    /// Runs an operator until it exits without a signal. Returns its exit code and its log.
    pub async fn run_operator_to_exit(&self) -> (Option<i32>, String) {
        let operator = RefCell::new(self.spawn_operator());
        self.wait_until("the operator to exit", || {
            let has_exited = operator.borrow_mut().0.process.try_wait().unwrap().is_some();
            async move { has_exited }
        })
        .await;
        let mut operator = operator.into_inner();
        (operator.0.process.wait().unwrap().code(), operator.log())
    }

    fn spawn_operator(&self) -> Operator {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = &self.cluster.control_plane.details().folder;
        let log = folder.join(format!("operator-{}-{number}.log", self.namespace));
        let mut command = Command::new(env!("CARGO_BIN_EXE_fic-support-operator"));
        command
            .args(["run", "--allow-insecure-http", "--http-bind-address=127.0.0.1:0"])
            .args(["--poll-interval=200ms", "--resync-interval=2s", "--operation-timeout=30s", "--request-timeout=2s"])
            .arg("--loss-patience=1s")
            .arg(format!("--fic-endpoint={}", self.simulator.fic_endpoint()))
            .arg(format!("--keystone-endpoint={}", self.simulator.keystone_endpoint()))
            .arg(format!("--watch-namespace={}", self.namespace))
            .args(&self.operator_flags)
            .env("KUBECONFIG", &self.cluster.operator_kubeconfig)
            .env("POD_NAMESPACE", OPERATOR)
            .envs(self.operator_variables.iter().cloned())
            .env("RUST_LOG", "info,fic_support_operator=debug");
        Operator(Daemon::start(&mut command, log))
    }

    /// The operator that was started last.
    pub fn operator(&mut self) -> &mut Operator {
        self.operators.last_mut().expect("no operator was started")
    }
}
