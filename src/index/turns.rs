//! Objects that wait for something that one of them gets at a time. Namespaces take turns, so one with thousands of objects
//! delays that of another one by one turn.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use crate::api::key::ObjectKey;

/// The objects that wait.
#[derive(Default)]
pub struct Turns {
    /// The objects of each namespace, in the order in which they came.
    namespaces: BTreeMap<Arc<str>, VecDeque<ObjectKey>>,
    /// The same objects, since each waits once.
    known: HashSet<ObjectKey>,
    /// The namespace of the last turn.
    last: Option<Arc<str>>,
}

impl Turns {
    /// An object waits, if it does not already.
    pub fn push(&mut self, object: ObjectKey) {
        if self.known.insert(object.clone()) {
            self.namespaces.entry(Arc::clone(&object.namespace)).or_default().push_back(object);
        }
    }

    /// Whether no object waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.namespaces.is_empty()
    }

    /// Takes the first object of the next namespace, which is not `except`.
    pub fn pop(&mut self, except: Option<&str>) -> Option<ObjectKey> {
        let after_last = self.last.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let next = self.namespaces.range::<str, _>((after_last, Bound::Unbounded)).chain(&self.namespaces);
        let namespace = next.map(|(namespace, _)| namespace).find(|namespace| Some(&***namespace) != except)?;
        let namespace = Arc::clone(namespace);
        let objects = self.namespaces.get_mut(&namespace)?;
        let object = objects.pop_front()?;
        if objects.is_empty() {
            self.namespaces.remove(&namespace);
        }
        self.known.remove(&object);
        self.last = Some(namespace);
        Some(object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn popped(turns: &mut Turns) -> Vec<String> {
        std::iter::from_fn(|| Some(turns.pop(None)?.to_string())).collect()
    }

    fn turns(objects: &[(&str, &str)]) -> Turns {
        let mut turns = Turns::default();
        for (namespace, name) in objects {
            turns.push(ObjectKey::new(namespace, name));
        }
        turns
    }

    #[test]
    fn namespaces_take_turns_and_objects_of_one_go_in_their_order() {
        let mut turns = turns(&[("b", "3"), ("b", "1"), ("b", "2"), ("c", "1"), ("a", "2"), ("a", "1")]);
        assert_eq!(popped(&mut turns), ["a/2", "b/3", "c/1", "a/1", "b/1", "b/2"]);
        assert!(turns.is_empty() && turns.known.is_empty(), "nothing is kept");
    }

    #[test]
    fn a_namespace_may_be_left_out() {
        let mut turns = turns(&[("a", "1"), ("b", "1"), ("b", "2")]);
        for (except, expected) in [("a", Some("b/1")), ("b", Some("a/1")), ("b", None), ("a", Some("b/2"))] {
            let popped = turns.pop(Some(except)).map(|object| object.to_string());
            assert_eq!(popped.as_deref(), expected, "without {except}");
        }
    }

    #[test]
    fn a_namespace_that_had_its_turn_comes_after_one_that_waits() {
        let mut turns = turns(&[("a", "1"), ("a", "2"), ("b", "1")]);
        assert_eq!(turns.pop(None).map(|object| object.to_string()).as_deref(), Some("a/1"));
        turns.push(ObjectKey::new("a", "3"));
        assert_eq!(popped(&mut turns), ["b/1", "a/2", "a/3"]);
    }

    #[test]
    fn an_object_waits_once() {
        let mut turns = turns(&[("a", "1"), ("a", "2"), ("a", "1")]);
        assert_eq!(popped(&mut turns), ["a/1", "a/2"]);
        turns.push(ObjectKey::new("a", "1"));
        assert_eq!(popped(&mut turns), ["a/1"], "it may wait again");
    }
}
