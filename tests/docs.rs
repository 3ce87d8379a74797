//! The parts of the README and of `docs/` that are generated. `UPDATE=1 cargo test --test docs` regenerates them.

#[path = "docs/examples.rs"]
mod examples;
#[path = "docs/permissions.rs"]
mod permissions;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use fic_support_operator::api::condition::{Progress, Reason};
use strum::VariantArray;

const BEGIN: &str = "<!-- reasons: generated from src/api/condition.rs -->\n";
const END: &str = "<!-- end of reasons -->\n";

fn reasons() -> String {
    let mut table =
        String::from("| Ready | reason | condition | meaning | what to do |\n| --- | --- | --- | --- | --- |\n");
    let ready = examples::ready();
    for reason in Reason::VARIANTS {
        let ready = &ready[reason];
        let progress = match reason.progress() {
            Progress::Settled => "",
            progress @ (Progress::Reconciling | Progress::Stalled) => progress.into(),
        };
        let (name, meaning, action) = (reason.as_str(), reason.meaning(), reason.action());
        let _ = writeln!(table, "| {ready} | `{name}` | {progress} | {meaning} | {action} |");
    }
    table
}

#[test]
fn the_table_of_reasons_in_the_readme_is_up_to_date() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = fs::read_to_string(&file).expect("README.md is readable");
    let (before, rest) = readme.split_once(BEGIN).expect("README.md has the first marker");
    let (committed, after) = rest.split_once(END).expect("README.md has the second marker");
    let reasons = reasons();
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&file, format!("{before}{BEGIN}{reasons}{END}{after}")).expect("README.md is written");
        return;
    }
    assert_eq!(committed, reasons, "run `UPDATE=1 cargo test --test docs` and commit README.md");
}
