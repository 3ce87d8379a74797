//! A bare client of the API server: keep-alive connections, no cache, no retries.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use reqwest::header::CONTENT_TYPE;
use reqwest::{Certificate, Identity, Method};
use serde_json::Value;

/// A bare client of the API server.
#[derive(Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    server: String,
    token: Option<String>,
}

impl Client {
    /// A client with the credentials of a kubeconfig that the control plane wrote.
    pub(crate) fn from_kubeconfig(path: &Path) -> Result<Self> {
        let config: Value = serde_json::from_slice(&std::fs::read(path)?)?;
        let (cluster, user) = (&config["clusters"][0]["cluster"], &config["users"][0]["user"]);
        let file = |value: &Value| {
            let path = value.as_str().context("the kubeconfig names a file")?;
            std::fs::read(path).with_context(|| format!("reading {path}"))
        };
        let mut builder = reqwest::Client::builder()
            .no_proxy()
            .tls_certs_only([Certificate::from_pem(&file(&cluster["certificate-authority"])?)?]);
        if user["client-key"].is_string() {
            let pem = [file(&user["client-key"])?, file(&user["client-certificate"])?].concat();
            builder = builder.identity(Identity::from_pem(&pem)?);
        }
        Ok(Self {
            http: builder.build()?,
            server: cluster["server"].as_str().context("the kubeconfig names a server")?.to_owned(),
            token: user["token"].as_str().map(str::to_owned),
        })
    }

    /// Creates an object.
    pub(crate) async fn create(&self, path: &str, object: &Value) -> Result<()> {
        self.send(Method::POST, path, Some(("application/json", object))).await.map(|_| ())
    }

    /// Sends a merge patch.
    pub(crate) async fn patch(&self, path: &str, change: &Value) -> Result<()> {
        self.send(Method::PATCH, path, Some(("application/merge-patch+json", change))).await.map(|_| ())
    }

    /// Deletes an object.
    pub(crate) async fn delete(&self, path: &str) -> Result<()> {
        self.send(Method::DELETE, path, None).await.map(|_| ())
    }

    /// Reads a response as text.
    pub(crate) async fn get(&self, path: &str) -> Result<Vec<u8>> {
        self.send(Method::GET, path, None).await
    }

    async fn send(&self, method: Method, path: &str, body: Option<(&str, &Value)>) -> Result<Vec<u8>> {
        let mut request = self.http.request(method.clone(), format!("{}{path}", self.server));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        if let Some((content_type, body)) = body {
            request = request.header(CONTENT_TYPE, content_type).body(serde_json::to_vec(body)?);
        }
        let response = request.send().await?;
        let status = response.status();
        let body = response.bytes().await?.to_vec();
        ensure!(status.is_success(), "{method} {path}: {status}: {}", String::from_utf8_lossy(&body));
        Ok(body)
    }
}
