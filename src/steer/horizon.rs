//! A horizon: rules from labels to plans, compiled to one steering table per family.
//!
//! **Invariants**: rules are tried in order and the first whose every condition holds wins; every address of a scope has
//! the same plan; health has no say in either.
//! **Not here**: rules as input ([`draft`]), compilation ([`build`]), plans ([`super::plans`]), slots
//! ([`super::spread`]), distances ([`super::nearest`]).

mod build;
mod draft;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use super::lines::Descent;
use super::nearest::Places;
use super::plans::{Plan, Plans, Slots};
use super::spread::{self, LeastScopes};
use super::table::{FoundRange, RangeTable};
use crate::base::client::{Client, Location, ScopePrefixLen, ScopeRule};
use crate::base::geo::{Coordinates, Kilometres};
use crate::base::ids::{MirrorId, PlanId};
use crate::base::prefix::{Family, Prefix};
use crate::base::private::PrivatePrefixes;
use crate::networks::AddressLabels;

pub use build::Laid;
pub use draft::{AnswerMirrors, Condition, Draft, Rule};

/// The winner for a client: a rule, by its place in the list, or the default.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Won {
    /// The rule of this index.
    Rule(usize),
    /// No rule: the default.
    Default,
}

/// A compiled horizon: the rules for one class of clients, as plans and steering tables.
#[derive(Clone, Debug)]
pub struct Horizon {
    /// The key in the config's `[horizons]`.
    pub name: Arc<str>,
    /// The rules, in order.
    pub(crate) rules: Vec<Rule>,
    /// The plans; [`PlanId`] is an index. The default's comes first.
    plans: Plans,
    /// The number of mirrors of a plan to answer with.
    pub(crate) answer_mirrors: AnswerMirrors,
    /// The plan of each rule.
    rule_plans: Vec<PlanId>,
    /// The plan of the default, or that of one of its slots.
    default_plan: PlanId,
    /// The winners with mirrors by distance.
    nearest: BTreeMap<Won, ByDistance>,
    /// The seed of the hash of slots: it depends on the horizon's name alone, so that all servers have the same slots.
    seed: u64,
    least_scopes: LeastScopes,
    /// The private prefixes that locate clients.
    private: Arc<PrivatePrefixes>,
    /// The mirrors of all plans, once each, in order of their ids.
    mirrors: Vec<MirrorId>,
    v4: RangeTable<u32>,
    v6: RangeTable<u128>,
    /// True if all addresses of both families have one plan.
    uniform: Uniformity,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Uniformity {
    /// All have the same.
    OnePlan,
    /// Each has that of its range.
    Several,
    /// Some have that of a slot.
    Spread,
}

/// Mirrors by distance, as a rule or the default has them.
#[derive(Clone, Debug)]
struct ByDistance {
    /// The plan of clients without coordinates.
    listed: Plan,
    places: Places,
    /// The number of nearest mirrors that are told apart.
    depth: usize,
    /// The mirrors that are the nearest to some client.
    near_somebody: BTreeSet<MirrorId>,
}

/// The decision of a horizon for a client, before health matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The mirrors, by plan.
    pub plan: PlanId,
    /// The part of the client's subnet for which this holds.
    pub scope: ScopePrefixLen,
    /// The location by which the client was judged.
    pub location: Location,
}

/// Decides for a client. This is the one place where a client meets a policy.
///
/// `ahead` is an address, likely the client's, and the node that a prefetch has reached for it in this horizon
/// ([`Horizon::approach`]). The lookup goes on from there.
#[inline]
pub(crate) fn decide(horizon: &Horizon, client: &Client, ahead: Option<(IpAddr, Descent)>) -> Decision {
    let location = client.locate(&horizon.private);
    let from = ahead.filter(|(address, _)| *address == location.address).map(|(_, descent)| descent);
    let mut found = match location.address {
        IpAddr::V4(v4) => horizon.v4.find_from(v4.to_bits(), location.source.0, from),
        IpAddr::V6(v6) => horizon.v6.find_from(v6.to_bits(), location.source.0, from),
    };
    if horizon.uniform == Uniformity::Spread {
        found = horizon.spread(found, location.address);
    }
    let scope = match (horizon.uniform, location.scope) {
        (Uniformity::OnePlan, _) => ScopePrefixLen(0),
        (_, ScopeRule::Fixed(scope)) => scope,
        (_, ScopeRule::Exact { offset }) => ScopePrefixLen(found.scope + offset),
    };
    Decision { plan: found.plan, scope, location }
}

impl Horizon {
    /// The private prefixes that locate clients.
    pub(crate) fn private(&self) -> &PrivatePrefixes {
        &self.private
    }

    /// The table of IPv4.
    pub fn v4(&self) -> &RangeTable<u32> {
        &self.v4
    }

    /// The table of IPv6.
    pub fn v6(&self) -> &RangeTable<u128> {
        &self.v6
    }

    /// The first step of the way to an address in its table, as [`RangeTable::approach`].
    #[inline]
    pub fn approach(&self, address: IpAddr) -> (Descent, *const u8) {
        match address {
            IpAddr::V4(v4) => self.v4.approach(v4.to_bits()),
            IpAddr::V6(v6) => self.v6.approach(v6.to_bits()),
        }
    }

