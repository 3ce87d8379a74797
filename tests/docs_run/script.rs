//! Runs a segment of a page as one bash script.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

use crate::blocks::{Kind, Segment};
use crate::output::{Example, examples};
use crate::scene::Cluster;

/// How long a segment may take.
const TIMEOUT: Duration = Duration::from_mins(5);

/// The script, and the commands whose output is compared: the line in the page, and the file with what was printed.
fn script(segment: &Segment) -> (String, Vec<(usize, String, Example)>) {
    let mut script = String::from("set -euo pipefail\nstep() { echo \"$1\" >\"$STEPS/current\"; }\n");
    let mut compared = Vec::new();
    for block in segment.blocks.iter().filter(|block| block.not_run.is_none()) {
        let _ = writeln!(script, "step {}", block.line);
        match block.kind {
            Kind::Sh => script.push_str(&block.text),
            Kind::Console => {
                for example in examples(&block.text) {
                    let file = format!("output-{}", compared.len());
                    let _ = writeln!(script, "{{ {}\n}} >\"$STEPS/{file}\" 2>&1 || true", example.command);
                    compared.push((block.line, file, example));
                }
            }
        }
    }
    (script, compared)
}

/// Runs the segment, and compares the outputs.
pub(crate) async fn run(segment: &Segment, cluster: &Cluster) -> Result<(), String> {
    let steps = tempfile::tempdir().unwrap();
    let (script, compared) = script(segment);
    let folder = cluster.folder();
    for (name, content) in &segment.files {
        fs::write(folder.join(name), content).unwrap();
    }
    fs::write(steps.path().join("script"), script).unwrap();
    let mut bash = Command::new("bash");
    bash.arg(steps.path().join("script")).current_dir(folder).envs(cluster.variables()).env("STEPS", steps.path());
    let log = steps.path().join("log");
    let file = fs::File::create(&log).unwrap();
    bash.stdin(Stdio::null()).stdout(file.try_clone().unwrap()).stderr(file).kill_on_drop(true);
    let status = timeout(TIMEOUT, bash.status()).await;
    let outcome = match status {
        Ok(status) if status.as_ref().unwrap().success() => None,
        Ok(status) => Some(status.unwrap().to_string()),
        Err(_) => Some(format!("no end after {TIMEOUT:?}")),
    };
    if let Some(outcome) = outcome {
        let at = read(&steps.path().join("current"));
        let (log, operators) = (read(&log), cluster.logs());
        return Err(format!("{}: the block at line {}: {outcome}\n{log}\n{operators}", segment.file, at.trim()));
    }
    let differences = compared.iter().filter_map(|(line, file, example)| {
        let printed = read(&steps.path().join(file));
        let Example { command, expected } = example;
        let expected = expected.join("\n");
        (!example.matches(&printed))
            .then(|| format!("{}:{line}: $ {command}\nexpected:\n{expected}\nprinted:\n{printed}", segment.file))
    });
    let differences = differences.collect::<Vec<_>>();
    if differences.is_empty() { Ok(()) } else { Err(differences.join("\n")) }
}

fn read(file: &Path) -> String {
    fs::read_to_string(file).unwrap_or_default()
}
