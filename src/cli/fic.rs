//! The flags that say how FIC and Keystone are reached. `run` and `check` have them in common.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use reqwest::{Certificate, Url};

use super::values::{duration, endpoint, root_certificates};

/// How FIC and Keystone are reached.
#[derive(Debug, Args)]
pub struct FicArgs {
    /// The base URL of the FIC API.
    #[arg(long, env = "FIC_OPERATOR_FIC_ENDPOINT", value_name = "URL", default_value = "https://api.ntt.com/fic-eri", value_parser = endpoint)]
    pub fic_endpoint: Url,

    /// The base URL of the Keystone v3 API, which issues the tokens for FIC.
    #[arg(long, env = "FIC_OPERATOR_KEYSTONE_ENDPOINT", value_name = "URL", default_value = "https://api.ntt.com/keystone/v3", value_parser = endpoint)]
    pub keystone_endpoint: Url,

    /// Allow http:// endpoints, for use with a simulator. Credentials and tokens are then sent unencrypted.
    #[arg(long, env = "FIC_OPERATOR_ALLOW_INSECURE_HTTP", value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true", action = clap::ArgAction::Set)]
    pub allow_insecure_http: bool,

    /// The path to a PEM file of CA certificates to trust in addition to those of the system, such as that of a
    /// corporate proxy.
    #[arg(long, env = "FIC_OPERATOR_CA_BUNDLE", value_name = "FILE")]
    pub ca_bundle: Option<PathBuf>,

    /// The time limit for a whole request to FIC or Keystone. The connection itself must be established within 5s.
    #[arg(long, env = "FIC_OPERATOR_REQUEST_TIMEOUT", value_name = "TIME", default_value = "30s", value_parser = duration)]
    pub request_timeout: Duration,

    /// The certificates read from `ca_bundle`.
    #[arg(skip)]
    pub root_certificates: Vec<Certificate>,
}

impl FicArgs {
    /// Validates what depends on several flags or on a file.
    pub(super) fn validate(&mut self) -> Result<(), String> {
        for (flag, url) in [("--fic-endpoint", &self.fic_endpoint), ("--keystone-endpoint", &self.keystone_endpoint)] {
            self.require_encryption(flag, url)?;
        }
        if let Some(file) = &self.ca_bundle {
            self.root_certificates = root_certificates(file)?;
        }
        Ok(())
    }

    /// Rejects an endpoint that would send the credentials unencrypted.
    ///
    /// # Errors
    /// A message that names where the endpoint comes from.
    pub fn require_encryption(&self, source: &str, url: &Url) -> Result<(), String> {
        if url.scheme() == "http" && !self.allow_insecure_http {
            return Err(format!(
                "{source} is {url}: http:// would send the credentials unencrypted; use https://, or \
                 --allow-insecure-http for a simulator"
            ));
        }
        Ok(())
    }
}
