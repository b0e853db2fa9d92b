//! Networks: labelled sets of client prefixes, and the overlay of several sources.
//!
//! A [`Source`] is a list of prefixes with labels, read from one file. For an address, [`Networks::entries_at`] returns one
//! entry of each source, for `explain`. [`overlay()`] cuts the whole address space into disjoint ranges with one combination
//! of labels each, for the steering table.
//!
//! **Invariants**: inside a source, the longest prefix that holds an address is its entry; sources do not affect each other;
//! the order of sources is the order of the config.
//! **Not here**: reading files ([`crate::load`]), rules ([`crate::steer`]).

mod kind;
mod labels;
mod overlay;

pub use kind::LabelKind;
pub(crate) use kind::{Group, KindRow, ValueForm};
pub use labels::Labels;
pub(crate) use labels::{AddressLabels, LabelValue};
pub(crate) use overlay::{Combination, Combinations, Overlay, overlay};

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use labels::{Interner, LabelSets};

use crate::base::ids::LabelsId;
use crate::base::prefix::{Bits, Block, Prefix};
use crate::base::private::PrivatePrefixes;
use crate::base::time::UnixTime;

/// One prefix of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<A: Bits> {
    /// The addresses of the prefix.
    pub block: Block<A>,
    /// The labels of these addresses.
    pub(crate) labels: LabelsId,
    /// The line of the file it came from, from 1; 0 if the file has no lines (a database).
    pub(crate) line: u32,
}

/// The entries of one file, by prefix.
///
/// Prefixes are distinct: of several entries for one prefix [`SourceBuilder`] keeps one.
#[derive(Clone, Debug)]
pub struct Source {
    /// The key in the config's `[networks]`.
    pub(crate) name: Arc<str>,
    /// The file, as the operator wrote it.
    pub(crate) file: Arc<str>,
    /// The last change of the file; `None` if it was read from memory.
    pub(crate) modified: Option<UnixTime>,
    /// SHA-256 of the content, if the server has fetched it.
    pub(crate) digest: Option<Arc<str>>,
    /// True for a list that the operator keeps. Its private prefixes locate clients.
    is_by_operator: bool,
    labels: LabelSets,
    v4: Vec<Entry<u32>>,
    v6: Vec<Entry<u128>>,
}

impl Source {
    /// The entries of IPv4, ordered by first address, outer before inner.
    pub fn v4(&self) -> &[Entry<u32>] {
        &self.v4
    }

    /// The entries of IPv6, ordered by first address, outer before inner.
    pub fn v6(&self) -> &[Entry<u128>] {
        &self.v6
    }

    /// Every distinct set of labels.
    pub fn all_labels(&self) -> impl ExactSizeIterator<Item = Labels<'_>> {
        self.labels.iter()
    }

    /// The distinct values that its entries have of a kind.
    pub(crate) fn values(&self, kind: LabelKind) -> BTreeSet<LabelValue<&str>> {
        self.labels.values(kind)
    }

    /// True if another source has the same prefixes with the same labels, on the same lines.
    pub(crate) fn has_content_of(&self, other: &Source) -> bool {
        self.v4 == other.v4 && self.v6 == other.v6 && self.labels == other.labels
    }

    /// A set of labels.
    pub(crate) fn labels(&self, id: LabelsId) -> Labels<'_> {
        self.labels.set(id)
    }

    /// The number of prefixes, both families.
    pub(crate) fn prefix_count(&self) -> usize {
        self.v4.len() + self.v6.len()
    }

    /// The entry of an address: the longest prefix that holds it.
    pub(crate) fn entry_at(&self, address: IpAddr) -> Option<FoundEntry> {
        match address {
            IpAddr::V4(v4) => longest(&self.v4, v4.to_bits(), Prefix::V4),
            IpAddr::V6(v6) => longest(&self.v6, v6.to_bits(), Prefix::V6),
        }
    }
}

/// Finds the longest prefix by a search for every prefix of the address, the longest first.
///
/// That is one binary search per length, however deeply prefixes nest. Only `explain` does this; serving uses a table.
fn longest<A: Bits>(entries: &[Entry<A>], address: A, family: fn(Block<A>) -> Prefix) -> Option<FoundEntry> {
    (0..=A::WIDTH).rev().find_map(|len| {
        let wanted = Block::holding(address, len);
        let at = entries.binary_search_by_key(&wanted, |entry| entry.block).ok()?;
        let Entry { block, labels, line } = entries[at];
        Some(FoundEntry { prefix: family(block), labels, line })
    })
}

