//! What is answered, before a fault has spoilt it.

use serde_json::{Value, json};

/// An answer, and what it has done.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The body; none where there is none.
    pub body: Option<Value>,
    /// More headers.
    pub headers: Vec<(&'static str, String)>,
    /// Whether something was bought or abolished.
    pub effect: bool,
}

impl Answer {
    /// An answer with a body.
    #[must_use]
    pub fn new(status: u16, body: Value) -> Self {
        Self { status, body: Some(body), headers: vec![], effect: false }
    }

    /// An error in FIC's form.
    #[must_use]
    pub fn error(status: u16, message: &str) -> Self {
        Self::new(status, json!({ "code": format!("FIC-{status}"), "message": message }))
    }

    /// An error in Keystone's form.
    #[must_use]
    pub fn keystone_error(status: u16, title: &str, message: &str) -> Self {
        Self::new(status, json!({ "error": { "code": status, "title": title, "message": message } }))
    }

    /// It bought or abolished something.
    #[must_use]
    pub fn with_effect(mut self) -> Self {
        self.effect = true;
        self
    }
}
