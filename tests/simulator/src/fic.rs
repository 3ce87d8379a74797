//! The FIC API: contracts and operations.

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::portal::Action;
use crate::response::ApiResponse;
use crate::state::{Contract, FicState, Operation, PREMIUM};

/// How the contract in a response differs from the current contract. This is the part of a fault that depends on the
/// contract.
#[derive(Clone, Copy, Debug)]
pub struct ResponseFault {
    /// Reads return the state at this time.
    pub as_of: Instant,
    /// The contract names another tenant and has another id.
    pub wrong_tenant: bool,
    /// The contract has another id.
    pub wrong_id: bool,
    /// Reads find no contract.
    pub wrong_absence: bool,
}

impl ResponseFault {
    /// The current contract, unchanged.
    #[must_use]
    pub fn none() -> Self {
        Self { as_of: Instant::now(), wrong_tenant: false, wrong_id: false, wrong_absence: false }
    }
}

/// Lists the contracts of a tenant.
pub fn list(state: &FicState, tenant: &str, id: Option<&str>, fault: ResponseFault) -> ApiResponse {
    let contract = visible(state, tenant, fault).filter(|contract| id.is_none_or(|id| contract.id == id));
    let contracts = contract.iter().map(|contract| contract_json(state, tenant, contract, fault)).collect::<Vec<_>>();
    ApiResponse::new(200, json!({ "premiumProfessionalSupportServices": contracts }))
}

/// Shows a contract.
pub fn show(state: &FicState, tenant: &str, id: &str, fault: ResponseFault) -> ApiResponse {
    match visible(state, tenant, fault).filter(|contract| contract.id == id) {
        Some(contract) => one_contract(state, 200, tenant, &contract, fault),
        None => not_found(id),
    }
}

/// Creates a contract.
pub fn create(state: &mut FicState, tenant: &str, body: &Value, fault: ResponseFault) -> ApiResponse {
    let menu = body.pointer("/premiumProfessionalSupportService/currentMenu").and_then(Value::as_str);
    if menu != Some(PREMIUM) {
        return ApiResponse::error(400, "premiumProfessionalSupportService.currentMenu must be PremiumPlan");
    }
    if state.portal_creates_before_next.remove(tenant).is_some() {
        state.portal(tenant, &Action::Create);
    }
    if let Some(contract) = state.contract(tenant) {
        return ApiResponse::error(409, &format!("The tenant already has the contract {}", contract.id));
    }
    let contract = state.create(tenant);
    one_contract(state, 202, tenant, &contract, fault).with_effect()
}

/// Deletes a contract.
pub fn delete(state: &mut FicState, tenant: &str, id: &str, fault: ResponseFault) -> ApiResponse {
    let Some(contract) = state.contract(tenant).filter(|contract| contract.id == id) else { return not_found(id) };
    if contract.pending.is_some() {
        return ApiResponse::error(409, "Another operation is in progress");
    }
    let contract = state.delete(tenant, contract);
    one_contract(state, 202, tenant, &contract, fault).with_effect()
}

/// Lists the operations of a tenant.
pub fn list_operations(state: &FicState, tenant: &str, resource: Option<&str>) -> ApiResponse {
    if resource.is_some_and(|id| !is_contract_id(id)) {
        return ApiResponse::error(400, "resourceId must be the id of a contract");
    }
    let operations = state
        .operations
        .iter()
        .filter(|operation| operation.tenant == tenant && resource.is_none_or(|id| operation.resource == id))
        .map(operation_json)
        .collect::<Vec<_>>();
    ApiResponse::new(200, json!({ "operations": operations }))
}

/// Shows an operation.
pub fn show_operation(state: &FicState, tenant: &str, id: &str) -> ApiResponse {
    match state.operations.iter().find(|operation| operation.tenant == tenant && operation.id == id) {
        Some(operation) => ApiResponse::new(200, json!({ "operation": operation_json(operation) })),
        None => not_found(id),
    }
}

fn visible(state: &FicState, tenant: &str, fault: ResponseFault) -> Option<Contract> {
    if fault.wrong_absence { None } else { state.contract_at(tenant, fault.as_of) }
}

fn one_contract(state: &FicState, status: u16, tenant: &str, contract: &Contract, fault: ResponseFault) -> ApiResponse {
    let mut body = serde_json::Map::new();
    body.insert(state.settings.answer_key.clone(), contract_json(state, tenant, contract, fault));
    ApiResponse::new(status, Value::Object(body))
}

fn contract_json(state: &FicState, tenant: &str, contract: &Contract, fault: ResponseFault) -> Value {
    let mut view = json!({
        "id": if fault.wrong_id || fault.wrong_tenant { "F999999999999" } else { contract.id.as_str() },
        "tenantId": if fault.wrong_tenant { "ffffffffffffffffffffffffffffffff" } else { tenant },
        "operationStatus": contract.operation_status,
        "currentMenu": contract.current_menu,
    });
    if contract.operation_status != "Processing" {
        view["menus"] = json!([{ "menu": contract.current_menu, "menuStartDate": contract.menu_start_date }]);
    }
    if state.settings.extra_fields {
        view["operationId"] = json!("0123456789abcdef0123456789abcdef");
        view["somethingNew"] = json!({ "nested": [1, 2, 3] });
    }
    view
}

fn operation_json(operation: &Operation) -> Value {
    let finished = operation.until <= Instant::now();
    let status = match (finished, &operation.failure) {
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
        "commitTime": if finished { json!(operation.received.to_string()) } else { Value::Null },
        "error": if finished { json!(operation.failure) } else { Value::Null },
    })
}

/// Whether this is one capital letter and twelve digits.
fn is_contract_id(text: &str) -> bool {
    let (letter, digits) = text.as_bytes().split_at(text.len().min(1));
    letter.iter().all(u8::is_ascii_uppercase) && digits.len() == 12 && digits.iter().all(u8::is_ascii_digit)
}

fn not_found(id: &str) -> ApiResponse {
    ApiResponse::error(404, &format!("{id} is not found"))
}
