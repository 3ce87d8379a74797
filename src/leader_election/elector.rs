//! Acquires, renews and releases the Lease through the API server.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, info, warn};

use super::{LEASE_DURATION, Leadership, LeaseHold, RENEW_DEADLINE, RETRY_PERIOD, Renewal};
use crate::text;

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

    /// Returns when this replica holds the Lease.
    pub async fn acquire(&mut self) {
        info!(lease = self.name, identity = self.identity, "waiting to acquire the lease");
        loop {
            if self.try_acquire_or_renew().await {
                info!(lease = self.name, identity = self.identity, "acquired the lease");
                return;
            }
            sleep(RETRY_PERIOD).await;
        }
    }

    /// Renews the Lease until this replica loses it.
    pub async fn renew(&mut self) {
        loop {
            sleep(RETRY_PERIOD).await;
            // A process that was frozen past the deadline must not renew: another replica may have led and released the
            // Lease meanwhile, and the memory of this process does not contain what that replica did.
            let renewed = self.hold.holds_lease() && self.try_acquire_or_renew().await;
            if !renewed && self.is_held_by_another() {
                warn!(lease = self.name, "another replica holds the lease");
                break;
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
                spec.lease_duration_seconds = Some(1);
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
    async fn try_acquire_or_renew(&mut self) -> bool {
        let renewal = Renewal::start();
        match timeout(RENEW_DEADLINE, self.update_lease()).await {
            Ok(Ok(true)) => {
                self.hold.set(Some(renewal));
                true
            }
            Ok(Ok(false)) => false,
            Ok(Err(error)) => {
                warn!(lease = self.name, error = %text::error_chain(&error), "failed to read or update the lease");
                false
            }
            Err(_) => {
                warn!(lease = self.name, "timed out reading or updating the lease");
                false
            }
        }
    }

    /// Reads the Lease and, unless another replica holds it, writes it once. The write carries the resource version
    /// that was read, so of two replicas that write at the same time only one succeeds.
    async fn update_lease(&mut self) -> Result<bool, kube::Error> {
        let now = MicroTime(Timestamp::now());
        let Some(mut lease) = self.api.get_opt(&self.name).await? else {
            let lease = Lease {
                metadata: ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() },
                spec: Some(self.desired_spec(&LeaseSpec::default(), now)),
            };
            return is_written(self.api.create(&PostParams::default(), &lease).await);
        };
        let spec = lease.spec.take().unwrap_or_default();
        self.observe(&spec);
        if self.is_held_by_another() {
            return Ok(false);
        }
        lease.spec = Some(self.desired_spec(&spec, now));
        match self.api.replace(&self.name, &PostParams::default(), &lease).await {
            Ok(lease) => {
                self.observe(&lease.spec.unwrap_or_default());
                Ok(true)
            }
            error @ Err(_) => is_written(error),
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
}

/// A conflict is not an error: another replica has written the Lease first.
fn is_written(result: Result<Lease, kube::Error>) -> Result<bool, kube::Error> {
    match result {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
        Err(error) => Err(error),
    }
}
