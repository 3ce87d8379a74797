use futures::FutureExt;
use http::{Method, Request, Response};
use kube::client::Body;
use kube::runtime::reflector;
use serde_json::json;

use super::release::Outcome;
use super::worker::{release, run};
use super::*;
use crate::api::plan::{CONTRACT_FINALIZER, OWNER_UID, PremiumSupportPlan};
use crate::index::metrics::PlanMetrics;
use crate::index::triggers::Queues;

fn plan(version: u32, has_record: bool) -> PremiumSupportPlan {
    let finalizers = if has_record { vec![CONTRACT_FINALIZER] } else { vec![] };
    serde_json::from_value(json!({
        "metadata": {
            "name": "plan", "namespace": "team", "uid": "1", "resourceVersion": version.to_string(), "finalizers": finalizers,
            "annotations": { OWNER_UID: "1" },
        },
        "spec": { "tenantID": "1".repeat(32), "credentialsSecretRef": { "name": "secret" } },
    }))
    .expect("a plan")
}

fn keys() -> (ObjectKey, ObjectKey) {
    (ObjectKey::new("team", "plan"), ObjectKey::new("team", "secret"))
}

fn secret(version: u32) -> CredentialsSecret {
    serde_json::from_value(json!({ "metadata": {
        "name": "secret", "namespace": "team", "resourceVersion": version.to_string(), "finalizers": [IN_USE_FINALIZER],
    } }))
    .expect("a Secret")
}

/// A plan of version 1 without the finalizer, and its Secret with the finalizer at this version in the cache.
struct Fixture {
    finalizer: SecretFinalizer,
    queues: Queues,
    cache: reflector::store::Writer<CredentialsSecret>,
}

impl Fixture {
    fn new(secret_version: u32) -> Self {
        let no_server = tower::service_fn(|_: Request<Body>| async {
            Err::<Response<Body>, _>(std::io::Error::other("this test sends no requests"))
        });
        Self::with(Client::new(no_server, "default"), secret_version)
    }

    fn with(client: Client, secret_version: u32) -> Self {
        let (triggers, queues) = Triggers::new();
        let index = Arc::new(Index::new(&PlanMetrics::default()));
        let (reader, cache) = reflector::store();
        let finalizer =
            SecretFinalizer::new(client, reader, index, Leadership::Always, triggers, KubernetesMetrics::default());
        let mut fixture = Self { finalizer, queues, cache };
        fixture.cache_secret(secret_version);
        fixture.update(&plan(1, false));
        fixture
    }

    fn cache_secret(&mut self, version: u32) {
        self.cache.apply_watcher_event(&kube::runtime::watcher::Event::Apply(secret(version)));
    }

    fn update(&self, plan: &PremiumSupportPlan) {
        self.finalizer.triggers.enqueue_affected(self.finalizer.index.put(plan));
        self.finalizer.plan_updated(&keys().0);
    }

    fn begin_use(&self, version: u64) -> bool {
        let (plan, secret) = keys();
        self.finalizer.begin_use(&plan, &secret, Some(version)).is_ok()
    }

    fn end_use(&self, in_doubt: bool) {
        self.finalizer.end_use(&keys().0, in_doubt);
    }

    fn try_begin_release(&self, version: u64) -> bool {
        self.finalizer.try_begin_release(&keys().1, Some(version))
    }

    fn end_release(&self, outcome: Outcome) {
        self.finalizer.end_release(&keys().1, outcome);
    }

    /// Whether a check of the Secret was triggered since the last call.
    fn is_check_triggered(&mut self) -> bool {
        let triggered = self.queues.secrets.try_recv().is_ok_and(|key| key == keys().1);
        assert!(self.queues.secrets.try_recv().is_err(), "one check is enough");
        triggered
    }
}

#[tokio::test]
async fn a_plan_finalizer_in_doubt_counts_as_use_until_a_newer_version_of_the_plan_is_known() {
    let mut fixture = Fixture::new(1);
    assert!(fixture.begin_use(1));
    fixture.end_use(true);
    assert!(!fixture.is_check_triggered());
    assert!(fixture.begin_use(1), "another attempt");
    fixture.end_use(false);
    fixture.update(&plan(1, false));
    assert!(!fixture.try_begin_release(1), "neither another attempt nor the same version ends the doubt");
    fixture.update(&plan(2, false));
    assert!(fixture.is_check_triggered());
    assert!(fixture.try_begin_release(1));
}

