//! The examples of plans, from a real API server: one for each reason at least.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use fic_support_operator::api::condition::{Progress, Reason};
use fic_support_operator::api::plan::PremiumSupportPlan;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use strum::VariantArray;

const FOLDER: &str = "deploy/gitops/argocd/resource_customizations/fic.ntt.com/PremiumSupportPlan/testdata";

/// The conditions of the plans that are reported, by the reason.
fn conditions() -> BTreeMap<Reason, Vec<Vec<Condition>>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(FOLDER);
    let mut conditions = BTreeMap::<_, Vec<_>>::new();
    for file in fs::read_dir(folder).expect("the folder is readable") {
        let text = fs::read_to_string(file.expect("an entry").path()).expect("the example is readable");
        let plan = serde_saphyr::from_str::<PremiumSupportPlan>(&text).expect("a plan");
        let of_plan = plan.status.expect("a status").conditions;
        if let Some(ready) = of_plan.iter().find(|condition| condition.type_ == "Ready") {
            conditions.entry(Reason::parse(&ready.reason).expect("a reason")).or_default().push(of_plan);
        }
    }
    conditions
}

/// The values that `Ready` has with each reason.
pub(crate) fn ready() -> BTreeMap<Reason, String> {
    let statuses = |examples: Vec<Vec<Condition>>| {
        let ready = examples.into_iter().flatten().filter(|condition| condition.type_ == "Ready");
        ready.map(|condition| condition.status).collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join(", ")
    };
    conditions().into_iter().map(|(reason, examples)| (reason, statuses(examples))).collect()
}

/// `Reconciling` and `Stalled` are present only while they are True, with the reason and the message of `Ready`.
#[test]
fn each_reason_has_an_example_with_the_conditions_of_kstatus() {
    let conditions = conditions();
    for reason in Reason::VARIANTS {
        let examples =
            conditions.get(reason).unwrap_or_else(|| panic!("no example of {reason:?}: run `make examples`"));
        for example in examples {
            let others = example.iter().filter(|condition| condition.type_ != "Ready").collect::<Vec<_>>();
            let types = others.iter().map(|condition| condition.type_.as_str()).collect::<Vec<_>>();
            let expected: Vec<&str> = match reason.progress() {
                Progress::Settled => vec![],
                progress @ (Progress::Reconciling | Progress::Stalled) => vec![progress.into()],
            };
            assert_eq!(types, expected, "{reason:?}");
            for other in others {
                assert_eq!((other.status.as_str(), other.reason.as_str()), ("True", reason.as_str()));
            }
        }
    }
}
