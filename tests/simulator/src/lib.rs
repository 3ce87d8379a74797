//! Simulator of the Premium support API of NTT's Flexible `InterConnect` (FIC) and of the Keystone authentication that
//! the API requires.
//!
//! It serves HTTP over real sockets, holds contracts and tokens as the service does, logs every request, and injects
//! faults on request. The README documents the control API. A test in the same process uses [`Simulator`] instead.
//!
//! - [`state`]: contracts, operations, tokens and accounts.
//! - [`faults`]: the faults to inject. [`portal`]: the actions of users in the portal. [`log`]: the received requests.
//! - [`keystone`], [`fic`], [`control`]: the three APIs. [`response`]: what they return.
//! - `server`: sockets and routing. `fault_injection`: executes a request under a fault. `body`: HTTP response bodies.

mod body;
pub mod control;
mod fault_injection;
pub mod faults;
pub mod fic;
pub mod keystone;
pub mod log;
pub mod portal;
pub mod response;
mod server;
pub mod state;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::net::TcpListener;
use tokio::task::JoinHandle;

pub use body::ResponseBody;
pub use fault_injection::ConnectionClosed;
use faults::Fault;
use log::{Entry, Summary};
use portal::Action;
use state::{Contract, FicState, Settings};

/// A running simulator. Dropping it stops the server.
pub struct Simulator {
    address: SocketAddr,
    state: SharedState,
    server: JoinHandle<()>,
}

/// The state that the server and the test share. It also works without a server: see [`SharedState::answer`].
#[derive(Clone)]
pub struct SharedState(Arc<Mutex<FicState>>);

impl SharedState {
    /// An empty state.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self(Arc::new(Mutex::new(FicState::new(settings))))
    }

    /// Answers one request without a socket. The first poll of the returned future completes the effect of the request,
    /// unless the latency setting or a fault delays it.
    ///
    /// # Errors
    /// When a fault closes the connection without a response.
    pub async fn answer<B: hyper::body::Body>(
        &self,
        request: hyper::Request<B>,
    ) -> Result<hyper::Response<ResponseBody>, ConnectionClosed> {
        server::handle(self.clone(), request).await
    }

    /// Locks the state until the guard is dropped.
    pub fn lock(&self) -> MutexGuard<'_, FicState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Simulator {
    /// Starts a simulator on an address. Port 0 selects a free port.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub async fn start(address: SocketAddr, settings: Settings) -> std::io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let state = SharedState::new(settings);
        let server = tokio::spawn(server::run(listener, state.clone()));
        Ok(Self { address, state, server })
    }

    /// The address that the server listens on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The endpoint of FIC.
    #[must_use]
    pub fn fic_endpoint(&self) -> String {
        format!("http://{}/fic-eri", self.address)
    }

    /// The endpoint of Keystone.
    #[must_use]
    pub fn keystone_endpoint(&self) -> String {
        format!("http://{}/keystone/v3", self.address)
    }

    /// The state, for a task of its own.
    #[must_use]
    pub fn state(&self) -> SharedState {
        self.state.clone()
    }

    /// Injects a fault from now on. Returns the number of the fault.
    pub fn fault(&self, fault: Fault) -> u64 {
        self.state.lock().faults.add(fault)
    }

    /// Removes every fault.
    pub fn clear_faults(&self) {
        self.state.lock().faults.clear();
    }

    /// Performs an action of a user in the portal.
    pub fn portal(&self, tenant: &str, action: &Action) {
        self.state.lock().portal(tenant, action);
    }

    /// The current contract of a tenant.
    #[must_use]
    pub fn contract(&self, tenant: &str) -> Option<Contract> {
        self.state.lock().contract(tenant)
    }

    /// The requests received so far.
    #[must_use]
    pub fn log(&self) -> Vec<Entry> {
        self.state.lock().log.entries().to_vec()
    }

    /// The number of requests for one tenant, by call.
    #[must_use]
    pub fn summary(&self, tenant: &str) -> Summary {
        self.state.lock().summary(tenant)
    }

    /// Accepts this API key with this secret only. Without a secret, the key is locked out.
    pub fn account(&self, api_key: &str, api_secret: Option<&str>) {
        self.state.lock().set_account(api_key, api_secret);
    }

    /// Revokes the tokens of one tenant, or of all tenants.
    pub fn revoke_tokens(&self, tenant: Option<&str>) {
        self.state.lock().revoke_tokens(tenant);
    }

    /// Changes the settings.
    pub fn set(&self, change: impl FnOnce(&mut Settings)) {
        change(&mut self.state.lock().settings);
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.server.abort();
    }
}
