//! The process that owns a control plane.
//!
//! A test process can pass, panic or be killed. In each case the kernel closes its end of a pipe. The supervisor is a
//! separate process whose standard input is that pipe. It stops the control plane when the pipe is closed or a signal
//! arrives.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, BufReader, Lines, Stdin};
use tokio::signal::unix::{SignalKind, signal};

use crate::binaries::Binaries;
use crate::components::{Components, Revisions};
use crate::{Error, context};

/// The number of start attempts: another process may bind a free port before the component does.
const START_ATTEMPTS: usize = 3;

/// The paths and the address that a test needs to use the control plane.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Details {
    /// The folder with all files of the control plane.
    pub folder: PathBuf,
    /// The kubeconfig of the administrator.
    pub kubeconfig: PathBuf,
    /// The path of kubectl.
    pub kubectl: PathBuf,
    /// The URL of the API server.
    pub server: String,
    /// The path of the audit log.
    pub audit_log: PathBuf,
}

/// An order to the supervisor. A test sends it as one line of JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs, reason = "the names of the variants are enough")]
pub enum Order {
    StopEtcd,
    StartEtcd,
    StopApiServer,
    StartApiServer,
    BackUpEtcd,
    RestoreEtcd,
    RestoreEtcdWithHigherRevisions,
}

/// Starts a control plane. Retries with other ports when a port is in use.
fn start(binaries: &Binaries) -> Result<Components, Error> {
    let mut attempts = 0;
    loop {
        attempts += 1;
        match Components::start(binaries.clone()) {
            Ok(components) => return Ok(components),
            Err(error) if attempts < START_ATTEMPTS && error.to_string().contains("address already in use") => {}
            Err(error) => return Err(error),
        }
    }
}

impl Details {
    /// The details of a running control plane.
    #[must_use]
    pub fn of(components: &Components) -> Self {
        Self {
            folder: components.folder().to_owned(),
            kubeconfig: components.kubeconfig(),
            kubectl: components.kubectl(),
            server: components.server(),
            audit_log: components.audit_log(),
        }
    }
}

/// Starts a control plane, passes its details to `report`, and executes orders until a signal arrives or, with
/// `until_stdin_closes`, until standard input is closed.
///
/// # Errors
/// When the control plane does not start, or an order fails.
pub async fn supervise(
    binaries: Binaries,
    until_stdin_closes: bool,
    report: impl FnOnce(&Details),
) -> Result<(), Error> {
    // The signal handlers are installed before the first process starts, so that a signal during the start leaves no
    // process behind.
    let mut terminate = signal(SignalKind::terminate()).map_err(context("installing a signal handler"))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(context("installing a signal handler"))?;
    let mut components = tokio::task::spawn_blocking(move || start(&binaries))
        .await
        .map_err(context("starting the control plane"))??;
    report(&Details::of(&components));
    let mut orders = BufReader::new(tokio::io::stdin()).lines();
    loop {
        tokio::select! {
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
            order = next_order(&mut orders), if until_stdin_closes => match order? {
                None => return Ok(()),
                Some(order) => {
                    execute(&mut components, order)?;
                    println!("\"done\"");
                }
            },
        }
    }
}

async fn next_order(orders: &mut Lines<BufReader<Stdin>>) -> Result<Option<Order>, Error> {
    // A read error counts as a closed pipe.
    let Ok(Some(line)) = orders.next_line().await else { return Ok(None) };
    serde_json::from_str(&line).map(Some).map_err(context(format!("reading the order {line}")))
}

fn execute(components: &mut Components, order: Order) -> Result<(), Error> {
    match order {
        Order::StopEtcd => components.stop_etcd(),
        Order::StartEtcd => components.start_etcd()?,
        Order::StopApiServer => components.stop_api_server(),
        Order::StartApiServer => components.start_api_server()?,
        Order::BackUpEtcd => components.back_up_etcd()?,
        Order::RestoreEtcd => components.restore_etcd(Revisions::GoBack)?,
        Order::RestoreEtcdWithHigherRevisions => components.restore_etcd(Revisions::Jump)?,
    }
    Ok(())
}
