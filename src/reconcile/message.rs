//! The messages of the conditions: what happened, what the operator does next, and what the reader can do.
//!
//! A message must not change while nothing changes, or the status would be written again and again. So it contains no
//! counters and no elapsed times.

use std::fmt::Write as _;
use std::time::Duration;

use crate::api::condition::Reason;
use crate::api::credentials::{MAX_VALUE_LENGTH, SecretDefect};
use crate::clock::Moment;
use crate::domain::contract::ContractId;
use crate::domain::error::FicError;
use crate::domain::ready_state::{AbolishProgress, LossCause, ReadyState};
use crate::text::kebab_case;

/// The maximum length of a message in bytes. The note of an Event may have 1,024.
pub(crate) const MAX_LENGTH: usize = 990;

/// What a message may mention of the plan.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The tenant.
    pub tenant: &'a str,
    /// The namespace of the plan and its Secret.
    pub namespace: &'a str,
    /// The name of the Secret.
    pub secret: &'a str,
    /// Whether the plan is being deleted.
    pub deleting: bool,
    /// The current time.
    pub moment: Moment,
    /// The base URL of the site of the documents.
    pub documentation: Option<&'a str>,
}

/// The message of the `Ready` condition.
#[must_use]
pub fn message(state: &ReadyState, subject: Subject<'_>) -> String {
    let mut text = sentences(state, subject);
    if subject.deleting && state.reason().blocks_deletion() {
        text.push_str(
            " This plan is being deleted and remains until its contract is abolished. To delete the plan without abolishing the contract, set \
             deletionPolicy: Retain.",
        );
    }
    let link = link(state.reason(), subject.documentation);
    let longest = MAX_LENGTH - link.len();
    if text.len() > longest {
        text.truncate(text.floor_char_boundary(longest));
        text.push('…');
    }
    text + &link
}

/// A sentence with the page of a reason. A contract that is active needs no explanation.
fn link(reason: Reason, documentation: Option<&str>) -> String {
    match documentation {
        Some(base) if reason != Reason::Contracted => format!(" See {base}/{}", page(reason)),
        Some(_) | None => String::new(),
    }
}

/// The page of a reason on the site that `make docs-site` builds.
#[must_use]
pub fn page(reason: Reason) -> String {
    format!("docs/reference/reasons/{}.html", kebab_case(reason.as_str()))
}

