//! The address space of one family in cells: the plan of each cell, and the addresses of each mirror.
//!
//! A block of addresses is divided into 2^16 cells of equal size. A cell has the plan of most of those of its addresses for
//! which a rule decides, and the share of its addresses that have this plan. Plans are those of the steering table, with every
//! mirror up, so health has no say.
//!
//! **Invariants**: an address has the plan that [`crate::steer::decide`] gives a client whose whole address is known. A reserved
//! address has none, because the resolver's address decides; an IPv6 address that embeds IPv4 has the plan of the embedded one.
//! The counts of the runs add up to the number of cells.
//! **Not here**: names and JSON, the bound on concurrent requests ([`crate::control`]).

use std::collections::BTreeMap;

use super::ground::{add, count};
use super::moves::MovedStretches;
use super::tally::share;
use crate::base::ids::{MirrorId, PlanId};
use crate::base::prefix::{Bits, Block, Family, Prefix};
use crate::base::special;
use crate::base::words::words;
use crate::steer::spread::SLOTS;
use crate::steer::{Horizon, Won};

/// The number of bits that number the cells of a block.
const CELL_BITS: u8 = 16;

/// The whole of a share of a cell.
const WHOLE: u8 = 15;

words! {
    /// The reason for the plan of a cell.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) enum SpaceKind {
        /// A rule decides for its addresses.
        Rule = "rule",
        /// No rule decides, or the plan of the rule is that of the default.
        Default = "default",
        /// The block is reserved: the resolver's address decides.
        Reserved = "reserved",
    }
}

/// The requests of clients that a picture is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SpaceSubject {
    /// DNS queries: a rule with `canonical = true` gives the mirrors of its plan to these.
    Answers,
    /// Blob requests to the registry listener: a rule with `canonical = true` gives no mirror to these.
    Redirects,
}

/// A block of addresses in cells.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Space {
    /// The prefix length of a cell.
    pub(crate) cell_bits: u8,
    /// The plans of the cells, in the order of their first cells.
    pub(crate) plans: Vec<SpacePlan>,
    /// The cells in address order.
    pub(crate) runs: Vec<CellRun>,
    /// The addresses of each mirror, the most first; `None` for plans without mirrors. Reserved addresses do not count.
    pub(crate) totals: Vec<(Option<MirrorId>, u128)>,
    /// The number of all addresses of the block. For all of IPv6 it saturates at 2^128 − 1.
    pub(crate) size: u128,
}

/// The plan of cells.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SpacePlan {
    /// The reason for it.
    pub(crate) kind: SpaceKind,
    /// Its mirrors, in order.
    pub(crate) mirrors: Vec<MirrorId>,
    /// The share of clients for which each mirror is first, 0 to 1, in the order of the mirrors; `None` if no mirror has a weight.
    pub(crate) spread: Option<Vec<f64>>,
    /// True if blob requests of these clients go to the canonical registry by `canonical = true`.
    pub(crate) is_canonical: bool,
}

/// Neighbouring cells that are alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CellRun {
    /// The index of their plan in [`Space::plans`].
    pub(crate) plan: usize,
    /// The share of a cell's addresses that have this plan, in fifteenths. It is at least 1, and 15 only for all of them.
    pub(crate) share: u8,
    /// The number of cells.
    pub(crate) count: u32,
}

/// The prefix length of the cells of a block.
pub(crate) fn cell_bits(block: Prefix) -> u8 {
    block.prefix_len().saturating_add(CELL_BITS).min(block.family().width())
}

/// Divides a block into cells; takes time linear in the ranges of its family.
pub(crate) fn space(horizon: &Horizon, block: Prefix, subject: SpaceSubject) -> Space {
    survey(horizon, block, cell_bits(block), subject)
}

/// Divides a block into cells of a prefix length.
fn survey(horizon: &Horizon, block: Prefix, cell_bits: u8, subject: SpaceSubject) -> Space {
    let mut survey = Survey::of(horizon, block, cell_bits);
    each_stretch(horizon, block, &mut |first, last, plan| survey.add(first, last, plan));
    survey.finish(horizon, subject)
}

