//! A proxy between an operator and the API server: it leaves requests unanswered, freezes connections as a load
//! balancer does that forgets them, and changes the version of the API server.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{Response, header};
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
        let body = to_bytes(body, usize::MAX).await.unwrap();
        let request = self.http.request(head.method, format!("{}{uri}", self.server)).headers(head.headers).body(body);
        let mut response = request.send().await.unwrap();
        let minor_version = *self.minor_version.lock().unwrap();
        if let Some(minor) = minor_version.filter(|_| uri == "/version") {
            let mut version = serde_json::from_slice::<Value>(&response.bytes().await.unwrap()).unwrap();
            version["minor"] = json!(minor);
            return Response::new(Body::from(version.to_string()));
        }
        let mut answer = Response::builder().status(response.status());
        *answer.headers_mut().unwrap() = std::mem::take(response.headers_mut());
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
