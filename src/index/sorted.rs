//! A sorted set without free room. The standard ones reserve it for eleven elements, and most tenants have one plan.

use std::ops::Deref;

/// A sorted set.
#[derive(Debug)]
pub(super) struct Sorted<T>(Vec<T>);

impl<T> Default for Sorted<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Ord> Sorted<T> {
    /// Adds an element, unless the set contains it.
    pub(super) fn insert(&mut self, element: T) {
        if let Err(position) = self.0.binary_search(&element) {
            if self.0.is_empty() {
                self.0.reserve_exact(1);
            }
            self.0.insert(position, element);
        }
    }

    /// Removes an element, if the set contains it.
    pub(super) fn remove(&mut self, element: &T) {
        if let Ok(position) = self.0.binary_search(element) {
            self.0.remove(position);
        }
    }
}

impl<T> Deref for Sorted<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_sorted_and_contained_once() {
        let mut set = Sorted::default();
        for element in [3, 1, 2, 3, 1] {
            set.insert(element);
        }
        assert_eq!(*set, [1, 2, 3]);
        set.remove(&2);
        set.remove(&7);
        assert_eq!(*set, [1, 3]);
    }

    #[test]
    fn one_element_takes_the_room_of_one() {
        let mut set = Sorted::default();
        set.insert(1);
        assert_eq!(set.0.capacity(), 1);
    }
}
