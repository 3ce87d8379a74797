//! Breadth first through every state, with the way back to the start.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, DefaultHasher, Hash, Hasher};

use crate::world::World;

/// What was explored.
pub struct Explored {
    pub states: usize,
    pub depth: usize,
}

/// States are told apart by a hash of 64 bits: among a hundred million of them two look the same in one exploration of four thousand.
type Mark = u64;

/// From each state that was seen, the one it was first reached from.
type Seen = HashMap<Mark, Mark, BuildHasherDefault<AsItIs>>;

/// A mark is a hash already.
#[derive(Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("marks are numbers");
    }

    fn write_u64(&mut self, mark: u64) {
        self.0 = mark;
    }
}

fn mark(world: &World) -> Mark {
    let mut hasher = DefaultHasher::new();
    world.hash(&mut hasher);
    hasher.finish()
}

/// Goes through every state that can be reached.
///
/// # Panics
/// At the first state that breaks a rule, with the story of how it came about.
pub fn explore(start: &World) -> Explored {
    let first = mark(start);
    let mut seen = Seen::from_iter([(first, first)]);
    let mut queue = VecDeque::from([(start.clone(), first, 0)]);
    let mut deepest = 0;
    while let Some((world, reached, depth)) = queue.pop_front() {
        deepest = deepest.max(depth);
        if let Err(broken) = world.recovers() {
            panic!(
                "{broken} (once nothing goes wrong any more)\n{}\n{world:#?}",
                story(start, &seen, reached).join("\n")
            );
        }
        for (number, (_, next)) in world.events(false).into_iter().enumerate() {
            match next {
                Err(broken) => {
                    let mut story = story(start, &seen, reached);
                    let last = &world.events(true)[number].0;
                    story.push(format!("{:3}. {last}", story.len() + 1));
                    panic!("{broken}\n{}", story.join("\n"));
                }
                Ok(next) => {
                    let to = mark(&next);
                    if let std::collections::hash_map::Entry::Vacant(unseen) = seen.entry(to) {
                        unseen.insert(reached);
                        queue.push_back((next, to, depth + 1));
                    }
                }
            }
        }
    }
    Explored { states: seen.len(), depth: deepest }
}

/// How a state came about: back by the marks, and from the start once more with words.
fn story(start: &World, seen: &Seen, reached: Mark) -> Vec<String> {
    let mut way = vec![reached];
    while let Some(before) = seen.get(way.last().unwrap()).filter(|before| *before != way.last().unwrap()) {
        way.push(*before);
    }
    let mut world = start.clone();
    let mut story = Vec::new();
    for to in way.into_iter().rev().skip(1) {
        let next = world
            .events(true)
            .into_iter()
            .find_map(|(words, next)| Some((words, next.ok()?)).filter(|(_, next)| mark(next) == to));
        let (words, next) = next.unwrap();
        story.push(format!("{:3}. {words}", story.len() + 1));
        world = next;
    }
    story
}
