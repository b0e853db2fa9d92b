//! The check of one steered owner: its replies for every range, compared with the ranges.
//!
//! **Invariants**: expected values come from the list of ranges and from the mirrors, never from the engine's lookup.
//! **Not here**: the owners, the rules and the report ([`super`]).

use std::net::{IpAddr, Ipv4Addr};

use super::Pace;
use crate::base::client::{Client, Location, ScopeRule, SourcePrefixLen, Subnet, Vantage};
use crate::base::ids::PlanId;
use crate::base::name::NameBuf;
use crate::base::prefix::{Bits, Block, Family};
use crate::base::rr::{Rcode, Rtype};
use crate::base::time::Ttl;
use crate::inspect::ask::{Asker, Seen};
use crate::inspect::ground::{Face, Ground, ScopeVerdict, SubnetPart, count};
use crate::inspect::violation::{Findings, SweepQuestion, Violation, Wrong};
use crate::snapshot::{Hints, Snapshot};
use crate::steer::Horizon;
use crate::steer::table::TableRange;
use crate::zone::Steered;

/// The number of blocks of a range with weights that are queried besides its ends.
pub(super) const SAMPLES: u32 = 16;

/// The resolver's address: a documentation address (RFC 5737). Only replies for reserved subnets depend on it.
const RESOLVER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 53));

/// The check of one owner.
pub(super) struct OwnerCheck<'c> {
    asker: Asker<'c>,
    owner: &'c NameBuf,
    steered: Steered,
    horizon: &'c Horizon,
    ground: &'c Ground,
    /// For each plan, the rdata of its mirrors' A and AAAA records, concatenated.
    rdata: Vec<[Vec<u8>; 2]>,
    /// For each plan, the TTLs of the A and AAAA records.
    ttls: Vec<[Ttl; 2]>,
    /// The types that the horizon has for some client. Every client must get these types.
    served: Vec<Rtype>,
    findings: &'c mut Findings,
    seen: Seen,
    /// A cache: the last subnet, and the plans that cover most of it. Neighbouring ranges often share a subnet.
    last: Option<(IpAddr, SourcePrefixLen, Vec<PlanId>)>,
}

impl<'c> OwnerCheck<'c> {
    pub(super) fn new(
        snapshot: &'c Snapshot,
        owner: &'c NameBuf,
        steered: Steered,
        horizon: &'c Horizon,
        ground: &'c Ground,
        findings: &'c mut Findings,
    ) -> Self {
        let plans = (0..horizon.plans().len()).map(PlanId::from_index);
        let rdata: Vec<[Vec<u8>; 2]> = plans
            .clone()
            .map(|plan| Family::ALL.map(|family| mirror_addresses(snapshot, steered, plan, family)))
            .collect();
        let ttls = plans.map(|plan| Family::ALL.map(|family| ttl(snapshot, steered, plan, family))).collect();
        let is_served = |family: &Family| rdata.iter().any(|plan| !plan[*family as usize].is_empty());
        let mut served: Vec<Rtype> = Family::ALL.into_iter().filter(is_served).map(Rtype::of_addresses).collect();
        if served.is_empty() {
            served = Family::ALL.map(Rtype::of_addresses).to_vec();
        }
        let is_tailored = |id| snapshot.service(id).hints == Hints::Tailored;
        served.extend(steered.service.filter(|id| is_tailored(*id)).map(|_| Rtype::HTTPS));
        let (asker, seen) = (Asker::new(snapshot), Seen::default());
        OwnerCheck { asker, owner, steered, horizon, ground, rdata, ttls, served, findings, seen, last: None }
    }

