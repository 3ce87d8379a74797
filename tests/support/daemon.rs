//! A process that runs beside a test.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// A running process that logs to a file. It is killed when this value is dropped.
pub struct Daemon {
    pub process: Child,
    log: PathBuf,
}

impl Daemon {
    /// Starts a process. What it prints to standard error is its log.
    pub fn start(command: &mut Command, log: PathBuf) -> Self {
        let file = File::create(&log).unwrap();
        let process = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file).spawn().unwrap();
        Self { process, log }
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
