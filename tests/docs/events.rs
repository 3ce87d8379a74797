//! The table of Events: from the committed messages, which a test beside the code compares with what the operator writes.

use std::collections::BTreeMap;

use crate::generated::{check, read, table};

#[test]
fn the_table_of_events_is_up_to_date() {
    let messages = read("src/reconcile/report/messages.txt");
    let mut events = BTreeMap::new();
    for event in messages.lines().filter_map(|line| line.trim().strip_prefix("Event: ")) {
        let (kind, note) = event.split_once(": ").expect("an Event has a note");
        let [type_, reason, action] = kind.split(' ').collect::<Vec<_>>()[..] else { panic!("not an Event: {kind}") };
        let key = (type_, reason, action.trim_matches(['(', ')']));
        events.entry(key).or_insert(note);
    }
    let rows = events.into_iter().map(|((type_, reason, action), note)| {
        [type_.to_owned(), format!("`{reason}`"), format!("`{action}`"), note.to_owned()]
    });
    let events = table(["type", "reason", "action", "an example of the note"], rows);
    check("docs/reference/events.md", &[("events", events)]);
}
