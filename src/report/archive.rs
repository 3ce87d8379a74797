//! Writes the files of the archive: a tar file, compressed with gzip, in one folder.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use tar::{Builder, Header};

/// The folder in the archive.
const FOLDER: &str = "fic-support-report";

/// An archive that is being written.
pub(super) struct Archive {
    builder: Builder<GzEncoder<File>>,
    files: usize,
    missing: Vec<String>,
}

/// What the archive has.
pub(super) struct Summary {
    pub(super) files: usize,
    /// What could not be read, and why.
    pub(super) missing: Vec<String>,
}

impl Archive {
    /// Creates the file, which must not exist: only its owner may read it.
    pub(super) fn at(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let builder = Builder::new(GzEncoder::new(options.open(path)?, Compression::default()));
        Ok(Self { builder, files: 0, missing: Vec::new() })
    }

    /// Adds a file.
    pub(super) fn add(&mut self, name: &str, content: &[u8]) -> io::Result<()> {
        let mut header = Header::new_gnu();
        header.set_mode(0o600);
        header.set_size(content.len() as u64);
        self.files += 1;
        self.builder.append_data(&mut header, format!("{FOLDER}/{name}"), content)
    }

    /// Notes that something could not be read.
    pub(super) fn miss(&mut self, what: &str, why: &str) {
        self.missing.push(format!("{what}: {why}"));
    }

    /// Adds `missing.txt`, if something is missing, and completes the file.
    pub(super) fn finish(mut self) -> io::Result<Summary> {
        if !self.missing.is_empty() {
            self.add("missing.txt", (self.missing.join("\n") + "\n").as_bytes())?;
        }
        self.builder.into_inner()?.finish()?.sync_all()?;
        Ok(Summary { files: self.files, missing: self.missing })
    }
}
