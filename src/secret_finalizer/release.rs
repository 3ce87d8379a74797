//! Secrets being let go, and what a cache that may be behind can be trusted with meanwhile.
//!
//! Each release is sent for one version of the Secret, so it either takes effect on that version or never. An answer that got lost
//! leaves open which of the two; until that is known, nobody buys on the word of the cache.

use std::collections::HashMap;

use crate::api::key::Key;

/// What has become of a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The finalizer is off; the Secret is at this version now.
    Done(Option<u64>),
    /// The Secret has changed before.
    Changed,
    /// It was not sent, since somebody uses it.
    Kept,
    /// It was not sent.
    NotSent,
    /// No answer came.
    Unknown,
}

/// The releases.
#[derive(Default)]
pub struct Releases(HashMap<Key, Release>);

/// A release of one Secret.
#[derive(Clone, Copy)]
enum Release {
    /// WriteOutcome for this version.
    InFlight(Option<u64>),
    /// WriteOutcome for this version, and no answer came.
    InDoubt(u64),
    /// What a cache shows of versions before this one is out of date.
    Done(u64),
}

impl Releases {
    /// Begins to let go of a Secret as a cache has it at this version. False if that one was let go already. What is in doubt is begun
    /// again: that is how the doubt ends.
    pub fn begin(&mut self, secret: &Key, version: Option<u64>) -> bool {
        if self.is_out(secret, version) && !self.is_in_doubt(secret) {
            return false;
        }
        self.0.insert(secret.clone(), Release::InFlight(version));
        true
    }

    /// Takes in what has become of it.
    pub fn end(&mut self, secret: &Key, outcome: Outcome) {
        let Some(Release::InFlight(Some(sent_for))) = self.0.remove(secret) else { return };
        let known = match outcome {
            Outcome::Done(version) => Release::Done(version.unwrap_or(sent_for + 1)),
            Outcome::Changed => Release::Done(sent_for + 1),
            Outcome::Kept | Outcome::NotSent => return,
            Outcome::Unknown => Release::InDoubt(sent_for),
        };
        self.0.insert(secret.clone(), known);
    }

    /// Whether the finalizer that a cache shows at this version may be off, or go off, all the same.
    pub fn is_out(&mut self, secret: &Key, version: Option<u64>) -> bool {
        let newer_than = |at| version.is_some_and(|version| version > at);
        let is_over = match self.0.get(secret) {
            None => return false,
            Some(Release::InFlight(_)) => false,
            Some(Release::InDoubt(at)) => newer_than(*at),
            Some(Release::Done(at)) => version.is_some_and(|version| version >= *at),
        };
        if is_over {
            self.0.remove(secret);
        }
        !is_over
    }

    /// Whether it is not known what has become of it.
    pub fn is_in_doubt(&self, secret: &Key) -> bool {
        match self.0.get(secret) {
            Some(Release::InDoubt(_)) => true,
            Some(Release::InFlight(_) | Release::Done(_)) | None => false,
        }
    }

    /// A Secret is gone.
    pub fn forget(&mut self, secret: &Key) {
        self.0.remove(secret);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret() -> Key {
        Key::new("team", "secret")
    }

    /// WriteOutcome for version 5, with this outcome.
    fn released(outcome: Outcome) -> Releases {
        let mut releases = Releases::default();
        assert!(releases.begin(&secret(), Some(5)));
        assert!(releases.is_out(&secret(), Some(9)), "while it is under way no version can be trusted");
        releases.end(&secret(), outcome);
        releases
    }

    #[test]
    fn a_cache_is_behind_until_it_shows_the_release() {
        for (outcome, at) in [(Outcome::Done(Some(8)), 8), (Outcome::Done(None), 6), (Outcome::Changed, 6)] {
            let mut releases = released(outcome);
            assert!(releases.is_out(&secret(), Some(at - 1)), "{outcome:?}");
            assert!(!releases.begin(&secret(), Some(at - 1)), "{outcome:?}");
            assert!(releases.is_out(&secret(), None), "{outcome:?}");
            assert!(!releases.is_out(&secret(), Some(at)), "{outcome:?}");
            assert!(!releases.is_out(&secret(), Some(5)), "{outcome:?}: forgotten once it is over");
        }
    }

    #[test]
    fn what_was_not_sent_changes_nothing() {
        for outcome in [Outcome::NotSent, Outcome::Kept] {
            assert!(!released(outcome).is_out(&secret(), Some(5)));
        }
    }

    #[test]
    fn a_doubt_lasts_until_it_is_tried_again_or_the_secret_has_changed() {
        let mut releases = released(Outcome::Unknown);
        assert!(releases.is_in_doubt(&secret()));
        assert!(releases.is_out(&secret(), Some(5)));
        assert!(releases.begin(&secret(), Some(5)), "trying again is how the doubt ends");
        releases.end(&secret(), Outcome::Changed);
        assert!(!releases.is_in_doubt(&secret()));
        assert!(releases.is_out(&secret(), Some(5)), "the first one may have been what changed it");
        assert!(!released(Outcome::Unknown).is_out(&secret(), Some(6)));
        let mut releases = released(Outcome::Unknown);
        releases.forget(&secret());
        assert!(!releases.is_out(&secret(), Some(5)));
    }
}
