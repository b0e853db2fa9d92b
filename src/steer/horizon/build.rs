//! The compilation of a horizon: every combination of labels is decided once, and the ranges are merged.
//!
//! **Invariants**: the default's plan comes first; blocks of special addresses ([`PrivatePrefixes`]) are set apart in every
//! table.
//! **Not here**: decisions for clients ([`super::decide`]).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::{ByDistance, Draft, Horizon, Rule, Uniformity, Won, head, winner};
use crate::base::geo::Coordinates;
use crate::base::ids::{LabelsId, MirrorId, PlanId};
use crate::base::prefix::Block;
use crate::base::private::PrivatePrefixes;
use crate::networks::{Combinations, Networks, Overlay, overlay};
use crate::steer::lines::Packed;
use crate::steer::nearest::{self, Places};
use crate::steer::plans::{Plan, Plans, Ranking};
use crate::steer::spread;
use crate::steer::table::RangeTable;

/// The networks laid over each other once, for all horizons.
#[derive(Debug)]
pub struct Laid {
    v4: Overlay<u32>,
    v6: Overlay<u128>,
    combinations: Combinations,
    boundaries_v4: Vec<Block<u32>>,
    boundaries_v6: Vec<Block<u128>>,
    private: Arc<PrivatePrefixes>,
}

impl Laid {
    /// Lays the sources over each other, with the blocks whose clients are judged otherwise set apart.
    pub fn over(networks: &Networks) -> Self {
        let private = networks.private_prefixes();
        let (boundaries_v4, boundaries_v6) = (private.boundaries_v4(), private.boundaries_v6());
        let mut combinations = Combinations::default();
        let v4 = overlay(networks, |source| source.v4(), &boundaries_v4, &mut combinations);
        let v6 = overlay(networks, |source| source.v6(), &boundaries_v6, &mut combinations);
        Laid { v4, v6, combinations, boundaries_v4, boundaries_v6, private: Arc::new(private) }
    }

    /// The ranges of both families.
    pub(crate) fn overlays(&self) -> (&Overlay<u32>, &Overlay<u128>) {
        (&self.v4, &self.v6)
    }

    /// The distinct combinations of labels.
    pub(crate) fn combinations(&self) -> impl Iterator<Item = &[Option<LabelsId>]> {
        self.combinations.list().iter().map(|combination| &**combination)
    }
}

impl Horizon {
    /// Decides every combination of labels once and merges the ranges.
    pub fn build(draft: Draft, networks: &Networks, laid: &Laid) -> Self {
        let Draft { name, rules, default, default_ranking, default_is_canonical, least_scopes, answer_mirrors } = draft;
        let mut plans = Plans::default();
        let of_default = Plans::of_rule(&default, &[], &[], &default_ranking);
        plans.add(Plan { is_canonical: default_is_canonical, ..of_default });
        let plan_of = |rule: &Rule| Plan {
            is_canonical: rule.is_canonical,
            ..Plans::of_rule(&rule.mirrors, &rule.fallback, &default, &rule.ranking)
        };
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
            private: Arc::clone(&laid.private),
            mirrors: mirrors.into_iter().collect(),
            v4,
            v6,
            uniform,
        }
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

fn build_table<A: Packed>(laid: &Overlay<A>, plans: &[PlanId], boundaries: &[Block<A>]) -> RangeTable<A> {
    let ranges = laid.ranges.iter().map(|(first, combination)| (*first, plans[*combination as usize]));
    RangeTable::build(ranges, boundaries)
}
