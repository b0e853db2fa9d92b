//! The clients that a new configuration or feed sends to other mirrors: exact numbers of addresses, from two snapshots.
//!
//! Both address spaces are laid out by labels and walked in step. An address moves if the first mirror of its plan differs,
//! with every mirror up. Clients of mirrors with weights move by slots: a pair of plans moves the part of its slots whose
//! first mirror differs.
//!
//! **Invariants**: health has no say; the numbers follow from the rules and the networks alone, and not from the tables that
//! serve; equal configurations move nothing.
//! **Not here**: text, exit codes (`cli`), the refusal of a change that moves too much.

mod families;
mod rulings;
mod sources;
mod stretches;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use crate::base::prefix::Family;
use crate::networks::LabelKind;
use crate::snapshot::Snapshot;
use families::MoveSide;
pub(crate) use rulings::Rulings;
use rulings::highest;
use sources::sources;
pub use stretches::MovedStretches;

/// The longest list of ranges that move.
pub(crate) const MAX_RANGES: usize = 10;

/// The labels by which moved addresses are counted.
pub const KINDS: [LabelKind; 4] = [LabelKind::Provider, LabelKind::Region, LabelKind::Asn, LabelKind::Country];

/// The differences between two snapshots in what clients get.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Moves {
    /// The horizons that both have, in the order of the new one.
    pub horizons: Vec<HorizonMoves>,
    /// The horizons that only the new one has.
    pub added: Vec<Arc<str>>,
    /// The horizons that only the old one has.
    pub removed: Vec<Arc<str>>,
    /// For each source of the new one, the addresses that it labels.
    pub sources: Vec<SourceMoves>,
}

/// The moves under one horizon.
#[derive(Clone, Debug, PartialEq)]
pub struct HorizonMoves {
    /// The horizon.
    pub horizon: Arc<str>,
    /// The moves of each family.
    pub families: [FamilyMoves; 2],
}

/// The moves of one family.
#[derive(Clone, Debug, PartialEq)]
pub struct FamilyMoves {
    /// The family.
    pub family: Family,
    /// The number of addresses that a rule decided for before. The default decided for the others.
    pub decided: u128,
    /// The number of these that move.
    pub moved: u128,
    /// The number of all addresses that move.
    pub moved_of_all: u128,
    /// The moves by mirror, the greatest first.
    pub by_mirror: Vec<MirrorMove>,
    /// The moves by label, the greatest first of each kind of [`KINDS`]. The label is the one before, else the new one.
    pub by_label: Vec<LabelMove>,
    /// The largest ranges that move, [`MAX_RANGES`] at most.
    pub ranges: Vec<RangeMove>,
    /// The addresses that move.
    pub stretches: MovedStretches,
}

/// The addresses that move from one mirror to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MirrorMove {
    /// The mirror before.
    pub from: MoveEnd,
    /// The mirror after.
    pub to: MoveEnd,
    /// The number of addresses.
    pub addresses: u128,
    /// The number of ranges of which most addresses move so.
    pub ranges: usize,
    /// The first and the last address of the largest of them; `None` if there are none.
    pub largest: Option<(IpAddr, IpAddr)>,
}

/// One end of a move.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MoveEnd {
    /// A mirror, by name.
    Mirror(Arc<str>),
    /// The canonical registry, by a rule.
    Canonical,
    /// No mirror.
    Nothing,
}

impl MoveEnd {
    /// The name of a mirror, or `(canonical)`; `None` for no mirror.
    pub(crate) fn name(&self) -> Option<&str> {
        match self {
            MoveEnd::Mirror(name) => Some(name),
            MoveEnd::Canonical => Some("(canonical)"),
            MoveEnd::Nothing => None,
        }
    }
}

/// The addresses with one label that move.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelMove {
    /// The kind of the label.
    pub kind: LabelKind,
    /// The label; `None` for addresses without one of this kind.
    pub label: Option<String>,
    /// The number of addresses that move.
    pub addresses: u128,
}