    /// A further step, as [`RangeTable::advance`].
    #[inline]
    pub fn advance(&self, address: IpAddr, from: Descent) -> (Descent, *const u8) {
        match address {
            IpAddr::V4(v4) => self.v4.advance(v4.to_bits(), from),
            IpAddr::V6(v6) => self.v6.advance(v6.to_bits(), from),
        }
    }

    /// Every mirror that a rule or the default names, once.
    pub fn mirrors(&self) -> impl Iterator<Item = MirrorId> {
        self.mirrors.iter().copied()
    }

    /// The plans; [`PlanId`] is an index. The default's comes first.
    pub fn plans(&self) -> &[Plan] {
        &self.plans.list
    }

    /// A plan.
    pub fn plan(&self, id: PlanId) -> &Plan {
        &self.plans.list[id.index()]
    }

    /// The plan of a winner, for clients of which no more is known.
    pub(crate) fn plan_of(&self, won: Won) -> PlanId {
        head(&self.rule_plans, won)
    }

    /// The plan of a client that meets no rule and of which nothing is known; with weights, the plan of a slot whose first
    /// mirror is the heaviest.
    pub(crate) fn default_plan(&self) -> PlanId {
        self.default_plan
    }

    /// The plan that the table is to have for a client with these facts, given the winner; off the query path.
    pub(crate) fn plan_for(&self, won: Won, facts: &AddressLabels<'_>) -> PlanId {
        let by_distance = self.nearest.get(&won).zip(facts.labels.coordinates);
        let plan = by_distance.and_then(|(list, place)| self.plans.find(&list.plan_at(&list.places.nearest(place))));
        plan.unwrap_or_else(|| self.plan_of(won))
    }

    /// The plan in the table for clients that get this plan: the head of a slot's plan, and otherwise the plan itself.
    pub(crate) fn head(&self, plan: PlanId) -> PlanId {
        self.plans.heads[plan.index()]
    }

    /// The plans of a plan's slots; `None` if it has no weights.
    pub fn slots(&self, plan: PlanId) -> Option<&Slots> {
        self.plans.slots[plan.index()].as_deref()
    }

    /// All plans that differ from this one in nothing but the slot of the client: those of all slots of its head. A plan
    /// without weights is alone.
    ///
    /// The resolver that asks for a client is seldom in the client's block, so the slot of one does not tell the slot of the
    /// other.
    pub(crate) fn shares(&self, plan: PlanId) -> impl Iterator<Item = PlanId> {
        let head = self.head(plan);
        let spread = self.slots(head).map(|_| {
            // The plans of slots follow their head.
            let behind = head.index() + 1..self.plans.list.len();
            behind.map(PlanId::from_index).take_while(move |slot| self.head(*slot) == head)
        });
        let alone = spread.is_none().then_some(plan);
        spread.into_iter().flatten().chain(alone)
    }

    /// The slot of a block.
    pub(crate) fn slot_of(&self, block: Prefix) -> usize {
        match block {
            Prefix::V4(block) => spread::slot_of(self.seed, block.first()),
            Prefix::V6(block) => spread::slot_of(self.seed, block.first()),
        }
    }

    /// The least length of a plan's scopes.
    pub(crate) fn least_scope(&self, plan: PlanId, family: Family) -> u8 {
        self.slots(plan).map_or(0, |_| self.least_scopes.of(family))
    }

    /// The distance of each mirror of a winner from a place, in the order of the list; `None` if its mirrors are not by
    /// distance.
    pub(crate) fn distances(&self, won: Won, place: Coordinates) -> Option<Vec<(MirrorId, Kilometres)>> {
        let list = self.nearest.get(&won)?;
        Some(list.listed.preferred.iter().copied().zip(list.places.distances(place)).collect())
    }

    /// The mirrors that are the nearest to some client, for each list of mirrors by distance.
    pub(crate) fn near_somebody(&self) -> impl Iterator<Item = (Won, &BTreeSet<MirrorId>)> {
        self.nearest.iter().map(|(won, list)| (*won, &list.near_somebody))
    }

    /// Replaces a plan with weights by the plan of the client's slot.
    ///
    /// If the subnet covers several scopes of such a plan, the first decides, because all shares of it are of equal
    /// standing. The share of most of the subnet is no alternative: it would send every wide subnet to the heaviest mirror.
    fn spread(&self, found: FoundRange, address: IpAddr) -> FoundRange {
        let Some(slots) = self.slots(found.plan) else { return found };
        let scope = found.scope.max(self.least_scopes.of(Family::of(address)));
        FoundRange { plan: slots[self.slot_of(Prefix::holding(address, scope))], scope }
    }

    /// The winner for a client with these facts; for `explain` and `check`, off the query path.
    pub(crate) fn winner(&self, facts: &AddressLabels<'_>) -> Won {
        winner(&self.rules, facts)
    }
}

impl ByDistance {
    /// The plan of a client with these mirrors the nearest.
    fn plan_at(&self, nearest: &[usize]) -> Plan {
        self.listed.in_order(&self.places.order(nearest, self.depth))
    }
}

fn head(rule_plans: &[PlanId], won: Won) -> PlanId {
    match won {
        Won::Rule(rule) => rule_plans[rule],
        Won::Default => PlanId(0),
    }
}

fn winner(rules: &[Rule], facts: &AddressLabels<'_>) -> Won {
    rules
        .iter()
        .position(|rule| rule.conditions.iter().all(|condition| condition.holds(facts)))
        .map_or(Won::Default, Won::Rule)
}
