//! Breadth first through every state, with the way back to the start.

use std::collections::{HashSet, VecDeque};
use std::rc::Rc;

use crate::world::World;

/// What was explored.
pub struct Explored {
    pub states: usize,
    pub depth: usize,
}

struct Step {
    before: Option<Rc<Step>>,
    event: String,
    depth: usize,
}

/// Goes through every state that can be reached.
///
/// # Panics
/// At the first state that breaks a rule, with the story of how it came about.
pub fn explore(start: &World) -> Explored {
    let first = Rc::new(Step { before: None, event: "start".into(), depth: 0 });
    let mut seen = HashSet::from([start.clone()]);
    let mut queue = VecDeque::from([(start.clone(), first)]);
    let mut depth = 0;
    while let Some((world, step)) = queue.pop_front() {
        depth = depth.max(step.depth);
        if let Err(broken) = world.recovers() {
            panic!("{broken}\n{}\n{world:#?}", story(&step));
        }
        for (event, next) in world.events() {
            let step = Rc::new(Step { before: Some(Rc::clone(&step)), event, depth: step.depth + 1 });
            match next {
                Err(broken) => panic!("{broken}\n{}", story(&step)),
                Ok(next) => {
                    if seen.insert(next.clone()) {
                        queue.push_back((next, step));
                    }
                }
            }
        }
    }
    Explored { states: seen.len(), depth }
}

fn story(step: &Step) -> String {
    let mut events = vec![step.event.clone()];
    let mut at = &step.before;
    while let Some(step) = at {
        events.push(step.event.clone());
        at = &step.before;
    }
    events.reverse();
    events.iter().enumerate().map(|(number, event)| format!("{number:3}. {event}")).collect::<Vec<_>>().join("\n")
}
