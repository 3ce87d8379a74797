//! Leading: who may act, decided by a Lease, and how sure a replica is of it at any moment.
//!
//! The rules are client-go's: a lease lasts 15 s, its holder renews it every 2 s and stops leading when it has not managed to for
//! 10 s. Two things are stricter here, since an act costs money:
//!
//! - The time of others is never trusted. A elector counts the 15 s on its own clock, from when it saw the Lease change,
//!   so clocks that differ can neither steal a lead nor stretch one.
//! - [`Leadership::holds_lease`] is asked right before each act. It counts from before the last renewal was sent, on a clock that runs while the process is
//!   frozen and on the wall clock too (which goes on while a machine sleeps), so a leader that wakes up late knows it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, info, warn};

use crate::text;

/// How long others leave a lease alone.
const LEASE_DURATION: Duration = Duration::from_secs(15);
/// How long a holder leads without having renewed.
const RENEW_DEADLINE: Duration = Duration::from_secs(10);
/// How often a lease is renewed, or tried for.
const RETRY_PERIOD: Duration = Duration::from_secs(2);

/// The right to act.
#[derive(Clone, Debug)]
pub enum Leadership {
    /// There is one replica, and no election.
    Always,
    /// Held by a Lease.
    Lease(LeaseHold),
}

impl Leadership {
    /// Whether this process leads for certain, at this moment.
    #[must_use]
    pub fn holds_lease(&self) -> bool {
        match self {
            Self::Always => true,
            Self::Lease(tenure) => tenure.holds_lease(),
        }
    }
}

/// How long a lead is sure.
#[derive(Clone, Debug, Default)]
pub struct LeaseHold(Arc<Mutex<Option<Term>>>);

#[derive(Clone, Copy, Debug)]
struct Term {
    began: Instant,
    began_by_wall: SystemTime,
}

impl LeaseHold {
    fn holds_lease(&self) -> bool {
        self.term().is_some_and(|term| {
            // A wall clock that was set back says nothing; then the other one has the word.
            let by_wall = SystemTime::now().duration_since(term.began_by_wall).unwrap_or_default();
            term.began.elapsed() < RENEW_DEADLINE && by_wall < RENEW_DEADLINE
        })
    }

    fn term(&self) -> Option<Term> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, term: Option<Term>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = term;
    }
}

/// A elector for the lead.
pub struct LeaderElector {
    api: Api<Lease>,
    name: String,
    identity: String,
    tenure: LeaseHold,
    /// The lease as it was last seen to change, and when that was.
    observed: Option<(LeaseSpec, Instant)>,
}

impl LeaderElector {
    /// A elector for the lease of that name.
    #[must_use]
    pub fn new(client: Client, namespace: &str, name: String, identity: String) -> Self {
        Self { api: Api::namespaced(client, namespace), name, identity, tenure: LeaseHold::default(), observed: None }
    }

    /// The lead, as sure as it is at any moment.
    #[must_use]
    pub fn leadership(&self) -> Leadership {
        Leadership::Lease(self.tenure.clone())
    }

    /// Waits until this process leads.
    pub async fn acquire(&mut self) {
        info!(lease = self.name, identity = self.identity, "standing by for the lead");
        loop {
            if self.try_acquire_or_renew().await {
                info!(lease = self.name, identity = self.identity, "leading");
                return;
            }
            sleep(RETRY_PERIOD).await;
        }
    }

    /// Keeps the lead; comes back when it is lost.
    pub async fn renew(&mut self) {
        loop {
            sleep(RETRY_PERIOD).await;
            // Asked before the lease is: whoever was frozen must not take it up again as if nothing had happened. Another may have led
            // meanwhile and given it back, and what is remembered here knows nothing of that.
            let renewed = self.tenure.holds_lease() && self.try_acquire_or_renew().await;
            if !renewed && self.is_held_by_another() {
                warn!(lease = self.name, "the lead went to another replica");
                break;
            }
            if !self.tenure.holds_lease() {
                warn!(lease = self.name, "the lead could not be renewed in time");
                break;
            }
        }
        self.tenure.set(None);
    }

    /// Gives the lead back, so that the next replica need not wait for it to run out.
    pub async fn release(&mut self) {
        let was_sure = self.tenure.holds_lease();
        self.tenure.set(None);
        if !was_sure {
            return;
        }
        let released = timeout(RETRY_PERIOD, async {
            let mut lease = self.api.get(&self.name).await?;
            if let Some(spec) = lease.spec.as_mut().filter(|spec| spec.holder_identity.as_ref() == Some(&self.identity))
            {
                spec.holder_identity = Some(String::new());
                spec.lease_duration_seconds = Some(1);
                spec.renew_time = Some(MicroTime(Timestamp::now()));
                self.api.replace(&self.name, &PostParams::default(), &lease).await?;
            }
            Ok::<_, kube::Error>(())
        });
        match released.await {
            Ok(Ok(())) => info!(lease = self.name, "gave the lead back"),
            Ok(Err(error)) => warn!(lease = self.name, error = %text::error(&error), "could not give the lead back"),
            Err(_) => warn!(lease = self.name, "could not give the lead back in time"),
        }
    }

    /// Tries once to take or renew the lease.
    async fn try_acquire_or_renew(&mut self) -> bool {
        let term = Term { began: Instant::now(), began_by_wall: SystemTime::now() };
        match timeout(RENEW_DEADLINE, self.take()).await {
            Ok(Ok(true)) => {
                self.tenure.set(Some(term));
                true
            }
            Ok(Ok(false)) => false,
            Ok(Err(error)) => {
                warn!(lease = self.name, error = %text::error(&error), "could not reach the lease");
                false
            }
            Err(_) => {
                warn!(lease = self.name, "no answer about the lease in time");
                false
            }
        }
    }

