//! The namespace and name of an object, and its resource version.

use std::sync::Arc;

use kube::ResourceExt;

use crate::api::plan::PremiumSupportPlan;

/// An object's namespace and name. Clones share their text: the operator keeps several of each plan.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectKey {
    /// The namespace.
    pub namespace: Arc<str>,
    /// The name.
    pub name: Arc<str>,
}

impl ObjectKey {
    /// The key with this namespace and name.
    #[must_use]
    pub fn new(namespace: &str, name: &str) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }

    /// The key of an object.
    #[must_use]
    pub fn of(object: &impl ResourceExt) -> Self {
        Self::new(&object.namespace().unwrap_or_default(), &object.name_any())
    }

    /// The key of the Secret that a plan refers to.
    #[must_use]
    pub fn of_secret(plan: &PremiumSupportPlan) -> Self {
        Self::new(&plan.namespace().unwrap_or_default(), &plan.spec.credentials_secret_ref.name)
    }
}

impl std::fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// The resource version of an object as a number. Versions of the same object are ordered.
#[must_use]
pub fn resource_version(object: &impl ResourceExt) -> Option<u64> {
    parse_resource_version(object.resource_version().as_deref())
}

/// A resource version as a number.
#[must_use]
pub fn parse_resource_version(version: Option<&str>) -> Option<u64> {
    version?.parse().ok()
}
