//! What the answers of the API server mean.

use super::Finding;
use crate::check::cluster::{Answers, CRD, ClusterFacts, Plans};
use crate::run::checks::{CheckError, CrdCheck};

pub(super) fn judge(cluster: &ClusterFacts, plan: Option<&str>, findings: &mut Vec<Finding>) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::key::ObjectKey;
    use crate::check::cluster::FoundPlan;

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
        judge(cluster, plan, &mut findings);
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
