//! Many plans through an outage of FIC, with the intervals that the operator has by default: how many requests are sent
//! meanwhile, and how long it takes until every plan was read again.

use std::collections::HashSet;
use std::time::Duration;

use fic_simulator::faults::{Fault, Kind as FicFault};

use super::{Run, runtime};
use crate::convergence::check_ready;
use crate::script::Script;
use crate::store::Kind;

/// `--resync-interval`.
const RESYNC_INTERVAL: Duration = Duration::from_mins(10);

/// What the operator did.
pub struct Figures {
    /// Requests to FIC and Keystone during the outage.
    pub requests: usize,
    /// The most of them in a minute, in the last third of the outage.
    pub most_in_a_minute: usize,
    /// Writes of plans during the outage and until the end of the recovery.
    pub writes: u32,
    /// How many conditions these writes changed.
    pub condition_changes: usize,
    /// How many plans were not Ready any more at the end of the outage.
    pub not_ready: usize,
    /// From the end of the outage until every plan was read and is Ready.
    pub recovery: Duration,
    /// The most requests in a second during the recovery.
    pub most_in_a_second: usize,
}

/// Creates plans, lets them become Ready, and stops FIC for this long.
pub fn run_outage(plans: usize, outage: Duration) -> Result<Figures, String> {
    fastrand::seed(1);
    runtime().block_on(async {
        let mut run = Run::new(Script::many_plans(plans), 0, false);
        {
            let mut world = run.world.lock();
            world.resync_interval = RESYNC_INTERVAL;
            world.is_large = true;
            world.fic.lock().settings.token_lifetime_ms = 3_600_000;
        }
        run.until_all_are_ready().await?;
        let after_resync = run.now() + RESYNC_INTERVAL * 2;
        run.advance(after_resync).await?;

        let unavailable = FicFault::Status { code: 503, body: None, retry_after: None };
        let (first, (writes, changes)) = (run.requests(), run.writes());
        run.world.lock().fic.lock().faults.add(Fault {
            call: None,
            tenant: None,
            skip: 0,
            times: None,
            kind: unavailable,
        });
        let began = run.now();
        run.advance(began + outage).await?;
        let requests = run.requests() - first;
        let most_in_a_minute = run.most_within(began + outage * 2 / 3, Duration::from_mins(1));
        let not_ready = run.not_ready();

        run.world.lock().fic.lock().faults.clear();
        let (ended, first) = (run.now(), run.requests());
        let mut unread = run.tenants();
        while !unread.is_empty() || run.not_ready() > 0 {
            if run.now() > ended + RESYNC_INTERVAL * 3 {
                return Err(format!("{} plans were not read, {} are not Ready", unread.len(), run.not_ready()));
            }
            let next = run.now() + Duration::from_secs(1);
            run.advance(next).await?;
            let world = run.world.lock();
            let fic = world.fic.lock();
            for entry in &fic.log.entries()[first..] {
                if let (Some(200), Some(tenant)) = (entry.status, &entry.tenant) {
                    unread.remove(tenant);
                }
            }
        }
        let (writes, condition_changes) = (run.writes().0 - writes, run.writes().1 - changes);
        let recovery = run.now().saturating_sub(ended);
        let most_in_a_second = run.most_within(ended, Duration::from_secs(1));
        Ok(Figures { requests, most_in_a_minute, writes, condition_changes, not_ready, recovery, most_in_a_second })
    })
}

impl Run {
    fn now(&self) -> Duration {
        self.world.lock().now()
    }

    fn requests(&self) -> usize {
        self.world.lock().fic.lock().log.entries().len()
    }

    /// The numbers of writes of plans and of conditions that they changed.
    fn writes(&self) -> (u32, usize) {
        let world = self.world.lock();
        (world.plan_writes, world.condition_changes)
    }

    /// The most requests within any such time, from this moment on.
    fn most_within(&self, from: Duration, within: Duration) -> usize {
        let times = self.world.lock().sent_at.iter().copied().filter(|at| *at >= from).collect::<Vec<_>>();
        let mut last = 0;
        let count = |(first, at): (usize, &Duration)| {
            while times.get(last).is_some_and(|other| *other < *at + within) {
                last += 1;
            }
            last - first
        };
        times.iter().enumerate().map(count).max().unwrap_or_default()
    }

    fn tenants(&self) -> HashSet<String> {
        let world = self.world.lock();
        let tenant = |plan: &serde_json::Value| plan["spec"]["tenantID"].as_str().unwrap().to_owned();
        world.store.all(Kind::Plan).map(|(_, plan)| tenant(plan)).collect()
    }

    fn not_ready(&self) -> usize {
        let world = self.world.lock();
        world.store.all(Kind::Plan).filter(|(_, plan)| check_ready(plan).is_err()).count()
    }

    async fn until_all_are_ready(&mut self) -> Result<(), String> {
        let deadline = self.now() + Duration::from_hours(1);
        self.advance(self.script.length).await?;
        while self.not_ready() > 0 {
            if self.now() > deadline {
                return Err(format!("{} plans are not Ready", self.not_ready()));
            }
            let next = self.now() + Duration::from_secs(5);
            self.advance(next).await?;
        }
        Ok(())
    }
}
