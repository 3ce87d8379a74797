//! The reasons: the table of them, and a page for each.

use std::collections::BTreeSet;
use std::fs;

use fic_support_operator::api::condition::{Progress, Reason};
use fic_support_operator::reconcile::message;
use fic_support_operator::text::kebab_case;
use strum::VariantArray;

use crate::examples;
use crate::generated::{check, read, root, table};
use crate::markdown::headings;

const FOLDER: &str = "docs/reference/reasons";

/// What each page says, in this order.
const HEADINGS: [&str; 4] = ["What you see", "What the operator does", "What you do", "What it costs"];

#[test]
fn the_table_of_reasons_is_up_to_date() {
    let ready = examples::ready();
    let rows = Reason::VARIANTS.iter().map(|reason| {
        let progress = match reason.progress() {
            Progress::Settled => "",
            progress @ (Progress::Reconciling | Progress::Stalled) => progress.into(),
        };
        let name = reason.as_str();
        let link = format!("[`{name}`](reasons/{}.md)", kebab_case(name));
        [ready[reason].clone(), link, progress.into(), reason.meaning().into(), reason.action().into()]
    });
    let reasons = table(["Ready", "reason", "condition", "meaning", "what to do"], rows);
    check("docs/reference/reasons.md", &[("reasons", reasons)]);
}

#[test]
fn each_reason_has_a_page_and_each_page_a_reason() {
    let expected = Reason::VARIANTS.iter().map(|reason| {
        // The page that messages link to.
        let page = message::page(*reason);
        page.strip_prefix("docs/reference/reasons/")
            .and_then(|page| page.strip_suffix(".html"))
            .map(|page| format!("{page}.md"))
    });
    let expected = expected.map(|page| page.expect("a page of this folder"));
    let files = fs::read_dir(root().join(FOLDER)).expect("the folder is readable");
    let files = files.map(|file| file.expect("an entry").file_name().to_string_lossy().into_owned());
    assert_eq!(files.collect::<BTreeSet<_>>(), expected.collect::<BTreeSet<_>>());
}

#[test]
fn each_page_of_a_reason_says_the_same_four_things() {
    for reason in Reason::VARIANTS {
        let name = reason.as_str();
        let page = read(&format!("{FOLDER}/{}.md", kebab_case(name)));
        let found = headings(&page).into_iter().map(|heading| (heading.level, heading.text)).collect::<Vec<_>>();
        let expected = std::iter::once((1, name.to_owned())).chain(HEADINGS.map(|text| (2, text.to_owned())));
        assert_eq!(found, expected.collect::<Vec<_>>(), "the headings of the page of {name}");
        for part in page.split("\n## ").skip(1) {
            let text = part.split_once('\n').map_or("", |(_, text)| text.trim());
            assert!(!text.is_empty(), "the page of {name} has a section without text: {part:?}");
        }
        assert!(
            page.contains(&format!("kubectl get events --field-selector reason={name}")) == publishes_event(*reason),
            "the page of {name} names the Event exactly if there is one"
        );
    }
}

/// Each entry into Stalled and into Contracted has an Event.
fn publishes_event(reason: Reason) -> bool {
    reason == Reason::Contracted || matches!(reason.progress(), Progress::Stalled)
}

/// The message of each state of the plan, as committed beside the code, begins on some page of a reason.
#[test]
fn each_page_of_a_reason_quotes_its_messages() {
    let messages = read("src/reconcile/report/messages.txt");
    let mut reason = None;
    for line in messages.lines() {
        if let Some(rest) = line.strip_prefix("Ready=") {
            reason = rest.split_once(' ').map(|(_, reason)| reason);
        } else if !line.starts_with(' ') && !line.contains('=') {
            reason = None;
        } else if let (Some(reason), Some(message)) =
            (reason, line.strip_prefix("    ").filter(|text| !text.starts_with("Event: ")))
        {
            let page = read(&format!("{FOLDER}/{}.md", kebab_case(reason)));
            let missing = sentences(message).into_iter().find(|sentence| !page.contains(sentence.as_str()));
            assert_eq!(missing, None, "the page of {reason} does not quote a part of this message: {message}");
        }
    }
}

/// The parts of a message that do not depend on the plan. Names, IDs, times and quotations are left out.
fn sentences(message: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    for word in message.split(' ') {
        let depends = word.chars().any(|character| character.is_ascii_digit() || "\"()".contains(character));
        match parts.last_mut() {
            _ if depends => parts.push(String::new()),
            Some(part) if !part.is_empty() => *part = format!("{part} {word}"),
            Some(part) => *part = word.into(),
            None => {}
        }
    }
    parts.retain(|part| part.split(' ').count() >= 4);
    parts
}
