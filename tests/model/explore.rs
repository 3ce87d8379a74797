//! A breadth-first search through all reachable states, with the way back to the initial state.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::hash::{BuildHasherDefault, DefaultHasher, Hash, Hasher};

use crate::state::ModelState;
use crate::transitions::Transition;

/// The result of an exploration.
pub struct Explored {
    pub states: usize,
    pub depth: usize,
    pub transitions: BTreeSet<Transition>,
}

/// States are identified by a hash of 64 bits. Of 4,000 explorations with 100 million states each, about one contains a
/// collision.
type Fingerprint = u64;

/// From each visited state, the one from which it was first reached.
type Visited = HashMap<Fingerprint, Fingerprint, BuildHasherDefault<IdentityHasher>>;

/// A fingerprint is a hash already.
#[derive(Default)]
struct IdentityHasher(u64);

impl Hasher for IdentityHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("fingerprints are numbers");
    }

    fn write_u64(&mut self, fingerprint: u64) {
        self.0 = fingerprint;
    }
}

fn fingerprint(state: &ModelState) -> Fingerprint {
    let mut hasher = DefaultHasher::new();
    state.hash(&mut hasher);
    hasher.finish()
}

/// Visits every reachable state.
///
/// # Panics
/// At the first state that breaks a rule, with the shortest trace that leads to it.
pub fn explore(initial: &ModelState) -> Explored {
    let first = fingerprint(initial);
    let mut visited = Visited::from_iter([(first, first)]);
    let mut queue = VecDeque::from([(initial.clone(), first, 0)]);
    let mut deepest = 0;
    let mut transitions = BTreeSet::new();
    while let Some((state, reached, depth)) = queue.pop_front() {
        deepest = deepest.max(depth);
        if let Err(error) = state.check_converges() {
            let trace = trace(initial, &visited, reached).join("\n");
            panic!("{error} (after the last fault)\n{trace}\n{state:#?}");
        }
        for (number, event) in state.events(false).into_iter().enumerate() {
            transitions.extend(event.transition);
            match event.outcome {
                Err(error) => {
                    let mut trace = trace(initial, &visited, reached);
                    let last = &state.events(true)[number].description;
                    trace.push(format!("{:3}. {last}", trace.len() + 1));
                    panic!("{error}\n{}", trace.join("\n"));
                }
                Ok(next) => {
                    let to = fingerprint(&next);
                    if let Entry::Vacant(entry) = visited.entry(to) {
                        entry.insert(reached);
                        queue.push_back((next, to, depth + 1));
                    }
                }
            }
        }
    }
    Explored { states: visited.len(), depth: deepest, transitions }
}

/// The events that lead to a state: back by the fingerprints, then forward again with descriptions.
fn trace(initial: &ModelState, visited: &Visited, reached: Fingerprint) -> Vec<String> {
    let mut path = vec![reached];
    while let Some(before) = visited.get(path.last().unwrap()).filter(|before| *before != path.last().unwrap()) {
        path.push(*before);
    }
    let mut state = initial.clone();
    let mut trace = Vec::new();
    for to in path.into_iter().rev().skip(1) {
        let next = state.events(true).into_iter().find_map(|event| {
            Some((event.description, event.outcome.ok()?)).filter(|(_, next)| fingerprint(next) == to)
        });
        let (description, next) = next.unwrap();
        trace.push(format!("{:3}. {description}", trace.len() + 1));
        state = next;
    }
    trace
}
