//! DNSSEC proofs: that a name or type does not exist, that a wildcard may answer, that a delegation is not signed.
//!
//! **Invariants**: proofs are only for queries with the DO bit and zones with signatures; a record is in the authority section
//! once; a response whose proof is not signed yet is SERVFAIL, because validators would take it for forged.
//! **Not here**: signatures of RRsets, which follow their RRset ([`crate::wire`]).
//!
//! RFC 4035 §3.1.3 (denial) and §3.1.4 (referrals), RFC 5155 §7.2 (the same by hashes).

use super::response::{Data, Need, Owner, Response, Rr};
use super::search::Search;
use crate::base::ids::NodeId;
use crate::base::name::{Name, NameBuf};
use crate::base::rr::Rtype;
use crate::base::time::Ttl;
use crate::snapshot::SignedOwner;
use crate::zone::{DenialChain, HashedOrder, Node, RrSet};

impl<'s> Search<'_, 's> {
    /// The chain that proves denials, if the response needs proofs.
    #[inline]
    pub(super) fn chain(&self) -> Option<DenialChain<'s>> {
        if self.dnssec_ok { self.zone.denial_chain() } else { None }
    }

    /// The signed answers of a steered owner.
    pub(super) fn signed_owner(&self, node: Node<'_>) -> Option<&'s SignedOwner> {
        self.snapshot.signed_owner(self.zone_id, node.id())
    }

    /// The NSEC of an owner; `None` if it is not signed yet.
    pub(super) fn nsec(&self, node: Node<'s>) -> Option<RrSet<'s>> {
        match node.steered() {
            Some(_) => self.signed_owner(node).and_then(SignedOwner::nsec).map(|set| set.rrset(Ttl::MAX)),
            None => node.rrset(Rtype::NSEC),
        }
    }

    /// Proves that a node has no records of a type (RFC 4035 §3.1.3.1, RFC 5155 §7.2.3 and §7.2.4).
    #[cold]
    pub(super) fn prove_no_type(&self, chain: DenialChain<'s>, node: Node<'s>, response: &mut Response<'s>) {
        match chain {
            // The NSEC that covers an empty non-terminal is that of the owner before it.
            DenialChain::Names(order) if node.is_empty() => {
                self.push_nsec(order.at_or_before(node.owner(), self.zone), response);
            }
            DenialChain::Names(_) => self.push_nsec(node, response),
            DenialChain::Hashes(order) => self.prove_without_type(order, node.owner(), response),
        }
    }

    /// Proves that a name does not exist, and no wildcard that could answer for it (RFC 4035 §3.1.3.2, RFC 5155 §7.2.2).
    #[cold]
    pub(super) fn prove_no_name(
        &self,
        chain: DenialChain<'s>,
        owner: Owner<'s>,
        encloser: NodeId,
        response: &mut Response<'s>,
    ) {
        let encloser_name = self.zone.node(encloser).owner();
        if let DenialChain::Hashes(order) = chain {
            self.push_nsec3(order.matching(encloser_name, self.zone), response);
        }
        self.prove_synthesis(chain, owner, encloser, response);
        // A name too long for a wildcard below it has none.
        let Some(wildcard) = NameBuf::joined(b"\x01*", encloser_name) else { return };
        match chain {
            DenialChain::Names(order) => self.push_nsec(order.at_or_before(wildcard.as_name(), self.zone), response),
            DenialChain::Hashes(order) => {
                self.push_nsec3(Some(order.covering(wildcard.as_name(), self.zone)), response)
            }
        }
    }

    /// Proves that a name does not exist, so that a wildcard of its encloser may answer (RFC 4035 §3.1.3.3, RFC 5155 §7.2.6).
    #[cold]
    pub(super) fn prove_synthesis(
        &self,
        chain: DenialChain<'s>,
        owner: Owner<'s>,
        encloser: NodeId,
        response: &mut Response<'s>,
    ) {
        let name = self.name(owner, response);
        match chain {
            DenialChain::Names(order) => {
                let before = order.at_or_before(name, self.zone);
                self.push_nsec(before, response);
            }
            DenialChain::Hashes(order) => {
                let covering = order.covering(next_closer(name, self.zone.node(encloser).owner()), self.zone);
                self.push_nsec3(Some(covering), response);
            }
        }
    }

    /// Adds to the proof of a wildcard's answer that the wildcard is that of the closest encloser, because its answer is a denial
    /// (RFC 5155 §7.2.5).
    #[cold]
    pub(super) fn prove_encloser(&self, chain: DenialChain<'s>, encloser: NodeId, response: &mut Response<'s>) {
        if let DenialChain::Hashes(order) = chain {
            self.push_nsec3(order.matching(self.zone.node(encloser).owner(), self.zone), response);
        }
    }

    /// Adds the DS of a delegation, or the proof that it has none (RFC 4035 §3.1.4, RFC 5155 §7.2.7).
    #[cold]
    pub(super) fn prove_delegation(&self, chain: DenialChain<'s>, cut: Node<'s>, response: &mut Response<'s>) {
        match cut.rrset(Rtype::DS) {
            Some(set) => push(cut.owner(), set, response),
            None => self.prove_no_type(chain, cut, response),
        }
    }

    /// Proves that a name has no records of a type, by its NSEC3; if it has none, because it is a delegation that opts out, by
    /// the NSEC3 of its closest encloser that has one, and that which covers the name below.
    fn prove_without_type(&self, order: &'s HashedOrder, name: Name<'s>, response: &mut Response<'s>) {
        let (mut encloser, mut below) = (Some(name), None);
        while let Some(at) = encloser.filter(|at| at.ends_with(self.zone.apex())) {
            if let Some(node) = order.matching(at, self.zone) {
                self.push_nsec3(Some(node), response);
                let covering = below.map(|below| order.covering(below, self.zone));
                return covering.into_iter().for_each(|node| self.push_nsec3(Some(node), response));
            }
            below = Some(at);
            encloser = at.parent();
        }
    }

    fn push_nsec(&self, node: Node<'s>, response: &mut Response<'s>) {
        match self.nsec(node) {
            Some(set) => push(node.owner(), set, response),
            None => drop(self.fail(response)),
        }
    }

    fn push_nsec3(&self, node: Option<Node<'s>>, response: &mut Response<'s>) {
        if let Some((node, set)) = node.and_then(|node| Some((node, node.rrset(Rtype::NSEC3)?))) {
            push(node.owner(), set, response);
        }
    }
}

/// The suffix of a name that has one label more than its encloser (RFC 5155 §1.3).
fn next_closer<'n>(name: Name<'n>, encloser: Name<'_>) -> Name<'n> {
    let mut closer = name;
    while let Some(parent) = closer.parent().filter(|parent| parent.len() > encloser.len()) {
        closer = parent;
    }
    closer
}

/// Adds an RRset to the authority section, once.
fn push<'s>(owner: Name<'s>, set: RrSet<'s>, response: &mut Response<'s>) {
    if !response.authority.iter().any(|rr| rr.is_of(set)) {
        let rr = Rr { owner: Owner::Stored(owner), data: Data::Stored(set), need: Need::Required };
        // Search::follow leaves room for the longest proof.
        let _ = response.authority.try_push(rr);
    }
}
