//! The response of an API, before a fault changes it.

use serde_json::{Value, json};

/// A response, and whether the request had an effect.
#[derive(Clone, Debug)]
pub struct ApiResponse {
    /// The HTTP status.
    pub status: u16,
    /// The JSON body, if any.
    pub body: Option<Value>,
    /// Headers besides `Content-Type`.
    pub headers: Vec<(&'static str, String)>,
    /// Whether the request created or deleted a contract.
    pub effect: bool,
}

impl ApiResponse {
    /// A response with a body.
    #[must_use]
    pub fn new(status: u16, body: Value) -> Self {
        Self { status, body: Some(body), headers: vec![], effect: false }
    }

    /// An error in the format of FIC.
    #[must_use]
    pub fn error(status: u16, message: &str) -> Self {
        Self::new(status, json!({ "code": format!("FIC-{status}"), "message": message }))
    }

    /// An error in the format of Keystone.
    #[must_use]
    pub fn keystone_error(status: u16, title: &str, message: &str) -> Self {
        Self::new(status, json!({ "error": { "code": status, "title": title, "message": message } }))
    }

    /// Marks that the request created or deleted a contract.
    #[must_use]
    pub fn with_effect(mut self) -> Self {
        self.effect = true;
        self
    }
}
