//! The sentences of the conditions: what happened, what the operator will do, and what the reader can do.
//!
//! A sentence must not change while nothing changes, or the status would be written again and again: no counts, no times that
//! pass, no order that varies.

use std::fmt::Write as _;
use std::time::Duration;

use crate::api::credentials::SecretDefect;
use crate::domain::error::FicError;
use crate::domain::ready_state::{Abolishing, ReadyState};

/// The most bytes of a message: the note of an Event may have 1,024.
pub(crate) const LONGEST: usize = 990;

/// What a sentence may mention of the plan.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The tenant.
    pub tenant: &'a str,
    /// The name of the Secret.
    pub secret: &'a str,
    /// Whether the plan is being deleted.
    pub deleting: bool,
}

/// The message of the `Ready` condition.
#[must_use]
pub fn message(situation: &ReadyState, subject: Subject<'_>) -> String {
    let mut text = sentence(situation, subject);
    if subject.deleting && leaves_plan_hanging(situation) {
        text.push_str(
            " This plan is being deleted and stays until its contract is gone; to let it go without abolishing the \
             contract, set deletionPolicy: Retain.",
        );
    }
    if text.len() > LONGEST {
        text.truncate(text.floor_char_boundary(LONGEST));
        text.push('…');
    }
    text
}

fn sentence(situation: &ReadyState, subject: Subject<'_>) -> String {
    let Subject { tenant, secret, .. } = subject;
    match situation {
        ReadyState::Contracted { id, observed: false } => {
            format!("Contract {id} is in force. It is looked at from time to time; nothing needs to be done.")
        }
        ReadyState::Contracted { id, observed: true } => {
            format!(
                "Contract {id} is in force. managementPolicy is Observe: it is only watched. To have the plan keep it set \
                 managementPolicy: Manage."
            )
        }
        ReadyState::Purchasing { cause: None } => format!(
            "A create may have been sent for tenant {tenant} and its outcome is not known. FIC is being asked whether the contract \
             exists before anything is sent again; nothing needs to be done."
        ),
        ReadyState::Purchasing { cause: Some(cause) } => format!(
            "A create was sent for tenant {tenant} and its outcome is not known ({}). FIC is being asked whether the contract \
             exists before anything is sent again; nothing needs to be done.",
            brief(cause)
        ),
        ReadyState::Repurchasing { lost } => format!(
            "Contract {lost} is gone, abolished outside of Kubernetes. It is bought again; to prevent that the next time, set \
             recreationPolicy: Never."
        ),
        ReadyState::Processing { id } => {
            format!(
                "FIC is working on contract {id}. Its state is looked at until it is completed; nothing needs to be done."
            )
        }
        ReadyState::Abolishing(abolishing) => abolishing_sentence(abolishing, tenant),
        ReadyState::CredentialsMissing => format!(
            "Secret {secret} does not exist in this namespace. The plan goes on as soon as it does: create it with type \
             fic.ntt.com/credentials and the keys apiKey and apiSecret."
        ),
        ReadyState::CredentialsLeaving => format!(
            "Secret {secret} is being deleted, so nothing new is bought with it. Name another Secret in credentialsSecretRef, or \
             create it again once it is gone."
        ),
        ReadyState::CredentialsInvalid(defect) => defect_sentence(defect, secret),
        ReadyState::Troubled(trouble) => trouble_sentence(trouble, subject),
        ReadyState::NotObserved { trouble, silence } => format!(
            "The contract could not be looked at for {} or more ({}). It is looked for again and again, ever more slowly; it was in \
             force when last seen. If this lasts, see to the network and to the operator's endpoints.",
            in_words(*silence),
            brief(trouble)
        ),
        ReadyState::NotContracted => format!(
            "Tenant {tenant} has no Premium contract. managementPolicy is Observe, so none is bought; the tenant is looked at \
             again from time to time. To buy one set managementPolicy: Manage."
        ),
        ReadyState::Suspended => {
            "The plan is suspended: nothing is looked at and nothing is changed. Set suspend: false to go on.".into()
        }
        ReadyState::AlreadyContracted { id, replaced } => already_sentence(id.as_ref(), replaced.as_ref(), tenant),
        ReadyState::ContractLost { id } => format!(
            "Contract {id} is gone, abolished outside of Kubernetes, and recreationPolicy is Never. To buy it again set \
             recreationPolicy: IfLost; to be rid of the plan, delete it."
        ),
        ReadyState::TenantClaimed { holder } => format!(
            "Tenant {tenant} is held by PremiumSupportPlan {holder}: one plan holds a tenant. This one makes no calls, and takes over \
             when that one is gone; delete one of the two."
        ),
        ReadyState::OperationFailed { id, why } => {
            let mut text = format!("FIC says that the last operation on contract {id} failed");
            match why {
                Some(why) => {
                    let _ = write!(text, ": \"{why}\". ");
                }
                None => text.push_str(" and does not say why. "),
            }
            text.push_str(
                "Have the vendor's support mend it; the contract is looked at again from time to time, and at once when the \
                 annotation fic.ntt.com/reconcile-requested-at changes.",
            );
            text
        }
        ReadyState::OperationTimedOut { id, after } => format!(
            "FIC has been working on contract {id} for more than {}. It is looked at more slowly from now on and the plan goes on by \
             itself once FIC has finished; ask the vendor's support.",
            in_words(*after)
        ),
        ReadyState::MenuMismatch { id, menu } => format!(
            "Contract {id} is on the menu {menu}, not on the wanted one. FIC has no call that changes it, so it is left alone; \
             change it in the vendor's portal."
        ),
    }
}

