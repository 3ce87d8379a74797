//! What must hold once no more faults occur: every plan reports the actual state, and the operator has nothing left to
//! do.

use fic_simulator::state::Contract;
use fic_support_operator::api::condition::Reason;
use serde_json::Value;

use crate::plan_fields::{
    CONTRACT_FINALIZER, IN_USE_FINALIZER, has_both_marks, has_record, owned_id, ready, secret_of, spec_text,
};
use crate::sim_world::SimWorld;
use crate::store::{Kind, ObjectRef, has_finalizer, is_deleting};

pub fn check_converged(world: &SimWorld) -> Result<(), String> {
    for (id, plan) in world.store.all(Kind::Plan) {
        check_plan(world, id, plan).map_err(|why| format!("{id}: {why}"))?;
        let tenant = spec_text(plan, "tenantID", "");
        let mut of_tenant = world.store.all(Kind::Plan).filter(|(_, other)| spec_text(other, "tenantID", "") == tenant);
        if of_tenant.any(|(_, other)| has_record(other)) {
            continue;
        }
        let contract = world.fic.lock().contract(tenant);
        if let Some(contract) = contract.filter(|contract| world.oracle.is_left_behind(&contract.id)) {
            return Err(format!("{id}: contract {} was created, and no plan has recorded it", contract.id));
        }
    }
    Ok(())
}

/// The plan is Ready with the reason Contracted.
pub fn check_ready(plan: &Value) -> Result<(), String> {
    match ready(plan) {
        ("True", "Contracted") => Ok(()),
        (status, reason) => Err(format!("Ready is {status} with reason {reason}")),
    }
}

fn check_plan(world: &SimWorld, id: &ObjectRef, plan: &Value) -> Result<(), String> {
    let spec = &plan["spec"];
    if spec["suspend"] == true {
        return Ok(());
    }
    if plan["status"]["observedGeneration"] != plan["metadata"]["generation"] {
        return Err("its status is for an older generation".into());
    }
    let requested = &plan["metadata"]["annotations"]["fic.ntt.com/reconcile-requested-at"];
    if requested.is_string() && plan["status"]["lastHandledReconcileAt"] != *requested {
        return Err("a requested reconcile did not happen".into());
    }
    if is_deleting(plan) && (spec["deletionPolicy"] == "Retain" || spec["managementPolicy"] == "Observe") {
        return Err(format!("the operator could release it at once, and it still exists: {plan}"));
    }
    check_secret_finalizer(world, id, plan)?;
    if has_finalizer(plan, CONTRACT_FINALIZER) != has_record(plan) || has_record(plan) != has_both_marks(plan) {
        return Err(format!("the marks do not fit the record: {plan}"));
    }
    let tenant = spec["tenantID"].as_str().unwrap_or_default();
    let contract = world.fic.lock().contract(tenant);
    let (status, reason) = ready(plan);
    let is_true = (status == "True") == (reason == "Contracted")
        && Reason::parse(reason).is_some_and(|reason| is_true(world, id, plan, reason, contract.as_ref()));
    if is_true { Ok(()) } else { Err(format!("Ready is {status} {reason}, and FIC has {contract:?}: {plan}")) }
}

/// While a plan has a record, the Secret that it uses has the finalizer.
fn check_secret_finalizer(world: &SimWorld, id: &ObjectRef, plan: &Value) -> Result<(), String> {
    let secret = world.store.get(&secret_of(id, plan));
    let is_kept = secret.is_none_or(|secret| is_deleting(secret) || has_finalizer(secret, IN_USE_FINALIZER));
    if is_kept || !has_record(plan) {
        return Ok(());
    }
    Err(format!("rule 8: the plan has a record, and its Secret has no finalizer: {plan}"))
}

/// Whether the reason describes the actual state of the contract or of the tenant, or an error that exists and that
/// only a user can fix.
fn is_true(world: &SimWorld, id: &ObjectRef, plan: &Value, reason: Reason, contract: Option<&Contract>) -> bool {
    let spec = &plan["spec"];
    let is_kept = !is_deleting(plan);
    let observes = spec["managementPolicy"] == "Observe";
    let secret = world.store.get(&secret_of(id, plan));
    let data = secret.map(|secret| (&secret["data"]["apiKey"], &secret["data"]["apiSecret"]));
    match reason {
        Reason::Contracted => {
            let is_completed = |contract: &Contract| {
                contract.operation_status == "Completed" && contract.current_menu == "PremiumPlan"
            };
            let recorded = plan["status"]["id"].as_str();
            let is_recorded = contract.is_some_and(|contract| recorded == Some(&contract.id));
            let is_owned = is_recorded && owned_id(plan).is_some();
            is_kept && contract.is_some_and(is_completed) && (observes || is_owned)
        }
        Reason::MenuMismatch => is_kept && contract.is_some_and(|contract| contract.current_menu != "PremiumPlan"),
        Reason::AlreadyContracted => {
            let uid = plan["metadata"]["uid"].as_str();
            let is_other = |contract: &Contract| match world.oracle.owner(&contract.id) {
                Some(owner) => Some(owner) != uid,
                None => !world.oracle.is_created_by_operator(&contract.id),
            };
            is_kept && spec["adoptionPolicy"] == "Never" && contract.is_some_and(is_other)
        }
        Reason::ContractLost => {
            let is_held_back = spec["recreationPolicy"] == "Never" || world.oracle.max_recreations.is_some();
            is_kept && contract.is_none() && is_held_back
        }
        Reason::NotContracted => is_kept && contract.is_none() && observes,
        Reason::TenantClaimed => {
            let mut others = world.store.all(Kind::Plan).filter(|(other_id, _)| *other_id != id);
            is_kept && others.any(|(_, other)| other["spec"]["tenantID"] == spec["tenantID"] && has_record(other))
        }
        Reason::CredentialsMissing => secret.is_none_or(is_deleting),
        Reason::CredentialsInvalid => data.is_some_and(|(_, secret)| *secret == ""),
        Reason::AuthenticationFailed => {
            data.is_some_and(|(key, _)| *key == "a2V5") && !world.fic.lock().is_pair("key", "secret")
        }
        Reason::OperationFailed => contract.is_some_and(|contract| contract.operation_status == "Error"),
        // The operator continues by itself, or the cause does not exist in the simulated world.
        Reason::Purchasing
        | Reason::Processing
        | Reason::Abolishing
        | Reason::ServiceUnavailable
        | Reason::RateLimited
        | Reason::Suspended
        | Reason::PermissionDenied
        | Reason::RequestRejected
        | Reason::OperationTimedOut
        | Reason::OrderConflict
        | Reason::ContractNotFound
        | Reason::WriteRefused
        | Reason::UnexpectedAnswer => false,
    }
}
