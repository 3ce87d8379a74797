//! Lists objects one by one.
//!
//! The client of kube holds a response several times before it decodes the first object, and an object may have more than
//! a megabyte. Here one object at a time is held, so memory stays bounded whatever a namespace is filled with.

use std::fmt::Debug;
use std::marker::PhantomData;
use std::pin::Pin;

use futures::{AsyncBufRead, AsyncBufReadExt};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ListMeta;
use kube::api::ListParams;
use kube::core::Request;
use kube::{Api, Error, Resource};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use zeroize::{Zeroize, Zeroizing};

/// Lists all objects.
///
/// Not in pages: the API server may read each page from etcd, with all objects that the selector does not match. It
/// answers a whole list from its cache.
///
/// # Errors
/// When the list cannot be read to its end.
pub async fn list_each<K>(api: &Api<K>, parameters: &ListParams, mut visit: impl FnMut(K)) -> kube::Result<()>
where
    K: Resource + Clone + DeserializeOwned + Debug,
{
    let mut response = ListResponse::request(api, parameters).await?;
    loop {
        match response.next().await? {
            Next::Object(object) => visit(object),
            Next::End(_) => return Ok(()),
        }
    }
}

/// A response to a list, of which the objects up to here have been read.
pub struct ListResponse<K> {
    body: Pin<Box<dyn AsyncBufRead + Send>>,
    splitter: Splitter,
    kind: PhantomData<fn() -> K>,
}

/// What comes next in a response.
pub enum Next<K> {
    /// An object.
    Object(K),
    /// The end, after all objects.
    End(ListMeta),
}

impl<K: Resource + Clone + DeserializeOwned + Debug> ListResponse<K> {
    /// Sends the request.
    ///
    /// # Errors
    /// When the API server does not answer with a list.
    pub async fn request(api: &Api<K>, parameters: &ListParams) -> kube::Result<Self> {
        let request = Request::new(api.resource_url()).list(parameters).map_err(Error::BuildRequest)?;
        let body = api.clone().into_client().request_stream(request).await?;
        Ok(Self { body: Box::pin(body), splitter: Splitter::default(), kind: PhantomData })
    }

    /// Reads the next object. It is dropped before the one after it is read.
    ///
    /// # Errors
    /// When the object cannot be decoded, or the response ends early.
    pub async fn next(&mut self) -> kube::Result<Next<K>> {
        loop {
            let bytes = self.body.fill_buf().await.map_err(|error| Error::Service(error.into()))?;
            if bytes.is_empty() {
                return self.splitter.end().map(Next::End).map_err(Error::SerdeError);
            }
            let (read, is_complete) = self.splitter.read(bytes);
            self.body.consume_unpin(read);
            if is_complete {
                let object = serde_json::from_slice(&self.splitter.object).map_err(Error::SerdeError)?;
                self.splitter.object.zeroize();
                return Ok(Next::Object(object));
            }
        }
    }
}

/// Splits the JSON of a list into its objects and the rest.
#[derive(Default)]
struct Splitter {
    /// How many braces and brackets are open.
    depth: usize,
    in_string: bool,
    is_escaped: bool,
    in_items: bool,
    /// What was read of an object. It may contain credentials.
    object: Zeroizing<Vec<u8>>,
    /// The list without its objects.
    rest: Vec<u8>,
}

/// How deep the objects of a list are.
const ITEMS_DEPTH: usize = 2;

/// What a byte belongs to.
enum Part {
    Object,
    ObjectEnd,
    Rest,
    Nothing,
}

impl Splitter {
    /// Reads up to the end of an object. Returns how much was read, and whether it contained the end of an object.
    fn read(&mut self, bytes: &[u8]) -> (usize, bool) {
        let mut object = None;
        for (position, byte) in bytes.iter().enumerate() {
            match self.part(*byte) {
                Part::Nothing => {}
                Part::Rest => self.rest.push(*byte),
                Part::Object => object = object.or(Some(position)),
                Part::ObjectEnd => {
                    self.append(&bytes[object.unwrap_or(position)..=position]);
                    return (position + 1, true);
                }
            }
        }
        self.append(&bytes[object.unwrap_or(bytes.len())..]);
        (bytes.len(), false)
    }

    fn part(&mut self, byte: u8) -> Part {
        let in_object = |this: &Self| this.in_items && this.depth > ITEMS_DEPTH;
        let mut is_end = false;
        match byte {
            _ if self.is_escaped => self.is_escaped = false,
            b'\\' if self.in_string => self.is_escaped = true,
            b'"' => self.in_string = !self.in_string,
            _ if self.in_string => {}
            b'{' | b'[' => {
                self.in_items |= self.depth + 1 == ITEMS_DEPTH && byte == b'[' && self.rest.ends_with(b"\"items\":");
                self.depth += 1;
            }
            b'}' | b']' => {
                is_end = in_object(self) && self.depth == ITEMS_DEPTH + 1;
                self.depth = self.depth.saturating_sub(1);
                self.in_items &= self.depth >= ITEMS_DEPTH;
            }
            b',' if self.in_items && self.depth == ITEMS_DEPTH => return Part::Nothing,
            _ if byte.is_ascii_whitespace() && !in_object(self) => return Part::Nothing,
            _ => {}
        }
        if is_end {
            Part::ObjectEnd
        } else if in_object(self) {
            Part::Object
        } else {
            Part::Rest
        }
    }

