//! The flags of `check`.

use clap::{Args, ValueEnum};

use super::FicArgs;
use super::values::{namespace, object_name, secret_key, tenant_id};
use crate::api::key::ObjectKey;

/// The flags of `check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// The ID of the tenant [default: that of the cloud, of the variables, or of the plan that refers to the Secret].
    #[arg(long, value_name = "ID", value_parser = tenant_id)]
    pub tenant_id: Option<String>,

    /// The name of a cloud in clouds.yaml.
    #[arg(
        long,
        help = "The name of a cloud in clouds.yaml, with the credentials, the tenant and the address of Keystone [default: the variable OS_CLOUD]",
        value_name = "NAME",
        conflicts_with = "secret"
    )]
    pub cloud: Option<String>,

    /// The namespace and the name of a credentials Secret in the cluster.
    #[arg(long, value_name = "NS/NAME", value_parser = secret_key)]
    pub secret: Option<ObjectKey>,

    /// The namespace of the plan [default: that of the Secret, or of the kubeconfig].
    #[arg(long, short, value_name = "NS", value_parser = namespace)]
    pub namespace: Option<String>,

    /// The name of the plan. Any other plan of the tenant is then reported.
    #[arg(long, value_name = "NAME", value_parser = object_name)]
    pub name: Option<String>,

    /// The format of the output.
    #[arg(
        long,
        short,
        help = "The format of the output. yaml prints a plan that adopts the contract, and on stderr what text prints",
        value_name = "FORMAT",
        default_value = "text"
    )]
    pub output: Output,

    /// How FIC and Keystone are reached.
    #[command(flatten)]
    pub fic: FicArgs,

    /// Whether the address of Keystone is that of a flag or of its variable, and not the default.
    #[arg(skip)]
    pub keystone_endpoint_is_set: bool,
}

/// The format of the output of `check`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// A line for each finding.
    Text,
    /// One JSON object.
    Json,
    /// The plan that adopts the contract.
    Yaml,
}
