//! *Decide*: what the facts mean for a plan. Pure.

use serde::Serialize;

use super::access::{Origin, Source};
use super::cluster::{Answers, CRD, ClusterFacts, Plans};
use super::fic::{FicFacts, Route};
use crate::api::plan::Menu;
use crate::domain::contract::{Contract, OperationStatus};
use crate::domain::error::FicError;
use crate::run::checks::{CheckError, CrdCheck};

/// What a finding means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Level {
    /// It works.
    Ok,
    /// It is not known, or of no importance for the result.
    Note,
    /// It does not work.
    Trouble,
}

/// What was found out about one subject.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    pub(super) subject: &'static str,
    pub(super) level: Level,
    pub(super) message: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) action: Option<String>,
}

impl Finding {
    fn new(subject: &'static str, level: Level, message: impl Into<String>) -> Self {
        Self { subject, level, message: message.into(), action: None }
    }

    fn ok(subject: &'static str, message: impl Into<String>) -> Self {
        Self::new(subject, Level::Ok, message)
    }

    fn note(subject: &'static str, message: impl Into<String>) -> Self {
        Self::new(subject, Level::Note, message)
    }

    pub(super) fn trouble(subject: &'static str, message: impl Into<String>, action: impl Into<String>) -> Self {
        Self { action: Some(action.into()), ..Self::new(subject, Level::Trouble, message) }
    }
}

/// All that is known.
pub(super) struct Facts<'a> {
    /// The credentials, or why there are none.
    pub(super) source: Result<&'a Source, Finding>,
    pub(super) fic: Option<FicFacts>,
    pub(super) cluster: ClusterFacts,
    /// The name of the plan that the tenant is for.
    pub(super) plan: Option<&'a str>,
}

/// The findings, and the exit code.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) findings: Vec<Finding>,
    pub(super) exit_code: u8,
}

pub(super) fn judge(facts: &Facts<'_>) -> Verdict {
    let mut findings = Vec::new();
    match (&facts.source, &facts.fic) {
        (Ok(source), Some(fic)) => judge_fic(source, fic, &mut findings),
        (Ok(_), None) => {}
        (Err(finding), _) => findings.push(finding.clone()),
    }
    judge_cluster(&facts.cluster, facts.plan, &mut findings);
    let has_trouble = findings.iter().any(|finding| finding.level == Level::Trouble);
    let has_contract = facts.fic.as_ref().is_some_and(|fic| fic.contract().is_some());
    let exit_code = match (has_trouble, has_contract) {
        (true, _) => 1,
        (false, true) => 0,
        (false, false) => 3,
    };
    Verdict { findings, exit_code }
}

fn judge_fic(source: &Source, fic: &FicFacts, findings: &mut Vec<Finding>) {
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

fn judge_cluster(cluster: &ClusterFacts, plan: Option<&str>, findings: &mut Vec<Finding>) {
    let answers = match cluster {
        ClusterFacts::NoConfig(message) => {
            findings.push(Finding::note(
                "kubernetes",
                format!("The cluster is not checked, since there is no kubeconfig: {message}."),
            ));
            return;
        }
        ClusterFacts::NoAnswer(message) => {
            findings.push(Finding::trouble(
                "kubernetes",
                format!("The API server cannot be asked: {message}."),
                "Check the kubeconfig and its current context. To check without a cluster, set KUBECONFIG=/dev/null.",
            ));
            return;
        }
        ClusterFacts::Reached(answers) => answers,
    };
    findings.push(match &answers.version {
        Ok(version) => Finding::ok("kubernetes", format!("The API server is Kubernetes {version}.")),
        Err(error) => of_check("kubernetes", error),
    });
    findings.push(match &answers.crd {
        Ok(CrdCheck::Current) => Finding::ok("crd", format!("{CRD} is the one of this version.")),
        Ok(CrdCheck::Outdated) => Finding::note(
            "crd",
            format!("{CRD} is not the one of this version. It has all that is needed. Apply crds/ of this version."),
        ),
        Ok(CrdCheck::NotChecked) => Finding::note("crd", format!("{CRD} cannot be read, so it is not checked.")),
        Err(error) => of_check("crd", error),
    });
    findings.push(judge_permissions(answers));
    findings.extend(answers.plans.as_ref().map(|plans| judge_plans(plans, plan)));
}

/// The message of a check of the start: what is missing, and after a semicolon what to do.
fn of_check(subject: &'static str, error: &CheckError) -> Finding {
    let text = error.to_string();
    let (message, action) = text.split_once("; ").unwrap_or((&text, ""));
    Finding::trouble(subject, capitalized(message), capitalized(action))
}

/// A sentence.
fn capitalized(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| format!("{}{}.", first.to_uppercase(), letters.as_str())).unwrap_or_default()
}

fn judge_permissions(answers: &Answers) -> Finding {
    let who = if answers.as_operator { "The operator" } else { "You" };
    if answers.missing_permissions.is_empty() {
        let what = if answers.as_operator {
            "do what it needs in this namespace"
        } else {
            "create plans and Secrets in this namespace"
        };
        return Finding::ok("rights", format!("{who} may {what}."));
    }
    Finding::trouble(
        "rights",
        format!("{who} may not {}.", answers.missing_permissions.join(", ")),
        if answers.as_operator {
            "Grant what the roles in deploy/ contain."
        } else {
            "Ask a cluster admin for the role in deploy/user-roles, or name another namespace with --namespace."
        },
    )
}