    /// No copy remains where the buffer has grown.
    fn append(&mut self, bytes: &[u8]) {
        let length = self.object.len() + bytes.len();
        if length > self.object.capacity() {
            let mut larger = Zeroizing::new(Vec::with_capacity(length.next_power_of_two()));
            larger.extend_from_slice(&self.object);
            self.object = larger;
        }
        self.object.extend_from_slice(bytes);
    }

    /// The response is complete.
    fn end(&self) -> serde_json::Result<ListMeta> {
        #[derive(Deserialize)]
        struct List {
            #[serde(default)]
            metadata: ListMeta,
        }
        serde_json::from_slice::<List>(&self.rest).map(|list| list.metadata)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::Response;
    use http_body_util::StreamBody;
    use hyper::body::Frame;
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::Client;
    use kube::client::Body;

    use super::*;

    /// What is read of a response that arrives in parts of this size: the values of `data.key`, and the end.
    async fn read(response: &str, size: usize) -> (Vec<String>, kube::Result<ListMeta>) {
        let parts = response.as_bytes().chunks(size).map(|part| part.to_vec().into()).collect::<Vec<Bytes>>();
        let service = tower::service_fn(move |request: http::Request<Body>| {
            assert_eq!(request.uri(), "/api/v1/configmaps?&fieldSelector=a%3Db&limit=2");
            let frames = parts.clone().into_iter().map(|part| Ok::<_, std::io::Error>(Frame::data(part)));
            let body = StreamBody::new(futures::stream::iter(frames));
            std::future::ready(Ok::<_, std::io::Error>(Response::new(body)))
        });
        let api = Api::<ConfigMap>::all(Client::new(service, "default"));
        let parameters = ListParams::default().fields("a=b").limit(2);
        let mut list = ListResponse::request(&api, &parameters).await.expect("a response");
        let mut values = Vec::new();
        loop {
            match list.next().await {
                Ok(Next::Object(object)) => values.push(object.data.unwrap_or_default()["key"].clone()),
                Ok(Next::End(metadata)) => return (values, Ok(metadata)),
                Err(error) => return (values, Err(error)),
            }
        }
    }

    fn items(values: &[&str]) -> String {
        let item =
            |value: &&str| serde_json::json!({ "metadata": { "finalizers": ["]", "}"] }, "data": { "key": value } });
        let items = values.iter().map(|value| item(value).to_string()).collect::<Vec<_>>();
        format!("[{}]", items.join(",\n"))
    }

    #[tokio::test]
    async fn every_object_is_read_however_the_response_is_split() {
        let values = ["a", "", "quote \" and \\", "\\\"", "{[\"items\":[", "]}]}", "ü", "\\"];
        let items = items(&values);
        for list in [
            format!(r#"{{"kind":"List","apiVersion":"v1","metadata":{{"resourceVersion":"7"}},"items":{items}}}"#),
            format!(
                "{{\"items\" : {items} ,\n \"metadata\": {{ \"resourceVersion\": \"7\", \"continue\":\"items\" }} }}\n"
            ),
        ] {
            for size in [1, 2, 3, 7, 64, list.len()] {
                let (read, end) = read(&list, size).await;
                assert_eq!(read, values, "{size}");
                assert_eq!(end.expect("complete").resource_version.as_deref(), Some("7"), "{size}");
            }
        }
    }

    #[tokio::test]
    async fn a_list_may_be_empty() {
        for list in [r#"{"items":[]}"#, r#"{"metadata":{},"items":null}"#, r#"{"metadata":{"items":[{}]}}"#] {
            let (values, end) = read(list, 1).await;
            assert!(values.is_empty() && end.is_ok(), "{list}: {values:?} {end:?}");
        }
    }

    /// An object that is missing at the end would be an absence to act on.
    #[tokio::test]
    async fn a_response_that_ends_early_is_an_error() {
        let list = format!(r#"{{"items":{},"metadata":{{}}}}"#, items(&["a", "b"]));
        for length in 1..list.len() {
            assert!(read(&list[..length], 9).await.1.is_err(), "{}", &list[..length]);
        }
        assert!(read(&list, 9).await.1.is_ok());
        assert!(read(&list.replace('a', "\u{0}"), 9).await.1.is_err(), "an object that cannot be decoded");
    }

    #[test]
    fn one_object_at_a_time_is_held() {
        let list = format!(r#"{{"items":{}}}"#, items(&["x".repeat(1000).as_str(); 100]));
        let (mut splitter, mut left, mut objects) = (Splitter::default(), list.as_bytes(), 0);
        while !left.is_empty() {
            let (read, is_complete) = splitter.read(left);
            left = &left[read..];
            if is_complete {
                objects += 1;
                splitter.object.zeroize();
            }
            assert!(splitter.object.capacity() <= 2048 && splitter.rest.len() < 20);
        }
        assert_eq!(objects, 100);
    }
}
