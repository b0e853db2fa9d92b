//! The steering table of one family: every address to a plan, with the exact scope of that statement.
//!
//! In: disjoint ranges in order, with a plan each. Out: lookups. A range is its first address and a plan (6 bytes for IPv4,
//! 10 for IPv6): it ends where the next begins, and its scope needs no stored length (RFC 7871 §7.2.1):
//!
//! ```text
//! scope(a in [lo, hi]) = max(common prefix of a and lo−1, common prefix of a and hi+1) + 1
//! ```
//!
//! which is the shortest prefix around `a` that leaves out both neighbours, so it is minimal, and two scopes returned
//! for different plans never overlap.
//!
//! **Invariants**: the first range starts at the lowest address; starts ascend; neighbours differ in plan unless a
//! boundary was asked for between them.
//! **Not here**: the reason for a plan ([`super::horizon`]); the place of a range in memory, and the search for it
//! ([`super::lines`]).

use arrayvec::ArrayVec;

use super::lines::{Descent, Lines as _, Packed, Ranges, TreePlace};
use crate::base::ids::PlanId;
use crate::base::prefix::{Bits, Block};

/// The winner of a block with more ranges than this is computed ahead; fewer are added up per query.
///
/// More would cost a query for such a block more; fewer would cost memory. With 32, the blocks of the providers' feeds add
/// a byte to what each range takes (benches/results/compile.txt).
const CROWDED: usize = 32;

/// Every address of one family to a plan.
#[derive(Clone, Debug)]
pub struct RangeTable<A: Packed> {
    ranges: Ranges<A>,
    /// The winners of blocks with many ranges.
    crowded: Winners<A>,
}

/// The result of a lookup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FoundRange {
    /// The plan of the address, or of most of its block.
    pub(crate) plan: PlanId,
    /// The number of leading bits for which that holds.
    pub(crate) scope: u8,
}

/// One range of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableRange<A> {
    /// The first address.
    pub first: A,
    /// The last address.
    pub(crate) last: A,
    /// The plan of all of them.
    pub plan: PlanId,
}

impl<A: Packed> RangeTable<A> {
    /// Builds the table from ranges in address order, the first at the lowest address.
    ///
    /// Neighbours with the same plan are merged, except at the ends of `boundaries`: the decision inside such a block
    /// depends on more than the table (inside a reserved block, on the resolver's address).
    pub(crate) fn build(ranges: impl IntoIterator<Item = (A, PlanId)>, boundaries: &[Block<A>]) -> Self {
        let mut edges: Vec<A> =
            boundaries.iter().flat_map(|block| [Some(block.first()), block.last().next()]).flatten().collect();
        edges.sort_unstable();
        let (mut starts, mut plans): (Vec<A>, Vec<PlanId>) = (Vec::new(), Vec::new());
        for (first, plan) in ranges {
            debug_assert!(starts.last().is_none_or(|last| *last < first), "ranges come in address order");
            if plans.last() == Some(&plan) && edges.binary_search(&first).is_err() {
                continue;
            }
            starts.push(first);
            plans.push(plan);
        }
        assert!(starts.first() == Some(&A::MIN), "the first range starts at the lowest address");
        RangeTable { ranges: Ranges::pack(&starts, &plans), crowded: Winners::of(&starts, &plans) }
    }

    /// The number of ranges.
    pub fn len(&self) -> usize {
        self.ranges.lines.len()
    }

    /// The bytes that the table takes, per its own arrays.
    pub fn memory(&self) -> usize {
        self.ranges.memory() + self.crowded.memory()
    }

    /// The memory areas that queries read.
    pub(crate) fn areas(&self) -> [std::ops::Range<*const u8>; 2] {
        self.ranges.lines.areas()
    }

    /// Takes the first step towards an address, for a caller that prefetches: the point to go on from, and the place to
    /// prefetch for that.
    #[inline]
    pub(crate) fn approach(&self, address: A) -> (Descent, *const u8) {
        self.ranges.approach(address)
    }

