//! The JSON of the FIC API, and what is made of it.
//!
//! The reference contradicts itself on the key of an answer and leaves out what may be missing when, so everything is optional
//! here and judged in [`contract`]. What is not there is never taken for empty: `{}` is an answer that cannot be read, not a
//! tenant without a contract.

use secrecy::SecretString;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::api::plan::{ContractMenu, Menu};
use crate::domain::contract::{Contract, ContractId, OperationStatus};
use crate::domain::error::FicError;
use crate::text;

/// How many menus of a contract are kept: there are one or two.
const MENUS: usize = 8;

/// What an answer is held against: whom the question was about, and what must not be repeated of it.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub tenant: &'a str,
    pub secrets: &'a [&'a SecretString],
}

/// The body of a create.
pub(super) fn create_body(menu: Menu) -> Value {
    json!({ "premiumProfessionalSupportService": { "currentMenu": menu.as_str() } })
}

/// Reads the answer to List.
pub(super) fn contracts(body: &[u8], asked: Asked<'_>) -> Result<Vec<Contract>, FicError> {
    #[derive(Deserialize)]
    struct Listing {
        #[serde(rename = "premiumProfessionalSupportServices")]
        premium: Option<Vec<WireContract>>,
        #[serde(rename = "professionalSupportServices")]
        plain: Option<Vec<WireContract>>,
    }
    let listing: Listing = read(body)?;
    let contracts = listing.premium.or(listing.plain).ok_or_else(unreadable)?;
    contracts.into_iter().map(|wire| contract(wire, asked)).collect()
}

/// Reads the answer to Create and to Show.
pub(super) fn one_contract(body: &[u8], asked: Asked<'_>) -> Result<Contract, FicError> {
    #[derive(Deserialize)]
    struct Answer {
        #[serde(rename = "professionalSupportService")]
        plain: Option<WireContract>,
        #[serde(rename = "premiumProfessionalSupportService")]
        premium: Option<WireContract>,
    }
    let answer: Answer = read(body)?;
    contract(answer.plain.or(answer.premium).ok_or_else(unreadable)?, asked)
}

/// Reads the answer to Show, which must speak of the contract that was asked about.
pub(super) fn this_contract(body: &[u8], asked: Asked<'_>, id: &ContractId) -> Result<Contract, FicError> {
    let contract = one_contract(body, asked)?;
    if contract.id == *id {
        Ok(contract)
    } else {
        Err(FicError::Unexpected {
            what: format!("asked about contract {id}, FIC answered about {}", contract.id).into(),
        })
    }
}

/// Reads why the newest failed operation on a contract failed.
pub(super) fn newest_error(body: &[u8], id: &ContractId, secrets: &[&SecretString]) -> Option<Box<str>> {
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
        .filter_map(|operation| Some((operation.reception_time, error_words(&operation.error?, secrets)?)))
        .max_by(|(one, _), (other, _)| one.cmp(other))
        .map(|(_, words)| words)
}

/// The API's own words in the body of an error, in any of the forms seen; nothing else of a body is ever repeated.
pub(super) fn words(body: &[u8], secrets: &[&SecretString]) -> Box<str> {
    serde_json::from_slice::<Value>(body)
        .ok()
        .and_then(|value| {
            // What is nearest to a sentence: `error` may be a title only, beside the message.
            let inside = value.get("error").filter(|error| error.is_object());
            error_words(inside.unwrap_or(&value), secrets).or_else(|| error_words(value.get("error")?, secrets))
        })
        .unwrap_or_default()
}

