//! Benchmark of the operator: real control plane, simulated FIC. Each number of plans is compared with the floor, which is
//! what the same writes take when bare clients send them.
//!
//! - [`client`], [`cluster`]: the control plane and bare requests to it. [`process`]: the operator.
//! - [`floor`], [`measure`]: the phases. [`counts`]: requests by kind.
//! - [`report`], [`plot`]: what is printed and written.

mod client;
mod cluster;
mod counts;
mod floor;
mod measure;
mod plot;
mod process;
mod report;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::Parser;

/// Measures the operator on a real control plane with the FIC simulator.
#[derive(Parser)]
struct Arguments {
    /// The numbers of plans.
    #[arg(default_values_t = [100, 1000, 10_000])]
    plans: Vec<usize>,

    /// The operator.
    #[arg(long, value_name = "FILE")]
    operator: PathBuf,

    /// The folder for results.json and results.svg. The results are compared with those that are there.
    #[arg(long, value_name = "FOLDER")]
    output: Option<PathBuf>,

    /// How long the steady state is observed, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    steady: u64,

    /// Only measure the time to Ready when each request to FIC takes this long, in milliseconds.
    #[arg(long, value_name = "MILLISECONDS")]
    latency: Option<u64>,

    /// Fail if a count is too high: writes, calls, bytes per plan. Times never fail.
    #[arg(long)]
    check: bool,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let _ = rustls::crypto::ring::default_provider().install_default();
    if let Some(latency) = arguments.latency {
        for plans in arguments.plans {
            let ratio = measure::with_latency(&arguments.operator, plans, latency).await?;
            println!(
                "{plans} plans, {latency} ms a request: to Ready ÷ (requests × latency ÷ concurrency) = {ratio:.2}"
            );
        }
        return Ok(());
    }
    let mut measurements = Vec::new();
    for plans in arguments.plans {
        measurements.push(measure::measure(&arguments.operator, plans, Duration::from_secs(arguments.steady)).await?);
    }
    let results = arguments.output.as_ref().map(|folder| folder.join("results.json"));
    let earlier = results.as_deref().map(report::read).transpose()?.unwrap_or_default();
    println!("{}", report::table(&measurements, &earlier));
    if let (Some(folder), Some(results)) = (arguments.output, results) {
        std::fs::create_dir_all(&folder)?;
        report::write(&results, &measurements, earlier)?;
        let all = report::read(&results)?;
        if all.len() > 1 {
            plot::draw(&folder.join("results.svg"), &all)?;
        }
    }
    let violations = measurements.iter().flat_map(measure::violations).collect::<Vec<_>>();
    if arguments.check && !violations.is_empty() {
        bail!("too high:\n{}", violations.join("\n"));
    }
    Ok(())
}
