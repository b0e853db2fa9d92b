//! A horizon: rules from labels to plans, compiled to one steering table per family.
//!
//! **Invariants**: rules are tried in order and the first whose every condition holds wins; plans that name the same
//! mirrors in the same order are one plan, so that ranges merge and scopes are as short as they can be.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use super::lines::Packed;
use super::table::RangeTable;
use crate::base::client::{Client, Location, ScopePrefixLen, ScopeRule};
use crate::base::ids::{LabelsId, MirrorId, PlanId, SourceId};
use crate::base::prefix::Block;
use crate::base::special;
use crate::networks::{Combinations, Facts, Networks, Overlay, overlay};

/// An ordered list of mirrors, in three tiers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Plan {
    /// The rule's mirrors.
    pub preferred: Vec<MirrorId>,
    /// The rule's fallback.
    pub fallback: Vec<MirrorId>,
    /// The horizon's default; empty in the default's own plan, where it is `preferred`.
    pub default: Vec<MirrorId>,
}

impl Plan {
    /// All its mirrors, in order of preference.
    pub fn mirrors(&self) -> impl Iterator<Item = MirrorId> {
        self.preferred.iter().chain(&self.fallback).chain(&self.default).copied()
    }
}

/// One thing that must hold for a rule to win.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// One of the sources has an entry, with one of the labels where there are any.
    Network {
        /// The sources.
        sources: Vec<SourceId>,
        /// The labels.
        labels: Vec<Arc<str>>,
    },
    /// The provider is one of these.
    Provider(Vec<Arc<str>>),
    /// The region is one of these.
    Region(Vec<Arc<str>>),
    /// The autonomous system is one of these.
    Asn(Vec<u32>),
    /// The country is one of these.
    Country(Vec<Arc<str>>),
    /// The continent is one of these.
    Continent(Vec<Arc<str>>),
    /// The subdivision is one of these.
    Subdivision(Vec<Arc<str>>),
}

impl Condition {
    fn holds(&self, facts: &Facts<'_>) -> bool {
        let among =
            |list: &[Arc<str>], value: Option<&str>| value.is_some_and(|value| list.iter().any(|one| **one == *value));
        let place = facts.place;
        match self {
            Condition::Network { sources, labels } => sources
                .iter()
                .filter_map(|source| facts.by_source[source.index()])
                .any(|entry| labels.is_empty() || among(labels, entry.label.as_deref())),
            Condition::Provider(list) => among(list, facts.provider.map(|(provider, _)| provider)),
            Condition::Region(list) => among(list, facts.provider.and_then(|(_, region)| region)),
            Condition::Asn(list) => facts.asn.is_some_and(|asn| list.contains(&asn)),
            Condition::Country(list) => among(list, place.and_then(|place| place.country.as_deref())),
            Condition::Continent(list) => among(list, place.and_then(|place| place.continent.as_deref())),
            Condition::Subdivision(list) => among(list, place.and_then(|place| place.subdivision.as_deref())),
        }
    }
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// All of these must hold.
    pub conditions: Vec<Condition>,
    /// The mirrors, in order of preference.
    pub mirrors: Vec<MirrorId>,
    /// The mirrors to use when none of those can be.
    pub fallback: Vec<MirrorId>,
}

/// With how many mirrors of a plan a horizon answers: 1 to 8.
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

    /// That number, where it is in the range.
    pub fn new(number: u8) -> Option<Self> {
        (1..=8).contains(&number).then_some(AnswerMirrors(number))
    }

    /// The number.
    pub fn get(self) -> u8 {
        self.0
    }
}

/// What a horizon is made of.
#[derive(Clone, Debug)]
pub struct Draft {
    /// The key in the config's `[horizons]`.
    pub name: Arc<str>,
    /// The rules, in order.
    pub rules: Vec<Rule>,
    /// The mirrors of a client that meets no rule.
    pub default: Vec<MirrorId>,
    /// With how many mirrors to answer.
    pub answer_mirrors: AnswerMirrors,
}

impl Draft {
    /// Rules and a default, and everything else as it is where nothing is said of it.
    pub fn new(name: Arc<str>, rules: Vec<Rule>, default: Vec<MirrorId>) -> Self {
        Draft { name, rules, default, answer_mirrors: AnswerMirrors::ONE }
    }
}

/// What decided for a client: a rule, by its place in the list, or the default.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Won {
    /// The rule of this index.
    Rule(usize),
    /// No rule: the default.
    Default,
}

