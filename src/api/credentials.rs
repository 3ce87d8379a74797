//! The credentials Secret: read into secret types at once, and nothing else of it kept.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use secrecy::SecretString;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The type that a Secret must have to be used: the guard that keeps a plan from pointing the operator at any other.
pub const SECRET_TYPE: &str = "fic.ntt.com/credentials";

/// The finalizer that keeps a Secret while a contract depends on it.
pub const IN_USE_FINALIZER: &str = "fic.ntt.com/in-use";

/// A Secret of our type: its metadata and what can be made of its two keys.
#[derive(Resource, Clone, Debug, Serialize, Deserialize)]
#[resource(inherit = "Secret")]
pub struct CredentialsSecret {
    /// Its metadata.
    pub metadata: ObjectMeta,
    /// The credentials, or what is wrong with them.
    #[serde(rename = "data", default = "no_data")]
    pub credentials: Reading,
}

/// What is wrong with a credentials Secret.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum SecretDefect {
    /// Another type than `fic.ntt.com/credentials`.
    WrongType,
    /// A key that is not there.
    KeyMissing(&'static str),
    /// A key without a value.
    KeyEmpty(&'static str),
    /// A value that is not text.
    NotUtf8(&'static str),
}

/// What was read from the data of a Secret.
#[derive(Clone, Debug)]
pub struct Reading(pub Result<Credentials, SecretDefect>);

/// An API key and its secret.
#[derive(Clone)]
pub struct Credentials {
    /// The API key: the user's name at Keystone.
    pub api_key: SecretString,
    /// The API secret key: the user's password at Keystone.
    pub api_secret: SecretString,
    /// Tells one pair from another without showing either; of no use outside of this process.
    pub fingerprint: u64,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials([redacted])")
    }
}

/// Keyed anew in every process, so that a fingerprint tells nothing of what it was made from.
static FINGERPRINTS: LazyLock<RandomState> = LazyLock::new(RandomState::new);

impl Credentials {
    /// Puts a pair together.
    #[must_use]
    pub fn new(api_key: &str, api_secret: &str) -> Self {
        let fingerprint = FINGERPRINTS.hash_one((api_key, api_secret));
        Self { api_key: api_key.into(), api_secret: api_secret.into(), fingerprint }
    }

    fn read(api_key: Option<&ByteString>, api_secret: Option<&ByteString>) -> Result<Self, SecretDefect> {
        Ok(Self::new(text("apiKey", api_key)?, text("apiSecret", api_secret)?))
    }
}

/// White space around a value is never part of a key; it comes from an editor or from `echo` without `-n`.
fn text<'a>(key: &'static str, value: Option<&'a ByteString>) -> Result<&'a str, SecretDefect> {
    let bytes = &value.ok_or(SecretDefect::KeyMissing(key))?.0;
    let text = std::str::from_utf8(bytes).map_err(|_| SecretDefect::NotUtf8(key))?.trim();
    if text.is_empty() { Err(SecretDefect::KeyEmpty(key)) } else { Ok(text) }
}

fn no_data() -> Reading {
    Reading(Err(SecretDefect::KeyMissing("apiKey")))
}

impl<'de> Deserialize<'de> for Reading {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Data {
            api_key: Option<ByteString>,
            api_secret: Option<ByteString>,
        }
        // serde would show what it found instead.
        let data =
            Option::<Data>::deserialize(deserializer).map_err(|_| D::Error::custom("data that cannot be read"))?;
        Ok(data.map_or_else(no_data, |data| Self(Credentials::read(data.api_key.as_ref(), data.api_secret.as_ref()))))
    }
}

/// A Secret is never written whole, and what is secret of it is never written at all.
impl Serialize for Reading {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret;
    use serde_json::json;

    fn read(data: &serde_json::Value) -> Result<Credentials, SecretDefect> {
        let secret = json!({ "metadata": { "name": "c" }, "type": SECRET_TYPE, "data": data });
        serde_json::from_value::<CredentialsSecret>(secret).expect("any data can be read").credentials.0
    }

    #[test]
    fn both_keys_are_read_and_white_space_around_them_is_not() {
        let read = read(&json!({ "apiKey": "a2V5Cg==", "apiSecret": "c2VjcmV0", "other": "eA==" })).expect("usable");
        assert_eq!(read.api_key.expose_secret(), "key");
        assert_eq!(read.api_secret.expose_secret(), "secret");
    }

    #[test]
    fn every_defect_is_told_apart() {
        assert_eq!(read(&json!(null)).err(), Some(SecretDefect::KeyMissing("apiKey")));
        assert_eq!(read(&json!({ "apiSecret": "eA==" })).err(), Some(SecretDefect::KeyMissing("apiKey")));
        assert_eq!(read(&json!({ "apiKey": "eA==" })).err(), Some(SecretDefect::KeyMissing("apiSecret")));
        assert_eq!(
            read(&json!({ "apiKey": "eA==", "apiSecret": "" })).err(),
            Some(SecretDefect::KeyEmpty("apiSecret"))
        );
        assert_eq!(
            read(&json!({ "apiKey": "IA==", "apiSecret": "eA==" })).err(),
            Some(SecretDefect::KeyEmpty("apiKey"))
        );
        assert_eq!(
            read(&json!({ "apiKey": "/w==", "apiSecret": "eA==" })).err(),
            Some(SecretDefect::NotUtf8("apiKey"))
        );
    }

    #[test]
    fn neither_debug_nor_serialize_shows_a_secret() {
        let secret = json!({ "metadata": {}, "data": { "apiKey": "a2V5a2V5", "apiSecret": "c2VjcmV0" } });
        let secret: CredentialsSecret = serde_json::from_value(secret).expect("readable");
        let shown = format!("{secret:?} {}", serde_json::to_string(&secret).expect("writable"));
        assert!(shown.contains("[redacted]"), "{shown}");
        for hidden in ["keykey", "secret", "a2V5a2V5", "c2VjcmV0"] {
            assert!(!shown.replace("CredentialsSecret", "").contains(hidden), "{shown}");
        }
    }

    #[test]
    fn a_fingerprint_tells_pairs_apart() {
        let of = |key, secret| Credentials::new(key, secret).fingerprint;
        assert_eq!(of("a", "b"), of("a", "b"));
        assert_ne!(of("a", "b"), of("a", "c"));
        assert_ne!(of("ab", "c"), of("a", "bc"));
    }
}