#[tokio::test]
async fn a_newer_version_of_the_plan_does_not_end_a_use_in_progress() {
    let fixture = Fixture::new(1);
    assert!(fixture.begin_use(1));
    fixture.end_use(true);
    assert!(fixture.begin_use(1));
    fixture.update(&plan(2, false));
    assert!(!fixture.try_begin_release(1));
    fixture.end_use(false);
    assert!(fixture.try_begin_release(1));
}

#[tokio::test]
async fn a_use_that_ended_without_a_finalizer_triggers_a_check_of_the_secret() {
    let mut fixture = Fixture::new(1);
    fixture.end_use(false);
    assert!(!fixture.is_check_triggered(), "there was no use");
    assert!(fixture.begin_use(1));
    assert!(!fixture.try_begin_release(1));
    fixture.end_use(false);
    assert!(fixture.is_check_triggered());
    assert!(fixture.begin_use(1));
    fixture.update(&plan(2, true));
    fixture.end_use(false);
    assert!(!fixture.is_check_triggered(), "the plan depends on the Secret now");
    assert!(!fixture.try_begin_release(1));
}

#[tokio::test]
async fn a_deleted_plan_ends_its_use() {
    let mut fixture = Fixture::new(1);
    assert!(fixture.begin_use(1));
    fixture.end_use(true);
    fixture.finalizer.index.remove(&keys().0);
    fixture.finalizer.plan_updated(&keys().0);
    assert!(fixture.is_check_triggered());
    assert!(fixture.try_begin_release(1));
}

#[tokio::test]
async fn a_plan_that_refers_to_another_secret_ends_its_use_of_the_first() {
    let mut fixture = Fixture::new(1);
    assert!(fixture.begin_use(1));
    fixture.end_use(true);
    let mut moved = plan(2, false);
    moved.spec.credentials_secret_ref.name = "other".into();
    fixture.update(&moved);
    assert!(fixture.is_check_triggered());
    assert!(fixture.try_begin_release(1));
}

#[tokio::test]
async fn a_released_secret_counts_as_released_until_the_cache_shows_it() {
    let mut fixture = Fixture::new(5);
    assert!(fixture.try_begin_release(5));
    assert!(!fixture.begin_use(5));
    fixture.end_release(Outcome::Released(Some(6)));
    assert!(!fixture.finalizer.is_present(&secret(5)));
    assert!(!fixture.begin_use(5));
    assert!(!fixture.try_begin_release(5));
    fixture.cache_secret(6);
    assert!(fixture.finalizer.is_present(&secret(6)));
    assert!(fixture.begin_use(6));
}

#[tokio::test]
async fn during_a_release_in_doubt_only_a_plan_that_depends_on_the_secret_may_add_the_finalizer() {
    let mut fixture = Fixture::new(5);
    assert!(fixture.try_begin_release(5));
    fixture.end_release(Outcome::Unknown);
    assert!(!fixture.finalizer.is_present(&secret(5)));
    assert!(!fixture.begin_use(5));
    fixture.update(&plan(2, true));
    assert!(fixture.begin_use(5));
    assert!(!fixture.finalizer.is_present(&secret(5)), "the release may still arrive");
    fixture.cache_secret(6);
    assert!(fixture.begin_use(6), "the release cannot take effect on the version that the new finalizer made");
    assert!(fixture.finalizer.is_present(&secret(6)));
}

#[tokio::test]
async fn a_secret_that_changed_since_it_was_read_is_not_used() {
    let mut fixture = Fixture::new(5);
    assert!(fixture.begin_use(5));
    fixture.cache_secret(6);
    assert!(!fixture.begin_use(5));
}

#[tokio::test]
async fn a_secret_stays_while_an_undecodable_plan_of_its_namespace_may_use_it() {
    let fixture = Fixture::new(1);
    fixture.finalizer.index.put_undecodable(ObjectKey::new("elsewhere", "newer"));
    fixture.finalizer.index.put_undecodable(ObjectKey::new("team", "newer"));
    assert!(!fixture.try_begin_release(1));
    fixture.finalizer.index.remove(&ObjectKey::new("team", "newer"));
    assert!(fixture.try_begin_release(1));
}

