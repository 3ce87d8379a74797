//! A proxy between an operator and the API server: it leaves requests unanswered, freezes connections as a load
//! balancer does that forgets them, changes the version of the API server, and translates the version of plans.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{Response, header};
use fic_support_operator::api::crd;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::cluster::Cluster;
use super::waiting::TIMEOUT;

/// The proxy. It runs until the test ends.
pub struct ApiProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    server: String,
    http: reqwest::Client,
    /// A request whose URI contains this text is never answered.
    unanswered: Mutex<Option<&'static str>>,
    /// How many requests were left unanswered.
    left_unanswered: watch::Sender<u32>,
    minor_version: Mutex<Option<&'static str>>,
    /// Whether the API server is asked for the earlier version of plans.
    translates: AtomicBool,
    /// How many times the connections were frozen.
    freezes: watch::Sender<u32>,
    /// For each connection, by the port of the operator, how many times others were frozen before it.
    connections: Mutex<HashMap<SocketAddr, u32>>,
}

impl ApiProxy {
    pub async fn start(cluster: &Cluster) -> Self {
        let details = cluster.control_plane.details();
        let authority = std::fs::read(details.folder.join("ca.crt")).unwrap();
        let authority = reqwest::Certificate::from_pem(&authority).unwrap();
        let shared = Arc::new(Shared {
            server: details.server.clone(),
            http: reqwest::Client::builder().tls_certs_merge([authority]).no_proxy().build().unwrap(),
            unanswered: Mutex::default(),
            left_unanswered: watch::Sender::new(0),
            minor_version: Mutex::default(),
            translates: AtomicBool::new(false),
            freezes: watch::Sender::new(0),
            connections: Mutex::default(),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().fallback(forward).with_state(Arc::clone(&shared));
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(async move { axum::serve(listener, service).await });
        Self { address, shared }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Leaves each request unanswered whose URI contains this text, for as long as the operator waits for it. `None`:
    /// answers those that arrive from now on.
    pub fn leave_unanswered(&self, text: Option<&'static str>) {
        *self.shared.unanswered.lock().unwrap() = text;
    }

    /// Waits until a request was left unanswered.
    pub async fn wait_for_unanswered(&self) {
        let mut left = self.shared.left_unanswered.subscribe();
        tokio::time::timeout(TIMEOUT, left.wait_for(|count| *count > 0)).await.unwrap().unwrap();
    }

    /// No byte passes the existing connections any more, and nobody is told. New connections work.
    pub fn freeze_connections(&self) {
        self.shared.freezes.send_modify(|freezes| *freezes += 1);
    }

    /// Lets the API server say that it is this minor version of Kubernetes 1.
    pub fn set_minor_version(&self, minor: &'static str) {
        *self.shared.minor_version.lock().unwrap() = Some(minor);
    }

    /// Asks the API server for the earlier version of plans from now on. The client finds its own version in the answers, so it
    /// does what a client does that knows the earlier version only.
    #[allow(dead_code, reason = "only the cluster tests use it")]
    pub fn translate_to_earlier_version(&self) {
        self.shared.translates.store(true, Ordering::Relaxed);
    }
}

/// The version of plans that the operator uses, and the earlier one, as requests and objects name them.
fn versions() -> [String; 2] {
    [&crd::version(), crd::EARLIER_VERSION].map(|version| format!("fic.ntt.com/{version}"))
}

/// A request as a client of the earlier version sends it.
fn to_earlier_version(text: &str) -> String {
    let [own, earlier] = versions();
    text.replace(&own, &earlier)
}

/// A part of an answer as the client expects it. The CRD has the bare name of the version.
fn from_earlier_version(line: &[u8]) -> Bytes {
    let [own, earlier] = versions();
    let name = |version: &str| format!("\"name\":\"{version}\"");
    let text = std::str::from_utf8(line).unwrap().replace(&earlier, &own);
    text.replace(&name(crd::EARLIER_VERSION), &name(&crd::version())).into()
}

/// The answer line by line: each event of a watch is a line.
fn translated(response: reqwest::Response) -> Body {
    let lines = futures::stream::unfold((response, Vec::new()), |(mut response, mut rest)| async {
        loop {
            let end = rest.iter().position(|byte| *byte == b'\n').map(|end| end + 1);
            if let Some(end) = end {
                let line = rest.drain(..end).collect::<Vec<_>>();
                return Some((Ok::<Bytes, reqwest::Error>(from_earlier_version(&line)), (response, rest)));
            }
            match response.chunk().await.ok().flatten() {
                Some(chunk) => rest.extend(chunk),
                None if rest.is_empty() => return None,
                None => return Some((Ok(from_earlier_version(&std::mem::take(&mut rest))), (response, rest))),
            }
        }
    });
    Body::from_stream(lines)
}

impl Shared {
    /// Never returns if the connection is frozen, or once it is.
    async fn frozen(&self, peer: SocketAddr) {
        let mut freezes = self.freezes.subscribe();
        let before = *self.connections.lock().unwrap().entry(peer).or_insert(*freezes.borrow());
        let _ = freezes.wait_for(|freezes| *freezes > before).await;
    }

    async fn answer(&self, request: Request) -> Response<Body> {
        let uri = request.uri().to_string();
        let is_unanswered = self.unanswered.lock().unwrap().is_some_and(|text| uri.contains(text));
        if is_unanswered {
            self.left_unanswered.send_modify(|count| *count += 1);
            std::future::pending::<()>().await;
        }
        let (mut head, body) = request.into_parts();
        head.headers.remove(header::HOST);
        let (mut target, mut body) = (format!("{}{uri}", self.server), to_bytes(body, usize::MAX).await.unwrap());
        let translates = self.translates.load(Ordering::Relaxed);
        if translates {
            head.headers.remove(header::CONTENT_LENGTH);
            target = to_earlier_version(&target);
            body = to_earlier_version(std::str::from_utf8(&body).unwrap()).into();
        }
        let request = self.http.request(head.method, target).headers(head.headers).body(body);
        let mut response = request.send().await.unwrap();
        let minor_version = *self.minor_version.lock().unwrap();
        if let Some(minor) = minor_version.filter(|_| uri == "/version") {
            let mut version = serde_json::from_slice::<Value>(&response.bytes().await.unwrap()).unwrap();
            version["minor"] = json!(minor);
            return Response::new(Body::from(version.to_string()));
        }
        let mut answer = Response::builder().status(response.status());
        *answer.headers_mut().unwrap() = std::mem::take(response.headers_mut());
        if translates {
            answer.headers_mut().unwrap().remove(header::CONTENT_LENGTH);
            return answer.body(translated(response)).unwrap();
        }
        let chunks = futures::stream::unfold(response, |mut response| async {
            Some((Ok::<Bytes, reqwest::Error>(response.chunk().await.ok()??), response))
        });
        answer.body(Body::from_stream(chunks)).unwrap()
    }
}

async fn forward(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
) -> Result<Response<Body>, Infallible> {
    let response = tokio::select! {
        biased;
        () = shared.frozen(peer) => std::future::pending().await,
        response = shared.answer(request) => response,
    };
    let (head, body) = response.into_parts();
    let chunks = futures::stream::unfold((body.into_data_stream(), shared), move |(mut chunks, shared)| async move {
        let chunk = tokio::select! {
            biased;
            () = shared.frozen(peer) => std::future::pending().await,
            chunk = futures::StreamExt::next(&mut chunks) => chunk?,
        };
        Some((chunk, (chunks, shared)))
    });
    Ok(Response::from_parts(head, Body::from_stream(chunks)))
}
