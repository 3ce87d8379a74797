//! How a test asks for a control plane: by a supervisor, whose standard input it holds.

use std::io::{BufRead, BufReader, Lines, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use crate::supervisor::{Details, Order};
use crate::{Error, doing, kubeconfig};

/// A control plane that is there for as long as this value, or this process, is.
pub struct ControlPlane {
    details: Details,
    supervisor: Mutex<Supervisor>,
}

struct Supervisor {
    process: Child,
    orders: Option<ChildStdin>,
    answers: Lines<BufReader<ChildStdout>>,
}

impl ControlPlane {
    /// Starts one and waits until it is ready. The first time ever, this builds Kubernetes.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn start() -> Result<Self, Error> {
        let program = supervisor_program()?;
        let mut process = Command::new(&program)
            .args(["up", "--until-stdin-closes", "--json"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(doing(format!("starting {}", program.display())))?;
        let orders = process.stdin.take();
        let stdout = process.stdout.take().ok_or_else(|| Error::new("the supervisor has no output"))?;
        let mut answers = BufReader::new(stdout).lines();
        let Some(Ok(line)) = answers.next() else {
            let _ = process.wait();
            return Err(Error::new("the control plane did not come up; its supervisor has said why"));
        };
        let details = serde_json::from_str(&line).map_err(doing("reading what the supervisor says"))?;
        Ok(Self { details, supervisor: Mutex::new(Supervisor { process, orders, answers }) })
    }

    /// What there is to know of it.
    #[must_use]
    pub fn details(&self) -> &Details {
        &self.details
    }

    /// A kubectl command with the administrator's rights.
    #[must_use]
    pub fn kubectl(&self) -> Command {
        let mut command = Command::new(&self.details.kubectl);
        command.env("KUBECONFIG", &self.details.kubeconfig).stdin(Stdio::null());
        command
    }

    /// A kubeconfig with the rights of a service account.
    ///
    /// # Errors
    /// When there is no such account.
    pub fn service_account_kubeconfig(&self, namespace: &str, name: &str) -> Result<PathBuf, Error> {
        let output = self
            .kubectl()
            .args(["create", "token", name, "--namespace", namespace, "--duration=4h"])
            .output()
            .map_err(doing("running kubectl"))?;
        if !output.status.success() {
            return Err(Error::new(String::from_utf8_lossy(&output.stderr)));
        }
        let token = String::from_utf8_lossy(&output.stdout);
        let file = self.details.folder.join(format!("kubeconfig-{namespace}-{name}"));
        kubeconfig::write_token(&self.details.folder, &self.details.server, token.trim(), &file)?;
        Ok(file)
    }

    /// Has something done, and waits until it is.
    ///
    /// # Errors
    /// When it is not done.
    pub fn order(&self, order: Order) -> Result<(), Error> {
        let mut supervisor = self.supervisor.lock().unwrap_or_else(PoisonError::into_inner);
        let line = serde_json::to_string(&order).map_err(doing("writing an order"))?;
        let orders = supervisor.orders.as_mut().ok_or_else(|| Error::new("the control plane is gone"))?;
        writeln!(orders, "{line}").map_err(doing("giving an order"))?;
        match supervisor.answers.next() {
            Some(Ok(_)) => Ok(()),
            Some(Err(_)) | None => {
                Err(Error::new(format!("{order:?} was not carried out; the supervisor has said why")))
            }
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

/// The supervisor's program: named by `CONTROL_PLANE`, or beside what cargo has built for this test.
fn supervisor_program() -> Result<PathBuf, Error> {
    if let Some(named) = std::env::var_os("CONTROL_PLANE") {
        return Ok(named.into());
    }
    let own = std::env::current_exe().map_err(doing("looking for the supervisor"))?;
    let beside = own.ancestors().skip(1).take(2).map(|folder| folder.join("control-plane"));
    beside.into_iter().find(|program| is_file(program)).ok_or_else(|| {
        Error::new("the program control-plane is not built: run `cargo build --workspace` (or `make test`, which does), or name it in CONTROL_PLANE")
    })
}

fn is_file(path: &Path) -> bool {
    path.is_file()
}
