//! A second evaluation of the rules over the address space: it checks the table, and counts each mirror's share.
//!
//! [`Tally::of`] reports every range in which the table has another plan than the rules give. [`Tally::into_totals`] adds
//! up the addresses of each mirror.
//!
//! **Invariants**: every address is counted once, by its plan in the table; the addresses of a plan with weights are
//! divided in proportion to its slots.
//! **Not here**: asking the engine ([`super::sweep()`]).

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::ground::{Face, Ground, add, count};
use super::violation::{Findings, Violation, Wrong};
use crate::base::ids::{HorizonId, MirrorId, PlanId};
use crate::base::prefix::{Bits, Family};
use crate::base::words::words;
use crate::networks::{Combination, Combinations, LabelKind, Networks, Overlay, overlay};
use crate::snapshot::Snapshot;
use crate::steer::Won;
use crate::steer::spread::SLOTS;

/// One mirror's share of one family's clients.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct MirrorTotal {
    /// The clients' family.
    pub(crate) clients: Family,
    /// The mirror; `None` for the canonical registry, to which a rule sends the clients.
    pub(crate) mirror: Option<MirrorId>,
    /// The record types in which clients get its addresses, or a redirect.
    pub(crate) records: RecordTypes,
    /// The number of ranges.
    pub(crate) ranges: usize,
    /// The number of addresses.
    pub(crate) addresses: u128,
    /// The providers of these addresses according to the sources, the most addresses first.
    pub(crate) providers: Vec<ProviderTotal>,
}

/// The number of addresses of one family that a rule decides for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RuleTotal {
    /// The clients' family.
    pub(crate) clients: Family,
    /// The rule, or the default.
    pub(crate) won: Won,
    /// The number of addresses.
    pub(crate) addresses: u128,
}

/// One provider's part of a mirror's total.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ProviderTotal {
    /// The provider; `None` if no source knows one.
    pub(crate) provider: Option<Arc<str>>,
    /// The number of addresses.
    pub(crate) addresses: u128,
}

words! {
    /// The way in which a plan leads clients to a mirror: the record types that have its addresses, or a redirect.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
    pub(crate) enum RecordTypes {
        /// A and AAAA.
        Both = "A AAAA",
        /// A alone.
        A = "A",
        /// AAAA alone.
        Aaaa = "AAAA",
        /// A redirect of the registry listener.
        Redirect = "redirect",
    }
}

/// The sources laid over each other again, independently of the overlay that the tables were built from.
pub(super) struct Rules<'n> {
    pub(super) networks: &'n Networks,
    pub(super) v4: Overlay<u32>,
    pub(super) v6: Overlay<u128>,
    pub(super) combinations: Combinations,
}

impl<'n> Rules<'n> {
    pub(super) fn of(networks: &'n Networks) -> Self {
        let mut combinations = Combinations::default();
        let v4 = overlay(networks, |source| source.v4(), &[], &mut combinations);
        let v6 = overlay(networks, |source| source.v6(), &[], &mut combinations);
        Rules { networks, v4, v6, combinations }
    }
}

/// The result of the rules for one combination of labels.
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

/// The shares of the address space under one horizon.
pub(super) struct Tally {
    providers: Vec<Option<Arc<str>>>,
    v4: PlanTally,
    v6: PlanTally,
}

impl Tally {
    /// Counts the addresses, and reports ranges that do not follow the rules.
    pub(super) fn of(
        snapshot: &Snapshot,
        id: HorizonId,
        ground: &Ground,
        rules: &Rules<'_>,
        findings: &mut Findings,
    ) -> Self {
        let horizon = &snapshot.horizons()[id.index()];
        let mut providers: Vec<Option<Arc<str>>> = vec![None];
        let ruling = |labels: &Combination| {
            let facts = rules.networks.facts(labels);
            let won = horizon.winner(&facts);
            let name = facts.labels.text(LabelKind::Provider);
            let provider = providers.iter().position(|known| known.as_deref() == name).unwrap_or_else(|| {
                providers.push(name.map(Arc::from));
                providers.len() - 1
            });
            Ruling { won, plan: horizon.plan_for(won, &facts), provider }
        };
        let rulings: Vec<Ruling> = rules.combinations.list().iter().map(ruling).collect();
        let v4 = tally(&ground.v4, &rules.v4, &rulings, id, findings);
        let v6 = tally(&ground.v6, &rules.v6, &rulings, id, findings);
        Tally { providers, v4, v6 }
    }

