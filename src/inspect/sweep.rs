//! A check of all steered answers: a query from both ends of every range of every table, compared with the ranges and rules.
//!
//! The [`Report`] lists the violations, and how the address space is spread over the mirrors. For each steered owner, the
//! sweep asks from the lowest and the highest address of each range of each family. It asks once with a subnet of full
//! length and once with the length that resolvers send (RFC 7871 §11.1: /24 and /56). The types are A and AAAA, and HTTPS
//! if its hints are tailored.
//!
//! Each reply must have:
//! - the addresses of the mirrors of the range's plan, or of the plan that covers most of the subnet;
//! - the owner's TTL, or the TTL of a mirror's host if that is shorter;
//! - an exact scope: the decision is the same for all of it, and would not be if the scope were one bit shorter.
//!
//! A range whose clients are spread by weight has many scopes. The sweep also asks from both ends of [`SAMPLES`] of them,
//! and each reply must be for the slot of its scope's block.
//!
//! **Invariants**: expected values come from the list of ranges and from the rules, never from the engine's lookup; the
//! report of a snapshot is deterministic.
//! **Not here**: text, exit codes (`cli`).

use std::net::{IpAddr, Ipv4Addr};

use super::ask::{Asker, ResolverQuery, Seen};
use super::ground::{Face, Ground, ScopeVerdict, SubnetPart, count};
use super::tally::{Rules, Tally};
use crate::answer::Outcome;
use crate::base::client::{Client, Location, ScopePrefixLen, ScopeRule, SourcePrefixLen, Subnet, Vantage};
use crate::base::ids::{HorizonId, PlanId};
use crate::base::name::NameBuf;
use crate::base::prefix::{Bits, Block, FAMILIES, Family};
use crate::base::rr::{Rcode, Rtype};
use crate::base::time::Ttl;
use crate::snapshot::{Hints, Settings, Snapshot};
use crate::steer::table::TableRange;
use crate::steer::{Horizon, Won};
use crate::zone::Steered;

pub use super::tally::{MirrorTotal, ProviderTotal, RecordTypes, RuleTotal};

/// The most violations that a report describes; all are counted.
pub const MAX_VIOLATIONS: usize = 100;

/// The number of ranges between two reports of progress.
const PROGRESS_EVERY: u64 = 4096;

/// The number of blocks of a range with weights that are queried besides its ends.
const SAMPLES: u32 = 16;

/// The resolver's address: a documentation address (RFC 5737). Only replies for reserved subnets depend on it.
const RESOLVER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 53));

/// The result of a sweep.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// The steered owners, by horizon and then in the order of their zones.
    pub owners: Vec<OwnerReport>,
    /// The horizons of these owners, by id.
    pub horizons: Vec<HorizonReport>,
    /// The number of replies that were checked.
    pub replies: u64,
    /// The first violations, [`MAX_VIOLATIONS`] at most.
    pub violations: Vec<Violation>,
    /// The number of all violations.
    pub violation_count: u64,
}

/// One steered owner.
#[derive(Clone, Debug, PartialEq)]
pub struct OwnerReport {
    /// The owner.
    pub owner: NameBuf,
    /// Its horizon.
    pub horizon: HorizonId,
    /// The number of replies that were checked.
    pub replies: u64,
    /// The number of violations.
    pub violation_count: u64,
}

/// One horizon.
#[derive(Clone, Debug, PartialEq)]
pub struct HorizonReport {
    /// The horizon.
    pub horizon: HorizonId,
    /// The number of ranges, IPv4 and IPv6.
    pub ranges: [usize; 2],
    /// Each mirror's share of each family's addresses: IPv4 first, then the greatest share first.
    pub totals: Vec<MirrorTotal>,
    /// The number of addresses that each rule decides for: IPv4 first, then in the order of the rules.
    pub rules: Vec<RuleTotal>,
}

/// A reply, or a range, that breaks a rule.
#[derive(Clone, Debug, PartialEq)]
pub struct Violation {
    /// The owner asked for; `None` if the table itself is at fault.
    pub owner: Option<NameBuf>,
    /// The horizon.
    pub horizon: HorizonId,
    /// The range: its lowest and highest address.
    pub range: (IpAddr, IpAddr),
    /// The question; `None` if the table itself is at fault.
    pub asked: Option<SweepQuestion>,
    /// The kind of the violation.
    pub wrong: Wrong,
}

