//! The log of received requests, in order. It never contains a token or a secret.

use serde::{Deserialize, Serialize};

use crate::state::FicState;

/// An API call, with the name from the API reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names of the variants are enough")]
pub enum Call {
    SignIn,
    List,
    Create,
    Show,
    Delete,
    ListOperations,
    ShowOperation,
    Other,
}

/// A received request.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// The position in the log, from 1.
    pub number: usize,
    /// When it arrived, in milliseconds since the start.
    pub at_ms: u128,
    /// The call.
    pub call: Call,
    /// The HTTP method.
    pub method: String,
    /// The path.
    pub path: String,
    /// The tenant of the valid token, or the tenant that a token request names.
    pub tenant: Option<String>,
    /// The status of the response. None: the connection was closed or no response was sent yet.
    pub status: Option<u16>,
    /// Whether it created or deleted a contract.
    pub effect: bool,
    /// The name of the injected fault.
    pub fault: Option<String>,
    /// The User-Agent header.
    pub user_agent: String,
}

/// The log of received requests.
#[derive(Default)]
pub struct Log(Vec<Entry>);

impl Log {
    /// Records a request on arrival, so that the log also contains requests that never get a response.
    /// Returns the index for [`Log::update`].
    pub fn record(&mut self, entry: Entry) -> usize {
        self.0.push(Entry { number: self.0.len() + 1, ..entry });
        self.0.len() - 1
    }

    /// Records the outcome of a request.
    pub fn update(&mut self, index: usize, change: impl FnOnce(&mut Entry)) {
        if let Some(entry) = self.0.get_mut(index) {
            change(entry);
        }
    }

    /// All recorded requests.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.0
    }

    /// Removes all entries.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

/// The number of requests for one tenant, by call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the names of the fields are enough")]
pub struct Summary {
    pub sign_ins: usize,
    pub lists: usize,
    pub shows: usize,
    pub creates_sent: usize,
    pub creates_with_effect: usize,
    pub deletes_sent: usize,
    pub deletes_with_effect: usize,
    pub contract: Option<String>,
}

impl FicState {
    /// The number of requests for one tenant, by call.
    #[must_use]
    pub fn summary(&self, tenant: &str) -> Summary {
        let mut summary = Summary { contract: self.contract(tenant).map(|contract| contract.id), ..Summary::default() };
        for entry in self.log.entries().iter().filter(|entry| entry.tenant.as_deref() == Some(tenant)) {
            let effect = usize::from(entry.effect);
            match entry.call {
                Call::SignIn => summary.sign_ins += 1,
                Call::List => summary.lists += 1,
                Call::Show => summary.shows += 1,
                Call::Create => {
                    summary.creates_sent += 1;
                    summary.creates_with_effect += effect;
                }
                Call::Delete => {
                    summary.deletes_sent += 1;
                    summary.deletes_with_effect += effect;
                }
                Call::ListOperations | Call::ShowOperation | Call::Other => {}
            }
        }
        summary
    }
}
