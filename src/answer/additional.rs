//! The additional section: addresses of the names that an answer or a referral points to.
//!
//! **Invariants**: no record here depends on the client (RFC 7871 §7.3.1), because steered owners have no address records of
//! their own; no RRset is here twice.

use super::response::{Data, Glue, Need, Owner, Response, Rr};
use crate::base::name::Name;
use crate::base::rr::Rtype;
use crate::zone::{Node, RrSet, Zone};

/// Maximum number of SVCB aliases followed here. A resolver follows more itself (RFC 9460 §3 has it stop at eight or so).
const MAX_SERVICE_ALIASES: usize = 4;

impl<'s> Glue<'s> {
    /// The address RRsets. First come the required ones, of servers inside the delegated zone; then those of other servers
    /// (RFC 9471 §3).
    ///
    /// No record occurs twice in an RRset, so no server does.
    #[inline]
    pub(crate) fn rrsets(self) -> impl Iterator<Item = Rr<'s>> {
        [Need::Required, Need::Optional].into_iter().flat_map(move |need| {
            self.servers.rdatas().map(Name::trusted).flat_map(move |target| self.of_server(target, need))
        })
    }

    /// The address RRsets of one server; empty if its need is not `need`.
    #[inline]
    fn of_server(self, target: Name<'s>, need: Need) -> impl Iterator<Item = Rr<'s>> {
        let inside = if target.ends_with(self.cut.owner()) { Need::Required } else { Need::Optional };
        let node = if inside == need { host(self.zone, target, BelowCuts::Taken) } else { None };
        node.into_iter().flat_map(addresses).map(move |(node, set)| Rr {
            owner: Owner::Stored(node.owner()),
            data: Data::Stored(set),
            need,
        })
    }
}

/// Adds the records that the zone has for the targets of an answer. `owner` is the answer's owner, `node` the node that has
/// it.
#[inline]
pub(super) fn of_answer<'s>(
    zone: &'s Zone,
    node: Node<'s>,
    owner: Owner<'s>,
    set: RrSet<'s>,
    response: &mut Response<'s>,
) {
    let (before_target, below_cuts) = match set.rtype {
        Rtype::NS => (0, BelowCuts::Taken),
        Rtype::MX => (2, BelowCuts::Left),
        Rtype::SRV => (6, BelowCuts::Left),
        Rtype::SVCB | Rtype::HTTPS => return of_service(zone, node, owner, set, MAX_SERVICE_ALIASES, response),
        _ => return,
    };
    for rdata in set.rdatas() {
        if let Some(node) = host(zone, Name::trusted(&rdata[before_target..]), below_cuts) {
            add_addresses(node, Owner::Stored(node.owner()), response);
        }
    }
}

/// Adds the addresses of the targets (RFC 9460 §4.1). If an alias leads to services, adds the services with their addresses.
fn of_service<'s>(
    zone: &'s Zone,
    node: Node<'s>,
    owner: Owner<'s>,
    set: RrSet<'s>,
    aliases: usize,
    response: &mut Response<'s>,
) {
    for rdata in set.rdatas() {
        let Some((&priority, rest)) = rdata.split_first_chunk::<2>() else { continue };
        let Some((target, _params)) = Name::split_from(rest) else { continue };
        let is_alias = priority == [0, 0];
        if target.is_root() {
            // RFC 9460 §2.5: in a service, the root means the owner; in an alias, it means that there is no service.
            if !is_alias {
                // Records of a wildcard have a synthesized owner; other owners are written as in the zone.
                let owner = if node.owner().is_wildcard() { owner } else { Owner::Stored(node.owner()) };
                add_addresses(node, owner, response);
            }
            continue;
        }
        let Some(node) = host(zone, target, BelowCuts::Left) else { continue };
        let owner = Owner::Stored(node.owner());
        if is_alias
            && aliases > 0
            && let Some(next) = node.rrset(set.rtype)
            && add(owner, next, response)
        {
            of_service(zone, node, owner, next, aliases - 1, response);
        }
        add_addresses(node, owner, response);
    }
}

/// Treatment of addresses below a cut.
#[derive(Clone, Copy, PartialEq, Eq)]
enum BelowCuts {
    /// Such addresses are given, because resolvers need them to reach the servers.
    Taken,
    /// Such addresses are not given, because those of the delegated zone rank higher (RFC 2181 §5.4.1).
    Left,
}

/// The node of a host in the zone. Wildcards and aliases are not followed, because a resolver can ask for their records.
fn host<'s>(zone: &'s Zone, name: Name<'s>, below_cuts: BelowCuts) -> Option<Node<'s>> {
    let node = zone.node_of(name)?;
    // RFC 6672 §2.4: no name below a DNAME exists.
    let is_hidden = node.dname().is_some() || (node.cut().is_some() && below_cuts == BelowCuts::Left);
    (!is_hidden).then_some(node)
}

fn addresses<'s>(node: Node<'s>) -> impl Iterator<Item = (Node<'s>, RrSet<'s>)> {
    [Rtype::A, Rtype::AAAA].into_iter().filter_map(move |rtype| Some((node, node.rrset(rtype)?)))
}

fn add_addresses<'s>(node: Node<'s>, owner: Owner<'s>, response: &mut Response<'s>) {
    for (_, set) in addresses(node) {
        add(owner, set, response);
    }
}

/// Adds an optional RRset. Returns true if it is new and there is room.
fn add<'s>(owner: Owner<'s>, set: RrSet<'s>, response: &mut Response<'s>) -> bool {
    // The answer counts too, because a chain of aliases may lead back to it.
    if response.additional.rrsets.iter().chain(&response.answer).any(|rr| rr.is_of(set)) {
        return false;
    }
    // If there is no room, the RRset is left out.
    response.additional.rrsets.try_push(Rr { owner, data: Data::Stored(set), need: Need::Optional }).is_ok()
}
