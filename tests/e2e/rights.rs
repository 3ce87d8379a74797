//! The operator has the rights that it uses, and no others: the roles in `deploy/` against the audit log.

use std::collections::BTreeSet;

use serde_json::json;

use crate::support::TestEnvironment;
use crate::support::rights::Right;

/// One plan from its purchase to its abolition, with a leader, uses every right.
#[tokio::test(flavor = "multi_thread")]
async fn every_right_is_used_and_every_used_right_is_granted() {
    let mut env = TestEnvironment::without_operator().await.with_leader_election();
    env.create_secret().await;
    env.start_operator().await;
    env.apply("premium", json!({})).await;
    env.wait_for_reason("premium", "Contracted").await;
    env.delete("premium").await;
    env.wait_for_deletion("premium").await;
    env.wait_for_secret_finalizer(false).await;
    env.operator().terminate();

    let granted = env.granted_rights();
    assert!(granted.len() >= 13, "the roles of the operator were not read: {granted:?}");
    let unused = env.wait_for_use(&granted).await;
    assert_eq!(unused, BTreeSet::new(), "the roles grant what no operator uses");
    // Other tests grant the rights on Leases of other names before their operators use them.
    let used = env.used_rights();
    let granted = env.granted_rights();
    let not_granted = used.difference(&granted).filter(|right| !right.is_everyones());
    let not_granted = not_granted.collect::<Vec<_>>();
    assert_eq!(not_granted, [] as [&Right; 0], "the operator uses what its roles do not grant");
}
