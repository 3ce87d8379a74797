//! The command: a control plane in a terminal, and the supervisor of those that tests ask for.

use std::io::Write;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use control_plane::Error;
use control_plane::binaries::Binaries;
use control_plane::supervisor::{self, Details};

/// A real local Kubernetes control plane for tests and demos.
#[derive(Parser)]
#[command(name = "control-plane", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build what is missing, and print where kubectl is.
    Build,
    /// Start one, and keep it until Ctrl-C.
    Up {
        /// End when standard input does, and take orders from it.
        #[arg(long)]
        until_stdin_closes: bool,
        /// Print one line of JSON instead of how to use it.
        #[arg(long)]
        json: bool,
    },
}

fn main() -> ExitCode {
    match run(&Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: &Command) -> Result<(), Error> {
    match command {
        Command::Build => {
            println!("{}", Binaries::ensure()?.path("kubectl").display());
            Ok(())
        }
        Command::Up { until_stdin_closes, json } => up(*until_stdin_closes, *json),
    }
}

fn up(until_stdin_closes: bool, json: bool) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::new(error.to_string()))?;
    let binaries = Binaries::ensure()?;
    let ended = runtime.block_on(supervisor::supervise(binaries, until_stdin_closes, |details| tell(details, json)));
    // A read of standard input cannot be broken off; the process ends without waiting for it.
    runtime.shutdown_background();
    ended
}

fn tell(details: &Details, json: bool) {
    if json {
        println!("{}", serde_json::json!(details));
    } else {
        println!("export KUBECONFIG={}", details.kubeconfig.display());
        println!("export PATH={}:$PATH", details.kubectl.parent().unwrap_or(&details.kubectl).display());
        println!("# ready; Ctrl-C ends it");
    }
    let _ = std::io::stdout().flush();
}