    /// The number of addresses that each rule decides for, in the order of the rules, without rules that decide for no
    /// address.
    pub(super) fn rules(&self) -> Vec<RuleTotal> {
        let of = |clients, plans: &PlanTally| {
            let total = |(&won, &addresses): (&Won, &u128)| RuleTotal { clients, won, addresses };
            plans.rules.iter().map(total).collect::<Vec<_>>()
        };
        [of(Family::V4, &self.v4), of(Family::V6, &self.v6)].concat()
    }

    /// The totals of each mirror, according to the current answers of the plans.
    pub(super) fn into_totals(self, snapshot: &Snapshot, horizon: HorizonId) -> Vec<MirrorTotal> {
        let mut totals = Vec::new();
        for (clients, plans) in [(Family::V4, &self.v4), (Family::V6, &self.v6)] {
            let mut by_mirror: BTreeMap<Served, (usize, BTreeMap<usize, u128>)> = BTreeMap::new();
            for (plan, ranges) in &plans.ranges {
                for (served, slots) in served_by(snapshot, horizon, *plan, clients) {
                    let total = by_mirror.entry(served).or_default();
                    total.0 += ranges;
                    for ((_, provider), addresses) in plans.addresses.range((*plan, 0)..=(*plan, usize::MAX)) {
                        add(total.1.entry(*provider).or_default(), share(*addresses, slots));
                    }
                }
            }
            let name = |(provider, addresses): (usize, u128)| {
                let provider = self.providers[provider].clone();
                ProviderTotal { provider, addresses }
            };
            let total = |((mirror, records), (ranges, by_provider)): (Served, (usize, BTreeMap<usize, u128>))| {
                let addresses = by_provider.values().fold(0u128, |sum, more| sum.saturating_add(*more));
                let mut providers: Vec<_> = by_provider.into_iter().map(name).collect();
                providers.sort_by(|a, b| b.addresses.cmp(&a.addresses).then(a.provider.cmp(&b.provider)));
                MirrorTotal { clients, mirror, records, ranges, addresses, providers }
            };
            let mut of_family: Vec<MirrorTotal> = by_mirror.into_iter().map(total).collect();
            of_family.sort_by(|a, b| b.addresses.cmp(&a.addresses).then(a.mirror.cmp(&b.mirror)));
            totals.extend(of_family);
        }
        totals
    }
}

/// A mirror, or canonical, and the way in which clients are led to it.
type Served = (Option<MirrorId>, RecordTypes);

/// The mirrors to which a plan leads clients of a family, and the number of slots of each.
fn served_by(snapshot: &Snapshot, horizon: HorizonId, plan: PlanId, clients: Family) -> BTreeMap<Served, usize> {
    let slots =
        snapshot.horizons()[horizon.index()].slots(plan).map_or_else(|| vec![plan; SLOTS], |slots| slots.to_vec());
    let mut served = BTreeMap::new();
    for same in slots.chunk_by(|a, b| a == b) {
        for one in served_in_slot(snapshot, horizon, same[0], clients) {
            *served.entry(one).or_default() += same.len();
        }
    }
    served
}

fn served_in_slot(snapshot: &Snapshot, horizon: HorizonId, plan: PlanId, clients: Family) -> Vec<Served> {
    let mut served = BTreeMap::new();
    for (family, alone) in [(Family::V4, RecordTypes::A), (Family::V6, RecordTypes::Aaaa)] {
        for mirror in &snapshot.addresses(horizon, plan, family).choice.mirrors {
            served.entry(Some(*mirror)).and_modify(|records| *records = RecordTypes::Both).or_insert(alone);
        }
    }
    let is_redirect_only = |id: &MirrorId| snapshot.mirrors()[id.index()].is_redirect_only();
    let redirect = match snapshot.redirects(horizon, plan, clients).mirrors.first() {
        _ if snapshot.horizons()[horizon.index()].plan(plan).is_canonical => Some(None),
        Some(id) if is_redirect_only(id) => Some(Some(*id)),
        _ => None,
    };
    served.into_iter().chain(redirect.map(|mirror| (mirror, RecordTypes::Redirect))).collect()
}

/// The share of `slots` out of all slots in a number of addresses. It does not overflow for all of IPv6.
pub(super) fn share(addresses: u128, slots: usize) -> u128 {
    let (all, slots) = (SLOTS as u128, slots as u128);
    addresses / all * slots + addresses % all * slots / all
}

/// Walks the table's ranges and the overlay's stretches of equal labels in parallel.
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
            add(plans.addresses.entry((range.plan, ruling.provider)).or_default(), count(first, last));
            add(plans.rules.entry(ruling.won).or_default(), count(first, last));
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
            // Advance only if the next stretch begins directly after this part.
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
