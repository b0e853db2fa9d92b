//! The reference that answers are compared with: a list of a horizon's ranges, independent of the engine's lookup.
//!
//! For an address it gives the stretch of addresses around it with the same decision. For a subnet it gives each plan's
//! part.
//!
//! **Invariants**: a stretch is maximal: it ends only where the plan changes, or at the border of a block whose clients
//! are located by another address (reserved blocks, embedded IPv4).
//! **Not here**: asking ([`super::ask`]), comparing ([`super::sweep()`]).

use std::net::IpAddr;

use crate::base::client::{Client, Location, ScopePrefixLen, ScopeRule, Vantage};
use crate::base::ids::PlanId;
use crate::base::prefix::{Bits, Block, Prefix};
use crate::base::special;
use crate::steer::Horizon;
use crate::steer::lines::Packed;
use crate::steer::table::{RangeTable, TableRange};

/// The address that located a client (its subnet's or its resolver's), and the reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Judged {
    /// The subnet in the query.
    BySubnet,
    /// The resolver's address, because the query has no subnet or its subnet is ignored.
    NoSubnet,
    /// The resolver's address, because the subnet has SOURCE PREFIX-LENGTH 0 (RFC 7871 §7.1.2).
    SourceZero,
    /// The resolver's address, because the subnet lies in this reserved block, or part of one, which has no location (RFC 7871 §10).
    Reserved(Prefix),
}

impl Judged {
    /// Returns the reason for a client's location.
    pub(super) fn of(client: &Client, location: &Location) -> Self {
        let Some(subnet) = client.subnet else { return Judged::NoSubnet };
        match (location.vantage, location.scope) {
            (Vantage::Subnet, _) => Judged::BySubnet,
            (Vantage::Resolver, ScopeRule::Fixed(len)) if len != ScopePrefixLen(0) => {
                Judged::Reserved(Prefix::holding(subnet.address, len.0))
            }
            (Vantage::Resolver, _) => Judged::SourceZero,
        }
    }
}

/// The IPv6 block that embeds the location's IPv4 address; `None` if that address was not embedded.
pub(super) fn embedding_block(client: &Client, location: &Location) -> Option<Prefix> {
    let asked = match (location.vantage, client.subnet) {
        (Vantage::Subnet, Some(subnet)) => subnet.address,
        _ => client.resolver,
    };
    let IpAddr::V6(v6) = asked else { return None };
    let embeds = |block: &Block<u128>| location.address.is_ipv4() && block.contains(v6.to_bits());
    special::embedding_v6().find(embeds).map(Prefix::V6)
}

/// A horizon's ranges of both families.
pub(super) struct Ground {
    pub(super) v4: Face<u32>,
    pub(super) v6: Face<u128>,
    /// True if every address of both families has the same plan, without weights.
    pub(super) unanimous: bool,
}

impl Ground {
    pub(super) fn of(horizon: &Horizon) -> Self {
        let v4 = Face::of(horizon.v4(), &horizon.private().boundaries_v4());
        let v6 = Face::of(horizon.v6(), &horizon.private().boundaries_v6());
        let plan = v4.ranges[0].plan;
        let alike = horizon.slots(plan).is_none()
            && v4.ranges.iter().all(|range| range.plan == plan)
            && v6.ranges.iter().all(|range| range.plan == plan);
        Ground { v4, v6, unanimous: alike }
    }

    /// The stretch around a location.
    pub(super) fn stretch_at(&self, location: &Location) -> Stretch {
        match location.address {
            IpAddr::V4(v4) => stretch(self.v4.stretch_at(v4.to_bits())),
            IpAddr::V6(v6) => stretch(self.v6.stretch_at(v6.to_bits())),
        }
    }

    /// The plans that share a location's subnet.
    pub(super) fn parts_of(&self, location: &Location) -> Vec<SubnetPart> {
        match location.address {
            IpAddr::V4(v4) => self.v4.parts_of(Block::holding(v4.to_bits(), location.source.0)),
            IpAddr::V6(v6) => self.v6.parts_of(Block::holding(v6.to_bits(), location.source.0)),
        }
    }

    /// The scope block of a location, at least `least` bits long. Its hash selects the slot.
    pub(super) fn scope_block(&self, location: &Location, least: u8) -> Prefix {
        match location.address {
            IpAddr::V4(v4) => Prefix::V4(scope_block(&self.v4, v4.to_bits(), least)),
            IpAddr::V6(v6) => Prefix::V6(scope_block(&self.v6, v6.to_bits(), least)),
        }
    }

