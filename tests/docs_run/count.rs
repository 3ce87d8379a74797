//! How many blocks run, and why the others do not. The committed table changes only on purpose.

use std::fmt::Write as _;
use std::fs;

use crate::blocks::{Block, Page, pages, root};

const FILE: &str = "tests/docs_run/README.md";

/// The table of the pages, with each block that does not run.
pub(crate) fn table(pages: &[Page]) -> String {
    let mut table = String::from("| page | run | not run | why not |\n| --- | --- | --- | --- |\n");
    let (mut all_run, mut all_not_run) = (0, 0);
    for page in pages {
        let blocks = page.segments.iter().flat_map(|segment| &segment.blocks);
        let (run, not_run) = blocks.partition::<Vec<&Block>, _>(|block| block.not_run.is_none());
        let why = not_run.iter().filter_map(|block| block.not_run.as_deref()).collect::<Vec<_>>().join("; ");
        let _ = writeln!(table, "| {} | {} | {} | {why} |", page.file, run.len(), not_run.len());
        all_run += run.len();
        all_not_run += not_run.len();
    }
    let _ = writeln!(table, "| **all** | **{all_run}** | **{all_not_run}** | |");
    table
}

#[test]
fn the_table_of_blocks_is_up_to_date() {
    let text = format!(
        "# The commands in the documents\n\n`make docs-test` runs each `sh` and `console` block of the README and of `docs/` on a real API server with a simulator of FIC.\n\
         `main.rs` says how a page is written. `PAGE=uninstall make docs-test` runs the pages with that in their names.\n\n\
         `UPDATE=1 cargo test --test docs_run count` regenerates this table. A block that does not run is counted, with its reason.\n\n{}",
        table(&pages())
    );
    if std::env::var_os("UPDATE").is_some() {
        return fs::write(root().join(FILE), text).unwrap();
    }
    let committed = fs::read_to_string(root().join(FILE)).unwrap_or_default();
    assert_eq!(committed, text, "run `UPDATE=1 cargo test --test docs_run count`, and check that each change is meant");
}
