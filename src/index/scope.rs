//! Which objects this operator watches.

use std::fmt::Debug;

use kube::api::ListParams;
use kube::core::NamespaceResourceScope;
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;

/// How many objects a response contains at most. An object may have more than a megabyte.
pub const PAGE_SIZE: u32 = 50;

/// Lists objects page by page, so that memory stays bounded whatever a namespace is filled with.
///
/// # Errors
/// When a page cannot be read.
pub async fn list_pages<K>(api: &Api<K>, parameters: &ListParams, mut visit: impl FnMut(K)) -> kube::Result<()>
where
    K: Clone + DeserializeOwned + Debug,
{
    let mut parameters = parameters.clone().limit(PAGE_SIZE);
    loop {
        let page = api.list(&parameters).await?;
        page.items.into_iter().for_each(&mut visit);
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => parameters = parameters.continue_token(&token),
            None => return Ok(()),
        }
    }
}

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

#[cfg(test)]
mod tests {
    use http::{Request, Response};
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::client::Body;
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn every_page_of_a_list_is_read() {
        let server = tower::service_fn(|request: Request<Body>| async move {
            let query = request.uri().query().unwrap_or_default().to_owned();
            assert!(query.contains(&format!("limit={PAGE_SIZE}")), "{query}");
            assert!(query.contains("fieldSelector=metadata.name"), "{query}");
            let (name, next) = if query.contains("continue=next") { ("second", "") } else { ("first", "next") };
            let list = json!({
                "apiVersion": "v1", "kind": "ConfigMapList",
                "metadata": { "continue": next }, "items": [{ "metadata": { "name": name } }],
            });
            Ok::<_, std::io::Error>(Response::new(Body::from(list.to_string().into_bytes())))
        });
        let api = Api::<ConfigMap>::all(Client::new(server, "default"));
        let mut names = Vec::new();
        let parameters = ListParams::default().fields("metadata.name!=other");
        let visit = |object: ConfigMap| names.extend(object.metadata.name);
        list_pages(&api, &parameters, visit).await.expect("both pages are read");
        assert_eq!(names, ["first", "second"]);
    }
}