/// Calls `each` for the stretches of a block in address order, with their first and last addresses as numbers, and their plan;
/// `None` if the stretch is reserved.
pub(super) fn each_stretch(horizon: &Horizon, block: Prefix, each: &mut dyn FnMut(u128, u128, Option<PlanId>)) {
    let bounds = block.bounds();
    match block.family() {
        Family::V4 => v4_stretches(horizon, &mut |first, last, plan| clip(first, last, bounds, plan, each)),
        Family::V6 => v6_stretches(horizon, bounds, each),
    }
}

/// The ranges of the table of IPv4. Tables are cut at the borders of reserved blocks.
fn v4_stretches(horizon: &Horizon, each: &mut dyn FnMut(u128, u128, Option<PlanId>)) {
    for range in horizon.v4().ranges() {
        let is_reserved = horizon.private().unlocated_len(range.first.to_ip(), u32::WIDTH).is_some();
        each(range.first.to_u128(), range.last.to_u128(), (!is_reserved).then_some(range.plan));
    }
}

fn v6_stretches(horizon: &Horizon, bounds: (u128, u128), each: &mut dyn FnMut(u128, u128, Option<PlanId>)) {
    let mut laid: Option<Block<u128>> = None;
    for range in horizon.v6().ranges() {
        if range.last < bounds.0 || range.first > bounds.1 {
            continue;
        }
        // Tables are cut at the borders of embedding blocks too.
        let Some(embedding) = special::embedding_v6().find(|block| block.contains(range.first)) else {
            let is_reserved = horizon.private().unlocated_len(range.first.to_ip(), u128::WIDTH).is_some();
            clip(range.first, range.last, bounds, (!is_reserved).then_some(range.plan), each);
            continue;
        };
        // All IPv4 addresses are laid over the block at its first range.
        if laid.replace(embedding) == Some(embedding) {
            continue;
        }
        let behind = u128::WIDTH - embedding.prefix_len() - u32::WIDTH;
        v4_stretches(horizon, &mut |first, last, plan| {
            let (first, last) = (embedding.first() | first << behind, embedding.first() | last << behind);
            clip(first, last | ((1 << behind) - 1), bounds, plan, each);
        });
    }
}

/// Passes the part of a stretch that is within bounds on.
fn clip(
    first: u128,
    last: u128,
    (begin, end): (u128, u128),
    plan: Option<PlanId>,
    each: &mut dyn FnMut(u128, u128, Option<PlanId>),
) {
    if last >= begin && first <= end {
        each(first.max(begin), last.min(end), plan);
    }
}

/// True for each plan that a client may get from the default.
pub(super) fn defaults(horizon: &Horizon) -> Vec<bool> {
    let default = horizon.plan(PlanId(0));
    let is_by_distance = horizon.near_somebody().any(|(won, _)| won == Won::Default);
    let sorted = |mirrors: &[MirrorId]| {
        let mut mirrors = mirrors.to_vec();
        mirrors.sort_unstable();
        mirrors
    };
    let of_default = sorted(&default.preferred);
    let plans = horizon.plans().iter().enumerate();
    plans
        .map(|(at, plan)| {
            let is_reordered = || {
                let is_alone = plan.fallback.is_empty() && plan.default.is_empty();
                is_alone && plan.is_canonical == default.is_canonical && sorted(&plan.preferred) == of_default
            };
            at == 0 || is_by_distance && is_reordered()
        })
        .collect()
}

/// The first mirrors of a plan with every mirror up, each with the number of slots in which it is first. The numbers add up to
/// [`SLOTS`]. `None` if the plan has no mirror.
pub(super) fn firsts(horizon: &Horizon, plan: PlanId) -> BTreeMap<Option<MirrorId>, usize> {
    let first = |plan: PlanId| horizon.plan(plan).mirrors().next();
    let mut firsts = BTreeMap::new();
    match horizon.slots(plan) {
        Some(slots) => slots.iter().for_each(|slot| *firsts.entry(first(*slot)).or_default() += 1),
        None => drop(firsts.insert(first(plan), SLOTS)),
    }
    firsts
}

