//! Secrets whose finalizer is being removed, and when a cache that may be stale can be trusted again.
//!
//! Each removal carries the version of the Secret, so it takes effect on that version or never. If its response is
//! lost, it is not known which of the two. Until it is, no plan buys with the finalizer that the cache shows.

use std::collections::HashMap;

use crate::api::key::ObjectKey;

/// The outcome of a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The finalizer is removed. The Secret has this version now.
    Released(Option<u64>),
    /// The Secret had changed before.
    Changed,
    /// Nothing was sent: a plan uses the Secret.
    InUse,
    /// Nothing was sent.
    NotSent,
    /// No response arrived.
    Unknown,
}

/// The releases of this process, by Secret.
#[derive(Default)]
pub struct Releases(HashMap<ObjectKey, Release>);

/// The release of one Secret.
#[derive(Clone, Copy)]
enum Release {
    /// In progress.
    InProgress(Option<u64>),
    /// Sent for this version, without a response.
    InDoubt(u64),
    /// A cache that shows an older version than this is stale.
    Released(u64),
    /// The same, and this is the version that this process has written.
    Written(u64),
}

impl Release {
    /// Whether a cache that shows this version has the outcome.
    fn is_visible_at(self, version: Option<u64>) -> bool {
        version.is_some_and(|version| match self {
            Self::InProgress(_) => false,
            Self::InDoubt(sent_for) => version > sent_for,
            Self::Released(at) | Self::Written(at) => version >= at,
        })
    }
}

impl Releases {
    /// Starts to release a Secret that the cache has at this version. Returns false if that version was released
    /// already. A release in doubt is sent again: that ends the doubt.
    pub fn try_begin(&mut self, secret: &ObjectKey, version: Option<u64>) -> bool {
        if self.may_be_released(secret, version) && !self.is_in_doubt(secret) {
            return false;
        }
        self.0.insert(secret.clone(), Release::InProgress(version));
        true
    }

    /// Adds the outcome of a release.
    pub fn end(&mut self, secret: &ObjectKey, outcome: Outcome) {
        let Some(Release::InProgress(Some(sent_for))) = self.0.remove(secret) else { return };
        let release = match outcome {
            Outcome::Released(Some(version)) => Release::Written(version),
            Outcome::Released(None) | Outcome::Changed => Release::Released(sent_for + 1),
            Outcome::InUse | Outcome::NotSent => return,
            Outcome::Unknown => Release::InDoubt(sent_for),
        };
        self.0.insert(secret.clone(), release);
    }

    /// Whether the finalizer that a cache shows at this version may have been removed, or may yet be.
    #[must_use]
    pub fn may_be_released(&self, secret: &ObjectKey, version: Option<u64>) -> bool {
        self.0.get(secret).is_some_and(|release| !release.is_visible_at(version))
    }

    /// The version of a Secret that this process has written and that the cache does not show yet.
    #[must_use]
    pub fn written_version(&self, secret: &ObjectKey) -> Option<u64> {
        match self.0.get(secret) {
            Some(Release::Written(version)) => Some(*version),
            Some(Release::InProgress(_) | Release::InDoubt(_) | Release::Released(_)) | None => None,
        }
    }

    /// Whether the outcome of a release is unknown.
    #[must_use]
    pub fn is_in_doubt(&self, secret: &ObjectKey) -> bool {
        match self.0.get(secret) {
            Some(Release::InDoubt(_)) => true,
            Some(Release::InProgress(_) | Release::Released(_) | Release::Written(_)) | None => false,
        }
    }

    /// The cache shows this version now: a release whose outcome it has is forgotten.
    pub fn cache_updated(&mut self, secret: &ObjectKey, version: Option<u64>) {
        if self.0.get(secret).is_some_and(|release| release.is_visible_at(version)) {
            self.0.remove(secret);
        }
    }

