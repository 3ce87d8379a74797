//! Checks of what the operators have requested of the API server, read from its audit log.

use serde_json::Value;

use super::TestEnvironment;
use super::cluster::{Cluster, OPERATOR};

impl Cluster {
    /// The requests of all operators so far.
    pub fn operator_requests(&self) -> Vec<Value> {
        let log = std::fs::read_to_string(&self.control_plane.details().audit_log).unwrap();
        let entries = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let is_from_operator =
            |entry: &Value| entry["userAgent"].as_str().is_some_and(|agent| agent.starts_with("fic-support-operator/"));
        entries.filter(is_from_operator).collect()
    }
}

impl TestEnvironment {
    /// The API server has refused no request of an operator with its usual service account since the test began, in any
    /// namespace. Events are excluded: the API server refuses to create an Event in a namespace that is being deleted.
    pub fn assert_no_request_was_forbidden(&self) {
        let requests = self.cluster.operator_requests().into_iter().skip(self.earlier_requests);
        let account = format!("system:serviceaccount:{OPERATOR}:{OPERATOR}");
        let forbidden = requests
            .filter(|entry| entry["responseStatus"]["code"] == 403)
            .filter(|entry| entry["user"]["username"] == account)
            .filter(|entry| entry["objectRef"]["resource"] != "events")
            .collect::<Vec<_>>();
        assert!(forbidden.is_empty(), "the API server has refused requests of the operator: {forbidden:#?}");
    }

    /// The operators have written plans of this namespace exactly so many times.
    pub async fn assert_plan_writes(&self, expected: usize) {
        self.assert_writes("premiumsupportplans", expected).await;
    }

    /// The operators have written Secrets of this namespace exactly so many times.
    pub async fn assert_secret_writes(&self, expected: usize) {
        self.assert_writes("secrets", expected).await;
    }

    /// The audit log contains a write a moment after clients can read its result.
    async fn assert_writes(&self, resource: &str, expected: usize) {
        let what = format!("{expected} writes of {resource} in the audit log");
        self.wait_until(&what, || async { self.writes(resource) >= expected }).await;
        assert_eq!(self.writes(resource), expected, "the number of writes of {resource}");
    }

    fn writes(&self, resource: &str) -> usize {
        let is_write = |entry: &&Value| {
            let object = &entry["objectRef"];
            entry["verb"] == "patch" && object["resource"] == resource && object["namespace"] == self.namespace.as_str()
        };
        self.cluster.operator_requests().iter().filter(is_write).count()
    }
}