/// An entry of either family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FoundEntry {
    /// The prefix.
    pub(crate) prefix: Prefix,
    /// The labels of the prefix.
    pub(crate) labels: LabelsId,
    /// The line it came from; 0 if the file has no lines.
    pub(crate) line: u32,
}

/// Builds a source prefix by prefix.
#[derive(Debug)]
pub struct SourceBuilder {
    source: Source,
    interner: Interner,
}

impl SourceBuilder {
    /// Begins a source.
    pub fn new(name: &str, file: &str) -> Self {
        let source = Source {
            name: name.into(),
            file: file.into(),
            modified: None,
            digest: None,
            is_by_operator: false,
            labels: LabelSets::default(),
            v4: Vec::new(),
            v6: Vec::new(),
        };
        SourceBuilder { source, interner: Interner::default() }
    }

    /// Marks the source as a list that the operator keeps, so that its private prefixes locate clients.
    #[must_use]
    pub(crate) fn by_operator(mut self) -> Self {
        self.source.is_by_operator = true;
        self
    }

    /// The id of a set of labels, the same for equal sets.
    pub fn intern(&mut self, labels: Labels<'_>) -> LabelsId {
        self.interner.intern(&labels)
    }

    /// Adds a prefix.
    pub fn add(&mut self, prefix: Prefix, labels: LabelsId, line: u32) {
        match prefix {
            Prefix::V4(block) => self.source.v4.push(Entry { block, labels, line }),
            Prefix::V6(block) => self.source.v6.push(Entry { block, labels, line }),
        }
    }

    /// Sorts the prefixes. Of several entries for one prefix, the first added is kept. The others are returned if their
    /// labels differ, for a warning.
    pub fn finish(mut self) -> (Source, Vec<Conflict>) {
        let mut conflicts = Vec::new();
        self.source.labels = self.interner.finish();
        order(&mut self.source.v4, Prefix::V4, &mut conflicts);
        order(&mut self.source.v6, Prefix::V6, &mut conflicts);
        (self.source, conflicts)
    }
}

/// Two entries of one source for the same prefix with different labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The prefix.
    pub(crate) prefix: Prefix,
    /// The line and labels that stay.
    pub(crate) kept: (u32, LabelsId),
    /// The line and labels that are dropped.
    pub(crate) dropped: (u32, LabelsId),
}

fn order<A: Bits>(entries: &mut Vec<Entry<A>>, family: fn(Block<A>) -> Prefix, conflicts: &mut Vec<Conflict>) {
    // A stable sort keeps the order of the file among equals.
    entries.sort_by_key(|entry| entry.block);
    entries.dedup_by(|later, kept| {
        if later.block != kept.block {
            return false;
        }
        if later.labels != kept.labels {
            conflicts.push(Conflict {
                prefix: family(later.block),
                kept: (kept.line, kept.labels),
                dropped: (later.line, later.labels),
            });
        }
        true
    });
    entries.shrink_to_fit();
}

/// All sources, in the order of the config.
#[derive(Clone, Debug, Default)]
pub struct Networks {
    /// The sources.
    pub sources: Vec<Arc<Source>>,
}

impl Networks {
    /// True if some source has no prefixes: it is not fetched yet, or its file is refused at a start.
    pub(crate) fn lack_prefixes(&self) -> bool {
        self.sources.iter().any(|source| source.prefix_count() == 0)
    }

    /// The same sources, with another one in the place of that of its name.
    pub(crate) fn with(&self, source: &Arc<Source>) -> Self {
        let replace = |known: &Arc<Source>| if known.name == source.name { source.clone() } else { known.clone() };
        Networks { sources: self.sources.iter().map(replace).collect() }
    }

    /// The private prefixes that the operator's lists name.
    pub(crate) fn private_prefixes(&self) -> PrivatePrefixes {
        let lists = self.sources.iter().filter(|source| source.is_by_operator);
        PrivatePrefixes::of(lists.flat_map(|source| {
            let v4 = source.v4.iter().map(|entry| Prefix::V4(entry.block));
            v4.chain(source.v6.iter().map(|entry| Prefix::V6(entry.block)))
        }))
    }

