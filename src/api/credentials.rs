//! The credentials Secret, decoded into secret types. Nothing else of its data is kept, and each copy is overwritten
//! when it is dropped. Only the buffers of the HTTP clients are beyond reach.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use secrecy::{ExposeSecret, SecretString};
use serde::de::{Error, IgnoredAny, MapAccess};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

use crate::api::any_value::{self, AnyValue};

/// The type that a Secret must have. It prevents a plan from making the operator read any other Secret.
pub const SECRET_TYPE: &str = "fic.ntt.com/credentials";

/// The finalizer that prevents the deletion of a Secret while a contract depends on it.
pub const IN_USE_FINALIZER: &str = "fic.ntt.com/in-use";

/// The longest value of a key, in bytes, without what surrounds it.
pub const MAX_VALUE_LENGTH: usize = 1024;

/// The longest encoded value that is decoded. It leaves room for what surrounds a value of [`MAX_VALUE_LENGTH`]; the API server
/// accepts values of a megabyte.
const MAX_ENCODED_LENGTH: usize = 8 * MAX_VALUE_LENGTH;

/// A credentials Secret: its metadata and its two keys.
#[derive(Resource, Clone, Debug, Serialize, Deserialize)]
#[resource(inherit = "Secret")]
pub struct CredentialsSecret {
    /// The metadata.
    pub metadata: ObjectMeta,
    /// The credentials, or the defect that makes them unusable.
    #[serde(rename = "data", default = "no_data")]
    pub credentials: SecretData,
}

/// Why a credentials Secret cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum SecretDefect {
    /// Its type is not `fic.ntt.com/credentials`.
    WrongType,
    /// This key is missing.
    KeyMissing(&'static str),
    /// The value of this key is empty.
    KeyEmpty(&'static str),
    /// The value of this key is not UTF-8 text, or cannot be decoded at all.
    NotUtf8(&'static str),
    /// The value of this key is longer than [`MAX_VALUE_LENGTH`].
    TooLong(&'static str),
}

impl SecretDefect {
    /// The key with the defect.
    #[must_use]
    pub fn key(&self) -> Option<&'static str> {
        match self {
            Self::WrongType => None,
            Self::KeyMissing(key) | Self::KeyEmpty(key) | Self::NotUtf8(key) | Self::TooLong(key) => Some(key),
        }
    }
}

/// The decoded data of a credentials Secret.
#[derive(Clone, Debug)]
pub struct SecretData(pub Result<Credentials, SecretDefect>);

/// An API key and its API secret.
#[derive(Clone)]
pub struct Credentials {
    /// The API key: the Keystone user name.
    pub api_key: SecretString,
    /// The API secret: the Keystone password.
    pub api_secret: SecretString,
    /// A hash that differs for different pairs. It is keyed per process, so it reveals nothing about the pair.
    pub fingerprint: u64,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials([redacted])")
    }
}

/// The key of the fingerprints, random in each process.
static FINGERPRINTS: LazyLock<RandomState> = LazyLock::new(RandomState::new);

impl Credentials {
    /// The pair of this key and this secret.
    #[must_use]
    pub fn new(api_key: &str, api_secret: &str) -> Self {
        let fingerprint = FINGERPRINTS.hash_one((api_key, api_secret));
        Self { api_key: api_key.into(), api_secret: api_secret.into(), fingerprint }
    }

    /// The pair of these texts. What surrounds a value is not part of it, as in a Secret.
    ///
    /// # Errors
    /// When a value is empty or too long.
    pub fn parse(api_key: &SecretString, api_secret: &SecretString) -> Result<Self, SecretDefect> {
        let api_key = trimmed("apiKey", api_key.expose_secret())?;
        Ok(Self::new(api_key, trimmed("apiSecret", api_secret.expose_secret())?))
    }

    fn decode(api_key: Option<&Value>, api_secret: Option<&Value>) -> Result<Self, SecretDefect> {
        Ok(Self::new(text("apiKey", api_key)?, text("apiSecret", api_secret)?))
    }
}

/// The value of a key.
///
/// The API server stores only base64. Whatever it sends, the value is read: an error would end the watch of all Secrets.
enum Value {
    Decoded(Zeroizing<Vec<u8>>),
    TooLong,
    NotBase64,
}

fn text<'a>(key: &'static str, value: Option<&'a Value>) -> Result<&'a str, SecretDefect> {
    let bytes = match value.ok_or(SecretDefect::KeyMissing(key))? {
        Value::Decoded(bytes) => bytes,
        Value::TooLong => return Err(SecretDefect::TooLong(key)),
        Value::NotBase64 => return Err(SecretDefect::NotUtf8(key)),
    };
    trimmed(key, std::str::from_utf8(bytes).map_err(|_| SecretDefect::NotUtf8(key))?)
}

/// Surrounding white space is not part of a value: it comes from an editor or from `echo` without `-n`. Nor is a byte
/// order mark, which PowerShell writes.
fn trimmed<'a>(key: &'static str, text: &'a str) -> Result<&'a str, SecretDefect> {
    // UTF-16 without a byte order mark is valid UTF-8 too, but it contains NUL.
    if text.contains('\0') {
        return Err(SecretDefect::NotUtf8(key));
    }
    let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\u{feff}');
    if text.is_empty() {
        Err(SecretDefect::KeyEmpty(key))
    } else if text.len() > MAX_VALUE_LENGTH {
        Err(SecretDefect::TooLong(key))
    } else {
        Ok(text)
    }
}

impl AnyValue<'_> for Value {
    const OTHER: fn() -> Self = || Self::NotBase64;

    fn text(encoded: &str) -> Self {
        if encoded.len() > MAX_ENCODED_LENGTH {
            return Self::TooLong;
        }
        // The capacity is what decoding needs, so that no copy remains where the buffer has grown.
        let mut bytes = Zeroizing::new(Vec::with_capacity(encoded.len() + 4));
        match STANDARD.decode_vec(encoded, &mut bytes) {
            Ok(()) => Self::Decoded(bytes),
            Err(_) => Self::NotBase64,
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        any_value::deserialize(deserializer)
    }
}

fn no_data() -> SecretData {
    SecretData(Err(SecretDefect::KeyMissing("apiKey")))
}

impl<'de> AnyValue<'de> for SecretData {
    const OTHER: fn() -> Self = no_data;

    fn map<A: MapAccess<'de>>(mut map: A) -> Result<Self, A::Error> {
        let (mut api_key, mut api_secret) = (None, None);
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "apiKey" => api_key = map.next_value::<Option<Value>>()?,
                "apiSecret" => api_secret = map.next_value::<Option<Value>>()?,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(Self(Credentials::decode(api_key.as_ref(), api_secret.as_ref())))
    }
}

