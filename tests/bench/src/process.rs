//! The operator as a process, and what it uses.

use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use fic_simulator::Simulator;
use tokio::time::{Instant, sleep};

use crate::cluster::Cluster;

/// The time slice of `/proc/PID/stat` (`USER_HZ`), which Linux fixes at 100 per second.
const TICKS_PER_SECOND: f64 = 100.0;
/// How long anything may take.
const TIMEOUT: Duration = Duration::from_mins(30);
/// How often a condition is checked.
const INTERVAL: Duration = Duration::from_millis(50);
/// The metrics are read no more often than this times the number of plans: each plan in them takes time of the operator.
const INTERVAL_PER_PLAN: Duration = Duration::from_micros(50);
/// How often progress is printed.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(5);

/// A running operator. It is killed when this value is dropped.
pub(crate) struct Operator {
    process: Child,
    address: SocketAddr,
    http: reqwest::Client,
    log: PathBuf,
}

impl Operator {
    /// Starts an operator with these flags.
    pub(crate) fn start(program: &Path, cluster: &Cluster, simulator: &Simulator, flags: &[String]) -> Result<Self> {
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let log = cluster.folder().join(format!("operator-{}.log", address.port()));
        let process = Command::new(program)
            .args(["run", "--allow-insecure-http", "--leader-elect"])
            .arg(format!("--http-bind-address={address}"))
            .arg(format!("--fic-endpoint={}", simulator.fic_endpoint()))
            .arg(format!("--keystone-endpoint={}", simulator.keystone_endpoint()))
            .args(flags)
            .env("KUBECONFIG", &cluster.operator_kubeconfig)
            .env("POD_NAMESPACE", "fic-support-operator")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log)?)
            .spawn()
            .with_context(|| format!("starting {}", program.display()))?;
        Ok(Self { process, address, http: reqwest::Client::builder().no_proxy().build()?, log })
    }

    /// Waits until the caches are synced. Before that a leader is not ready.
    pub(crate) async fn wait_until_synced(&mut self) -> Result<()> {
        self.wait("the caches are synced", INTERVAL, async |operator| {
            Ok(std::fs::read_to_string(&operator.log)?.contains("the caches are synced").then_some(()))
        })
        .await
    }

    /// Waits until so many plans are active.
    pub(crate) async fn wait_for_active(&mut self, count: usize) -> Result<()> {
        self.wait_for_plans("to Ready", count, |(_, active)| (active == count, format!("{active} of {count} plans")))
            .await
    }

    /// Waits until none of so many plans is left.
    pub(crate) async fn wait_for_none(&mut self, count: usize) -> Result<()> {
        self.wait_for_plans("to gone", count, |(all, _)| (all == 0, format!("{all} plans left"))).await
    }

    /// `judge` gets the number of plans, and how many of them are active. It says whether that is enough, in words too.
    async fn wait_for_plans(
        &mut self,
        what: &str,
        count: usize,
        judge: impl Fn((usize, usize)) -> (bool, String),
    ) -> Result<()> {
        let mut reported = Instant::now();
        let interval = INTERVAL.max(INTERVAL_PER_PLAN * u32::try_from(count)?);
        self.wait(what, interval, async |operator| {
            let (reached, progress) = judge(operator.plans().await.unwrap_or((usize::MAX, 0)));
            if !reached && reported.elapsed() > PROGRESS_INTERVAL {
                reported = Instant::now();
                eprintln!("      {what}: {progress}");
            }
            Ok(reached.then_some(()))
        })
        .await
    }

    /// The number of plans, and how many of them are active, by the operator's own metrics.
    async fn plans(&self) -> Result<(usize, usize)> {
        let metrics = self.http.get(format!("http://{}/metrics", self.address)).send().await?.text().await?;
        let (mut all, mut active) = (0, 0);
        for line in metrics.lines().filter_map(|line| line.strip_prefix("fic_operator_plans{")) {
            let count = line.rsplit(' ').next().and_then(|count| count.parse::<usize>().ok()).unwrap_or_default();
            all += count;
            if line.starts_with("reason=\"Contracted\"") {
                active += count;
            }
        }
        Ok((all, active))
    }

    async fn wait(
        &mut self,
        what: &str,
        interval: Duration,
        mut reached: impl AsyncFnMut(&Self) -> Result<Option<()>>,
    ) -> Result<()> {
        let deadline = Instant::now() + TIMEOUT;
        while reached(self).await?.is_none() {
            if let Some(status) = self.process.try_wait()? {
                let log = std::fs::read_to_string(&self.log).unwrap_or_default();
                let end = log.lines().rev().take(20).collect::<Vec<_>>();
                bail!("the operator ended with {status}:\n{}", end.into_iter().rev().collect::<Vec<_>>().join("\n"));
            }
            if Instant::now() > deadline {
                bail!("timed out waiting: {what}");
            }
            sleep(interval).await;
        }
        Ok(())
    }

    /// The CPU time that it has used so far.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        cpu(&self.process.id().to_string())
    }

    /// The resident memory in bytes: now, and at the peak.
    pub(crate) fn memory(&self) -> Result<(u64, u64)> {
        let status = self.proc("status")?;
        Ok((bytes(&status, "VmRSS:")?, bytes(&status, "VmHWM:")?))
    }

    /// The part of the resident memory that is code, in bytes.
    pub(crate) fn code(&self) -> Result<u64> {
        bytes(&self.proc("status")?, "RssFile:")
    }

    fn proc(&self, file: &str) -> Result<String> {
        Ok(std::fs::read_to_string(format!("/proc/{}/{file}", self.process.id()))?)
    }

    /// Sends SIGTERM and waits until the process has exited.
    pub(crate) fn stop(mut self) -> Result<()> {
        let sent = Command::new("kill").arg(self.process.id().to_string()).status()?;
        if !sent.success() {
            bail!("SIGTERM could not be sent to the operator");
        }
        self.process.wait()?;
        Ok(())
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The CPU time that a process has used so far; `self` is this process.
pub(crate) fn cpu(process: &str) -> Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    let (_, fields) = stat.rsplit_once(") ").context("the name of the process")?;
    let fields = fields.split(' ').collect::<Vec<_>>();
    let ticks = |field: usize| fields.get(field).and_then(|ticks| ticks.parse::<f64>().ok()).context("ticks");
    // utime and stime are the fields 14 and 15 of all, of which two precede the parenthesis.
    Ok(Duration::from_secs_f64((ticks(11)? + ticks(12)?) / TICKS_PER_SECOND))
}

/// A field of `/proc/<pid>/status`, in bytes.
fn bytes(status: &str, name: &str) -> Result<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name)).context("a field of memory")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
}