/// The cells of a block, as far as its stretches are known.
struct Survey {
    first: u128,
    /// The number of address bits in a cell.
    bits: u8,
    cell_bits: u8,
    size: u128,
    is_default: Vec<bool>,
    /// The addresses of the cell in hand by plan; those of reserved stretches are behind the plans.
    weights: Vec<u128>,
    /// The plans that the cell in hand has.
    touched: Vec<usize>,
    cell: u128,
    /// By plan, as in `weights`: the addresses of the block.
    sums: BTreeMap<usize, u128>,
    /// The plans of cells, as indexes of `weights`.
    plans: Vec<usize>,
    /// By plan, as in `weights`: its place in `plans`.
    places: Vec<Option<usize>>,
    runs: Vec<CellRun>,
}

impl Survey {
    fn of(horizon: &Horizon, block: Prefix, cell_bits: u8) -> Self {
        let (first, last) = block.bounds();
        Survey {
            first,
            bits: block.family().width() - cell_bits,
            cell_bits,
            size: count(first, last),
            is_default: defaults(horizon),
            weights: vec![0; horizon.plans().len() + 1],
            touched: Vec::new(),
            cell: 0,
            sums: BTreeMap::new(),
            plans: Vec::new(),
            places: vec![None; horizon.plans().len() + 1],
            runs: Vec::new(),
        }
    }

    /// Adds the next stretch.
    fn add(&mut self, first: u128, last: u128, plan: Option<PlanId>) {
        let plan = plan.map_or(self.weights.len() - 1, PlanId::index);
        add(self.sums.entry(plan).or_default(), count(first, last));
        let (first, last) = (first - self.first, last - self.first);
        let (begin, end) = (first >> self.bits, last >> self.bits);
        let cell_last = |cell: u128| (cell << self.bits) + ((1u128 << self.bits) - 1);
        self.weigh(begin, plan, last.min(cell_last(begin)) - first + 1);
        if begin == end {
            return;
        }
        self.end_cell();
        // Cells that the stretch fills.
        let filled = end - begin - 1;
        self.push(plan, WHOLE, filled as u32);
        self.weigh(end, plan, last - (end << self.bits) + 1);
    }

    fn weigh(&mut self, cell: u128, plan: usize, addresses: u128) {
        if cell != self.cell {
            self.end_cell();
            self.cell = cell;
        }
        if self.weights[plan] == 0 {
            self.touched.push(plan);
        }
        self.weights[plan] += addresses;
    }

    /// Chooses the plan of the cell in hand: that of most addresses for which a rule decides, else that of most addresses.
    fn end_cell(&mut self) {
        let reserved = self.weights.len() - 1;
        let is_by_rule = |plan: usize| plan != reserved && !self.is_default[plan];
        let mut best: Option<(bool, u128, usize)> = None;
        for plan in self.touched.drain(..) {
            let weight = std::mem::take(&mut self.weights[plan]);
            // Among equals, the plan of the lowest address is chosen.
            let is_better = |(by_rule, most, _)| (is_by_rule(plan), weight) > (by_rule, most);
            if best.is_none_or(is_better) {
                best = Some((is_by_rule(plan), weight, plan));
            }
        }
        if let Some((_, addresses, plan)) = best {
            let size = 1u128 << self.bits;
            // A cell has at most 2^112 addresses, so that the product fits.
            let part = |addresses: u128| ((addresses * u128::from(WHOLE) / size) as u8).clamp(1, WHOLE - 1);
            let share = if addresses == size { WHOLE } else { part(addresses) };
            self.push(plan, share, 1);
        }
    }

