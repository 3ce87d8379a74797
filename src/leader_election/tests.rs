//! Unit tests of the election against an API server that stores one Lease.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use http::{Method, Request, Response};
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::LeaseSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::{Instant, advance, sleep, timeout};

use super::*;

/// An API server that stores one Lease and counts the writes.
#[derive(Clone, Default)]
struct ApiServer(Arc<Mutex<Stored>>);

#[derive(Default)]
struct Stored {
    lease: Option<Value>,
    writes: u32,
    /// How many of the next requests are never answered.
    hangs: u32,
}

impl ApiServer {
    fn stored(&self) -> MutexGuard<'_, Stored> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn writes(&self) -> u32 {
        self.stored().writes
    }

    fn elector(&self) -> LeaderElector {
        self.elector_of("me")
    }

    fn elector_of(&self, identity: &str) -> LeaderElector {
        let server = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let server = server.clone();
            async move { Ok::<_, std::io::Error>(server.respond(request).await) }
        });
        LeaderElector::new(Client::new(service, "default"), "n", "lease".into(), identity.into())
    }

    /// The holder and the duration in the Lease change, as by hand.
    fn edit(&self, holder: &str, duration: u32) {
        let mut stored = self.stored();
        let spec = &mut stored.lease.as_mut().expect("the Lease exists")["spec"];
        spec["holderIdentity"] = json!(holder);
        spec["leaseDurationSeconds"] = json!(duration);
    }

    async fn respond(&self, request: Request<Body>) -> Response<Body> {
        let method = request.method().clone();
        let body = request.into_body().collect_bytes().await.unwrap_or_default();
        let hangs = {
            let mut stored = self.stored();
            let hangs = stored.hangs > 0;
            stored.hangs = stored.hangs.saturating_sub(1);
            hangs
        };
        if hangs {
            std::future::pending::<()>().await;
        }
        let failure = |code: u16| {
            let reason = if code == 404 { "NotFound" } else { "Conflict" };
            (code, json!({ "kind": "Status", "status": "Failure", "code": code, "reason": reason }))
        };
        let mut stored = self.stored();
        let (status, body) = match (method, stored.lease.take()) {
            (Method::GET, Some(lease)) => {
                stored.lease = Some(lease.clone());
                (200, lease)
            }
            (Method::GET | Method::PUT, None) => failure(404),
            (Method::POST, Some(lease)) => {
                stored.lease = Some(lease);
                failure(409)
            }
            (_, before) => {
                let mut lease = serde_json::from_slice::<Value>(&body).expect("a Lease");
                let version = |lease: &Value| lease["metadata"]["resourceVersion"].clone();
                if before.as_ref().is_some_and(|before| version(before) != version(&lease)) {
                    stored.lease = before;
                    failure(409)
                } else {
                    stored.writes += 1;
                    lease["metadata"]["resourceVersion"] = json!(stored.writes.to_string());
                    stored.lease = Some(lease.clone());
                    (200, lease)
                }
            }
        };
        let mut response = Response::new(Body::from(body.to_string().into_bytes()));
        *response.status_mut() = status.try_into().expect("a valid status code");
        response
    }
}

async fn nothing_to_do() -> bool {
    false
}

async fn records_exist() -> bool {
    true
}

/// How long an elector takes to lead.
async fn time_to_lead<F: Future<Output = bool>>(elector: &mut LeaderElector, has_work: impl Fn() -> F) -> Duration {
    let started = Instant::now();
    elector.acquire(has_work).await;
    assert!(elector.leadership().holds_lease());
    started.elapsed()
}

