//! The binary: parses the flags, sets up logging, runs the command and returns its exit code.

use std::fmt::Display;
use std::io::{IsTerminal, stderr};
use std::process::ExitCode;

use fic_support_operator::api::crd;
use fic_support_operator::check;
use fic_support_operator::cli::{Cli, Command, LogFormat, RunArgs};
use fic_support_operator::proxy::Proxies;
use fic_support_operator::report;
use fic_support_operator::run;
use fic_support_operator::telemetry::{self, Exporter};
use tracing::Subscriber;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

/// A log target of kube whose messages contain whole responses, see [`log_filter`].
const RESPONSES: &str = "kube_client::client";

fn main() -> ExitCode {
    let cli = Cli::read(std::env::args_os()).unwrap_or_else(|error| error.exit());
    match cli.command {
        Command::Crd => print_crd(),
        Command::Run(arguments) => start(*arguments),
        Command::Check(arguments) => command(async {
            let report = check::run(*arguments).await.map_err(|error| (error.to_string(), error.exit_code()))?;
            eprint!("{}", report.err);
            print!("{}", report.out);
            Ok(report.exit_code)
        }),
        Command::Report(arguments) => command(async {
            let report = report::run(arguments).await.map_err(|error| (error.to_string(), error.exit_code()))?;
            print!("{}", report.text);
            Ok(report.exit_code)
        }),
    }
}

/// Runs a command to its end. It returns its exit code, or an error with its exit code.
fn command(command: impl Future<Output = Result<u8, (String, u8)>>) -> ExitCode {
    // Select one crypto provider for all libraries; otherwise the first library that needs one selects it.
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        return fail(&"a crypto provider is already installed", 1);
    }
    // One thread: the operator mostly waits. A second one would cost more for passing on work than it does.
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error, 1),
    };
    let result = runtime.block_on(command);
    // Dropping the runtime would wait for a DNS lookup in progress.
    runtime.shutdown_background();
    match result {
        Ok(exit_code) => ExitCode::from(exit_code),
        Err((message, exit_code)) => fail(&message, exit_code),
    }
}

fn print_crd() -> ExitCode {
    match crd::yaml() {
        Ok(yaml) => {
            print!("{yaml}");
            ExitCode::SUCCESS
        }
        Err(error) => fail(&error, 1),
    }
}

fn start(arguments: RunArgs) -> ExitCode {
    let filter = match log_filter(&std::env::var("RUST_LOG").unwrap_or_default()) {
        Ok(filter) => filter,
        Err(message) => return fail(&message, 2),
    };
    command(async { run_with_telemetry(arguments, filter).await.map(|()| 0) })
}

/// Runs the operator with logs and, if the flag is set, traces. An error has its exit code.
async fn run_with_telemetry(arguments: RunArgs, filter: Targets) -> Result<(), (String, u8)> {
    let exporter = arguments.otlp_endpoint.as_ref().map(|endpoint| {
        Exporter::new(endpoint, arguments.fic.root_certificates.clone(), Proxies::from_env())
            .map_err(|error| (error.to_string(), 1))
    });
    let exporter = exporter.transpose()?;
    set_up_logging(arguments.log_format, filter, exporter.as_ref());
    let result = run::run(arguments).await;
    if let Some(exporter) = exporter {
        exporter.shut_down().await;
    }
    result.map_err(|error| (error.to_string(), error.exit_code()))
}

fn set_up_logging(format: LogFormat, filter: Targets, exporter: Option<&Exporter>) {
    let registry = tracing_subscriber::registry();
    match exporter {
        // One filter for all costs less than one for each layer.
        None => registry.with(filter).with(lines(format)).init(),
        Some(exporter) => registry.with(lines(format).with_filter(filter)).with(exporter.layer()).init(),
    }
}

/// Writes log lines.
fn lines<S>(format: LogFormat) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    let lines = fmt::layer().with_writer(stderr);
    match format {
        LogFormat::Text => lines.with_ansi(stderr().is_terminal()).boxed(),
        LogFormat::Json => lines.json().boxed(),
    }
}

/// The filter for log lines. It always excludes kube's own message about a response that it cannot decode: that message
/// contains the whole response, which may be a Secret. The operator logs the same error without the response. The spans
/// of traces are not part of log lines.
fn log_filter(directives: &str) -> Result<Targets, String> {
    let directives = if directives.is_empty() { "info" } else { directives };
    let invalid = |error: &dyn Display| {
        format!("RUST_LOG {directives:?} is not valid: {error}; use a level such as info or debug")
    };
    if directives.contains('[') {
        return Err(invalid(&"log lines cannot be filtered by span"));
    }
    let filter = directives.parse::<Targets>().map_err(|error| invalid(&error))?;
    Ok(filter.with_targets([RESPONSES, telemetry::TARGET].map(|target| (target, LevelFilter::OFF))))
}

fn fail(error: &dyn Display, exit_code: u8) -> ExitCode {
    eprintln!("error: {error}");
    ExitCode::from(exit_code)
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex, PoisonError};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// The log lines of one message with a whole response and one ordinary message.
    fn logged(directives: &str) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let filter = log_filter(directives).expect("valid directives");
        let log = tracing_subscriber::registry().with(filter).with(fmt::layer().with_writer(move || writer.clone()));
        tracing::subscriber::with_default(log, || {
            tracing::warn!(target: "kube_client::client", "a whole response");
            tracing::info!(target: "fic_support_operator::leader_election", "acquired the lease");
        });
        let lines = lines.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&lines).into_owned()
    }

    #[test]
    fn whole_responses_of_the_api_server_are_never_logged() {
        for directives in ["", "trace", "kube_client::client=trace,info", "kube_client=debug,fic_support_operator=info"]
        {
            let logged = logged(directives);
            assert!(
                logged.contains("acquired the lease") && !logged.contains("a whole response"),
                "{directives}: {logged}"
            );
        }
    }

    #[test]
    fn invalid_log_level_is_an_error_that_names_it() {
        for directives in ["fic=loud", "info,[reconcile]=debug"] {
            let error = log_filter(directives).expect_err("it is not a level");
            assert!(error.contains("RUST_LOG") && error.contains(directives), "{error}");
        }
    }
}
