//! The files of the repository, and the sections of pages that are generated. `UPDATE=1` rewrites them.

use std::fs;
use std::path::{Path, PathBuf};

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// The text of a file of the repository.
pub(crate) fn read(file: &str) -> String {
    fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// What is before and after the text between the lines `<!-- NAME: generated from SOURCE -->` and `<!-- end of NAME -->`.
fn around_section<'a>(page: &'a str, file: &str, name: &str) -> (&'a str, &'a str) {
    let begin =
        page.find(&format!("<!-- {name}: generated ")).unwrap_or_else(|| panic!("{file} has no section {name}"));
    let begin = begin + page[begin..].find('\n').map_or(0, |length| length + 1);
    let length = page[begin..].find(&format!("<!-- end of {name} -->"));
    let end = begin + length.unwrap_or_else(|| panic!("{file}: the section {name} has no end"));
    (&page[..begin], &page[end..])
}

/// Compares the sections of a page with what they should be, or writes them with `UPDATE=1`.
pub(crate) fn check(file: &str, sections: &[(&str, String)]) {
    let committed = read(file);
    let page = sections.iter().fold(committed.clone(), |page, (name, generated)| {
        let (before, after) = around_section(&page, file, name);
        format!("{before}{generated}{after}")
    });
    if std::env::var_os("UPDATE").is_some() {
        fs::write(root().join(file), page).unwrap_or_else(|error| panic!("{file}: {error}"));
        return;
    }
    let test = env!("CARGO_CRATE_NAME");
    assert_eq!(committed, page, "run `UPDATE=1 cargo test --test {test} up_to_date` and commit {file}");
}

/// A table. A line break or a bar would end a cell.
pub(crate) fn table<const N: usize>(columns: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    let line = |cells: [String; N]| {
        format!("| {} |\n", cells.map(|cell| cell.replace('\n', " ").replace('|', "\\|")).join(" | "))
    };
    let head = line(columns.map(Into::into)) + &line(columns.map(|_| "---".into()));
    rows.into_iter().fold(head, |table, row| table + &line(row))
}
