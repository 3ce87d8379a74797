//! Metrics of the plans in the index. They are calculated from the index at each scrape, so they cannot differ from it. A
//! replica that does not lead has no index, and counts no plans.

use std::fmt;
use std::sync::{Arc, Mutex};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeLabelSet, EncodeLabelValue, EncodeMetric, LabelValueEncoder,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};
use strum::VariantArray;

use super::{Entry, Inner, lock};
use crate::api::condition::{Progress, Reason};
use crate::api::key::ObjectKey;
use crate::metrics::{Source, count, encode_gauge};

/// The number of plans that are not Ready and have a series of their own, unless a flag says another.
pub const DEFAULT_PLAN_LIMIT: usize = 1000;

/// Metrics of the plans in the index. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct PlanMetrics {
    index: Source<Mutex<Inner>>,
    series: PlanSeries,
}

/// Which plans have series of their own.
#[derive(Clone, Copy, Debug)]
pub struct PlanSeries {
    /// At most this many that are not Ready.
    pub not_ready_limit: usize,
    /// Each that owns a contract.
    pub contracts: bool,
}

impl Default for PlanSeries {
    fn default() -> Self {
        Self { not_ready_limit: DEFAULT_PLAN_LIMIT, contracts: false }
    }
}

#[derive(EncodeLabelSet)]
struct ReasonLabels {
    reason: Reason,
    progress: Progress,
}

#[derive(EncodeLabelSet)]
struct OperationLabel {
    operation: &'static str,
}

/// Not `namespace`: Prometheus would rename it, since each target has a namespace.
#[derive(EncodeLabelSet)]
struct PlanLabels {
    plan_namespace: Arc<str>,
    plan: Arc<str>,
    reason: Reason,
    progress: Progress,
}

impl EncodeLabelValue for Reason {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
        self.as_str().encode(encoder)
    }
}

impl EncodeLabelValue for Progress {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
        match self {
            Self::Settled => "settled",
            Self::Reconciling => "reconciling",
            Self::Stalled => "stalled",
        }
        .encode(encoder)
    }
}

impl PlanMetrics {
    /// Registers the metrics.
    pub fn register(registry: &mut Registry, series: PlanSeries) -> Self {
        let metrics = Self { series, ..Self::default() };
        registry.register_collector(Box::new(metrics.clone()));
        metrics
    }

    /// From now on the metrics are those of this index.
    pub(super) fn show(&self, index: &Arc<Mutex<Inner>>) {
        self.index.show(index);
    }
}

/// What one walk through the index finds.
#[derive(Default)]
struct Summary<'a> {
    by_reason: [i64; Reason::VARIANTS.len()],
    suspended: i64,
    deleting: i64,
    /// When the oldest of each began, as a Unix time.
    oldest_create: Option<i64>,
    oldest_delete: Option<i64>,
    oldest_deletion: Option<i64>,
    /// Plans that are not Ready, and since when.
    not_ready: Vec<(i64, &'a ObjectKey, Reason)>,
}

impl<'a> Summary<'a> {
    fn add(&mut self, key: &'a ObjectKey, entry: &Entry) {
        self.suspended += i64::from(entry.suspended);
        self.deleting += i64::from(entry.deleting_since.is_some());
        self.oldest_deletion = earliest(self.oldest_deletion, entry.deleting_since);
        let Some(reason) = entry.reason else { return };
        if let Some(count) = self.by_reason.get_mut(reason as usize) {
            *count += 1;
        }
        match reason {
            Reason::Contracted => return,
            Reason::Purchasing | Reason::Processing | Reason::OrderConflict => {
                self.oldest_create = earliest(self.oldest_create, entry.ready_since);
            }
            Reason::Abolishing => self.oldest_delete = earliest(self.oldest_delete, entry.ready_since),
            Reason::CredentialsMissing
            | Reason::ServiceUnavailable
            | Reason::RateLimited
            | Reason::ContractNotFound
            | Reason::NotContracted
            | Reason::Suspended
            | Reason::CredentialsInvalid
            | Reason::AuthenticationFailed
            | Reason::PermissionDenied
            | Reason::AlreadyContracted
            | Reason::ContractLost
            | Reason::TenantClaimed
            | Reason::RequestRejected
            | Reason::OperationFailed
            | Reason::OperationTimedOut
            | Reason::MenuMismatch
            | Reason::WriteRefused
            | Reason::UnexpectedAnswer => {}
        }
        self.not_ready.push((entry.ready_since.unwrap_or(0), key, reason));
    }
}

