//! Creates the Kubernetes clients, and has the API server validate `--label-selector`.

use std::time::Duration;

use http::HeaderValue;
use http::header::USER_AGENT;
use kube::api::ListParams;
use kube::client::ClientBuilder;
use kube::{Api, Client, Config};
use tokio::time::timeout;

use super::deadline::client_with_deadline;
use super::request_metrics::RequestMetrics;
use super::{RunError, kube_config};
use crate::api::plan::PremiumSupportPlan;
use crate::index::scope::Scope;
use crate::metrics::KubernetesMetrics;
use crate::proxy::Proxies;
use crate::text;

/// How long a request to the API server may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);

/// The clients of the API server. Each has connections of its own.
pub(super) struct Clients {
    /// For requests. Each ends in time.
    pub(super) requests: Client,
    /// For lists and watches. The controller limits their time.
    pub(super) watches: Client,
    /// For leader election, which limits its time. It must not wait for a connection on which another request hangs.
    pub(super) lease: Client,
}

pub(super) fn clients(proxies: &Proxies, metrics: &KubernetesMetrics) -> Result<Clients, RunError> {
    let (config, _) = config(proxies)?;
    let layer = RequestMetrics(metrics.clone());
    let connect = move || Ok(ClientBuilder::try_from(config.clone())?.with_layer(&layer).build());
    let clients = || {
        let (watches, lease) = (connect()?, connect()?);
        Ok(Clients { requests: client_with_deadline(REQUEST_TIMEOUT, connect)?, watches, lease })
    };
    clients().map_err(RunError::KubernetesClient)
}

/// A client for the commands that only read. Its requests end in time.
pub(crate) fn client(proxies: &Proxies) -> Result<(Client, kube_config::Origin), RunError> {
    let (config, origin) = config(proxies)?;
    let client = client_with_deadline(REQUEST_TIMEOUT, move || Client::try_from(config.clone()));
    Ok((client.map_err(RunError::KubernetesClient)?, origin))
}

fn config(proxies: &Proxies) -> Result<(Config, kube_config::Origin), RunError> {
    let (mut config, origin) = kube_config::load(proxies).map_err(RunError::KubernetesConfig)?;
    config.headers.push((USER_AGENT, HeaderValue::from_static(crate::USER_AGENT)));
    // Each caller decides whether and when to retry.
    config.default_retry = false;
    Ok((config, origin))
}

/// Sends one list request with the selector. Only the API server's `400 Bad Request` is an error: after any other
/// failure (no connection, missing permission, the CRD is not installed) the operator starts, and the watch reports the
/// error and retries.
pub(super) async fn validate_label_selector(client: &Client, scope: &Scope) -> Result<(), RunError> {
    let Some(selector) = &scope.label_selector else { return Ok(()) };
    let plans: Api<PremiumSupportPlan> = match scope.namespaces.first() {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    };
    let parameters = ListParams::default().labels(selector).limit(1);
    // Metadata only: a plan that cannot be decoded does not matter here.
    if let Ok(Err(kube::Error::Api(status))) = timeout(REQUEST_TIMEOUT, plans.list_metadata(&parameters)).await
        && status.code == 400
    {
        return Err(RunError::LabelSelector(selector.clone(), text::sanitize_message(&status.message, &[])));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex, PoisonError};

    use http::{Request, Response};
    use kube::client::Body;
    use serde_json::{Value, json};

    use super::*;

    fn scope(namespaces: &[&str], selector: Option<&str>) -> Scope {
        Scope {
            namespaces: namespaces.iter().map(ToString::to_string).collect(),
            label_selector: selector.map(Into::into),
        }
    }

    /// Validates against an API server that sends this response (`None`: it closes the connection); also returns the
    /// request URIs.
    async fn validate(scope: &Scope, response: Option<(u16, Value)>) -> (Result<(), RunError>, Vec<String>) {
        let requests = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&requests);
        let service = tower::service_fn(move |request: Request<Body>| {
            log.lock().unwrap_or_else(PoisonError::into_inner).push(request.uri().to_string());
            let response = response.clone().ok_or_else(|| std::io::Error::other("connection closed"));
            let response = response.map(|(code, body)| {
                let response = Response::builder().status(code).body(Body::from(body.to_string().into_bytes()));
                response.expect("a valid response")
            });
            std::future::ready(response)
        });
        let result = validate_label_selector(&Client::new(service, "default"), scope).await;
        let requests = requests.lock().unwrap_or_else(PoisonError::into_inner).clone();
        (result, requests)
    }

    fn failure(code: u16, message: &str) -> (u16, Value) {
        (code, json!({ "kind": "Status", "status": "Failure", "code": code, "message": message }))
    }

    #[tokio::test]
    async fn bad_request_ends_the_start_with_exit_code_2_and_one_clean_line() {
        let response = Some(failure(400, "unable to parse\nrequirement: \u{1b}[31mfound '('"));
        let error = validate(&scope(&[], Some("a=(")), response).await.0.expect_err("the selector is not valid");
        assert_eq!(error.exit_code(), 2);
        assert_eq!(
            error.to_string(),
            "--label-selector \"a=(\" is not valid: unable to parse requirement: [31mfound '('; use a selector such as \
             team=network,tier!=test,shard in (a,b)"
        );
    }

    #[tokio::test]
    async fn any_other_failure_does_not_end_the_start() {
        let failures = [failure(403, "forbidden"), failure(404, "not found"), failure(500, "internal error")];
        for response in failures.map(Some).into_iter().chain([None]) {
            let (result, requests) = validate(&scope(&[], Some("a=b")), response.clone()).await;
            assert!(result.is_ok() && requests.len() == 1, "{response:?}: {result:?}, {requests:?}");
        }
    }

    #[tokio::test]
    async fn selector_is_sent_for_the_first_namespace_or_for_all() {
        let list = || Some((200, json!({ "kind": "PartialObjectMetadataList", "metadata": {}, "items": [] })));
        let (result, requests) = validate(&scope(&["a", "b"], Some("shard in (x,y)")), list()).await;
        assert!(result.is_ok(), "{result:?}");
        let query = "?&labelSelector=shard+in+%28x%2Cy%29&limit=1";
        assert_eq!(requests, [format!("/apis/fic.ntt.com/v1beta1/namespaces/a/premiumsupportplans{query}")]);
        let (_, requests) = validate(&scope(&[], Some("shard in (x,y)")), list()).await;
        assert_eq!(requests, [format!("/apis/fic.ntt.com/v1beta1/premiumsupportplans{query}")]);
        let (_, requests) = validate(&scope(&["a"], None), list()).await;
        assert_eq!(requests, Vec::<String>::new(), "without the flag no request is sent");
    }
}