    /// Takes a further step. The last leads to the line that [`RangeTable::find`] reads first; it may need the next one.
    #[inline]
    pub(crate) fn advance(&self, address: A, from: Descent) -> (Descent, *const u8) {
        self.ranges.advance(address, from)
    }

    /// All ranges in address order.
    pub fn ranges(&self) -> impl Iterator<Item = TableRange<A>> + '_ {
        (0..self.len()).map(|at| self.range(self.ranges.lines.place(at)))
    }

    /// The plan of one address.
    #[inline]
    pub fn plan_at(&self, address: A) -> PlanId {
        self.ranges.lines.plan(self.ranges.find(address, None))
    }

    /// The range that holds an address.
    #[cfg(test)]
    pub(crate) fn range_at(&self, address: A) -> TableRange<A> {
        self.range(self.ranges.find(address, None))
    }

    /// The plan for the block of `source` bits at `address`, and its scope.
    ///
    /// If the block covers several ranges, the plan is that of most of it (the lowest addresses among equals). The scope is
    /// the longer one that an exact answer for the block's address would have needed (RFC 7871 §7.2.1).
    #[inline]
    pub fn find(&self, address: A, source: u8) -> FoundRange {
        self.find_from(address, source, None)
    }

    /// As [`RangeTable::find`], but goes on from the point that a prefetch has reached ([`RangeTable::approach`]).
    #[inline]
    pub(crate) fn find_from(&self, address: A, source: u8, from: Option<Descent>) -> FoundRange {
        let at = self.ranges.find(address, from);
        let start = self.ranges.start(at);
        let next = self.start_after(at);
        let common = |neighbour: A| address.common_prefix_len(neighbour) + 1;
        let scope = start.previous().map(common).max(next.map(common)).unwrap_or(0);
        let plan = match next {
            Some(next) if next <= address.fill(source) => self.most_of(Block::holding(address, source), at),
            _ => self.ranges.lines.plan(at),
        };
        FoundRange { plan, scope }
    }

    /// The first address of the range behind the one at `at`.
    #[inline]
    fn start_after(&self, at: TreePlace) -> Option<A> {
        self.ranges.lines.next(at).map(|next| self.ranges.start(next))
    }

    fn range(&self, at: TreePlace) -> TableRange<A> {
        let next = self.start_after(at);
        let last = next.map_or(A::MAX, |next| next.previous().expect("only the first range starts at zero"));
        TableRange { first: self.ranges.start(at), last, plan: self.ranges.lines.plan(at) }
    }

    /// The plan that covers most of a block of which the first range is at `first`.
    #[cold]
    fn most_of(&self, block: Block<A>, first: TreePlace) -> PlanId {
        let mut covered: ArrayVec<(PlanId, u128), CROWDED> = ArrayVec::new();
        let (mut at, mut from, end) = (first, block.first(), block.last());
        for _ in 0..CROWDED {
            let next = self.ranges.lines.next(at).map(|next| (next, self.ranges.start(next)));
            let next = next.filter(|(_, start)| *start <= end);
            let last = next.and_then(|(_, start)| start.previous()).unwrap_or(end);
            let (plan, share) = (self.ranges.lines.plan(at), count(from, last));
            match covered.iter_mut().find(|(known, _)| *known == plan) {
                Some((_, sum)) => *sum = sum.saturating_add(share),
                None => covered.push((plan, share)),
            }
            match next {
                Some(next) => (at, from) = next,
                None => return largest(covered.iter().copied()),
            }
        }
        self.crowded.of_block(block).unwrap_or_else(|| self.ranges.lines.plan(first))
    }
}

/// The plan with the largest sum, the first among equals.
fn largest(covered: impl IntoIterator<Item = (PlanId, u128)>) -> PlanId {
    let largest = covered.into_iter().reduce(|best, one| if one.1 > best.1 { one } else { best });
    largest.expect("a block has an address").0
}