impl<'de> Deserialize<'de> for SecretData {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // The error of serde would quote the data.
        any_value::deserialize(deserializer).map_err(|_| D::Error::custom("the data of the Secret cannot be decoded"))
    }
}

/// The operator patches metadata only, so the data never needs to be serialized.
impl Serialize for SecretData {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::ByteString;
    use serde_json::json;

    fn decode(data: &serde_json::Value) -> Result<Credentials, SecretDefect> {
        let secret = json!({ "metadata": { "name": "c" }, "type": SECRET_TYPE, "data": data });
        serde_json::from_value::<CredentialsSecret>(secret).expect("any data is decoded").credentials.0
    }

    #[test]
    fn surrounding_white_space_is_not_part_of_a_key() {
        let credentials =
            decode(&json!({ "apiKey": "a2V5Cg==", "apiSecret": "c2VjcmV0", "other": "eA==" })).expect("usable");
        assert_eq!(credentials.api_key.expose_secret(), "key");
        assert_eq!(credentials.api_secret.expose_secret(), "secret");
    }

    /// The API key that is decoded from these bytes.
    fn api_key(value: &[u8]) -> Result<String, SecretDefect> {
        let credentials = decode(&json!({ "apiKey": ByteString(value.to_vec()), "apiSecret": "eA==" }))?;
        Ok(credentials.api_key.expose_secret().to_owned())
    }

    #[test]
    fn byte_order_mark_and_white_space_around_a_key_are_not_part_of_it() {
        for value in ["\u{feff}key", "\u{feff}key\r\n", " \u{feff} key \u{feff}\n", "\n\u{feff}\u{feff}key\u{a0}"] {
            assert_eq!(api_key(value.as_bytes()), Ok("key".into()), "{value:?}");
        }
        assert_eq!(api_key("a b\u{feff}c".as_bytes()), Ok("a b\u{feff}c".into()));
        assert_eq!(api_key("\u{feff} \u{feff}\n".as_bytes()), Err(SecretDefect::KeyEmpty("apiKey")));
    }

