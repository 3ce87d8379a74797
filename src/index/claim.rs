//! Which plan holds a tenant. The cache and a live read answer it by the same rule.

use std::fmt::Display;

use jiff::Timestamp;
use kube::ResourceExt;

use crate::api::plan::PremiumSupportPlan;
use crate::domain::facts::{Claim, Record};

/// What the claim of a plan to its tenant depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contender {
    /// The UID of the plan.
    pub uid: Box<str>,
    /// The record of the plan.
    pub record: Record,
    /// Whether this process sent a create request for it that FIC may have accepted.
    pub is_create_open: bool,
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
            is_create_open: false,
            created: plan.creation_timestamp().map_or(Timestamp::MAX, |time| time.0),
        }
    }

    /// Whether a contract may belong to the plan, so that it claims its tenant and depends on its Secret.
    ///
    /// It gets a record only after FIC has accepted its credentials for the tenant, so no other plan can be kept out by a
    /// plan that is merely there.
    pub(super) fn may_own_contract(&self) -> bool {
        self.record.is_present() || self.is_create_open
    }

    /// The rank of the claim to the tenant. `None`: no claim.
    pub(super) fn rank(&self) -> Option<Rank> {
        self.may_own_contract().then(|| Rank {
            has_no_contract: self.record.owned().is_none(),
            has_no_create: !self.is_create_open,
            created: self.created,
            uid: self.uid.clone(),
        })
    }
}

/// The rank of a claim: the smallest holds the tenant.
///
/// A plan with a contract precedes those without, and among them one with a create request that FIC may have accepted.
/// Two plans have a record only for a moment, when each opened it before it saw the record of the other: then the older
/// plan holds the tenant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    has_no_contract: bool,
    has_no_create: bool,
    created: Timestamp,
    uid: Box<str>,
}

/// Whether this plan holds the tenant of these plans.
pub fn claim_of<'a, K>(own: &K, plans: impl IntoIterator<Item = (&'a K, &'a Contender)>) -> Claim
where
    K: PartialEq + Display + 'a,
{
    let claiming = plans.into_iter().filter_map(|(key, contender)| Some((contender.rank()?, key, contender)));
    match claiming.min_by(|(one, ..), (other, ..)| one.cmp(other)) {
        Some((_, holder, contender)) if holder != own => held_by(holder, contender),
        Some(_) | None => Claim::Ours,
    }
}

/// The claim of a plan whose tenant another plan holds.
pub(super) fn held_by(holder: &impl Display, contender: &Contender) -> Claim {
    Claim::HeldBy { holder: holder.to_string().into(), contract: contender.record.owned().cloned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::plan::{CONTRACT_FINALIZER, OWNER_UID};
    use crate::domain::contract::ContractId;

    fn contender(uid: &str, created: i64, record: Record) -> Contender {
        let created = Timestamp::from_second(created).expect("in range");
        Contender { uid: uid.into(), record, is_create_open: false, created }
    }

    fn id() -> ContractId {
        ContractId::parse("F000000000001").expect("well formed")
    }

    fn open(uid: &str, created: i64) -> Contender {
        contender(uid, created, Record::Open)
    }

    fn owner(uid: &str, created: i64) -> Contender {
        contender(uid, created, Record::Owned(id()))
    }

    /// The plan that holds the tenant, as another plan sees it.
    fn seen(contenders: &[Contender]) -> Claim {
        claim_of(&"none".into(), contenders.iter().map(|contender| (&contender.uid, contender)))
    }

    fn held(uid: &str) -> Claim {
        Claim::HeldBy { holder: uid.into(), contract: None }
    }

    #[test]
    fn a_contender_is_read_from_the_plan() {
        let of = |metadata: serde_json::Value, status: serde_json::Value| {
            let plan = serde_json::from_value::<PremiumSupportPlan>(serde_json::json!({
                "metadata": metadata,
                "spec": { "tenantID": "1".repeat(32), "credentialsSecretRef": { "name": "secret" } },
                "status": status,
            }));
            Contender::of(&plan.expect("a plan"))
        };
        let empty = Contender { uid: "".into(), created: Timestamp::MAX, ..contender("", 0, Record::None) };
        assert_eq!(of(serde_json::json!({}), serde_json::json!({})), empty);
        let time = "1970-01-01T00:00:07Z";
        let metadata = |finalizer: &str, owner: &str| {
            let annotations = serde_json::json!({ OWNER_UID: owner });
            serde_json::json!({
                "uid": "a", "creationTimestamp": time, "finalizers": [finalizer], "annotations": annotations,
            })
        };
        let marked = || metadata(CONTRACT_FINALIZER, "a");
        let owned = |owner: &str| serde_json::json!({ "id": id().as_str(), "ownerUID": owner });
        assert_eq!(of(marked(), serde_json::json!({})), open("a", 7));
        assert_eq!(of(marked(), serde_json::json!({ "id": "not an id", "ownerUID": "a" })), open("a", 7));
        assert_eq!(of(marked(), owned("a")), owner("a", 7));
        assert_eq!(of(marked(), owned("b")), open("a", 7), "the status of a copy");
        let none = contender("a", 7, Record::None);
        assert_eq!(of(metadata(CONTRACT_FINALIZER, "b"), serde_json::json!({})), none, "a copy of plan b");
        assert_eq!(of(metadata("another.example", "a"), serde_json::json!({})), none);
        assert_eq!(of(metadata("another.example", "b"), owned("a")), owner("a", 7), "both marks were removed");
        let mut let_go = metadata("another.example", "b");
        let_go["deletionTimestamp"] = time.into();
        let watched = contender("a", 7, Record::Watched(id()));
        assert_eq!(of(let_go, owned("a")), watched, "another finalizer keeps a plan that the operator has let go");
        assert_eq!(of(metadata(CONTRACT_FINALIZER, "b"), owned("b")), watched);
    }

    #[test]
    fn a_plan_holds_its_tenant_if_no_other_plan_precedes_it() {
        let (one, other) = (open("a", 1), open("b", 2));
        let plans = || [&one, &other].map(|contender| (&contender.uid, contender));
        assert_eq!(claim_of(&one.uid, plans()), Claim::Ours);
        assert_eq!(claim_of(&other.uid, plans()), held("a"));
        assert_eq!(seen(&[]), Claim::Ours);
    }

    #[test]
    fn a_plan_without_a_record_claims_nothing() {
        let watching = contender("b", 2, Record::Watched(id()));
        assert_eq!(seen(&[contender("a", 1, Record::None), watching, open("c", 3)]), held("c"));
        assert_eq!(seen(&[contender("a", 1, Record::None)]), Claim::Ours);
    }

    #[test]
    fn of_two_open_records_the_older_plan_holds_and_then_the_smallest_uid() {
        assert_eq!(seen(&[open("a", 2), open("b", 1)]), held("b"));
        assert_eq!(seen(&[open("b", 1), open("a", 1)]), held("a"));
    }

    #[test]
    fn a_create_that_may_have_been_accepted_precedes_another_record() {
        let buyer = Contender { is_create_open: true, ..open("b", 2) };
        assert_eq!(seen(&[open("a", 1), buyer]), held("b"));
        let without_marks = Contender { is_create_open: true, ..contender("b", 2, Record::None) };
        assert_eq!(seen(&[open("a", 1), without_marks]), held("b"));
    }

    #[test]
    fn a_plan_with_a_contract_precedes_every_other() {
        let held = Claim::HeldBy { holder: "b".into(), contract: Some(id()) };
        let buyer = Contender { is_create_open: true, ..open("a", 1) };
        assert_eq!(seen(&[buyer, owner("b", 2)]), held);
    }
}