    /// One read and one write. The write carries the version that was read, so of two candidates one fails.
    async fn take(&mut self) -> Result<bool, kube::Error> {
        let now = MicroTime(Timestamp::now());
        let Some(mut lease) = self.api.get_opt(&self.name).await? else {
            let lease = Lease {
                metadata: ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() },
                spec: Some(self.claim(&LeaseSpec::default(), now)),
            };
            return won(self.api.create(&PostParams::default(), &lease).await);
        };
        let spec = lease.spec.take().unwrap_or_default();
        self.observe(&spec);
        if self.is_held_by_another() {
            return Ok(false);
        }
        lease.spec = Some(self.claim(&spec, now));
        match self.api.replace(&self.name, &PostParams::default(), &lease).await {
            Ok(lease) => {
                self.observe(&lease.spec.unwrap_or_default());
                Ok(true)
            }
            error @ Err(_) => won(error),
        }
    }

    fn claim(&self, before: &LeaseSpec, now: MicroTime) -> LeaseSpec {
        let ours = before.holder_identity.as_ref() == Some(&self.identity);
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(LEASE_DURATION.as_secs()).ok(),
            acquire_time: if ours { before.acquire_time.clone() } else { Some(now.clone()) },
            renew_time: Some(now),
            lease_transitions: Some(before.lease_transitions.unwrap_or(0).saturating_add(i32::from(!ours))),
            ..before.clone()
        }
    }

    fn observe(&mut self, spec: &LeaseSpec) {
        if self.observed.as_ref().is_none_or(|(known, _)| known != spec) {
            debug!(lease = self.name, holder = spec.holder_identity, "the lease has changed");
            self.observed = Some((spec.clone(), Instant::now()));
        }
    }

    fn is_held_by_another(&self) -> bool {
        self.observed.as_ref().is_some_and(|(spec, since)| {
            let holder = spec.holder_identity.as_deref().unwrap_or_default();
            let lasts = spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
            let lasts = lasts.map_or(LEASE_DURATION, Duration::from_secs);
            !holder.is_empty() && holder != self.identity && since.elapsed() < lasts
        })
    }
}

/// A conflict means that another elector was faster.
fn won(written: Result<Lease, kube::Error>) -> Result<bool, kube::Error> {
    match written {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use http::{Method, Request, Response};
    use kube::client::Body;
    use serde_json::{Value, json};

    /// An API server that has one lease.
    #[derive(Clone, Default)]
    struct Server(Arc<Mutex<(Option<Value>, u32)>>);

    impl Server {
        fn lease(&self) -> std::sync::MutexGuard<'_, (Option<Value>, u32)> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner)
        }

        fn elector(&self) -> LeaderElector {
            let server = self.clone();
            let service = tower::service_fn(move |request: Request<Body>| {
                let server = server.clone();
                async move { Ok::<_, std::io::Error>(server.answer(request).await) }
            });
            LeaderElector::new(Client::new(service, "default"), "n", "lease".into(), "me".into())
        }

        async fn answer(&self, request: Request<Body>) -> Response<Body> {
            let reads = request.method() == Method::GET;
            let body = request.into_body().collect_bytes().await.unwrap_or_default();
            let mut lease = self.lease();
            if !reads {
                *lease = (serde_json::from_slice(&body).ok(), lease.1 + 1);
            }
            let missing = json!({ "kind": "Status", "status": "Failure", "code": 404, "reason": "NotFound" });
            let (status, body) = lease.0.as_ref().map_or((404, &missing), |lease| (200, lease));
            let mut answer = Response::new(Body::from(body.to_string().into_bytes()));
            *answer.status_mut() = status.try_into().expect("a status");
            answer
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_was_frozen_does_not_take_the_lead_up_again_though_nobody_holds_it() {
        let server = Server::default();
        let mut elector = server.elector();
        elector.acquire().await;
        assert_eq!((elector.leadership().holds_lease(), server.lease().1), (true, 1));
        // Frozen; another leads meanwhile, and gives the lead back.
        tokio::time::advance(LEASE_DURATION).await;
        server.lease().0.as_mut().expect("a lease")["spec"]["holderIdentity"] = json!("");
        timeout(RENEW_DEADLINE, elector.renew()).await.expect("it is lost");
        assert_eq!((elector.leadership().holds_lease(), server.lease().1), (false, 1));
        elector.acquire().await;
        assert_eq!((elector.leadership().holds_lease(), server.lease().1), (true, 2));
    }

    /// Whatever anybody has written into the lease.
    #[tokio::test(start_paused = true)]
    async fn a_lease_may_say_anything() {
        let mut elector = Server::default().elector();
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
                let claim = elector.claim(&spec, MicroTime(Timestamp::now()));
                assert!(claim.lease_transitions.is_some_and(|transitions| transitions >= number.unwrap_or(0)));
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_lead_is_sure_only_for_the_renew_deadline() {
        let tenure = LeaseHold::default();
        let lead = Leadership::Lease(tenure.clone());
        assert!(!lead.holds_lease());
        tenure.set(Some(Term { began: Instant::now(), began_by_wall: SystemTime::now() }));
        assert!(lead.holds_lease());
        tokio::time::advance(RENEW_DEADLINE).await;
        assert!(!lead.holds_lease());
    }

    #[tokio::test(start_paused = true)]
    async fn a_machine_that_slept_is_noticed_by_the_wall_clock() {
        let tenure = LeaseHold::default();
        let began_by_wall = SystemTime::now() - RENEW_DEADLINE;
        tenure.set(Some(Term { began: Instant::now(), began_by_wall }));
        assert!(!tenure.holds_lease());
    }
}
