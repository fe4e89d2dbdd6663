//! Addition of counts from different places: threads, shards, files.

use std::collections::BTreeMap;

/// A value that can add the counts of another one. Adding `b` and then `c` gives the same as adding
/// `c` and then `b`.
pub trait Merge {
    /// Adds the counts of `other`.
    fn merge(&mut self, other: &Self);
}

/// Implements [`Merge`] by merging each field. It names every field, so that a new field without a rule does
/// not compile; `field = rule` replaces the addition by a function of the two values.
macro_rules! merge_fields {
    ($type:ty { $($field:ident $(= $rule:path)?),* $(,)? }) => {
        impl $crate::merge::Merge for $type {
            fn merge(&mut self, other: &Self) {
                let Self { $($field),* } = other;
                $($crate::merge::merge_fields!(@field self, $field $(, $rule)?);)*
            }
        }
    };
    (@field $self:ident, $field:ident) => {
        $crate::merge::Merge::merge(&mut $self.$field, $field)
    };
    (@field $self:ident, $field:ident, $rule:path) => {
        $rule(&mut $self.$field, $field)
    };
}
pub(crate) use merge_fields;

impl Merge for u64 {
    fn merge(&mut self, other: &Self) {
        *self = self.saturating_add(*other);
    }
}

impl Merge for f64 {
    fn merge(&mut self, other: &Self) {
        *self += other;
    }
}

/// A value that only one side measured is kept.
impl<T: Merge + Clone> Merge for Option<T> {
    fn merge(&mut self, other: &Self) {
        match (self, other) {
            (Some(this), Some(other)) => this.merge(other),
            (this @ None, Some(other)) => *this = Some(other.clone()),
            (_, None) => {}
        }
    }
}

impl<K: Ord + Clone, V: Merge + Clone> Merge for BTreeMap<K, V> {
    fn merge(&mut self, other: &Self) {
        for (key, value) in other {
            match self.get_mut(key) {
                Some(known) => known.merge(value),
                None => drop(self.insert(key.clone(), value.clone())),
            }
        }
    }
}

/// Merges the rows that describe the same thing, and appends the others.
pub(crate) fn rows<T: Merge + Clone>(rows: &mut Vec<T>, others: &[T], same: impl Fn(&T, &T) -> bool) {
    for other in others {
        match rows.iter_mut().find(|row| same(row, other)) {
            Some(row) => row.merge(other),
            None => rows.push(other.clone()),
        }
    }
}

/// Texts with their counts, most frequent first.
pub(crate) fn counted(rows: &mut Vec<(String, u64)>, others: &[(String, u64)]) {
    let mut sums: BTreeMap<String, u64> = std::mem::take(rows).into_iter().collect();
    Merge::merge(&mut sums, &others.iter().cloned().collect());
    rows.extend(sums);
    rows.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
}

/// Keeps the larger value.
pub(crate) fn larger<T: PartialOrd + Copy>(this: &mut T, other: &T) {
    if *other > *this {
        *this = *other;
    }
}

/// Keeps the value of the left side: both describe the same thing.
pub(crate) fn first<T>(_: &mut T, _: &T) {}

/// Keeps the left value unless only the right side has one.
pub(crate) fn either<T: Clone>(this: &mut Option<T>, other: &Option<T>) {
    if this.is_none() {
        this.clone_from(other);
    }
}

/// The average of two averages with their weights; without any weight, both count the same.
pub(crate) fn average(
    (one, weight): (Option<f64>, f64),
    (other, other_weight): (Option<f64>, f64),
) -> Option<f64> {
    let (Some(one), Some(other)) = (one, other) else { return one.or(other) };
    let sum = weight + other_weight;
    if sum > 0.0 { Some((one * weight + other * other_weight) / sum) } else { Some((one + other) / 2.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_one_side_measured_is_kept() {
        let mut sum = None;
        sum.merge(&Some(3_u64));
        sum.merge(&None);
        sum.merge(&Some(4));
        assert_eq!(sum, Some(7));
    }

    #[test]
    fn averages_are_weighted() {
        assert_eq!(average((Some(1.0), 1.0), (Some(4.0), 2.0)), Some(3.0));
        assert_eq!(average((Some(1.0), 0.0), (Some(4.0), 0.0)), Some(2.5));
        assert_eq!(average((None, 9.0), (Some(4.0), 1.0)), Some(4.0));
    }

    #[test]
    fn reasons_are_counted_together() {
        let mut rows = vec![("a".to_owned(), 2), ("b".to_owned(), 1)];
        counted(&mut rows, &[("b".to_owned(), 4), ("c".to_owned(), 2)]);
        assert_eq!(rows, [("b".to_owned(), 5), ("a".to_owned(), 2), ("c".to_owned(), 2)]);
    }
}
