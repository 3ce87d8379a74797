//! Acquires, renews and releases the Lease through the API server.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tracing::{debug, info, warn};

use super::{ATTEMPT_LIMIT, LEASE_DURATION, Leadership, LeaseHold, RETRY_PERIOD, Renewal};
use crate::text;

/// The duration in a Lease that its holder has released, as in client-go.
const RELEASED_DURATION_SECONDS: i32 = 1;

/// One replica's participation in the election.
pub struct LeaderElector {
    api: Api<Lease>,
    name: String,
    identity: String,
    hold: LeaseHold,
    /// The spec of the Lease as last observed, and when this replica first observed it.
    observed: Option<(LeaseSpec, Instant)>,
}

impl LeaderElector {
    /// An elector for the Lease `name` that writes `identity` as the holder.
    #[must_use]
    pub fn new(client: Client, namespace: &str, name: String, identity: String) -> Self {
        Self { api: Api::namespaced(client, namespace), name, identity, hold: LeaseHold::default(), observed: None }
    }

    /// The leadership of this replica; it changes as the elector acquires, renews and loses the Lease.
    #[must_use]
    pub fn leadership(&self) -> Leadership {
        Leadership::Lease(self.hold.clone())
    }

    /// Returns when this replica leads.
    ///
    /// Who creates the Lease, or finds it without a holder that has released it, does not know whether a predecessor
    /// still acts. Unless `has_work` says that there is nothing to act on, it waits until no predecessor can.
    pub async fn acquire<F: Future<Output = bool>>(&mut self, has_work: impl Fn() -> F) {
        info!(lease = self.name, identity = self.identity, "waiting to acquire the lease");
        loop {
            match self.attempt(Attempt::Acquire).await {
                Outcome::Held { alone_from } if alone_from <= Instant::now() => break,
                Outcome::Held { alone_from } if self.wait_for_predecessor(alone_from, has_work()).await => break,
                Outcome::Held { .. } => {}
                Outcome::NotHeld | Outcome::Unknown => sleep(RETRY_PERIOD).await,
            }
        }
        info!(lease = self.name, identity = self.identity, "acquired the lease");
    }

    /// Renews the Lease until no predecessor can act any more. Returns false if this replica loses it meanwhile.
    async fn wait_for_predecessor(&mut self, alone_from: Instant, has_work: impl Future<Output = bool>) -> bool {
        let name = self.name.clone();
        let ended = async {
            if has_work.await {
                info!(lease = name, "the lease was created or taken; waiting until no predecessor can act any more");
                sleep_until(alone_from).await;
            }
        };
        tokio::select! {
            biased;
            () = self.renew() => false,
            () = ended => true,
        }
    }

    /// Renews the Lease until this replica loses it.
    pub async fn renew(&mut self) {
        let mut last_attempt = Instant::now();
        loop {
            // After an attempt that hung the next one follows at once.
            sleep_until(last_attempt + RETRY_PERIOD).await;
            last_attempt = Instant::now();
            // A process that was frozen past the deadline must not renew: another replica may have led and released the
            // Lease meanwhile, and the memory of this process does not contain what that replica did.
            let outcome = if self.hold.holds_lease() { self.attempt(Attempt::Renew).await } else { Outcome::Unknown };
            match outcome {
                Outcome::Held { .. } | Outcome::Unknown => {}
                Outcome::NotHeld => {
                    warn!(lease = self.name, "the lease does not name this replica any more");
                    break;
                }
            }
            if !self.hold.holds_lease() {
                warn!(lease = self.name, "failed to renew the lease in time");
                break;
            }
        }
        self.hold.set(None);
    }

    /// Releases the Lease, so that the next replica does not wait until it expires.
    pub async fn release(&mut self) {
        let held = self.hold.holds_lease();
        self.hold.set(None);
        if !held {
            return;
        }
        let released = timeout(RETRY_PERIOD, async {
            let mut lease = self.api.get(&self.name).await?;
            if let Some(spec) = lease.spec.as_mut().filter(|spec| spec.holder_identity.as_ref() == Some(&self.identity))
            {
                spec.holder_identity = Some(String::new());
                spec.lease_duration_seconds = Some(RELEASED_DURATION_SECONDS);
                spec.renew_time = Some(MicroTime(Timestamp::now()));
                self.api.replace(&self.name, &PostParams::default(), &lease).await?;
            }
            Ok::<_, kube::Error>(())
        });
        match released.await {
            Ok(Ok(())) => info!(lease = self.name, "released the lease"),
            Ok(Err(error)) => {
                warn!(lease = self.name, error = %text::error_chain(&error), "failed to release the lease");
            }
            Err(_) => warn!(lease = self.name, "failed to release the lease in time"),
        }
    }

