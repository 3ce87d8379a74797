//! The JSON of the FIC API, and the types that it is parsed into.
//!
//! The API reference names the key of a response in two ways and does not say which fields may be missing, so every
//! field is optional here and [`contract`] checks what is required. A missing list is never an empty list: `{}` is a
//! response that cannot be parsed, not a tenant without a contract.

use secrecy::SecretString;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::api::plan::{ContractMenu, Menu};
use crate::domain::contract::{Contract, ContractId, OperationStatus};
use crate::domain::error::FicError;
use crate::text::{sanitize_message, sanitize_word};

/// How many menus of a contract are read. A contract has one or two.
const MAX_MENUS: usize = 8;

/// What a response is checked against: the tenant of the request, and the secrets that no text of the response may
/// repeat.
#[derive(Clone, Copy)]
pub(super) struct RequestContext<'a> {
    pub(super) tenant: &'a str,
    pub(super) secrets: &'a [&'a SecretString],
}

/// The body of a create request.
pub(super) fn create_body(menu: Menu) -> Value {
    json!({ "premiumProfessionalSupportService": { "currentMenu": menu.as_str() } })
}

/// Parses the response to a list request.
pub(super) fn parse_contract_list(body: &[u8], context: RequestContext<'_>) -> Result<Vec<Contract>, FicError> {
    #[derive(Deserialize)]
    struct Listing {
        #[serde(rename = "premiumProfessionalSupportServices")]
        premium: Option<Vec<WireContract>>,
        #[serde(rename = "professionalSupportServices")]
        plain: Option<Vec<WireContract>>,
    }
    let listing: Listing = parse(body)?;
    let contracts = listing.premium.or(listing.plain).ok_or_else(unreadable)?;
    contracts.into_iter().map(|wire| contract(wire, context)).collect()
}

/// Parses the response to a create or a show request.
pub(super) fn parse_contract(body: &[u8], context: RequestContext<'_>) -> Result<Contract, FicError> {
    #[derive(Deserialize)]
    struct ContractBody {
        #[serde(rename = "professionalSupportService")]
        plain: Option<WireContract>,
        #[serde(rename = "premiumProfessionalSupportService")]
        premium: Option<WireContract>,
    }
    let body: ContractBody = parse(body)?;
    contract(body.plain.or(body.premium).ok_or_else(unreadable)?, context)
}

/// Parses the response to a show request, which must be for the requested contract.
pub(super) fn parse_contract_of(
    body: &[u8],
    context: RequestContext<'_>,
    id: &ContractId,
) -> Result<Contract, FicError> {
    let contract = parse_contract(body, context)?;
    if contract.id == *id {
        Ok(contract)
    } else {
        Err(FicError::Unexpected {
            message: format!("the request was for contract {id}, the response is for {}", contract.id).into(),
        })
    }
}

