//! The additional section: addresses of the names that an answer or a referral points to.
//!
//! **Invariants**: nothing that depends on the client stands here (RFC 7871 §7.3.1): steered owners have no address
//! records of their own, so there is nothing to find; no RRset stands here twice.

use super::response::{Data, Need, Owner, Response, Rr};
use crate::base::name::Name;
use crate::base::rr::Rtype;
use crate::zone::{Found, Node, RrSet, Zone};

/// Addresses for the targets of an answer, as far as they are in the zone.
#[inline]
pub(super) fn of_answer<'s>(zone: &'s Zone, set: RrSet<'s>, response: &mut Response<'s>) {
    let (before_target, glue) = match set.rtype {
        Rtype::NS => (0, Glue::Taken),
        Rtype::MX => (2, Glue::Left),
        Rtype::SRV => (6, Glue::Left),
        _ => return,
    };
    for rdata in set.rdatas() {
        add_addresses(zone, Name::trusted(&rdata[before_target..]), glue, Need::Optional, response);
    }
}

/// Glue (RFC 9471 §3): a response without the addresses of servers inside the delegated zone is of no use.
pub(super) fn of_referral<'s>(zone: &'s Zone, cut: Node<'s>, set: RrSet<'s>, response: &mut Response<'s>) {
    for need in [Need::Required, Need::Optional] {
        for target in set.rdatas().map(Name::trusted) {
            let inside = if target.ends_with(cut.owner()) { Need::Required } else { Need::Optional };
            if inside == need {
                add_addresses(zone, target, Glue::Taken, need, response);
            }
        }
    }
}

/// Whether addresses below a cut may be given.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Glue {
    /// They may: resolvers need them to get there at all.
    Taken,
    /// They may not: the delegated zone tells better (RFC 2181 §5.4.1).
    Left,
}

fn add_addresses<'s>(zone: &'s Zone, name: Name<'s>, glue: Glue, need: Need, response: &mut Response<'s>) {
    if !name.ends_with(zone.apex()) {
        return;
    }
    let Found::Exact(id) = zone.find(name, &name.suffixes()) else { return };
    let node = zone.node(id);
    // RFC 6672 §2.4: what is below a DNAME is not there.
    if node.dname().is_some() || (node.cut().is_some() && glue == Glue::Left) {
        return;
    }
    let is_shown = |rr: &Rr<'_>| matches!(rr.owner, Owner::Stored(owner) if owner == node.owner());
    if response.additional.iter().any(is_shown) {
        return;
    }
    for rtype in [Rtype::A, Rtype::AAAA] {
        let Some(set) = node.rrset(rtype) else { continue };
        let rr = Rr { owner: Owner::Stored(node.owner()), data: Data::Stored(set), need };
        // More name servers than fit a response are left out.
        if response.additional.try_push(rr).is_err() {
            return;
        }
    }
}
