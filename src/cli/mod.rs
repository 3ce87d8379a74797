//! The command line. Every flag is validated before anything starts: a value that is not valid ends the process with
//! exit code 2 and a message that names a valid one. Only the API server can validate `--label-selector`, see
//! [`crate::run`].

mod check;
mod fic;
mod report;
mod values;

use std::net::SocketAddr;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use reqwest::Url;

pub use check::{CheckArgs, Output};
pub use fic::FicArgs;
pub use report::ReportArgs;
pub(crate) use values::endpoint;
use values::{documentation_url, duration, label_selector, lease_name, namespace, poll_interval};

/// The default of `--http-bind-address`. It is not a default value for clap: only where the flag is not set, the operator
/// may bind another address.
pub const DEFAULT_ADDRESS: &str = "[::]:8080";

/// Kubernetes operator for Premium support contracts of NTT's Flexible InterConnect (FIC).
#[derive(Debug, Parser)]
// As with kubectl, the last value of a repeated flag wins: a kustomize overlay can append flags to those of the base.
#[command(name = crate::NAME, version, about, args_override_self = true)]
pub struct Cli {
    /// The command to run.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the operator.
    Run(Box<RunArgs>),
    /// Print the CRD of plans as YAML.
    Crd,
    /// Check without a change whether a plan would work: sign in, read the contract, and look at the cluster.
    Check(Box<CheckArgs>),
    /// Collect what a support case needs into one archive.
    Report(ReportArgs),
}

/// The flags of `run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// How FIC and Keystone are reached.
    #[command(flatten)]
    pub fic: FicArgs,

    /// Watch only this namespace. Repeat the flag or separate names with commas to watch several [default: all
    /// namespaces].
    #[arg(long = "watch-namespace", env = "FIC_OPERATOR_WATCH_NAMESPACE", value_name = "NS", value_delimiter = ',', value_parser = namespace)]
    pub watch_namespaces: Vec<String>,

    /// Reconcile only the plans that match this label selector, to divide the plans among several operators. Put all
    /// plans of a tenant into the same shard [default: all plans].
    #[arg(long, env = "FIC_OPERATOR_LABEL_SELECTOR", value_name = "SEL", value_parser = label_selector)]
    pub label_selector: Option<String>,

    /// The interval between two reads from FIC while an operation is in progress, as a number with a unit such as
    /// 500ms, 3s or 10m. At least 100ms.
    #[arg(long, env = "FIC_OPERATOR_POLL_INTERVAL", value_name = "TIME", default_value = "3s", value_parser = poll_interval)]
    pub poll_interval: Duration,

    /// The interval between two checks of a plan for drift, with random jitter.
    #[arg(long, env = "FIC_OPERATOR_RESYNC_INTERVAL", value_name = "TIME", default_value = "10m", value_parser = duration)]
    pub resync_interval: Duration,

    /// How long a contract that was active must be out of sight before it counts as lost.
    #[arg(long, env = "FIC_OPERATOR_LOSS_PATIENCE", value_name = "TIME", default_value = "5m", value_parser = duration)]
    pub loss_patience: Duration,

    /// The maximum number of lost contracts that all plans together buy again within an hour. Further ones wait for a
    /// person. 0 means no limit.
    #[arg(long, env = "FIC_OPERATOR_MAX_RECREATIONS_PER_HOUR", value_name = "N", default_value_t = 3)]
    pub max_recreations_per_hour: u32,

    /// The time FIC may take for an operation before the plan is reported as stalled.
    #[arg(long, env = "FIC_OPERATOR_OPERATION_TIMEOUT", value_name = "TIME", default_value = "10m", value_parser = duration)]
    pub operation_timeout: Duration,

    /// The maximum number of requests per second to FIC and Keystone, for all tenants together. Namespaces
    /// take turns. 0 means no limit.
    #[arg(long, env = "FIC_OPERATOR_FIC_REQUESTS_PER_SECOND", value_name = "N", default_value_t = 50)]
    pub fic_requests_per_second: u32,

    /// The maximum number of plans that are reconciled at the same time. A plan whose request to FIC takes longer than a
    /// second does not count.
    #[arg(long, env = "FIC_OPERATOR_CONCURRENCY", value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..))]
    pub concurrency: u16,

    /// Elect a leader among several replicas. Only the leader reconciles plans.
    #[arg(long, help = "Elect a leader among several replicas, with a Lease in the namespace that the variable POD_NAMESPACE names. Only the leader reconciles plans", env = "FIC_OPERATOR_LEADER_ELECT", value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true", action = clap::ArgAction::Set)]
    pub leader_elect: bool,

    /// The name of the Lease for leader election. All replicas of one operator use the same name, and each shard has its
    /// own.
    #[arg(long, env = "FIC_OPERATOR_LEASE_NAME", value_name = "NAME", default_value = crate::NAME, value_parser = lease_name)]
    pub lease_name: String,

    /// The IP address and port to serve /healthz, /readyz and /metrics on. None: IPv6 and IPv4, at port 8080.
    #[arg(
        long,
        help = "The IP address and port to serve /healthz, /readyz and /metrics on. The default serves IPv6 and IPv4, or only IPv4 on a machine without IPv6 [default: [::]:8080]",
        env = "FIC_OPERATOR_HTTP_BIND_ADDRESS",
        value_name = "ADDR"
    )]
    pub http_bind_address: Option<SocketAddr>,

    /// The maximum number of plans with a metric of their own. Only plans that are not Ready have one. 0 means none.
    #[arg(long, env = "FIC_OPERATOR_METRICS_PLAN_LIMIT", value_name = "N", default_value_t = crate::index::metrics::DEFAULT_PLAN_LIMIT)]
    pub metrics_plan_limit: usize,

    /// Have a metric with the contract of each plan.
    #[arg(
        long,
        help = "Have a metric with the tenant, the contract and the menu of each plan that owns a contract: one series for each. As a variable or with =, true or false",
        env = "FIC_OPERATOR_METRICS_CONTRACTS",
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_value = "false",
        default_missing_value = "true",
        action = clap::ArgAction::Set
    )]
    pub metrics_contracts: bool,

    /// The base URL of an OpenTelemetry Collector. Traces are sent to it over HTTP.
    #[arg(
        long,
        help = "The base URL of an OpenTelemetry Collector that traces are sent to over HTTP, such as http://otel-collector.monitoring:4318. A trace has names and IDs, and no credentials [default: no traces]",
        env = "FIC_OPERATOR_OTLP_ENDPOINT",
        value_name = "URL",
        value_parser = endpoint
    )]
    pub otlp_endpoint: Option<Url>,

    /// The base URL of the site of the documents. The messages of plans that are not Ready then end with a link to the page of their
    /// reason [default: no links].
    #[arg(long, env = "FIC_OPERATOR_DOCUMENTATION_URL", value_name = "URL", value_parser = documentation_url)]
    pub documentation_url: Option<String>,

    /// The format of log lines.
    #[arg(
        long,
        help = "The format of log lines. The variable RUST_LOG sets the log level [default level: info]",
        env = "FIC_OPERATOR_LOG_FORMAT",
        value_name = "FORMAT",
        default_value = "text"
    )]
    pub log_format: LogFormat,
}

