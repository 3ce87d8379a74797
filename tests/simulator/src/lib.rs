//! A simulator of the Premium support API of NTT's Flexible `InterConnect` (FIC) and of the Keystone sign-in before it.
//!
//! It speaks HTTP over real sockets, keeps contracts and tokens as the service does, logs every request, and misbehaves on
//! demand. See its README for the control API; a test in the same process has the same through [`Simulator`].
//!
//! - [`world`]: the state, a pure value: contracts, operations, tokens, accounts.
//! - [`faults`]: how to misbehave. [`portal`]: what people do elsewhere. [`log`]: what was asked.
//! - [`keystone`], [`fic`], [`control`]: the three APIs. [`answer`]: what they answer with. [`server`]: the sockets.

pub mod answer;
pub mod control;
pub mod faults;
pub mod fic;
pub mod keystone;
pub mod log;
pub mod portal;
mod server;
pub mod world;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use faults::Fault;
use log::{Entry, Summary};
use portal::Action;
pub use server::{Body, Dropped};
use world::{Contract, Settings, World};

/// A simulator that runs; it stops when this is dropped.
pub struct Simulator {
    address: SocketAddr,
    world: Shared,
    server: JoinHandle<()>,
}

/// The world, as the server and whoever steers it share it. Without a server it is a simulator too: see [`Shared::answer`].
#[derive(Clone)]
pub struct Shared(Arc<Mutex<World>>);

impl Shared {
    /// A new one.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self(Arc::new(Mutex::new(World::new(settings))))
    }

    /// Answers one request without a socket. What it does is done by the time it is first waited for, unless a fault has it wait.
    ///
    /// # Errors
    /// When there is to be no answer.
    pub async fn answer<B: hyper::body::Body>(
        &self,
        request: hyper::Request<B>,
    ) -> Result<hyper::Response<Body>, Dropped> {
        server::handle(self.clone(), request).await
    }

    /// The world, for as long as the guard is held.
    pub fn lock(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Simulator {
    /// Starts one on an address; port 0 takes any that is free.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub async fn start(address: SocketAddr, settings: Settings) -> std::io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let world = Shared::new(settings);
        let server = tokio::spawn(server::run(listener, world.clone()));
        Ok(Self { address, world, server })
    }

    /// Where it listens.
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

    /// Misbehaves from now on. The number it gives takes the fault back.
    pub fn fault(&self, fault: Fault) -> u64 {
        self.world.lock().faults.add(fault)
    }

    /// Takes every fault back.
    pub fn clear_faults(&self) {
        self.world.lock().faults.clear();
    }

    /// Does what a person in the portal would.
    pub fn portal(&self, tenant: &str, action: &Action) {
        self.world.lock().portal(tenant, action);
    }

    /// The contract of a tenant now.
    #[must_use]
    pub fn contract(&self, tenant: &str) -> Option<Contract> {
        self.world.lock().contract(tenant)
    }

    /// The requests so far.
    #[must_use]
    pub fn log(&self) -> Vec<Entry> {
        self.world.lock().log.entries().to_vec()
    }

    /// What was asked of each tenant, counted.
    #[must_use]
    pub fn summary(&self, tenant: &str) -> Summary {
        self.world.lock().summary(tenant)
    }

    /// From now on this key is accepted with this secret only; without a secret it is locked out.
    pub fn account(&self, api_key: &str, api_secret: Option<&str>) {
        self.world.lock().set_account(api_key, api_secret);
    }

    /// Revokes the tokens of a tenant, or all.
    pub fn revoke_tokens(&self, tenant: Option<&str>) {
        self.world.lock().revoke_tokens(tenant);
    }

    /// Changes how it behaves.
    pub fn set(&self, change: impl FnOnce(&mut Settings)) {
        change(&mut self.world.lock().settings);
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.server.abort();
    }
}
