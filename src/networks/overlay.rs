//! Overlay of sources: turns nested prefixes into disjoint ranges with one combination of labels each.
//!
//! **Invariants**: ranges are in address order and start at the lowest address; neighbours differ, unless a cut separates
//! two equal ones; a combination holds the labels of the longest prefix of each source.

use std::collections::HashMap;

use super::{Entry, Networks};
use crate::base::ids::LabelsId;
use crate::base::prefix::{Bits, Block};

/// The labels of each source's entry, in the order of the sources.
pub(crate) type Combination = Box<[Option<LabelsId>]>;

/// The address space of one family, cut where any source's entry changes.
#[derive(Clone, Debug)]
pub(crate) struct Overlay<A: Bits> {
    /// The first address of each range and the index of its combination.
    pub(crate) ranges: Vec<(A, u32)>,
}

/// Cuts the address space of one family.
///
/// `combinations` is extended with the new ones, so that both families share one list. At both ends of each block in `cuts`,
/// a range begins even if no label changes.
pub(crate) fn overlay<A: Bits>(
    networks: &Networks,
    entries: impl Fn(&super::Source) -> &[Entry<A>],
    cuts: &[Block<A>],
    combinations: &mut Combinations,
) -> Overlay<A> {
    let mut sweeps: Vec<Sweep<'_, A>> = networks.sources.iter().map(|source| Sweep::new(entries(source))).collect();
    let mut cuts: Vec<A> = cuts.iter().flat_map(|cut| [Some(cut.first()), cut.last().next()]).flatten().collect();
    cuts.sort_unstable();
    let mut cuts = cuts.into_iter().peekable();

    let mut ranges: Vec<(A, u32)> = Vec::new();
    let mut current: Vec<Option<LabelsId>> = vec![None; sweeps.len()];
    let mut at = A::MIN;
    loop {
        let mut forced = false;
        while cuts.next_if(|cut| *cut <= at).is_some() {
            forced = true;
        }
        let mut next: Option<A> = cuts.peek().copied();
        for (sweep, labels) in sweeps.iter_mut().zip(&mut current) {
            let (found, until) = sweep.advance(at);
            *labels = found;
            next = next.into_iter().chain(until).min();
        }
        let combination = combinations.intern(&current);
        if forced || ranges.last().is_none_or(|(_, last)| *last != combination) {
            ranges.push((at, combination));
        }
        match next {
            Some(next) => at = next,
            None => return Overlay { ranges },
        }
    }
}

/// The distinct combinations found so far.
#[derive(Debug, Default)]
pub(crate) struct Combinations {
    list: Vec<Combination>,
    ids: HashMap<Combination, u32>,
    last: Option<u32>,
}

impl Combinations {
    /// All of them, by index.
    pub(crate) fn list(&self) -> &[Combination] {
        &self.list
    }

    fn intern(&mut self, labels: &[Option<LabelsId>]) -> u32 {
        // Runs of equal neighbours are common if only one source cuts.
        if let Some(last) = self.last
            && *self.list[last as usize] == *labels
        {
            return last;
        }
        let id = match self.ids.get(labels) {
            Some(id) => *id,
            None => {
                let id = u32::try_from(self.list.len()).expect("fewer combinations than addresses");
                self.list.push(labels.into());
                self.ids.insert(labels.into(), id);
                id
            }
        };
        self.last = Some(id);
        id
    }
}

/// Walks one source's nested prefixes in address order.
struct Sweep<'a, A: Bits> {
    rest: &'a [Entry<A>],
    open: Vec<Entry<A>>,
}

impl<'a, A: Bits> Sweep<'a, A> {
    fn new(entries: &'a [Entry<A>]) -> Self {
        Sweep { rest: entries, open: Vec::new() }
    }

