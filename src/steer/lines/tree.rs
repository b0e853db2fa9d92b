//! Lines of ranges, and the tree of nodes above them.
//!
//! **Invariants**: starts ascend; the unused keys of a node are the highest key; a line and a node fill 64 bytes each.
//! **Not here**: the bits of an address behind its key ([`super::Ranges`]).

use std::ops::Range;

use arrayvec::ArrayVec;

use super::{Descent, Lines, TreeKey, TreePlace};
use crate::base::ids::PlanId;
use crate::base::memory::area;

/// The most levels of a tree: 8^11 lines are more than there is memory for.
const MAX_LEVELS: usize = 11;

/// The nodes that a level may have to be in the caches always: 16 KiB, half of the smallest cache of a core. The levels below
/// are not: what the system does for a batch of datagrams drives them out.
pub(super) const NEAR_NODES: usize = 256;

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
