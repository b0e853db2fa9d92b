//! The rules laid over the address space once more: does the table follow them, and who serves how much.
//!
//! The sources, a horizon and its ranges come in; out go the stretches where the table has another plan than the rules
//! give, and the totals of each mirror.
//!
//! **Invariants**: every address is counted once, by the plan that the table has for it; those of a plan with weights are
//! shared out as its slots are.
//! **Not here**: asking the engine ([`super::sweep()`]).

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::ground::{Face, Ground, count};
use super::sweep::{Findings, Violation, Wrong};
use crate::base::ids::{HorizonId, MirrorId, PlanId};
use crate::base::prefix::{Bits, Family};
use crate::networks::{Combinations, LabelKind, Networks, Overlay, overlay};
use crate::snapshot::Snapshot;
use crate::steer::Won;
use crate::steer::spread::SLOTS;

/// What one mirror serves of one family's clients.
#[derive(Clone, Debug, PartialEq)]
pub struct MirrorTotal {
    /// The clients' family.
    pub clients: Family,
    /// The mirror.
    pub mirror: MirrorId,
    /// Which of its addresses they get.
    pub records: RecordTypes,
    /// The number of ranges.
    pub ranges: usize,
    /// The number of addresses.
    pub addresses: u128,
    /// Whose they are, as far as the sources know, the most first.
    pub providers: Vec<ProviderTotal>,
}

/// The addresses of one family's clients that a rule decides for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RuleTotal {
    /// The clients' family.
    pub clients: Family,
    /// The rule, or the default.
    pub won: Won,
    /// The number of addresses.
    pub addresses: u128,
}

/// What a provider's networks have of a total.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderTotal {
    /// The provider; none where no source knows one.
    pub provider: Option<Arc<str>>,
    /// The number of addresses.
    pub addresses: u128,
}

/// The record types that a mirror's addresses are given for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RecordTypes {
    /// A and AAAA.
    Both,
    /// A alone.
    A,
    /// AAAA alone.
    Aaaa,
}

/// The sources laid over each other, apart from what the tables were made of.
pub(super) struct Rules<'n> {
    networks: &'n Networks,
    v4: Overlay<u32>,
    v6: Overlay<u128>,
    combinations: Combinations,
}

impl<'n> Rules<'n> {
    pub(super) fn of(networks: &'n Networks) -> Self {
        let mut combinations = Combinations::default();
        let v4 = overlay(networks, |source| source.v4(), &[], &mut combinations);
        let v6 = overlay(networks, |source| source.v6(), &[], &mut combinations);
        Rules { networks, v4, v6, combinations }
    }
}

/// What the rules make of one combination of labels.
struct Ruling {
    won: Won,
    plan: PlanId,
    /// An index into the tally's providers.
    provider: usize,
}

/// Ranges and addresses by plan.
#[derive(Default)]
struct PlanTally {
    ranges: BTreeMap<PlanId, usize>,
    /// By plan and provider.
    addresses: BTreeMap<(PlanId, usize), u128>,
    /// By rule.
    rules: BTreeMap<Won, u128>,
}

/// Who has how much of the address space under one horizon.
pub(super) struct Tally {
    providers: Vec<Option<Arc<str>>>,
    v4: PlanTally,
    v6: PlanTally,
}

impl Tally {
    /// Counts, and reports where a table does not follow the rules.
    pub(super) fn of(
        snapshot: &Snapshot,
        id: HorizonId,
        ground: &Ground,
        rules: &Rules<'_>,
        findings: &mut Findings,
    ) -> Self {
        let horizon = &snapshot.horizons()[id.index()];
        let mut providers: Vec<Option<Arc<str>>> = vec![None];
        let rulings: Vec<Ruling> = rules
            .combinations
            .list()
            .iter()
            .map(|labels| {
                let facts = rules.networks.facts(labels);
                let won = horizon.winner(&facts);
                let name = facts.labels.text(LabelKind::Provider);
                let provider = providers.iter().position(|known| known.as_deref() == name).unwrap_or_else(|| {
                    providers.push(name.map(Arc::from));
                    providers.len() - 1
                });
                Ruling { won, plan: horizon.plan_for(won, &facts), provider }
            })
            .collect();
        let v4 = tally(&ground.v4, &rules.v4, &rulings, id, findings);
        let v6 = tally(&ground.v6, &rules.v6, &rulings, id, findings);
        Tally { providers, v4, v6 }
    }

    /// The addresses that each rule decides for, in the order of the rules; a rule that decides for none is left out.
    pub(super) fn rules(&self) -> Vec<RuleTotal> {
        let of = |clients, plans: &PlanTally| {
            let total = |(&won, &addresses): (&Won, &u128)| RuleTotal { clients, won, addresses };
            plans.rules.iter().map(total).collect::<Vec<_>>()
        };
        [of(Family::V4, &self.v4), of(Family::V6, &self.v6)].concat()
    }