    /// Asks from both ends of every range of a family.
    pub(super) fn face<A: Bits>(&mut self, face: &Face<A>, pace: &mut Pace<'_>) {
        let usual = match A::FAMILY {
            Family::V4 => 24,
            Family::V6 => 56,
        };
        for range in &face.ranges {
            let ends = (range.first.to_ip(), range.last.to_ip());
            let once = range.first == range.last;
            for end in [Some(range.first), (!once).then_some(range.last)].into_iter().flatten() {
                for source in [A::WIDTH, usual] {
                    let subnet = Subnet { address: end.truncate(source).to_ip(), source: SourcePrefixLen(source) };
                    self.subnet(subnet, ends);
                }
            }
            if self.horizon.slots(range.plan).is_some() {
                let least = self.horizon.least_scope(range.plan, A::FAMILY);
                let wanted = self.blocks_of(range, least);
                for address in wanted.into_iter().flat_map(|block| [block.first(), block.last()]) {
                    let subnet = Subnet { address: address.to_ip(), source: SourcePrefixLen(A::WIDTH) };
                    self.subnet(subnet, ends);
                }
            }
            pace.step();
        }
    }

    /// Up to [`SAMPLES`] scope blocks of a range, spread evenly from its lowest address to its highest.
    fn blocks_of<A: Bits>(&self, range: &TableRange<A>, least: u8) -> Vec<Block<A>> {
        let all = count(range.first, range.last);
        let inside =
            (0..SAMPLES).map(|at| A::from_u128(range.first.to_u128() + all / u128::from(SAMPLES) * u128::from(at)));
        let location = |address: A| Location {
            address: address.to_ip(),
            source: SourcePrefixLen(A::WIDTH),
            vantage: Vantage::Subnet,
            scope: ScopeRule::Exact { offset: 0 },
        };
        let mut blocks: Vec<Block<A>> = inside
            .map(|address| Block::holding(address, self.ground.scope_block(&location(address), least).prefix_len()))
            .collect();
        blocks.dedup();
        blocks
    }

    /// Sends a query for each served type with this subnet.
    fn subnet(&mut self, subnet: Subnet, range: (IpAddr, IpAddr)) {
        let client = Client { resolver: RESOLVER, subnet: Some(subnet) };
        let location = client.locate(self.horizon.private());
        for index in 0..self.served.len() {
            let rtype = self.served[index];
            self.findings.replies += 1;
            if let Err(wrong) = self.reply(&client, &location, rtype) {
                let asked = Some(SweepQuestion { rtype, subnet });
                let (owner, horizon) = (Some(self.owner.clone()), self.steered.horizon);
                self.findings.add(|| Violation { owner, horizon, range, asked, wrong });
            }
        }
    }

    /// Sends one query and checks the reply.
    fn reply(&mut self, client: &Client, location: &Location, rtype: Rtype) -> Result<(), Wrong> {
        let (summary, octets) = self.asker.ask(self.owner.as_name(), rtype, client).ok_or(Wrong::Unreadable)?;
        self.seen.read(octets, rtype).ok_or(Wrong::Unreadable)?;
        if summary.rcode != Rcode::NOERROR {
            return Err(Wrong::Rcode(summary.rcode));
        }
        if self.seen.rdata.is_empty() {
            return Err(Wrong::Empty);
        }
        let Some(steering) = summary.basis.steering else { return Err(Wrong::NotSteered(summary.basis.outcome)) };
        let found = steering.decision.plan;
        let head = self.horizon.head(found);
        let expected = self.expected(location);
        if !expected.contains(&head) {
            return Err(Wrong::OtherPlan { expected: expected[0], found });
        }
        let least = self.horizon.least_scope(head, Family::of(location.address));
        if let Some(slots) = self.horizon.slots(head) {
            let expected = slots[self.horizon.slot_of(self.ground.scope_block(location, least))];
            if expected != found {
                return Err(Wrong::OtherSlot { expected, found });
            }
        }
        let [v4, v6] = &self.rdata[found.index()];
        let has_them = match rtype {
            Rtype::A => self.seen.rdata == *v4,
            Rtype::AAAA => self.seen.rdata == *v6,
            _ => [(IPV4_HINT, v4), (IPV6_HINT, v6)]
                .into_iter()
                .all(|(key, addresses)| hint(&self.seen.rdata, key) == Some(&addresses[..])),
        };
        if !has_them {
            return Err(Wrong::OtherAddresses);
        }
        let [of_v4, of_v6] = self.ttls[found.index()];
        let ttl = match rtype {
            Rtype::A => of_v4,
            Rtype::AAAA => of_v6,
            // An HTTPS record has hints of both families.
            _ => of_v4.min(of_v6),
        };
        if self.seen.ttl != Some(ttl) {
            return Err(Wrong::OtherTtl(self.seen.ttl));
        }
        let scope = self.seen.scope.ok_or(Wrong::NoScope)?;
        match self.ground.judge_scope(location, scope, least) {
            ScopeVerdict::Exact => Ok(()),
            ScopeVerdict::TooWide => Err(Wrong::ScopeTooWide(scope)),
            ScopeVerdict::TooNarrow => Err(Wrong::ScopeTooNarrow(scope)),
        }
    }

