//! Runs a segment of a page as one bash script.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::blocks::{Kind, Segment};
use crate::output::{Example, examples};
use crate::scene::Cluster;

/// How long a segment may take.
const TIMEOUT: Duration = Duration::from_mins(5);
/// How often a command is run until it prints what the document says: an Event may be written a moment later.
const ATTEMPTS: usize = 20;

/// The beginning of a script. It asks by its standard output whether a command has printed what it should, and is answered by
/// its standard input.
const BEGIN: &str = r#"set -euo pipefail
exec 3>&1 4<&0 </dev/null >"$STEPS/log" 2>&1
step() { echo "$1" >"$STEPS/current"; }
compare() {
    while "$1" >"$STEPS/$1" 2>&1 || true; do
        echo "$1" >&3
        read -r answer <&4
        [ "$answer" = again ] || break
        sleep 0.2
    done
}
"#;

/// A command whose output is compared.
struct Compared {
    /// The line of its block.
    line: usize,
    /// Its function in the script, and the file with what it printed.
    name: String,
    example: Example,
}

fn script(segment: &Segment) -> (String, Vec<Compared>) {
    let (mut script, mut compared) = (String::from(BEGIN), Vec::new());
    for block in segment.blocks.iter().filter(|block| block.not_run.is_none()) {
        let _ = writeln!(script, "step {}", block.line);
        match block.kind {
            Kind::Sh => script.push_str(&block.text),
            Kind::Console => {
                for example in examples(&block.text) {
                    let name = format!("command_{}", compared.len());
                    let _ = writeln!(script, "{name}() {{\n{}\n}}\ncompare {name}", example.command);
                    compared.push(Compared { line: block.line, name, example });
                }
            }
        }
    }
    (script, compared)
}

/// Answers the script until it ends. Returns the differences.
async fn answer(bash: &mut Child, compared: &[Compared], steps: &Path) -> Vec<String> {
    let mut questions = BufReader::new(bash.stdout.take().unwrap()).lines();
    let mut answers = bash.stdin.take().unwrap();
    let (mut attempts, mut differences) = (0, Vec::new());
    while let Some(name) = questions.next_line().await.unwrap() {
        let Compared { line, example, .. } = compared.iter().find(|compared| compared.name == name).unwrap();
        let printed = read(&steps.join(&name));
        attempts += 1;
        let matches = example.matches(&printed);
        if !matches && attempts < ATTEMPTS {
            answers.write_all(b"again\n").await.unwrap();
            continue;
        }
        if !matches {
            let (command, expected) = (&example.command, example.expected.join("\n"));
            differences.push(format!("line {line}: $ {command}\nexpected:\n{expected}\nprinted:\n{printed}"));
        }
        attempts = 0;
        answers.write_all(b"next\n").await.unwrap();
    }
    differences
}

/// Runs the segment, and compares the outputs.
pub(crate) async fn run(segment: &Segment, cluster: &Cluster) -> Result<(), String> {
    let steps = tempfile::tempdir().unwrap();
    let steps = steps.path();
    let (script, compared) = script(segment);
    let folder = cluster.folder();
    for (name, content) in &segment.files {
        fs::write(folder.join(name), content).unwrap();
    }
    fs::write(steps.join("script"), script).unwrap();
    let mut bash = Command::new("bash");
    bash.arg(steps.join("script")).current_dir(folder).envs(cluster.variables()).env("STEPS", steps);
    let mut bash = bash.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let ended = timeout(TIMEOUT, async {
        let differences = answer(&mut bash, &compared, steps).await;
        (bash.wait().await.unwrap(), differences)
    });
    let outcome = match ended.await {
        Ok((status, differences)) if status.success() && differences.is_empty() => return Ok(()),
        Ok((status, differences)) if status.success() => {
            return Err(format!("{}: {}", segment.file, differences.join("\n")));
        }
        Ok((status, _)) => status.to_string(),
        Err(_) => format!("no end after {TIMEOUT:?}"),
    };
    let (at, log) = (read(&steps.join("current")), read(&steps.join("log")));
    Err(format!("{}: the block at line {}: {outcome}\n{log}\n{}", segment.file, at.trim(), cluster.logs()))
}

fn read(file: &Path) -> String {
    fs::read_to_string(file).unwrap_or_default()
}
