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
use tokio::time::{Instant, advance, timeout};

use super::*;

/// An API server that stores one Lease and counts the writes.
#[derive(Clone, Default)]
struct ApiServer(Arc<Mutex<Stored>>);

#[derive(Default)]
struct Stored {
    lease: Option<Value>,
    writes: u32,
}

impl ApiServer {
    fn stored(&self) -> MutexGuard<'_, Stored> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn writes(&self) -> u32 {
        self.stored().writes
    }

    fn elector(&self) -> LeaderElector {
        let server = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let server = server.clone();
            async move { Ok::<_, std::io::Error>(server.respond(request).await) }
        });
        LeaderElector::new(Client::new(service, "default"), "n", "lease".into(), "me".into())
    }

    async fn respond(&self, request: Request<Body>) -> Response<Body> {
        let is_read = request.method() == Method::GET;
        let body = request.into_body().collect_bytes().await.unwrap_or_default();
        let mut stored = self.stored();
        if !is_read {
            stored.lease = serde_json::from_slice(&body).ok();
            stored.writes += 1;
        }
        let not_found = json!({ "kind": "Status", "status": "Failure", "code": 404, "reason": "NotFound" });
        let (status, body) = stored.lease.as_ref().map_or((404, &not_found), |lease| (200, lease));
        let mut response = Response::new(Body::from(body.to_string().into_bytes()));
        *response.status_mut() = status.try_into().expect("a valid status code");
        response
    }
}

#[tokio::test(start_paused = true)]
async fn frozen_leader_does_not_reacquire_vacant_lease() {
    let server = ApiServer::default();
    let mut elector = server.elector();
    elector.acquire().await;
    assert_eq!((elector.leadership().holds_lease(), server.writes()), (true, 1));
    // While this process is frozen another replica acquires the Lease and releases it.
    advance(LEASE_DURATION).await;
    server.stored().lease.as_mut().expect("the Lease exists")["spec"]["holderIdentity"] = json!("");
    timeout(RENEW_DEADLINE, elector.renew()).await.expect("renew returns because the Lease is lost");
    assert_eq!((elector.leadership().holds_lease(), server.writes()), (false, 1));
    elector.acquire().await;
    assert_eq!((elector.leadership().holds_lease(), server.writes()), (true, 2));
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
    advance(RENEW_DEADLINE).await;
    assert!(!leadership.holds_lease());
}

#[tokio::test(start_paused = true)]
async fn lease_is_not_held_after_the_machine_slept_past_the_renew_deadline() {
    let hold = LeaseHold::default();
    let started_wall = SystemTime::now() - RENEW_DEADLINE;
    hold.set(Some(Renewal { started: Instant::now(), started_wall }));
    assert!(!hold.holds_lease());
}