    /// The totals of each mirror, by what the plans answer with now.
    pub(super) fn into_totals(self, snapshot: &Snapshot, horizon: HorizonId) -> Vec<MirrorTotal> {
        let mut totals = Vec::new();
        for (clients, plans) in [(Family::V4, &self.v4), (Family::V6, &self.v6)] {
            let mut by_mirror: BTreeMap<(MirrorId, RecordTypes), (usize, BTreeMap<usize, u128>)> = BTreeMap::new();
            for (plan, ranges) in &plans.ranges {
                for (served, slots) in served_by(snapshot, horizon, *plan) {
                    let total = by_mirror.entry(served).or_default();
                    total.0 += ranges;
                    for ((_, provider), addresses) in plans.addresses.range((*plan, 0)..=(*plan, usize::MAX)) {
                        let sum = total.1.entry(*provider).or_default();
                        *sum = sum.saturating_add(share(*addresses, slots));
                    }
                }
            }
            let mut of_family: Vec<MirrorTotal> = by_mirror
                .into_iter()
                .map(|((mirror, records), (ranges, by_provider))| {
                    let addresses = by_provider.values().fold(0u128, |sum, more| sum.saturating_add(*more));
                    let name = |(provider, addresses): (usize, u128)| {
                        let provider = self.providers[provider].clone();
                        ProviderTotal { provider, addresses }
                    };
                    let mut providers: Vec<_> = by_provider.into_iter().map(name).collect();
                    providers.sort_by(|a, b| b.addresses.cmp(&a.addresses).then(a.provider.cmp(&b.provider)));
                    MirrorTotal { clients, mirror, records, ranges, addresses, providers }
                })
                .collect();
            of_family.sort_by(|a, b| b.addresses.cmp(&a.addresses).then(a.mirror.cmp(&b.mirror)));
            totals.extend(of_family);
        }
        totals
    }
}

/// The mirrors that a plan answers with, for which types, and in how many of its slots.
fn served_by(snapshot: &Snapshot, horizon: HorizonId, plan: PlanId) -> BTreeMap<(MirrorId, RecordTypes), usize> {
    let slots =
        snapshot.horizons()[horizon.index()].slots(plan).map_or_else(|| vec![plan; SLOTS], |slots| slots.to_vec());
    let mut served = BTreeMap::new();
    for same in slots.chunk_by(|a, b| a == b) {
        for mirror in served_in_slot(snapshot, horizon, same[0]) {
            *served.entry(mirror).or_default() += same.len();
        }
    }
    served
}

fn served_in_slot(snapshot: &Snapshot, horizon: HorizonId, plan: PlanId) -> BTreeMap<MirrorId, RecordTypes> {
    let mut served = BTreeMap::new();
    for (family, alone) in [(Family::V4, RecordTypes::A), (Family::V6, RecordTypes::Aaaa)] {
        for mirror in &snapshot.addresses(horizon, plan, family).choice.mirrors {
            served.entry(*mirror).and_modify(|records| *records = RecordTypes::Both).or_insert(alone);
        }
    }
    served
}

/// What so many of all slots have of a number of addresses, which may be all of IPv6.
fn share(addresses: u128, slots: usize) -> u128 {
    let (all, slots) = (SLOTS as u128, slots as u128);
    addresses / all * slots + addresses % all * slots / all
}

/// Walks ranges and stretches of equal labels side by side.
fn tally<A: Bits>(
    face: &Face<A>,
    laid: &Overlay<A>,
    rulings: &[Ruling],
    horizon: HorizonId,
    findings: &mut Findings,
) -> PlanTally {
    let mut plans = PlanTally::default();
    let mut at = 0;
    for range in &face.ranges {
        *plans.ranges.entry(range.plan).or_default() += 1;
        let ends: (IpAddr, IpAddr) = (range.first.to_ip(), range.last.to_ip());
        let mut blamed = false;
        loop {
            let (begins, combination) = laid.ranges[at];
            let next = laid.ranges.get(at + 1).map(|(next, _)| *next);
            let ruling = &rulings[combination as usize];
            let first = begins.max(range.first);
            let last = next.and_then(A::previous).map_or(range.last, |last| last.min(range.last));
            let sum = plans.addresses.entry((range.plan, ruling.provider)).or_default();
            *sum = sum.saturating_add(count(first, last));
            let sum = plans.rules.entry(ruling.won).or_default();
            *sum = sum.saturating_add(count(first, last));
            if ruling.plan != range.plan && !blamed {
                blamed = true;
                findings.add(|| Violation {
                    owner: None,
                    horizon,
                    range: ends,
                    asked: None,
                    wrong: Wrong::NotByTheRules {
                        address: first.to_ip(),
                        won: ruling.won,
                        expected: ruling.plan,
                        found: range.plan,
                    },
                });
            }
            // The next stretch begins inside this range, or right behind it.
            match next {
                Some(next) if last.next() == Some(next) => at += 1,
                _ => {}
            }
            if last == range.last {
                break;
            }
        }
    }
    plans
}
