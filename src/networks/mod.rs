//! Networks: labelled sets of client prefixes, and how several sources are laid over each other.
//!
//! In come [`Source`]s, each a list of prefixes with labels read from one file; out go, for an address, one entry
//! of each source ([`Networks::entries_at`], for `explain`), and the whole address space as disjoint ranges with one
//! combination of labels each ([`overlay`], for the steering table).
//!
//! **Invariants**: inside a source the longest prefix that holds an address is its entry; sources never see each
//! other; the order of sources is the order of the config.
//! **Not here**: reading files ([`crate::load`]), rules ([`crate::steer`]).

mod labels;
mod overlay;

pub use labels::{Facts, Labels, Place};
pub use overlay::{Combination, Combinations, Overlay, overlay};

use std::net::IpAddr;
use std::sync::Arc;

use crate::base::ids::{LabelsId, SourceId};
use crate::base::prefix::{Bits, Block, Prefix};

/// One prefix of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<A: Bits> {
    /// The addresses it is about.
    pub block: Block<A>,
    /// What it says of them.
    pub labels: LabelsId,
    /// The line of the file it came from, from 1; 0 where the file has no lines (a database).
    pub line: u32,
}

/// All that one file says, by prefix.
///
/// Prefixes are distinct: of several entries for one prefix [`SourceBuilder`] keeps one.
#[derive(Clone, Debug)]
pub struct Source {
    /// The key in the config's `[networks]`.
    pub name: Arc<str>,
    /// The file, as the operator wrote it.
    pub file: Arc<str>,
    labels: Vec<Labels>,
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
    pub fn all_labels(&self) -> &[Labels] {
        &self.labels
    }

    /// A set of labels.
    pub fn labels(&self, id: LabelsId) -> &Labels {
        &self.labels[id.index()]
    }

    /// The number of prefixes, both families.
    pub fn prefix_count(&self) -> usize {
        self.v4.len() + self.v6.len()
    }

    /// The entry of an address: the longest prefix that holds it.
    pub fn entry_at(&self, address: IpAddr) -> Option<FoundEntry> {
        match address {
            IpAddr::V4(v4) => longest(&self.v4, v4.to_bits()).map(|entry| FoundEntry {
                prefix: Prefix::V4(entry.block),
                labels: entry.labels,
                line: entry.line,
            }),
            IpAddr::V6(v6) => longest(&self.v6, v6.to_bits()).map(|entry| FoundEntry {
                prefix: Prefix::V6(entry.block),
                labels: entry.labels,
                line: entry.line,
            }),
        }
    }
}

/// Finds the longest prefix by walking back from the last one that starts at or before the address.
///
/// The order (first address, then length) puts the longest last; an entry that does not hold the address is
/// stepped over, at most one per nested block. Only `explain` asks this way.
fn longest<A: Bits>(entries: &[Entry<A>], address: A) -> Option<&Entry<A>> {
    // Every prefix of the address is a candidate; the first that exists, from the longest, is the entry.
    (0..=A::WIDTH).rev().find_map(|len| {
        let wanted = Block::holding(address, len);
        entries.binary_search_by_key(&wanted, |entry| entry.block).ok().map(|at| &entries[at])
    })
}

/// An entry of either family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FoundEntry {
    /// The prefix.
    pub prefix: Prefix,
    /// What it says.
    pub labels: LabelsId,
    /// The line it came from; 0 where the file has none.
    pub line: u32,
}

/// Gathers a source prefix by prefix.
#[derive(Debug)]
pub struct SourceBuilder {
    source: Source,
    ids: std::collections::HashMap<Labels, LabelsId>,
}

impl SourceBuilder {
    /// Begins a source.
    pub fn new(name: &str, file: &str) -> Self {
        let source =
            Source { name: name.into(), file: file.into(), labels: Vec::new(), v4: Vec::new(), v6: Vec::new() };
        SourceBuilder { source, ids: std::collections::HashMap::new() }
    }

    /// The id of a set of labels, the same for equal sets.
    pub fn intern(&mut self, labels: Labels) -> LabelsId {
        if let Some(id) = self.ids.get(&labels) {
            return *id;
        }
        let id = LabelsId::from_index(self.source.labels.len());
        self.source.labels.push(labels.clone());
        self.ids.insert(labels, id);
        id
    }

    /// Adds a prefix.
    pub fn add(&mut self, prefix: Prefix, labels: LabelsId, line: u32) {
        match prefix {
            Prefix::V4(block) => self.source.v4.push(Entry { block, labels, line }),
            Prefix::V6(block) => self.source.v6.push(Entry { block, labels, line }),
        }
    }

    /// Orders the prefixes. Of several entries for one prefix the first added stays; the others are returned
    /// where their labels differ, for a warning.
    pub fn finish(mut self) -> (Source, Vec<Conflict>) {
        let mut conflicts = Vec::new();
        order(&mut self.source.v4, Prefix::V4, &mut conflicts);
        order(&mut self.source.v6, Prefix::V6, &mut conflicts);
        (self.source, conflicts)
    }
}

/// Two entries of one source for the same prefix that say different things.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The prefix.
    pub prefix: Prefix,
    /// The line and labels that stay.
    pub kept: (u32, LabelsId),
    /// The line and labels that are dropped.
    pub dropped: (u32, LabelsId),
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
    /// A source.
    pub fn source(&self, id: SourceId) -> &Source {
        &self.sources[id.index()]
    }

    /// The entry of each source for an address, in the order of the sources.
    pub fn entries_at(&self, address: IpAddr) -> Vec<Option<FoundEntry>> {
        self.sources.iter().map(|source| source.entry_at(address)).collect()
    }

    /// What the sources together say, given the entry's labels of each.
    pub fn facts(&self, labels: &[Option<LabelsId>]) -> Facts<'_> {
        Facts::of(self.sources.iter().zip(labels).map(|(source, id)| id.map(|id| source.labels(id))))
    }
}
