//! FIC: list, create, show, delete, and the operations.

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::answer::Answer;
use crate::world::{Contract, Operation, PREMIUM, World};

/// What an answer is to be spoilt with, where the spoiling must know what it speaks of.
#[derive(Clone, Copy, Debug)]
pub struct Lens {
    /// The moment that reads speak of.
    pub at: Instant,
    /// Speak of another tenant.
    pub wrong_tenant: bool,
    /// Speak of another contract.
    pub wrong_id: bool,
    /// Show nothing.
    pub blind: bool,
}

/// Lists.
pub fn list(world: &World, tenant: &str, id: Option<&str>, lens: Lens) -> Answer {
    let contract = seen(world, tenant, lens).filter(|contract| id.is_none_or(|id| contract.id == id));
    let contracts = contract.iter().map(|contract| view(world, tenant, contract, lens)).collect::<Vec<_>>();
    Answer::new(200, json!({ "premiumProfessionalSupportServices": contracts }))
}

/// Shows.
pub fn show(world: &World, tenant: &str, id: &str, lens: Lens) -> Answer {
    match seen(world, tenant, lens).filter(|contract| contract.id == id) {
        Some(contract) => one(world, 200, tenant, &contract, lens),
        None => not_found(id),
    }
}

/// Buys.
pub fn create(world: &mut World, tenant: &str, body: &Value, lens: Lens) -> Answer {
    let menu = body.pointer("/premiumProfessionalSupportService/currentMenu").and_then(Value::as_str);
    if menu != Some(PREMIUM) {
        return Answer::error(400, "premiumProfessionalSupportService.currentMenu must be PremiumPlan");
    }
    if world.portal_first.remove(tenant).is_some() {
        world.portal(tenant, &crate::portal::Action::Create);
    }
    if let Some(contract) = world.contract(tenant) {
        return Answer::error(409, &format!("The tenant already has the contract {}", contract.id));
    }
    let contract = world.create(tenant);
    one(world, 202, tenant, &contract, lens).with_effect()
}

/// Abolishes.
pub fn delete(world: &mut World, tenant: &str, id: &str, lens: Lens) -> Answer {
    let Some(contract) = world.contract(tenant).filter(|contract| contract.id == id) else { return not_found(id) };
    if contract.pending.is_some() {
        return Answer::error(409, "Another operation is in progress");
    }
    let contract = world.delete(tenant, contract);
    one(world, 202, tenant, &contract, lens).with_effect()
}

/// Lists operations.
pub fn list_operations(world: &World, tenant: &str, resource: Option<&str>) -> Answer {
    let operations = world
        .operations
        .iter()
        .filter(|operation| operation.tenant == tenant && resource.is_none_or(|id| operation.resource == id))
        .map(operation_view)
        .collect::<Vec<_>>();
    Answer::new(200, json!({ "operations": operations }))
}

/// Shows an operation.
pub fn show_operation(world: &World, tenant: &str, id: &str) -> Answer {
    match world.operations.iter().find(|operation| operation.tenant == tenant && operation.id == id) {
        Some(operation) => Answer::new(200, json!({ "operation": operation_view(operation) })),
        None => not_found(id),
    }
}

fn seen(world: &World, tenant: &str, lens: Lens) -> Option<Contract> {
    if lens.blind { None } else { world.contract_at(tenant, lens.at) }
}

fn one(world: &World, status: u16, tenant: &str, contract: &Contract, lens: Lens) -> Answer {
    let mut body = serde_json::Map::new();
    body.insert(world.settings.answer_key.clone(), view(world, tenant, contract, lens));
    Answer::new(status, Value::Object(body))
}

fn view(world: &World, tenant: &str, contract: &Contract, lens: Lens) -> Value {
    let mut view = json!({
        "id": if lens.wrong_id || lens.wrong_tenant { "F999999999999" } else { contract.id.as_str() },
        "tenantId": if lens.wrong_tenant { "ffffffffffffffffffffffffffffffff" } else { tenant },
        "operationStatus": contract.operation_status,
        "currentMenu": contract.current_menu,
    });
    if contract.operation_status != "Processing" {
        view["menus"] = json!([{ "menu": contract.current_menu, "menuStartDate": contract.menu_start_date }]);
    }
    if world.settings.extra_fields {
        view["operationId"] = json!("0123456789abcdef0123456789abcdef");
        view["somethingNew"] = json!({ "nested": [1, 2, 3] });
    }
    view
}

fn operation_view(operation: &Operation) -> Value {
    let over = operation.until <= Instant::now();
    let status = match (over, &operation.failure) {
        (false, _) => "Processing",
        (true, None) => "Completed",
        (true, Some(_)) => "Cancelled",
    };
    json!({
        "id": operation.id,
        "tenantId": operation.tenant,
        "resourceId": operation.resource,
        "resourceType": "PremiumProfessionalSupportService",
        "requestType": operation.request,
        "status": status,
        "receptionTime": operation.received.to_string(),
        "commitTime": if over { json!(operation.received.to_string()) } else { Value::Null },
        "error": if over { json!(operation.failure) } else { Value::Null },
    })
}

fn not_found(id: &str) -> Answer {
    Answer::error(404, &format!("{id} is not found"))
}
