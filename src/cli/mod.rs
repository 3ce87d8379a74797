//! The command line. Every value is checked here, before anything starts: a bad one ends the process with 2 and a message
//! that says what is right.

mod values;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use reqwest::Url;

use values::{duration, endpoint, label_selector, namespace, roots};

/// Kubernetes operator for Premium support contracts of NTT's Flexible InterConnect (FIC).
#[derive(Debug, Parser)]
// As with kubectl, the last of a flag given twice counts: an overlay appends to what the base has.
#[command(name = crate::NAME, version, about, args_override_self = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the operator.
    Run(Box<RunArgs>),
    /// Print the `CustomResourceDefinition`.
    Crd,
}

/// The flags of `run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Where FIC is.
    #[arg(long, env = "FIC_OPERATOR_FIC_ENDPOINT", value_name = "URL", default_value = "https://api.ntt.com/fic-eri", value_parser = endpoint)]
    pub fic_endpoint: Url,

    /// Where Keystone is.
    #[arg(long, env = "FIC_OPERATOR_KEYSTONE_ENDPOINT", value_name = "URL", default_value = "https://api.ntt.com/keystone/v3", value_parser = endpoint)]
    pub keystone_endpoint: Url,

    /// Allow http:// endpoints, for a simulator: credentials and tokens then cross the network in the clear.
    #[arg(long, env = "FIC_OPERATOR_ALLOW_INSECURE_HTTP", value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true", action = clap::ArgAction::Set)]
    pub allow_insecure_http: bool,

    /// A PEM file of more roots to trust, beside those of the system (a proxy of the company's).
    #[arg(long, env = "FIC_OPERATOR_CA_BUNDLE", value_name = "FILE")]
    pub ca_bundle: Option<PathBuf>,

    /// Watch this namespace only; may be repeated [default: all]
    #[arg(long = "watch-namespace", env = "FIC_OPERATOR_WATCH_NAMESPACE", value_name = "NS", value_delimiter = ',', value_parser = namespace)]
    pub watch_namespaces: Vec<String>,

    /// Only plans with these labels, for shards; all plans of one tenant belong into one shard.
    #[arg(long, env = "FIC_OPERATOR_LABEL_SELECTOR", value_name = "SEL", value_parser = label_selector)]
    pub label_selector: Option<String>,

    /// How often to look while something is in progress.
    #[arg(long, env = "FIC_OPERATOR_POLL_INTERVAL", value_name = "TIME", default_value = "3s", value_parser = duration)]
    pub poll_interval: Duration,

    /// How often to look for drift, with jitter.
    #[arg(long, env = "FIC_OPERATOR_RESYNC_INTERVAL", value_name = "TIME", default_value = "10m", value_parser = duration)]
    pub resync_interval: Duration,

    /// How long FIC may be working on an operation before a person is asked to look.
    #[arg(long, env = "FIC_OPERATOR_OPERATION_TIMEOUT", value_name = "TIME", default_value = "10m", value_parser = duration)]
    pub operation_timeout: Duration,

    /// The time for a call to FIC or Keystone as a whole; connecting: 5 s.
    #[arg(long, env = "FIC_OPERATOR_REQUEST_TIMEOUT", value_name = "TIME", default_value = "30s", value_parser = duration)]
    pub request_timeout: Duration,

    /// Calls to FIC and Keystone a second, all tenants together; 0: no limit.
    #[arg(long, env = "FIC_OPERATOR_FIC_REQUESTS_PER_SECOND", value_name = "N", default_value_t = 50)]
    pub fic_requests_per_second: u32,

    /// How many plans are worked on at once.
    #[arg(long, env = "FIC_OPERATOR_CONCURRENCY", value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..))]
    pub concurrency: u16,

    /// Have one of several replicas lead, by a Lease in `POD_NAMESPACE`.
    #[arg(long, env = "FIC_OPERATOR_LEADER_ELECT", value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true", action = clap::ArgAction::Set)]
    pub leader_elect: bool,

    /// Where /healthz, /readyz and /metrics are served.
    #[arg(long, env = "FIC_OPERATOR_HTTP_BIND_ADDRESS", value_name = "ADDR", default_value = "0.0.0.0:8080")]
    pub http_bind_address: SocketAddr,

    /// The form of log lines; their level is set by `RUST_LOG`.
    #[arg(long, env = "FIC_OPERATOR_LOG_FORMAT", value_name = "FORMAT", default_value = "text")]
    pub log_format: LogFormat,

    /// The roots of `ca_bundle`, read.
    #[arg(skip)]
    pub roots: Vec<reqwest::Certificate>,
}

/// The form of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines.
    Json,
}