    /// Tries once to acquire or renew the Lease, and records a success in the hold.
    async fn attempt(&mut self, attempt: Attempt) -> Outcome {
        let renewal = Renewal::start();
        match timeout(ATTEMPT_LIMIT, self.update_lease(attempt)).await {
            Ok(Ok(outcome)) => {
                match outcome {
                    Outcome::Held { .. } => self.hold.set(Some(renewal)),
                    Outcome::NotHeld | Outcome::Unknown => {}
                }
                outcome
            }
            Ok(Err(error)) => {
                warn!(lease = self.name, error = %text::error_chain(&error), "failed to read or update the lease");
                Outcome::Unknown
            }
            Err(_) => {
                warn!(lease = self.name, "timed out reading or updating the lease");
                Outcome::Unknown
            }
        }
    }

    /// Reads the Lease and, if this replica may hold it, writes it once. The write carries the resource version that was
    /// read, so of two replicas that write at the same time only one succeeds.
    async fn update_lease(&mut self, attempt: Attempt) -> Result<Outcome, kube::Error> {
        let now = MicroTime(Timestamp::now());
        let Some(mut lease) = self.api.get_opt(&self.name).await? else {
            return match attempt {
                Attempt::Acquire => self.create_lease(now).await,
                Attempt::Renew => Ok(Outcome::NotHeld),
            };
        };
        let spec = lease.spec.take().unwrap_or_default();
        self.observe(&spec);
        let may_write = match attempt {
            Attempt::Acquire => !self.is_held_by_another(),
            Attempt::Renew => spec.holder_identity.as_ref() == Some(&self.identity),
        };
        if !may_write {
            return Ok(Outcome::NotHeld);
        }
        let alone_from = self.alone_from();
        lease.spec = Some(self.desired_spec(&spec, now));
        match self.api.replace(&self.name, &PostParams::default(), &lease).await {
            Ok(lease) => {
                self.observe(&lease.spec.unwrap_or_default());
                Ok(Outcome::Held { alone_from })
            }
            Err(error) => unknown_if_conflict(error),
        }
    }

    async fn create_lease(&mut self, now: MicroTime) -> Result<Outcome, kube::Error> {
        let lease = Lease {
            metadata: ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() },
            spec: Some(self.desired_spec(&LeaseSpec::default(), now)),
        };
        match self.api.create(&PostParams::default(), &lease).await {
            Ok(lease) => {
                self.observe(&lease.spec.unwrap_or_default());
                Ok(Outcome::Held { alone_from: Instant::now() + LEASE_DURATION })
            }
            Err(error) => unknown_if_conflict(error),
        }
    }

    pub(super) fn desired_spec(&self, current: &LeaseSpec, now: MicroTime) -> LeaseSpec {
        let is_holder = current.holder_identity.as_ref() == Some(&self.identity);
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(LEASE_DURATION.as_secs()).ok(),
            acquire_time: if is_holder { current.acquire_time.clone() } else { Some(now.clone()) },
            renew_time: Some(now),
            lease_transitions: Some(current.lease_transitions.unwrap_or(0).saturating_add(i32::from(!is_holder))),
            ..current.clone()
        }
    }

    pub(super) fn observe(&mut self, spec: &LeaseSpec) {
        if self.observed.as_ref().is_none_or(|(observed, _)| observed != spec) {
            debug!(lease = self.name, holder = spec.holder_identity, "observed a change of the lease");
            self.observed = Some((spec.clone(), Instant::now()));
        }
    }

    pub(super) fn is_held_by_another(&self) -> bool {
        self.observed.as_ref().is_some_and(|(spec, observed_at)| {
            let holder = spec.holder_identity.as_deref().unwrap_or_default();
            let duration = spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
            let duration = duration.map_or(LEASE_DURATION, Duration::from_secs);
            !holder.is_empty() && holder != self.identity && observed_at.elapsed() < duration
        })
    }

    /// From when on no other replica can act any more: at once if the last holder has released the Lease, otherwise when
    /// nobody has renewed it for as long as a Lease is valid, whatever the Lease says about that.
    fn alone_from(&self) -> Instant {
        let Some((spec, observed_at)) = &self.observed else { return Instant::now() + LEASE_DURATION };
        let is_released = spec.holder_identity.as_deref() == Some("")
            && spec.lease_duration_seconds == Some(RELEASED_DURATION_SECONDS);
        if is_released { Instant::now() } else { *observed_at + LEASE_DURATION }
    }
}

/// What an attempt is for.
#[derive(Clone, Copy)]
enum Attempt {
    /// This replica does not lead.
    Acquire,
    /// This replica leads.
    Renew,
}

/// The result of an attempt.
enum Outcome {
    /// This replica holds the Lease, and from this time on no other one can act any more.
    Held { alone_from: Instant },
    /// The Lease is held by another replica, or was taken from this one.
    NotHeld,
    /// Not known, or another replica has written the Lease first.
    Unknown,
}

/// A conflict is not an error: another replica has written the Lease first.
fn unknown_if_conflict(error: kube::Error) -> Result<Outcome, kube::Error> {
    if matches!(&error, kube::Error::Api(status) if status.code == 409) { Ok(Outcome::Unknown) } else { Err(error) }
}
