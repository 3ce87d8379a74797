//! The Markdown files of the repository, and their blocks of code.

use std::process::Command;

use crate::generated::root;

/// A part of a page.
pub(crate) enum Part<'a> {
    /// A line that is not in a block of code.
    Line {
        /// The number of the line.
        number: usize,
        text: &'a str,
    },
    /// A block of code.
    #[allow(dead_code, reason = "the links are in the lines only")]
    Code {
        /// The number of its first line of code.
        number: usize,
        language: &'a str,
        /// Its lines without the indent of the block.
        text: String,
    },
}

/// The Markdown files of the repository, relative to it, in the order of their names.
pub(crate) fn pages() -> Vec<String> {
    tracked("*.md")
}

/// The files of the repository that match a pattern of git, relative to it, in the order of their names.
pub(crate) fn tracked(pattern: &str) -> Vec<String> {
    let list = ["ls-files", "--cached", "--others", "--exclude-standard", "--deduplicate", pattern];
    let listed = Command::new("git").args(list).current_dir(root()).output().expect("git runs");
    assert!(listed.status.success(), "git ls-files: {}", String::from_utf8_lossy(&listed.stderr));
    let files = String::from_utf8(listed.stdout).expect("names are UTF-8");
    let mut files = files.lines().filter(|file| root().join(file).exists()).map(ToOwned::to_owned).collect::<Vec<_>>();
    files.sort();
    files
}

/// The parts of a page, in their order.
pub(crate) fn parts(page: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let mut lines = page.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        let text = line.trim_start();
        let language = text.trim_start_matches('`');
        let fence = &text[..text.len() - language.len()];
        if fence.len() < 3 {
            parts.push(Part::Line { number: number + 1, text: line });
            continue;
        }
        let indent = line.len() - text.len();
        // The end has at least as many backticks, and nothing else.
        let is_end = |line: &str| line.trim().len() >= fence.len() && line.trim().bytes().all(|byte| byte == b'`');
        let body = lines.by_ref().map(|(_, line)| line).take_while(|line| !is_end(line));
        let text = body
            .map(|line| line.get(indent..).unwrap_or_default())
            .fold(String::new(), |text, line| text + line + "\n");
        parts.push(Part::Code { number: number + 2, language, text });
    }
    parts
}
