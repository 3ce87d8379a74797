//! The control API below `/_control/`: reads and changes the simulator over HTTP.

use hyper::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::faults::Fault;
use crate::log::Call;
use crate::portal::Action;
use crate::response::ApiResponse;
use crate::state::{FicState, Settings};

const CALLS: &str = "GET log, DELETE log, GET summary, GET contracts, GET/POST/DELETE faults, POST portal, GET/PUT settings, \
                     PUT accounts, POST tokens/revoke, POST reset";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PortalRequest {
    tenant: String,
    action: Action,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct AccountRequest {
    api_key: String,
    api_secret: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RevokeRequest {
    tenant: Option<String>,
}

/// Executes a call of the control API. `path` is the part after `/_control/`.
pub fn handle(state: &mut FicState, method: &Method, path: &str, query: &str, body: &Value) -> ApiResponse {
    match (method.as_str(), path) {
        ("GET", "log") => log(state, query),
        ("DELETE", "log") => {
            state.log.clear();
            empty_object()
        }
        ("GET", "summary") => summary(state, query),
        ("GET", "contracts") => contracts(state),
        ("GET", "faults") => {
            let faults = state.faults.all().iter().map(|(number, fault)| json!({ "number": number, "fault": fault }));
            ApiResponse::new(200, Value::Array(faults.collect()))
        }
        ("POST", "faults") => with_request(body, |fault: Fault| json!({ "number": state.faults.add(fault) })),
        ("DELETE", "faults") => match parameter(query, "number").map(str::parse) {
            None => {
                state.faults.clear();
                empty_object()
            }
            Some(Ok(number)) => {
                state.faults.remove(number);
                empty_object()
            }
            Some(Err(_)) => ApiResponse::error(400, "number must be the number of a fault, as POST faults returned it"),
        },
        ("POST", "portal") => with_request(body, |request: PortalRequest| {
            state.portal(&request.tenant, &request.action);
            json!(state.contract(&request.tenant))
        }),
        ("GET", "settings") => ApiResponse::new(200, json!(state.settings)),
        ("PUT", "settings") => with_request(&merged(&state.settings, body), |settings: Settings| {
            state.settings = settings;
            json!(state.settings)
        }),
        ("PUT", "accounts") => with_request(body, |account: AccountRequest| {
            state.set_account(&account.api_key, account.api_secret.as_deref());
            json!({})
        }),
        ("POST", "tokens/revoke") => with_request(body, |request: RevokeRequest| {
            state.revoke_tokens(request.tenant.as_deref());
            json!({})
        }),
        ("POST", "reset") => {
            *state = FicState::new(state.settings.clone());
            empty_object()
        }
        _ => ApiResponse::error(404, &format!("no such control call; the control calls are: {CALLS}")),
    }
}

fn empty_object() -> ApiResponse {
    ApiResponse::new(200, json!({}))
}

fn with_request<T: for<'de> Deserialize<'de>>(body: &Value, execute: impl FnOnce(T) -> Value) -> ApiResponse {
    match serde_json::from_value(body.clone()) {
        Ok(request) => ApiResponse::new(200, execute(request)),
        Err(error) => ApiResponse::error(400, &format!("{error}; see the README for the format")),
    }
}

/// The settings with the fields of the body. Fields that the body does not name stay unchanged.
fn merged(settings: &Settings, body: &Value) -> Value {
    let mut merged = json!(settings);
    if let (Some(merged), Some(body)) = (merged.as_object_mut(), body.as_object()) {
        merged.extend(body.clone());
    }
    merged
}

fn log(state: &FicState, query: &str) -> ApiResponse {
    let tenant = parameter(query, "tenant");
    let call = match parameter(query, "call").map(|call| serde_json::from_value::<Call>(json!(call))) {
        None => None,
        Some(Ok(call)) => Some(call),
        Some(Err(error)) => return ApiResponse::error(400, &error.to_string()),
    };
    let entries = state.log.entries().iter();
    let entries = entries.filter(|entry| tenant.is_none() || entry.tenant.as_deref() == tenant);
    let entries = entries.filter(|entry| call.is_none_or(|call| entry.call == call));
    ApiResponse::new(200, json!(entries.collect::<Vec<_>>()))
}

fn summary(state: &FicState, query: &str) -> ApiResponse {
    if let Some(tenant) = parameter(query, "tenant") {
        return ApiResponse::new(200, json!(state.summary(tenant)));
    }
    let logged = state.log.entries().iter().filter_map(|entry| entry.tenant.as_deref());
    let tenants = logged.chain(state.tenants()).collect::<std::collections::BTreeSet<_>>();
    let all = tenants.into_iter().map(|tenant| (tenant.to_owned(), json!(state.summary(tenant))));
    ApiResponse::new(200, Value::Object(all.collect()))
}

fn contracts(state: &FicState) -> ApiResponse {
    let contracts = state.tenants().filter_map(|tenant| Some((tenant.to_owned(), json!(state.contract(tenant)?))));
    ApiResponse::new(200, Value::Object(contracts.collect()))
}

/// The value of a query parameter. It is not percent-decoded: no accepted value needs escaping.
pub(crate) fn parameter<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    query.split('&').filter_map(|pair| pair.split_once('=')).find(|(key, _)| *key == name).map(|(_, value)| value)
}
