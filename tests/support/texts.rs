//! The log lines and status messages of the operator that tests wait for or check. Change a text here when it changes
//! in the operator.

#![allow(dead_code, reason = "each of the two test binaries checks some of these texts")]

/// Parts of log lines.
pub(crate) mod log {
    /// The operator has listed every plan and Secret, and starts to reconcile.
    pub(crate) const CACHES_SYNCED: &str = "the caches are synced";
    /// The replica waits for the lease. It logs this at the start and after it has lost the lease.
    pub(crate) const WAITING_FOR_LEASE: &str = "waiting to acquire the lease";
    /// The replica leads.
    pub(crate) const LEASE_ACQUIRED: &str = "acquired the lease";
    /// The replica has lost the lease: it was taken or deleted, or the renew deadline has passed.
    pub(crate) const LEASE_LOST: [&str; 2] =
        ["the lease does not name this replica any more", "failed to renew the lease in time"];
    /// The replica has released the lease at shutdown.
    pub(crate) const LEASE_RELEASED: &str = "released the lease";
    /// A watch has failed and is restarted.
    pub(crate) const WATCH_FAILED: &str = "the watch failed";
    /// etcd was restored from a backup.
    pub(crate) const VERSIONS_WENT_BACK: &str = "versions went back";
    /// A plan does not match the schema that this operator knows.
    pub(crate) const UNDECODABLE_PLAN: &str = "cannot decode this plan";
    /// The address of the health and metrics endpoints follows.
    pub(crate) const HTTP_ADDRESS: &str = "http=";
}

/// Parts of the message of the `Ready` condition.
pub(crate) mod message {
    /// The contract exists with the requested menu.
    pub(crate) const ACTIVE: &str = "is active";
    /// The plan has managementPolicy Observe.
    pub(crate) const ONLY_OBSERVED: &str = "only reports it";
    /// Replaces a credential in a text from FIC.
    pub(crate) const REDACTED: &str = "[redacted]";
}
