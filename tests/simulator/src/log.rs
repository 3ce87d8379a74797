//! What was asked: every request, in order. Never a token, never a secret.

use serde::{Deserialize, Serialize};

use crate::world::World;

/// A call, by the name it has in the reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names of the calls")]
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

/// A request.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// Its number, from 1.
    pub number: usize,
    /// When it came, in milliseconds since the start.
    pub at_ms: u128,
    /// The call.
    pub call: Call,
    /// The method.
    pub method: String,
    /// The path.
    pub path: String,
    /// The tenant, where one was named by a good token or a sign-in.
    pub tenant: Option<String>,
    /// The status that was answered; none where the connection was dropped or left hanging.
    pub status: Option<u16>,
    /// Whether it bought or abolished something.
    pub effect: bool,
    /// The fault that was applied.
    pub fault: Option<String>,
    /// The User-Agent.
    pub user_agent: String,
}

/// The log.
#[derive(Default)]
pub struct Log(Vec<Entry>);

impl Log {
    /// A request came. Its outcome is filled in later, so that one that is left hanging is there too.
    pub fn open(&mut self, entry: Entry) -> usize {
        self.0.push(Entry { number: self.0.len() + 1, ..entry });
        self.0.len() - 1
    }

    /// Fills in how a request ended.
    pub fn close(&mut self, at: usize, change: impl FnOnce(&mut Entry)) {
        if let Some(entry) = self.0.get_mut(at) {
            change(entry);
        }
    }

    /// The requests.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.0
    }

    /// Forgets them.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

/// What was asked for one tenant, counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "each says it")]
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

impl World {
    /// What was asked for one tenant, counted.
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
