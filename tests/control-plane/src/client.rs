//! Starts a supervisor from a test and holds its standard input open.

use std::io::{BufRead, BufReader, Lines, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use crate::supervisor::{Details, Order};
use crate::{Error, context, kubeconfig};

/// A control plane that runs until this value is dropped or this process ends.
pub struct ControlPlane {
    details: Details,
    supervisor: Mutex<Supervisor>,
}

struct Supervisor {
    process: Child,
    orders: Option<ChildStdin>,
    responses: Lines<BufReader<ChildStdout>>,
}

impl ControlPlane {
    /// Starts a control plane and waits until it is ready. The first start on a machine builds Kubernetes.
    ///
    /// # Errors
    /// When the control plane does not start.
    pub fn start() -> Result<Self, Error> {
        let program = supervisor_program()?;
        let mut process = Command::new(&program)
            .args(["up", "--until-stdin-closes", "--json"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(context(format!("starting {}", program.display())))?;
        let orders = process.stdin.take();
        let stdout = process.stdout.take().ok_or_else(|| Error::new("the supervisor has no standard output"))?;
        let mut responses = BufReader::new(stdout).lines();
        let Some(Ok(line)) = responses.next() else {
            let _ = process.wait();
            return Err(Error::new("the control plane did not start; its supervisor has printed the reason"));
        };
        let details = serde_json::from_str(&line).map_err(context("reading the output of the supervisor"))?;
        Ok(Self { details, supervisor: Mutex::new(Supervisor { process, orders, responses }) })
    }

    /// Its paths and its address.
    #[must_use]
    pub fn details(&self) -> &Details {
        &self.details
    }

    /// A kubectl command with the permissions of the administrator.
    #[must_use]
    pub fn kubectl(&self) -> Command {
        let mut command = Command::new(&self.details.kubectl);
        command.env("KUBECONFIG", &self.details.kubeconfig).stdin(Stdio::null());
        command
    }

    /// Writes a kubeconfig with the permissions of a service account and returns its path.
    ///
    /// # Errors
    /// When the service account does not exist.
    pub fn service_account_kubeconfig(&self, namespace: &str, name: &str) -> Result<PathBuf, Error> {
        let output = self
            .kubectl()
            .args(["create", "token", name, "--namespace", namespace, "--duration=4h"])
            .output()
            .map_err(context("running kubectl"))?;
        if !output.status.success() {
            return Err(Error::new(String::from_utf8_lossy(&output.stderr)));
        }
        let token = String::from_utf8_lossy(&output.stdout);
        let file = self.details.folder.join(format!("kubeconfig-{namespace}-{name}"));
        kubeconfig::write_token(&self.details.folder, &self.details.server, token.trim(), &file)?;
        Ok(file)
    }

    /// Sends an order to the supervisor and waits until it is executed.
    ///
    /// # Errors
    /// When the order fails.
    pub fn order(&self, order: Order) -> Result<(), Error> {
        let mut supervisor = self.supervisor.lock().unwrap_or_else(PoisonError::into_inner);
        let line = serde_json::to_string(&order).map_err(context("serializing an order"))?;
        let orders = supervisor.orders.as_mut().ok_or_else(|| Error::new("the control plane is stopped"))?;
        writeln!(orders, "{line}").map_err(context("sending an order"))?;
        match supervisor.responses.next() {
            Some(Ok(_)) => Ok(()),
            Some(Err(_)) | None => Err(Error::new(format!("{order:?} failed; the supervisor has printed the reason"))),
        }
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        let mut supervisor = self.supervisor.lock().unwrap_or_else(PoisonError::into_inner);
        supervisor.orders = None;
        let _ = supervisor.process.wait();
    }
}

/// The path of the supervisor binary: from `CONTROL_PLANE`, or from the build folder of this test.
fn supervisor_program() -> Result<PathBuf, Error> {
    if let Some(path) = std::env::var_os("CONTROL_PLANE") {
        return Ok(path.into());
    }
    let test = std::env::current_exe().map_err(context("locating the supervisor"))?;
    let candidates = test.ancestors().skip(1).take(2).map(|folder| folder.join("control-plane"));
    candidates.into_iter().find(|program| program.is_file()).ok_or_else(|| {
        Error::new("the control-plane binary is not built: run `cargo build --workspace` (`make test` does), or set CONTROL_PLANE to its path")
    })
}
