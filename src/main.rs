//! The command: reads the flags, sets up the log, runs.

use std::process::ExitCode;

use fic_support_operator::api::crd;
use fic_support_operator::cli::{Cli, Command, LogFormat, RunArgs};
use fic_support_operator::run;
use tracing_subscriber::EnvFilter;

/// As a directive of the log.
const NEVER_LOGGED: &str = "kube_client::client=off";

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
    let outcome = runtime.block_on(run::run(arguments));
    // Nor does a name that is still being looked up hold the end up.
    runtime.shutdown_background();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

fn set_up_log(format: LogFormat) -> Result<(), String> {
    let filter = filter(&std::env::var("RUST_LOG").unwrap_or_default())?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        LogFormat::Text => log.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).init(),
        LogFormat::Json => log.json().init(),
    }
    Ok(())
}

/// What is logged. Never what the client of Kubernetes has to say of an answer that it cannot read: it would show the whole of it, and
/// that may be a Secret. The error itself comes to us, and is told without.
fn filter(directives: &str) -> Result<EnvFilter, String> {
    let directives = if directives.is_empty() { "info" } else { directives };
    let filter = EnvFilter::try_new(directives)
        .map_err(|error| format!("RUST_LOG is {directives:?}: {error}; give a level such as info or debug"))?;
    Ok(filter.add_directive(NEVER_LOGGED.parse().map_err(|error| format!("{NEVER_LOGGED}: {error}"))?))
}

fn fail(error: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("error: {error}");
    ExitCode::FAILURE
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

    fn logged(directives: &str) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let log = tracing_subscriber::fmt().with_env_filter(filter(directives).expect("good directives"));
        tracing::subscriber::with_default(log.with_writer(move || writer.clone()).finish(), || {
            tracing::warn!(target: "kube_client::client", "a whole answer");
            tracing::info!(target: "fic_support_operator::leader_election", "leading");
        });
        let lines = lines.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&lines).into_owned()
    }

    #[test]
    fn whole_answers_of_the_api_server_are_never_logged() {
        for directives in ["", "trace", "kube_client::client=trace,info", "kube_client=debug,fic_support_operator=info"]
        {
            let logged = logged(directives);
            assert!(logged.contains("leading") && !logged.contains("a whole answer"), "{directives}: {logged}");
        }
    }

    #[test]
    fn bad_directives_are_an_error_that_names_them() {
        let error = filter("fic=loud").expect_err("no level");
        assert!(error.contains("RUST_LOG") && error.contains("fic=loud"), "{error}");
    }
}
