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

/// One key and its counts.
#[derive(Debug)]
struct FrequentPlace<K> {
    key: K,
    count: u64,
    /// The part of the count that may belong to keys which had the place before.
    inherited: u64,
}

/// A table of the most frequent keys.
#[derive(Debug)]
pub(super) struct FrequentTable<K> {
    sets: Box<[[Option<FrequentPlace<K>>; PLACES]]>,
}

impl<K> Default for FrequentTable<K> {
    fn default() -> Self {
        FrequentTable { sets: (0..SETS).map(|_| [const { None }; PLACES]).collect() }
    }
}

impl<K> FrequentTable<K> {
    /// Counts an occurrence of the key with this hash, which `is` recognises and `key` makes.
    pub(super) fn count(&mut self, hash: u64, is: impl Fn(&K) -> bool, key: impl FnOnce() -> K) {
        let set = &mut self.sets[(hash % SETS as u64) as usize];
        if let Some(place) = set.iter_mut().flatten().find(|place| is(&place.key)) {
            place.count += 1;
            return;
        }
        let count = |place: &Option<FrequentPlace<K>>| place.as_ref().map_or(0, |place| place.count);
        // A set has places, so that one of them has the least count.
        let Some(place) = set.iter_mut().min_by_key(|place| count(place)) else { return };
        let inherited = count(place);
        *place = Some(FrequentPlace { key: key(), count: inherited + 1, inherited });
    }

    /// Empties the table. Returns every key with its hits.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = (K, u64)> {
        let places = self.sets.iter_mut().flatten().filter_map(Option::take);
        places.map(|FrequentPlace { key, count, inherited }| (key, count - inherited))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn count(table: &mut FrequentTable<u64>, number: u64) {
        table.count(number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32, |known| *known == number, || number);
    }

    fn hits(table: &mut FrequentTable<u64>) -> BTreeMap<u64, u64> {
        table.drain().collect()
    }

    #[test]
    fn a_few_keys_are_counted_exactly_and_a_drain_empties_the_table() {
        let mut table = FrequentTable::default();
        for at in 0..1000 {
            count(&mut table, at % 7);
        }
        let counted = hits(&mut table);
        assert_eq!(counted.values().sum::<u64>(), 1000);
        assert_eq!((counted[&0], counted[&6]), (143, 142));
        assert!(hits(&mut table).is_empty());
    }

    #[test]
    fn frequent_keys_stay_while_a_flood_of_others_passes() {
        let mut table = FrequentTable::default();
        for at in 0..100_000 {
            count(&mut table, 1_000_000 + at);
            if at % 10 == 0 {
                count(&mut table, at % 50);
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
