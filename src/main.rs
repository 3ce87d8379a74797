//! The command: reads the flags, sets up the log, runs.

use std::process::ExitCode;

use fic_support_operator::cli::{Cli, Command, LogFormat, RunArgs};
use fic_support_operator::{crd, run};
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let cli = Cli::read(std::env::args_os()).unwrap_or_else(|error| error.exit());
    match cli.command {
        Command::Crd => print_crd(),
        Command::Run(arguments) => start(*arguments),
    }
}

fn print_crd() -> ExitCode {
    match crd::yaml() {
        Ok(yaml) => {
            print!("{yaml}");
            ExitCode::SUCCESS
        }
        Err(error) => fail(&error),
    }
}

fn start(arguments: RunArgs) -> ExitCode {
    if let Err(message) = set_up_log(arguments.log_format) {
        eprintln!("error: {message}");
        return ExitCode::from(2);
    }
    // One crypto provider for the whole tree, chosen here and not by whichever library asks first.
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        return fail(&"the crypto provider was chosen twice");
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error),
    };
    match runtime.block_on(run::run(arguments)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

fn set_up_log(format: LogFormat) -> Result<(), String> {
    let filter = match std::env::var("RUST_LOG") {
        Ok(directives) if !directives.is_empty() => EnvFilter::try_new(&directives)
            .map_err(|error| format!("RUST_LOG is {directives:?}: {error}; give a level such as info or debug"))?,
        Ok(_) | Err(_) => EnvFilter::new("info"),
    };
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        LogFormat::Text => log.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).init(),
        LogFormat::Json => log.json().init(),
    }
    Ok(())
}

fn fail(error: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("error: {error}");
    ExitCode::FAILURE
}
