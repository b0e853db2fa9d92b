//! The first mirrors of a plan, with every mirror up.
//!
//! **Invariants**: the slots of a plan add up to [`SLOTS`].
//! **Not here**: health ([`crate::steer`]).

use std::collections::BTreeMap;

use crate::base::ids::{MirrorId, PlanId};
use crate::steer::Horizon;
use crate::steer::spread::SLOTS;

/// The first mirrors of a plan, each with the number of slots in which it is first. `None` if the plan has no mirror.
pub(super) fn firsts(horizon: &Horizon, plan: PlanId) -> BTreeMap<Option<MirrorId>, usize> {
    let first = |plan: PlanId| horizon.plan(plan).mirrors().next();
    let mut firsts = BTreeMap::new();
    match horizon.slots(plan) {
        Some(slots) => slots.iter().for_each(|slot| *firsts.entry(first(*slot)).or_default() += 1),
        None => drop(firsts.insert(first(plan), SLOTS)),
    }
    firsts
}