    /// The API server has just confirmed that the Secret at this version carries the finalizer. If a release in doubt was
    /// sent for the same version, only its late arrival could remove the finalizer, and the watch would show that.
    /// Without this the finalizer would be sent again and again, without any change that ends the doubt.
    pub fn finalizer_confirmed(&mut self, secret: &ObjectKey, version: Option<u64>) {
        if let Some(Release::InDoubt(sent_for)) = self.0.get(secret)
            && version == Some(*sent_for)
        {
            self.0.remove(secret);
        }
    }

    /// The Secret was deleted.
    pub fn forget(&mut self, secret: &ObjectKey) {
        self.0.remove(secret);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret() -> ObjectKey {
        ObjectKey::new("team", "secret")
    }

    /// Releases with one release for version 5, with this outcome.
    fn released(outcome: Outcome) -> Releases {
        let mut releases = Releases::default();
        assert!(releases.try_begin(&secret(), Some(5)));
        assert!(releases.may_be_released(&secret(), Some(9)), "no version can be trusted while it is in progress");
        releases.end(&secret(), outcome);
        releases
    }

    #[test]
    fn a_cache_is_stale_until_it_shows_the_release() {
        for (outcome, at) in [(Outcome::Released(Some(8)), 8), (Outcome::Released(None), 6), (Outcome::Changed, 6)] {
            let mut releases = released(outcome);
            assert!(releases.may_be_released(&secret(), Some(at - 1)), "{outcome:?}");
            assert!(!releases.try_begin(&secret(), Some(at - 1)), "{outcome:?}");
            assert!(releases.may_be_released(&secret(), None), "{outcome:?}");
            assert!(!releases.may_be_released(&secret(), Some(at)), "{outcome:?}");
            releases.cache_updated(&secret(), Some(at - 1));
            assert!(releases.may_be_released(&secret(), Some(5)), "{outcome:?}: the cache is still stale");
            releases.cache_updated(&secret(), Some(at));
            assert!(!releases.may_be_released(&secret(), Some(5)), "{outcome:?}: forgotten once the cache shows it");
        }
    }

    #[test]
    fn only_a_version_in_a_response_counts_as_written() {
        assert_eq!(released(Outcome::Released(Some(8))).written_version(&secret()), Some(8));
        for outcome in [Outcome::Released(None), Outcome::Changed, Outcome::InUse, Outcome::Unknown] {
            assert_eq!(released(outcome).written_version(&secret()), None, "{outcome:?}");
        }
    }

    #[test]
    fn a_release_that_was_not_sent_changes_nothing() {
        for outcome in [Outcome::NotSent, Outcome::InUse] {
            assert!(!released(outcome).may_be_released(&secret(), Some(5)));
        }
    }

    #[test]
    fn a_doubt_ends_when_the_finalizer_is_confirmed_at_the_same_version() {
        let mut releases = released(Outcome::Unknown);
        releases.finalizer_confirmed(&secret(), Some(4));
        releases.finalizer_confirmed(&secret(), None);
        assert!(releases.may_be_released(&secret(), Some(5)));
        releases.finalizer_confirmed(&secret(), Some(5));
        assert!(!releases.may_be_released(&secret(), Some(5)));
        let mut certain = released(Outcome::Changed);
        certain.finalizer_confirmed(&secret(), Some(5));
        assert!(certain.may_be_released(&secret(), Some(5)), "the cache is stale");
    }

    #[test]
    fn a_doubt_lasts_until_the_release_is_sent_again_or_the_secret_changes() {
        let mut releases = released(Outcome::Unknown);
        assert!(releases.is_in_doubt(&secret()));
        assert!(releases.may_be_released(&secret(), Some(5)));
        assert!(releases.try_begin(&secret(), Some(5)), "sending it again ends the doubt");
        releases.end(&secret(), Outcome::Changed);
        assert!(!releases.is_in_doubt(&secret()));
        assert!(releases.may_be_released(&secret(), Some(5)), "the first release may have changed the Secret");
        assert!(!released(Outcome::Unknown).may_be_released(&secret(), Some(6)));
        let mut releases = released(Outcome::Unknown);
        releases.forget(&secret());
        assert!(!releases.may_be_released(&secret(), Some(5)));
    }
}
