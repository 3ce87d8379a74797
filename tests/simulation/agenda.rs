//! The agenda of a simulation run: what happens when, in the order of time.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::time::Duration;

use crate::script::Action;

/// What the run does at a time.
pub enum Task {
    Act(Action),
    /// Starts a process of this replica.
    Start(char),
}

#[derive(Default)]
pub struct Agenda(BinaryHeap<Reverse<AgendaEntry>>);

/// A task with its time. The number orders the entries of the same time.
struct AgendaEntry {
    at: Duration,
    number: usize,
    task: Task,
}

impl Agenda {
    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn add(&mut self, at: Duration, number: usize, task: Task) {
        self.0.push(Reverse(AgendaEntry { at, number, task }));
    }

    /// The time of the first entry.
    pub fn next_at(&self) -> Option<Duration> {
        self.0.peek().map(|entry| entry.0.at)
    }

    /// Removes the first entry, if it is due.
    pub fn pop_due(&mut self, now: Duration) -> Option<Task> {
        if self.next_at()? > now {
            return None;
        }
        self.0.pop().map(|entry| entry.0.task)
    }
}

impl PartialEq for AgendaEntry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for AgendaEntry {}

impl PartialOrd for AgendaEntry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for AgendaEntry {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}
