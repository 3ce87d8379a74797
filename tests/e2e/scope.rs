//! Which plans an operator sees to.

use kube::api::{Api, PostParams};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};

use fic_support_operator::api::plan::PremiumSupportPlan;

use crate::environment::{SECRET, Stage, new_tenant};

/// A plan with its Secret, in a namespace of its own.
async fn cast(stage: &Stage, namespace: &str) -> Api<PremiumSupportPlan> {
    async fn create<K>(client: &Client, namespace: &str, object: Value)
    where
        K: kube::Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>
            + Clone
            + std::fmt::Debug
            + serde::de::DeserializeOwned
            + serde::Serialize,
    {
        let object = serde_json::from_value(object).unwrap();
        Api::<K>::namespaced(client.clone(), namespace).create(&PostParams::default(), &object).await.unwrap();
    }
    stage.create_namespace(namespace).await;
    let secret = json!({
        "metadata": { "name": SECRET }, "type": "fic.ntt.com/credentials",
        "stringData": { "apiKey": "key", "apiSecret": "secret" },
    });
    create::<k8s_openapi::api::core::v1::Secret>(&stage.client, namespace, secret).await;
    let plan = json!({
        "apiVersion": "fic.ntt.com/v1alpha1", "kind": "PremiumSupportPlan", "metadata": { "name": "premium" },
        "spec": { "tenantID": new_tenant(), "credentialsSecretRef": { "name": SECRET } },
    });
    create::<PremiumSupportPlan>(&stage.client, namespace, plan).await;
    Api::namespaced(stage.client.clone(), namespace)
}

#[tokio::test(flavor = "multi_thread")]
async fn several_namespaces_are_watched_and_no_other() {
    let stage = Stage::empty().await;
    let (too, not) = (format!("{}-too", stage.namespace), format!("{}-not", stage.namespace));
    let mut stage = stage.with_flags(&[&format!("--watch-namespace={too}")]);
    stage.create_secret().await;
    stage.start_operator().await;
    let left_alone = cast(&stage, &not).await;
    let seen_to = cast(&stage, &too).await;
    stage.apply("premium", json!({})).await;
    stage.reaches("premium", "Contracted").await;
    stage
        .wait("the plan of the other namespace to be Ready", || async {
            let plan = seen_to.get("premium").await.unwrap();
            crate::environment::ready(&plan).is_some_and(|ready| ready.reason == "Contracted")
        })
        .await;
    let plan = left_alone.get("premium").await.unwrap();
    assert!(plan.finalizers().is_empty() && crate::environment::ready(&plan).is_none(), "{plan:?}");
    assert_eq!(stage.simulator.summary(&plan.spec.tenant_id).creates_sent, 0);
}