fn abolishing_sentence(abolishing: &Abolishing, tenant: &str) -> String {
    match abolishing {
        Abolishing::WaitingForOperation(id) => format!(
            "FIC is still working on contract {id}. It is abolished as soon as FIC has finished; nothing needs to be done."
        ),
        Abolishing::UnderWay(id) => {
            format!(
                "Contract {id} is being abolished. It is looked for until FIC no longer shows it; nothing needs to be done."
            )
        }
        Abolishing::Busy(id, words) => format!(
            "FIC does not take the delete of contract {id} yet{}. It is sent again; nothing needs to be done.",
            quoted(words)
        ),
        Abolishing::LookingForCreate => format!(
            "A create may have been sent for tenant {tenant} and its outcome is not known. FIC is being asked several times whether \
             there is a contract before the plan goes; nothing needs to be done."
        ),
        Abolishing::MakingSure(id) => format!(
            "FIC does not show contract {id}. It is asked several times, since a contract that it does not show yet would be left \
             behind; nothing needs to be done."
        ),
    }
}

fn already_sentence(
    id: Option<&crate::domain::contract::ContractId>,
    replaced: Option<&crate::domain::contract::ContractId>,
    tenant: &str,
) -> String {
    let what = match (id, replaced) {
        (Some(id), Some(own)) => format!("Contract {own} is gone and tenant {tenant} holds contract {id} instead"),
        (Some(id), None) => format!("Tenant {tenant} already has contract {id}"),
        (None, _) => format!("FIC says that tenant {tenant} already has a contract, though it does not show it yet"),
    };
    format!(
        "{what}, which this plan did not create, so it is left alone. To take it over set adoptionPolicy: IfPresent; to only watch it \
         set managementPolicy: Observe."
    )
}

fn defect_sentence(defect: &SecretDefect, secret: &str) -> String {
    match defect {
        SecretDefect::WrongType => format!(
            "Secret {secret} is not of type fic.ntt.com/credentials, so it is not read. The type of a Secret cannot be changed: \
             delete it and create it again with that type and the keys apiKey and apiSecret."
        ),
        SecretDefect::KeyMissing(key) => {
            format!("Secret {secret} has no key {key}. Add it; the plan then goes on by itself.")
        }
        SecretDefect::KeyEmpty(key) => {
            format!("The key {key} of Secret {secret} is empty. Set it; the plan then goes on by itself.")
        }
        SecretDefect::NotUtf8(key) => {
            format!("The key {key} of Secret {secret} is not text. Set it; the plan then goes on by itself.")
        }
    }
}

