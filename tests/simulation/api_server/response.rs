//! Responses of the API server.

use std::convert::Infallible;

use bytes::Bytes;
use http::{Response as HttpResponse, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};

pub type Response = HttpResponse<UnsyncBoxBody<Bytes, Infallible>>;

pub fn success(object: &Value) -> Response {
    HttpResponse::new(BodyExt::boxed_unsync(Full::new(Bytes::from(object.to_string()))))
}

pub fn failure(code: u16) -> Response {
    let mut response = success(&status(code));
    *response.status_mut() = StatusCode::from_u16(code).unwrap();
    response
}

/// The `Status` object of a failure.
pub fn status(code: u16) -> Value {
    let reason = match code {
        403 => "Forbidden",
        404 => "NotFound",
        409 => "Conflict",
        410 => "Expired",
        422 => "Invalid",
        _ => "InternalError",
    };
    json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": "refused",
    })
}