/// What one class of clients sees, compiled.
#[derive(Clone, Debug)]
pub struct Horizon {
    /// The key in the config's `[horizons]`.
    pub name: Arc<str>,
    /// The rules, in order.
    pub rules: Vec<Rule>,
    /// The plans; [`PlanId`] is an index. The default's comes first.
    pub plans: Vec<Plan>,
    /// With how many mirrors of a plan to answer.
    pub answer_mirrors: AnswerMirrors,
    /// The plan of each rule.
    rule_plans: Vec<PlanId>,
    /// The mirrors of all plans, once each, in order of their ids.
    mirrors: Vec<MirrorId>,
    v4: RangeTable<u32>,
    v6: RangeTable<u128>,
    /// Whether all addresses of both families have one plan.
    uniform: Uniformity,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Uniformity {
    OnePlan,
    Several,
}

/// What a client gets from a horizon, before health has a say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The mirrors, by plan.
    pub plan: PlanId,
    /// For how much of the client's subnet this holds.
    pub scope: ScopePrefixLen,
    /// Where the client was judged to be.
    pub location: Location,
}

/// Decides for a client. This is the one place where a client meets a policy.
#[inline]
pub fn decide(horizon: &Horizon, client: &Client) -> Decision {
    let location = client.locate();
    let found = match location.address {
        IpAddr::V4(v4) => horizon.v4.find(v4.to_bits(), location.source.0),
        IpAddr::V6(v6) => horizon.v6.find(v6.to_bits(), location.source.0),
    };
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
        let Draft { name, rules, default, answer_mirrors } = draft;
        let mut plans = vec![Plan { preferred: default.clone(), fallback: Vec::new(), default: Vec::new() }];
        let mut ids: HashMap<Plan, PlanId> = HashMap::from([(plans[0].clone(), PlanId(0))]);
        let rule_plans: Vec<PlanId> = rules
            .iter()
            .map(|rule| {
                let plan = rule_plan(rule, &default);
                *ids.entry(plan).or_insert_with_key(|plan| {
                    plans.push(plan.clone());
                    PlanId::from_index(plans.len() - 1)
                })
            })
            .collect();
        let by_combination: Vec<PlanId> = laid
            .combinations()
            .map(|labels| match winner(&rules, &networks.facts(labels)) {
                Won::Rule(rule) => rule_plans[rule],
                Won::Default => PlanId(0),
            })
            .collect();
        let v4 = build_table(&laid.v4, &by_combination, &laid.boundaries_v4);
        let v6 = build_table(&laid.v6, &by_combination, &laid.boundaries_v6);
        let used: BTreeSet<PlanId> =
            v4.ranges().map(|range| range.plan).chain(v6.ranges().map(|range| range.plan)).collect();
        let uniform = if used.len() == 1 { Uniformity::OnePlan } else { Uniformity::Several };
        let mirrors: BTreeSet<MirrorId> = plans.iter().flat_map(Plan::mirrors).collect();
        let mirrors = mirrors.into_iter().collect();
        Horizon { name, rules, plans, answer_mirrors, rule_plans, mirrors, v4, v6, uniform }
    }

    /// The table of IPv4.
    pub fn v4(&self) -> &RangeTable<u32> {
        &self.v4
    }

    /// The table of IPv6.
    pub fn v6(&self) -> &RangeTable<u128> {
        &self.v6
    }

    /// Every mirror that a rule or the default names, once.
    pub fn mirrors(&self) -> impl Iterator<Item = MirrorId> {
        self.mirrors.iter().copied()
    }

    /// A plan.
    pub fn plan(&self, id: PlanId) -> &Plan {
        &self.plans[id.index()]
    }

    /// The plan of what won.
    pub fn plan_of(&self, won: Won) -> PlanId {
        match won {
            Won::Rule(rule) => self.rule_plans[rule],
            Won::Default => PlanId(0),
        }
    }

    /// What wins for a client of whom these facts are known; for `explain` and `check`, off the query path.
    pub fn winner(&self, facts: &Facts<'_>) -> Won {
        winner(&self.rules, facts)
    }
}

fn winner(rules: &[Rule], facts: &Facts<'_>) -> Won {
    rules
        .iter()
        .position(|rule| rule.conditions.iter().all(|condition| condition.holds(facts)))
        .map_or(Won::Default, Won::Rule)
}

/// The plan of a rule; a mirror is kept in the first tier that names it, so that equal outcomes are equal plans.
fn rule_plan(rule: &Rule, default: &[MirrorId]) -> Plan {
    let without = |list: &[MirrorId], seen: &[&[MirrorId]]| -> Vec<MirrorId> {
        list.iter().copied().filter(|id| !seen.iter().any(|tier| tier.contains(id))).collect()
    };
    let fallback = without(&rule.fallback, &[&rule.mirrors]);
    let default = without(default, &[&rule.mirrors, &fallback]);
    Plan { preferred: rule.mirrors.clone(), fallback, default }
}

fn build_table<A: Packed>(laid: &Overlay<A>, plans: &[PlanId], boundaries: &[Block<A>]) -> RangeTable<A> {
    let ranges = laid.ranges.iter().map(|(first, combination)| (*first, plans[*combination as usize]));
    RangeTable::build(ranges, boundaries)
}