    #[test]
    fn utf_16_is_not_text() {
        let units = || "key\r\n".encode_utf16();
        let little_endian: Vec<_> = units().flat_map(u16::to_le_bytes).collect();
        let big_endian: Vec<_> = units().flat_map(u16::to_be_bytes).collect();
        let marked = [&[0xff, 0xfe][..], &little_endian].concat();
        for value in [little_endian, big_endian, marked] {
            assert_eq!(api_key(&value), Err(SecretDefect::NotUtf8("apiKey")), "{value:?}");
        }
    }

    #[test]
    fn key_has_at_most_1024_bytes() {
        let too_long = Err(SecretDefect::TooLong("apiKey"));
        let longest = "k".repeat(1024);
        assert_eq!(api_key(longest.as_bytes()), Ok(longest.clone()));
        assert_eq!(api_key(format!("\u{feff} {longest}\r\n").as_bytes()), Ok(longest.clone()));
        assert_eq!(api_key(format!("{longest}k").as_bytes()), too_long);
        assert_eq!(api_key("ü".repeat(513).as_bytes()), too_long);
        // It is not decoded, so it does not matter that it is not text.
        assert_eq!(api_key(&vec![0xff; 1_000_000]), too_long);
        let value = |length: usize| serde_json::from_value::<Value>(json!("!".repeat(length))).expect("any value");
        assert!(matches!(value(MAX_ENCODED_LENGTH), Value::NotBase64));
        assert!(matches!(value(MAX_ENCODED_LENGTH + 1), Value::TooLong));
    }

    #[test]
    fn every_defect_is_distinguished() {
        assert_eq!(decode(&json!(null)).err(), Some(SecretDefect::KeyMissing("apiKey")));
        assert_eq!(decode(&json!({ "apiSecret": "eA==" })).err(), Some(SecretDefect::KeyMissing("apiKey")));
        assert_eq!(decode(&json!({ "apiKey": "eA==" })).err(), Some(SecretDefect::KeyMissing("apiSecret")));
        assert_eq!(
            decode(&json!({ "apiKey": "eA==", "apiSecret": "" })).err(),
            Some(SecretDefect::KeyEmpty("apiSecret"))
        );
        assert_eq!(
            decode(&json!({ "apiKey": "IA==", "apiSecret": "eA==" })).err(),
            Some(SecretDefect::KeyEmpty("apiKey"))
        );
        assert_eq!(
            decode(&json!({ "apiKey": "/w==", "apiSecret": "eA==" })).err(),
            Some(SecretDefect::NotUtf8("apiKey"))
        );
    }

    /// An error would end the watch, and with it the reconciles of all plans.
    #[test]
    fn whatever_the_data_is_the_secret_is_decoded() {
        for value in [
            json!("!"),
            json!("a2V5"[..3].to_owned()),
            json!(1),
            json!(-1),
            json!(0.5),
            json!(true),
            json!([["eA=="]]),
            json!({ "a": {} }),
        ] {
            let data = json!({ "apiKey": value, "apiSecret": "eA==" });
            assert_eq!(decode(&data).err(), Some(SecretDefect::NotUtf8("apiKey")), "{value}");
            assert!(decode(&json!({ "apiKey": "eA==", "apiSecret": "eA==", "other": value })).is_ok(), "{value}");
            assert!(decode(&value).is_err(), "{value}");
        }
    }

    #[test]
    fn debug_and_serialize_show_no_secret() {
        let secret = json!({ "metadata": {}, "data": { "apiKey": "a2V5a2V5", "apiSecret": "c2VjcmV0" } });
        let secret: CredentialsSecret = serde_json::from_value(secret).expect("readable");
        let shown = format!("{secret:?} {}", serde_json::to_string(&secret).expect("writable"));
        assert!(shown.contains("[redacted]"), "{shown}");
        for hidden in ["keykey", "secret", "a2V5a2V5", "c2VjcmV0"] {
            assert!(!shown.replace("CredentialsSecret", "").contains(hidden), "{shown}");
        }
    }

    #[test]
    fn fingerprints_of_different_pairs_differ() {
        let of = |key, secret| Credentials::new(key, secret).fingerprint;
        assert_eq!(of("a", "b"), of("a", "b"));
        assert_ne!(of("a", "b"), of("a", "c"));
        assert_ne!(of("ab", "c"), of("a", "bc"));
    }
}
