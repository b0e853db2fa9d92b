//! The reason for the length of a scope, and the shares of the plans in a subnet that covers several.
//!
//! **Invariants**: a stretch has two neighbours, and one of them limits the scope: the one that shares more leading bits
//! with the client's address. Both cannot share equally many.
//! **Not here**: words (`cli`), the scope itself ([`crate::steer::table`]).

use std::net::IpAddr;

use super::ground::{Ground, Judged};
use crate::base::client::{Location, ScopeRule};
use crate::base::ids::{HorizonId, PlanId};
use crate::base::prefix::{Bits, Family, Prefix};
use crate::base::special;
use crate::base::words::words;
use crate::networks::FoundEntry;
use crate::snapshot::Snapshot;
use crate::steer::{Decision, Horizon, Won};

/// The reason for a scope.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum ScopeReason {
    /// The horizon has one plan for all clients: 0.
    Unanimous,
    /// The client was located by its resolver's address, not by a subnet: 0, or the reserved block's length.
    NotBySubnet(Judged),
    /// The next address on this side has another decision, so the scope must exclude it.
    Neighbour {
        /// The neighbour.
        neighbour: Neighbour,
        /// The number of bits before an embedded IPv4 address. The scope includes these bits.
        offset: u8,
    },
    /// More clients have the same decision, but the plan spreads them by weight: each block of this length has a slot.
    Spread {
        /// The least scope of a plan with weights.
        least: u8,
        /// The number of bits before an embedded IPv4 address. The scope includes these bits.
        offset: u8,
    },
    /// All of the client's family has one decision, but the other family has a different one for some clients.
    WholeFamily {
        /// The number of bits before an embedded IPv4 address.
        offset: u8,
    },
}

/// The address next to the client's stretch that limits its scope.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Neighbour {
    /// The side on which it is.
    pub(crate) side: Side,
    /// Its address nearest to the client.
    pub(crate) address: IpAddr,
    /// The number of leading bits in common with the client's address; the scope is one more.
    pub(crate) common: u8,
    /// The reserved or embedding block at the border, whose addresses are located by another address; `None` if there is
    /// none.
    pub(crate) apart: Option<Prefix>,
    /// Its plan in the table.
    pub(crate) plan: PlanId,
    /// The rule that wins for it, or the default.
    pub(crate) won: Won,
    /// Each source's entry for it.
    pub(crate) entries: Vec<Option<FoundEntry>>,
}

words! {
    /// A side of the client's stretch.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) enum Side {
        /// Lower addresses.
        Below = "below",
        /// Higher addresses.
        Above = "above",
    }
}

/// The client's slot in a plan with weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SlotReason {
    /// The block that was hashed: that of the scope, or the one that the resolver's address would have.
    pub(crate) block: Prefix,
    /// The slot of that block.
    pub(crate) slot: usize,
}

/// One plan's share of a subnet that covers several plans.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct PlanShare {
    /// The plan.
    pub(crate) plan: PlanId,
    /// The share of the subnet, 0 to 1.
    pub(crate) part: f64,
    /// Its lowest address in the subnet.
    pub(crate) first: IpAddr,
    /// The rule that wins at that address, or the default.
    pub(crate) won: Won,
}

/// Returns the reason for a location's scope.
pub(super) fn scope_reason(
    snapshot: &Snapshot,
    horizon: HorizonId,
    ground: &Ground,
    decision: &Decision,
    judged: Judged,
) -> ScopeReason {
    let location = &decision.location;
    if ground.unanimous {
        return ScopeReason::Unanimous;
    }
    let ScopeRule::Exact { offset } = location.scope else { return ScopeReason::NotBySubnet(judged) };
    let policy = &snapshot.horizons()[horizon.index()];
    let least = policy.least_scope(policy.head(decision.plan), Family::of(location.address));
    if decision.scope.0 == least + offset && ground.scope_block(location, 0).prefix_len() < least {
        return ScopeReason::Spread { least, offset };
    }
    let stretch = ground.stretch_at(location);
    let below = stretch.below.map(|address| (common_bits(address, location.address), Side::Below, address));
    let above = stretch.above.map(|address| (common_bits(address, location.address), Side::Above, address));
    let nearest = below.into_iter().chain(above).max_by_key(|(common, ..)| *common);
    let Some((common, side, address)) = nearest else { return ScopeReason::WholeFamily { offset } };
    let entries = snapshot.provenance().networks.entries_at(address);
    let won = winner(snapshot, horizon, &entries);
    let plan = match address {
        IpAddr::V4(v4) => snapshot.horizons()[horizon.index()].v4().plan_at(v4.to_bits()),
        IpAddr::V6(v6) => snapshot.horizons()[horizon.index()].v6().plan_at(v6.to_bits()),
    };
    let apart = block_apart(policy, address).or_else(|| block_apart(policy, location.address));
    ScopeReason::Neighbour { neighbour: Neighbour { side, address, common, apart, plan, won, entries }, offset }
}

/// Returns each plan's share of a location's subnet, the greatest first.
pub(super) fn shares(snapshot: &Snapshot, horizon: HorizonId, ground: &Ground, location: &Location) -> Vec<PlanShare> {
    let parts = ground.parts_of(location);
    let whole: f64 = parts.iter().map(|part| part.addresses as f64).sum();
    let mut shares: Vec<PlanShare> = parts
        .iter()
        .map(|part| PlanShare {
            plan: part.plan,
            part: part.addresses as f64 / whole,
            first: part.first,
            won: winner_at(snapshot, horizon, part.first),
        })
        .collect();
    shares.sort_by(|a, b| b.part.total_cmp(&a.part).then(a.first.cmp(&b.first)));
    shares
}

/// The rule that decides about the clients at an address, or the default.
pub(crate) fn winner_at(snapshot: &Snapshot, horizon: HorizonId, address: IpAddr) -> Won {
    winner(snapshot, horizon, &snapshot.provenance().networks.entries_at(address))
}

/// The rule that wins for an address with these entries, or the default.
pub(super) fn winner(snapshot: &Snapshot, horizon: HorizonId, entries: &[Option<FoundEntry>]) -> Won {
    let labels: Vec<_> = entries.iter().map(|entry| entry.map(|entry| entry.labels)).collect();
    snapshot.horizons()[horizon.index()].winner(&snapshot.provenance().networks.facts(&labels))
}

fn common_bits(a: IpAddr, b: IpAddr) -> u8 {
    match (a, b) {
        (IpAddr::V4(a), IpAddr::V4(b)) => a.to_bits().common_prefix_len(b.to_bits()),
        (IpAddr::V6(a), IpAddr::V6(b)) => a.to_bits().common_prefix_len(b.to_bits()),
        _ => 0,
    }
}

/// The reserved block without location, or the embedding block, that holds an address.
fn block_apart(horizon: &Horizon, address: IpAddr) -> Option<Prefix> {
    if let Some(len) = horizon.private().unlocated_len(address, Family::of(address).width()) {
        return Some(Prefix::holding(address, len));
    }
    let IpAddr::V6(v6) = address else { return None };
    special::embedding_v6().find(|block| block.contains(v6.to_bits())).map(Prefix::V6)
}
