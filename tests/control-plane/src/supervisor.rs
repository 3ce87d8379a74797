//! The process that owns a control plane.
//!
//! Tests end in many ways: they pass, they panic, they are killed. The one thing that happens in all of them is that their end of a pipe is
//! closed. So a process of its own holds the control plane, with its standard input as that pipe, and takes everything down
//! when it closes, or on a signal.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, BufReader, Lines, Stdin};
use tokio::signal::unix::{SignalKind, signal};

use crate::binaries::Binaries;
use crate::components::Components;
use crate::{Error, doing};

/// How often a start is tried: a free port may be taken before it is used.
const STARTS: usize = 3;

/// What whoever asked for a control plane needs to know of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Details {
    /// The folder of everything.
    pub folder: PathBuf,
    /// The administrator's kubeconfig.
    pub kubeconfig: PathBuf,
    /// kubectl.
    pub kubectl: PathBuf,
    /// The API server.
    pub server: String,
    /// The audit log.
    pub audit_log: PathBuf,
}

/// What a supervisor can be told to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs, reason = "each says it")]
pub enum Order {
    StopEtcd,
    StartEtcd,
    StopApiServer,
    StartApiServer,
}

/// Starts a control plane, trying again with other ports where one was taken.
fn start(binaries: &Binaries) -> Result<Components, Error> {
    let mut tries = 0;
    loop {
        tries += 1;
        match Components::start(binaries.clone()) {
            Ok(components) => return Ok(components),
            Err(error) if tries < STARTS && error.to_string().contains("address already in use") => {}
            Err(error) => return Err(error),
        }
    }
}

impl Details {
    /// Of a control plane.
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

/// Starts a control plane, tells of it, and waits for the end: a signal, or, where it is told to, the end of standard input. Until
/// then it does as it is told.
///
/// # Errors
/// When it does not come up, or an order cannot be carried out.
pub async fn supervise(binaries: Binaries, until_stdin_closes: bool, tell: impl FnOnce(&Details)) -> Result<(), Error> {
    // Signals are listened for from before the first process is started: one that comes meanwhile is not lost, and nothing stays.
    let mut terminate = signal(SignalKind::terminate()).map_err(doing("listening for signals"))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(doing("listening for signals"))?;
    let mut components =
        tokio::task::spawn_blocking(move || start(&binaries)).await.map_err(doing("starting the control plane"))??;
    tell(&Details::of(&components));
    let mut orders = BufReader::new(tokio::io::stdin()).lines();
    loop {
        tokio::select! {
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
            order = next(&mut orders), if until_stdin_closes => match order? {
                None => return Ok(()),
                Some(order) => {
                    carry_out(&mut components, order)?;
                    println!("\"done\"");
                }
            },
        }
    }
}

async fn next(orders: &mut Lines<BufReader<Stdin>>) -> Result<Option<Order>, Error> {
    // A pipe that breaks is a pipe that was closed.
    let Ok(Some(line)) = orders.next_line().await else { return Ok(None) };
    serde_json::from_str(&line).map(Some).map_err(doing(format!("reading the order {line}")))
}

fn carry_out(components: &mut Components, order: Order) -> Result<(), Error> {
    match order {
        Order::StopEtcd => components.stop_etcd(),
        Order::StartEtcd => components.start_etcd()?,
        Order::StopApiServer => components.stop_api_server(),
        Order::StartApiServer => components.start_api_server()?,
    }
    Ok(())
}
