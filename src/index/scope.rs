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

/// What one list returns: the objects of a namespace, or of all.
pub struct Part<'a>(Option<&'a str>);

impl Part<'_> {
    /// The API of these objects.
    pub fn api<K>(&self, client: &Client) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        self.0.map_or_else(|| Api::all(client.clone()), |namespace| Api::namespaced(client.clone(), namespace))
    }
}

impl Scope {
    /// One API for each watched namespace, or one for all namespaces.
    pub fn apis<K>(&self, client: &Client) -> Vec<Api<K>>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        self.parts().into_iter().map(|part| part.api(client)).collect()
    }

    /// The watched namespaces, or one part that is all namespaces.
    pub fn parts(&self) -> Vec<Part<'_>> {
        if self.namespaces.is_empty() {
            return vec![Part(None)];
        }
        self.namespaces.iter().map(|namespace| Part(Some(namespace))).collect()
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
