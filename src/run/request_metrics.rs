//! Counts the requests to the API server, and measures how long it takes to begin its responses.

use std::task::{Context, Poll};

use futures::FutureExt;
use futures::future::BoxFuture;
use http::{Method, Request, Response};
use kube::client::Body;
use tokio::time::Instant;
use tower::{BoxError, Layer, Service};

use crate::metrics::KubernetesMetrics;

/// The layer of a client.
#[derive(Clone)]
pub(super) struct RequestMetrics(pub(super) KubernetesMetrics);

#[derive(Clone)]
pub(super) struct Measured<S> {
    inner: S,
    metrics: KubernetesMetrics,
}

impl<S> Layer<S> for RequestMetrics {
    type Service = Measured<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Measured { inner, metrics: self.0.clone() }
    }
}

impl<S, B> Service<Request<Body>> for Measured<S>
where
    S: Service<Request<Body>, Response = Response<B>, Error = BoxError, Future: Send + 'static>,
{
    type Response = Response<B>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (verb, resource) = verb_and_resource(&request);
        let mut measured =
            InProgress { metrics: self.metrics.clone(), verb, resource, code: NO_RESPONSE, began: Instant::now() };
        let response = self.inner.call(request);
        async move {
            let response = response.await?;
            measured.is_answered(response.status().as_u16());
            Ok(response)
        }
        .boxed()
    }
}

/// A request. It is recorded when it is dropped: one that takes too long is cancelled.
struct InProgress {
    metrics: KubernetesMetrics,
    verb: &'static str,
    resource: &'static str,
    code: &'static str,
    began: Instant,
}

impl InProgress {
    fn is_answered(&mut self, status: u16) {
        self.code = CODES.iter().find(|(known, _)| *known == status).map_or("other", |(_, code)| code);
    }
}

impl Drop for InProgress {
    fn drop(&mut self) {
        self.metrics.record_request(self.verb, self.resource, self.code, self.began.elapsed());
    }
}

/// The code of a request without a response.
const NO_RESPONSE: &str = "none";

/// The codes that API servers send, each with a row of its own.
const CODES: [(u16, &str); 17] = [
    (200, "200"),
    (201, "201"),
    (202, "202"),
    (400, "400"),
    (401, "401"),
    (403, "403"),
    (404, "404"),
    (405, "405"),
    (409, "409"),
    (410, "410"),
    (415, "415"),
    (422, "422"),
    (429, "429"),
    (500, "500"),
    (502, "502"),
    (503, "503"),
    (504, "504"),
];

/// The resources that the operator uses.
const RESOURCES: [&str; 7] = [
    "premiumsupportplans",
    "secrets",
    "events",
    "leases",
    "namespaces",
    "customresourcedefinitions",
    "selfsubjectaccessreviews",
];

