//! The rules that a zone must meet to be served, and warnings about likely mistakes.
//!
//! In: a zone just put together, and the places where its records were written. Out: problems.
//!
//! **Invariants**: nothing is changed here; each RRset gives at most one problem of a kind, except for problems of its
//! targets.
//! **Not here**: single records ([`super::build`]), the display of problems ([`crate::load`]).
//!
//! RFC 1035 §5.2, RFC 2181 §10, RFC 4592 §4, RFC 6672 §2.

use std::collections::HashSet;

use super::group::Origins;
use super::problem::{ReservedOwner, ZoneFault};
use super::{Found, Node, Relative, RrSet, Zone, ZoneProblem};
use crate::base::ids::NodeId;
use crate::base::name::Name;
use crate::base::rr::Rtype;

/// Adds all that is wrong or odd with `zone` to `problems`.
pub(super) fn check(zone: &Zone, origins: &Origins, reserved: &[ReservedOwner], problems: &mut Vec<ZoneProblem>) {
    let checker = Checker { zone, origins, servers: name_servers(zone) };
    checker.check_apex(problems);
    for node in zone.nodes() {
        checker.check_aliases(node, problems);
        checker.check_wildcard(node, problems);
        checker.check_occlusion(node, problems);
        checker.check_targets(node, problems);
        checker.check_hints(node, problems);
    }
    for ((id, _), &tag) in zone.steered.iter().zip(&origins.steered) {
        checker.check_steered(zone.node(*id), tag, problems);
    }
    for reserved in reserved {
        checker.check_reserved(reserved, problems);
    }
}

/// RFC 1035 §8: the first dot of a mailbox stands for its `@`.
fn bad_mailbox(apex: Node<'_>, tag: u32) -> Option<ZoneProblem> {
    let rdata = apex.rrset(Rtype::SOA)?.rdatas().next()?;
    let (_, rest) = Name::split_from(rdata)?;
    let (mailbox, _) = Name::split_from(rest)?;
    let has_at = mailbox.labels().next()?.contains(&b'@');
    has_at.then(|| ZoneFault::BadMailbox { mailbox: mailbox.to_owned() }.at(apex.owner(), tag))
}

struct Checker<'z> {
    zone: &'z Zone,
    origins: &'z Origins,
    /// The nodes that some NS points to.
    servers: HashSet<NodeId>,
}

/// The nodes whose names are targets of NS records: their addresses may be glue.
fn name_servers(zone: &Zone) -> HashSet<NodeId> {
    let targets = zone.nodes().filter_map(|node| node.rrset(Rtype::NS)).flat_map(RrSet::rdatas);
    targets.filter_map(|rdata| Some(zone.node_of(Name::from_wire(rdata)?)?.id())).collect()
}

/// The entry of the zone for any name; `None` for a name that is not at or below the apex.
fn find(zone: &Zone, name: Name<'_>) -> Option<Found> {
    name.ends_with(zone.apex()).then(|| zone.find(name, &name.suffixes()))
}