#[tokio::test]
async fn a_recreated_secret_is_another_secret() {
    let fixture = Fixture::new(5);
    assert!(fixture.try_begin_release(5));
    fixture.end_release(Outcome::Unknown);
    fixture.finalizer.secret_deleted(&keys().1);
    assert!(fixture.finalizer.is_present(&secret(5)));
}

/// An API server with these plans, which accepts each write.
fn server(plans: Vec<PremiumSupportPlan>) -> Client {
    let service = tower::service_fn(move |request: Request<Body>| {
        let body = match *request.method() {
            Method::GET => json!({ "metadata": {}, "items": plans }),
            _ => json!(secret(9)),
        };
        async move { Response::builder().body(Body::from(body.to_string().into_bytes())) }
    });
    Client::new(service, "default")
}

#[tokio::test]
async fn a_secret_stays_while_a_plan_of_another_shard_uses_it_or_may_begin_to() {
    let deleted = || {
        let mut deleted = secret(1);
        deleted.metadata.deletion_timestamp = serde_json::from_value(json!("2026-01-01T00:00:00Z")).ok();
        deleted
    };
    let released = Outcome::Released(Some(9));
    // The index knows version 1 of the plan, without a record. Another version is that of another shard.
    for (what, plans, secret, expected) in [
        ("no plan", vec![], secret(1), released),
        ("a plan of this shard without a record", vec![plan(1, false)], secret(1), released),
        ("a plan of another shard without a record", vec![plan(2, false)], secret(1), Outcome::NotSent),
        ("the Secret is being deleted", vec![plan(2, false)], deleted(), released),
        ("a plan of another shard with a record", vec![plan(2, true)], secret(1), Outcome::InUse),
        ("it has a record, and the Secret is being deleted", vec![plan(2, true)], deleted(), Outcome::InUse),
    ] {
        let fixture = Fixture::with(server(plans), 1);
        assert_eq!(release(&fixture.finalizer, &keys().1, &secret, true).await, expected, "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_namespace_with_many_secrets_delays_that_of_another_one_by_one_release() {
    let released = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&released);
    let service = tower::service_fn(move |request: Request<Body>| {
        let namespace = request.uri().path().split('/').nth(4).unwrap_or_default().to_owned();
        log.lock().unwrap_or_else(PoisonError::into_inner).push(namespace);
        let response = Response::builder().body(Body::from(json!(secret(9)).to_string().into_bytes()));
        std::future::ready(response)
    });
    let Fixture { finalizer, queues, mut cache } = Fixture::with(Client::new(service, "default"), 1);
    let full = (0..100).map(|number| ObjectKey::new("full", &number.to_string()));
    for key in full.chain([ObjectKey::new("other", "secret")]) {
        let mut of_key = secret(1);
        of_key.metadata.name = Some(key.name.to_string());
        of_key.metadata.namespace = Some(key.namespace.to_string());
        cache.apply_watcher_event(&kube::runtime::watcher::Event::Apply(of_key));
        finalizer.triggers.enqueue_secret(key);
    }
    let worker = run(Arc::new(finalizer), queues.secrets, false);
    assert!(tokio::time::timeout(std::time::Duration::from_secs(5), worker).await.is_err(), "it waits for more");
    let released = released.lock().unwrap_or_else(PoisonError::into_inner);
    assert_eq!(
        (released.len(), &released[..3]),
        (101, &["full".to_owned(), "other".to_owned(), "full".to_owned()][..])
    );
}

#[tokio::test]
async fn plans_that_share_a_secret_take_one_turn() {
    let service =
        tower::service_fn(|_: Request<Body>| std::future::pending::<Result<Response<Body>, std::io::Error>>());
    let finalizer = Fixture::with(Client::new(service, "default"), 1).finalizer;
    let turns = std::cell::Cell::new(0);
    let turn = || async { turns.set(turns.get() + 1) };
    let secret = keys().1;
    let mut additions = [turn(), turn(), turn()].map(|turn| Box::pin(finalizer.add(&secret, Some("1"), turn)));
    assert!(additions.iter_mut().all(|addition| addition.now_or_never().is_none()), "the API server does not answer");
    assert_eq!(turns.get(), 1, "the others wait without a turn");
}
