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
//! **Invariants**: starts ascend; the unused keys of a node are the highest key.
//! **Not here**: the meaning of a range, and its scope ([`super::table`]).

use std::ops::Range;

use arrayvec::ArrayVec;

use crate::base::ids::PlanId;
use crate::base::memory::area;
use crate::base::prefix::Bits;

/// The most levels of a tree: 8^11 lines are more than there is memory for.
const MAX_LEVELS: usize = 11;

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

/// The nodes that a level may have to be in the caches always: 16 KiB, half of the smallest cache of a core. The levels below
/// are not: what the system does for a batch of datagrams drives them out.
const NEAR_NODES: usize = 256;

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
#[expect(clippy::len_without_is_empty, reason = "a table is never empty")]
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
    /// Whether the start of a range has bits behind its key.
    fn has_low(&self, place: TreePlace) -> bool;
    /// The number of ranges.
    fn len(&self) -> usize;
    /// The bytes taken.
    fn memory(&self) -> usize;
    /// The memory areas of the lines and of the nodes.
    fn areas(&self) -> [Range<*const u8>; 2];
}

/// `IN_LINE` ranges to a line, `IN_NODE` keys to a node; both fill 64 bytes.
#[derive(Clone, Debug)]
pub struct Tree<K, const IN_LINE: usize, const IN_NODE: usize> {
    lines: Box<[TreeLine<K, IN_LINE>]>,
    /// All levels, the lowest first.
    nodes: Box<[TreeNode<K, IN_NODE>]>,
    /// The levels, the highest first.
    levels: ArrayVec<TreeLevel, MAX_LEVELS>,
    /// The number of the upper levels that have no more than [`NEAR_NODES`] each.
    near_levels: usize,
    last: TreePlace,
}

#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
struct TreeLine<K, const N: usize> {
    keys: [K; N],
    plans: [PlanId; N],
    /// A bit for each range: whether its start has bits behind its key.
    lows: u16,
}

#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
struct TreeNode<K, const N: usize>([K; N]);

const _: () = assert!(size_of::<TreeLine<u32, 10>>() == 64 && size_of::<TreeLine<u64, 6>>() == 64);
const _: () = assert!(size_of::<TreeNode<u32, 16>>() == 64 && size_of::<TreeNode<u64, 8>>() == 64);

/// A level of the tree.
#[derive(Clone, Copy, Debug)]
struct TreeLevel {
    /// The index of its first node.
    start: u32,
    /// The number of its keys, which is that of the nodes, or lines, below.
    len: u32,
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

/// The index of the last of some ascending keys that is at or below `key`; the first is.
///
/// Halving takes the same steps whatever the outcome, so that there is nothing for the CPU to guess wrong.
#[inline]
fn last_at_or_below<K: TreeKey, const N: usize>(keys: &[K; N], key: K) -> usize {
    let (mut at, mut left) = (0, N);
    while left > 1 {
        let half = left / 2;
        at += if keys[at + half] <= key { half } else { 0 };
        left -= half;
    }
    at
}

impl<K: TreeKey, const IN_LINE: usize, const IN_NODE: usize> Lines<K> for Tree<K, IN_LINE, IN_NODE> {
    fn pack(ranges: impl ExactSizeIterator<Item = (K, PlanId, bool)>) -> Self {
        let len = ranges.len();
        let empty = TreeLine { keys: [K::MAX; IN_LINE], plans: [PlanId(0); IN_LINE], lows: 0 };
        let mut lines = vec![empty; len.div_ceil(IN_LINE)];
        for (at, (key, plan, has_low)) in ranges.enumerate() {
            let (line, place) = (&mut lines[at / IN_LINE], at % IN_LINE);
            (line.keys[place], line.plans[place]) = (key, plan);
            line.lows |= u16::from(has_low) << place;
        }
        let mut nodes: Vec<TreeNode<K, IN_NODE>> = Vec::new();
        let mut levels = ArrayVec::new();
        let mut firsts: Vec<K> = lines.iter().map(|line| line.keys[0]).collect();
        while firsts.len() > 1 {
            levels.insert(0, TreeLevel { start: nodes.len() as u32, len: firsts.len() as u32 });
            for chunk in firsts.chunks(IN_NODE) {
                let mut node = TreeNode([K::MAX; IN_NODE]);
                node.0[..chunk.len()].copy_from_slice(chunk);
                nodes.push(node);
            }
            firsts = firsts.iter().step_by(IN_NODE).copied().collect();
        }
        let last = len.saturating_sub(1);
        let last = TreePlace { line: (last / IN_LINE) as u32, at: (last % IN_LINE) as u32 };
        let is_near = |level: &&TreeLevel| level.len as usize <= NEAR_NODES * IN_NODE;
        let near_levels = levels.iter().take_while(is_near).count();
        Tree { lines: lines.into(), nodes: nodes.into(), levels, near_levels, last }
    }

