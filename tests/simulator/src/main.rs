//! The command line: runs a simulator until SIGTERM or SIGINT.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use fic_simulator::Simulator;
use fic_simulator::state::Settings;
use tokio::signal::unix::{SignalKind, signal};

/// Simulator of the FIC support API and of Keystone authentication.
#[derive(Parser)]
#[command(name = "fic-simulator", version, about)]
struct Cli {
    /// Address to listen on.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8900")]
    listen: SocketAddr,

    /// How long an operation stays Processing.
    #[arg(long, value_name = "TIME", default_value = "3s", value_parser = duration)]
    processing_time: Duration,

    /// Lifetime of a token.
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = duration)]
    token_lifetime: Duration,

    /// Delay of every response.
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = duration)]
    latency: Duration,
}

fn duration(text: &str) -> Result<Duration, String> {
    let parsed: jiff::SignedDuration =
        text.parse().map_err(|_| "expected a number with a unit, such as 500ms, 3s or 10m".to_owned())?;
    Duration::try_from(parsed).map_err(|_| "the duration must not be negative".into())
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error),
    };
    match runtime.block_on(run(&cli)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

async fn run(cli: &Cli) -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let milliseconds = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let settings = Settings {
        processing_ms: milliseconds(cli.processing_time),
        token_lifetime_ms: milliseconds(cli.token_lifetime),
        latency_ms: milliseconds(cli.latency),
        ..Settings::default()
    };
    let simulator = Simulator::start(cli.listen, settings).await?;
    println!("fic-simulator listening on http://{}", simulator.address());
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

fn fail(error: &std::io::Error) -> ExitCode {
    eprintln!("error: {error}");
    ExitCode::FAILURE
}