fn judge_plans(plans: &Plans, named: Option<&str>) -> Finding {
    let place = match &plans.namespace {
        Some(namespace) => format!("in namespace {namespace} (others cannot be read)"),
        None => "in the cluster".into(),
    };
    let list =
        || plans.found.iter().map(|plan| format!("{} ({})", plan.key, plan.reason)).collect::<Vec<_>>().join(", ");
    match plans.found.as_slice() {
        [] => Finding::ok("plans", format!("No plan {place} is for this tenant.")),
        [one] if named.is_none_or(|named| *one.key.name == *named) => {
            Finding::ok("plans", format!("One plan {place} is for this tenant: {}.", list()))
        }
        [_] => Finding::trouble(
            "plans",
            format!("Another plan {place} is for this tenant: {}.", list()),
            "Only one plan can hold a tenant. Use that plan, or delete it; with deletionPolicy: Retain its contract stays.",
        ),
        [_, ..] => Finding::trouble(
            "plans",
            format!("Several plans {place} are for this tenant: {}.", list()),
            "Only one plan can hold a tenant. Delete the others; a plan without a contract of its own abolishes none.",
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

#[cfg(test)]
mod tests {
    use super::super::cluster::FoundPlan;
    use super::*;
    use crate::api::key::ObjectKey;

    fn answers() -> Answers {
        Answers {
            version: Ok("1.34".into()),
            crd: Ok(CrdCheck::Current),
            missing_permissions: vec![],
            as_operator: false,
            plans: Some(Plans::default()),
        }
    }

    /// The findings about a cluster, a line each, with the level and without what to do.
    fn lines(cluster: &ClusterFacts, plan: Option<&str>) -> Vec<String> {
        let mut findings = Vec::new();
        judge_cluster(cluster, plan, &mut findings);
        findings.iter().map(|finding| format!("{:?} {}: {}", finding.level, finding.subject, finding.message)).collect()
    }

    fn of(answers: Answers) -> Vec<String> {
        lines(&ClusterFacts::Reached(Box::new(answers)), None)
    }

    #[test]
    fn cluster_with_all_that_is_needed() {
        assert_eq!(
            of(answers()),
            [
                "Ok kubernetes: The API server is Kubernetes 1.34.",
                "Ok crd: premiumsupportplans.fic.ntt.com is the one of this version.",
                "Ok rights: You may create plans and Secrets in this namespace.",
                "Ok plans: No plan in the cluster is for this tenant.",
            ]
        );
    }

    #[test]
    fn what_a_cluster_lacks_is_trouble_with_the_words_of_the_start() {
        let lacking = Answers {
            version: Err(CheckError::Version("1.31".into())),
            crd: Err(CheckError::NoCrd),
            missing_permissions: vec!["list secrets in namespace team".into()],
            as_operator: true,
            plans: None,
        };
        assert_eq!(
            of(lacking),
            [
                "Trouble kubernetes: The API server is Kubernetes 1.31.",
                "Trouble crd: The CustomResourceDefinition premiumsupportplans.fic.ntt.com is not installed.",
                "Trouble rights: The operator may not list secrets in namespace team.",
            ]
        );
    }

    #[test]
    fn what_is_not_known_is_no_trouble() {
        for (crd, expected) in
            [(CrdCheck::Outdated, "is not the one of this version"), (CrdCheck::NotChecked, "cannot be read")]
        {
            let line = &of(Answers { crd: Ok(crd), ..answers() })[1];
            assert!(line.starts_with("Note crd: ") && line.contains(expected), "{line}");
        }
        assert!(lines(&ClusterFacts::NoConfig("no file".into()), None)[0].starts_with("Note kubernetes: "));
        assert!(lines(&ClusterFacts::NoAnswer("timeout".into()), None)[0].starts_with("Trouble kubernetes: "));
    }

    #[test]
    fn another_plan_of_the_tenant_is_trouble() {
        let plan = |name: &str| FoundPlan { key: ObjectKey::new("team", name), reason: "Contracted".into() };
        for (found, named, expected) in [
            (vec![plan("a")], None, "Ok plans: One plan"),
            (vec![plan("a")], Some("a"), "Ok plans: One plan"),
            (vec![plan("a")], Some("b"), "Trouble plans: Another plan"),
            (vec![plan("a"), plan("b")], None, "Trouble plans: Several plans"),
            (vec![plan("a"), plan("b")], Some("a"), "Trouble plans: Several plans"),
        ] {
            let plans = Some(Plans { namespace: None, found });
            let cluster = ClusterFacts::Reached(Box::new(Answers { plans, ..answers() }));
            let line = &lines(&cluster, named)[3];
            assert!(line.starts_with(expected) && line.contains("team/a (Contracted)"), "{line}");
        }
        let plans = Some(Plans { namespace: Some("team".into()), found: vec![] });
        let line = &of(Answers { plans, ..answers() })[3];
        assert_eq!(line, "Ok plans: No plan in namespace team (others cannot be read) is for this tenant.");
    }
}