    #[inline]
    fn find(&self, key: K, from: Option<Descent>) -> TreePlace {
        let line = match from {
            None => self.descend(0..self.levels.len(), 0, key),
            Some(Descent::Node { level, at }) => self.descend(level as usize..self.levels.len(), at as usize, key),
            Some(Descent::Line(line)) => line as usize,
        };
        let place = TreePlace { line: line as u32, at: last_at_or_below(&self.lines[line].keys, key) as u32 };
        if place.line == self.last.line && place.at > self.last.at { self.last } else { place }
    }

    #[inline]
    fn approach(&self, key: K) -> (Descent, *const u8) {
        self.stop(self.near_levels, self.descend(0..self.near_levels, 0, key))
    }

    #[inline]
    fn advance(&self, key: K, from: Descent) -> (Descent, *const u8) {
        match from {
            Descent::Node { level, at } => {
                let level = level as usize;
                self.stop(level + 1, self.descend(level..level + 1, at as usize, key))
            }
            Descent::Line(line) => self.stop(self.levels.len(), line as usize),
        }
    }

    fn place(&self, position: usize) -> TreePlace {
        TreePlace { line: (position / IN_LINE) as u32, at: (position % IN_LINE) as u32 }
    }

    fn position(&self, place: TreePlace) -> usize {
        place.line as usize * IN_LINE + place.at as usize
    }

    #[inline]
    fn next(&self, place: TreePlace) -> Option<TreePlace> {
        if place == self.last {
            return None;
        }
        let TreePlace { line, at } = place;
        Some(if at as usize + 1 < IN_LINE {
            TreePlace { line, at: at + 1 }
        } else {
            TreePlace { line: line + 1, at: 0 }
        })
    }

    #[inline]
    fn key(&self, place: TreePlace) -> K {
        self.lines[place.line as usize].keys[place.at as usize]
    }

    #[inline]
    fn plan(&self, place: TreePlace) -> PlanId {
        self.lines[place.line as usize].plans[place.at as usize]
    }

    #[inline]
    fn has_low(&self, place: TreePlace) -> bool {
        self.lines[place.line as usize].lows >> place.at & 1 != 0
    }

    fn len(&self) -> usize {
        self.position(self.last) + 1
    }

    fn memory(&self) -> usize {
        size_of_val(&*self.lines) + size_of_val(&*self.nodes)
    }

    fn areas(&self) -> [Range<*const u8>; 2] {
        [area(&self.lines), area(&self.nodes)]
    }
}

impl<K: TreeKey, const IN_LINE: usize, const IN_NODE: usize> Tree<K, IN_LINE, IN_NODE> {
    /// Goes down from a node of a level through those that are above another level: the number of the node, or line, there.
    #[inline]
    fn descend(&self, levels: Range<usize>, at: usize, key: K) -> usize {
        self.levels[levels].iter().fold(at, |at, level| self.step(level, at, key))
    }

    /// Stops at a node of a level, or at a line, which is below the last.
    #[inline]
    fn stop(&self, level: usize, at: usize) -> (Descent, *const u8) {
        match self.levels.get(level) {
            Some(TreeLevel { start, .. }) => {
                let node = &raw const self.nodes[*start as usize + at];
                (Descent::Node { level: level as u32, at: at as u32 }, node.cast())
            }
            None => (Descent::Line(at as u32), (&raw const self.lines[at]).cast()),
        }
    }

    /// Goes down from one node of a level: the number of the node, or line, below.
    #[inline]
    fn step(&self, level: &TreeLevel, at: usize, key: K) -> usize {
        let node = &self.nodes[level.start as usize + at];
        // For the highest key the search also counts the filler of a node, so the number is cut.
        (at * IN_NODE + last_at_or_below(&node.0, key)).min(level.len as usize - 1)
    }
}

/// Ranges by their first addresses.
#[derive(Clone, Debug)]
pub(super) struct Ranges<A: Packed> {
    lines: A::Lines,
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