    /// The plan that covers most of the subnet; several plans if their shares are equal.
    fn expected(&mut self, location: &Location) -> &[PlanId] {
        let known = |(address, source, _): &(IpAddr, SourcePrefixLen, _)| {
            (*address, *source) == (location.address, location.source)
        };
        let last = self.last.take().filter(known);
        let ground = self.ground;
        let (.., plans) = self.last.insert(last.unwrap_or_else(|| {
            let parts = ground.parts_of(location);
            let most = parts.iter().map(|part| part.addresses).max().unwrap_or(0);
            let with_most = |part: &&SubnetPart| part.addresses == most;
            let plans = parts.iter().filter(with_most).map(|part| part.plan).collect();
            (location.address, location.source, plans)
        }));
        plans
    }
}

/// The keys of address hints (RFC 9460 §14.3.2).
const IPV4_HINT: u16 = 4;
const IPV6_HINT: u16 = 6;

/// The value of a parameter of an HTTPS record with priority 1 and target `.`; empty if the record has no such parameter.
/// `None` if the record cannot be parsed.
fn hint(rdata: &[u8], wanted: u16) -> Option<&[u8]> {
    let mut rest = rdata.strip_prefix(&[0, 1, 0])?;
    while let Some((&[key_high, key_low, len_high, len_low], after)) = rest.split_first_chunk() {
        let (value, after) = after.split_at_checked(usize::from(u16::from_be_bytes([len_high, len_low])))?;
        if u16::from_be_bytes([key_high, key_low]) == wanted {
            return Some(value);
        }
        rest = after;
    }
    Some(&[])
}

/// The expected TTL of a plan's answer if every mirror is up: the owner's TTL, or the least TTL of its mirrors' hosts if
/// that is less.
fn ttl(snapshot: &Snapshot, steered: Steered, plan: PlanId, family: Family) -> Ttl {
    let mirrors = &snapshot.addresses(steered.horizon, plan, family).choice.mirrors;
    let of_hosts = mirrors.iter().filter_map(|id| snapshot.mirrors()[id.index()].max_ttl());
    of_hosts.min().map_or(steered.ttl, |ttl| ttl.min(steered.ttl))
}

/// The expected rdata of a plan's answer section: the addresses of each mirror, without duplicates.
fn mirror_addresses(snapshot: &Snapshot, steered: Steered, plan: PlanId, family: Family) -> Vec<u8> {
    let mut all: Vec<Vec<u8>> = Vec::new();
    let choice = &snapshot.addresses(steered.horizon, plan, family).choice;
    let addresses = choice.mirrors.iter().flat_map(|id| snapshot.mirrors()[id.index()].addresses());
    for address in addresses.filter(|address| Family::of(*address) == family) {
        let octets = match address {
            IpAddr::V4(v4) => v4.octets().to_vec(),
            IpAddr::V6(v6) => v6.octets().to_vec(),
        };
        if !all.contains(&octets) {
            all.push(octets);
        }
    }
    all.concat()
}
