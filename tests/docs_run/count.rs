//! How many blocks run, and why the others do not. The committed table changes only on purpose.

use crate::blocks::{Block, Page, pages};
use crate::generated::{self, check};

/// The table of the pages, with each block that does not run.
pub(crate) fn table(pages: &[Page]) -> String {
    let (mut all_run, mut all_not_run) = (0, 0);
    let mut rows = Vec::new();
    for page in pages {
        let blocks = page.segments.iter().flat_map(|segment| &segment.blocks);
        let (run, not_run) = blocks.partition::<Vec<&Block>, _>(|block| block.not_run.is_none());
        let why = not_run.iter().filter_map(|block| block.not_run.as_deref()).collect::<Vec<_>>().join("; ");
        rows.push([page.file.clone(), run.len().to_string(), not_run.len().to_string(), why]);
        all_run += run.len();
        all_not_run += not_run.len();
    }
    rows.push(["**all**".into(), format!("**{all_run}**"), format!("**{all_not_run}**"), String::new()]);
    generated::table(["page", "run", "not run", "why not"], rows)
}

#[test]
fn the_table_of_blocks_is_up_to_date() {
    check("tests/docs_run/README.md", &[("blocks", table(&pages()))]);
}