    /// Compares a scope with the exact one of a location. `least` is the least scope of a plan with weights.
    pub(super) fn judge_scope(&self, location: &Location, scope: ScopePrefixLen, least: u8) -> ScopeVerdict {
        let exactly = |right: ScopePrefixLen| match scope.cmp(&right) {
            std::cmp::Ordering::Less => ScopeVerdict::TooWide,
            std::cmp::Ordering::Equal => ScopeVerdict::Exact,
            std::cmp::Ordering::Greater => ScopeVerdict::TooNarrow,
        };
        let offset = match location.scope {
            _ if self.unanimous => return exactly(ScopePrefixLen(0)),
            ScopeRule::Fixed(right) => return exactly(right),
            ScopeRule::Exact { offset } => offset,
        };
        let Some(len) = scope.0.checked_sub(offset) else { return ScopeVerdict::TooWide };
        match location.address {
            IpAddr::V4(v4) => self.v4.judge_scope(v4.to_bits(), len, least),
            IpAddr::V6(v6) => self.v6.judge_scope(v6.to_bits(), len, least),
        }
    }
}

/// A scope compared with the exact one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ScopeVerdict {
    /// The decision is the same for all of it, and would not be if the scope were one bit shorter.
    Exact,
    /// It covers clients with another decision.
    TooWide,
    /// The decision would be the same if the scope were one bit shorter.
    TooNarrow,
}

/// One family's ranges.
pub(super) struct Face<A: Bits> {
    pub(super) ranges: Vec<TableRange<A>>,
    /// For each range, the first and the last address of its stretch.
    ends: Vec<(A, A)>,
}

impl<A: Bits> Face<A> {
    fn of(table: &RangeTable<A>, boundaries: &[Block<A>]) -> Self
    where
        A: Packed,
    {
        let ranges: Vec<TableRange<A>> = table.ranges().collect();
        let apart =
            |first: A| boundaries.iter().any(|block| block.first() == first || block.last().next() == Some(first));
        let mut ends: Vec<(A, A)> = Vec::with_capacity(ranges.len());
        let mut begins = 0;
        for at in 0..ranges.len() {
            let closes = match ranges.get(at + 1) {
                Some(next) => next.plan != ranges[at].plan || apart(next.first),
                None => true,
            };
            if closes {
                ends.resize(at + 1, (ranges[begins].first, ranges[at].last));
                begins = at + 1;
            }
        }
        Face { ranges, ends }
    }

    fn position(&self, address: A) -> usize {
        self.ranges.partition_point(|range| range.first <= address).saturating_sub(1)
    }

    fn stretch_at(&self, address: A) -> TableRange<A> {
        let at = self.position(address);
        let (first, last) = self.ends[at];
        TableRange { first, last, plan: self.ranges[at].plan }
    }

    fn parts_of(&self, block: Block<A>) -> Vec<SubnetPart> {
        let mut parts: Vec<SubnetPart> = Vec::new();
        for range in &self.ranges[self.position(block.first())..] {
            if range.first > block.last() {
                break;
            }
            let (first, last) = (range.first.max(block.first()), range.last.min(block.last()));
            let addresses = count(first, last);
            match parts.iter_mut().find(|part| part.plan == range.plan) {
                Some(part) => add(&mut part.addresses, addresses),
                None => parts.push(SubnetPart { plan: range.plan, addresses, first: first.to_ip() }),
            }
        }
        parts
    }

    /// Returns whether a block lies in one stretch.
    fn is_alike(&self, block: Block<A>) -> bool {
        let stretch = self.stretch_at(block.first());
        block.last() <= stretch.last
    }

    fn judge_scope(&self, address: A, len: u8, least: u8) -> ScopeVerdict {
        let alike = |len: u8| len >= least && self.is_alike(Block::holding(address, len));
        match len {
            _ if len > A::WIDTH => ScopeVerdict::TooNarrow,
            _ if !alike(len) => ScopeVerdict::TooWide,
            1.. if alike(len - 1) => ScopeVerdict::TooNarrow,
            _ => ScopeVerdict::Exact,
        }
    }
}

/// The scope block of an address, found by trying every length from `least` on.
fn scope_block<A: Bits>(face: &Face<A>, address: A, least: u8) -> Block<A> {
    let mut blocks = (least..A::WIDTH).map(|len| Block::holding(address, len));
    blocks.find(|block| face.is_alike(*block)).unwrap_or(Block::holding(address, A::WIDTH))
}

/// The number of addresses from `first` to `last`. For all of IPv6 it saturates at 2^128 − 1.
pub(super) fn count<A: Bits>(first: A, last: A) -> u128 {
    (last.to_u128() - first.to_u128()).saturating_add(1)
}

/// Adds to a number of addresses. For all of IPv6 it saturates at 2^128 − 1.
pub(super) fn add(sum: &mut u128, more: u128) {
    *sum = sum.saturating_add(more);
}

/// One plan's part of a subnet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SubnetPart {
    pub(super) plan: PlanId,
    pub(super) addresses: u128,
    /// Its lowest address in the subnet.
    pub(super) first: IpAddr,
}

/// A stretch of either family, and the addresses next to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stretch {
    pub(super) first: IpAddr,
    pub(super) last: IpAddr,
    pub(super) below: Option<IpAddr>,
    pub(super) above: Option<IpAddr>,
}

fn stretch<A: Bits>(range: TableRange<A>) -> Stretch {
    Stretch {
        first: range.first.to_ip(),
        last: range.last.to_ip(),
        below: range.first.previous().map(A::to_ip),
        above: range.last.next().map(A::to_ip),
    }
}