impl Cli {
    /// Reads the command line and the environment.
    ///
    /// # Errors
    /// A message that says what is wrong and what is right.
    pub fn read<I, T>(arguments: I) -> Result<Self, clap::Error>
    where
        I: IntoIterator<Item = T>,
        T: Into<std::ffi::OsString> + Clone,
    {
        let mut cli = Self::try_parse_from(arguments)?;
        if let Command::Run(run) = &mut cli.command {
            run.check().map_err(|message| Self::command().error(ErrorKind::ValueValidation, message))?;
        }
        Ok(cli)
    }
}

impl RunArgs {
    /// What one flag alone cannot tell.
    fn check(&mut self) -> Result<(), String> {
        for (flag, url) in [("--fic-endpoint", &self.fic_endpoint), ("--keystone-endpoint", &self.keystone_endpoint)] {
            if url.scheme() == "http" && !self.allow_insecure_http {
                return Err(format!(
                    "{flag} is {url}: over http:// the credentials would cross the network in the clear. Use https://, or \
                     --allow-insecure-http for a simulator"
                ));
            }
        }
        if let Some(file) = &self.ca_bundle {
            self.roots = roots(file)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(flags: &[&str]) -> Result<Box<RunArgs>, String> {
        let arguments = [crate::NAME, "run"].iter().chain(flags);
        match Cli::read(arguments).map_err(|error| (error.exit_code(), error.to_string())) {
            Ok(Cli { command: Command::Run(run) }) => Ok(run),
            Ok(Cli { command: Command::Crd }) => unreachable!("run was asked for"),
            Err((code, message)) => {
                assert_eq!(code, 2);
                Err(message)
            }
        }
    }

    #[test]
    fn the_defaults_are_those_that_are_promised() {
        let run = read(&[]).expect("no flag is needed");
        assert_eq!(run.fic_endpoint.as_str(), "https://api.ntt.com/fic-eri");
        assert_eq!(run.keystone_endpoint.as_str(), "https://api.ntt.com/keystone/v3");
        assert_eq!((run.poll_interval.as_secs(), run.resync_interval.as_secs()), (3, 600));
        assert_eq!((run.operation_timeout.as_secs(), run.request_timeout.as_secs()), (600, 30));
        assert_eq!((run.fic_requests_per_second, run.concurrency), (50, 64));
        assert!(!run.leader_elect && !run.allow_insecure_http && run.watch_namespaces.is_empty());
        assert_eq!((run.http_bind_address.to_string().as_str(), run.log_format), ("0.0.0.0:8080", LogFormat::Text));
    }

    #[test]
    fn a_switch_takes_an_optional_value() {
        assert!(read(&["--leader-elect"]).expect("on").leader_elect);
        assert!(read(&["--leader-elect=true"]).expect("on").leader_elect);
        assert!(!read(&["--leader-elect=false"]).expect("off").leader_elect);
        assert!(read(&["--leader-elect=maybe"]).is_err());
    }

    #[test]
    fn bad_values_are_refused_with_a_message_that_says_what_is_right() {
        for (flags, says) in [
            (&["--fic-endpoint=api.ntt.com/fic-eri"][..], "https://"),
            (&["--fic-endpoint=ftp://api.ntt.com"], "https://"),
            (&["--fic-endpoint=https://user:pw@api.ntt.com"], "user"),
            (&["--fic-endpoint=https://api.ntt.com/?a=b"], "query"),
            (&["--keystone-endpoint=http://127.0.0.1:1/v3"], "--allow-insecure-http"),
            (&["--poll-interval=3"], "3s"),
            (&["--poll-interval=0s"], "longer than zero"),
            (&["--resync-interval=-1m"], "longer than zero"),
            (&["--operation-timeout=soon"], "10m"),
            (&["--concurrency=0"], "1.."),
            (&["--fic-requests-per-second=many"], "invalid digit"),
            (&["--http-bind-address=8080"], "invalid socket address"),
            (&["--log-format=xml"], "json"),
            (&["--watch-namespace=Team_A"], "lower-case"),
            (&["--label-selector=a=="], "team=network"),
            (&["--label-selector=a in (b"], "team=network"),
            (&["--ca-bundle=/nowhere/ca.pem"], "/nowhere/ca.pem"),
            (&["--no-such-flag"], "unexpected argument"),
        ] {
            let message = read(flags).expect_err(flags[0]);
            assert!(message.contains(says), "{flags:?} said: {message}");
        }
    }

    #[test]
    fn good_values_are_taken() {
        let run = read(&[
            "--fic-endpoint=http://127.0.0.1:8900/fic-eri/",
            "--allow-insecure-http",
            "--poll-interval=200ms",
            "--resync-interval=1h30m",
            "--watch-namespace=a",
            "--watch-namespace=b",
            "--label-selector=team=network,tier in (a, b),!old,shard!=3",
            "--fic-requests-per-second=0",
        ])
        .expect("all of it is right");
        assert_eq!(run.poll_interval.as_millis(), 200);
        assert_eq!(run.resync_interval.as_secs(), 5400);
        assert_eq!(run.watch_namespaces, ["a", "b"]);
    }

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }
}
