//! The identity of this process in the leader election.

/// The identity of this process. It is different after every restart: a new process must not renew a Lease as its own,
/// because it does not know which requests the previous process had in flight.
pub(super) fn process_identity() -> String {
    let host = std::env::var("POD_NAME").or_else(|_| std::env::var("HOSTNAME")).unwrap_or_else(|_| crate::NAME.into());
    format!("{host}_{:08x}", fastrand::u32(..))
}
