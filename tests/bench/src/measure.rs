//! Runs the operator with a number of plans and measures each phase: to Ready, steady, restart, to gone.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};
use fic_simulator::Simulator;
use fic_simulator::state::Settings;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

use crate::cluster::Cluster;
use crate::counts::Counts;
use crate::floor;
use crate::process::Operator;

/// How long FIC processes a create or a delete.
pub(crate) const PROCESSING: Duration = Duration::from_secs(1);
/// How long the idle operator and the restarted one are observed.
const OBSERVED: Duration = Duration::from_secs(5);
/// The default of `--fic-requests-per-second`, which the restarted operator keeps to.
const DEFAULT_RATE: u64 = 50;
/// The default of `--concurrency`.
const DEFAULT_CONCURRENCY: f64 = 64.0;

/// What was measured with a number of plans. Times are in seconds, memory in MiB.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Measurement {
    /// The number of plans.
    pub(crate) plans: usize,
    /// How long bare clients take for the writes: the mean of a run before and one after.
    pub(crate) floor: f64,
    /// The run after ÷ the run before.
    #[serde(default)]
    pub(crate) floor_change: f64,
    /// CPU time of the bare clients per plan, in milliseconds.
    #[serde(default)]
    pub(crate) floor_cpu: f64,
    /// From the start of the operator until every plan is Ready.
    pub(crate) ready: f64,
    /// From the delete requests until no plan is left.
    pub(crate) gone: f64,
    /// From the start of the restarted operator until its caches are synced.
    pub(crate) restart: f64,
    /// Writes per plan until it is Ready.
    pub(crate) plan_writes: f64,
    /// Events per plan until it is Ready.
    pub(crate) events: f64,
    /// Writes of Secrets in all.
    pub(crate) secret_writes: u64,
    /// Other requests to the API server per plan: reads, the Lease, watches.
    pub(crate) other_requests: f64,
    /// Sign-ins per plan until it is Ready.
    pub(crate) sign_ins: f64,
    /// List requests per plan until it is Ready.
    pub(crate) lists: f64,
    /// Create requests per plan until it is Ready.
    pub(crate) creates: f64,
    /// Show requests per plan until it is Ready.
    pub(crate) shows: f64,
    /// CPU time per plan until it is Ready, in milliseconds.
    pub(crate) cpu: f64,
    /// Writes in the steady state.
    pub(crate) steady_writes: u64,
    /// The share of one core that the steady state takes, in percent.
    pub(crate) steady_cpu: f64,
    /// Writes after the restart.
    pub(crate) restart_writes: u64,
    /// The most requests to FIC in any second after the restart.
    pub(crate) restart_burst: u64,
    /// Resident memory without plans.
    pub(crate) idle_memory: f64,
    /// Resident memory at the peak, until every plan is Ready.
    pub(crate) peak_memory: f64,
    /// How much more code was resident at the peak than without plans: what runs for the first time. It does not depend on
    /// the number of plans.
    #[serde(default)]
    pub(crate) more_code: f64,
    /// Resident memory in the steady state.
    pub(crate) steady_memory: f64,
    /// Resident memory after all plans are gone.
    pub(crate) gone_memory: f64,
}

impl Measurement {
    /// The time to Ready as a multiple of what the API server and FIC take.
    pub(crate) fn ratio(&self) -> f64 {
        self.ready / (self.floor + PROCESSING.as_secs_f64())
    }
}