fn sentences(state: &ReadyState, subject: Subject<'_>) -> String {
    let Subject { tenant, namespace, secret, .. } = subject;
    match state {
        ReadyState::Contracted { id, observed: false } => format!("Contract {id} is active."),
        ReadyState::Contracted { id, observed: true } => format!(
            "Contract {id} is active. managementPolicy is Observe, so the operator only reports it. To let this plan manage it, set \
             managementPolicy: Manage; if this plan did not create the contract, also set adoptionPolicy: IfPresent."
        ),
        ReadyState::Preparing => format!("The operator is about to buy or adopt a contract for tenant {tenant}."),
        ReadyState::Purchasing { cause } => format!(
            "A create request for tenant {tenant} may have been sent, and its outcome is not known{}. The operator checks FIC for the contract \
             before it sends another request.",
            cause.as_ref().map(|cause| format!(" (last error: {})", brief(cause))).unwrap_or_default()
        ),
        ReadyState::Recreating { lost } => format!(
            "Contract {lost} was abolished outside of Kubernetes. The operator buys it again. To prevent this in the future, set \
             recreationPolicy: Never."
        ),
        ReadyState::Processing { id } => {
            format!("FIC is processing an operation on contract {id}. The operator checks it until it is completed.")
        }
        ReadyState::Abolishing(progress) => abolishing(progress, tenant),
        ReadyState::CredentialsMissing => format!(
            "Secret \"{secret}\" does not exist in namespace \"{namespace}\". Create it with type fic.ntt.com/credentials and the keys apiKey \
             and apiSecret; the operator continues as soon as it exists."
        ),
        ReadyState::CredentialsDeleting => format!(
            "Secret \"{secret}\" is being deleted, so the operator does not buy a contract with it. Refer to another Secret in \
             credentialsSecretRef, or create the Secret again after it is deleted."
        ),
        ReadyState::CredentialsInvalid(defect) => credentials_invalid(defect, secret),
        ReadyState::RequestFailed(error) => request_failed(error, subject),
        ReadyState::NotObserved { error, duration } => format!(
            "No read from FIC has succeeded for at least {} (last error: {}). The contract was active when it was last read. The operator retries \
             with exponential backoff. If this lasts, check the network and the endpoints of the operator.",
            duration_text(*duration),
            brief(error)
        ),
        ReadyState::NotContracted => format!(
            "Tenant {tenant} has no Premium contract. managementPolicy is Observe, so the operator does not buy one and checks the tenant \
             periodically. To buy a contract, set managementPolicy: Manage."
        ),
        ReadyState::Suspended if subject.deleting => {
            "The plan is being deleted while it is suspended, so it remains. The operator sends no requests for it and changes nothing. To \
             continue with the deletion, set suspend: false; to keep the contract, also set deletionPolicy: Retain."
                .into()
        }
        ReadyState::Suspended => {
            "The plan is suspended. The operator sends no requests for it and changes nothing. To resume, set suspend: false.".into()
        }
        ReadyState::OrderConflict { message } => format!(
            "FIC refused the create request for tenant {tenant} with a conflict{}, and the tenant has no contract. Another order is in progress. \
             The operator tries again with exponential backoff. If this lasts, contact NTT support.",
            quoted(message)
        ),
        ReadyState::AlreadyContracted { id, replaced } => already_contracted(id, replaced.as_ref(), tenant),
        ReadyState::ContractNotFound { id, lost_from } => format!(
            "FIC does not show contract {id}, which was active before. The operator keeps checking. From {} on the contract counts as lost, and \
             recreationPolicy applies. If the contract exists, check the network and the endpoints of the operator.",
            subject.moment.wall_at(*lost_from).strftime("%Y-%m-%dT%H:%M:%SZ")
        ),
        ReadyState::ContractLost { id, cause: LossCause::Policy } => format!(
            "Contract {id} was abolished outside of Kubernetes, and recreationPolicy is Never. To buy it again, set recreationPolicy: IfLost. \
             Otherwise delete the plan."
        ),
        ReadyState::ContractLost { id, cause: LossCause::Guard { limit } } => format!(
            "Contract {id} is gone, and the operator has already bought {limit} lost contracts again within an hour \
             (--max-recreations-per-hour). Many contracts gone at once may be a fault, so the operator does not buy this one. Check whether the \
             contract is really gone. To buy it again, change the annotation fic.ntt.com/reconcile-requested-at. Otherwise delete the plan."
        ),
        ReadyState::TenantClaimed { holder } => tenant_claimed(holder, subject),
        ReadyState::WriteRefused { message } => format!(
            "The API server refuses a write that the operator needs{}. Allow it in the admission policies, the RBAC rules and the quotas of \
             namespace \"{namespace}\". The operator tries again with exponential backoff.",
            quoted(message)
        ),
        ReadyState::OperationFailed { id, cause } => operation_failed(id, cause.as_deref(), subject.deleting),
        ReadyState::OperationTimedOut { id, timeout } => format!(
            "FIC has been processing contract {id} for more than {}. The operator now checks it at the resync interval, and continues when FIC \
             has finished. Contact NTT support.",
            duration_text(*timeout)
        ),
        ReadyState::MenuMismatch { id, menu } => format!(
            "Contract {id} is on menu {menu}, which differs from the plan. The FIC API cannot change the menu, so the operator does not change \
             the contract. Change the menu in the portal."
        ),
    }
}

fn abolishing(progress: &AbolishProgress, tenant: &str) -> String {
    match progress {
        AbolishProgress::WaitingForOperation(id) => {
            format!(
                "FIC is still processing an operation on contract {id}. The operator abolishes it as soon as FIC has finished."
            )
        }
        AbolishProgress::InProgress(id) => {
            format!("Contract {id} is being abolished. The operator checks FIC until the contract is gone.")
        }
        AbolishProgress::Conflict(id, message) => format!(
            "FIC does not accept the delete request for contract {id} yet{}. The operator retries with exponential backoff.",
            quoted(message)
        ),
        AbolishProgress::CheckingCreate => format!(
            "A create request for tenant {tenant} may have been sent, and its outcome is not known. The operator checks FIC for a contract \
             several times before it removes the plan."
        ),
        AbolishProgress::ConfirmingAbsence(id) => format!(
            "FIC does not show contract {id}. The operator confirms this several times, because a response of FIC may be out of date."
        ),
    }
}

/// The holder may be in a namespace that the reader must not know of.
fn tenant_claimed(holder: &str, subject: Subject<'_>) -> String {
    let Subject { tenant, namespace, .. } = subject;
    let which = match holder.split_once('/') {
        Some((of, name)) if of == namespace => format!("PremiumSupportPlan \"{name}\" holds tenant {tenant}"),
        Some(_) | None => format!(
            "A PremiumSupportPlan in another namespace holds tenant {tenant} (a cluster admin finds it with: kubectl get psplan -A \
             --field-selector spec.tenantID={tenant})"
        ),
    };
    format!(
        "{which}, and only one plan can hold a tenant. The operator sends no requests for this plan, and continues with it when the other plan is \
         deleted. Delete this plan; or delete the other one, which abolishes its contract unless it has deletionPolicy: Retain."
    )
}

