//! Waits with a time limit. A wait that fails prints the plans, the requests to the simulator and the logs of the
//! operators.

use std::fmt::Debug;
use std::future::ready;
use std::pin::pin;
use std::time::Duration;

use fic_simulator::log::Entry;
use fic_support_operator::api::plan::PremiumSupportPlan;
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::Secret;
use kube::api::ListParams;
use kube::runtime::wait::Condition;
use kube::runtime::watcher::{self, watch_object};
use kube::{Api, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::json;

use super::operator::Operator;
use super::plan::has_reason;
use super::{SECRET, TestEnvironment, examples};

/// The time limit of every wait.
pub const TIMEOUT: Duration = Duration::from_mins(1);

/// The pause between two checks of a condition that no watch reports.
pub const POLL_INTERVAL: Duration = Duration::from_millis(20);

const IN_USE_FINALIZER: &str = "fic.ntt.com/in-use";

impl TestEnvironment {
    /// Waits until `Ready` has this reason. Returns the plan as it is then.
    pub async fn wait_for_reason(&self, name: &str, reason: &str) -> PremiumSupportPlan {
        self.wait_for_reason_in(&self.namespace, name, reason).await
    }

    /// The same for a plan in another namespace.
    pub async fn wait_for_reason_in(&self, namespace: &str, name: &str, reason: &str) -> PremiumSupportPlan {
        let what = format!("Ready of {namespace}/{name} to have the reason {reason}");
        let condition = |plan: Option<&PremiumSupportPlan>| plan.is_some_and(|plan| has_reason(plan, reason));
        let plan = self.watch_until(self.plans_in(namespace), name, &what, condition).await.unwrap();
        examples::keep(&plan);
        plan
    }

    /// Waits until a plan satisfies a condition. Returns the plan as it is then.
    pub async fn wait_for_plan(
        &self,
        name: &str,
        what: &str,
        condition: impl Fn(&PremiumSupportPlan) -> bool + Send,
    ) -> PremiumSupportPlan {
        let condition = |plan: Option<&PremiumSupportPlan>| plan.is_some_and(&condition);
        let plan = self.watch_until(self.plans(), name, what, condition).await.unwrap();
        examples::keep(&plan);
        plan
    }

    /// Waits until the API server has removed a plan.
    pub async fn wait_for_deletion(&self, name: &str) {
        let what = format!("{name} to be deleted");
        self.watch_until(self.plans(), name, &what, |plan: Option<&PremiumSupportPlan>| plan.is_none()).await;
    }

    /// Waits until the Secret of the test has the finalizer of the operator, or does not have it.
    pub async fn wait_for_secret_finalizer(&self, expected: bool) {
        self.wait_for_finalizer_of(SECRET, expected).await;
    }

    /// The same for another Secret.
    pub async fn wait_for_finalizer_of(&self, secret: &str, expected: bool) {
        let what = format!("the finalizer of the Secret {secret} (expected: {expected})");
        let condition = |secret: Option<&Secret>| {
            secret.is_some_and(|secret| secret.finalizers().iter().any(|name| name == IN_USE_FINALIZER) == expected)
        };
        self.watch_until(self.secrets(), secret, &what, condition).await;
    }

    async fn watch_until<K>(&self, api: Api<K>, name: &str, what: &str, condition: impl Condition<K>) -> Option<K>
    where
        K: Resource + Clone + Debug + Send + DeserializeOwned + 'static,
    {
        let objects = watch_object(api, name).filter(|object| ready(!object.as_ref().is_err_and(is_expired)));
        let mut matching = pin!(objects.try_skip_while(|object| ready(Ok(!condition.matches_object(object.as_ref())))));
        let Ok(object) = tokio::time::timeout(TIMEOUT, matching.try_next()).await else {
            panic!("timed out waiting for {what}\n{}", self.diagnostics().await);
        };
        object.unwrap().unwrap()
    }

    /// Waits for a condition that no watch reports: a process, the simulator, several objects.
    pub async fn wait_until<F: Future<Output = bool>>(&self, what: &str, condition: impl Fn() -> F) {
        let polls = async {
            while !condition().await {
                tokio::time::sleep(POLL_INTERVAL).await;
            }
        };
        let Ok(()) = tokio::time::timeout(TIMEOUT, polls).await else {
            panic!("timed out waiting for {what}\n{}", self.diagnostics().await);
        };
    }

    /// Waits until the requests to the simulator satisfy a condition.
    pub async fn wait_for_requests(&self, what: &str, condition: impl Fn(&[Entry]) -> bool) {
        self.wait_until(what, || {
            let satisfied = condition(&self.simulator.log());
            async move { satisfied }
        })
        .await;
    }

    /// Waits until the Events of a plan have exactly these reasons, in this order.
    pub async fn wait_for_events(&self, name: &str, reasons: &[&str]) {
        let what = format!("the Events of {name} to have the reasons {reasons:?}");
        self.wait_until(&what, || async { self.event_reasons(name).await == reasons }).await;
    }

    async fn diagnostics(&self) -> String {
        let plans = self.plans().list(&ListParams::default()).await.map(|plans| plans.items).unwrap_or_default();
        let plans = plans.iter().map(|plan| format!("{:#}", json!(plan))).collect::<Vec<_>>().join("\n");
        let requests = self.simulator.log().iter().map(|entry| json!(entry).to_string()).collect::<Vec<_>>().join("\n");
        let logs = self.operators.iter().map(Operator::log).collect::<Vec<_>>().join("\n---\n");
        format!("plans:\n{plans}\nrequests to the simulator:\n{requests}\nlogs of the operators:\n{logs}")
    }
}

/// Whether the API server has ended the watch because it no longer has the changes since the last one: it forgets them when
/// the CRD changes. The stream begins again with a list.
fn is_expired(error: &watcher::Error) -> bool {
    matches!(error, watcher::Error::WatchError(status) if status.code == 410)
        || matches!(error, watcher::Error::WatchStartFailed(kube::Error::Api(status)) if status.code == 410)
}
