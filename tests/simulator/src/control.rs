//! The control API, under `/_control/`: how to steer the simulator from outside.

use hyper::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::faults::Fault;
use crate::log::Call;
use crate::portal::Action;
use crate::world::{Settings, World};

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

/// Answers a call of the control API; `path` is what comes after `/_control/`.
pub fn answer(world: &mut World, method: &Method, path: &str, query: &str, body: &Value) -> Answer {
    match (method.as_str(), path) {
        ("GET", "log") => log(world, query),
        ("DELETE", "log") => {
            world.log.clear();
            done()
        }
        ("GET", "summary") => summary(world, query),
        ("GET", "contracts") => contracts(world),
        ("GET", "faults") => {
            let faults = world.faults.all().iter().map(|(number, fault)| json!({ "number": number, "fault": fault }));
            Answer::new(200, Value::Array(faults.collect()))
        }
        ("POST", "faults") => with(body, |fault: Fault| json!({ "number": world.faults.add(fault) })),
        ("DELETE", "faults") => match parameter(query, "number").map(str::parse) {
            None => {
                world.faults.clear();
                done()
            }
            Some(Ok(number)) => {
                world.faults.remove(number);
                done()
            }
            Some(Err(_)) => Answer::error(400, "number must be the number of a fault, as POST faults has given it"),
        },
        ("POST", "portal") => with(body, |request: PortalRequest| {
            world.portal(&request.tenant, &request.action);
            json!(world.contract(&request.tenant))
        }),
        ("GET", "settings") => Answer::new(200, json!(world.settings)),
        ("PUT", "settings") => with(&merged(&world.settings, body), |settings: Settings| {
            world.settings = settings;
            json!(world.settings)
        }),
        ("PUT", "accounts") => with(body, |account: AccountRequest| {
            world.set_account(&account.api_key, account.api_secret.as_deref());
            json!({})
        }),
        ("POST", "tokens/revoke") => with(body, |request: RevokeRequest| {
            world.revoke_tokens(request.tenant.as_deref());
            json!({})
        }),
        ("POST", "reset") => {
            *world = World::new(world.settings.clone());
            Answer::new(200, json!({}))
        }
        _ => Answer::error(404, &format!("no such control call; there are: {CALLS}")),
    }
}

fn done() -> Answer {
    Answer::new(200, json!({}))
}

fn with<T: for<'de> Deserialize<'de>>(body: &Value, act: impl FnOnce(T) -> Value) -> Answer {
    match serde_json::from_value(body.clone()) {
        Ok(request) => Answer::new(200, act(request)),
        Err(error) => Answer::error(400, &format!("{error}; see the README for the form")),
    }
}

/// Settings are changed one by one: what is not named stays.
fn merged(settings: &Settings, body: &Value) -> Value {
    let mut merged = json!(settings);
    if let (Some(merged), Some(body)) = (merged.as_object_mut(), body.as_object()) {
        merged.extend(body.clone());
    }
    merged
}

fn log(world: &World, query: &str) -> Answer {
    let tenant = parameter(query, "tenant");
    let call = match parameter(query, "call").map(|call| serde_json::from_value::<Call>(json!(call))) {
        None => None,
        Some(Ok(call)) => Some(call),
        Some(Err(error)) => return Answer::error(400, &error.to_string()),
    };
    let entries = world.log.entries().iter();
    let entries = entries.filter(|entry| tenant.is_none() || entry.tenant.as_deref() == tenant);
    let entries = entries.filter(|entry| call.is_none_or(|call| entry.call == call));
    Answer::new(200, json!(entries.collect::<Vec<_>>()))
}

fn summary(world: &World, query: &str) -> Answer {
    if let Some(tenant) = parameter(query, "tenant") {
        return Answer::new(200, json!(world.summary(tenant)));
    }
    let asked = world.log.entries().iter().filter_map(|entry| entry.tenant.as_deref());
    let tenants = asked.chain(world.tenants()).collect::<std::collections::BTreeSet<_>>();
    let all = tenants.into_iter().map(|tenant| (tenant.to_owned(), json!(world.summary(tenant))));
    Answer::new(200, Value::Object(all.collect()))
}

fn contracts(world: &World) -> Answer {
    let contracts = world.tenants().filter_map(|tenant| Some((tenant.to_owned(), json!(world.contract(tenant)?))));
    Answer::new(200, Value::Object(contracts.collect()))
}

/// The value of a query parameter. Nothing that is asked for here needs escaping.
pub(crate) fn parameter<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    query.split('&').filter_map(|pair| pair.split_once('=')).find(|(key, _)| *key == name).map(|(_, value)| value)
}
