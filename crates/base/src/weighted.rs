//! One item, or several with weights, assigned to viewers. The assignment of a viewer depends on its
//! number alone, so that a run means the same however it is divided over machines.

/// Largest weight. The assignment repeats after the sum of all weights, and is kept in memory.
pub const MAX_WEIGHT: u32 = 1000;

/// Items with weights; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WeightedSet<T> {
    first: T,
    others: Vec<T>,
    /// Index of the item for each viewer, up to the sum of the weights; then it repeats.
    turns: Vec<usize>,
}

impl<T> WeightedSet<T> {
    /// The same for every viewer.
    #[must_use]
    pub const fn one(thing: T) -> Self {
        Self { first: thing, others: Vec::new(), turns: Vec::new() }
    }

    /// Items with their weights (from 1 to [`MAX_WEIGHT`]); `None` if there are none.
    #[must_use]
    pub fn weighted(things: Vec<(T, u32)>) -> Option<Self> {
        let weights: Vec<u32> = things.iter().map(|(_, weight)| (*weight).clamp(1, MAX_WEIGHT)).collect();
        let mut things = things.into_iter().map(|(thing, _)| thing);
        Some(Self { first: things.next()?, others: things.collect(), turns: turns(&weights) })
    }

    /// The first item.
    #[must_use]
    pub const fn first(&self) -> &T {
        &self.first
    }

    /// All items.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        std::iter::once(&self.first).chain(&self.others)
    }

    /// The number of items.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.others.len() + 1
    }

    /// The index of the item for viewer number `viewer` (from 1).
    #[must_use]
    pub fn index_of(&self, viewer: u32) -> usize {
        let turn = (viewer.saturating_sub(1) as usize).checked_rem(self.turns.len());
        turn.and_then(|turn| self.turns.get(turn)).copied().unwrap_or(0)
    }

    /// The item for viewer number `viewer` (from 1).
    #[must_use]
    pub fn of(&self, viewer: u32) -> &T {
        self.index_of(viewer).checked_sub(1).and_then(|place| self.others.get(place)).unwrap_or(&self.first)
    }

    /// The same assignment of the items that `change` returns, which may be several: the viewers of the
    /// original item get these in turn.
    pub fn spread<U>(&self, mut change: impl FnMut(&T) -> (U, Vec<U>)) -> WeightedSet<U> {
        let (first, mut others) = change(&self.first);
        // For each item: the index of its first replacement, their number, and the next one.
        let mut places = vec![(0, others.len() + 1, 0)];
        for thing in &self.others {
            let (head, rest) = change(thing);
            places.push((others.len() + 1, rest.len() + 1, 0));
            others.push(head);
            others.extend(rest);
        }
        let rounds = places.iter().fold(1, |rounds, (_, many, _)| least_common_multiple(rounds, *many));
        let ours = if self.turns.is_empty() { &[0][..] } else { &self.turns };
        let mut turns = Vec::new();
        for turn in std::iter::repeat_n(ours, rounds).flatten() {
            if let Some((begin, many, next)) = places.get_mut(*turn) {
                turns.push(*begin + *next);
                *next = (*next + 1) % *many;
            }
        }
        WeightedSet { first, others, turns }
    }

    /// The same assignment of the items that `change` returns.
    pub fn map<U>(&self, mut change: impl FnMut(&T) -> U) -> WeightedSet<U> {
        WeightedSet {
            first: change(&self.first),
            others: self.others.iter().map(change).collect(),
            turns: self.turns.clone(),
        }
    }
}

const fn least_common_multiple(one: usize, other: usize) -> usize {
    let (mut greater, mut smaller) = (one, other);
    while smaller > 0 {
        (greater, smaller) = (smaller, greater % smaller);
    }
    one / greater * other
}

/// Deals one round: each time the one that is farthest behind its share, so that any run of viewers
/// is as near to the weights as whole viewers can be.
fn turns(weights: &[u32]) -> Vec<usize> {
    let sum: u32 = weights.iter().sum();
    let mut behind = vec![0_i64; weights.len()];
    (0..sum)
        .map(|_| {
            for (behind, weight) in behind.iter_mut().zip(weights) {
                *behind += i64::from(*weight);
            }
            let most = behind.iter().copied().max().unwrap_or(0);
            let place = behind.iter().position(|one| *one == most).unwrap_or(0);
            if let Some(one) = behind.get_mut(place) {
                *one -= i64::from(sum);
            }
            place
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn items_are_assigned_by_weight() {
        let mix = WeightedSet::weighted(vec![('a', 2), ('b', 1)]).unwrap();
        let dealt: String = (1..=6).map(|viewer| *mix.of(viewer)).collect();
        assert_eq!(dealt, "abaaba");
        assert_eq!(*WeightedSet::one('x').of(17), 'x');
        assert_eq!(mix.map(|letter| letter.to_ascii_uppercase()).of(2), &'B');
        assert!(WeightedSet::<char>::weighted(Vec::new()).is_none());
    }

    #[test]
    fn viewers_of_one_item_take_turns_with_the_items_that_replace_it() {
        let mix = WeightedSet::weighted(vec![('a', 2), ('b', 1)]).unwrap();
        let spread = mix.spread(|letter| match letter {
            'a' => ("x", vec!["y", "z"]),
            _ => ("B", vec!["C"]),
        });
        let dealt: String = (1..=18).map(|viewer| *spread.of(viewer)).collect();
        // Six rounds of a, b, a: twelve turns for three items, six for two.
        assert_eq!(dealt, "xByzCxyBzxCyzBxyCz");
        assert_eq!(*spread.of(19), "x");
        assert_eq!(*WeightedSet::one('q').spread(|_| (1, vec![2])).of(4), 2);
    }

    proptest! {
        #[test]
        fn shares_are_kept_to_the_viewer(weights in prop::collection::vec(1_u32..50, 1..6), viewers in 1_u32..500) {
            let sum: u32 = weights.iter().sum();
            let mix = WeightedSet::weighted(weights.iter().copied().enumerate().collect()).unwrap();
            for (place, weight) in weights.iter().enumerate() {
                let dealt = (1..=viewers).filter(|viewer| mix.index_of(*viewer) == place).count() as f64;
                let fair = f64::from(viewers) * f64::from(*weight) / f64::from(sum);
                prop_assert!((dealt - fair).abs() <= weights.len() as f64, "{dealt} for {fair}");
                if viewers % sum == 0 {
                    prop_assert_eq!(dealt, fair);
                }
            }
        }
    }
}
