//! A real local Kubernetes control plane for tests, demos and benchmarks: etcd, kube-apiserver and
//! kube-controller-manager on free loopback ports, with RBAC enabled. It starts in seconds and removes all its
//! processes and files.
//!
//! - [`binaries`]: locates the binaries and builds missing ones.
//! - [`certificates`]: the CA, the certificates and the signing key. [`kubeconfig`]: kubeconfig files.
//! - [`components`]: the processes of the control plane.
//! - [`supervisor`]: the process that owns the components and stops them when the test process ends in any way.
//! - [`client`]: starts a supervisor from a test.

pub mod binaries;
pub mod certificates;
pub mod client;
pub mod components;
pub mod kubeconfig;
pub mod supervisor;

pub use client::ControlPlane;

/// An error, as text for the person who runs the tests.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Error(String);

impl Error {
    /// An error with this message.
    pub fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

/// For `map_err`: prefixes an error with the operation that failed.
pub(crate) fn context<E: std::fmt::Display>(operation: impl std::fmt::Display) -> impl FnOnce(E) -> Error {
    move |error| Error(format!("{operation}: {error}"))
}