/// The format of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Human-readable lines.
    Text,
    /// One JSON object per line.
    Json,
}

impl Cli {
    /// Reads the command line and the environment.
    ///
    /// # Errors
    /// A message that names the value that is not valid and how to correct it.
    pub fn read<I, T>(arguments: I) -> Result<Self, clap::Error>
    where
        I: IntoIterator<Item = T>,
        T: Into<std::ffi::OsString> + Clone,
    {
        let matches = Self::command().try_get_matches_from(arguments)?;
        let mut cli = Self::from_arg_matches(&matches)?;
        let fic = match &mut cli.command {
            Command::Run(run) => Some(&mut run.fic),
            Command::Check(check) => {
                let source = matches.subcommand().and_then(|(_, check)| check.value_source("keystone_endpoint"));
                check.keystone_endpoint_is_set = source != Some(ValueSource::DefaultValue);
                Some(&mut check.fic)
            }
            Command::Crd | Command::Report(_) => None,
        };
        if let Some(fic) = fic {
            fic.validate().map_err(|message| Self::command().error(ErrorKind::ValueValidation, message))?;
        }
        Ok(cli)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(flags: &[&str]) -> Result<Box<RunArgs>, String> {
        let arguments = [crate::NAME, "run"].iter().chain(flags);
        match Cli::read(arguments).map_err(|error| (error.exit_code(), error.to_string())) {
            Ok(Cli { command: Command::Run(run) }) => Ok(run),
            Ok(Cli { command: Command::Crd | Command::Check(_) | Command::Report(_) }) => {
                unreachable!("the command is run")
            }
            Err((code, message)) => {
                assert_eq!(code, 2);
                Err(message)
            }
        }
    }

    #[test]
    fn defaults_match_the_documentation() {
        let run = read(&[]).expect("no flag is required");
        assert_eq!(run.fic.fic_endpoint.as_str(), "https://api.ntt.com/fic-eri");
        assert_eq!(run.fic.keystone_endpoint.as_str(), "https://api.ntt.com/keystone/v3");
        assert_eq!((run.poll_interval.as_secs(), run.resync_interval.as_secs()), (3, 600));
        assert_eq!((run.operation_timeout.as_secs(), run.fic.request_timeout.as_secs()), (600, 30));
        assert_eq!((run.loss_patience.as_secs(), run.max_recreations_per_hour), (300, 3));
        assert_eq!((run.fic_requests_per_second, run.concurrency), (50, 64));
        assert!(!run.leader_elect && !run.fic.allow_insecure_http && run.watch_namespaces.is_empty());
        assert_eq!(run.lease_name, "fic-support-operator");
        assert_eq!((run.http_bind_address, run.log_format), (None, LogFormat::Text));
        assert_eq!((run.metrics_plan_limit, run.metrics_contracts), (1000, false));
        let mut command = Cli::command();
        let help = command.find_subcommand_mut("run").expect("the command").render_long_help().to_string();
        assert!(help.contains(&format!("[default: {DEFAULT_ADDRESS}]")), "{help}");
    }

    #[test]
    fn switch_accepts_an_optional_value() {
        assert!(read(&["--leader-elect"]).expect("valid").leader_elect);
        assert!(read(&["--leader-elect=true"]).expect("valid").leader_elect);
        assert!(!read(&["--leader-elect=false"]).expect("valid").leader_elect);
        assert!(read(&["--leader-elect=maybe"]).is_err(), "the value is not a boolean");
    }

    #[test]
    fn invalid_value_is_rejected_with_a_message_that_names_a_valid_one() {
        for (flags, expected) in [
            (&["--fic-endpoint=api.ntt.com/fic-eri"][..], "https://"),
            (&["--fic-endpoint=ftp://api.ntt.com"], "https://"),
            (&["--fic-endpoint=https://user:pw@api.ntt.com"], "user"),
            (&["--fic-endpoint=https://api.ntt.com/?a=b"], "query"),
            (&["--keystone-endpoint=http://127.0.0.1:1/v3"], "--allow-insecure-http"),
            (&["--poll-interval=3"], "3s"),
            (&["--poll-interval=0s"], "longer than zero"),
            (&["--poll-interval=99ms"], "at least 100ms"),
            (&["--poll-interval=99999999ns"], "at least 100ms"),
            (&["--resync-interval=-1m"], "longer than zero"),
            (&["--operation-timeout=soon"], "10m"),
            (&["--concurrency=0"], "1.."),
            (&["--fic-requests-per-second=many"], "invalid digit"),
            (&["--http-bind-address=8080"], "invalid socket address"),
            (&["--log-format=xml"], "json"),
            (&["--watch-namespace=Team_A"], "lower-case"),
            (&["--lease-name="], "fic-support-operator-shard-a"),
            (&["--lease-name=Shard_A"], "lower-case"),
            (&["--lease-name=a..b"], "lower-case"),
            (&["--label-selector="], "team=network"),
            (&["--label-selector= "], "team=network"),
            (&["--documentation-url=docs.example"], "https://"),
            (&["--documentation-url=https://docs.example/?a=b"], "query"),
            (&[&*format!("--documentation-url=https://docs.example/{}", "x".repeat(200))], "200 bytes"),
            (&["--ca-bundle=/nowhere/ca.pem"], "/nowhere/ca.pem"),
            (&["--no-such-flag"], "unexpected argument"),
        ] {
            let message = read(flags).expect_err(flags[0]);
            assert!(message.contains(expected), "{flags:?}: {message}");
        }
    }

    #[test]
    fn valid_values_are_accepted() {
        let run = read(&[
            "--fic-endpoint=http://127.0.0.1:8900/fic-eri/",
            "--allow-insecure-http",
            "--poll-interval=200ms",
            "--resync-interval=1h30m",
            "--watch-namespace=a",
            "--watch-namespace=b",
            "--lease-name=shard-a.v1",
            "--label-selector=team=network,tier in (a, b),!old,shard!=3",
            "--fic-requests-per-second=0",
        ])
        .expect("every value is valid");
        assert_eq!(run.poll_interval.as_millis(), 200);
        assert_eq!(read(&["--poll-interval=100ms"]).expect("the shortest").poll_interval.as_millis(), 100);
        assert_eq!(run.resync_interval.as_secs(), 5400);
        assert_eq!(run.watch_namespaces, ["a", "b"]);
    }

    #[test]
    fn clap_definition_is_consistent() {
        Cli::command().debug_assert();
    }
}
