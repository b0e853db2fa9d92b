//! The memory layout of a steering table: ranges in cache lines of the CPU, and a tree of the lines' first addresses.
//!
//! In: starts and plans of ranges, in address order. Out: the position of the range that holds an address. A line has the
//! starts of ten IPv4 ranges, or six of IPv6, with their plans beside them, so a range costs a query one line that may not
//! be in a cache. Above the lines are nodes of a line each: sixteen or eight first addresses of the level below. With four
//! million prefixes, every level of nodes but the lowest stays in the caches. The spread of the addresses makes no
//! difference. An index by leading bits would depend on it, because half of the ranges of IPv6 share their first sixteen.
//!
//! The upper half of an IPv6 address decides nearly always; the lower halves of the few starts that have one are stored
//! apart.
//!
//! **Invariants**: starts ascend.
//! **Not here**: the lines and the nodes ([`tree`]), the meaning of a range, and its scope ([`super::table`]).

mod tree;

use std::ops::Range;

use crate::base::ids::PlanId;
use crate::base::prefix::Bits;

pub(crate) use tree::Tree;

/// Addresses that can be packed into lines.
pub trait Packed: Bits {
    /// The key of a search: the leading bits.
    type Key: TreeKey;
    /// The lines and the tree.
    type Lines: Lines<Self::Key>;

    /// The key, and the bits behind it, left-aligned.
    fn split(self) -> (Self::Key, u64);
    /// The address again.
    fn join(key: Self::Key, low: u64) -> Self;
}

impl Packed for u32 {
    type Key = u32;
    type Lines = Tree<u32, 10, 16>;

    #[inline]
    fn split(self) -> (u32, u64) {
        (self, 0)
    }

    #[inline]
    fn join(key: u32, _low: u64) -> Self {
        key
    }
}

impl Packed for u128 {
    type Key = u64;
    type Lines = Tree<u64, 6, 8>;

    #[inline]
    fn split(self) -> (u64, u64) {
        ((self >> 64) as u64, self as u64)
    }

    #[inline]
    fn join(key: u64, low: u64) -> Self {
        u128::from(key) << 64 | u128::from(low)
    }
}

/// A place on the way down a tree to some key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Descent {
    /// A node of a level.
    Node {
        /// The level, from the highest, which is 0.
        level: u32,
        /// The number of the node in it.
        at: u32,
    },
    /// The line that has the range, by its number: the way ends here.
    Line(u32),
}

/// The place of a range: its line and its place there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TreePlace {
    line: u32,
    at: u32,
}

/// Ranges by their keys.
pub trait Lines<K>: Clone + std::fmt::Debug + Send + Sync {
    /// Packs keys, which ascend or stay, with the plan of each and whether there are bits behind the key.
    fn pack(ranges: impl ExactSizeIterator<Item = (K, PlanId, bool)>) -> Self;
    /// Finds the last range whose key is at or below `key`; the first range's is. The search goes on from the point that
    /// [`Lines::approach`] or [`Lines::advance`] has reached for the key; `None` if it starts here.
    fn find(&self, key: K, from: Option<Descent>) -> TreePlace;
    /// Takes the first step towards a key, for a caller that prefetches: the point that it reaches through nodes in the
    /// caches, and the place of the next node or line.
    fn approach(&self, key: K) -> (Descent, *const u8);
    /// Takes a further step: the same for the level below.
    fn advance(&self, key: K, from: Descent) -> (Descent, *const u8);
    /// The place of the range of a position.
    fn place(&self, position: usize) -> TreePlace;
    /// The position of a range.
    fn position(&self, place: TreePlace) -> usize;
    /// The place of the range behind another; `None` behind the last.
    fn next(&self, place: TreePlace) -> Option<TreePlace>;
    /// The key of a range.
    fn key(&self, place: TreePlace) -> K;
    /// The plan of a range.
    fn plan(&self, place: TreePlace) -> PlanId;
    /// Returns whether the start of a range has bits behind its key.
    fn has_low(&self, place: TreePlace) -> bool;
    /// The number of ranges.
    fn len(&self) -> usize;
    /// The bytes taken.
    fn memory(&self) -> usize;
    /// The memory areas of the lines and of the nodes.
    fn areas(&self) -> [Range<*const u8>; 2];
}

/// The key of a tree.
pub trait TreeKey: Copy + Ord + Send + Sync + std::fmt::Debug + 'static {
    /// The highest.
    const MAX: Self;
}

impl TreeKey for u32 {
    const MAX: Self = u32::MAX;
}

impl TreeKey for u64 {
    const MAX: Self = u64::MAX;
}

/// Ranges by their first addresses.
#[derive(Clone, Debug)]
pub(super) struct Ranges<A: Packed> {
    /// The ranges by the keys of their first addresses.
    pub(super) lines: A::Lines,
    /// The bits behind the key, by position, of the starts that have any.
    lows: Box<[(u32, u64)]>,
}

impl<A: Packed> Ranges<A> {
    /// Packs the starts of ranges, which ascend, and their plans.
    pub(super) fn pack(starts: &[A], plans: &[PlanId]) -> Self {
        let lines = A::Lines::pack(starts.iter().zip(plans).map(|(start, plan)| {
            let (key, low) = start.split();
            (key, *plan, low != 0)
        }));
        let low = |(at, start): (u32, &A)| Some((at, start.split().1)).filter(|(_, low)| *low != 0);
        Ranges { lines, lows: (0..).zip(starts).filter_map(low).collect() }
    }

    /// Finds the last range that starts at or below an address; `from` is as in [`Lines::find`].
    #[inline]
    pub(super) fn find(&self, address: A, from: Option<Descent>) -> TreePlace {
        let (key, _) = address.split();
        let place = self.lines.find(key, from);
        // If the keys differ, or the start has no bits behind its key, the key has decided.
        if self.lines.has_low(place) && self.lines.key(place) == key {
            return self.find_among_equals(address, place);
        }
        place
    }

    /// As [`Ranges::find`], where starts up to `last` may differ from the address behind the key only.
    #[cold]
    fn find_among_equals(&self, address: A, last: TreePlace) -> TreePlace {
        let (mut low, mut high) = (0, self.lines.position(last) + 1);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.start(self.lines.place(middle)) <= address { low = middle + 1 } else { high = middle }
        }
        self.lines.place(low - 1)
    }

    /// Takes the first step towards an address, as [`Lines::approach`].
    #[inline]
    pub(super) fn approach(&self, address: A) -> (Descent, *const u8) {
        self.lines.approach(address.split().0)
    }

    /// Takes a further step, as [`Lines::advance`].
    #[inline]
    pub(super) fn advance(&self, address: A, from: Descent) -> (Descent, *const u8) {
        self.lines.advance(address.split().0, from)
    }

    /// The first address of a range.
    #[inline]
    pub(super) fn start(&self, place: TreePlace) -> A {
        let low = if self.lines.has_low(place) { self.low(place) } else { 0 };
        A::join(self.lines.key(place), low)
    }

    #[cold]
    fn low(&self, place: TreePlace) -> u64 {
        let position = self.lines.position(place);
        let found = self.lows.binary_search_by_key(&position, |(at, _)| *at as usize);
        found.map_or(0, |found| self.lows[found].1)
    }

    /// The bytes taken.
    pub(super) fn memory(&self) -> usize {
        self.lines.memory() + size_of_val(&*self.lows)
    }
}

#[cfg(test)]
mod tests;
