//! HTTP responses with streamed bodies.

use std::convert::Infallible;
use std::pin::Pin;

use bytes::Bytes;
use futures::stream::{self, Stream, StreamExt};
use http_body_util::StreamBody;
use hyper::body::Frame;
use hyper::header::{CONTENT_TYPE, HeaderName};
use hyper::{Response, StatusCode};
use serde_json::json;

use crate::response::ApiResponse;

pub(crate) const JSON: &str = "application/json";

type Frames = Pin<Box<dyn Stream<Item = Result<Frame<Bytes>, Infallible>> + Send + Sync>>;
pub(crate) type Chunks = Pin<Box<dyn Stream<Item = Bytes> + Send + Sync>>;

/// The body of an HTTP response.
pub type ResponseBody = StreamBody<Frames>;

/// The HTTP response of an API, without a fault.
pub(crate) fn unchanged(response: &ApiResponse) -> Response<ResponseBody> {
    let mut http = build(response.status, JSON, None, single_chunk(body_text(response)));
    for (name, value) in &response.headers {
        if let Ok(value) = value.parse() {
            http.headers_mut().insert(*name, value);
        }
    }
    http
}

/// The JSON text of the body, or an empty string without a body.
pub(crate) fn body_text(response: &ApiResponse) -> String {
    response.body.as_ref().map(|body| json!(body).to_string()).unwrap_or_default()
}

pub(crate) fn single_chunk(text: String) -> Chunks {
    Box::pin(stream::iter([Bytes::from(text)]))
}

pub(crate) fn build(
    status: u16,
    content_type: &str,
    header: Option<(HeaderName, String)>,
    body: Chunks,
) -> Response<ResponseBody> {
    let frames: Frames = Box::pin(body.map(|chunk| Ok(Frame::data(chunk))));
    let mut response = Response::new(StreamBody::new(frames));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = [(CONTENT_TYPE, content_type.to_owned())].into_iter().chain(header);
    for (name, value) in headers {
        if let Ok(value) = value.parse() {
            response.headers_mut().insert(name, value);
        }
    }
    response
}
