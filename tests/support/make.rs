//! The tools that the tests run. The Makefile builds those that are not cached.

use std::path::PathBuf;
use std::process::Command;

/// The paths of the tools that a target of the Makefile builds and prints.
pub(crate) fn tools(target: &str) -> Vec<PathBuf> {
    let mut make = Command::new("make");
    let make = make.args(["--silent", target]).current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    assert!(make.status.success(), "make {target}: {}", String::from_utf8_lossy(&make.stderr));
    String::from_utf8(make.stdout).unwrap().lines().map(PathBuf::from).collect()
}

/// The only tool of a target.
#[allow(dead_code, reason = "the tests of the chart need several tools at once")]
pub(crate) fn tool(target: &str) -> PathBuf {
    let [tool] = tools(target).try_into().unwrap();
    tool
}
