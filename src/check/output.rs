//! *Report*: the findings as text or as JSON.

use std::fmt::Write as _;

use serde::Serialize;

use super::findings::{Facts, Finding, Level, Verdict};

pub(super) fn text(verdict: &Verdict) -> String {
    verdict.findings.iter().fold(String::new(), |mut text, finding| {
        let mark = match finding.level {
            Level::Ok => '✔',
            Level::Note => '-',
            Level::Trouble => '✗',
        };
        let _ = writeln!(text, "{mark} {}: {}", finding.subject, finding.message);
        if let Some(action) = &finding.action {
            let _ = writeln!(text, "  {action}");
        }
        text
    })
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Json<'a> {
    exit_code: u8,
    #[serde(rename = "tenantID")]
    tenant: Option<&'a str>,
    findings: &'a [Finding],
    contract: Option<JsonContract<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct JsonContract<'a> {
    id: &'a str,
    operation_status: &'a str,
    current_menu: Option<&'a str>,
}

pub(super) fn json(verdict: &Verdict, facts: &Facts<'_>) -> String {
    let contract = facts.fic.as_ref().and_then(|fic| fic.contract()).map(|contract| JsonContract {
        id: contract.id.as_str(),
        operation_status: contract.status.as_str(),
        current_menu: contract.current_menu.as_deref(),
    });
    let tenant = facts.source.as_ref().ok().map(|source| &*source.access.tenant);
    let json = Json { exit_code: verdict.exit_code, tenant, findings: &verdict.findings, contract };
    // Texts and numbers can always be written.
    serde_json::to_string_pretty(&json).map(|text| text + "\n").unwrap_or_default()
}
