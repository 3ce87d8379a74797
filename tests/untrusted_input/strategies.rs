//! The strategies that generate bodies, JSON and responses.

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{API_KEY, API_SECRET, ID, TENANT, TOKEN};

/// A response that [`crate::fic_responses`] returns to the client.
#[derive(Clone, Debug)]
pub(crate) struct FixedResponse {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
}

fn corpus() -> Vec<Vec<u8>> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/untrusted_input/corpus");
    let mut files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect::<Vec<_>>();
    files.sort();
    assert!(files.len() > 10, "the corpus has only {} files", files.len());
    files.into_iter().map(|path| std::fs::read(path).unwrap()).collect()
}

/// A file of the corpus with a few bytes changed, inserted or removed.
fn mutated_corpus() -> impl Strategy<Value = Vec<u8>> {
    let edits = prop::collection::vec((any::<prop::sample::Index>(), 0_u8..4, any::<u8>()), 0..6);
    (prop::sample::select(corpus()), edits).prop_map(|(mut body, edits)| {
        for (index, edit, byte) in edits {
            if body.is_empty() {
                break;
            }
            let at = index.index(body.len());
            match edit {
                0 => body[at] = byte,
                1 => body.insert(at, byte),
                2 => drop(body.remove(at)),
                _ => body.truncate(at),
            }
        }
        body
    })
}

/// Values that the API uses, and others.
fn value() -> impl Strategy<Value = Value> {
    let known = [
        TENANT,
        ID,
        "F520999999999",
        "ffffffffffffffffffffffffffffffff",
        "Processing",
        "Completed",
        "Error",
        "PremiumPlan",
        "",
        "\u{0}",
        "\u{202e}gnp",
        "../../other",
        API_KEY,
        API_SECRET,
        TOKEN,
        "2026-03-01T06:48:00Z",
    ];
    prop_oneof![
        prop::sample::select(known.to_vec()).prop_map(|known| json!(known)),
        any::<String>().prop_map(|text| json!(text)),
        Just(json!("x".repeat(5000))),
        any::<i64>().prop_map(|number| json!(number)),
        Just(Value::Null),
        any::<bool>().prop_map(|is| json!(is)),
    ]
}

/// JSON with the field names of the APIs and any values.
pub(crate) fn json() -> impl Strategy<Value = Value> {
    let names = [
        "premiumProfessionalSupportServices",
        "professionalSupportServices",
        "professionalSupportService",
        "premiumProfessionalSupportService",
        "id",
        "tenantId",
        "operationStatus",
        "currentMenu",
        "menus",
        "menu",
        "menuStartDate",
        "error",
        "message",
        "operations",
        "resourceId",
        "receptionTime",
        "token",
        "issued_at",
        "expires_at",
        "metadata",
        "spec",
        "status",
        "conditions",
        "tenantID",
        "credentialsSecretRef",
        "name",
        "finalizers",
        "data",
        "apiKey",
        "apiSecret",
        "type",
        "lastTransitionTime",
        "deletionTimestamp",
    ];
    value().prop_recursive(5, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            prop::collection::btree_map(prop::sample::select(names.to_vec()), inner, 0..7)
                .prop_map(|fields| json!(fields)),
        ]
    })
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        mutated_corpus(),
        json().prop_map(|value| value.to_string().into_bytes()),
        prop::collection::vec(any::<u8>(), 0..200),
    ]
}

/// A response with any status, `Retry-After` and body.
pub(crate) fn response() -> impl Strategy<Value = FixedResponse> {
    let status = prop_oneof![
        prop::sample::select(vec![200_u16, 201, 202, 204, 302, 400, 401, 403, 404, 409, 429, 500, 503]),
        200_u16..600,
    ];
    let retry_after =
        prop::option::of(prop_oneof!["[0-9]{0,20}", "[ -~]{0,40}", Just("Thu, 01 Jan 1970 00:00:00 GMT".to_owned())]);
    (status, retry_after, body()).prop_map(|(status, retry_after, body)| FixedResponse {
        status,
        headers: retry_after.into_iter().map(|value| ("retry-after", value)).collect(),
        body,
    })
}