    /// Returns the labels at `at`, and the next address at which the labels may change. `at` must not decrease between
    /// calls.
    fn advance(&mut self, at: A) -> (Option<LabelsId>, Option<A>) {
        loop {
            while self.open.last().is_some_and(|entry| entry.block.last() < at) {
                self.open.pop();
            }
            match self.rest.split_first() {
                Some((entry, rest)) if entry.block.first() <= at => {
                    self.open.push(*entry);
                    self.rest = rest;
                }
                _ => break,
            }
        }
        let begins = self.rest.first().map(|entry| entry.block.first());
        let ends = self.open.last().and_then(|entry| entry.block.last().next());
        (self.open.last().map(|entry| entry.labels), begins.into_iter().chain(ends).min())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::super::{LabelKind, Labels, Source, SourceBuilder};
    use super::*;
    use crate::base::prefix::Prefix;

    /// A source in which every prefix has a label of its own, or one of two.
    fn source<A: Bits>(blocks: &[(Block<A>, u8)], family: fn(Block<A>) -> Prefix) -> Arc<Source> {
        let mut builder = SourceBuilder::new("test", "test.txt");
        for (index, (block, label)) in blocks.iter().enumerate() {
            let label = if *label < 2 { format!("shared-{label}") } else { format!("own-{index}") };
            let labels = builder.intern(Labels::of(LabelKind::Label, &*label));
            builder.add(family(*block), labels, 1);
        }
        Arc::new(builder.finish().0)
    }

    /// The definition for one address: the labels of the longest prefix of each source.
    fn by_definition<A: Bits>(networks: &Networks, entries: fn(&Source) -> &[Entry<A>], address: A) -> Combination {
        let longest = |source: &Arc<Source>| {
            let holding = entries(source).iter().filter(|entry| entry.block.contains(address));
            holding.max_by_key(|entry| entry.block.prefix_len()).map(|entry| entry.labels)
        };
        networks.sources.iter().map(longest).collect()
    }

    /// Checks an overlay at every address at which a label may change, and right before.
    fn check<A: Bits>(
        networks: &Networks,
        entries: fn(&Source) -> &[Entry<A>],
        cuts: &[Block<A>],
    ) -> Result<Overlay<A>, TestCaseError> {
        let mut combinations = Combinations::default();
        let overlay = overlay(networks, entries, cuts, &mut combinations);
        let at = |address| {
            let index = overlay.ranges.partition_point(|(first, _)| *first <= address) - 1;
            &combinations.list()[overlay.ranges[index].1 as usize]
        };
        let begins: Vec<A> = cuts.iter().flat_map(|cut| [Some(cut.first()), cut.last().next()]).flatten().collect();

        prop_assert_eq!(overlay.ranges[0].0, A::MIN);
        for pair in overlay.ranges.windows(2) {
            prop_assert!(pair[0].0 < pair[1].0, "ranges are in order");
            prop_assert!(pair[0].1 != pair[1].1 || begins.contains(&pair[1].0), "neighbours differ or are cut");
        }
        for begin in &begins {
            prop_assert!(overlay.ranges.iter().any(|(first, _)| first == begin), "a range begins at every cut");
        }
        let blocks = networks.sources.iter().flat_map(|source| entries(source)).map(|entry| entry.block);
        let edges = blocks
            .chain(cuts.iter().copied())
            .flat_map(|block| [Some(block.first()), block.first().previous(), Some(block.last()), block.last().next()]);
        for address in edges.flatten().chain([A::MIN, A::MAX]) {
            prop_assert_eq!(at(address), &by_definition(networks, entries, address));
        }
        let mut distinct = combinations.list().to_vec();
        distinct.sort();
        distinct.dedup();
        prop_assert_eq!(distinct.len(), combinations.list().len(), "no combination is listed twice");
        Ok(overlay)
    }

    /// Blocks in which few bits vary, at both ends of the address, so that blocks nest, touch and repeat.
    fn blocks<A: Bits>(any: impl Strategy<Value = A> + Clone + 'static) -> impl Strategy<Value = Vec<(Block<A>, u8)>> {
        let edge = prop_oneof![Just(A::MIN), Just(A::MAX), any.clone().prop_map(|bits| bits.truncate(3)), any];
        let len = prop_oneof![0..=4u8, A::WIDTH - 3..=A::WIDTH, 0..=A::WIDTH];
        let block = (edge, len).prop_map(|(bits, len)| Block::holding(bits, len));
        prop::collection::vec((block, 0..4u8), 0..12)
    }

    proptest! {
        #[test]
        fn every_v4_address_has_the_longest_prefix_of_each_source(
            sources in prop::collection::vec(blocks(any::<u32>()), 0..4),
            cuts in blocks(any::<u32>()),
        ) {
            let networks = Networks { sources: sources.iter().map(|blocks| source(blocks, Prefix::V4)).collect() };
            let cuts: Vec<_> = cuts.into_iter().map(|(cut, _)| cut).collect();
            check(&networks, Source::v4, &cuts)?;
        }

        #[test]
        fn every_v6_address_has_the_longest_prefix_of_each_source(
            sources in prop::collection::vec(blocks(any::<u128>()), 0..4),
            cuts in blocks(any::<u128>()),
        ) {
            let networks = Networks { sources: sources.iter().map(|blocks| source(blocks, Prefix::V6)).collect() };
            let cuts: Vec<_> = cuts.into_iter().map(|(cut, _)| cut).collect();
            check(&networks, Source::v6, &cuts)?;
        }
    }

    fn starts(sources: &[&[(&str, u8)]], cuts: &[&str]) -> Vec<String> {
        let block = |text: &str| match text.parse().unwrap() {
            Prefix::V4(block) => block,
            Prefix::V6(_) => unreachable!("these tests are about IPv4"),
        };
        let sources = sources.iter().map(|entries| {
            let blocks: Vec<_> = entries.iter().map(|(text, label)| (block(text), *label)).collect();
            source(&blocks, Prefix::V4)
        });
        let networks = Networks { sources: sources.collect() };
        let cuts: Vec<_> = cuts.iter().map(|cut| block(cut)).collect();
        let overlay = check(&networks, Source::v4, &cuts).unwrap();
        overlay.ranges.iter().map(|(first, _)| first.to_ip().to_string()).collect()
    }

    #[test]
    fn no_source_is_one_range() {
        assert_eq!(starts(&[], &[]), ["0.0.0.0"]);
        assert_eq!(starts(&[&[]], &[]), ["0.0.0.0"]);
    }

    #[test]
    fn an_inner_prefix_cuts_its_outer_one() {
        let nested: &[_] = &[("10.0.0.0/8", 2), ("10.1.0.0/16", 2), ("10.1.0.0/24", 2)];
        let expected = ["0.0.0.0", "10.0.0.0", "10.1.0.0", "10.1.1.0", "10.2.0.0", "11.0.0.0"];
        assert_eq!(starts(&[nested], &[]), expected);
    }

    #[test]
    fn neighbours_that_say_the_same_are_one_range_unless_cut() {
        let halves: &[_] = &[("10.0.0.0/9", 0), ("10.128.0.0/9", 0)];
        assert_eq!(starts(&[halves], &[]), ["0.0.0.0", "10.0.0.0", "11.0.0.0"]);
        assert_eq!(starts(&[halves], &["10.128.0.0/9"]), ["0.0.0.0", "10.0.0.0", "10.128.0.0", "11.0.0.0"]);
    }

    #[test]
    fn ranges_reach_both_ends_of_the_address_space() {
        let ends: &[_] = &[("0.0.0.0/32", 2), ("255.255.255.255/32", 2)];
        assert_eq!(starts(&[ends], &[]), ["0.0.0.0", "0.0.0.1", "255.255.255.255"]);
        assert_eq!(starts(&[&[("0.0.0.0/0", 2)]], &["0.0.0.0/0"]), ["0.0.0.0"]);
    }
}
