//! Who holds a tenant: one plan, whichever way the question is asked.

use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;

use crate::api::plan::{CONTRACT_FINALIZER, ManagementPolicy, PremiumSupportPlan};

/// A plan as far as its claim to its tenant goes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "four independent facts of an object, not a state")]
pub struct Contender {
    /// The UID of the plan.
    pub uid: Box<str>,
    /// Whether it carries our finalizer.
    pub finalizer: bool,
    /// Whether it has recorded the id of a contract under that finalizer.
    pub contracted: bool,
    /// Whether it only watches.
    pub observes: bool,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// When it was created.
    pub created: Timestamp,
}

impl Contender {
    /// What a plan puts forward.
    #[must_use]
    pub fn of(plan: &PremiumSupportPlan) -> Self {
        let finalizer = plan.finalizers().iter().any(|name| name == CONTRACT_FINALIZER);
        Self {
            uid: plan.uid().unwrap_or_default().into(),
            finalizer,
            contracted: finalizer && plan.status.as_ref().is_some_and(|status| status.id.is_some()),
            observes: plan.spec.management_policy == ManagementPolicy::Observe,
            deleting: plan.metadata.deletion_timestamp.is_some(),
            created: plan.creation_timestamp().map_or(Timestamp::MAX, |time| time.0),
        }
    }

    /// With the finalizer a plan holds on, whatever it wants by now. Without it, one that only watches or is going claims nothing.
    fn claims(&self) -> bool {
        self.finalizer || !(self.observes || self.deleting)
    }

    /// Smaller comes first. Plans with the finalizer go before those without, and among them one with a contract: two of them
    /// can only be there together for a moment, when both put it on before either saw the other's.
    fn rank(&self) -> (bool, bool, Timestamp, &str) {
        (!self.contracted, !self.finalizer, self.created, &self.uid)
    }
}

/// The one that holds the tenant, if any of them claims it.
pub fn holder<'a, T>(
    plans: impl IntoIterator<Item = &'a T>,
    contender: impl Fn(&'a T) -> &'a Contender,
) -> Option<&'a T> {
    plans
        .into_iter()
        .filter(|plan| contender(plan).claims())
        .min_by(|one, other| contender(one).rank().cmp(&contender(other).rank()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contender(uid: &str, created: i64) -> Contender {
        Contender {
            uid: uid.into(),
            finalizer: false,
            contracted: false,
            observes: false,
            deleting: false,
            created: Timestamp::from_second(created).expect("in range"),
        }
    }

    fn held_by(contenders: &[Contender]) -> Option<&str> {
        holder(contenders, |contender| contender).map(|contender| &*contender.uid)
    }

    #[test]
    fn what_a_plan_puts_forward_is_read_from_the_object() {
        let of = |metadata: serde_json::Value, observe: bool, id: bool| {
            let plan = serde_json::from_value::<PremiumSupportPlan>(serde_json::json!({
                "metadata": metadata,
                "spec": {
                    "tenantID": "1".repeat(32),
                    "credentialsSecretRef": { "name": "secret" },
                    "managementPolicy": if observe { "Observe" } else { "Manage" },
                },
                "status": { "id": id.then_some("F000000000001"), "observedGeneration": 1 },
            }));
            Contender::of(&plan.expect("a plan"))
        };
        let time = "1970-01-01T00:00:07Z";
        let plain = contender("a", 7);
        assert_eq!(of(serde_json::json!({ "uid": "a", "creationTimestamp": time }), false, true), plain);
        let bare = Contender { uid: "".into(), created: Timestamp::MAX, observes: true, ..plain.clone() };
        assert_eq!(of(serde_json::json!({}), true, false), bare);
        let metadata = serde_json::json!({
            "uid": "a", "creationTimestamp": time, "deletionTimestamp": time, "finalizers": [CONTRACT_FINALIZER],
        });
        let owner = Contender { finalizer: true, contracted: true, deleting: true, ..plain };
        assert_eq!(of(metadata.clone(), false, true), owner);
        assert_eq!(of(metadata, false, false), Contender { contracted: false, ..owner });
        let foreign = serde_json::json!({ "uid": "a", "creationTimestamp": time, "finalizers": ["another.example"] });
        assert_eq!(of(foreign, false, true), contender("a", 7));
    }

    #[test]
    fn the_plan_with_the_finalizer_holds_however_young_it_is() {
        let young = Contender { finalizer: true, ..contender("b", 9) };
        assert_eq!(held_by(&[contender("a", 1), young]), Some("b"));
    }

    #[test]
    fn among_plans_without_it_the_oldest_holds_and_then_the_smallest_uid() {
        assert_eq!(held_by(&[contender("a", 2), contender("b", 1)]), Some("b"));
        assert_eq!(held_by(&[contender("b", 1), contender("a", 1)]), Some("a"));
    }

    #[test]
    fn one_that_only_watches_or_is_going_claims_nothing_without_the_finalizer() {
        let watching = Contender { observes: true, ..contender("a", 1) };
        let going = Contender { deleting: true, ..contender("b", 2) };
        assert_eq!(held_by(&[watching.clone(), going, contender("c", 3)]), Some("c"));
        let owner = Contender { finalizer: true, ..watching };
        assert_eq!(held_by(&[owner, contender("c", 0)]), Some("a"));
        assert_eq!(held_by(&[]), None);
    }

    #[test]
    fn of_two_with_the_finalizer_the_one_with_a_contract_holds() {
        let older = Contender { finalizer: true, ..contender("a", 1) };
        let owner = Contender { finalizer: true, contracted: true, ..contender("b", 2) };
        assert_eq!(held_by(&[older, owner]), Some("b"));
    }
}