/// The number of addresses from one to another, both included.
fn count<A: Bits>(first: A, last: A) -> u128 {
    (last.to_u128() - first.to_u128()).saturating_add(1)
}

/// The number of addresses of a block from one address to another.
fn share<A: Bits>(first: A, last: A, block: Block<A>) -> u128 {
    count(first.max(block.first()), last.min(block.last()))
}

/// The winners of crowded blocks: by length, then by address.
#[derive(Clone, Debug)]
struct Winners<A> {
    /// The index of the first block of each length, and one more that closes the last.
    lens: Box<[u32]>,
    firsts: Box<[A]>,
    plans: Box<[PlanId]>,
}

impl<A: Bits> Winners<A> {
    fn of(starts: &[A], plans: &[PlanId]) -> Self {
        let most = plans.iter().map(|plan| plan.index() + 1).max().unwrap_or(0);
        let mut search =
            WinnerSearch { starts, plans, weights: vec![0; most], touched: Vec::new(), winners: Vec::new() };
        search.visit(Block::holding(A::MIN, 0), 0, starts.len());
        let mut winners = search.winners;
        winners.sort_unstable_by_key(|(block, _)| (block.prefix_len(), block.first()));
        let start = |len: u8| winners.partition_point(|(block, _)| block.prefix_len() < len) as u32;
        Winners {
            lens: (0..=A::WIDTH + 1).map(start).collect(),
            firsts: winners.iter().map(|(block, _)| block.first()).collect(),
            plans: winners.iter().map(|(_, plan)| *plan).collect(),
        }
    }

    /// The winner of a block, if it is crowded.
    fn of_block(&self, block: Block<A>) -> Option<PlanId> {
        let len = usize::from(block.prefix_len());
        let (from, to) = (self.lens[len] as usize, self.lens[len + 1] as usize);
        let found = self.firsts[from..to].binary_search(&block.first()).ok()?;
        Some(self.plans[from + found])
    }

    fn memory(&self) -> usize {
        size_of_val(&*self.lens) + size_of_val(&*self.firsts) + size_of_val(&*self.plans)
    }
}

/// Finds the winners of crowded blocks, from the whole address space down.
struct WinnerSearch<'t, A: Bits> {
    starts: &'t [A],
    plans: &'t [PlanId],
    /// Addresses per plan, for the block in hand; only the plans in `touched` are not zero.
    weights: Vec<u128>,
    touched: Vec<PlanId>,
    winners: Vec<(Block<A>, PlanId)>,
}

impl<A: Bits> WinnerSearch<'_, A> {
    /// Looks at a block that the ranges `from..to` reach into, then at its halves; as deep as an address is long.
    fn visit(&mut self, block: Block<A>, from: usize, to: usize) {
        if to - from <= CROWDED {
            return;
        }
        for at in from..to {
            let plan = self.plans[at];
            let weight = &mut self.weights[plan.index()];
            if *weight == 0 {
                self.touched.push(plan);
            }
            let last = self.starts.get(at + 1).and_then(|next| next.previous()).unwrap_or(A::MAX);
            *weight = weight.saturating_add(share(self.starts[at], last, block));
        }
        let weights = &mut self.weights;
        let covered = self.touched.drain(..).map(|plan| (plan, std::mem::take(&mut weights[plan.index()])));
        self.winners.push((block, largest(covered)));
        let half = block.prefix_len() + 1;
        let upper = Block::holding(block.last(), half);
        let middle = from + self.starts[from..to].partition_point(|start| *start < upper.first());
        self.visit(Block::holding(block.first(), half), from, middle);
        // The range before the middle may reach over it.
        let reaches = self.starts.get(middle) != Some(&upper.first());
        self.visit(upper, middle - usize::from(reaches), to);
    }
}

#[cfg(test)]
mod tests;
