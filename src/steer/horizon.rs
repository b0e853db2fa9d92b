//! A horizon: rules from labels to plans, compiled to one steering table per family.
//!
//! **Invariants**: rules are tried in order and the first whose every condition holds wins; every address of a scope has
//! the same plan; health has no say in either.
//! **Not here**: plans ([`super::plans`]), slots ([`super::spread`]), distances ([`super::nearest`]).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use super::lines::{Descent, Packed};
use super::nearest::{self, Places};
use super::plans::{Plan, Plans, Ranking, Slots};
use super::spread::{self, LeastScopes};
use super::table::{FoundRange, RangeTable};
use crate::base::client::{Client, Location, ScopePrefixLen, ScopeRule};
use crate::base::geo::{Coordinates, Kilometres};
use crate::base::ids::{LabelsId, MirrorId, PlanId, SourceId};
use crate::base::prefix::{Block, Family, Prefix};
use crate::base::special;
use crate::networks::{AddressLabels, Combinations, LabelKind, LabelValue, Networks, Overlay, overlay};

/// One thing that must hold for a rule to win.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// One of the sources has an entry, with one of the labels if there are any.
    Network {
        /// The sources.
        sources: Vec<SourceId>,
        /// The labels.
        labels: Vec<LabelValue>,
    },
    /// The label of a kind is one of these.
    Label {
        /// The kind.
        kind: LabelKind,
        /// The values.
        values: Vec<LabelValue>,
    },
}

impl Condition {
    /// A condition on the labels of a kind.
    pub fn label<V: Into<LabelValue>>(kind: LabelKind, values: impl IntoIterator<Item = V>) -> Self {
        Condition::Label { kind, values: values.into_iter().map(Into::into).collect() }
    }

    fn holds(&self, facts: &AddressLabels<'_>) -> bool {
        let among = |list: &[LabelValue], value: Option<LabelValue<&str>>| {
            value.is_some_and(|value| list.iter().any(|one| one.borrowed() == value))
        };
        match self {
            Condition::Network { sources, labels } => sources.iter().any(|source| {
                if labels.is_empty() {
                    facts.is_in(*source)
                } else {
                    among(labels, facts.value_in(*source, LabelKind::Label))
                }
            }),
            Condition::Label { kind, values } => among(values, facts.labels.value(*kind)),
        }
    }
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// All of these must hold.
    pub conditions: Vec<Condition>,
    /// The mirrors, in order of preference unless the ranking has another.
    pub mirrors: Vec<MirrorId>,
    /// The order in which a client takes the mirrors.
    pub ranking: Ranking,
    /// The mirrors to use if none of those can be used.
    pub fallback: Vec<MirrorId>,
}

/// The number of mirrors of a plan that a horizon answers with: 1 to 8.
///
/// More would not fit one datagram with the addresses that mirrors usually have, and no client tries as many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnswerMirrors(u8);

impl AnswerMirrors {
    /// One.
    ///
    /// Resolvers and clients shuffle the records of a set, so of two mirrors each gets half of the clients, and the plan's
    /// order says nothing any more. A mirror that dies is left within seconds, and clients outlive a dead address among
    /// others: several mirrors are for those whose first ones are equally near.
    pub const ONE: AnswerMirrors = AnswerMirrors(1);

    /// The most.
    pub const MAX: u8 = 8;

    /// That number, where it is in the range.
    pub fn new(number: u8) -> Option<Self> {
        (1..=AnswerMirrors::MAX).contains(&number).then_some(AnswerMirrors(number))
    }

    /// The number.
    pub fn get(self) -> u8 {
        self.0
    }
}

/// The input for a horizon.
#[derive(Clone, Debug)]
pub struct Draft {
    /// The key in the config's `[horizons]`.
    pub name: Arc<str>,
    /// The rules, in order.
    pub rules: Vec<Rule>,
    /// The mirrors of a client that meets no rule.
    pub default: Vec<MirrorId>,
    /// The order in which such a client takes the mirrors; behind the mirrors of a rule, the default is taken as listed.
    pub default_ranking: Ranking,
    /// The least scope lengths of a plan with weights.
    pub least_scopes: LeastScopes,
    /// The number of mirrors to answer with.
    pub answer_mirrors: AnswerMirrors,
}

impl Draft {
    /// Rules and a default; all other fields have their default values.
    pub fn new(name: Arc<str>, rules: Vec<Rule>, default: Vec<MirrorId>) -> Self {
        let (default_ranking, least_scopes) = (Ranking::Listed, LeastScopes::USUAL);
        Draft { name, rules, default, default_ranking, least_scopes, answer_mirrors: AnswerMirrors::ONE }
    }
}