impl Checker<'_> {
    /// RFC 1035 §5.2: one SOA, at the apex; RFC 1034 §4.2.1: name servers there.
    fn check_apex(&self, problems: &mut Vec<ZoneProblem>) {
        let apex = self.zone.node(NodeId(0));
        match self.tags(apex, Rtype::SOA) {
            [] => problems.push(ZoneFault::NoSoa.at(apex.owner(), None)),
            &[tag] => problems.extend(bad_mailbox(apex, tag)),
            &[first, tag, ..] => {
                problems.push(ZoneFault::SeveralSoas.at(apex.owner(), tag).with(first, "the first SOA"));
            }
        }
        if apex.rrset(Rtype::NS).is_none() {
            let soa = self.tags(apex, Rtype::SOA).first().copied();
            problems.push(ZoneFault::NoNs.at(apex.owner(), soa));
        }
        self.check_servers(apex, problems);
        for node in self.zone.nodes().skip(1) {
            if let Some(&tag) = self.tags(node, Rtype::SOA).first() {
                problems.push(ZoneFault::SoaBelowApex.at(node.owner(), tag));
            }
        }
    }

    /// RFC 6672 §2.3: a name below a DNAME has no address of its own, so no server of the zone can have it.
    fn check_servers(&self, apex: Node<'_>, problems: &mut Vec<ZoneProblem>) {
        let servers = apex.rrset(Rtype::NS).into_iter().flat_map(RrSet::rdatas);
        for (rdata, &tag) in servers.zip(self.tags(apex, Rtype::NS)) {
            let Some(server) = Name::from_wire(rdata) else { continue };
            let Some(dname) = find(self.zone, server).and_then(|found| self.dname_above(server, found)) else {
                continue;
            };
            let first = self.first_tag(dname, Rtype::DNAME);
            let fault = ZoneFault::ServerBelowDname { server: server.to_owned(), dname: dname.owner().to_owned() };
            problems.push(fault.at(apex.owner(), tag).with(first, "it renames all names below it"));
        }
    }

    /// The node whose DNAME renames a name.
    fn dname_above(&self, name: Name<'_>, found: Found) -> Option<Node<'_>> {
        let (Found::Exact(id) | Found::Below { encloser: id, .. }) = found;
        let node = self.zone.node(id);
        let renames = node.owner() != name && node.cut().is_none() && node.rrset(Rtype::DNAME).is_some();
        node.dname().map(|dname| self.zone.node(dname)).or(renames.then_some(node))
    }

    /// RFC 2181 §10.1: a CNAME stands alone; RFC 6672 §2.4: an owner has at most one DNAME.
    fn check_aliases(&self, node: Node<'_>, problems: &mut Vec<ZoneProblem>) {
        if let &[first, ref more @ ..] = self.tags(node, Rtype::CNAME) {
            if let Some(&tag) = more.first() {
                problems.push(ZoneFault::SeveralCnames.at(node.owner(), tag).with(first, "the first CNAME"));
            }
            // RFC 4035 §2.5: signatures and the chain of names are there for a CNAME too.
            let beside = |rtype| matches!(rtype, Rtype::CNAME | Rtype::RRSIG | Rtype::NSEC);
            if let Some(set) = node.rrsets().find(|set| !beside(set.rtype)) {
                let (fault, other) = (ZoneFault::CnameAndOther { rtype: set.rtype }, self.first_tag(node, set.rtype));
                problems.push(fault.at(node.owner(), first).with(other, "the other data"));
            }
        }
        if let &[first, tag, ..] = self.tags(node, Rtype::DNAME) {
            problems.push(ZoneFault::SeveralDnames.at(node.owner(), tag).with(first, "the first DNAME"));
        }
    }

    /// RFC 4592 §4.2, §4.4: NS and DNAME cannot stand at a wildcard.
    fn check_wildcard(&self, node: Node<'_>, problems: &mut Vec<ZoneProblem>) {
        if !node.owner().is_wildcard() || node.id() == NodeId(0) {
            return;
        }
        for (rtype, fault) in [(Rtype::NS, ZoneFault::WildcardNs), (Rtype::DNAME, ZoneFault::WildcardDname)] {
            problems.extend(self.tags(node, rtype).first().map(|&tag| fault.at(node.owner(), tag)));
        }
    }

    /// RFC 1034 §4.2.1: records at or below a cut are not ours, except for glue; RFC 6672 §2.3: nothing is below a DNAME.
    fn check_occlusion(&self, node: Node<'_>, problems: &mut Vec<ZoneProblem>) {
        let Some((occluder, by)) = self.occluder(node) else { return };
        let is_server = self.servers.contains(&node.id());
        let belongs = |rtype| match rtype {
            _ if by == Rtype::DNAME => false,
            Rtype::A | Rtype::AAAA => is_server,
            // The parent's side of a cut (RFC 4035 §2.6).
            Rtype::NS | Rtype::DS | Rtype::NSEC | Rtype::RRSIG => node.id() == occluder.id(),
            _ => false,
        };
        if let Some(set) = node.rrsets().find(|set| !belongs(set.rtype)) {
            let fault = ZoneFault::Occluded { rtype: set.rtype, by, occluder: occluder.owner().to_owned() };
            let (tag, first) = (self.first_tag(node, set.rtype), self.first_tag(occluder, by));
            problems.push(fault.at(node.owner(), tag).with(first, "this hides it"));
        }
    }

    /// The owner of the delegation or DNAME that takes a node out of the zone, and the type of that record.
    fn occluder(&self, node: Node<'_>) -> Option<(Node<'_>, Rtype)> {
        match node.cut() {
            Some(cut) => Some((self.zone.node(cut), Rtype::NS)),
            None => Some((self.zone.node(node.dname()?), Rtype::DNAME)),
        }
    }

    /// RFC 2181 §10.3, RFC 2782: hosts that NS, MX and SRV name have addresses and are no aliases.
    fn check_targets(&self, node: Node<'_>, problems: &mut Vec<ZoneProblem>) {
        let skip = |rtype| match rtype {
            Rtype::NS => Some(0),
            Rtype::MX => Some(2),
            Rtype::SRV => Some(6),
            _ => None,
        };
        // Occluded records are never answered; a delegation is.
        if node.dname().is_some() || node.cut().is_some_and(|cut| cut != node.id()) {
            return;
        }
        for (set, skip) in node.rrsets().filter_map(|set| Some((set, skip(set.rtype)?))) {
            for (rdata, &tag) in set.rdatas().zip(self.tags(node, set.rtype)) {
                let Some(target) = rdata.get(skip..).and_then(Name::from_wire) else { continue };
                let fault = self.check_target(node, set.rtype, target);
                problems.extend(fault.map(|fault| fault.at(node.owner(), tag)));
            }
        }
    }

    /// RFC 9460 §7.3: hints stand for the addresses of the target; those of a steered target depend on the client.
    fn check_hints(&self, node: Node<'_>, problems: &mut Vec<ZoneProblem>) {
        for set in [Rtype::SVCB, Rtype::HTTPS].into_iter().filter_map(|rtype| node.rrset(rtype)) {
            for (rdata, &tag) in set.rdatas().zip(self.tags(node, set.rtype)) {
                let Some((target, params)) = rdata.get(2..).and_then(Name::split_from) else { continue };
                // RFC 9460 §2.5: `.` is the owner.
                let target = if target.is_root() { node.owner() } else { target };
                let kind = find(self.zone, target).map(|found| self.kind_of(target, found));
                if matches!(kind, Some(RecordTarget::Steered)) && has_hints(params) {
                    let fault = ZoneFault::SteeredHints { rtype: set.rtype, target: target.to_owned() };
                    problems.push(fault.at(node.owner(), tag));
                }
            }
        }
    }

    fn check_target(&self, node: Node<'_>, rtype: Rtype, name: Name<'_>) -> Option<ZoneFault> {
        // The root as target says that there is no such service (RFC 7505, RFC 2782).
        if name.is_root() {
            return None;
        }
        let target = name.to_owned();
        match self.kind_of(name, find(self.zone, name)?) {
            RecordTarget::Steered if rtype == Rtype::NS => Some(ZoneFault::SteeredNameServer { target }),
            RecordTarget::Alias => Some(ZoneFault::TargetIsAlias { rtype, target }),
            RecordTarget::Delegated(cut) if rtype == Rtype::NS && cut == node.id() => {
                Some(ZoneFault::MissingGlue { target })
            }
            RecordTarget::Nothing => {
                let relative = Relative::of(name, self.zone.apex());
                Some(ZoneFault::TargetWithoutAddress { rtype, target, relative })
            }
            RecordTarget::Addresses | RecordTarget::Steered | RecordTarget::Delegated(_) => None,
        }
    }

    /// The kind of a host in this zone.
    fn kind_of(&self, name: Name<'_>, found: Found) -> RecordTarget {
        let (node, at) = match found {
            Found::Exact(id) => (self.zone.node(id), Some(self.zone.node(id))),
            Found::Below { encloser, wildcard } => {
                (self.zone.node(encloser), wildcard.map(|wildcard| self.zone.node(wildcard)))
            }
        };
        let is_below = node.owner() != name;
        if self.dname_above(name, found).is_some() {
            return RecordTarget::Alias;
        }
        let has_address = |node: Node<'_>| [Rtype::A, Rtype::AAAA].into_iter().any(|rtype| node.rrset(rtype).is_some());
        match (node.cut(), at) {
            // A wildcard below a cut is no glue.
            (Some(_), Some(at)) if !is_below && has_address(at) => RecordTarget::Addresses,
            (Some(cut), _) => RecordTarget::Delegated(cut),
            (None, Some(at)) if at.steered().is_some() => RecordTarget::Steered,
            (None, Some(at)) if at.rrset(Rtype::CNAME).is_some() => RecordTarget::Alias,
            (None, Some(at)) if has_address(at) => RecordTarget::Addresses,
            (None, _) => RecordTarget::Nothing,
        }
    }

    /// A steered owner is answered by its horizon alone, and only where this zone answers.
    fn check_steered(&self, node: Node<'_>, tag: u32, problems: &mut Vec<ZoneProblem>) {
        if let Some((occluder, rtype)) = self.occluder(node) {
            let fault = ZoneFault::SteeredOccluded { rtype, occluder: occluder.owner().to_owned() };
            let record = self.first_tag(occluder, rtype);
            problems.push(fault.at(node.owner(), tag).with(record, "this takes the name out of the zone"));
            return;
        }
        let service = node.steered().and_then(|steered| steered.service).map(|_| Rtype::HTTPS);
        for rtype in [Rtype::A, Rtype::AAAA, Rtype::CNAME].into_iter().chain(service) {
            if let Some(&record) = self.tags(node, rtype).first() {
                let fault = ZoneFault::SteeredAndStatic { rtype };
                problems.push(fault.at(node.owner(), tag).with(record, "its own record"));
            }
        }
    }

    /// At a reserved name this zone answers, and has no record that the added ones would clash with.
    fn check_reserved(&self, reserved: &ReservedOwner, problems: &mut Vec<ZoneProblem>) {
        let (owner, tag) = (reserved.owner.as_name(), reserved.tag);
        let Some(found) = find(self.zone, owner) else { return };
        let (Found::Exact(id) | Found::Below { encloser: id, .. }) = found;
        let node = self.zone.node(id);
        let renamed = || Some((self.dname_above(owner, found)?, Rtype::DNAME));
        if let Some((occluder, rtype)) = self.occluder(node).or_else(renamed) {
            let fault = ZoneFault::ReservedOccluded { rtype, occluder: occluder.owner().to_owned() };
            let record = self.first_tag(occluder, rtype);
            problems.push(fault.at(owner, tag).with(record, "this takes the name out of the zone"));
            return;
        }
        if matches!(found, Found::Below { .. }) {
            return;
        }
        for rtype in reserved.types.iter().copied().chain([Rtype::CNAME]) {
            if let Some(&record) = self.tags(node, rtype).first() {
                let fault = ZoneFault::ReservedAndStatic { rtype };
                problems.push(fault.at(owner, record).with(tag, "this mirror has credentials"));
            }
        }
    }

    /// The tags of the records of one type at a node.
    fn tags(&self, node: Node<'_>, rtype: Rtype) -> &[u32] {
        let found = node.rrsets().position(|set| set.rtype == rtype);
        found.map_or(&[], |index| self.origins.of_rrset(node.id(), index))
    }

    fn first_tag(&self, node: Node<'_>, rtype: Rtype) -> u32 {
        *self.tags(node, rtype).first().expect("an RRset has a record")
    }
}

/// Returns whether service parameters have addresses: `ipv4hint` or `ipv6hint` (RFC 9460 §14.3.2).
fn has_hints(params: &[u8]) -> bool {
    let mut rest = params;
    while let Some((&[key_high, key, len_high, len], after)) = rest.split_first_chunk() {
        if key_high == 0 && matches!(key, 4 | 6) {
            return true;
        }
        rest = after.get(usize::from(u16::from_be_bytes([len_high, len]))..).unwrap_or_default();
    }
    false
}

/// The kind of a record's target.
enum RecordTarget {
    /// A host with an address.
    Addresses,
    /// A host whose addresses depend on the client.
    Steered,
    /// An alias.
    Alias,
    /// A host in the zone delegated at this node, without glue.
    Delegated(NodeId),
    /// Nothing, or nothing with an address.
    Nothing,
}
