//! The names of the API calls, as they appear in metrics.

use strum::{IntoStaticStr, VariantArray};

/// A call of the FIC or Keystone API. Its name in `snake_case` is the value of the metric label `call`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum Call {
    /// Get a token from Keystone.
    SignIn,
    /// List the contracts of a tenant.
    List,
    /// Show one contract.
    Show,
    /// Create a contract.
    Create,
    /// Delete a contract.
    Delete,
    /// List the operations on a contract.
    Operations,
}
