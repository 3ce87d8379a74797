//! Many plans, each for its own tenant: apply them, wait for them, and check that each has created and abolished one
//! contract.

use std::collections::BTreeMap;

use kube::api::ListParams;
use serde_json::json;

use crate::support::plan::has_reason;
use crate::support::{TestEnvironment, new_tenant};

/// The number of plans.
pub const MANY: usize = 50;

impl TestEnvironment {
    /// Applies the plans. Returns the tenant of each, by the name of the plan.
    pub async fn apply_many(&mut self) -> BTreeMap<String, String> {
        let mut tenants = BTreeMap::new();
        for number in 0..MANY {
            self.tenant = new_tenant();
            let name = format!("plan-{number}");
            self.apply(&name, json!({})).await;
            tenants.insert(name, self.tenant.clone());
        }
        tenants
    }

    /// The number of Contracted plans; 0 while the API server does not respond.
    pub async fn contracted(&self) -> usize {
        let plans = self.plans().list(&ListParams::default()).await.map(|plans| plans.items).unwrap_or_default();
        plans.iter().filter(|plan| has_reason(plan, "Contracted")).count()
    }

    pub async fn wait_until_all_are_contracted(&self) {
        self.wait_until("all plans to be Contracted", || async { self.contracted().await == MANY }).await;
    }

    pub async fn wait_until_all_are_deleted(&self) {
        self.wait_until("all plans to be deleted", || async {
            self.plans().list(&ListParams::default()).await.is_ok_and(|plans| plans.items.is_empty())
        })
        .await;
    }

    /// Sends the delete request for every plan.
    pub fn request_deletion_of_all(&self) {
        self.kubectl(&["delete", "psplan", "--all", "--wait=false"]);
    }

    /// The operators have created and abolished exactly one contract for each tenant, with one request each.
    pub async fn assert_one_create_and_delete_each(&self, tenants: &BTreeMap<String, String>) {
        for tenant in tenants.values() {
            let summary = self.simulator.summary(tenant);
            let counts =
                (summary.creates_sent, summary.creates_with_effect, summary.deletes_sent, summary.deletes_with_effect);
            let log = self.simulator.log();
            let requests = log.iter().filter(|entry| entry.tenant.as_ref() == Some(tenant)).collect::<Vec<_>>();
            assert_eq!(counts, (1, 1, 1, 1), "{tenant}: {requests:#?}");
            assert_eq!(summary.contract, None, "{tenant} still has a contract");
        }
        self.wait_for_secret_finalizer(false).await;
    }

    /// Deletes every plan. Each contract is abolished once, and the API server has refused no request of the operator.
    pub async fn delete_all_and_check(&self, tenants: &BTreeMap<String, String>) {
        self.request_deletion_of_all();
        self.wait_until_all_are_deleted().await;
        self.assert_one_create_and_delete_each(tenants).await;
        self.assert_no_request_was_forbidden();
    }
}
