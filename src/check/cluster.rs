//! *Observe*: what a plan needs of the cluster.

use k8s_openapi::api::authorization::v1::ResourceAttributes;
use kube::api::ListParams;
use kube::{Api, Client};

use crate::api::condition::READY;
use crate::api::crd;
use crate::api::key::ObjectKey;
use crate::index::list::list_each;
use crate::index::scope::Scope;
use crate::index::triggers::WatchedPlan;
use crate::run::checks::{self, CheckError, CrdCheck};
use crate::run::{KubeConfig, RunError};
use crate::text;

/// The number of plans that are named.
const MOST_PLANS: usize = 10;

/// What is known of the cluster.
#[derive(Debug)]
pub(super) enum ClusterFacts {
    /// There is no kubeconfig, and this is not a Pod: why.
    NoConfig(String),
    /// The API server does not answer: why.
    NoAnswer(String),
    /// The API server answers.
    Reached(Box<Answers>),
}

/// The answers of the API server.
#[derive(Debug)]
pub(super) struct Answers {
    pub(super) version: Result<String, CheckError>,
    pub(super) crd: Result<CrdCheck, CheckError>,
    /// What this user, or this operator, may not do.
    pub(super) missing_permissions: Vec<String>,
    /// Whether these permissions are those of the operator, and not of a user.
    pub(super) as_operator: bool,
    /// The plans of the tenant, of all namespaces; none: not known.
    pub(super) plans: Option<Plans>,
}

/// The plans of a tenant.
#[derive(Debug, Default)]
pub(super) struct Plans {
    /// Where they were looked for, if not in all namespaces.
    pub(super) namespace: Option<String>,
    pub(super) found: Vec<FoundPlan>,
}

/// A plan of the tenant.
#[derive(Debug)]
pub(super) struct FoundPlan {
    pub(super) key: ObjectKey,
    /// The reason of its `Ready` condition.
    pub(super) reason: String,
}

pub(super) fn unreached(error: &RunError) -> ClusterFacts {
    match error.missing_kubeconfig() {
        Some(why) => ClusterFacts::NoConfig(text::sanitize_message(&why, &[]).into()),
        None => ClusterFacts::NoAnswer(text::error_chain(error).into()),
    }
}

pub(super) async fn observe(
    client: &Client,
    config: KubeConfig,
    namespace: &str,
    tenant: Option<&str>,
) -> ClusterFacts {
    // The checks of the start pass over a question without an answer. Here it is an answer too.
    let version = match client.apiserver_version().await {
        Ok(version) => checks::check_version(&version),
        Err(error) => return ClusterFacts::NoAnswer(text::error_chain(&error).into()),
    };
    let as_operator = config == KubeConfig::Pod;
    let in_namespace = || Scope { namespaces: vec![namespace.into()], label_selector: None };
    let needed =
        if as_operator { checks::needed_by_operator(&in_namespace(), None) } else { needed_by_user(namespace) };
    let (crd, missing_permissions) =
        tokio::join!(checks::check_crd(client), checks::missing_permissions(client, needed));
    let plans = match tenant {
        Some(tenant) if crd.is_ok() => plans(client, namespace, tenant).await,
        Some(_) | None => None,
    };
    ClusterFacts::Reached(Box::new(Answers { version, crd, missing_permissions, as_operator, plans }))
}

/// What a user needs who applies a plan and its Secret.
fn needed_by_user(namespace: &str) -> Vec<ResourceAttributes> {
    let resources = [("fic.ntt.com", "premiumsupportplans"), ("", "secrets")];
    let attributes = resources.map(|(group, resource)| ResourceAttributes {
        namespace: Some(namespace.into()),
        verb: Some("create".into()),
        group: Some(group.into()),
        resource: Some(resource.into()),
        ..ResourceAttributes::default()
    });
    attributes.into()
}

/// The plans of the tenant in all namespaces, or in this one if no other may be read.
async fn plans(client: &Client, namespace: &str, tenant: &str) -> Option<Plans> {
    let selector = ListParams::default().fields(&format!("spec.tenantID={tenant}"));
    let all = Api::<WatchedPlan>::all(client.clone());
    if let Ok(found) = list(&all, &selector).await {
        return Some(Plans { namespace: None, found });
    }
    let found = list(&Api::namespaced(client.clone(), namespace), &selector).await.ok()?;
    Some(Plans { namespace: Some(namespace.into()), found })
}

async fn list(api: &Api<WatchedPlan>, selector: &ListParams) -> kube::Result<Vec<FoundPlan>> {
    let mut found = Vec::new();
    let visit = |plan: WatchedPlan| {
        if found.len() < MOST_PLANS
            && let Ok(plan) = plan.0
        {
            found.push(FoundPlan { key: ObjectKey::of(&plan), reason: reason(&plan).to_owned() });
        }
    };
    list_each(api, selector, visit).await?;
    Ok(found)
}

fn reason(plan: &crate::api::plan::PremiumSupportPlan) -> &str {
    let conditions = plan.status.iter().flat_map(|status| &status.conditions);
    conditions.into_iter().find(|condition| condition.type_ == READY).map_or("not reported", |ready| &ready.reason)
}

/// The name of the CRD, for messages.
pub(super) const CRD: &str = crd::NAME;
