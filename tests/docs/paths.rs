//! Each source file that a page names, and each that `make mutants` changes, exists.

use std::path::Path;

use crate::generated::read;
use crate::pages::{pages, tracked};

/// The source files that a page names between backticks.
fn named(page: &str) -> impl Iterator<Item = &str> {
    let is_path = |text: &&str| text.chars().all(|c| c.is_ascii_alphanumeric() || "/_.-".contains(c));
    page.lines()
        .flat_map(|line| line.split('`').skip(1).step_by(2))
        .filter(|text| Path::new(text).extension().is_some_and(|extension| extension == "rs"))
        .filter(is_path)
}

/// Whether a file matches a pattern, in which `*` and `**/` stand for anything.
fn matches(file: &str, pattern: &str) -> bool {
    let (first, last) = pattern.split_once('*').unwrap_or((pattern, ""));
    let last = last.trim_start_matches(['*', '/']);
    if pattern.contains('*') { file.starts_with(first) && file.ends_with(last) } else { file == pattern }
}

#[test]
fn each_source_file_that_a_page_names_exists() {
    let files = tracked("*.rs");
    let mut missing = Vec::new();
    for page in pages() {
        let text = read(&page);
        let exists = |name: &&str| files.iter().any(|file| format!("/{file}").ends_with(&format!("/{name}")));
        missing.extend(named(&text).filter(|name| !exists(name)).map(|name| format!("{page}: {name}")));
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn each_pattern_of_the_mutants_matches_a_file() {
    let files = tracked("*.rs");
    let config = read(".cargo/mutants.toml");
    let (_, list) = config.split_once("examine_globs = [").expect("what is changed");
    let (list, _) = list.split_once(']').expect("the list ends");
    let unused = list.split('"').skip(1).step_by(2);
    let unused = unused.filter(|pattern| !files.iter().any(|file| matches(file, pattern))).collect::<Vec<_>>();
    assert!(unused.is_empty(), "{unused:?}");
}
