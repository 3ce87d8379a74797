//! `fic-support-operator report`: collects what a support case needs into one archive.
//!
//! [`collect`] reads from the API server, [`redact`] keeps what must not leave the cluster out of it, and [`archive`]
//! writes the files. What cannot be read is named in `missing.txt`; it does not end the command.

mod archive;
mod collect;
mod redact;

use std::fmt::Write as _;

use thiserror::Error;

use crate::cli::ReportArgs;
use crate::proxy::Proxies;
use crate::run::{self, RunError};
use archive::Archive;
use collect::Collector;

/// What goes to stdout, and the exit code.
#[derive(Debug)]
pub struct Report {
    /// The text for stdout.
    pub text: String,
    /// 0: the archive is complete. 1: something could not be read.
    pub exit_code: u8,
}

/// Why there is no archive.
#[derive(Debug, Error)]
pub enum ReportFailed {
    /// A client cannot be created.
    #[error(transparent)]
    Client(#[from] RunError),
    /// The archive cannot be written.
    #[error("cannot write {file}: {error}")]
    Write {
        /// The file.
        file: String,
        /// Why.
        #[source]
        error: std::io::Error,
    },
}

impl ReportFailed {
    /// The exit code: that of the operator itself, or 1.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Client(error) => error.exit_code(),
            Self::Write { .. } => 1,
        }
    }
}

/// Collects.
///
/// # Errors
/// When there is no client, or the archive cannot be written.
pub async fn run(arguments: ReportArgs) -> Result<Report, ReportFailed> {
    let (client, _) = run::client(&Proxies::from_env())?;
    let file = &arguments.output;
    let write_error = |error| ReportFailed::Write { file: file.display().to_string(), error };
    let mut archive = Archive::at(file).map_err(write_error)?;
    let mut collector = Collector { client, arguments: &arguments, archive: &mut archive };
    collector.all().await.map_err(write_error)?;
    let summary = archive.finish().map_err(write_error)?;
    let mut text = format!("{} has {} files, and no value of a Secret\n", file.display(), summary.files);
    for missing in &summary.missing {
        let _ = writeln!(text, "✗ {missing}");
    }
    Ok(Report { text, exit_code: u8::from(!summary.missing.is_empty()) })
}