fn trouble_sentence(trouble: &FicError, subject: Subject<'_>) -> String {
    let Subject { tenant, secret, .. } = subject;
    match trouble {
        FicError::Unavailable { .. } | FicError::Conflict { .. } => {
            format!(
                "FIC cannot be reached or does not answer properly ({}). It is tried again, ever more slowly; if \
                 it lasts, see to the network and to the operator's endpoints.",
                brief(trouble)
            )
        }
        FicError::RateLimited { .. } => {
            "FIC asks for fewer calls (HTTP 429). The operator waits for as long as it is asked to and then \
             goes on; nothing needs to be done."
                .into()
        }
        FicError::AuthenticationFailed { words } => format!(
            "Keystone refuses the credentials in Secret {secret} for tenant {tenant}{}. Correct apiKey and apiSecret; the plan then goes \
             on at once.",
            quoted(words)
        ),
        FicError::PermissionDenied { words } => format!(
            "The API user of Secret {secret} may not do this for tenant {tenant}{}. Give it the IAM permissions for the paths \
             /keystone and /fic-eri; it is tried again from time to time.",
            quoted(words)
        ),
        FicError::Rejected { words } => format!(
            "FIC rejects the request for tenant {tenant}{}. Mend what it names, or ask the vendor's support; it is tried again from time to \
             time.",
            quoted(words)
        ),
        FicError::Unexpected { what } => format!(
            "FIC gave an answer that does not belong to the question: {what}. Nothing is done with it. It is tried again from time to \
             time; ask the vendor's support."
        ),
    }
}

/// A trouble in a few words.
fn brief(trouble: &FicError) -> String {
    match trouble {
        FicError::Unavailable { what, .. } | FicError::Unexpected { what } => what.to_string(),
        FicError::RateLimited { .. } => "HTTP 429, fewer calls asked for".into(),
        FicError::AuthenticationFailed { words } => format!("Keystone refuses the credentials{}", quoted(words)),
        FicError::PermissionDenied { words } => format!("not permitted{}", quoted(words)),
        FicError::Rejected { words } => format!("HTTP 400{}", quoted(words)),
        FicError::Conflict { words } => format!("HTTP 409{}", quoted(words)),
    }
}

fn quoted(words: &str) -> String {
    if words.is_empty() { String::new() } else { format!(": \"{words}\"") }
}

fn in_words(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0 => format!("{} ms", time.as_millis()),
        1..120 => format!("{seconds} s"),
        120.. => format!("{} minutes", seconds / 60),
    }
}

/// Whether a plan that is being deleted may have to stay for long.
fn leaves_plan_hanging(situation: &ReadyState) -> bool {
    match situation {
        ReadyState::Contracted { .. } | ReadyState::Suspended => false,
        ReadyState::Abolishing(_)
        | ReadyState::Purchasing { .. }
        | ReadyState::Repurchasing { .. }
        | ReadyState::Processing { .. }
        | ReadyState::CredentialsMissing
        | ReadyState::CredentialsLeaving
        | ReadyState::CredentialsInvalid(_)
        | ReadyState::Troubled(_)
        | ReadyState::NotObserved { .. }
        | ReadyState::NotContracted
        | ReadyState::AlreadyContracted { .. }
        | ReadyState::ContractLost { .. }
        | ReadyState::TenantClaimed { .. }
        | ReadyState::OperationFailed { .. }
        | ReadyState::OperationTimedOut { .. }
        | ReadyState::MenuMismatch { .. } => true,
    }
}
