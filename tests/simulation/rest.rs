//! At rest: every plan says what is so, and nothing is left to be done.

use fic_simulator::world::Contract;
use serde_json::Value;

use crate::oracle::{CONTRACT, IN_USE, secret_of};
use crate::store::{Id, Kind, has_finalizer, is_deleting};
use crate::world::World;

/// Whether every plan is where it should be, now that nothing goes wrong.
pub fn settled(world: &World) -> Result<(), String> {
    for (id, plan) in world.store.all(Kind::Plan) {
        plan_settled(world, id, plan).map_err(|why| format!("{id}: {why}"))?;
    }
    Ok(())
}

pub fn ready(plan: &Value) -> (&str, &str) {
    let conditions = plan["status"]["conditions"].as_array().into_iter().flatten();
    let ready = conditions.clone().find(|condition| condition["type"] == "Ready");
    let text = |field: &str| ready.and_then(|ready| ready[field].as_str()).unwrap_or_default();
    (text("status"), text("reason"))
}

/// Ready and Contracted.
pub fn plan_is_ready(plan: &Value) -> Result<(), String> {
    match ready(plan) {
        ("True", "Contracted") => Ok(()),
        (status, reason) => Err(format!("it is {status} {reason}")),
    }
}

fn plan_settled(world: &World, id: &Id, plan: &Value) -> Result<(), String> {
    let spec = &plan["spec"];
    if spec["suspend"] == true {
        return Ok(());
    }
    if plan["status"]["observedGeneration"] != plan["metadata"]["generation"] {
        return Err("its status speaks of an older generation".into());
    }
    let requested = &plan["metadata"]["annotations"]["fic.ntt.com/reconcile-requested-at"];
    if requested.is_string() && plan["status"]["lastHandledReconcileAt"] != *requested {
        return Err("it was asked to look and has not".into());
    }
    if is_deleting(plan) && (spec["deletionPolicy"] == "Retain" || spec["managementPolicy"] == "Observe") {
        return Err(format!("it may go at once, and is still there: {plan}"));
    }
    secret_is_kept(world, id, plan)?;
    let tenant = spec["tenantID"].as_str().unwrap_or_default();
    let contract = world.fic.lock().contract(tenant);
    let (status, reason) = ready(plan);
    let is_so = if is_deleting(plan) {
        blocked(world, id, plan, reason, contract.as_ref())
    } else {
        stands(world, id, plan, reason, contract.as_ref()) || blocked(world, id, plan, reason, contract.as_ref())
    };
    if is_so { Ok(()) } else { Err(format!("{status} {reason}, and FIC has {contract:?}: {plan}")) }
}

/// Whether a plan holds the tenant of another: by its finalizer, or before that by its age.
fn precedes(plan: &Value, other: &Value) -> bool {
    let claims = !is_deleting(plan) && plan["spec"]["managementPolicy"] != "Observe";
    let age = |plan: &Value| {
        let text = |field: &str| plan["metadata"][field].as_str().unwrap_or_default().to_owned();
        (text("creationTimestamp"), text("uid"))
    };
    !has_finalizer(other, CONTRACT) && (has_finalizer(plan, CONTRACT) || (claims && age(plan) < age(other)))
}

/// While a plan carries the finalizer, so does the Secret that it uses.
fn secret_is_kept(world: &World, id: &Id, plan: &Value) -> Result<(), String> {
    let secret = world.store.get(&secret_of(id, plan));
    let kept = secret.is_none_or(|secret| is_deleting(secret) || has_finalizer(secret, IN_USE));
    if kept || !has_finalizer(plan, CONTRACT) {
        return Ok(());
    }
    Err(format!("rule 8: it carries the finalizer, and its Secret does not: {plan}"))
}

/// A living plan's word on its contract.
fn stands(world: &World, id: &Id, plan: &Value, reason: &str, contract: Option<&Contract>) -> bool {
    let spec = &plan["spec"];
    let observes = spec["managementPolicy"] == "Observe";
    let recorded = plan["status"]["id"].as_str();
    let uid = plan["metadata"]["uid"].as_str();
    let ours = contract.is_some_and(|contract| recorded == Some(&contract.id));
    match reason {
        "Contracted" => {
            let fits = contract.is_some_and(|contract| {
                contract.operation_status == "Completed" && contract.current_menu == "PremiumPlan"
            });
            fits && (observes || (ours && has_finalizer(plan, CONTRACT)))
        }
        "MenuMismatch" => contract.is_some_and(|contract| contract.current_menu != "PremiumPlan"),
        "AlreadyContracted" => {
            spec["adoptionPolicy"] == "Never"
                && contract.is_some_and(|contract| match world.oracle.owner(&contract.id) {
                    Some(owner) => Some(owner) != uid,
                    None => !world.oracle.is_bought(&contract.id),
                })
        }
        "ContractLost" => contract.is_none() && spec["recreationPolicy"] == "Never",
        "NotContracted" => contract.is_none() && observes,
        "TenantClaimed" => world.store.all(Kind::Plan).any(|(other_id, other)| {
            other_id != id && other["spec"]["tenantID"] == spec["tenantID"] && precedes(other, plan)
        }),
        _ => false,
    }
}

/// Something that only a person can mend, and that is really there.
fn blocked(world: &World, id: &Id, plan: &Value, reason: &str, contract: Option<&Contract>) -> bool {
    let secret = world.store.get(&secret_of(id, plan));
    let pair = secret.map(|secret| (&secret["data"]["apiKey"], &secret["data"]["apiSecret"]));
    match reason {
        "CredentialsMissing" => secret.is_none_or(is_deleting),
        "CredentialsInvalid" => pair.is_some_and(|(_, secret)| *secret == ""),
        "AuthenticationFailed" => {
            pair.is_some_and(|(key, _)| *key == "a2V5") && !world.fic.lock().is_pair("key", "secret")
        }
        "OperationFailed" => contract.is_some_and(|contract| contract.operation_status == "Error"),
        _ => false,
    }
}
