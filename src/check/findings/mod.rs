//! *Decide*: what the facts mean for a plan, about [`fic`] and about the [`cluster`]. Pure.

mod cluster;
mod fic;

use serde::Serialize;

use super::access::Source;
use super::cluster::ClusterFacts;
use super::fic::FicFacts;

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
        (Ok(source), Some(fic)) => fic::judge(source, fic, &mut findings),
        (Ok(_), None) => {}
        (Err(finding), _) => findings.push(finding.clone()),
    }
    cluster::judge(&facts.cluster, facts.plan, &mut findings);
    let has_trouble = findings.iter().any(|finding| finding.level == Level::Trouble);
    let has_contract = facts.fic.as_ref().is_some_and(|fic| fic.contract().is_some());
    let exit_code = match (has_trouble, has_contract) {
        (true, _) => 1,
        (false, true) => 0,
        (false, false) => 3,
    };
    Verdict { findings, exit_code }
}
