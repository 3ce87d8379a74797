//! The floor: how long the API server takes for the same writes when bare clients send them.

use std::time::Duration;

use anyhow::Result;
use serde_json::json;
use tokio::time::Instant;

use crate::client::Client;
use crate::cluster::{Cluster, EVENTS, for_each_plan, path};
use crate::process::cpu;

/// The message of a condition has about this length.
const MESSAGE: &str = "Contract F520000000001 is active.";

/// Sends the three patches and two Events of each plan, with the permissions of the operator. Returns how long that takes, and
/// the CPU time of this process.
pub(crate) async fn measure(count: usize) -> Result<(Duration, Duration)> {
    let cluster = Cluster::start().await?;
    cluster.create_plans(count).await?;
    let client = Client::from_kubeconfig(&cluster.operator_kubeconfig)?;
    let (started, cpu_before) = (Instant::now(), cpu("self")?);
    for_each_plan(count, async |number| write(&client, number).await).await?;
    Ok((started.elapsed(), cpu("self")?.saturating_sub(cpu_before)))
}

async fn write(client: &Client, number: usize) -> Result<()> {
    let path = path(number);
    let uid = "188d167f-8a4e-4c11-a3f3-0d2a3a1b8d0e";
    let record = json!({ "metadata": {
        "finalizers": ["fic.ntt.com/contract"],
        "annotations": { "fic.ntt.com/owner-uid": uid },
    } });
    client.patch(&path, &record).await?;
    client.patch(&format!("{path}/status"), &status(uid, "Processing", "False")).await?;
    client.create(EVENTS, &event(number, "Purchased", uid)).await?;
    client.patch(&format!("{path}/status"), &status(uid, "Contracted", "True")).await?;
    client.create(EVENTS, &event(number, "Contracted", uid)).await
}

fn status(uid: &str, reason: &str, ready: &str) -> serde_json::Value {
    let condition = |type_: &str, status: &str| {
        json!({
            "type": type_, "status": status, "reason": reason, "message": MESSAGE,
            "observedGeneration": 1, "lastTransitionTime": "2026-01-01T00:00:00Z",
        })
    };
    let mut conditions = vec![condition("Ready", ready)];
    conditions.extend((ready == "False").then(|| condition("Reconciling", "True")));
    json!({ "status": {
        "observedGeneration": 1,
        "id": "F520000000001",
        "ownerUID": uid,
        "operationStatus": "Completed",
        "currentMenu": "PremiumPlan",
        "menus": [{ "menu": "PremiumPlan", "menuStartDate": "2026-01-01T00:00:00Z" }],
        "conditions": conditions,
    } })
}

fn event(number: usize, reason: &str, uid: &str) -> serde_json::Value {
    json!({
        "metadata": { "name": format!("plan-{number}.{reason}").to_lowercase() },
        "eventTime": "2026-01-01T00:00:00.000000Z",
        "type": "Normal",
        "reason": reason,
        "action": "Reconcile",
        "note": MESSAGE,
        "regarding": {
            "apiVersion": "fic.ntt.com/v1beta1", "kind": "PremiumSupportPlan",
            "namespace": "bench", "name": format!("plan-{number}"), "uid": uid,
        },
        "reportingController": "fic-support-operator",
        "reportingInstance": "bench",
    })
}
