//! The name of the Lease and the identity of this process in the leader election.

use crate::index::scope::Scope;

/// The name of the Lease. Operators with different scopes elect separate leaders, also in one namespace.
pub(super) fn lease_name(scope: &Scope) -> String {
    if scope.namespaces.is_empty() && scope.label_selector.is_none() {
        return crate::NAME.into();
    }
    let mut namespaces = scope.namespaces.clone();
    namespaces.sort_unstable();
    let shard = format!("{}|{}", namespaces.join(","), scope.label_selector.as_deref().unwrap_or_default());
    // FNV-1a: replicas of different versions must compute the same hash, and the standard library's hashers do not
    // guarantee that.
    let hash = shard.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    format!("{}-{hash:08x}", crate::NAME)
}

/// The identity of this process. It is different after every restart: a new process must not renew a Lease as its own,
/// because it does not know which requests the previous process had in flight.
pub(super) fn process_identity() -> String {
    let host = std::env::var("POD_NAME").or_else(|_| std::env::var("HOSTNAME")).unwrap_or_else(|_| crate::NAME.into());
    format!("{host}_{:08x}", fastrand::u32(..))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lease_name_differs_by_scope_and_ignores_the_order_of_namespaces() {
        let name = |namespaces: &[&str], selector: Option<&str>| {
            lease_name(&Scope {
                namespaces: namespaces.iter().map(ToString::to_string).collect(),
                label_selector: selector.map(Into::into),
            })
        };
        assert_eq!(name(&[], None), "fic-support-operator");
        assert_eq!(name(&["a", "b"], None), name(&["b", "a"], None));
        assert_ne!(name(&["a"], None), name(&["b"], None));
        assert_ne!(name(&[], Some("a=b")), name(&[], None));
    }
}