/// One question of a sweep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SweepQuestion {
    /// A, AAAA or HTTPS.
    pub rtype: Rtype,
    /// The client subnet in the query.
    pub subnet: Subnet,
}

/// The kind of a violation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// The engine sent no reply, or the reply cannot be parsed.
    Unreadable,
    /// The reply's RCODE is not NOERROR.
    Rcode(Rcode),
    /// The reply has no record of the queried type.
    Empty,
    /// The reply did not come from the horizon.
    NotSteered(Outcome),
    /// The reply was made for another plan than that of the range or of most of the subnet.
    OtherPlan {
        /// The plan of the range or of most of the subnet.
        expected: PlanId,
        /// The plan of the reply.
        found: PlanId,
    },
    /// The reply was made for another slot than that of its scope: a resolver's cache would mix the two.
    OtherSlot {
        /// The plan of the scope's slot.
        expected: PlanId,
        /// The plan of the reply.
        found: PlanId,
    },
    /// The reply's addresses, or the hints of its HTTPS record, are not those of the plan's mirrors.
    OtherAddresses,
    /// The reply's TTL is neither the owner's nor the shorter one of a host.
    OtherTtl(Option<Ttl>),
    /// The reply has no scope.
    NoScope,
    /// The scope covers clients with another decision: a resolver would give these clients this answer.
    ScopeTooWide(ScopePrefixLen),
    /// The scope could be shorter: resolvers cache more answers than necessary.
    ScopeTooNarrow(ScopePrefixLen),
    /// The table has another plan here than the rules give.
    NotByTheRules {
        /// The first address of the range with another plan.
        address: IpAddr,
        /// The rule that wins, or the default.
        won: Won,
        /// The plan of that rule.
        expected: PlanId,
        /// The plan in the table.
        found: PlanId,
    },
}

/// The progress of a sweep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SweepProgress {
    /// The number of ranges that are done.
    pub done: u64,
    /// The number of all ranges, counted once for each owner.
    pub total: u64,
}

/// Checks all steered owners of a snapshot, and calls `progress` every `PROGRESS_EVERY` ranges and at the end.
pub fn sweep(snapshot: &Snapshot, progress: &mut dyn FnMut(SweepProgress)) -> Report {
    let snapshot = &heard_by_all(snapshot);
    let owners = steered_owners(snapshot);
    let mut horizons: Vec<HorizonId> = owners.iter().map(|(_, steered)| steered.horizon).collect();
    horizons.sort_unstable();
    horizons.dedup();
    let size = |id: &HorizonId| {
        let horizon = &snapshot.horizons()[id.index()];
        (horizon.v4().len() + horizon.v6().len()) as u64
    };
    let mut findings = Findings::default();
    let total = owners.iter().map(|(_, steered)| size(&steered.horizon)).sum();
    let mut pace = Pace { done: 0, total, report: progress };
    let rules = Rules::of(&snapshot.provenance().networks);
    let mut report =
        Report { owners: Vec::new(), horizons: Vec::new(), replies: 0, violations: Vec::new(), violation_count: 0 };
    for id in horizons {
        let horizon = &snapshot.horizons()[id.index()];
        let ground = Ground::of(horizon);
        let tally = Tally::of(snapshot, id, &ground, &rules, &mut findings);
        report.horizons.push(HorizonReport {
            horizon: id,
            ranges: [ground.v4.ranges.len(), ground.v6.ranges.len()],
            rules: tally.rules(),
            totals: tally.into_totals(snapshot, id),
        });
        for (owner, steered) in owners.iter().filter(|(_, steered)| steered.horizon == id) {
            let (replies, violations) = (findings.replies, findings.violation_count);
            let mut check = OwnerCheck::new(snapshot, owner, *steered, horizon, &ground, &mut findings);
            check.face(&ground.v4, &mut pace);
            check.face(&ground.v6, &mut pace);
            report.owners.push(OwnerReport {
                owner: owner.clone(),
                horizon: id,
                replies: findings.replies - replies,
                violation_count: findings.violation_count - violations,
            });
        }
    }
    Report {
        replies: findings.replies,
        violations: findings.violations,
        violation_count: findings.violation_count,
        ..report
    }
}