/// The winner for a client: a rule, by its place in the list, or the default.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Won {
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
    pub rules: Vec<Rule>,
    /// The plans; [`PlanId`] is an index. The default's comes first.
    plans: Plans,
    /// The number of mirrors of a plan to answer with.
    pub answer_mirrors: AnswerMirrors,
    /// The plan of each rule.
    rule_plans: Vec<PlanId>,
    /// The plan of the default, or that of one of its slots.
    default_plan: PlanId,
    /// The winners with mirrors by distance.
    nearest: BTreeMap<Won, ByDistance>,
    /// The seed of the hash of slots: it depends on the horizon's name alone, so that all servers have the same slots.
    seed: u64,
    least_scopes: LeastScopes,
    /// The mirrors of all plans, once each, in order of their ids.
    mirrors: Vec<MirrorId>,
    v4: RangeTable<u32>,
    v6: RangeTable<u128>,
    /// Whether all addresses of both families have one plan.
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
#[inline]
pub fn decide(horizon: &Horizon, client: &Client) -> Decision {
    decide_from(horizon, client, None)
}

/// As [`decide`], but goes on from `ahead`: an address, likely the client's, and the node that a prefetch has reached for it
/// in this horizon ([`Horizon::approach`]).
#[inline]
pub fn decide_from(horizon: &Horizon, client: &Client, ahead: Option<(IpAddr, Descent)>) -> Decision {
    let location = client.locate();
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

/// The networks laid over each other once, for all horizons.
#[derive(Debug)]
pub struct Laid {
    v4: Overlay<u32>,
    v6: Overlay<u128>,
    combinations: Combinations,
    boundaries_v4: Vec<Block<u32>>,
    boundaries_v6: Vec<Block<u128>>,
}

impl Laid {
    /// Lays the sources over each other, with the blocks whose clients are judged otherwise set apart.
    pub fn over(networks: &Networks) -> Self {
        let v6 = special::reserved_v6().chain(special::embedding_v6());
        Laid::with_boundaries(networks, special::reserved_v4().collect(), v6.collect())
    }

    fn with_boundaries(networks: &Networks, boundaries_v4: Vec<Block<u32>>, boundaries_v6: Vec<Block<u128>>) -> Self {
        let mut combinations = Combinations::default();
        let v4 = overlay(networks, |source| source.v4(), &boundaries_v4, &mut combinations);
        let v6 = overlay(networks, |source| source.v6(), &boundaries_v6, &mut combinations);
        Laid { v4, v6, combinations, boundaries_v4, boundaries_v6 }
    }

    /// The distinct combinations of labels.
    pub fn combinations(&self) -> impl Iterator<Item = &[Option<LabelsId>]> {
        self.combinations.list().iter().map(|combination| &**combination)
    }
}

impl Horizon {
    /// Decides every combination of labels once and merges the ranges.
    pub fn build(draft: Draft, networks: &Networks, laid: &Laid) -> Self {
        let Draft { name, rules, default, default_ranking, least_scopes, answer_mirrors } = draft;
        let mut plans = Plans::default();
        plans.add(Plans::of_rule(&default, &[], &[], &default_ranking));
        let plan_of = |rule: &Rule| Plans::of_rule(&rule.mirrors, &rule.fallback, &default, &rule.ranking);
        let rule_plans: Vec<PlanId> = rules.iter().map(|rule| plans.add(plan_of(rule))).collect();
        let won: Vec<(Won, Option<Coordinates>)> = laid
            .combinations()
            .map(|labels| networks.facts(labels))
            .map(|facts| (winner(&rules, &facts), facts.labels.coordinates))
            .collect();
        let rankings = rules.iter().enumerate().map(|(at, rule)| (Won::Rule(at), &rule.ranking));
        let mut nearest: BTreeMap<Won, ByDistance> = BTreeMap::new();
        for (won, ranking) in rankings.chain([(Won::Default, &default_ranking)]) {
            if let Ranking::Nearest(places) = ranking {
                let listed = plans.list[head(&rule_plans, won).index()].clone();
                let (places, near_somebody) = (Places::new(places), BTreeSet::new());
                nearest.insert(won, ByDistance { listed, places, depth: nearest::DISTINGUISHED, near_somebody });
            }
        }
        let by_place = plans_by_place(&won, &mut nearest, &mut plans);
        let by_combination: Vec<PlanId> = won
            .iter()
            .map(|(won, place)| {
                let by_place = place.and_then(|place| by_place.get(&(*won, place)).copied());
                by_place.unwrap_or_else(|| head(&rule_plans, *won))
            })
            .collect();
        let v4 = build_table(&laid.v4, &by_combination, &laid.boundaries_v4);
        let v6 = build_table(&laid.v6, &by_combination, &laid.boundaries_v6);
        let used: BTreeSet<PlanId> =
            v4.ranges().map(|range| range.plan).chain(v6.ranges().map(|range| range.plan)).collect();
        let uniform = match used.len() {
            _ if used.iter().any(|plan| plans.slots[plan.index()].is_some()) => Uniformity::Spread,
            1 => Uniformity::OnePlan,
            _ => Uniformity::Several,
        };
        let mirrors: BTreeSet<MirrorId> = plans.list.iter().flat_map(Plan::mirrors).collect();
        Horizon {
            seed: spread::hash(name.as_bytes()),
            name,
            rules,
            default_plan: plans.heaviest(PlanId(0)),
            plans,
            answer_mirrors,
            rule_plans,
            nearest,
            least_scopes,
            mirrors: mirrors.into_iter().collect(),
            v4,
            v6,
            uniform,
        }
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
    pub fn plan_of(&self, won: Won) -> PlanId {
        head(&self.rule_plans, won)
    }

    /// The plan of a client that meets no rule and of which nothing is known; with weights, the plan of a slot whose first
    /// mirror is the heaviest.
    pub fn default_plan(&self) -> PlanId {
        self.default_plan
    }

    /// The plan that the table is to have for a client with these facts, given the winner; off the query path.
    pub fn plan_for(&self, won: Won, facts: &AddressLabels<'_>) -> PlanId {
        let by_distance = self.nearest.get(&won).zip(facts.labels.coordinates);
        let plan = by_distance.and_then(|(list, place)| self.plans.find(&list.plan_at(&list.places.nearest(place))));
        plan.unwrap_or_else(|| self.plan_of(won))
    }

    /// The plan in the table for clients that get this plan: the head of a slot's plan, and otherwise the plan itself.
    pub fn head(&self, plan: PlanId) -> PlanId {
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
    pub fn shares(&self, plan: PlanId) -> impl Iterator<Item = PlanId> {
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
    pub fn slot_of(&self, block: Prefix) -> usize {
        match block {
            Prefix::V4(block) => spread::slot_of(self.seed, block.first()),
            Prefix::V6(block) => spread::slot_of(self.seed, block.first()),
        }
    }

    /// The least length of a plan's scopes.
    pub fn least_scope(&self, plan: PlanId, family: Family) -> u8 {
        self.slots(plan).map_or(0, |_| self.least_scopes.of(family))
    }

    /// The distance of each mirror of a winner from a place, in the order of the list; `None` if its mirrors are not by
    /// distance.
    pub fn distances(&self, won: Won, place: Coordinates) -> Option<Vec<(MirrorId, Kilometres)>> {
        let list = self.nearest.get(&won)?;
        Some(list.listed.preferred.iter().copied().zip(list.places.distances(place)).collect())
    }

    /// The mirrors that are the nearest to some client, for each list of mirrors by distance.
    pub fn near_somebody(&self) -> impl Iterator<Item = (Won, &BTreeSet<MirrorId>)> {
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
    pub fn winner(&self, facts: &AddressLabels<'_>) -> Won {
        winner(&self.rules, facts)
    }
}

impl ByDistance {
    /// The plan of a client with these mirrors the nearest.
    fn plan_at(&self, nearest: &[usize]) -> Plan {
        self.listed.in_order(&self.places.order(nearest, self.depth))
    }
}

/// Makes a plan for every order of mirrors that some client has.
fn plans_by_place(
    won: &[(Won, Option<Coordinates>)],
    lists: &mut BTreeMap<Won, ByDistance>,
    plans: &mut Plans,
) -> HashMap<(Won, Coordinates), PlanId> {
    let mut orders: BTreeMap<(Won, Coordinates), Vec<usize>> = BTreeMap::new();
    for (won, place) in won {
        if let (Some(list), Some(place)) = (lists.get(won), place) {
            orders.entry((*won, *place)).or_insert_with(|| list.places.nearest(*place));
        }
    }
    let depth = nearest::depth(orders.iter().map(|((won, _), nearest)| (*won, &**nearest)));
    let mut ids = HashMap::with_capacity(orders.len());
    for ((won, place), nearest) in &orders {
        let Some(list) = lists.get_mut(won) else { continue };
        list.depth = depth;
        list.near_somebody.extend(nearest.first().map(|first| list.listed.preferred[*first]));
        ids.insert((*won, *place), plans.add(list.plan_at(nearest)));
    }
    ids
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

fn build_table<A: Packed>(laid: &Overlay<A>, plans: &[PlanId], boundaries: &[Block<A>]) -> RangeTable<A> {
    let ranges = laid.ranges.iter().map(|(first, combination)| (*first, plans[*combination as usize]));
    RangeTable::build(ranges, boundaries)
}
