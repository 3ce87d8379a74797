//! The proxy that checks what passes through it. `make openapi-validator` builds it if it is not cached.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use serde::Deserialize;

use crate::make;

/// The proxy. It ends with this value.
pub(crate) struct Validator {
    process: Child,
    pub(crate) url: String,
}

/// What has passed through it.
#[derive(Deserialize)]
pub(crate) struct Report {
    /// The `operationId` and the status of what is as described.
    pub(crate) calls: Vec<String>,
    pub(crate) violations: Vec<String>,
}

impl Validator {
    /// Starts the proxy in front of a server.
    pub(crate) fn start(description: &str, server: &str) -> Self {
        let mut command = Command::new(make::tool("openapi-validator"));
        let command = command.args([description, server]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let mut url = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut url).unwrap();
        assert!(url.ends_with('\n'), "the validator has not started");
        Self { process, url: url.trim_end().into() }
    }

    pub(crate) async fn report(&self) -> Report {
        let report = reqwest::get(format!("{}/_report", self.url)).await.unwrap();
        serde_json::from_slice(&report.bytes().await.unwrap()).unwrap()
    }

    /// Begins a new report.
    pub(crate) async fn forget(&self) {
        let request = reqwest::Client::new().delete(format!("{}/_report", self.url));
        request.send().await.unwrap().error_for_status().unwrap();
    }
}

impl Drop for Validator {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
