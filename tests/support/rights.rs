//! The rights that the roles grant to the operator, and those that it has used according to the audit log.

use std::collections::BTreeSet;
use std::time::Instant;

use serde_json::Value;

use super::TestEnvironment;
use super::cluster::OPERATOR;
use super::waiting::{POLL_INTERVAL, TIMEOUT};

/// A verb on a resource, and on one object if the role names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Right {
    pub verb: String,
    pub group: String,
    /// With the subresource, such as `premiumsupportplans/status`.
    pub resource: String,
    pub name: Option<String>,
}

impl Right {
    /// Whether each account has it: what an account may ask about itself.
    pub fn is_everyones(&self) -> bool {
        self.verb == "create" && self.group == "authorization.k8s.io" && self.resource == "selfsubjectaccessreviews"
    }
}

impl TestEnvironment {
    /// The rights of all roles that are bound to the service account of the operator.
    pub fn granted_rights(&self) -> BTreeSet<Right> {
        let bindings = ["clusterrolebindings", "rolebindings"].map(|kind| self.items(kind)).concat();
        let is_bound = |binding: &&Value| {
            let subjects = binding["subjects"].as_array().into_iter().flatten();
            subjects.into_iter().any(|subject| subject["name"] == OPERATOR && subject["namespace"] == OPERATOR)
        };
        let (roles, cluster_roles) = (self.items("roles"), self.items("clusterroles"));
        let mut rights = BTreeSet::new();
        for binding in bindings.iter().filter(is_bound) {
            let role = &binding["roleRef"];
            let (candidates, namespace) = if role["kind"] == "Role" {
                (&roles, &binding["metadata"]["namespace"])
            } else {
                (&cluster_roles, &Value::Null)
            };
            let is_role = |candidate: &&Value| {
                candidate["metadata"]["name"] == role["name"] && candidate["metadata"]["namespace"] == *namespace
            };
            let of_role = candidates.iter().filter(is_role).flat_map(|role| role["rules"].as_array().unwrap());
            rights.extend(of_role.flat_map(rights_of_rule));
        }
        rights
    }

    /// The rights of these that no operator has used within the time limit. The audit log contains a request a moment after
    /// its response.
    pub async fn wait_for_use(&self, granted: &BTreeSet<Right>) -> BTreeSet<Right> {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let unused = granted.difference(&self.used_rights()).cloned().collect::<BTreeSet<_>>();
            if unused.is_empty() || Instant::now() > deadline {
                return unused;
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    /// The rights that operators with the usual service account have used so far, in all tests of this process.
    pub fn used_rights(&self) -> BTreeSet<Right> {
        let account = format!("system:serviceaccount:{OPERATOR}:{OPERATOR}");
        let named = self.granted_rights();
        let named = named.iter().filter_map(|right| Some((&right.resource, &right.verb, right.name.as_ref()?)));
        let named = named.collect::<BTreeSet<_>>();
        let requests = self.cluster.operator_requests();
        let used = requests.iter().filter(|request| {
            let code = request["responseStatus"]["code"].as_u64().unwrap_or_default();
            // A watch is in the log twice: when it begins and when it ends.
            request["user"]["username"] == account && code != 403 && request["objectRef"].is_object()
        });
        used.map(|request| {
            let object = &request["objectRef"];
            let text = |field: &str| object[field].as_str().unwrap_or_default().to_owned();
            let resource = match text("subresource") {
                subresource if subresource.is_empty() => text("resource"),
                subresource => format!("{}/{subresource}", text("resource")),
            };
            let (verb, name) = (request["verb"].as_str().unwrap_or_default().to_owned(), text("name"));
            let name = named.contains(&(&resource, &verb, &name)).then_some(name);
            Right { verb, group: text("apiGroup"), resource, name }
        })
        .collect()
    }

    fn items(&self, kind: &str) -> Vec<Value> {
        let list = self.cluster.kubectl(&["get", kind, "--all-namespaces", "--output=json"]);
        serde_json::from_str::<Value>(&list).unwrap()["items"].as_array().unwrap().clone()
    }
}

fn rights_of_rule(rule: &Value) -> Vec<Right> {
    let texts = |field: &str| -> Vec<String> {
        rule[field].as_array().into_iter().flatten().map(|text| text.as_str().unwrap().to_owned()).collect()
    };
    let names = match texts("resourceNames") {
        names if names.is_empty() => vec![None],
        names => names.into_iter().map(Some).collect(),
    };
    let mut rights = Vec::new();
    for group in texts("apiGroups") {
        for resource in texts("resources") {
            for verb in texts("verbs") {
                let right = |name: &Option<String>| Right {
                    verb: verb.clone(),
                    group: group.clone(),
                    resource: resource.clone(),
                    name: name.clone(),
                };
                rights.extend(names.iter().map(right));
            }
        }
    }
    rights
}
