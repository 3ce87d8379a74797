//! How many faults and changes one exploration allows.

/// How often each kind of fault or change may happen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Budget {
    pub crashes: u8,
    /// Another replica acquires the lease while a request of the previous leader is in flight.
    pub failovers: u8,
    /// A request or a response is lost.
    pub losses: u8,
    /// A read from FIC returns an earlier state.
    pub stale_reads: u8,
    /// A user buys, abolishes or replaces the contract in the portal.
    pub portal_changes: u8,
    pub failed_operations: u8,
    /// FIC refuses a request, or returns 429 before it processes the request.
    pub refusals: u8,
    /// A user edits a plan, or requests a reconcile.
    pub edits: u8,
    /// A user deletes the Secret, or creates it again.
    pub secret_changes: u8,
    /// A user or a tool adds or removes marks of a record, or wipes the status of a plan.
    pub record_changes: u8,
    /// A user deletes the CRD.
    pub uninstalls: u8,
}

impl Budget {
    /// One more of each kind that may happen at all.
    pub fn wider(self) -> Self {
        let one_more = |count: u8| count + u8::from(count > 0);
        Self {
            crashes: one_more(self.crashes),
            // A process leaves one request in flight; two such processes in a row reach nothing that one and a crash do
            // not reach.
            failovers: self.failovers,
            losses: one_more(self.losses),
            // The rules hold only if fewer reads are stale than are required to confirm an absence.
            stale_reads: self.stale_reads,
            portal_changes: one_more(self.portal_changes),
            failed_operations: one_more(self.failed_operations),
            refusals: one_more(self.refusals),
            edits: one_more(self.edits),
            secret_changes: one_more(self.secret_changes),
            record_changes: one_more(self.record_changes),
            uninstalls: self.uninstalls,
        }
    }
}
