//! Notices versions that go backwards: etcd was restored from a backup.
//!
//! Versions only grow, so an older one is what a cache shows that lags behind. Everywhere in the operator it is waited
//! for. After a restore it would be waited for for ever. There are three signs, whatever has happened to the revisions of
//! etcd:
//!
//! - A list or a watch has an older version than the watch had before it ([`Versions::advance`]).
//! - An object has an older version than the same watch had of it before ([`object`]).
//! - Every change up to a version has arrived, and an object is still older than a write or a live read of this process
//!   that is no newer than that version ([`known`]).

use std::fmt;

use crate::api::key::{ObjectKey, parse_resource_version};

/// The versions of one watch.
#[derive(Debug, Default)]
pub(super) struct Versions {
    /// The newest version that the watch has brought.
    newest: u64,
}

/// The versions have gone backwards.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct WentBack {
    object: Option<ObjectKey>,
    from: u64,
    to: u64,
}

impl fmt::Display for WentBack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.object {
            Some(object) => write!(f, "the version of {object} is {} after it was {}", self.to, self.from),
            None => write!(f, "the version is {} after it was {}", self.to, self.from),
        }
    }
}

impl Versions {
    /// The newest version that the watch has brought.
    pub(super) fn newest(&self) -> u64 {
        self.newest
    }

    /// The list or the watch has arrived at this version. Returns it as a number.
    pub(super) fn advance(&mut self, version: &str) -> Result<Option<u64>, WentBack> {
        let Some(version) = parse_resource_version(Some(version)) else { return Ok(None) };
        if version < self.newest {
            return Err(WentBack { object: None, from: self.newest, to: version });
        }
        self.newest = version;
        Ok(Some(version))
    }

    /// The API server is at this version, and changes before it may still arrive.
    pub(super) fn is_ahead(&self, version: &str) -> Result<(), WentBack> {
        match parse_resource_version(Some(version)) {
            Some(version) if version < self.newest => Err(WentBack { object: None, from: self.newest, to: version }),
            Some(_) | None => Ok(()),
        }
    }
}

/// An object has arrived at this version, and the watch had it at another one before.
pub(super) fn object(key: &ObjectKey, cached: Option<u64>, version: Option<u64>) -> Result<(), WentBack> {
    match (cached, version) {
        (Some(from), Some(to)) if to < from => Err(WentBack { object: Some(key.clone()), from, to }),
        (Some(_) | None, Some(_) | None) => Ok(()),
    }
}

/// All changes up to `complete` have arrived, the cache shows an object at `cached`, and this process knows that it was
/// at `known`.
pub(super) fn known(key: &ObjectKey, cached: Option<u64>, known: Option<u64>, complete: u64) -> Result<(), WentBack> {
    object(key, known.filter(|known| *known <= complete), cached)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> ObjectKey {
        ObjectKey::new("team", "plan")
    }

    #[test]
    fn versions_of_a_watch_only_grow() {
        let mut versions = Versions::default();
        for version in ["5", "5", "9", "1000000009"] {
            assert_eq!(versions.advance(version), Ok(version.parse().ok()));
            assert_eq!(versions.is_ahead(version), Ok(()));
        }
        assert_eq!(versions.advance("not a number"), Ok(None));
        assert_eq!(versions.is_ahead("not a number"), Ok(()));
        let went_back = WentBack { object: None, from: 1_000_000_009, to: 8 };
        assert_eq!(versions.is_ahead("8"), Err(went_back));
        let error = versions.advance("8").expect_err("it went back");
        assert_eq!(error.to_string(), "the version is 8 after it was 1000000009");
        assert_eq!(versions.is_ahead("2000000000"), Ok(()));
        assert!(versions.advance("1000000010").is_ok(), "a probe does not advance the watch");
    }

    #[test]
    fn versions_of_an_object_only_grow() {
        for (cached, version) in [(None, Some(3)), (Some(3), Some(3)), (Some(3), Some(4)), (Some(3), None)] {
            assert_eq!(object(&key(), cached, version), Ok(()), "{cached:?} {version:?}");
        }
        let error = object(&key(), Some(4), Some(3)).expect_err("it went back");
        assert_eq!(error.to_string(), "the version of team/plan is 3 after it was 4");
    }

    #[test]
    fn a_cache_may_lag_behind_a_write_that_it_has_not_arrived_at() {
        for (cached, written, complete) in [(3, 9, 8), (9, 9, 9), (10, 9, 20), (3, 3, 20)] {
            assert_eq!(known(&key(), Some(cached), Some(written), complete), Ok(()), "{cached} {written} {complete}");
        }
        assert_eq!(known(&key(), Some(3), None, 9), Ok(()));
        assert!(known(&key(), Some(3), Some(9), 9).is_err());
        assert!(known(&key(), Some(3), Some(9), 1_000_000_000).is_err());
    }
}