/// A range of addresses that move.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RangeMove {
    /// The first address.
    pub first: IpAddr,
    /// The last address.
    pub last: IpAddr,
    /// The winning rule before, in words, with its place.
    pub before: Arc<str>,
    /// The winning rule after.
    pub after: Arc<str>,
    /// The mirror before.
    pub from: MoveEnd,
    /// The mirror after.
    pub to: MoveEnd,
    /// The number of addresses that move. It is less than the range if clients are spread by weight.
    pub addresses: u128,
}

/// The addresses that one source labels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceMoves {
    /// The source.
    pub source: Arc<str>,
    /// For each family: the number of addresses that it labels now.
    pub labelled: [u128; 2],
    /// For each family: the number of these that it did not label before. All of them if the source is new.
    pub new: [u128; 2],
    /// For each family: the number of addresses that it labelled before and does not label now.
    pub lost: [u128; 2],
    /// The labels that came, by kind.
    pub came: BTreeSet<(LabelKind, String)>,
    /// The labels that went, by kind.
    pub went: BTreeSet<(LabelKind, String)>,
}

impl FamilyMoves {
    /// The share of the addresses that a rule decided for that move, 0 to 1.
    pub fn share(&self) -> f64 {
        if self.decided == 0 { 0.0 } else { self.moved as f64 / self.decided as f64 }
    }
}

impl Moves {
    /// The largest number of addresses of a family that move in a horizon.
    pub(crate) fn most_moved(&self, family: Family) -> u128 {
        self.horizons.iter().map(|horizon| horizon.families[family as usize].moved_of_all).max().unwrap_or_default()
    }
}

/// Compares two snapshots.
pub fn moves(before: &Snapshot, now: &Snapshot) -> Moves {
    compare(&Rulings::of(before), &Rulings::of(now))
}

/// Compares the rulings of two snapshots.
pub(crate) fn compare(before: &Rulings, now: &Rulings) -> Moves {
    let pairs = Family::ALL.map(|family| Pairs::walk(before.stretches(family), now.stretches(family), family));
    let mut found = Moves::default();
    let named = |rulings: &Rulings, name: &str| rulings.view().horizons.iter().position(|horizon| horizon.name == name);
    for (at, horizon) in now.view().horizons.iter().enumerate() {
        let name: Arc<str> = horizon.name.as_str().into();
        let Some(earlier) = named(before, &name) else {
            found.added.push(name);
            continue;
        };
        let sides = [MoveSide::of(before, earlier), MoveSide::of(now, at)];
        let families = pairs.each_ref().map(|pairs| families::moves(pairs, &sides));
        found.horizons.push(HorizonMoves { horizon: name, families });
    }
    let earlier = before.view().horizons.iter().filter(|earlier| named(now, &earlier.name).is_none());
    found.removed = earlier.map(|earlier| earlier.name.as_str().into()).collect();
    found.sources = sources(before.view(), now.view(), &pairs);
    found
}

/// The stretches of one family in which neither snapshot's class of addresses changes.
struct Pairs {
    family: Family,
    /// The first address of each, with its class in the old and in the new snapshot.
    stretches: Vec<(u128, u32, u32)>,
}

impl Pairs {
    fn walk(old: &[(u128, u32)], new: &[(u128, u32)], family: Family) -> Self {
        let mut stretches = Vec::with_capacity(old.len().max(new.len()));
        let (mut a, mut b) = (0, 0);
        loop {
            stretches.push((old[a].0.max(new[b].0), old[a].1, new[b].1));
            let next = |side: &[(u128, u32)], at: usize| side.get(at + 1).map(|(first, _)| *first);
            match (next(old, a), next(new, b)) {
                (None, None) => return Pairs { family, stretches },
                (Some(one), Some(other)) => {
                    a += usize::from(one <= other);
                    b += usize::from(other <= one);
                }
                (Some(_), None) => a += 1,
                (None, Some(_)) => b += 1,
            }
        }
    }

    /// Each stretch with its last address.
    fn iter(&self) -> impl Iterator<Item = (u128, u128, u32, u32)> {
        let ends = self.stretches.iter().skip(1).map(|(first, ..)| first - 1).chain([highest(self.family)]);
        self.stretches.iter().zip(ends).map(|(&(first, old, new), last)| (first, last, old, new))
    }
}
