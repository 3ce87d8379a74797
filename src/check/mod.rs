//! `fic-support-operator check`: says without a change whether a plan would work, and what is in its way.
//!
//! It asks the same questions as the operator, with the same client: [`access`] finds the credentials, [`fic`] and
//! [`cluster`] observe, [`findings`] decides what that means, [`output`] and [`manifest`] print it. The client is a
//! [`FicReader`](crate::fic::reader::FicReader), which can neither buy nor abolish.

mod access;
mod clouds;
mod cluster;
mod fic;
mod findings;
mod manifest;
mod output;

use kube::Client;

use crate::cli::{CheckArgs, Output};
use crate::proxy::Proxies;
use crate::run::{self, RunError};
use access::{AccessError, Source};
use findings::{Facts, Verdict};

/// What goes to stdout and to stderr, and the exit code.
#[derive(Debug, Default)]
pub struct Report {
    /// The text for stdout.
    pub out: String,
    /// The text for stderr.
    pub err: String,
    /// 0: all is well. 1: something is in the way. 3: all is well, and the tenant has no contract.
    pub exit_code: u8,
}

/// Why nothing was checked.
#[derive(Debug, thiserror::Error)]
pub enum CheckFailed {
    /// The flags and variables do not say what to check.
    #[error("{0}")]
    Usage(String),
    /// A client cannot be created.
    #[error(transparent)]
    Client(#[from] RunError),
}

impl CheckFailed {
    /// The exit code: 2 for usage, else that of the operator itself.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::Client(error) => error.exit_code(),
        }
    }
}

/// Checks.
///
/// # Errors
/// When the flags and variables do not say what to check.
pub async fn run(mut arguments: CheckArgs) -> Result<Report, CheckFailed> {
    let proxies = Proxies::from_env();
    let connection = match run::client(&proxies) {
        Ok(connection) => Ok(connection),
        Err(error) if error.exit_code() == 2 => return Err(error.into()),
        Err(error) => Err(error),
    };
    let client = connection.as_ref().ok().map(|(client, _)| client);
    let source = match access::find(&arguments, client, |name| std::env::var(name).ok()).await {
        Ok(source) => Ok(source),
        Err(AccessError::Usage(message)) => return Err(CheckFailed::Usage(message)),
        Err(AccessError::Found(finding)) => Err(finding),
    };
    let namespace = namespace(&arguments, client);
    let fic = match &source {
        Ok(source) => Some(observe_fic(&mut arguments, source, proxies).await?),
        Err(_) => None,
    };
    let tenant = source.as_ref().ok().map(|source| &*source.access.tenant);
    let cluster = match &connection {
        Ok((client, config)) => cluster::observe(client, *config, &namespace, tenant).await,
        Err(error) => cluster::unreached(error),
    };
    let facts = Facts { source: source.as_ref().map_err(Clone::clone), fic, cluster, plan: arguments.name.as_deref() };
    let verdict = findings::judge(&facts);
    Ok(print(&arguments, &facts, &verdict, &namespace))
}

/// The namespace of the plan.
fn namespace(arguments: &CheckArgs, client: Option<&Client>) -> String {
    let of_secret = || arguments.secret.as_ref().map(|secret| secret.namespace.to_string());
    let of_kubeconfig = || client.map(|client| client.default_namespace().to_owned());
    arguments.namespace.clone().or_else(of_secret).or_else(of_kubeconfig).unwrap_or_else(|| "default".into())
}

async fn observe_fic(
    arguments: &mut CheckArgs,
    source: &Source,
    proxies: Proxies,
) -> Result<fic::FicFacts, CheckFailed> {
    if let Some((name, endpoint)) = &source.keystone_endpoint
        && !arguments.keystone_endpoint_is_set
    {
        arguments.fic.require_encryption(name, endpoint).map_err(CheckFailed::Usage)?;
        arguments.fic.keystone_endpoint = endpoint.clone();
    }
    let routes = fic::routes(&arguments.fic, &proxies).map_err(RunError::from)?;
    let reader = run::fic_reader(&arguments.fic, proxies)?;
    Ok(fic::observe(&reader, &source.access, routes).await)
}

fn print(arguments: &CheckArgs, facts: &Facts<'_>, verdict: &Verdict, namespace: &str) -> Report {
    let exit_code = verdict.exit_code;
    match arguments.output {
        Output::Text => Report { out: output::text(verdict), exit_code, ..Report::default() },
        Output::Json => Report { out: output::json(verdict, facts), exit_code, ..Report::default() },
        Output::Yaml => {
            let plan = manifest::Place { namespace, name: arguments.name.as_deref() };
            let out = manifest::adopting_plan(facts, verdict, plan).unwrap_or_default();
            Report { out, err: output::text(verdict), exit_code }
        }
    }
}
