//! The events that can follow a state.

use crate::state::ModelState;
use crate::transitions::Transition;

/// The state after an event, or the message of the rule that the event breaks.
pub type Outcome = Result<ModelState, String>;

/// An event and the state that it leads to.
pub struct Event {
    /// Empty unless a trace is printed.
    pub description: String,
    pub outcome: Outcome,
    /// The transition of a plan, if the event makes one.
    pub transition: Option<Transition>,
}

/// All events that can follow a state. Descriptions cost more than everything else, and only a trace needs them.
#[derive(Default)]
pub struct Events {
    pub described: bool,
    pub all: Vec<Event>,
}

impl Events {
    pub fn push(&mut self, describe: impl FnOnce() -> String, outcome: Outcome) {
        self.push_transition(describe, outcome, None);
    }

    pub fn push_transition(
        &mut self,
        describe: impl FnOnce() -> String,
        outcome: Outcome,
        transition: Option<Transition>,
    ) {
        let description = if self.described { describe() } else { String::new() };
        self.all.push(Event { description, outcome, transition });
    }
}
