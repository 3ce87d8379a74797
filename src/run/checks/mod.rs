//! Checks at the start: the version of the API server, the CRD, and the permissions of the operator.
//!
//! Without them a missing right would be an endless retry in the log, and an old CRD would drop what the operator
//! records. A check that gets no answer does not end the start: the watches wait for the API server anyway.

mod crd;
mod permissions;
mod version;

use kube::Client;
use thiserror::Error;
use tracing::debug;

use crate::index::scope::Scope;
use crate::text;
pub(crate) use crd::{CrdCheck, check as check_crd};
pub(crate) use permissions::LeaseAccess;
pub(crate) use permissions::{missing as missing_permissions, needed as needed_by_operator};
pub(crate) use version::check_version;

/// What this cluster lacks.
#[derive(Debug, Error)]
pub enum CheckError {
    /// The API server is too old: its version.
    #[error("the API server is Kubernetes {0}; this operator needs Kubernetes 1.{minimum} or newer", minimum = version::MINIMUM_MINOR)]
    Version(Box<str>),
    /// The CRD is not installed.
    #[error("the CustomResourceDefinition {name} is not installed; run kubectl apply -f crds/", name = crate::api::crd::NAME)]
    NoCrd,
    /// The CRD lacks something that this operator needs.
    #[error(
        "the CustomResourceDefinition {name} is not the one of this operator: it lacks {0}; run kubectl apply -f crds/",
        name = crate::api::crd::NAME
    )]
    OldCrd(Box<str>),
    /// Permissions are missing.
    #[error("the operator is not allowed to {0}; grant what the roles in deploy/ contain")]
    Permissions(Box<str>),
}

/// What does not stop the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::run) struct Checked {
    /// The CRD is not the one of this version. It has what the operator needs.
    pub(super) crd_outdated: bool,
}

/// Checks what the operator needs of the cluster.
///
/// # Errors
/// The first thing that is missing for certain.
pub(super) async fn run(client: &Client, scope: &Scope, lease: Option<&LeaseAccess>) -> Result<Checked, CheckError> {
    let ((), crd, ()) =
        tokio::try_join!(version::check(client), crd::check(client), permissions::check(client, scope, lease))?;
    Ok(Checked { crd_outdated: crd == CrdCheck::Outdated })
}

/// A check without an answer.
fn not_checked(what: &'static str, error: &kube::Error) {
    debug!(what, error = %text::error_chain(error), "not checked");
}

#[cfg(test)]
mod fake;
