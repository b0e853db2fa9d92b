//! The moves of one family under one horizon: stretches of addresses in, sums by mirror and label and the largest ranges out.
//!
//! **Invariants**: a plan moves the part of its slots whose first mirror differs.
//! **Not here**: the stretches and the results ([`super`]).

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use super::rulings::{AddressClass, Rulings};
use super::stretches::MovedStretches;
use super::{FamilyMoves, KINDS, LabelMove, MAX_RANGES, MirrorMove, MoveEnd, Pairs, RangeMove};
use crate::base::prefix::Family;
use crate::inspect::ground::{add, count};
use crate::inspect::tally::share;
use crate::steer::spread::SLOTS;

/// The moves over all stretches of a family, between the sides of one horizon.
pub(super) fn moves(pairs: &Pairs, sides: &[MoveSide<'_>; 2]) -> FamilyMoves {
    let mut tally = FamilyTally::default();
    let mut shifts: HashMap<[usize; 2], Vec<Shift>> = HashMap::new();
    for (first, last, old, new) in pairs.iter() {
        let count = count(first, last);
        let classes = [sides[0].class(old), sides[1].class(new)];
        let rulings = [0, 1].map(|side| sides[side].ruling(classes[side]));
        let winners = rulings.map(|(rule, _)| rule);
        // The last one is the default.
        let was_decided = winners[0] + 1 < sides[0].rules.len();
        if was_decided {
            add(&mut tally.decided, count);
        }
        let plans = rulings.map(|(_, plan)| plan);
        let shifts = shifts.entry(plans).or_insert_with(|| shifts_between(sides, plans));
        let Some(largest) = shifts.first() else {
            tally.end_run();
            continue;
        };
        let addresses = tally.count_mirrors(count, shifts);
        add(&mut tally.moved_of_all, addresses);
        tally.stretches.add(first, last);
        if was_decided {
            add(&mut tally.moved, addresses);
        }
        tally.count_labels(classes, addresses);
        let last_address = address(pairs.family, last);
        match &mut tally.run {
            Some(run) if run.is_joined_by(first, winners, largest) => {
                (run.end, run.range.last) = (last, last_address);
                add(&mut run.range.addresses, addresses);
            }
            _ => {
                tally.end_run();
                let range = RangeMove {
                    first: address(pairs.family, first),
                    last: last_address,
                    before: sides[0].rules[winners[0]].clone(),
                    after: sides[1].rules[winners[1]].clone(),
                    from: largest.from.clone(),
                    to: largest.to.clone(),
                    addresses,
                };
                tally.run = Some(MoveRun { end: last, winners, range });
            }
        }
    }
    tally.finish(pairs.family)
}

/// The moves of one family, as far as its stretches are counted.
#[derive(Default)]
struct FamilyTally {
    decided: u128,
    moved: u128,
    moved_of_all: u128,
    by_mirror: BTreeMap<(MoveEnd, MoveEnd), PairTally>,
    /// By the index in [`KINDS`], and the label.
    by_label: BTreeMap<(usize, Option<String>), u128>,
    ranges: Vec<RangeMove>,
    /// The range of the last stretch. `None` if that did not move.
    run: Option<MoveRun>,
    stretches: MovedStretches,
}

/// The moves from one mirror to another.
#[derive(Default)]
struct PairTally {
    addresses: u128,
    /// The number of ranges of which most addresses move so.
    ranges: usize,
    /// The largest of these: the number of its addresses that move, and its ends.
    largest: Option<(u128, (IpAddr, IpAddr))>,
}

impl FamilyTally {
    /// Counts the addresses of a stretch that move, by mirror, and returns their number.
    fn count_mirrors(&mut self, count: u128, shifts: &[Shift]) -> u128 {
        let mut of_stretch = 0u128;
        for shift in shifts {
            let addresses = share(count, shift.slots);
            add(&mut of_stretch, addresses);
            let pair = self.by_mirror.entry((shift.from.clone(), shift.to.clone())).or_default();
            add(&mut pair.addresses, addresses);
        }
        of_stretch
    }

    fn count_labels(&mut self, classes: [&AddressClass; 2], addresses: u128) {
        for (kind, labels) in classes[0].labels.iter().zip(&classes[1].labels).enumerate() {
            let label = labels.0.clone().or_else(|| labels.1.clone());
            add(self.by_label.entry((kind, label)).or_default(), addresses);
        }
    }

    fn end_run(&mut self) {
        let Some(MoveRun { range, .. }) = self.run.take() else { return };
        let pair = self.by_mirror.entry((range.from.clone(), range.to.clone())).or_default();
        pair.ranges += 1;
        if pair.largest.is_none_or(|(most, _)| range.addresses > most) {
            pair.largest = Some((range.addresses, (range.first, range.last)));
        }
        keep(&mut self.ranges, range);
    }

    fn finish(mut self, family: Family) -> FamilyMoves {
        self.end_run();
        let FamilyTally { decided, moved, moved_of_all, by_mirror, by_label, ranges, run: _, stretches } = self;
        let of = |((from, to), pair): ((MoveEnd, MoveEnd), PairTally)| {
            let PairTally { addresses, ranges, largest } = pair;
            MirrorMove { from, to, addresses, ranges, largest: largest.map(|(_, ends)| ends) }
        };
        let mut by_mirror: Vec<MirrorMove> = by_mirror.into_iter().map(of).collect();
        by_mirror.sort_by_key(|one| Reverse(one.addresses));
        let mut by_label: Vec<_> = by_label.into_iter().collect();
        by_label.sort_by_key(|((kind, _), addresses)| (*kind, Reverse(*addresses)));
        let of = |((kind, label), addresses): ((usize, Option<String>), u128)| LabelMove {
            kind: KINDS[kind],
            label,
            addresses,
        };
        let by_label = by_label.into_iter().map(of).collect();
        FamilyMoves { family, decided, moved, moved_of_all, by_mirror, by_label, ranges, stretches }
    }
}

/// Keeps a range if it is among the largest.
fn keep(ranges: &mut Vec<RangeMove>, range: RangeMove) {
    let at = ranges.partition_point(|known| known.addresses >= range.addresses);
    ranges.insert(at, range);
    ranges.truncate(MAX_RANGES);
}

fn address(family: Family, bits: u128) -> IpAddr {
    match family {
        // The family's addresses have 32 bits.
        Family::V4 => IpAddr::V4((bits as u32).into()),
        Family::V6 => IpAddr::V6(bits.into()),
    }
}

/// Neighbouring stretches that move alike.
struct MoveRun {
    /// The last address.
    end: u128,
    /// The indexes of the winning rules, before and after.
    winners: [usize; 2],
    range: RangeMove,
}

impl MoveRun {
    /// True if a stretch continues this one: it begins behind it, and moves alike by the same rules.
    fn is_joined_by(&self, first: u128, winners: [usize; 2], largest: &Shift) -> bool {
        Some(self.end) == first.checked_sub(1)
            && (&largest.from, &largest.to) == (&self.range.from, &self.range.to)
            && self.winners == winners
    }
}

/// One snapshot's rulings for one horizon.
pub(super) struct MoveSide<'r> {
    rulings: &'r Rulings,
    /// The index of the horizon.
    horizon: usize,
    /// The rules in words.
    rules: Vec<Arc<str>>,
    /// For each plan, the end of a move for all clients or for each slot.
    plans: Vec<Vec<MoveEnd>>,
}

