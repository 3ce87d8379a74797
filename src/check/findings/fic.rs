//! What the answers of Keystone and FIC mean.

use super::Finding;
use crate::api::plan::Menu;
use crate::check::access::{Origin, Source};
use crate::check::fic::{FicFacts, Route};
use crate::domain::contract::{Contract, OperationStatus};
use crate::domain::error::FicError;

pub(super) fn judge(source: &Source, fic: &FicFacts, findings: &mut Vec<Finding>) {
    let tenant = &*source.access.tenant;
    findings.push(judge_proxies(fic));
    findings.extend(judge_sign_in(source, fic));
    let Some(contracts) = &fic.contracts else { return };
    match contracts {
        Ok(contracts) => {
            findings.push(answers("FIC", &fic.routes.fic));
            findings.push(Finding::ok("permission", format!("FIC lists the contracts of tenant {tenant}.")));
            match (contracts.first(), &fic.shown) {
                (Some(listed), Some(shown)) => judge_contract(listed, shown, fic, findings),
                (Some(_) | None, _) => findings.push(Finding::note(
                    "contract",
                    "The tenant has no Premium contract. A plan with managementPolicy: Manage buys one.",
                )),
            }
        }
        Err(error) => judge_list_error(error, fic, findings),
    }
}

fn judge_proxies(fic: &FicFacts) -> Finding {
    let way = |route: &Route| match &route.proxy {
        Some(proxy) => format!("through {proxy}"),
        None => "directly".into(),
    };
    let (keystone, of_fic) = (way(&fic.routes.keystone), way(&fic.routes.fic));
    Finding::ok(
        "proxy",
        if keystone == of_fic {
            format!("Keystone and FIC are reached {keystone}.")
        } else {
            format!("Keystone is reached {keystone}, and FIC {of_fic}.")
        },
    )
}

fn answers(name: &str, route: &Route) -> Finding {
    Finding::ok("endpoint", format!("{name} answers at {}.", route.endpoint))
}

fn no_answer(name: &str, route: &Route, message: &str) -> Finding {
    Finding::trouble(
        "endpoint",
        format!("{name} does not answer properly at {}: {message}.", route.endpoint),
        "Check the address, the name resolution, the firewall, and the variables HTTPS_PROXY and NO_PROXY. If the certificate is not \
         trusted, name the file of its CA with --ca-bundle.",
    )
}

fn judge_sign_in(source: &Source, fic: &FicFacts) -> Vec<Finding> {
    let tenant = &*source.access.tenant;
    let keystone = &fic.routes.keystone;
    let refused = |message: &str| {
        Finding::trouble(
            "credentials",
            format!("Keystone refuses {} for tenant {tenant}{}.", describe(&source.origin), quoted(message)),
            "Check the API key, the API secret and the tenant: Keystone gives the same answer whichever of them is wrong. Too many attempts \
             lock the account for a time.",
        )
    };
    let error = match &fic.sign_in {
        Ok(()) => {
            return vec![
                answers("Keystone", keystone),
                Finding::ok("credentials", format!("Keystone accepts {}.", describe(&source.origin))),
                Finding::ok("tenant", format!("The token is for tenant {tenant}.")),
            ];
        }
        Err(error) => error,
    };
    match error {
        FicError::Unavailable { message, .. } | FicError::Outage { message, .. } => {
            vec![no_answer("Keystone", keystone, message.trim_start_matches("Keystone: "))]
        }
        FicError::RateLimited { .. } => vec![rate_limited("Keystone")],
        FicError::AuthenticationFailed { message, .. }
        | FicError::PermissionDenied { message }
        | FicError::Rejected { message }
        | FicError::Conflict { message }
        | FicError::Unexpected { message } => vec![answers("Keystone", keystone), refused(message)],
    }
}

fn rate_limited(name: &str) -> Finding {
    Finding::trouble(
        "endpoint",
        format!("{name} limits the rate of requests (HTTP 429)."),
        "Try again later. The operator and other tools use the same limit.",
    )
}

