//! The command line: runs a control plane in a terminal, or as the supervisor that a test starts.

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
    /// Build missing binaries and print the path of kubectl.
    Build,
    /// Start a control plane and run it until Ctrl-C.
    Up {
        /// Stop when standard input is closed, and read orders from it.
        #[arg(long)]
        until_stdin_closes: bool,
        /// Print the details as one line of JSON instead of shell commands.
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
    let result =
        runtime.block_on(supervisor::supervise(binaries, until_stdin_closes, |details| print_details(details, json)));
    // A pending read of standard input cannot be cancelled. The process exits without waiting for it.
    runtime.shutdown_background();
    result
}

fn print_details(details: &Details, json: bool) {
    if json {
        println!("{}", serde_json::json!(details));
    } else {
        println!("export KUBECONFIG={}", details.kubeconfig.display());
        println!("export PATH={}:$PATH", details.kubectl.parent().unwrap_or(&details.kubectl).display());
        println!("# ready; Ctrl-C stops it");
    }
    let _ = std::io::stdout().flush();
}
