//! The ground that answers are held against: a horizon's ranges, looked at without the engine's own lookup.
//!
//! A horizon comes in; out go, for an address, the stretch around it in which every client is decided alike, and for a
//! subnet the plans that share it.
//!
//! **Invariants**: a stretch is as long as can be: it ends where the plan changes or where clients are judged by
//! another address (reserved blocks, embedded IPv4), and nowhere else.
//! **Not here**: asking ([`super::ask`]), comparing ([`super::sweep()`]).

use std::net::IpAddr;

use crate::base::client::{Client, Location, ScopePrefixLen, ScopeRule, Vantage};
use crate::base::ids::PlanId;
use crate::base::prefix::{Bits, Block, Prefix};
use crate::base::special;
use crate::steer::Horizon;
use crate::steer::lines::Packed;
use crate::steer::table::{RangeTable, TableRange};

/// By which address a client was judged, and why by that one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judged {
    /// By the subnet that the query carried.
    BySubnet,
    /// By the resolver's address: the query carried no subnet, or none that is listened to.
    NoSubnet,
    /// By the resolver's address: the subnet has SOURCE 0, which asks for that (RFC 7871 §7.1.2).
    SourceZero,
    /// By the resolver's address: the subnet lies in this reserved block, which says nothing of a place
    /// (RFC 7871 §10).
    Reserved(Prefix),
}

impl Judged {
    /// Tells why a client's location is the one it is.
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

/// The block of IPv6 that carries an IPv4 address which was looked at instead.
pub(super) fn embedding_block(client: &Client, location: &Location) -> Option<Prefix> {
    let asked = match (location.vantage, client.subnet) {
        (Vantage::Subnet, Some(subnet)) => subnet.address,
        _ => client.resolver,
    };
    let IpAddr::V6(v6) = asked else { return None };
    let embeds = |block: &Block<u128>| location.address.is_ipv4() && block.contains(v6.to_bits());
    special::embedding_v6().find(embeds).map(Prefix::V6)
}

/// What a horizon says of both families.
pub(super) struct Ground {
    pub(super) v4: Face<u32>,
    pub(super) v6: Face<u128>,
    /// Whether every client there can be has the same plan.
    pub(super) unanimous: bool,
}

impl Ground {
    pub(super) fn of(horizon: &Horizon) -> Self {
        let special_v6: Vec<_> = special::reserved_v6().chain(special::embedding_v6()).collect();
        let v4 = Face::of(horizon.v4(), &special::reserved_v4().collect::<Vec<_>>());
        let v6 = Face::of(horizon.v6(), &special_v6);
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

    /// The block around a location for which its answer holds, where that is `least` long at least: what slots are hashed by.
    pub(super) fn scope_block(&self, location: &Location, least: u8) -> Prefix {
        match location.address {
            IpAddr::V4(v4) => Prefix::V4(scope_block(&self.v4, v4.to_bits(), least)),
            IpAddr::V6(v6) => Prefix::V6(scope_block(&self.v6, v6.to_bits(), least)),
        }
    }

    /// How a scope relates to the truth for a location; of a plan with weights it is `least` long at least.
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

/// Whether a scope is true.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ScopeVerdict {
    /// All of it is decided alike, and one bit shorter would not be.
    Exact,
    /// It covers clients that are decided otherwise.
    TooWide,
    /// One bit shorter would have been true as well.
    TooNarrow,
}

/// One family's ranges.
pub(super) struct Face<A: Bits> {
    pub(super) ranges: Vec<TableRange<A>>,
    /// For each range, the ends of the stretch it is part of.
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
                Some(part) => part.addresses = part.addresses.saturating_add(addresses),
                None => parts.push(SubnetPart { plan: range.plan, addresses, first: first.to_ip() }),
            }
        }
        parts
    }

    /// Whether all of a block is in one stretch.
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

/// The scope block of a location, by trying every length.
fn scope_block<A: Bits>(face: &Face<A>, address: A, least: u8) -> Block<A> {
    let mut blocks = (least..A::WIDTH).map(|len| Block::holding(address, len));
    blocks.find(|block| face.is_alike(*block)).unwrap_or(Block::holding(address, A::WIDTH))
}

/// The number of addresses from one to another; all of IPv6 is one less than there are.
pub(super) fn count<A: Bits>(first: A, last: A) -> u128 {
    (last.to_u128() - first.to_u128()).saturating_add(1)
}

/// What one plan has of a subnet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SubnetPart {
    pub(super) plan: PlanId,
    pub(super) addresses: u128,
    /// Its lowest address in the subnet.
    pub(super) first: IpAddr,
}

/// A stretch of either family, with the addresses next to it.
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