#[tokio::test(start_paused = true)]
async fn frozen_leader_does_not_reacquire_its_lease() {
    for is_released in [true, false] {
        let server = ApiServer::default();
        let mut elector = server.elector();
        elector.acquire(nothing_to_do).await;
        assert_eq!((elector.leadership().holds_lease(), server.writes()), (true, 1));
        advance(LEASE_DURATION).await;
        if is_released {
            // While this process is frozen another replica acquires the Lease and releases it.
            server.edit("", 1);
        }
        timeout(RENEW_DEADLINE, elector.renew()).await.expect("renew returns because the Lease is lost");
        assert_eq!((elector.leadership().holds_lease(), server.writes()), (false, 1));
        assert!(time_to_lead(&mut elector, records_exist).await < RETRY_PERIOD);
        assert_eq!(server.writes(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_creates_the_lease_waits_until_no_predecessor_can_act() {
    let server = ApiServer::default();
    assert!(time_to_lead(&mut server.elector(), records_exist).await >= Duration::from_secs(15));
    assert!(server.writes() > 5, "the Lease is renewed meanwhile: {} writes", server.writes());
    let fresh_installation = ApiServer::default();
    assert_eq!(time_to_lead(&mut fresh_installation.elector(), nothing_to_do).await, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_lease_without_a_holder_is_trusted_only_if_its_holder_released_it() {
    let server = ApiServer::default();
    server.elector_of("predecessor").acquire(nothing_to_do).await;
    for (holder, duration) in [("", 15), ("predecessor", 0), ("me", 15)] {
        server.edit(holder, duration);
        assert!(time_to_lead(&mut server.elector(), records_exist).await >= LEASE_DURATION, "{holder:?} {duration}");
    }
    let server = ApiServer::default();
    let mut predecessor = server.elector_of("predecessor");
    predecessor.acquire(nothing_to_do).await;
    predecessor.release().await;
    assert!(time_to_lead(&mut server.elector(), records_exist).await < RETRY_PERIOD);
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_expired_needs_no_further_wait() {
    let server = ApiServer::default();
    server.elector_of("predecessor").acquire(nothing_to_do).await;
    let waited = time_to_lead(&mut server.elector(), records_exist).await;
    assert!(waited >= LEASE_DURATION && waited < LEASE_DURATION + 2 * RETRY_PERIOD, "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_leader_whose_lease_is_deleted_or_taken_stops_at_once() {
    let changes: [fn(&ApiServer); 3] =
        [|server| server.stored().lease = None, |server| server.edit("", 15), |server| server.edit("another", 15)];
    for change in changes {
        let server = ApiServer::default();
        let mut elector = server.elector();
        elector.acquire(nothing_to_do).await;
        assert!(timeout(LEASE_DURATION, elector.renew()).await.is_err(), "it leads");
        change(&server);
        let writes = server.writes();
        timeout(2 * RETRY_PERIOD, elector.renew()).await.expect("it notices at the next renewal");
        assert_eq!((elector.leadership().holds_lease(), server.writes()), (false, writes));
    }
}

#[tokio::test(start_paused = true)]
async fn one_renewal_that_hangs_does_not_lose_the_lease() {
    let server = ApiServer::default();
    let mut elector = server.elector();
    elector.acquire(nothing_to_do).await;
    let hangs = async {
        for _ in 0..40 {
            sleep(Duration::from_millis(10_100)).await;
            server.stored().hangs = 1;
        }
    };
    tokio::select! {
        () = elector.renew() => panic!("the Lease is lost"),
        () = hangs => {}
    }
    assert!(elector.leadership().holds_lease());
    server.stored().hangs = 2;
    timeout(LEASE_DURATION, elector.renew()).await.expect("two in a row take longer than the renew deadline allows");
}

#[tokio::test(start_paused = true)]
async fn two_replicas_never_lead_at_once_while_the_lease_is_deleted_again_and_again() {
    let server = ApiServer::default();
    let leading = Arc::new(Mutex::new(Vec::<&str>::new()));
    let most = Arc::new(Mutex::new(0));
    let replicas = [("a", 0), ("b", 700)].map(|(identity, start)| {
        let (mut elector, leading, most) = (server.elector_of(identity), Arc::clone(&leading), Arc::clone(&most));
        tokio::spawn(async move {
            // The replicas look at the Lease at different times.
            sleep(Duration::from_millis(start)).await;
            loop {
                elector.acquire(records_exist).await;
                {
                    let mut leading = leading.lock().unwrap_or_else(PoisonError::into_inner);
                    leading.push(identity);
                    let mut most = most.lock().unwrap_or_else(PoisonError::into_inner);
                    *most = leading.len().max(*most);
                }
                elector.renew().await;
                leading.lock().unwrap_or_else(PoisonError::into_inner).retain(|leader| *leader != identity);
            }
        })
    });
    for pause in [1000, 700, 2000, 2300, 5000, 9000, 11_000, 14_000, 16_000, 30_000].repeat(20) {
        sleep(Duration::from_millis(pause)).await;
        server.stored().lease = None;
    }
    sleep(2 * LEASE_DURATION).await;
    assert_eq!(*most.lock().unwrap_or_else(PoisonError::into_inner), 1, "two replicas led at the same time");
    assert_eq!(leading.lock().unwrap_or_else(PoisonError::into_inner).len(), 1, "one leads in the end");
    replicas.iter().for_each(JoinHandle::abort);
}

/// Any user may edit the Lease.
#[tokio::test(start_paused = true)]
async fn elector_handles_every_holder_and_number_in_the_lease() {
    let mut elector = ApiServer::default().elector();
    for number in [None, Some(i32::MIN), Some(-1), Some(0), Some(i32::MAX)] {
        for holder in [None, Some(""), Some("me"), Some("another")] {
            let spec = LeaseSpec {
                holder_identity: holder.map(Into::into),
                lease_duration_seconds: number,
                lease_transitions: number,
                ..LeaseSpec::default()
            };
            elector.observe(&spec);
            let is_held = elector.is_held_by_another();
            assert_eq!(is_held, holder == Some("another") && number != Some(0), "{spec:?}");
            let desired = elector.desired_spec(&spec, MicroTime(Timestamp::now()));
            assert!(desired.lease_transitions.is_some_and(|transitions| transitions >= number.unwrap_or(0)));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn lease_is_held_until_the_renew_deadline() {
    let hold = LeaseHold::default();
    let leadership = Leadership::Lease(hold.clone());
    assert!(!leadership.holds_lease());
    hold.set(Some(Renewal::start()));
    assert!(leadership.holds_lease());
    advance(Duration::from_secs(10)).await;
    assert!(!leadership.holds_lease());
}

#[tokio::test(start_paused = true)]
async fn the_monotonic_clock_alone_decides_after_the_wall_clock_was_set_back() {
    let hold = LeaseHold::default();
    let started_wall = SystemTime::now() + Duration::from_hours(24);
    hold.set(Some(Renewal { started: Instant::now(), started_wall }));
    assert!(hold.holds_lease());
    advance(Duration::from_secs(10)).await;
    assert!(!hold.holds_lease());
}

#[tokio::test(start_paused = true)]
async fn lease_is_not_held_after_the_machine_slept_past_the_renew_deadline() {
    let hold = LeaseHold::default();
    let started_wall = SystemTime::now() - Duration::from_secs(10);
    hold.set(Some(Renewal { started: Instant::now(), started_wall }));
    assert!(!hold.holds_lease());
}