/// A series for each plan that owns a contract.
fn encode_contracts(encoder: &mut DescriptorEncoder<'_>, inner: &Inner) -> Result<(), fmt::Error> {
    let owned = inner.plans.iter().filter_map(|(key, entry)| Some((key, entry, entry.contender.record.owned()?)));
    let mut owned = owned.peekable();
    if owned.peek().is_none() {
        return Ok(());
    }
    let mut contracts =
        encoder.encode_descriptor("contract", "The contracts that plans own", None, MetricType::Info)?;
    for (key, entry, contract) in owned {
        let labels = [
            ("plan_namespace", &*key.namespace),
            ("plan", &*key.name),
            ("tenant", &*entry.tenant),
            ("contract", contract.as_str()),
        ];
        Info::new([("menu", entry.menu.as_str())]).encode(contracts.encode_family(&labels)?)?;
    }
    Ok(())
}

fn earliest(one: Option<i64>, other: Option<i64>) -> Option<i64> {
    one.into_iter().chain(other).min()
}

impl Collector for PlanMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let index = self.index.get();
        let inner = index.as_deref().map(lock);
        let (mut summary, mut undecodable) = (Summary::default(), 0);
        if let Some(inner) = &inner {
            inner.plans.iter().for_each(|(key, entry)| summary.add(key, entry));
            undecodable = count(inner.undecodable.len());
        }

        let mut plans = encoder.encode_descriptor(
            "plans",
            "Plans by the reason of their Ready condition, and by how they continue",
            None,
            MetricType::Gauge,
        )?;
        for (reason, count) in Reason::VARIANTS.iter().zip(summary.by_reason) {
            let labels = ReasonLabels { reason: *reason, progress: reason.progress() };
            ConstGauge::new(count).encode(plans.encode_family(&labels)?)?;
        }
        for (name, help, value) in [
            ("plans_suspended", "Plans with suspend: true", summary.suspended),
            ("plans_deleting", "Plans that are being deleted", summary.deleting),
            ("undecodable_plans", "Plans that cannot be decoded, which the operator does not change", undecodable),
        ] {
            encode_gauge(&mut encoder, name, help, None, value)?;
        }

        let mut operations = encoder.encode_descriptor(
            "operation_oldest_start_timestamp",
            "When the plan that waits for FIC for the longest time was last Ready or created, as a Unix time; 0: no plan waits",
            Some(&Unit::Seconds),
            MetricType::Gauge,
        )?;
        for (operation, start) in [("create", summary.oldest_create), ("delete", summary.oldest_delete)] {
            let labels = OperationLabel { operation };
            ConstGauge::new(start.unwrap_or(0)).encode(operations.encode_family(&labels)?)?;
        }
        encode_gauge(
            &mut encoder,
            "deletion_oldest_start_timestamp",
            "When the plan that is being deleted for the longest time was deleted, as a Unix time; 0: no plan",
            Some(&Unit::Seconds),
            summary.oldest_deletion.unwrap_or(0),
        )?;

        // The same plans at each scrape: those that are not Ready for the longest time.
        let limit = self.series.not_ready_limit;
        let dropped = summary.not_ready.len().saturating_sub(limit);
        if dropped > 0 {
            summary.not_ready.select_nth_unstable(limit);
            summary.not_ready.truncate(limit);
        }
        summary.not_ready.sort_unstable();
        if !summary.not_ready.is_empty() {
            let mut not_ready = encoder.encode_descriptor(
                "plan_not_ready_since_timestamp",
                "Since when a plan is not Ready, as a Unix time",
                Some(&Unit::Seconds),
                MetricType::Gauge,
            )?;
            for (since, key, reason) in summary.not_ready {
                let (plan_namespace, plan) = (Arc::clone(&key.namespace), Arc::clone(&key.name));
                let labels = PlanLabels { plan_namespace, plan, reason, progress: reason.progress() };
                ConstGauge::new(since).encode(not_ready.encode_family(&labels)?)?;
            }
        }
        encode_gauge(
            &mut encoder,
            "plan_series_dropped",
            "Plans that are not Ready and have no series of their own, because of --metrics-plan-limit",
            None,
            count(dropped),
        )?;
        if let Some(inner) = inner.filter(|_| self.series.contracts) {
            encode_contracts(&mut encoder, &inner)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::plan::PremiumSupportPlan;
    use crate::index::Index;

    fn plan(number: usize, reason: &str, since: &str) -> PremiumSupportPlan {
        let status = if reason == "Contracted" { "True" } else { "False" };
        serde_json::from_value(json!({
            "apiVersion": "fic.ntt.com/v1beta1",
            "kind": "PremiumSupportPlan",
            "metadata": { "name": format!("plan-{number}"), "namespace": "team", "uid": format!("uid-{number}"), "resourceVersion": "1" },
            "spec": { "tenantID": format!("{number:032x}"), "credentialsSecretRef": { "name": "secret" } },
            "status": { "conditions": [
                { "type": "Ready", "status": status, "reason": reason, "message": "", "lastTransitionTime": since },
            ] },
        }))
        .expect("a plan")
    }

    fn not_ready_limit(not_ready_limit: usize) -> PlanSeries {
        PlanSeries { not_ready_limit, ..PlanSeries::default() }
    }

    fn scrape(registry: &Registry) -> String {
        crate::metrics::text(registry).expect("the metrics are encoded")
    }

    #[test]
    fn all_rows_are_there_from_the_start() {
        let mut registry = crate::metrics::registry();
        let _metrics = PlanMetrics::register(&mut registry, not_ready_limit(10));
        let text = scrape(&registry);
        for reason in Reason::VARIANTS {
            let row = format!("fic_operator_plans{{reason=\"{}\",progress=\"", reason.as_str());
            assert!(text.contains(&row), "{row} is missing in {text}");
        }
        for row in [
            "fic_operator_plans{reason=\"Contracted\",progress=\"settled\"} 0",
            "fic_operator_plans{reason=\"TenantClaimed\",progress=\"stalled\"} 0",
            "fic_operator_plans_deleting 0",
            "fic_operator_plans_suspended 0",
            "fic_operator_undecodable_plans 0",
            "fic_operator_operation_oldest_start_timestamp_seconds{operation=\"create\"} 0",
            "fic_operator_operation_oldest_start_timestamp_seconds{operation=\"delete\"} 0",
            "fic_operator_deletion_oldest_start_timestamp_seconds 0",
            "fic_operator_plan_series_dropped 0",
        ] {
            assert!(text.contains(row), "{row} is missing in {text}");
        }
    }

    #[test]
    fn metrics_follow_the_index() {
        let mut registry = crate::metrics::registry();
        let index = Index::new(&PlanMetrics::register(&mut registry, not_ready_limit(10)));
        index.put(&plan(1, "Contracted", "2026-01-01T00:00:00Z"));
        index.put(&plan(2, "Processing", "2026-01-01T00:00:10Z"));
        index.put(&plan(3, "Purchasing", "2026-01-01T00:00:05Z"));
        let mut deleted = plan(4, "Abolishing", "2026-01-01T00:00:20Z");
        deleted.metadata.finalizers = Some(vec!["fic.ntt.com/contract".into()]);
        deleted.metadata.deletion_timestamp = serde_json::from_value(json!("2026-01-01T00:00:15Z")).ok();
        deleted.spec.suspend = true;
        index.put(&deleted);
        let text = scrape(&registry);
        for row in [
            "fic_operator_plans{reason=\"Contracted\",progress=\"settled\"} 1",
            "fic_operator_plans{reason=\"Processing\",progress=\"reconciling\"} 1",
            "fic_operator_plans_deleting 1",
            "fic_operator_plans_suspended 1",
            "fic_operator_operation_oldest_start_timestamp_seconds{operation=\"create\"} 1767225605",
            "fic_operator_operation_oldest_start_timestamp_seconds{operation=\"delete\"} 1767225620",
            "fic_operator_deletion_oldest_start_timestamp_seconds 1767225615",
            "fic_operator_plan_not_ready_since_timestamp_seconds{plan_namespace=\"team\",plan=\"plan-2\",reason=\"Processing\",progress=\"reconciling\"} 1767225610",
        ] {
            assert!(text.contains(row), "{row} is missing in {text}");
        }
        assert!(!text.contains("plan=\"plan-1\""), "a Ready plan has no series: {text}");
        index.remove(&ObjectKey::new("team", "plan-2"));
        let text = scrape(&registry);
        assert!(!text.contains("plan-2") && text.contains("plans{reason=\"Processing\",progress=\"reconciling\"} 0"));
    }

    #[test]
    fn a_plan_that_owns_a_contract_has_a_series_if_an_admin_wants_it() {
        let owner = |number: usize| {
            let mut owner = plan(number, "Contracted", "2026-01-01T00:00:00Z");
            owner.metadata.finalizers = Some(vec!["fic.ntt.com/contract".into()]);
            let uid = owner.metadata.uid.clone().unwrap_or_default();
            owner.metadata.annotations = Some([("fic.ntt.com/owner-uid".into(), uid.clone())].into());
            let status = owner.status.get_or_insert_default();
            (status.id, status.owner_uid) = (Some(format!("F52000000000{number}")), Some(uid));
            owner
        };
        let mut watched = plan(3, "Contracted", "2026-01-01T00:00:00Z");
        watched.status.get_or_insert_default().id = Some("F520000000003".into());
        for contracts in [false, true] {
            let mut registry = crate::metrics::registry();
            let index =
                Index::new(&PlanMetrics::register(&mut registry, PlanSeries { contracts, ..PlanSeries::default() }));
            assert!(!scrape(&registry).contains("contract_info"), "there is no plan");
            for plan in [&owner(1), &owner(2), &watched] {
                index.put(plan);
            }
            let text = scrape(&registry);
            let series = text.lines().filter(|line| line.starts_with("fic_operator_contract_info{"));
            assert_eq!(series.count(), if contracts { 2 } else { 0 }, "{text}");
            let row = format!(
                "fic_operator_contract_info{{menu=\"PremiumPlan\",plan_namespace=\"team\",plan=\"plan-2\",tenant=\"{:032x}\",contract=\"F520000000002\"}} 1\n",
                2
            );
            assert_eq!(text.contains(&row), contracts, "{text}");
        }
    }

    #[test]
    fn the_number_of_series_is_limited() {
        let mut registry = crate::metrics::registry();
        let index = Index::new(&PlanMetrics::register(&mut registry, not_ready_limit(3)));
        for number in 0..10 {
            index.put(&plan(number, "TenantClaimed", &format!("2026-01-01T00:00:{:02}Z", 59 - number)));
        }
        let text = scrape(&registry);
        let series =
            |text: &str| text.lines().filter(|line| line.contains("not_ready_since_timestamp_seconds{")).count();
        assert_eq!(series(&text), 3);
        for oldest in ["plan-9", "plan-8", "plan-7"] {
            assert!(text.contains(oldest), "{text}");
        }
        assert!(text.contains("fic_operator_plan_series_dropped 7"), "{text}");
        assert!(
            text.contains("fic_operator_plans{reason=\"TenantClaimed\",progress=\"stalled\"} 10"),
            "all are counted"
        );
    }
}
