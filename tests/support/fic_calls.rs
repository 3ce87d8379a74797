//! The calls of the FIC client, by the names that they have in `docs/api/fic.yaml`, and their outcomes as text.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::Duration;

use fic_support_operator::api::credentials::Credentials;
use fic_support_operator::api::plan::Menu;
use fic_support_operator::domain::contract::ContractId;
use fic_support_operator::domain::error::{FicError, WriteOutcome};
use fic_support_operator::fic::metrics::FicMetrics;
use fic_support_operator::fic::{Access, Endpoints, FicClient, Limits};
use fic_support_operator::proxy::Proxies;
use serde_json::Value;

/// The description.
pub(crate) const DESCRIPTION: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/api/fic.yaml");
/// The tenant and the contract of its examples.
pub(crate) const TENANT: &str = "db8b0e40743f460685040c46167cf19e";
pub(crate) const CONTRACT: &str = "F520123456789";

/// A client of HTTP needs it, also for plain HTTP.
pub(crate) fn install_crypto_provider() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// A client without a token. An endpoint may have a query, which becomes part of each request.
pub(crate) fn client(fic: &str, keystone: &str) -> FicClient {
    install_crypto_provider();
    let endpoints = Endpoints { fic: fic.parse().unwrap(), keystone: keystone.parse().unwrap() };
    let limits = Limits { request_timeout: Duration::from_secs(10), requests_per_second: 0, ..Limits::default() };
    FicClient::new(endpoints, vec![], Proxies::new(|_| None), limits, FicMetrics::default()).unwrap()
}

pub(crate) fn access(secret: &str) -> Access {
    Access { namespace: "team".into(), ticket: 1, tenant: TENANT.into(), credentials: Credentials::new("key", secret) }
}

/// The outcome of the call with this `operationId`. A sign-in is part of every call.
pub(crate) async fn call(fic: &FicClient, operation: &str, id: &str) -> String {
    let (access, id) = (access("secret"), ContractId::parse(id).unwrap());
    match operation {
        "signIn" | "list" => read(fic.list(&access).await.map(|contracts| contracts.len())),
        "show" => read(fic.show(&access, &id).await.map(|contract| contract.map(|contract| contract.id.to_string()))),
        "create" => {
            let outcome = fic.create(&access, Menu::PremiumPlan, &|| true).await.unwrap();
            write(outcome, |contract| contract.id.to_string())
        }
        "delete" => write(fic.delete(&access, &id, &|| true).await.unwrap(), |()| "deleted".into()),
        "operations" => format!("{:?}", fic.operation_error(&access, &id).await),
        other => panic!("the client has no call {other}"),
    }
}

fn read<T: Debug>(result: Result<T, FicError>) -> String {
    match result {
        Ok(value) => format!("{value:?}"),
        Err(error) => text(&error),
    }
}

fn write<T>(outcome: WriteOutcome<T>, accepted: impl FnOnce(T) -> String) -> String {
    match outcome {
        WriteOutcome::Accepted(value) => format!("accepted {}", accepted(value)),
        WriteOutcome::Refused(error) => format!("refused, {}", text(&error)),
        WriteOutcome::Unknown(error) => format!("unknown, {}", text(&error)),
        WriteOutcome::NotSent(error) => format!("not sent, {}", text(&error)),
    }
}

/// The kind of an error, and how long to wait.
fn text(error: &FicError) -> String {
    let wait = error.retry_after().map(|wait| format!(" for {wait:?}")).unwrap_or_default();
    format!("{}{wait}", error.category())
}

/// The statuses that the description has for each `operationId`. A class is one status of it.
pub(crate) fn statuses() -> BTreeMap<String, Vec<u16>> {
    let document: Value = serde_saphyr::from_str(&std::fs::read_to_string(DESCRIPTION).unwrap()).unwrap();
    let paths = document["paths"].as_object().unwrap().values();
    let operations = paths.flat_map(|path| path.as_object().unwrap().values());
    let described = operations.filter_map(|operation| {
        let responses = operation.get("responses")?.as_object()?;
        let statuses = responses.keys().map(|status| status.replace("XX", "03").parse().unwrap()).collect();
        Some((operation["operationId"].as_str()?.to_owned(), statuses))
    });
    described.collect()
}
