//! The headings and the links of a page.

use crate::pages::{Part, parts};

/// A heading.
pub(crate) struct Heading {
    pub(crate) level: usize,
    pub(crate) text: String,
}

/// The lines of a page that are not in a block of code, with their numbers.
fn prose(page: &str) -> impl Iterator<Item = (usize, &str)> {
    parts(page).into_iter().filter_map(|part| match part {
        Part::Line { number, text } => Some((number, text)),
        Part::Code { .. } => None,
    })
}

/// The headings of a page.
pub(crate) fn headings(page: &str) -> Vec<Heading> {
    let headings = prose(page).filter_map(|(_, line)| {
        let text = line.trim_start_matches('#');
        let level = line.len() - text.len();
        ((1..=6).contains(&level) && text.starts_with(' ')).then(|| Heading { level, text: text.trim().into() })
    });
    headings.collect()
}

/// The anchor of a heading, as GitHub and mdBook form it: lower case, without punctuation, with `-` for a space.
pub(crate) fn anchor(heading: &str) -> String {
    let kept = heading.to_lowercase();
    let kept = kept.chars().filter(|character| character.is_alphanumeric() || " -_".contains(*character));
    kept.map(|character| if character == ' ' { '-' } else { character }).collect()
}

/// The targets of the links and images of a page, with the number of the line. Code is not a link.
pub(crate) fn links(page: &str) -> Vec<(usize, String)> {
    let mut links = Vec::new();
    for (number, line) in prose(page) {
        let line = without_code(line);
        let mut rest = line.as_str();
        while let Some(at) = rest.find("](") {
            rest = &rest[at + 2..];
            let end = rest.find(')').unwrap_or(rest.len());
            links.push((number, rest[..end].split(' ').next().unwrap_or_default().to_owned()));
        }
    }
    links
}

/// A line without what is between backticks.
fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect::<Vec<_>>().join("``")
}