    /// The entry of each source for an address, in the order of the sources.
    pub(crate) fn entries_at(&self, address: IpAddr) -> Vec<Option<FoundEntry>> {
        self.sources.iter().map(|source| source.entry_at(address)).collect()
    }

    /// The labels of all sources together; `entries` has the labels of each source's entry, in the order of the sources.
    pub(crate) fn facts<'a>(&'a self, entries: &'a [Option<LabelsId>]) -> AddressLabels<'a> {
        AddressLabels::of(self, entries)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn labelled(text: &str) -> Labels<'_> {
        Labels::of(LabelKind::Label, text)
    }

    /// A source of IPv4 and IPv6 prefixes, each labelled with its place in the list.
    fn source(prefixes: &[Prefix]) -> Source {
        let mut builder = SourceBuilder::new("test", "test.txt");
        for (index, prefix) in prefixes.iter().enumerate() {
            let labels = builder.intern(labelled(&index.to_string()));
            builder.add(*prefix, labels, index as u32 + 1);
        }
        builder.finish().0
    }

    #[test]
    fn equal_labels_have_one_id() {
        let mut builder = SourceBuilder::new("test", "test.txt");
        let first = builder.intern(labelled("a"));
        assert_ne!(builder.intern(labelled("b")), first);
        assert_eq!(builder.intern(labelled("a")), first);
    }

    #[test]
    fn the_first_of_several_entries_for_a_prefix_stays() {
        let mut builder = SourceBuilder::new("test", "test.txt");
        let [a, b] = ["a", "b"].map(|label| builder.intern(labelled(label)));
        let prefix = "10.0.0.0/8".parse().unwrap();
        for (labels, line) in [(a, 3), (a, 4), (b, 5)] {
            builder.add(prefix, labels, line);
        }
        let (source, conflicts) = builder.finish();
        assert_eq!(source.entry_at(prefix.first()), Some(FoundEntry { prefix, labels: a, line: 3 }));
        assert_eq!(source.prefix_count(), 1);
        // Two equal entries are no conflict.
        assert_eq!(conflicts, [Conflict { prefix, kept: (3, a), dropped: (5, b) }]);
    }

    #[test]
    fn families_do_not_meet() {
        let source = source(&["::/0".parse().unwrap()]);
        assert_eq!(source.entry_at("10.0.0.1".parse().unwrap()), None);
        assert!(source.entry_at("::1".parse().unwrap()).is_some());
    }

    proptest! {
        #[test]
        fn the_entry_is_the_longest_prefix(
            // Few bits vary, so that prefixes nest and repeat.
            v4 in prop::collection::vec((any::<u32>().prop_map(|bits| bits & 0xc000_0603), 0..=32u8), 0..40),
            v6 in prop::collection::vec((any::<u128>().prop_map(|bits| bits & (7 << 95 | 5)), 0..=128u8), 0..40),
            addresses in prop::collection::vec((any::<u32>(), any::<u128>()), 20),
        ) {
            let v4 = v4.into_iter().map(|(bits, len)| Prefix::V4(Block::holding(bits, len)));
            let v6 = v6.into_iter().map(|(bits, len)| Prefix::V6(Block::holding(bits, len)));
            let prefixes: Vec<Prefix> = v4.chain(v6).collect();
            let source = source(&prefixes);
            let random = addresses.iter().flat_map(|(v4, v6)| [v4.to_ip(), v6.to_ip()]);
            for address in random.chain(prefixes.iter().map(|prefix| prefix.first())) {
                let longest = prefixes.iter().filter(|prefix| prefix.contains(address)).max_by_key(|prefix| prefix.prefix_len());
                // Of equal prefixes, the first was added first.
                let line = longest.map(|longest| prefixes.iter().position(|prefix| prefix == longest).unwrap() as u32 + 1);
                let found = source.entry_at(address);
                prop_assert_eq!(found.map(|entry| entry.prefix), longest.copied());
                prop_assert_eq!(found.map(|entry| entry.line), line);
            }
        }
    }
}
