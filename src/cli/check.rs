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

#[cfg(test)]
mod tests {
    use super::super::{Cli, Command};
    use super::*;

    fn read(flags: &[&str]) -> Result<CheckArgs, (i32, String)> {
        let cli = Cli::read([crate::NAME, "check"].iter().chain(flags));
        match cli.map_err(|error| (error.exit_code(), error.to_string()))?.command {
            Command::Check(check) => Ok(*check),
            Command::Run(_) | Command::Crd | Command::Report(_) => unreachable!("the command is check"),
        }
    }

    #[test]
    fn invalid_value_is_rejected_with_a_message_that_says_what_is_valid() {
        for (flags, expected) in [
            (&["--tenant-id=db8b"][..], "32 lower-case hexadecimal digits"),
            (&["--tenant-id=DB8B0E40743F460685040C46167CF19E"], "32 lower-case hexadecimal digits"),
            (&["--secret=fic-credentials"], "team-a/fic-credentials"),
            (&["--secret=Team/fic-credentials"], "namespace name"),
            (&["--secret=team/"], "name of an object"),
            (&["--secret=team/a", "--cloud=b"], "cannot be used with"),
            (&["--name=Premium"], "name of an object"),
            (&["-o", "xml"], "json"),
        ] {
            let (code, message) = read(flags).expect_err(flags[0]);
            assert!(code == 2 && message.contains(expected), "{flags:?}: {message}");
        }
    }

    #[test]
    fn address_of_keystone_is_known_to_be_set_or_not() {
        assert!(!read(&[]).expect("no flag is required").keystone_endpoint_is_set);
        let set = read(&["--keystone-endpoint=https://keystone.example/v3", "--secret=team/a"]).expect("valid");
        assert!(set.keystone_endpoint_is_set);
        assert_eq!(set.secret, Some(ObjectKey::new("team", "a")));
    }
}