fn already_contracted(id: &ContractId, replaced: Option<&ContractId>, tenant: &str) -> String {
    let what = match replaced {
        Some(own) => format!("Contract {own} is gone, and tenant {tenant} has contract {id} instead"),
        None => format!("Tenant {tenant} already has contract {id}"),
    };
    format!(
        "{what}, which this plan did not create. The operator does not change it. To adopt it, set adoptionPolicy: IfPresent. To only report \
         it, set managementPolicy: Observe."
    )
}

fn operation_failed(id: &ContractId, cause: Option<&str>, deleting: bool) -> String {
    let mut text = format!("FIC reports that the last operation on contract {id} failed");
    match cause {
        Some(cause) => {
            let _ = write!(text, ": \"{cause}\". ");
        }
        None => text.push_str(" and gives no cause. "),
    }
    text.push_str(if deleting {
        "The operator sends the delete request again at the resync interval. Contact NTT support. To send it at once, change the annotation \
         fic.ntt.com/reconcile-requested-at."
    } else {
        "The operator checks the contract at the resync interval. Contact NTT support. To check it at once, change the annotation \
         fic.ntt.com/reconcile-requested-at."
    });
    text
}

fn credentials_invalid(defect: &SecretDefect, secret: &str) -> String {
    match defect {
        SecretDefect::WrongType => format!(
            "Secret \"{secret}\" does not have type fic.ntt.com/credentials, so the operator does not read it. The type of a Secret is \
             immutable: delete the Secret, and create it again with that type and the keys apiKey and apiSecret."
        ),
        SecretDefect::KeyMissing(key) => {
            format!("Secret \"{secret}\" has no key {key}. Add it; the operator continues as soon as it exists.")
        }
        SecretDefect::KeyEmpty(key) => {
            format!("Key {key} of Secret \"{secret}\" is empty. Set it; the operator continues as soon as it is set.")
        }
        SecretDefect::NotUtf8(key) => format!(
            "Key {key} of Secret \"{secret}\" is not UTF-8 text. A file that Windows PowerShell wrote is often UTF-16: save it as UTF-8. Correct \
             it; the operator continues as soon as it is corrected."
        ),
        SecretDefect::TooLong(key) => format!(
            "Key {key} of Secret \"{secret}\" is too long: it may have {MAX_VALUE_LENGTH} bytes. Correct it; the operator continues as soon as it is \
             corrected."
        ),
    }
}

fn request_failed(error: &FicError, subject: Subject<'_>) -> String {
    let Subject { tenant, secret, .. } = subject;
    match error {
        FicError::Unavailable { .. } | FicError::Outage { .. } | FicError::Conflict { .. } => format!(
            "FIC cannot be reached or does not answer properly ({}). The operator retries with exponential backoff. If this lasts, check the \
             network and the endpoints of the operator.",
            brief(error)
        ),
        FicError::RateLimited { .. } => {
            "FIC or Keystone limits the rate of requests (HTTP 429). The operator honours Retry-After, or retries with exponential backoff."
                .into()
        }
        FicError::AuthenticationFailed { message, .. } => format!(
            "Keystone rejects the credentials in Secret \"{secret}\" for tenant {tenant}{}. Correct apiKey and apiSecret; the operator \
             continues as soon as the Secret changes.",
            quoted(message)
        ),
        FicError::PermissionDenied { message } => format!(
            "The API user in Secret \"{secret}\" is not allowed to make this request for tenant {tenant}{}. Grant it the IAM permissions for \
             the paths /keystone and /fic-eri. The operator retries periodically.",
            quoted(message)
        ),
        FicError::Rejected { message } => format!(
            "FIC rejects the request for tenant {tenant}{}. Fix the reported cause, or contact NTT support. The operator retries periodically.",
            quoted(message)
        ),
        FicError::Unexpected { message } => format!(
            "FIC sent a response that does not match the request: {message}. The operator does not act on it, and retries periodically. Contact \
             NTT support."
        ),
    }
}

/// A short description of an error.
fn brief(error: &FicError) -> String {
    match error {
        FicError::Unavailable { message, .. } | FicError::Outage { message, .. } | FicError::Unexpected { message } => {
            message.to_string()
        }
        FicError::RateLimited { .. } => "HTTP 429".into(),
        FicError::AuthenticationFailed { message, .. } => {
            format!("Keystone rejects the credentials{}", quoted(message))
        }
        FicError::PermissionDenied { message } => format!("permission denied{}", quoted(message)),
        FicError::Rejected { message } => format!("HTTP 400{}", quoted(message)),
        FicError::Conflict { message } => format!("HTTP 409{}", quoted(message)),
    }
}

fn quoted(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!(": \"{message}\"") }
}

fn duration_text(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0 => format!("{} ms", duration.as_millis()),
        1..120 => format!("{seconds} s"),
        120.. => format!("{} minutes", seconds / 60),
    }
}
