//! The flags of `report`.

use std::path::PathBuf;

use clap::Args;

use super::values::namespace;

/// The flags of `report`.
#[derive(Debug, Args)]
pub struct ReportArgs {
    /// Report only the plans of this namespace [default: all namespaces].
    #[arg(long, short, value_name = "NS", value_parser = namespace)]
    pub namespace: Option<String>,

    /// The namespace of the operator.
    #[arg(long, value_name = "NS", default_value = crate::NAME, value_parser = namespace)]
    pub operator_namespace: String,

    /// The archive to write. It must not exist.
    #[arg(long, short, value_name = "FILE", default_value = "fic-support-report.tar.gz")]
    pub output: PathBuf,
}
