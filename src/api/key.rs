//! How objects are named among ourselves.

use kube::ResourceExt;

use crate::api::plan::PremiumSupportPlan;

/// An object's namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// The namespace.
    pub namespace: Box<str>,
    /// The name.
    pub name: Box<str>,
}

impl Key {
    /// Puts a key together.
    #[must_use]
    pub fn new(namespace: &str, name: &str) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }

    /// The key of an object.
    #[must_use]
    pub fn of(object: &impl ResourceExt) -> Self {
        Self::new(&object.namespace().unwrap_or_default(), &object.name_any())
    }

    /// The Secret that a plan names.
    #[must_use]
    pub fn of_secret(plan: &PremiumSupportPlan) -> Self {
        Self::new(&plan.namespace().unwrap_or_default(), &plan.spec.credentials_secret_ref.name)
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}
