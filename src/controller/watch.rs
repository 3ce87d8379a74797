//! The watches of plans and Secrets: they fill the caches, update the index, and trigger reconciles.

use std::fmt::Debug;
use std::sync::Arc;

use futures::stream::{BoxStream, StreamExt, select_all};
use kube::api::Api;
use kube::core::ObjectMeta;
use kube::runtime::WatchStreamExt;
use kube::runtime::reflector::store::Writer;
use kube::{Client, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::oneshot;
use tracing::{debug, warn};

use crate::api::credentials::{CredentialsSecret, SECRET_TYPE};
use crate::api::key::ObjectKey;
use crate::api::trim;
use crate::controller::cache::{Cache, Change};
use crate::controller::list_watch::{Error, Received, Selectors, list_watch};
use crate::controller::versions::WentBack;
use crate::health::Health;
use crate::index::triggers::WatchedPlan;
use crate::metrics::KubernetesMetrics;
use crate::reconcile::context::Context;
use crate::text;

/// Watches plans until it is dropped, or until versions go backwards.
pub(super) async fn plans(
    context: Arc<Context>,
    client: Client,
    health: Arc<Health>,
    writer: Writer<WatchedPlan>,
    synced: oneshot::Sender<()>,
) -> Result<(), WentBack> {
    let selectors = Selectors { labels: context.scope.label_selector.clone(), fields: None };
    let apis = context.scope.apis::<WatchedPlan>(&client);
    let mut cache = Cache::new(writer, apis.len(), synced);
    let is_one_watch = context.scope.is_one_watch();
    let mut events = events(apis, &selectors, trim::plan, "plan", &health, &context.kubernetes_metrics);
    while let Some((watch, received)) = events.next().await {
        for change in cache.receive(watch, received)? {
            match change {
                Change::Applied(guard) => plan_applied(&context, &guard),
                Change::Deleted(key) => context.plan_deleted(&key),
                Change::Complete(version) => {
                    cache.compare(watch, version, |key| context.index.version(key))?;
                }
            }
        }
        if is_one_watch {
            context.index.delivered.advance(cache.delivered(watch));
        }
    }
    Ok(())
}

fn plan_applied(context: &Context, guard: &WatchedPlan) {
    let key = ObjectKey::of(guard);
    match &guard.0 {
        Ok(plan) => {
            context.plan_watched(plan);
            context.triggers.enqueue_plan(&key);
        }
        Err(invalid) => {
            warn!(
                plan = %key,
                error = %text::sanitize_message(&invalid.error, &[]),
                "cannot decode this plan; the operator does not change it and continues with the others"
            );
            context.plan_undecodable(key, guard.meta().uid.as_deref());
        }
    }
}

/// Watches credentials Secrets until it is dropped, or until versions go backwards.
pub(super) async fn secrets(
    context: Arc<Context>,
    client: Client,
    health: Arc<Health>,
    writer: Writer<CredentialsSecret>,
    synced: oneshot::Sender<()>,
) -> Result<(), WentBack> {
    let selectors = Selectors { labels: None, fields: Some(format!("type={SECRET_TYPE}")) };
    let apis = context.scope.apis::<CredentialsSecret>(&client);
    let mut cache = Cache::new(writer, apis.len(), synced);
    let mut events = events(apis, &selectors, trim::secret, "secret", &health, &context.kubernetes_metrics);
    while let Some((watch, received)) = events.next().await {
        for change in cache.receive(watch, received)? {
            let key = match change {
                Change::Applied(secret) => {
                    context.secret_finalizer.secret_updated(&secret);
                    ObjectKey::of(&secret)
                }
                Change::Deleted(key) => {
                    context.secret_finalizer.secret_deleted(&key);
                    key
                }
                Change::Complete(version) => {
                    cache.compare(watch, version, |key| context.secret_finalizer.written_version(key))?;
                    continue;
                }
            };
            for plan in context.index.plans_of_secret(&key) {
                context.triggers.enqueue_plan(&plan);
            }
        }
    }
    Ok(())
}

/// What several watches receive, each with the number of the watch. A failed watch is restarted.
fn events<K>(
    apis: Vec<Api<K>>,
    selectors: &Selectors,
    trim: fn(&mut ObjectMeta),
    what: &'static str,
    health: &Health,
    metrics: &KubernetesMetrics,
) -> BoxStream<'static, (usize, Received<K>)>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let streams = apis.into_iter().enumerate().map(|(number, api)| {
        let (metrics, signs) = (metrics.clone(), health.begin_watch());
        list_watch(api, selectors.clone())
            .default_backoff()
            .filter_map(move |received| {
                let received = received.inspect(|_| signs.received());
                let received = received.inspect_err(|error| watch_failed(what, error, &metrics));
                std::future::ready(received.ok().map(|received| match received {
                    Received::Event(event) => (number, Received::Event(event.modify(|object| trim(object.meta_mut())))),
                    received @ (Received::Version(_) | Received::Probed(_)) => (number, received),
                }))
            })
            .boxed()
    });
    select_all(streams).boxed()
}

fn watch_failed(what: &'static str, error: &Error, metrics: &KubernetesMetrics) {
    metrics.record_watch_error(what);
    match error {
        Error::Ended(status) if status.code == 410 => debug!(what, "the watch expired, restarting it"),
        Error::List(kube::Error::Api(status)) if status.code == 404 => {
            warn!(what, "the API server does not know this resource, retrying; install the CustomResourceDefinition");
        }
        Error::List(_)
        | Error::Start(_)
        | Error::Watch(_)
        | Error::Ended(_)
        | Error::EndedEarly
        | Error::Silent(_)
        | Error::NoVersion => {
            warn!(what, error = %text::error_chain(error), "the watch failed, restarting it");
        }
    }
}