/// The same snapshot without `ecs-from`, because the sweep checks the tables, not the access list.
fn heard_by_all(snapshot: &Snapshot) -> Snapshot {
    snapshot.clone().with_settings(Settings { ecs_from: None, ..snapshot.settings().clone() })
}

fn steered_owners(snapshot: &Snapshot) -> Vec<(NameBuf, Steered)> {
    let nodes = snapshot.zones().iter().flat_map(|(_, zone)| zone.nodes());
    nodes.filter_map(|node| Some((node.owner().to_owned(), node.steered()?))).collect()
}

/// The violations found so far.
#[derive(Default)]
pub(super) struct Findings {
    replies: u64,
    violations: Vec<Violation>,
    violation_count: u64,
}

impl Findings {
    pub(super) fn add(&mut self, violation: impl FnOnce() -> Violation) {
        self.violation_count += 1;
        if self.violations.len() < MAX_VIOLATIONS {
            self.violations.push(violation());
        }
    }
}

struct Pace<'p> {
    done: u64,
    total: u64,
    report: &'p mut dyn FnMut(SweepProgress),
}

impl Pace<'_> {
    fn step(&mut self) {
        self.done += 1;
        if self.done.is_multiple_of(PROGRESS_EVERY) || self.done == self.total {
            (self.report)(SweepProgress { done: self.done, total: self.total });
        }
    }
}

/// The check of one owner.
struct OwnerCheck<'c> {
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
    fn new(
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
            .map(|plan| FAMILIES.map(|family| mirror_addresses(snapshot, steered, plan, family)))
            .collect();
        let ttls = plans.map(|plan| FAMILIES.map(|family| ttl(snapshot, steered, plan, family))).collect();
        let is_served = |family: &Family| rdata.iter().any(|plan| !plan[*family as usize].is_empty());
        let mut served: Vec<Rtype> = FAMILIES.into_iter().filter(is_served).map(Rtype::of_addresses).collect();
        if served.is_empty() {
            served = FAMILIES.map(Rtype::of_addresses).to_vec();
        }
        let is_tailored = |id| snapshot.service(id).hints == Hints::Tailored;
        served.extend(steered.service.filter(|id| is_tailored(*id)).map(|_| Rtype::HTTPS));
        let (asker, seen) = (Asker::new(snapshot), Seen::default());
        OwnerCheck { asker, owner, steered, horizon, ground, rdata, ttls, served, findings, seen, last: None }
    }

    /// Asks from both ends of every range of a family.
    fn face<A: Bits>(&mut self, face: &Face<A>, pace: &mut Pace<'_>) {
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
        let location = Client { resolver: RESOLVER, subnet: Some(subnet) }.locate();
        for index in 0..self.served.len() {
            let rtype = self.served[index];
            self.findings.replies += 1;
            if let Err(wrong) = self.reply(subnet, &location, rtype) {
                let asked = Some(SweepQuestion { rtype, subnet });
                let (owner, horizon) = (Some(self.owner.clone()), self.steered.horizon);
                self.findings.add(|| Violation { owner, horizon, range, asked, wrong });
            }
        }
    }

    /// Sends one query and checks the reply.
    fn reply(&mut self, subnet: Subnet, location: &Location, rtype: Rtype) -> Result<(), Wrong> {
        let ask = ResolverQuery { name: self.owner.as_name(), qtype: rtype, resolver: RESOLVER, subnet: Some(subnet) };
        let heard = self.asker.ask(&ask).ok_or(Wrong::Unreadable)?;
        let summary = heard.summary;
        self.seen.read(heard.octets, rtype).ok_or(Wrong::Unreadable)?;
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
    for mirror in choice.mirrors.iter().map(|id| &snapshot.mirrors()[id.index()]) {
        let addresses: Vec<Vec<u8>> = match family {
            Family::V4 => mirror.v4.iter().map(|address| address.octets().to_vec()).collect(),
            Family::V6 => mirror.v6.iter().map(|address| address.octets().to_vec()).collect(),
        };
        for address in addresses {
            if !all.contains(&address) {
                all.push(address);
            }
        }
    }
    all.concat()
}