/// The verb, as in a Role, and the resource.
fn verb_and_resource(request: &Request<Body>) -> (&'static str, &'static str) {
    let mut segments = request.uri().path().split('/').filter(|segment| !segment.is_empty());
    let prefix = match segments.next() {
        Some("api") => 1,
        Some("apis") => 2,
        Some(_) | None => return ("get", "other"),
    };
    let mut segments = segments.skip(prefix).peekable();
    let mut name = segments.next().unwrap_or_default();
    let mut object = segments.next();
    if name == "namespaces" && segments.peek().is_some() {
        name = segments.next().unwrap_or_default();
        object = segments.next();
    }
    let resource = RESOURCES.into_iter().find(|known| *known == name).unwrap_or("other");
    let is_watch = || request.uri().query().is_some_and(|query| query.split('&').any(|pair| pair == "watch=true"));
    let verb = match *request.method() {
        Method::GET if object.is_some() => "get",
        Method::GET if is_watch() => "watch",
        Method::GET => "list",
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        _ => "other",
    };
    (verb, resource)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use kube::Client;
    use kube::client::ClientBuilder;
    use tokio::time::timeout;

    use super::*;

    #[test]
    fn verb_and_resource_are_those_of_a_role() {
        let plans = "/apis/fic.ntt.com/v1beta1/namespaces/team/premiumsupportplans";
        for (method, uri, expected) in [
            ("GET", format!("{plans}/premium"), ("get", "premiumsupportplans")),
            ("GET", plans.into(), ("list", "premiumsupportplans")),
            ("GET", format!("{plans}?&limit=500"), ("list", "premiumsupportplans")),
            ("PATCH", format!("{plans}/premium/status?&fieldManager=a"), ("patch", "premiumsupportplans")),
            (
                "GET",
                "/apis/fic.ntt.com/v1beta1/premiumsupportplans?&watch=true&timeoutSeconds=290".into(),
                ("watch", "premiumsupportplans"),
            ),
            ("GET", "/api/v1/namespaces/team/secrets/credentials".into(), ("get", "secrets")),
            ("GET", "/api/v1/secrets?watch=true".into(), ("watch", "secrets")),
            ("GET", "/api/v1/namespaces/team".into(), ("get", "namespaces")),
            ("GET", "/api/v1/namespaces".into(), ("list", "namespaces")),
            ("POST", "/apis/events.k8s.io/v1/namespaces/team/events".into(), ("create", "events")),
            ("PUT", "/apis/coordination.k8s.io/v1/namespaces/operators/leases/lease".into(), ("update", "leases")),
            (
                "GET",
                "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/premiumsupportplans.fic.ntt.com".into(),
                ("get", "customresourcedefinitions"),
            ),
            (
                "POST",
                "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews".into(),
                ("create", "selfsubjectaccessreviews"),
            ),
            ("DELETE", "/api/v1/namespaces/team/pods/pod".into(), ("delete", "other")),
            ("GET", "/version".into(), ("get", "other")),
            ("HEAD", "/api".into(), ("other", "other")),
        ] {
            let request = Request::builder().method(method).uri(&uri).body(Body::empty()).expect("a request");
            assert_eq!(verb_and_resource(&request), expected, "{method} {uri}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn requests_are_counted_with_their_code_and_without_a_response_too() {
        let mut registry = crate::metrics::registry();
        let metrics = KubernetesMetrics::register(&mut registry);
        let service = tower::service_fn(|request: Request<Body>| async move {
            match request.uri().path() {
                "/api/v1/namespaces/found" => Ok::<_, BoxError>(Response::new(Body::from(b"{}".to_vec()))),
                "/api/v1/namespaces/hangs" => std::future::pending().await,
                "/api/v1/namespaces/teapot" => Ok(Response::builder().status(418).body(Body::empty())?),
                _ => Err("no connection".into()),
            }
        });
        let client: Client = ClientBuilder::new(service, "team").with_layer(&RequestMetrics(metrics)).build();
        let get = async |name: &str| {
            let request = Request::get(format!("/api/v1/namespaces/{name}")).body(Vec::new()).expect("a request");
            timeout(Duration::from_secs(1), client.request_text(request)).await
        };
        assert!(get("found").await.is_ok_and(|response| response.is_ok()));
        assert!(get("hangs").await.is_err());
        assert!(get("teapot").await.is_ok_and(|response| response.is_err()));
        assert!(get("refused").await.is_ok_and(|response| response.is_err()));
        let text = crate::metrics::text(&registry).expect("the metrics are encoded");
        let labels = "verb=\"get\",resource=\"namespaces\"";
        for (code, count) in [("200", 1), ("none", 2), ("other", 1)] {
            let row = format!("fic_operator_kubernetes_requests_total{{{labels},code=\"{code}\"}} {count}\n");
            assert!(text.contains(&row), "{row} is missing in {text}");
        }
        for row in ["_count{verb=\"get\"} 4\n", "_sum{verb=\"get\"} 1.0\n"] {
            let row = format!("fic_operator_kubernetes_request_duration_seconds{row}");
            assert!(text.contains(&row), "{row} is missing in {text}");
        }
    }
}
