//! Which plan holds a tenant. The cache and a live read answer it by the same rule.

use std::fmt::Display;

use jiff::Timestamp;
use kube::ResourceExt;

use crate::api::plan::{ManagementPolicy, PremiumSupportPlan};
use crate::domain::facts::{Claim, Record};

/// What the claim of a plan to its tenant depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contender {
    /// The UID of the plan.
    pub uid: Box<str>,
    /// The record of the plan.
    pub record: Record,
    /// Whether its managementPolicy is Observe.
    pub observes: bool,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// When it was created.
    pub created: Timestamp,
}

impl Contender {
    /// The contender of a plan.
    #[must_use]
    pub fn of(plan: &PremiumSupportPlan) -> Self {
        Self {
            uid: plan.uid().unwrap_or_default().into(),
            record: Record::of(plan),
            observes: plan.spec.management_policy == ManagementPolicy::Observe,
            deleting: plan.is_being_deleted(),
            created: plan.creation_timestamp().map_or(Timestamp::MAX, |time| time.0),
        }
    }

    /// A plan with the finalizer always claims its tenant. Without it, a plan that only watches or is being deleted
    /// claims nothing.
    fn claims(&self) -> bool {
        self.record.has_finalizer() || !(self.observes || self.deleting)
    }

    /// The smallest rank holds the tenant. A plan with the finalizer precedes those without, and among them one with a
    /// contract: two plans carry the finalizer only for a moment, when each added it before it saw the finalizer of the
    /// other.
    fn rank(&self) -> (bool, bool, Timestamp, &str) {
        (self.record.owned().is_none(), !self.record.has_finalizer(), self.created, &self.uid)
    }
}

/// Whether this plan holds the tenant of these plans.
pub fn claim_of<'a, K>(own: &K, plans: impl IntoIterator<Item = (&'a K, &'a Contender)>) -> Claim
where
    K: PartialEq + Display + 'a,
{
    let claiming = plans.into_iter().filter(|(_, contender)| contender.claims());
    match claiming.min_by(|(_, one), (_, other)| one.rank().cmp(&other.rank())) {
        Some((holder, _)) if holder != own => Claim::HeldBy(holder.to_string().into()),
        Some(_) | None => Claim::Ours,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::plan::CONTRACT_FINALIZER;
    use crate::domain::contract::ContractId;

    fn contender(uid: &str, created: i64) -> Contender {
        Contender {
            uid: uid.into(),
            record: Record::None,
            observes: false,
            deleting: false,
            created: Timestamp::from_second(created).expect("in range"),
        }
    }

    fn owned() -> Record {
        Record::Owned(ContractId::parse("F000000000001").expect("well formed"))
    }

    /// The UID of the plan that holds the tenant, as another plan sees it.
    fn held_by(contenders: &[Contender]) -> Claim {
        claim_of(&"none".into(), contenders.iter().map(|contender| (&contender.uid, contender)))
    }

    fn held(uid: &str) -> Claim {
        Claim::HeldBy(uid.into())
    }

    #[test]
    fn a_contender_is_read_from_the_plan() {
        let of = |metadata: serde_json::Value, observe: bool, id: Option<&str>| {
            let plan = serde_json::from_value::<PremiumSupportPlan>(serde_json::json!({
                "metadata": metadata,
                "spec": {
                    "tenantID": "1".repeat(32),
                    "credentialsSecretRef": { "name": "secret" },
                    "managementPolicy": if observe { "Observe" } else { "Manage" },
                },
                "status": { "id": id, "observedGeneration": 1 },
            }));
            Contender::of(&plan.expect("a plan"))
        };
        let id = Some("F000000000001");
        let time = "1970-01-01T00:00:07Z";
        assert_eq!(of(serde_json::json!({ "uid": "a", "creationTimestamp": time }), false, None), contender("a", 7));
        let empty = Contender { uid: "".into(), created: Timestamp::MAX, observes: true, ..contender("a", 7) };
        assert_eq!(of(serde_json::json!({}), true, None), empty);
        let metadata = serde_json::json!({
            "uid": "a", "creationTimestamp": time, "deletionTimestamp": time, "finalizers": [CONTRACT_FINALIZER],
        });
        let owner = Contender { record: owned(), deleting: true, ..contender("a", 7) };
        assert_eq!(of(metadata.clone(), false, id), owner);
        let open = Contender { record: Record::Open, ..owner };
        assert_eq!(of(metadata.clone(), false, None), open);
        assert_eq!(of(metadata, false, Some("not an id")), open);
        let foreign = serde_json::json!({ "uid": "a", "creationTimestamp": time, "finalizers": ["another.example"] });
        assert_eq!(of(foreign, false, None), contender("a", 7));
    }

    #[test]
    fn a_plan_holds_its_tenant_if_no_other_plan_precedes_it() {
        let (one, other) = (contender("a", 1), contender("b", 2));
        let plans = || [&one, &other].map(|contender| (&contender.uid, contender));
        assert_eq!(claim_of(&one.uid, plans()), Claim::Ours);
        assert_eq!(claim_of(&other.uid, plans()), held("a"));
        assert_eq!(held_by(&[]), Claim::Ours);
    }

    #[test]
    fn a_plan_with_the_finalizer_precedes_older_plans() {
        let young = Contender { record: Record::Open, ..contender("b", 9) };
        assert_eq!(held_by(&[contender("a", 1), young]), held("b"));
    }

    #[test]
    fn without_finalizers_the_oldest_plan_holds_and_then_the_smallest_uid() {
        assert_eq!(held_by(&[contender("a", 2), contender("b", 1)]), held("b"));
        assert_eq!(held_by(&[contender("b", 1), contender("a", 1)]), held("a"));
    }

    #[test]
    fn without_the_finalizer_an_observing_or_deleted_plan_claims_nothing() {
        let observing = Contender { observes: true, ..contender("a", 1) };
        let deleted = Contender { deleting: true, ..contender("b", 2) };
        assert_eq!(held_by(&[observing.clone(), deleted, contender("c", 3)]), held("c"));
        let owner = Contender { record: Record::Open, ..observing };
        assert_eq!(held_by(&[owner, contender("c", 0)]), held("a"));
    }

    #[test]
    fn of_two_plans_with_the_finalizer_the_one_with_a_contract_holds() {
        let older = Contender { record: Record::Open, ..contender("a", 1) };
        let owner = Contender { record: owned(), ..contender("b", 2) };
        assert_eq!(held_by(&[older, owner]), held("b"));
    }
}
