//! How much may go wrong in one exploration.

/// How much may go wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Budget {
    pub crashes: u8,
    /// Another replica comes to lead while a request of the one before is on its way.
    pub successions: u8,
    pub losses: u8,
    pub lags: u8,
    pub portal: u8,
    pub failures: u8,
    pub refusals: u8,
    pub edits: u8,
    /// The user deletes the Secret, or makes it anew.
    pub secrets: u8,
    /// The definition is deleted.
    pub uninstalls: u8,
}

impl Budget {
    /// One more of everything that may happen at all.
    pub fn wider(self) -> Self {
        let more = |count: u8| count + u8::from(count > 0);
        Self {
            crashes: more(self.crashes),
            // One request on its way is what a process leaves behind; two in a row say no more than one and a crash.
            successions: self.successions,
            losses: more(self.losses),
            // More lagging looks than it takes to believe them break the promise that the rules rest on.
            lags: self.lags,
            portal: more(self.portal),
            failures: more(self.failures),
            refusals: more(self.refusals),
            edits: more(self.edits),
            secrets: more(self.secrets),
            uninstalls: self.uninstalls,
        }
    }
}
