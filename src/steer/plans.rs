//! The plans of a horizon: the mirrors that its clients get, in order.
//!
//! In: rules with their orders. Out: numbered plans. A rule has one plan that its clients share (its *head*). Mirrors by
//! weight have one more for each slot, and mirrors by distance one for each order that some client has.
//!
//! **Invariants**: equal plans are one, so that ranges merge and scopes are as short as possible; only the plans of slots
//! may be equal, because each of them belongs to one head.
//! **Not here**: the plan of a client ([`super::horizon`]), health ([`super::choose`]).

use std::collections::HashMap;

use super::spread::{SLOTS, Weights};
use crate::base::geo::Coordinates;
use crate::base::ids::{MirrorId, PlanId};

/// An ordered list of mirrors, in three tiers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Plan {
    /// The rule's mirrors.
    pub preferred: Vec<MirrorId>,
    /// The rule's fallback.
    pub fallback: Vec<MirrorId>,
    /// The horizon's default; empty in the default's own plan, where it is `preferred`.
    pub default: Vec<MirrorId>,
    /// The weights of `preferred`, where clients are spread by them: each gets the plan of its slot instead of this one.
    pub(crate) weights: Option<Weights>,
    /// If true, the registry listener sends clients to the canonical registry. DNS answers with the mirrors all the same.
    pub(crate) is_canonical: bool,
}

impl Plan {
    /// All its mirrors, in order of preference.
    pub fn mirrors(&self) -> impl Iterator<Item = MirrorId> {
        self.preferred.iter().chain(&self.fallback).chain(&self.default).copied()
    }

    /// The same with the rule's mirrors in this order, given by their places.
    pub(super) fn in_order(&self, order: &[usize]) -> Plan {
        let preferred = order.iter().map(|at| self.preferred[*at]).collect();
        Plan { preferred, weights: None, ..self.clone() }
    }
}

/// The order in which a client takes the mirrors of a rule or of the default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Ranking {
    /// The order of the list.
    #[default]
    Listed,
    /// Another one first for each of many groups of clients, by weight.
    Weighted(Weights),
    /// The nearest first; the coordinates of each mirror, in the order of the list.
    Nearest(Vec<Coordinates>),
}

/// The plan of each slot.
pub(crate) type Slots = [PlanId; SLOTS];

/// Plans with their ids.
#[derive(Clone, Debug, Default)]
pub(super) struct Plans {
    pub(super) list: Vec<Plan>,
    ids: HashMap<Plan, PlanId>,
    /// For each plan, the plan that the clients of its rule share.
    pub(super) heads: Vec<PlanId>,
    /// For each plan with weights, the plans of its slots.
    pub(super) slots: Vec<Option<Box<Slots>>>,
}

impl Plans {
    /// The plan of a rule; a mirror is kept in the first tier that names it, so that equal outcomes are equal plans.
    pub(super) fn of_rule(
        mirrors: &[MirrorId],
        fallback: &[MirrorId],
        default: &[MirrorId],
        ranking: &Ranking,
    ) -> Plan {
        let without = |list: &[MirrorId], seen: &[&[MirrorId]]| -> Vec<MirrorId> {
            list.iter().copied().filter(|id| !seen.iter().any(|tier| tier.contains(id))).collect()
        };
        let fallback = without(fallback, &[mirrors]);
        let default = without(default, &[mirrors, &fallback]);
        let weights = match ranking {
            Ranking::Weighted(weights) => Some(weights.clone()),
            Ranking::Listed | Ranking::Nearest(_) => None,
        };
        Plan { preferred: mirrors.to_vec(), fallback, default, weights, is_canonical: false }
    }

    /// The id of a plan that has one.
    pub(super) fn find(&self, plan: &Plan) -> Option<PlanId> {
        self.ids.get(plan).copied()
    }

    /// The id of a plan; a new plan gets a new id.
    pub(super) fn add(&mut self, plan: Plan) -> PlanId {
        if let Some(known) = self.find(&plan) {
            return known;
        }
        let id = self.push(plan.clone(), None);
        if let Some(weights) = &plan.weights {
            let mut of_order: HashMap<Vec<usize>, PlanId> = HashMap::new();
            let mut slots = Box::new([id; SLOTS]);
            for (slot, order) in slots.iter_mut().zip(weights.orders()) {
                *slot = match of_order.get(&order) {
                    Some(known) => *known,
                    None => {
                        let new = self.push(plan.in_order(&order), Some(id));
                        of_order.insert(order, new);
                        new
                    }
                };
            }
            self.slots[id.index()] = Some(slots);
        }
        self.ids.insert(plan, id);
        id
    }

    /// A plan, or if it has weights, the plan of a slot whose first mirror is the heaviest.
    pub(super) fn heaviest(&self, plan: PlanId) -> PlanId {
        let Some(slots) = &self.slots[plan.index()] else { return plan };
        let first = |slot: &PlanId| self.list[slot.index()].preferred.first();
        let slots_of = |mirror: &MirrorId| slots.iter().filter(|slot| first(slot) == Some(mirror)).count();
        let places = self.list[plan.index()].preferred.iter().enumerate();
        let heaviest = places.max_by_key(|(at, mirror)| (slots_of(mirror), std::cmp::Reverse(*at)));
        let slot = slots.iter().find(|slot| first(slot) == heaviest.map(|(_, mirror)| mirror));
        slot.copied().unwrap_or(plan)
    }

    fn push(&mut self, plan: Plan, head: Option<PlanId>) -> PlanId {
        let id = PlanId::from_index(self.list.len());
        self.list.push(plan);
        self.heads.push(head.unwrap_or(id));
        self.slots.push(None);
        id
    }
}