fn judge_list_error(error: &FicError, fic: &FicFacts, findings: &mut Vec<Finding>) {
    match error {
        FicError::Unavailable { message, .. } | FicError::Outage { message, .. } => {
            findings.push(no_answer("FIC", &fic.routes.fic, message));
        }
        FicError::RateLimited { .. } => findings.push(rate_limited("FIC")),
        FicError::AuthenticationFailed { message, .. }
        | FicError::PermissionDenied { message }
        | FicError::Rejected { message }
        | FicError::Conflict { message } => {
            findings.push(answers("FIC", &fic.routes.fic));
            findings.push(Finding::trouble(
                "permission",
                format!("FIC refuses to list the contracts{}.", quoted(message)),
                "Grant the API user the IAM permission for the support API. If it is restricted to IP addresses, add the address that this \
                 machine has on the Internet; the cluster may have another.",
            ));
        }
        FicError::Unexpected { message } => {
            findings.push(answers("FIC", &fic.routes.fic));
            findings.push(unexpected(message));
        }
    }
}

fn unexpected(message: &str) -> Finding {
    Finding::trouble(
        "contract",
        format!("FIC gives an unexpected answer: {message}."),
        "Check the endpoints. If they are right, contact NTT support.",
    )
}

fn judge_contract(
    listed: &Contract,
    shown: &Result<Option<Contract>, FicError>,
    fic: &FicFacts,
    findings: &mut Vec<Finding>,
) {
    let contract = match shown {
        Ok(Some(contract)) => contract,
        Ok(None) => {
            findings.push(Finding::trouble(
                "contract",
                format!("FIC lists contract {}, and does not find it (HTTP 404).", listed.id),
                "An answer of FIC may be out of date. Try again later.",
            ));
            return;
        }
        Err(FicError::Unexpected { message }) => {
            findings.push(unexpected(message));
            return;
        }
        Err(error) => {
            findings.push(Finding::trouble(
                "contract",
                format!("FIC lists contract {}, and does not show it ({}).", listed.id, error.category()),
                "Try again later. If this lasts, check the IAM permission of the API user.",
            ));
            return;
        }
    };
    findings.push(Finding::ok("contract", format!("The tenant has contract {}.", contract.id)));
    findings.push(judge_menu(contract));
    findings.push(judge_operation(contract, fic));
}

fn judge_menu(contract: &Contract) -> Finding {
    let expected = Menu::default().as_str();
    match contract.current_menu.as_deref() {
        Some(menu) if menu == expected => {
            let since = contract.menus.iter().find(|entry| entry.menu == menu);
            let since = since.and_then(|entry| entry.menu_start_date.as_deref());
            Finding::ok("menu", format!("{menu}{}.", since.map(|date| format!(" since {date}")).unwrap_or_default()))
        }
        Some(menu) => Finding::trouble(
            "menu",
            format!("The contract is on menu {menu}. A plan can only have {expected}."),
            "Change the menu in the portal.",
        ),
        None => Finding::note("menu", "FIC does not name a menu. It may be missing while an operation is in progress."),
    }
}

fn judge_operation(contract: &Contract, fic: &FicFacts) -> Finding {
    match &contract.status {
        OperationStatus::Completed => Finding::ok("operation", "The last operation is Completed."),
        OperationStatus::Processing => {
            Finding::note("operation", "An operation is Processing. A plan is Ready when FIC has finished.")
        }
        OperationStatus::Other(status) => {
            Finding::note("operation", format!("The last operation is {status:?}, which this version does not know."))
        }
        OperationStatus::Error => Finding::trouble(
            "operation",
            format!("The last operation failed{}.", quoted(fic.operation_error.as_deref().unwrap_or_default())),
            "Contact NTT support.",
        ),
    }
}

fn describe(origin: &Origin) -> String {
    match origin {
        Origin::Secret(key) => format!("the credentials in Secret {key}"),
        Origin::Cloud(name) => format!("the credentials of cloud {name}"),
        Origin::Variables(key, secret) => format!("the credentials in {key} and {secret}"),
    }
}

fn quoted(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!(": \"{message}\"") }
}
