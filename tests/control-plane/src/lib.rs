//! A real local Kubernetes control plane for tests, demos and benchmarks: etcd, kube-apiserver and kube-controller-manager,
//! on free loopback ports, with RBAC on, up in seconds and gone without a trace.
//!
//! - [`binaries`]: where the programs come from, and how they are built once.
//! - [`certificates`]: who trusts whom.
//! - [`components`]: the processes.
//! - [`supervisor`]: the process that owns them, and takes everything down whatever happens to the one that asked for it.
//! - [`client`]: how a test asks for a control plane.

pub mod binaries;
pub mod certificates;
pub mod client;
pub mod components;
pub mod kubeconfig;
pub mod supervisor;

pub use client::ControlPlane;

/// What went wrong, in words for whoever runs the tests.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Error(String);

impl Error {
    /// An error in words.
    pub fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }
}

/// Puts what was being done before what went wrong.
pub(crate) fn doing<E: std::fmt::Display>(what: impl std::fmt::Display) -> impl FnOnce(E) -> Error {
    move |error| Error(format!("{what}: {error}"))
}
