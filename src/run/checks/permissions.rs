//! The permissions of the operator: the roles in `deploy/` grant them.

use futures::StreamExt;
use futures::stream::iter;
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec, SubjectAccessReviewStatus,
};
use kube::api::PostParams;
use kube::{Api, Client};

use super::{CheckError, not_checked};
use crate::index::scope::Scope;

/// The number of reviews at the same time: with many namespaces there are hundreds.
const CONCURRENCY: usize = 16;
/// The number of missing permissions in a message.
const LONGEST_MESSAGE: usize = 10;

/// In each watched namespace: verb, group, resource and subresource.
const IN_NAMESPACES: [(&str, &str, &str, &str); 9] = [
    ("get", "fic.ntt.com", "premiumsupportplans", ""),
    ("list", "fic.ntt.com", "premiumsupportplans", ""),
    ("watch", "fic.ntt.com", "premiumsupportplans", ""),
    ("patch", "fic.ntt.com", "premiumsupportplans", ""),
    ("patch", "fic.ntt.com", "premiumsupportplans", "status"),
    ("list", "", "secrets", ""),
    ("watch", "", "secrets", ""),
    ("patch", "", "secrets", ""),
    ("create", "events.k8s.io", "events", ""),
];

/// The Lease that the operator uses.
#[derive(Clone, Debug)]
pub(crate) struct LeaseAccess {
    pub(crate) namespace: String,
    pub(crate) name: String,
}

pub(super) async fn check(client: &Client, scope: &Scope, lease: Option<&LeaseAccess>) -> Result<(), CheckError> {
    let missing = missing(client, needed(scope, lease)).await;
    if missing.is_empty() { Ok(()) } else { Err(CheckError::Permissions(missing.join(", ").into())) }
}

/// Which of these permissions the client does not have. Of many, some are named.
pub(crate) async fn missing(client: &Client, needed: Vec<ResourceAttributes>) -> Vec<String> {
    let api = Api::<SelfSubjectAccessReview>::all(client.clone());
    let reviews = needed.into_iter().map(async |attributes| {
        let spec = SelfSubjectAccessReviewSpec {
            resource_attributes: Some(attributes.clone()),
            ..SelfSubjectAccessReviewSpec::default()
        };
        let review = SelfSubjectAccessReview { spec, ..SelfSubjectAccessReview::default() };
        match api.create(&PostParams::default(), &review).await {
            Ok(SelfSubjectAccessReview { status: Some(SubjectAccessReviewStatus { allowed: false, .. }), .. }) => {
                Some(describe(&attributes))
            }
            Ok(_) => None,
            Err(error) => {
                not_checked("a permission", &error);
                None
            }
        }
    });
    let mut missing = iter(reviews).buffered(CONCURRENCY).filter_map(std::future::ready).collect::<Vec<_>>().await;
    let more = missing.len().saturating_sub(LONGEST_MESSAGE);
    if more > 0 {
        missing.truncate(LONGEST_MESSAGE);
        missing.push(format!("and {more} more"));
    }
    missing
}

/// The permissions of the operator.
pub(crate) fn needed(scope: &Scope, lease: Option<&LeaseAccess>) -> Vec<ResourceAttributes> {
    let all = [String::new()];
    let namespaces = if scope.namespaces.is_empty() { &all[..] } else { &scope.namespaces };
    let mut needed = Vec::new();
    for namespace in namespaces {
        needed.extend(IN_NAMESPACES.map(|(verb, group, resource, subresource)| ResourceAttributes {
            namespace: Some(namespace.clone()),
            verb: Some(verb.into()),
            group: Some(group.into()),
            resource: Some(resource.into()),
            subresource: Some(subresource.into()),
            ..ResourceAttributes::default()
        }));
    }
    if let Some(LeaseAccess { namespace, name }) = lease {
        // A create request has no name that could be reviewed.
        needed.extend(["get", "update", "create"].map(|verb| ResourceAttributes {
            namespace: Some(namespace.clone()),
            verb: Some(verb.into()),
            group: Some("coordination.k8s.io".into()),
            resource: Some("leases".into()),
            name: (verb != "create").then(|| name.clone()),
            ..ResourceAttributes::default()
        }));
    }
    needed
}