/// Measures the operator with a number of plans, and the floor before and after it: the speed of a machine changes. Each
/// is on a control plane of its own.
#[expect(clippy::cast_precision_loss, reason = "all numbers are small")]
pub(crate) async fn measure(program: &Path, plans: usize, steady: Duration) -> Result<Measurement> {
    eprintln!("{plans} plans");
    let phase = |name: &str, time: Duration| eprintln!("   {name}: {:.2} s", time.as_secs_f64());
    let (floor_before, floor_cpu_before) = floor::measure(plans).await?;
    phase("floor", floor_before);

    let cluster = Cluster::start().await?;
    let simulator = start_fic(0).await?;
    let unlimited = unlimited();
    let start = |flags: &[String]| Operator::start(program, &cluster, &simulator, flags);
    let fic = || Counts::of_fic(&simulator.log());

    let mut operator = start(&unlimited)?;
    operator.wait_until_synced().await?;
    sleep(OBSERVED).await;
    let ((idle_memory, _), idle_code) = (operator.memory()?, operator.code()?);
    operator.stop()?;

    cluster.create_plans(plans).await?;
    let before = cluster.requests().await?;
    let started = Instant::now();
    let mut operator = start(&unlimited)?;
    operator.wait_for_active(plans).await?;
    let ready = started.elapsed();
    phase("to Ready", ready);
    let (cpu, (_, peak_memory)) = (operator.cpu()?, operator.memory()?);
    let more_code = operator.code()?.saturating_sub(idle_code);
    // The last Event follows the last status, and the metrics of a request its response.
    sleep(Duration::from_secs(1)).await;
    let requests = cluster.requests().await? - before;
    let calls = fic();
    ensure!(cluster.plans().await? == (plans, plans), "the metrics of the operator are wrong: not every plan is Ready");

    let (before, cpu_before) = (cluster.requests().await?, operator.cpu()?);
    sleep(steady).await;
    let steady_writes = (cluster.requests().await? - before).writes();
    let steady_cpu = (operator.cpu()?.saturating_sub(cpu_before)).as_secs_f64() / steady.as_secs_f64() * 100.0;
    let (steady_memory, _) = operator.memory()?;
    eprintln!("   steady: {steady_cpu:.2} % of one core in {} s", steady.as_secs());
    operator.stop()?;

    let before = cluster.requests().await?;
    let calls_before = simulator.log().len();
    let started = Instant::now();
    let mut operator = start(&[])?;
    operator.wait_until_synced().await?;
    let restart = started.elapsed();
    phase("restart", restart);
    sleep(OBSERVED).await;
    let restart_writes = (cluster.requests().await? - before).writes();
    let restart_burst = most_in_a_second(simulator.log().iter().skip(calls_before).map(|entry| entry.at_ms));
    operator.stop()?;

    let mut operator = start(&unlimited)?;
    operator.wait_until_synced().await?;
    let started = Instant::now();
    cluster.delete_plans(plans).await?;
    operator.wait_for_none(plans).await?;
    let gone = started.elapsed();
    phase("to gone", gone);
    ensure!(cluster.plans().await?.0 == 0, "the metrics of the operator are wrong: a plan is left");
    sleep(OBSERVED).await;
    let (gone_memory, _) = operator.memory()?;
    operator.stop()?;

    drop(cluster);
    let (floor_after, floor_cpu_after) = floor::measure(plans).await?;
    phase("floor", floor_after);

    let each = |number: u64| count(number) / plans as f64;
    let each_cpu = |time: Duration| time.as_secs_f64() * 1000.0 / plans as f64;
    let mebibytes = |bytes: u64| count(bytes) / f64::from(1 << 20);
    let plan_writes = requests.get("PATCH premiumsupportplans") + requests.get("PATCH premiumsupportplans/status");
    let (events, secret_writes) = (requests.get("POST events"), requests.get("PATCH secrets"));
    Ok(Measurement {
        plans,
        floor: (floor_before + floor_after).as_secs_f64() / 2.0,
        floor_change: floor_after.as_secs_f64() / floor_before.as_secs_f64(),
        floor_cpu: each_cpu((floor_cpu_before + floor_cpu_after) / 2),
        ready: ready.as_secs_f64(),
        gone: gone.as_secs_f64(),
        restart: restart.as_secs_f64(),
        plan_writes: each(plan_writes),
        events: each(events),
        secret_writes,
        other_requests: each(requests.total() - plan_writes - events - secret_writes),
        sign_ins: each(calls.get("SignIn")),
        lists: each(calls.get("List")),
        creates: each(calls.get("Create")),
        shows: each(calls.get("Show")),
        cpu: each_cpu(cpu),
        steady_writes,
        steady_cpu,
        restart_writes,
        restart_burst,
        idle_memory: mebibytes(idle_memory),
        peak_memory: mebibytes(peak_memory),
        more_code: mebibytes(more_code),
        steady_memory: mebibytes(steady_memory),
        gone_memory: mebibytes(gone_memory),
    })
}