fn error_words(value: &Value, secrets: &[&SecretString]) -> Option<Box<str>> {
    let raw = value.as_str().or_else(|| value.get("message").and_then(Value::as_str))?;
    let words = text::words(raw, secrets);
    (!words.is_empty()).then_some(words)
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

fn contract(wire: WireContract, Asked { tenant, secrets }: Asked<'_>) -> Result<Contract, FicError> {
    let word = |raw: &str| text::word(raw, secrets);
    if let Some(other) = wire.tenant_id.filter(|id| id != tenant) {
        return Err(FicError::Unexpected {
            what: format!("asked about tenant {tenant}, FIC answered about {}", word(&other)).into(),
        });
    }
    let id = wire.id.ok_or_else(unreadable)?;
    let id = ContractId::parse(&id).ok_or_else(|| FicError::Unexpected {
        what: format!("\"{}\" is not the id of a contract", word(&id)).into(),
    })?;
    let menus = wire.menus.unwrap_or_default().into_iter().take(MENUS).filter_map(|wire| {
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

fn read<'de, T: Deserialize<'de>>(body: &'de [u8]) -> Result<T, FicError> {
    // serde would read a list as the fields of an object in their order, and `[[]]` as a tenant without a contract.
    if !body.trim_ascii_start().starts_with(b"{") {
        return Err(unreadable());
    }
    serde_json::from_slice(body).map_err(|_| unreadable())
}

fn unreadable() -> FicError {
    FicError::Unavailable { what: "an answer that cannot be read".into(), retry_after: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TENANT: &str = "db8b0e40743f460685040c46167cf19e";
    const ASKED: Asked<'_> = Asked { tenant: TENANT, secrets: &[] };
    const BODY: &str = r#"{"id":"F520123456789","tenantId":"db8b0e40743f460685040c46167cf19e","operationStatus":"Completed",
        "currentMenu":"PremiumPlan","menus":[{"menu":"PremiumPlan","menuStartDate":"2026-03-01T06:48:00Z"}],"new":{"a":1}}"#;

    #[test]
    fn either_answer_key_is_read_and_unknown_fields_are_survived() {
        for key in ["professionalSupportService", "premiumProfessionalSupportService"] {
            let contract = one_contract(format!(r#"{{"{key}":{BODY},"x":0}}"#).as_bytes(), ASKED).expect("readable");
            assert_eq!(contract.id.as_str(), "F520123456789");
            assert_eq!(contract.status, OperationStatus::Completed);
            assert_eq!(contract.current_menu.as_deref(), Some("PremiumPlan"));
            assert_eq!(contract.menus[0].menu_start_date.as_deref(), Some("2026-03-01T06:48:00Z"));
        }
    }

    #[test]
    fn a_list_is_empty_only_where_it_says_so() {
        assert_eq!(contracts(br#"{"premiumProfessionalSupportServices":[]}"#, ASKED), Ok(vec![]));
        for body in ["{}", "[]", "null", "", "<html>", r#"{"premiumProfessionalSupportServices":null}"#] {
            assert!(matches!(contracts(body.as_bytes(), ASKED), Err(FicError::Unavailable { .. })), "{body}");
        }
    }

    #[test]
    fn fields_may_be_missing_while_fic_is_working() {
        let contract =
            one_contract(br#"{"professionalSupportService":{"id":"F520123456789"}}"#, ASKED).expect("readable");
        assert_eq!(contract.status, OperationStatus::Other("".into()));
        assert!(contract.menus.is_empty() && contract.current_menu.is_none());
    }

    #[test]
    fn an_answer_about_another_tenant_or_contract_is_unexpected() {
        let other = BODY.replace(TENANT, "00000000000000000000000000000000");
        let listed = format!(r#"{{"premiumProfessionalSupportServices":[{other}]}}"#);
        assert!(matches!(contracts(listed.as_bytes(), ASKED), Err(FicError::Unexpected { .. })));
        let shown = format!(r#"{{"professionalSupportService":{BODY}}}"#);
        let asked = ContractId::parse("F999999999999").expect("well formed");
        assert!(matches!(this_contract(shown.as_bytes(), ASKED, &asked), Err(FicError::Unexpected { .. })));
        let malformed = shown.replace("F520123456789", "../../keystone");
        assert!(matches!(one_contract(malformed.as_bytes(), ASKED), Err(FicError::Unexpected { .. })));
    }

    #[test]
    fn no_word_of_an_answer_shows_what_was_asked_with() {
        let secret = SecretString::from("s3cret-token");
        let asked = Asked { tenant: TENANT, secrets: &[&secret] };
        let told = format!(r#"{{"professionalSupportService":{BODY}}}"#);
        for word in ["Completed", "PremiumPlan", "2026-03-01T06:48:00Z"] {
            let told = told.replace(word, "a s3cret-token");
            let contract = one_contract(told.as_bytes(), asked).expect("readable");
            let shown = format!("{contract:?}");
            assert!(shown.contains("a [redacted]") && !shown.contains("s3cret"), "{shown}");
        }
        for (word, instead) in [("F520123456789", "s3cret-token"), (TENANT, "s3cret-token")] {
            let told = told.replace(word, instead);
            let trouble = one_contract(told.as_bytes(), asked).expect_err("unexpected");
            assert!(!format!("{trouble:?}").contains("s3cret"), "{trouble:?}");
        }
    }

    #[test]
    fn errors_give_only_their_message() {
        assert_eq!(&*words(br#"{"code":"X","message":"not\nallowed"}"#, &[]), "not allowed");
        assert_eq!(&*words(br#"{"error":{"code":401,"message":"no"}}"#, &[]), "no");
        assert_eq!(&*words(br#"{"error":"no"}"#, &[]), "no");
        assert_eq!(&*words(br#"{"error":"Bad Request","message":"no"}"#, &[]), "no");
        assert_eq!(&*words(br#"{"error":null,"message":"no"}"#, &[]), "no");
        assert_eq!(&*words(br#""no""#, &[]), "no");
        assert_eq!(&*words(b"<html>Bad Gateway</html>", &[]), "");
    }

    #[test]
    fn the_newest_error_of_this_contract_explains() {
        let id = ContractId::parse("F520123456789").expect("well formed");
        let body = br#"{"operations":[
            {"resourceId":"F520123456789","receptionTime":"2026-01-01T00:00:00Z","error":"old"},
            {"resourceId":"F520123456789","receptionTime":"2026-02-01T00:00:00Z","error":{"message":"new"}},
            {"resourceId":"F520123456789","receptionTime":"2026-03-01T00:00:00Z","error":null},
            {"resourceId":"F000000000000","receptionTime":"2026-04-01T00:00:00Z","error":"another's"}]}"#;
        assert_eq!(newest_error(body, &id, &[]).as_deref(), Some("new"));
        assert_eq!(newest_error(b"garbage", &id, &[]), None);
    }
}