    fn push(&mut self, plan: usize, share: u8, count: u32) {
        if count == 0 {
            return;
        }
        let plan = *self.places[plan].get_or_insert_with(|| {
            self.plans.push(plan);
            self.plans.len() - 1
        });
        match self.runs.last_mut() {
            Some(run) if (run.plan, run.share) == (plan, share) => run.count += count,
            _ => self.runs.push(CellRun { plan, share, count }),
        }
    }

    fn finish(mut self, horizon: &Horizon, subject: SpaceSubject) -> Space {
        self.end_cell();
        let reserved = self.weights.len() - 1;
        let has_mirrors = |id: PlanId| subject == SpaceSubject::Answers || !horizon.plan(id).is_canonical;
        let plan = |at: &usize| {
            if *at == reserved {
                let (kind, mirrors) = (SpaceKind::Reserved, Vec::new());
                return SpacePlan { kind, mirrors, spread: None, is_canonical: false };
            }
            let id = PlanId::from_index(*at);
            let kind = if self.is_default[*at] { SpaceKind::Default } else { SpaceKind::Rule };
            let mirrors: Vec<MirrorId> = horizon.plan(id).mirrors().filter(|_| has_mirrors(id)).collect();
            let spread = horizon.slots(id).filter(|_| has_mirrors(id)).map(|_| {
                let firsts = firsts(horizon, id);
                let slots = |mirror: &MirrorId| firsts.get(&Some(*mirror)).copied().unwrap_or_default();
                mirrors.iter().map(|mirror| slots(mirror) as f64 / SLOTS as f64).collect()
            });
            SpacePlan { kind, mirrors, spread, is_canonical: horizon.plan(id).is_canonical }
        };
        let mut totals: BTreeMap<Option<MirrorId>, u128> = BTreeMap::new();
        for (at, addresses) in self.sums.iter().filter(|(at, _)| **at != reserved) {
            let id = PlanId::from_index(*at);
            for (mirror, slots) in firsts(horizon, id) {
                add(totals.entry(mirror.filter(|_| has_mirrors(id))).or_default(), share(*addresses, slots));
            }
        }
        let mut totals: Vec<_> = totals.into_iter().collect();
        totals.sort_by_key(|(_, addresses)| std::cmp::Reverse(*addresses));
        Space {
            cell_bits: self.cell_bits,
            plans: self.plans.iter().map(plan).collect(),
            runs: self.runs,
            totals,
            size: self.size,
        }
    }
}

/// The cells of a block in which a change moved clients: for each run of equal cells a 1 if it did, else a 0, and the number of
/// cells. `moved` are the addresses of each family that moved.
pub(crate) fn changed_cells(block: Prefix, moved: [&MovedStretches; 2]) -> Vec<u32> {
    let (cell_bits, (first, _)) = (cell_bits(block), block.bounds());
    let bits = block.family().width() - cell_bits;
    let is_changed = |cell: u128| {
        let begin = first | cell << bits;
        let end = begin | ((1 << bits) - 1);
        moved[block.family() as usize].touches(begin, end)
            || block.family() == Family::V6 && has_embedded(begin, end, moved[Family::V4 as usize])
    };
    let mut runs: Vec<u32> = Vec::new();
    for cell in 0..1u128 << (cell_bits - block.prefix_len()) {
        let changed = u32::from(is_changed(cell));
        match &mut runs[..] {
            [.., last, count] if *last == changed => *count += 1,
            _ => runs.extend([changed, 1]),
        }
    }
    runs
}

/// True if an IPv6 address from one to another embeds an IPv4 address that moved.
fn has_embedded(begin: u128, end: u128, moved: &MovedStretches) -> bool {
    special::embedding_v6().any(|embedding| {
        let behind = u128::WIDTH - embedding.prefix_len() - u32::WIDTH;
        let v4 = |address: u128| (address - embedding.first()) >> behind;
        let (first, last) = (begin.max(embedding.first()), end.min(embedding.last()));
        first <= last && moved.touches(v4(first), v4(last))
    })
}

#[cfg(test)]
mod tests;