/// The flags of an operator without a rate limit, which polls as soon as FIC has processed a request.
fn unlimited() -> [String; 2] {
    ["--fic-requests-per-second=0".to_owned(), format!("--poll-interval={}s", PROCESSING.as_secs())]
}

/// A simulated FIC that processes each create and delete for the same time.
async fn start_fic(latency_ms: u64) -> Result<Simulator> {
    let processing_ms = u64::try_from(PROCESSING.as_millis())?;
    let settings = Settings { processing_ms, latency_ms, ..Settings::default() };
    Ok(Simulator::start(([127, 0, 0, 1], 0).into(), settings).await?)
}

/// The time to Ready when each request to FIC takes long, as a multiple of what the requests alone take if as many as
/// possible are under way.
pub(crate) async fn with_latency(program: &Path, plans: usize, latency_ms: u64) -> Result<f64> {
    let cluster = Cluster::start().await?;
    let simulator = start_fic(latency_ms).await?;
    cluster.create_plans(plans).await?;
    let started = Instant::now();
    let mut operator = Operator::start(program, &cluster, &simulator, &unlimited())?;
    operator.wait_for_active(plans).await?;
    let ready = started.elapsed();
    operator.stop()?;
    let requests = count(Counts::of_fic(&simulator.log()).total());
    eprintln!("{plans} plans: {:.2} s to Ready, {requests} requests to FIC", ready.as_secs_f64());
    Ok(ready.as_secs_f64() / (requests * count(latency_ms) / 1000.0 / DEFAULT_CONCURRENCY))
}

/// The most requests in any second.
fn most_in_a_second(times: impl Iterator<Item = u128>) -> u64 {
    let times = times.collect::<Vec<_>>();
    let within = |(first, at): (usize, &u128)| times[first..].iter().take_while(|other| **other < at + 1000).count();
    times.iter().enumerate().map(within).max().unwrap_or_default() as u64
}

/// What must hold on every machine: counts and bytes, never times. Returns a sentence for each that does not.
pub(crate) fn violations(measurement: &Measurement) -> Vec<String> {
    let Measurement { plans, .. } = measurement;
    #[expect(clippy::cast_precision_loss, reason = "all numbers are small")]
    let bytes = (measurement.peak_memory - measurement.idle_memory - measurement.more_code) * f64::from(1 << 20)
        / *plans as f64;
    let limits = [
        ("writes per plan", measurement.plan_writes, 3.05),
        ("Events per plan", measurement.events, 2.0),
        ("writes of the Secret", count(measurement.secret_writes), 1.0),
        ("sign-ins per plan", measurement.sign_ins, 1.0),
        ("List requests per plan", measurement.lists, 1.2),
        ("create requests per plan", measurement.creates, 1.0),
        ("Show requests per plan", measurement.shows, 3.0),
        ("writes in the steady state", count(measurement.steady_writes), 0.0),
        ("writes after the restart", count(measurement.restart_writes), 0.0),
        // A burst of one second and the rate of one second may follow each other.
        ("requests to FIC in a second after the restart", count(measurement.restart_burst), count(2 * DEFAULT_RATE)),
        ("bytes per plan, without code", bytes, 64.0 * 1024.0),
    ];
    let exceeded = limits.into_iter().filter(|(_, measured, limit)| measured > limit);
    exceeded.map(|(what, measured, limit)| format!("{plans} plans: {measured:.2} {what}, more than {limit}")).collect()
}

/// A count as a number to calculate with.
#[expect(clippy::cast_precision_loss, reason = "all numbers are small")]
pub(crate) fn count(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn most_requests_in_any_second_are_found() {
        assert_eq!(most_in_a_second([].into_iter()), 0);
        assert_eq!(most_in_a_second([0, 10, 1000, 1005, 1009, 1500].into_iter()), 4);
    }
}