    /// The range behind another; `None` behind the last.
    #[inline]
    pub(super) fn next(&self, place: TreePlace) -> Option<TreePlace> {
        self.lines.next(place)
    }

    /// The place of the range of a position.
    pub(super) fn place(&self, position: usize) -> TreePlace {
        self.lines.place(position)
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

    /// The plan of a range.
    #[inline]
    pub(super) fn plan(&self, place: TreePlace) -> PlanId {
        self.lines.plan(place)
    }

    /// The number of ranges.
    pub(super) fn len(&self) -> usize {
        self.lines.len()
    }

    /// The bytes taken.
    pub(super) fn memory(&self) -> usize {
        self.lines.memory() + size_of_val(&*self.lows)
    }

    /// The memory areas that queries read.
    pub(super) fn areas(&self) -> [Range<*const u8>; 2] {
        self.lines.areas()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn assert_finds<A: Packed>(mut starts: Vec<A>, probes: &[A]) {
        starts.push(A::MIN);
        starts.sort_unstable();
        starts.dedup();
        let plans: Vec<PlanId> = (0..starts.len()).map(|at| PlanId(at as u16)).collect();
        let ranges = Ranges::pack(&starts, &plans);
        assert_eq!(ranges.len(), starts.len());
        for (at, &start) in starts.iter().enumerate() {
            let place = ranges.place(at);
            assert_eq!((ranges.start(place), ranges.plan(place)), (start, PlanId(at as u16)));
            assert_eq!(ranges.next(place), (at + 1 < starts.len()).then(|| ranges.place(at + 1)));
        }
        let edges = starts.iter().flat_map(|start| [Some(*start), start.previous(), start.next()]).flatten();
        for address in edges.chain(probes.iter().copied()).chain([A::MIN, A::MAX]) {
            let expected = starts.partition_point(|start| *start <= address) - 1;
            let expected = ranges.place(expected);
            assert_eq!(ranges.find(address, None), expected, "{address:?} among {starts:?}");
            // The line that was told ahead is the one in which it was found, or the bits behind the key have led back from.
            // Wherever the way has come to, the search goes on to the same.
            let ((mut descent, mut place), [lines, nodes]) = (ranges.approach(address), ranges.areas());
            let line = loop {
                assert_eq!(ranges.find(address, Some(descent)), expected, "{address:?} from {descent:?}");
                if let Descent::Line(line) = descent {
                    break line as usize;
                }
                assert!(nodes.contains(&place), "{address:?}");
                (descent, place) = ranges.advance(address, descent);
            };
            assert_eq!(place, lines.start.wrapping_add(line * 64), "{address:?}");
        }
    }

    proptest! {
        #[test]
        fn ipv4_positions_are_those_of_a_plain_search(starts in prop::collection::vec(any::<u32>(), 0..600), probes in prop::collection::vec(any::<u32>(), 20)) {
            assert_finds(starts, &probes);
        }

        #[test]
        fn ipv6_positions_are_those_of_a_plain_search_even_where_the_upper_halves_are_the_same(
            starts in prop::collection::vec((0u64..20, prop::option::of(0u64..9)), 0..300),
            probes in prop::collection::vec(any::<u128>(), 20),
        ) {
            let spread = |high: u64| high.wrapping_mul(0x0d79_4359_11bc_0000) | (high << 60);
            let starts = starts.into_iter().map(|(high, low)| u128::join(spread(high), low.unwrap_or(0) << 61)).collect();
            assert_finds(starts, &probes);
        }
    }

    #[test]
    fn full_lines_and_levels_end_where_they_should() {
        // These have levels that are not near.
        let far = (NEAR_NODES * 16 * 10 + 1) as u32;
        assert_finds((0..far).map(|at| at * 7 + 1).collect::<Vec<u32>>(), &[]);
        assert_finds((0..far).map(|at| u128::from(at) << 70).collect::<Vec<u128>>(), &[]);
        for len in [1, 9, 10, 11, 159, 160, 161, 2559, 2560, 2561] {
            assert_finds((0..len).map(|at| at * 7 + 1).collect::<Vec<u32>>(), &[]);
            assert_finds((0..len).map(|at| u32::MAX - at).collect::<Vec<u32>>(), &[]);
            assert_finds((0..len).map(|at| u128::MAX - (u128::from(at) << 63)).collect::<Vec<u128>>(), &[]);
        }
    }
}
