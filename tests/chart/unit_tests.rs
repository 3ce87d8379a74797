//! The tests that the chart has itself, for those who change it without Rust, and helm's own check.

use std::process::Command;

use crate::helm::helm;
use crate::tools::{TOOLS, chart, output};

#[test]
fn helm_unittest_passes() {
    let printed = output(Command::new(&TOOLS.helm_unittest).arg("--strict").arg(chart())).unwrap();
    assert!(printed.contains("0 failed") || !printed.contains("failed"), "{printed}");
    assert!(!printed.contains("Tests:       0"), "{printed}");
}

#[test]
fn helm_lint_passes() {
    for binary in &TOOLS.helm {
        let printed = output(helm(binary).args(["lint", "--strict"]).arg(chart())).unwrap();
        assert!(printed.contains("0 chart(s) failed"), "{printed}");
    }
}