/// Verb, resource and namespace, such as `patch premiumsupportplans.fic.ntt.com/status in namespace team`.
fn describe(attributes: &ResourceAttributes) -> String {
    let text = |field: &Option<String>| field.clone().unwrap_or_default();
    let prefixed = |prefix: &str, field: &Option<String>| match text(field) {
        value if value.is_empty() => String::new(),
        value => format!("{prefix}{value}"),
    };
    let place = match text(&attributes.namespace) {
        namespace if namespace.is_empty() => "all namespaces".to_owned(),
        namespace => format!("namespace {namespace}"),
    };
    format!(
        "{} {}{}{}{} in {place}",
        text(&attributes.verb),
        text(&attributes.resource),
        prefixed(".", &attributes.group),
        prefixed("/", &attributes.subresource),
        prefixed(" ", &attributes.name),
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::{Value, json};

    use super::super::fake;
    use super::*;

    fn scope(namespaces: &[&str]) -> Scope {
        Scope { namespaces: namespaces.iter().map(ToString::to_string).collect(), label_selector: None }
    }

    fn lease() -> LeaseAccess {
        LeaseAccess { namespace: "operator".into(), name: "lease".into() }
    }

    /// Checks against an API server that denies what matches.
    async fn check_denied(
        scope: &Scope,
        lease: Option<&LeaseAccess>,
        is_denied: fn(&Value) -> bool,
    ) -> Result<(), String> {
        let client = fake::client(move |review| {
            let mut review = review.clone();
            review["status"] = json!({ "allowed": !is_denied(&review["spec"]["resourceAttributes"]) });
            (201, review)
        });
        check(&client, scope, lease).await.map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn each_missing_permission_is_named_with_its_namespace() {
        let (all, two) = (scope(&[]), scope(&["a", "b"]));
        assert_eq!(check_denied(&all, Some(&lease()), |_| false).await, Ok(()));
        let error = check_denied(&all, None, |asked| asked["subresource"] == "status").await.expect_err("denied");
        assert!(error.contains("patch premiumsupportplans.fic.ntt.com/status in all namespaces;"), "{error}");
        let denied = |asked: &Value| asked["resource"] == "secrets" && asked["verb"] == "list";
        let error = check_denied(&two, None, denied).await.expect_err("denied");
        assert!(error.contains("list secrets in namespace a, list secrets in namespace b;"), "{error}");
        let error = check_denied(&two, Some(&lease()), |asked| asked["verb"] == "update").await.expect_err("denied");
        assert!(error.contains("update leases.coordination.k8s.io lease in namespace operator;"), "{error}");
        assert!(check_denied(&two, None, |asked| asked["verb"] == "update").await.is_ok(), "without leader election");
    }

    #[tokio::test]
    async fn a_message_names_a_limited_number_of_permissions() {
        let error = check_denied(&scope(&["a", "b"]), None, |_| true).await.expect_err("denied");
        assert!(error.contains(", and 8 more;"), "{error}");
    }

    #[tokio::test]
    async fn a_review_without_an_answer_does_not_end_the_start() {
        for code in [403, 500] {
            assert!(check(&fake::client(move |_| fake::failure(code)), &scope(&[]), None).await.is_ok());
        }
    }

    /// The permissions that are checked are those that the manifests grant, apart from reading the CRD.
    #[test]
    fn the_manifests_grant_what_is_checked() {
        let manifests = [
            include_str!("../../../deploy/permissions/watched/role.yaml"),
            include_str!("../../../deploy/base/leader-election.yaml"),
        ];
        let documents = manifests.iter().flat_map(|file| file.split("\n---\n")).map(serde_saphyr::from_str::<Value>);
        let mut granted = BTreeSet::new();
        for manifest in documents.map(|manifest| manifest.expect("YAML")) {
            for rule in manifest["rules"].as_array().into_iter().flatten() {
                let list = |field: &str| rule[field].as_array().cloned().unwrap_or_default();
                for (group, resource, verb) in list("apiGroups").iter().flat_map(|group| {
                    let verbs = list("verbs");
                    list("resources").into_iter().flat_map(move |resource| {
                        verbs.clone().into_iter().map(move |verb| (group.clone(), resource.clone(), verb))
                    })
                }) {
                    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                    granted.insert((text(&verb), text(&group), text(&resource)));
                }
            }
        }
        let checked = needed(&scope(&[]), Some(&lease())).into_iter().map(|attributes| {
            let text = |field: Option<String>| field.unwrap_or_default();
            let subresource = attributes.subresource.filter(|name| !name.is_empty());
            let resource = [attributes.resource, subresource].into_iter().flatten().collect::<Vec<_>>().join("/");
            (text(attributes.verb), text(attributes.group), resource)
        });
        assert_eq!(checked.collect::<BTreeSet<_>>(), granted);
    }
}
