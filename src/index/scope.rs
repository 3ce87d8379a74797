//! Which objects this operator watches.

use kube::core::NamespaceResourceScope;
use kube::{Api, Client, Resource};

/// The namespaces and labels that this operator watches.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    /// The namespaces. Empty: all.
    pub namespaces: Vec<String>,
    /// The label selector of the plans.
    pub label_selector: Option<String>,
}

impl Scope {
    /// One API for each watched namespace, or one for all namespaces.
    pub fn apis<K>(&self, client: &Client) -> Vec<Api<K>>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        if self.namespaces.is_empty() {
            return vec![Api::all(client.clone())];
        }
        self.namespaces.iter().map(|namespace| Api::namespaced(client.clone(), namespace)).collect()
    }

    /// Whether one watch delivers every plan that may claim a tenant, in the order of the versions. With a label selector
    /// the other plans of a tenant may belong to another shard, and several namespaces are watched independently.
    #[must_use]
    pub fn is_one_watch(&self) -> bool {
        self.namespaces.len() <= 1 && self.label_selector.is_none()
    }

    /// Whether other operators may reconcile other plans of the same namespaces.
    #[must_use]
    pub fn is_shard(&self) -> bool {
        self.label_selector.is_some()
    }
}