/// Finds out why the latest failed operation on a contract failed.
pub(super) fn latest_operation_error(body: &[u8], context: RequestContext<'_>, id: &ContractId) -> Option<Box<str>> {
    #[derive(Deserialize)]
    struct Operations {
        operations: Vec<Operation>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Operation {
        resource_id: Option<String>,
        reception_time: Option<String>,
        error: Option<Value>,
    }
    let operations: Operations = serde_json::from_slice(body).ok()?;
    operations
        .operations
        .into_iter()
        .filter(|operation| operation.resource_id.as_deref() == Some(id.as_str()))
        .filter_map(|operation| Some((operation.reception_time, message_of(&operation.error?, context.secrets)?)))
        .max_by(|(one, _), (other, _)| one.cmp(other))
        .map(|(_, message)| message)
}

/// The message in the body of an error response, in any of the known formats. Nothing else of the body is shown.
pub(super) fn error_message(body: &[u8], secrets: &[&SecretString]) -> Box<str> {
    serde_json::from_slice::<Value>(body)
        .ok()
        .and_then(|value| {
            // `error` may be an object that contains the message, or only a title next to the message.
            let inside = value.get("error").filter(|error| error.is_object());
            message_of(inside.unwrap_or(&value), secrets).or_else(|| message_of(value.get("error")?, secrets))
        })
        .unwrap_or_default()
}

fn message_of(value: &Value, secrets: &[&SecretString]) -> Option<Box<str>> {
    let raw = value.as_str().or_else(|| value.get("message").and_then(Value::as_str))?;
    let message = sanitize_message(raw, secrets);
    (!message.is_empty()).then_some(message)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireContract {
    id: Option<String>,
    tenant_id: Option<String>,
    operation_status: Option<String>,
    current_menu: Option<String>,
    menus: Option<Vec<WireMenu>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireMenu {
    menu: Option<String>,
    menu_start_date: Option<String>,
}

fn contract(wire: WireContract, context: RequestContext<'_>) -> Result<Contract, FicError> {
    let RequestContext { tenant, secrets } = context;
    let word = |raw: &str| sanitize_word(raw, secrets);
    if let Some(other) = wire.tenant_id.filter(|id| !id.eq_ignore_ascii_case(tenant)) {
        return Err(FicError::Unexpected {
            message: format!("the request was for tenant {tenant}, the response is for {}", word(&other)).into(),
        });
    }
    let id = wire.id.ok_or_else(unreadable)?;
    let id = ContractId::parse(&id).ok_or_else(|| FicError::Unexpected {
        message: format!("\"{}\" is not the id of a contract", word(&id)).into(),
    })?;
    let menus = wire.menus.unwrap_or_default().into_iter().take(MAX_MENUS).filter_map(|wire| {
        Some(ContractMenu {
            menu: word(&wire.menu?).into(),
            menu_start_date: wire.menu_start_date.map(|date| word(&date).into()),
        })
    });
    Ok(Contract {
        id,
        status: OperationStatus::parse(&word(wire.operation_status.as_deref().unwrap_or_default())),
        current_menu: wire.current_menu.map(|menu| word(&menu)),
        menus: menus.collect(),
    })
}

fn parse<'de, T: Deserialize<'de>>(body: &'de [u8]) -> Result<T, FicError> {
    // serde would parse a list as the fields of an object in their order, and `[[]]` as a tenant without a contract.
    if !body.trim_ascii_start().starts_with(b"{") {
        return Err(unreadable());
    }
    serde_json::from_slice(body).map_err(|_| unreadable())
}

fn unreadable() -> FicError {
    FicError::unavailable("the response cannot be parsed")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TENANT: &str = "db8b0e40743f460685040c46167cf19e";
    const CONTEXT: RequestContext<'_> = RequestContext { tenant: TENANT, secrets: &[] };
    const BODY: &str = r#"{"id":"F520123456789","tenantId":"db8b0e40743f460685040c46167cf19e",
        "operationStatus":"Completed","currentMenu":"PremiumPlan",
        "menus":[{"menu":"PremiumPlan","menuStartDate":"2026-03-01T06:48:00Z"}],"new":{"a":1}}"#;

    #[test]
    fn either_response_key_is_parsed_and_unknown_fields_are_ignored() {
        for key in ["professionalSupportService", "premiumProfessionalSupportService"] {
            let contract =
                parse_contract(format!(r#"{{"{key}":{BODY},"x":0}}"#).as_bytes(), CONTEXT).expect("readable");
            assert_eq!(contract.id.as_str(), "F520123456789");
            assert_eq!(contract.status, OperationStatus::Completed);
            assert_eq!(contract.current_menu.as_deref(), Some("PremiumPlan"));
            assert_eq!(contract.menus[0].menu_start_date.as_deref(), Some("2026-03-01T06:48:00Z"));
        }
    }

    #[test]
    fn missing_list_is_not_empty_list() {
        assert_eq!(parse_contract_list(br#"{"premiumProfessionalSupportServices":[]}"#, CONTEXT), Ok(vec![]));
        for body in ["{}", "[]", "null", "", "<html>", r#"{"premiumProfessionalSupportServices":null}"#] {
            assert!(
                matches!(parse_contract_list(body.as_bytes(), CONTEXT), Err(FicError::Unavailable { .. })),
                "{body}"
            );
        }
    }

    #[test]
    fn fields_may_be_missing_while_operation_is_in_progress() {
        let contract =
            parse_contract(br#"{"professionalSupportService":{"id":"F520123456789"}}"#, CONTEXT).expect("readable");
        assert_eq!(contract.status, OperationStatus::Other("".into()));
        assert!(contract.menus.is_empty() && contract.current_menu.is_none());
    }

    #[test]
    fn response_for_another_tenant_or_contract_is_unexpected() {
        let other = BODY.replace(TENANT, "00000000000000000000000000000000");
        let listed = format!(r#"{{"premiumProfessionalSupportServices":[{other}]}}"#);
        assert!(matches!(parse_contract_list(listed.as_bytes(), CONTEXT), Err(FicError::Unexpected { .. })));
        let shown = format!(r#"{{"professionalSupportService":{BODY}}}"#);
        let requested = ContractId::parse("F999999999999").expect("well formed");
        assert!(matches!(parse_contract_of(shown.as_bytes(), CONTEXT, &requested), Err(FicError::Unexpected { .. })));
        let malformed = shown.replace("F520123456789", "../../keystone");
        assert!(matches!(parse_contract(malformed.as_bytes(), CONTEXT), Err(FicError::Unexpected { .. })));
    }

    #[test]
    fn tenant_in_capitals_is_the_same_tenant() {
        let body = format!(r#"{{"professionalSupportService":{}}}"#, BODY.replace(TENANT, &TENANT.to_uppercase()));
        assert!(parse_contract(body.as_bytes(), CONTEXT).is_ok());
    }

    #[test]
    fn no_field_of_response_shows_secrets_of_request() {
        let secret = SecretString::from("s3cret-token");
        let context = RequestContext { tenant: TENANT, secrets: &[&secret] };
        let body = format!(r#"{{"professionalSupportService":{BODY}}}"#);
        for word in ["Completed", "PremiumPlan", "2026-03-01T06:48:00Z"] {
            let body = body.replace(word, "a s3cret-token");
            let contract = parse_contract(body.as_bytes(), context).expect("readable");
            let shown = format!("{contract:?}");
            assert!(shown.contains("a [redacted]") && !shown.contains("s3cret"), "{shown}");
        }
        for (word, replacement) in [("F520123456789", "s3cret-token"), (TENANT, "s3cret-token")] {
            let body = body.replace(word, replacement);
            let error = parse_contract(body.as_bytes(), context).expect_err("unexpected");
            assert!(!format!("{error:?}").contains("s3cret"), "{error:?}");
        }
    }

    #[test]
    fn error_message_is_found_in_every_known_format() {
        assert_eq!(&*error_message(br#"{"code":"X","message":"not\nallowed"}"#, &[]), "not allowed");
        assert_eq!(&*error_message(br#"{"error":{"code":401,"message":"no"}}"#, &[]), "no");
        assert_eq!(&*error_message(br#"{"error":"no"}"#, &[]), "no");
        assert_eq!(&*error_message(br#"{"error":"Bad Request","message":"no"}"#, &[]), "no");
        assert_eq!(&*error_message(br#"{"error":null,"message":"no"}"#, &[]), "no");
        assert_eq!(&*error_message(br#""no""#, &[]), "no");
        assert_eq!(&*error_message(b"<html>Bad Gateway</html>", &[]), "");
    }

    #[test]
    fn latest_error_of_requested_contract_is_returned() {
        let id = ContractId::parse("F520123456789").expect("well formed");
        let body = br#"{"operations":[
            {"resourceId":"F520123456789","receptionTime":"2026-01-01T00:00:00Z","error":"old"},
            {"resourceId":"F520123456789","receptionTime":"2026-02-01T00:00:00Z","error":{"message":"new"}},
            {"resourceId":"F520123456789","receptionTime":"2026-03-01T00:00:00Z","error":null},
            {"resourceId":"F000000000000","receptionTime":"2026-04-01T00:00:00Z","error":"of another contract"}]}"#;
        assert_eq!(latest_operation_error(body, CONTEXT, &id).as_deref(), Some("new"));
        assert_eq!(latest_operation_error(b"garbage", CONTEXT, &id), None);
    }
}
