//! A map of bounded size that forgets entries that have not been used for a while.

use std::collections::HashMap;
use std::hash::Hash;

/// A map in two generations: when the young one is full, it replaces the old one, whose entries are dropped.
#[derive(Clone, Debug)]
pub struct Recent<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
    /// Weight of the young generation, and its limit.
    weight: usize,
    most: usize,
    generation: u32,
}

impl<K: Eq + Hash, V> Recent<K, V> {
    /// A map whose entries have a total weight of at most `most`; at the limit, the older half is dropped.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), weight: 0, most: most / 2, generation: 0 }
    }

    /// The number of the current generation: an entry that was inserted in a generation exists as long as
    /// this has that value or the next one.
    #[must_use]
    pub const fn generation(&self) -> u32 {
        self.generation
    }

    /// The entry of a key.
    #[must_use]
    pub fn get(&self, key: &K) -> Option<&V> {
        self.young.get(key).or_else(|| self.old.get(key))
    }

    /// The entry of a key, which is thereby young again.
    pub fn renew(&mut self, key: &K, weight: impl FnOnce(&V) -> usize) -> Option<&mut V> {
        if let Some((key, value)) = self.old.remove_entry(key) {
            let weight = weight(&value);
            self.insert(key, value, weight);
        }
        self.young.get_mut(key)
    }

    /// Whether there is no entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.young.is_empty() && self.old.is_empty()
    }

    /// Removes an entry. It keeps its weight until the map drops a generation.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        self.young.remove(key).or_else(|| self.old.remove(key))
    }

    /// Adds or replaces an entry.
    pub fn insert(&mut self, key: K, value: V, weight: usize) {
        if let Some(known) = self.young.get_mut(&key) {
            *known = value;
            return;
        }
        self.old.remove(&key);
        if self.weight.saturating_add(weight) > self.most && !self.young.is_empty() {
            self.old = std::mem::take(&mut self.young);
            (self.weight, self.generation) = (0, self.generation.wrapping_add(1));
        }
        self.weight = self.weight.saturating_add(weight);
        self.young.insert(key, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn used_entries_stay_and_the_others_are_dropped() {
        let mut recent = Recent::new(20);
        for number in 0..100_u32 {
            recent.insert(number, number * 2, 1);
            assert_eq!(recent.renew(&0, |_| 1), Some(&mut 0));
            assert!(recent.young.len() + recent.old.len() <= 20);
        }
        assert_eq!((recent.get(&99), recent.get(&91), recent.get(&50)), (Some(&198), Some(&182), None));
        // An entry that is inserted again adds no weight.
        let generation = recent.generation();
        (0..100).for_each(|_| recent.insert(99, 1, 1));
        assert_eq!((recent.generation(), recent.get(&99)), (generation, Some(&1)));
        // An entry that exceeds the limit stays until the next one.
        recent.insert(1, 1, 1000);
        assert_eq!(recent.get(&1), Some(&1));
    }
}