impl<'r> MoveSide<'r> {
    pub(super) fn of(rulings: &'r Rulings, horizon: usize) -> Self {
        let view = rulings.view();
        let written = &view.horizons[horizon];
        MoveSide {
            rulings,
            horizon,
            rules: written.rules.iter().map(|rule| rule.as_str().into()).collect(),
            plans: written.plans.iter().map(|plan| plan.iter().map(|first| view.end(*first)).collect()).collect(),
        }
    }

    fn class(&self, at: u32) -> &'r AddressClass {
        &self.rulings.view().classes[at as usize]
    }

    /// The indexes of the winning rule and of the plan.
    fn ruling(&self, class: &AddressClass) -> (usize, usize) {
        let (rule, plan) = class.rulings[self.horizon];
        (rule as usize, plan as usize)
    }

    /// The end for clients of a plan in a slot.
    fn end(&self, plan: usize, slot: usize) -> &MoveEnd {
        let ends = &self.plans[plan];
        &ends[if ends.len() == 1 { 0 } else { slot }]
    }
}

/// A move of the clients of some slots.
struct Shift {
    from: MoveEnd,
    to: MoveEnd,
    slots: usize,
}

/// The moves between a plan before and one after, the greatest first; empty if none of the clients moves.
fn shifts_between(sides: &[MoveSide<'_>; 2], plans: [usize; 2]) -> Vec<Shift> {
    let is_spread = [0, 1].into_iter().any(|side| sides[side].plans[plans[side]].len() > 1);
    let mut shifts: BTreeMap<(MoveEnd, MoveEnd), usize> = BTreeMap::new();
    let (slots, each) = if is_spread { (SLOTS, 1) } else { (1, SLOTS) };
    for slot in 0..slots {
        let (from, to) = (sides[0].end(plans[0], slot), sides[1].end(plans[1], slot));
        if from != to {
            *shifts.entry((from.clone(), to.clone())).or_default() += each;
        }
    }
    let mut shifts: Vec<Shift> = shifts.into_iter().map(|((from, to), slots)| Shift { from, to, slots }).collect();
    shifts.sort_by_key(|shift| Reverse(shift.slots));
    shifts
}
