//! The most frequent keys of a stream, in a table of fixed size: the space-saving algorithm in sets of a few places.
//!
//! A key has one set, by its hash. In a full set, a new key takes the place of the least frequent one, and its place keeps
//! that count as the part that may belong to other keys.
//!
//! **Invariants**: counting allocates nothing and looks at one set; the hits of a key are never more than its occurrences.
//! **Not here**: the keys ([`super::recent`]).
//!
//! Metwally, Agrawal, El Abbadi: Efficient Computation of Frequent and Top-k Elements in Data Streams (2005).

/// The sets of a table. A table has room for 256 keys, about ten times as many as a screen shows.
const SETS: usize = 32;

/// The places of a set. A scan of eight places costs less than the rest of a query by far.
const PLACES: usize = 8;

/// A key of a [`FrequentTable`].
pub(super) trait FrequentKey: Default {
    /// The form in which an occurrence is looked up.
    type Sought<'s>: Copy;

    /// The hash of an occurrence.
    fn hash(sought: Self::Sought<'_>) -> u64;

    /// True if this is the key of the occurrence.
    fn is(&self, sought: Self::Sought<'_>) -> bool;

    /// Becomes the key of the occurrence.
    fn set(&mut self, sought: Self::Sought<'_>);
}

/// One key and its counts.
#[derive(Debug, Default)]
struct FrequentPlace<K> {
    key: K,
    /// 0 if the place is free.
    count: u64,
    /// The part of the count that may belong to keys which had the place before.
    inherited: u64,
}

/// A table of the most frequent keys.
#[derive(Debug)]
pub(super) struct FrequentTable<K> {
    sets: Box<[[FrequentPlace<K>; PLACES]]>,
}

impl<K: FrequentKey> FrequentTable<K> {
    pub(super) fn new() -> Self {
        FrequentTable { sets: (0..SETS).map(|_| Default::default()).collect() }
    }

    /// Counts an occurrence.
    pub(super) fn count(&mut self, sought: K::Sought<'_>) {
        let set = &mut self.sets[(K::hash(sought) % SETS as u64) as usize];
        if let Some(place) = set.iter_mut().find(|place| place.count > 0 && place.key.is(sought)) {
            place.count += 1;
            return;
        }
        // A set has places, so that one of them has the least count.
        let Some(place) = set.iter_mut().min_by_key(|place| place.count) else { return };
        place.inherited = place.count;
        place.count += 1;
        place.key.set(sought);
    }

    /// Empties the table; calls `each` with every key and its hits.
    pub(super) fn drain(&mut self, mut each: impl FnMut(&K, u64)) {
        for place in self.sets.iter_mut().flatten() {
            if place.count > place.inherited {
                each(&place.key, place.count - place.inherited);
            }
            (place.count, place.inherited) = (0, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[derive(Debug, Default)]
    struct Number(u64);

    impl FrequentKey for Number {
        type Sought<'s> = u64;

        fn hash(sought: u64) -> u64 {
            sought.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32
        }

        fn is(&self, sought: u64) -> bool {
            self.0 == sought
        }

        fn set(&mut self, sought: u64) {
            self.0 = sought;
        }
    }

    fn hits(table: &mut FrequentTable<Number>) -> BTreeMap<u64, u64> {
        let mut hits = BTreeMap::new();
        table.drain(|key, count| _ = hits.insert(key.0, count));
        hits
    }

    #[test]
    fn a_few_keys_are_counted_exactly_and_a_drain_empties_the_table() {
        let mut table = FrequentTable::<Number>::new();
        for at in 0..1000 {
            table.count(at % 7);
        }
        let counted = hits(&mut table);
        assert_eq!(counted.values().sum::<u64>(), 1000);
        assert_eq!((counted[&0], counted[&6]), (143, 142));
        assert!(hits(&mut table).is_empty());
    }

    #[test]
    fn frequent_keys_stay_while_a_flood_of_others_passes() {
        let mut table = FrequentTable::<Number>::new();
        for at in 0..100_000 {
            table.count(1_000_000 + at);
            if at % 10 == 0 {
                table.count(at % 50);
            }
        }
        let counted = hits(&mut table);
        for key in [0, 10, 20, 30, 40] {
            let count = counted[&key];
            assert!((1900..=2000).contains(&count), "{key}: {count} of 2000");
        }
        let others = counted.iter().filter(|(key, _)| **key >= 1_000_000);
        assert!(others.clone().all(|(_, count)| *count == 1), "{others:?}");
    }
}
