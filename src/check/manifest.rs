//! *Report*: the plan that adopts what is there. No Secret is printed, only the command that creates one from variables.

use kube::Resource;
use serde::Serialize;

use super::access::Origin;
use super::findings::{Facts, Verdict};
use crate::api::credentials::SECRET_TYPE;
use crate::api::plan::{AdoptionPolicy, CredentialsSecretRef, PremiumSupportPlan};

const DEFAULT_PLAN: &str = "premium-support";
const DEFAULT_SECRET: &str = "fic-credentials";

/// Where the plan is to be.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) namespace: &'a str,
    pub(super) name: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Manifest<'a> {
    api_version: &'a str,
    kind: &'a str,
    metadata: Metadata<'a>,
    spec: Spec<'a>,
}

#[derive(Serialize)]
struct Metadata<'a> {
    name: &'a str,
    namespace: &'a str,
}

/// What differs from the defaults.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Spec<'a> {
    #[serde(rename = "tenantID")]
    tenant_id: &'a str,
    credentials_secret_ref: CredentialsSecretRef,
    adoption_policy: AdoptionPolicy,
}

/// The plan as YAML; none if something is in the way, or if there is no contract.
pub(super) fn adopting_plan(facts: &Facts<'_>, verdict: &Verdict, place: Place<'_>) -> Option<String> {
    if verdict.exit_code != 0 {
        return None;
    }
    let source = facts.source.as_ref().ok()?;
    let contract = facts.fic.as_ref()?.contract()?;
    let Place { namespace, name } = place;
    let (secret, comment) = secret(&source.origin, namespace);
    let manifest = Manifest {
        api_version: &PremiumSupportPlan::api_version(&()),
        kind: &PremiumSupportPlan::kind(&()),
        metadata: Metadata { name: name.unwrap_or(DEFAULT_PLAN), namespace },
        spec: Spec {
            tenant_id: &source.access.tenant,
            credentials_secret_ref: CredentialsSecretRef { name: secret },
            adoption_policy: AdoptionPolicy::IfPresent,
        },
    };
    let body = serde_saphyr::to_string(&manifest).ok()?;
    Some(format!(
        "# This plan adopts contract {}. Deleting the plan abolishes the contract, unless deletionPolicy is Retain.\n{comment}{body}",
        contract.id
    ))
}

/// The name of the Secret of the plan, and a comment on how it comes into being.
fn secret(origin: &Origin, namespace: &str) -> (String, String) {
    let (name, [key, secret]) = match origin {
        Origin::Secret(of) if *of.namespace == *namespace => {
            return (of.name.to_string(), format!("# It uses Secret {of}, which exists.\n"));
        }
        Origin::Secret(of) => (&*of.name, ["FIC_API_KEY", "FIC_API_SECRET"]),
        Origin::Cloud(_) => (DEFAULT_SECRET, ["OS_USERNAME", "OS_PASSWORD"]),
        Origin::Variables(key, secret) => (DEFAULT_SECRET, [*key, *secret]),
    };
    let comment = format!(
        "# It needs a Secret in its namespace. This command of bash creates it from two variables:\n#   kubectl create secret generic {name} \
         --namespace={namespace} --type={SECRET_TYPE} \\\n#     --from-file=apiKey=<(printf %s \"${key}\") --from-file=apiSecret=<(printf %s \"${secret}\")\n"
    );
    (name.to_owned(), comment)
}
