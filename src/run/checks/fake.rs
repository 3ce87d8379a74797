//! An API server for the tests of the checks.

use http::{Request, Response};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};

/// A client of an API server that answers each request by its body.
pub(super) fn client(answer: impl Fn(&Value) -> (u16, Value) + Clone + Send + 'static) -> Client {
    let service = tower::service_fn(move |request: Request<Body>| {
        let answer = answer.clone();
        async move {
            let body = request.into_body().collect_bytes().await.unwrap_or_default();
            let (code, body) = answer(&serde_json::from_slice(&body).unwrap_or_default());
            Response::builder().status(code).body(Body::from(body.to_string().into_bytes()))
        }
    });
    Client::new(service, "default")
}

pub(super) fn failure(code: u16) -> (u16, Value) {
    let reason = if code == 404 { "NotFound" } else { "Other" };
    (code, json!({ "kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": "refused" }))
}
