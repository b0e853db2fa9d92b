//! Zones compiled to wire-format RRsets. A lookup takes one probe of the table; for a missing name it takes as many more as
//! the logarithm of its labels.
//!
//! In: records as owner, type, TTL and rdata, and owners that are steered ([`ZoneBuilder`]). Out: a [`Zone`] that tells for
//! a name whether it exists, or which ancestor and which wildcard stand in for it ([`Found`]), and gives RRsets as the bytes
//! of a message ([`RrSet`]). Several zones make a [`ZoneSet`].
//!
//! **Invariants**: a zone has an apex with one SOA and at least one NS; every ancestor of an owner down from the apex has a
//! node, if only as an empty non-terminal; a node's number is greater than its parent's; a CNAME has only RRSIG and NSEC
//! beside it; a steered owner has no address records and is not occluded; a zone that is not available has an SOA and an NS
//! all the same.
//! **Not here**: what to answer ([`crate::answer`]), reading master files ([`crate::load`]), compression.
//!
//! RFC 1034 §4.2 (cuts), RFC 2181 §5 (RRsets), RFC 2308 §5 (negative TTL), RFC 4592 (wildcards), RFC 6672 (DNAME),
//! RFC 8020 (empty non-terminals).

mod build;
mod check;
mod difference;
mod dnssec;
mod entry;
mod group;
mod hashed;
mod keys;
mod negative;
mod node;
mod order;
mod overlay;
mod presigned;
mod problem;
mod rrset;
mod set;
mod signing;
mod table;
mod timers;

pub(crate) use build::AddError;
pub use build::ZoneBuilder;
pub(crate) use difference::History;
pub use difference::{Difference, Record, Records, is_newer};
pub use dnssec::SignedZone;
pub(crate) use dnssec::{Dnssec, validity_of_rrsigs};
pub(crate) use hashed::HashedOrder;
pub use keys::SigningTerms;
pub(crate) use keys::{
    ECDSA_P256, ED25519, KeyRole, KeyState, SignOctets, SignatureOctets, ZoneKey, ds_rdata, is_entry_point, key_tag,
};
pub(crate) use negative::{NegativeSoa, soa_numbers};
pub use node::Node;
pub(crate) use order::CanonicalOrder;
pub(crate) use overlay::ZoneOverlays;
pub use overlay::{DynamicRrSet, RrSetKey};
pub(crate) use presigned::{SignedFault, check_presigned};
pub(crate) use problem::ReservedOwner;
pub(crate) use problem::{Relative, ZoneProblem};
pub(crate) use rrset::{RECORD_HEADER_LEN, RrSet, push_record};
pub use set::ZoneSet;
pub(crate) use signing::{RrSetToSign, SigningTime, SigningWindow, SteeredLink, ToSign, ZoneSigning, nsec_rdata};
pub(crate) use timers::{REFRESH, RETRY, Timers};

use std::sync::Arc;

use crate::base::ids::{HorizonId, NodeId, ServiceId};
use crate::base::memory::area;
use crate::base::name::{Name, NameBuf, Suffixes};
use crate::base::rr::{Ede, Rtype};
use crate::base::time::{Ttl, UnixTime};
use entry::NodeEntry;
use table::HashTable;

/// One zone, never changed once built.
pub struct Zone {
    /// The node of a name, by the name's hash.
    table: HashTable,
    /// The nodes, parents before their children.
    entries: Vec<u8>,
    /// The bytes of all records.
    wire_len: usize,
    /// The steered nodes, by id.
    steered: Vec<(NodeId, Steered)>,
    /// The number of labels of the apex.
    apex_labels: usize,
    /// The number of labels of the deepest node.
    deepest_labels: usize,
    /// The apex SOA as negative answers carry it.
    negative_soa: NegativeSoa,
    /// The owners in canonical order, if the zone has signatures.
    order: Option<CanonicalOrder>,
    /// The owners of NSEC3 records, if the zone has such a chain.
    hashed: Option<HashedOrder>,
    /// The SOA of negative answers at owners with dynamic records, by id.
    dynamic: Vec<(NodeId, NegativeSoa)>,
    signatures: SignatureCount,
    /// The reason why it may not be answered from; `None` if it may.
    lack: Option<Ede>,
}

/// The records that prove denials in a signed zone.
#[derive(Clone, Copy)]
pub(crate) enum DenialChain<'z> {
    /// NSEC, by the owners in canonical order.
    Names(&'z CanonicalOrder),
    /// NSEC3, by hash.
    Hashes(&'z HashedOrder),
}

/// The signatures of a zone or of tailored answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SignatureCount {
    /// Their number.
    pub(crate) count: usize,
    /// The first moment at which one expires; `None` without signatures.
    pub(crate) expires: Option<UnixTime>,
}

impl SignatureCount {
    /// Both together.
    pub(crate) fn plus(self, other: SignatureCount) -> SignatureCount {
        let expires = [self.expires, other.expires].into_iter().flatten().min();
        SignatureCount { count: self.count + other.count, expires }
    }

    /// Adds a signature.
    pub(crate) fn add(&mut self, expires: UnixTime) {
        *self = self.plus(SignatureCount { count: 1, expires: Some(expires) });
    }
}

/// The entry of a zone for a name at or below its apex.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// The name exists: with data, as an empty non-terminal, or occluded (see [`Node::cut`] and [`Node::dname`]).
    Exact(NodeId),
    /// The name does not exist.
    Below {
        /// The closest encloser: its longest ancestor that exists (RFC 4592 §3.3.1).
        encloser: NodeId,
        /// The source of synthesis: `*.<encloser>`, where it exists.
        wildcard: Option<NodeId>,
    },
}

impl Zone {
    /// The name of the zone.
    pub fn apex(&self) -> Name<'_> {
        self.node(NodeId(0)).owner()
    }

    /// The SOA.
    pub fn soa(&self) -> RrSet<'_> {
        self.node(NodeId(0)).rrset(Rtype::SOA).expect("a zone has an apex SOA: zone::check")
    }

    /// Stands for a zone of which no copy has come yet, as [`Zone::unavailable`] does for one that has no usable one.
    pub(crate) fn awaited(apex: NameBuf) -> Self {
        // RFC 8914 §4.15: the server is not fully functional yet.
        Zone { lack: Some(Ede::NotReady), ..Zone::unavailable(apex) }
    }

    /// Stands for a zone of which there is no usable copy: one with an SOA of serial 0 and nothing to answer with.
    ///
    /// # Panics
    /// Never: its two records fit into any zone.
    pub(crate) fn unavailable(apex: NameBuf) -> Self {
        let mut builder = ZoneBuilder::new(apex.clone());
        for (rtype, rdata) in [(Rtype::SOA, [0; 2 + negative::SOA_NUMBERS_LEN].as_slice()), (Rtype::NS, &[0])] {
            builder.add(apex.as_name(), rtype, Ttl(0), rdata, 0).expect("the apex is in its zone");
        }
        let (zone, _) = builder.finish().expect("an SOA and an NS are a zone");
        // RFC 8914 §4.25: the zone is too old, or has expired.
        Zone { lack: Some(Ede::InvalidData), ..zone }
    }

    /// Returns whether it may be answered from.
    #[inline]
    pub fn is_available(&self) -> bool {
        self.lack.is_none()
    }

    /// The reason why it may not be answered from; `None` if it may.
    #[inline]
    pub(crate) fn lack(&self) -> Option<Ede> {
        self.lack
    }

    /// Returns whether the addresses of an owner of the zone depend on the client.
    pub(crate) fn is_steered(&self) -> bool {
        !self.steered.is_empty()
    }

    /// The owners whose addresses depend on the client.
    pub(crate) fn steered_owners(&self) -> impl ExactSizeIterator<Item = (Name<'_>, Steered)> {
        self.steered.iter().map(|(id, steered)| (self.node(*id).owner(), *steered))
    }

    /// A zone with the records of this one and these steered owners; shared if it has them already. `None` if the records do
    /// not admit them, as an address record at a steered owner does not.
    pub(crate) fn steered_by(self: &Arc<Self>, steer: &[(Name<'_>, Steered)]) -> Option<Arc<Self>> {
        if self.steered.len() == steer.len() && self.steered_owners().all(|one| steer.contains(&one)) {
            return Some(self.clone());
        }
        let mut builder = ZoneBuilder::with_records_of(self).ok()?;
        for (owner, steered) in steer {
            builder.steer(*owner, *steered, 0).ok()?;
        }
        builder.finish().ok().map(|(zone, _)| Arc::new(zone))
    }

    /// The memory areas that queries read.
    pub fn areas(&self) -> [std::ops::Range<*const u8>; 2] {
        [self.table.area(), area(&self.entries)]
    }

    /// The owners in canonical order; `None` if the zone has no signatures, because a denial in it needs no other name.
    pub(crate) fn canonical_order(&self) -> Option<&CanonicalOrder> {
        self.order.as_ref()
    }

    /// The records that prove denials; `None` if the zone has no signatures.
    #[inline]
    pub(crate) fn denial_chain(&self) -> Option<DenialChain<'_>> {
        match &self.hashed {
            Some(hashed) => Some(DenialChain::Hashes(hashed)),
            None => self.order.as_ref().map(DenialChain::Names),
        }
    }

    /// The signatures that the zone has.
    pub(crate) fn signatures(&self) -> SignatureCount {
        self.signatures
    }

    /// The bytes of all records, owners not counted.
    pub(crate) fn wire_len(&self) -> usize {
        self.wire_len
    }

    /// The SOA of negative answers: its TTL is no more than its MINIMUM (RFC 2308 §5).
    #[inline]
    pub(crate) fn negative_soa(&self) -> &NegativeSoa {
        &self.negative_soa
    }

    /// The SOA's SERIAL.
    pub fn serial(&self) -> u32 {
        let [serial, ..] = soa_numbers(self.soa().wire());
        serial
    }

    /// Adds the suffixes of a name that were left out, if the zone may have one of them: if it has a name of more labels
    /// than the longest known suffix, and that suffix is at or above the apex or in the zone. So a client cannot cause more
    /// work by labels that no zone has.
    #[inline]
    pub(crate) fn reach(&self, name: Name<'_>, suffixes: &mut Suffixes) {
        if suffixes.is_partial() && suffixes.known() < self.deepest_labels {
            self.reach_below(name, suffixes);
        }
    }

    #[cold]
    fn reach_below(&self, name: Name<'_>, suffixes: &mut Suffixes) {
        let known = suffixes.known();
        let is_it = |id| self.owner(id) == suffixes.suffix(name, known);
        if known <= self.apex_labels || self.table.find(suffixes.hash(known), is_it).is_some() {
            suffixes.fill(name);
        }
    }

    /// Finds a name at or below the apex; `suffixes` are those of `name`, all or as [`Zone::reach`] left them.
    #[inline]
    pub fn find(&self, name: Name<'_>, suffixes: &Suffixes) -> Found {
        debug_assert!(name.ends_with(self.apex()), "{name} is not in {}", self.apex());
        let whole = suffixes.labels();
        let mut labels = suffixes.known().min(self.deepest_labels);
        // An ancestor of a node has a node, so the longest suffix that exists is found by bisection: a name of as many
        // labels as possible takes eight probes, not a hundred.
        let (mut encloser, mut there, mut missing) = (0, self.apex_labels, labels + 1);
        while missing - there > 1 {
            let is_it = |id| self.owner(id) == suffixes.suffix(name, labels);
            match self.table.find(suffixes.hash(labels), is_it) {
                Some(id) if labels == whole => return Found::Exact(NodeId(id)),
                Some(id) => (encloser, there) = (id, labels),
                None => missing = labels,
            }
            labels = there.midpoint(missing);
        }
        if whole == self.apex_labels { Found::Exact(NodeId(0)) } else { self.below(NodeId(encloser)) }
    }

    /// Finds the node of a name; `None` if the zone has none, or does not hold the name.
    #[inline]
    pub(crate) fn node_of(&self, name: Name<'_>) -> Option<Node<'_>> {
        match name.ends_with(self.apex()).then(|| self.find(name, &name.suffixes()))? {
            Found::Exact(id) => Some(self.node(id)),
            Found::Below { .. } => None,
        }
    }

    /// Takes the first step towards a name, for a caller that prefetches: the hash that [`Zone::find`] begins with, and the
    /// place of its slot.
    #[inline]
    pub(crate) fn approach(&self, suffixes: &Suffixes) -> (u64, *const u8) {
        let hash = suffixes.hash(suffixes.known().min(self.deepest_labels));
        (hash, self.table.slot(hash))
    }

    /// Takes the second step: the place of the node; `None` if no name has that hash.
    #[inline]
    pub(crate) fn arrive(&self, hash: u64) -> Option<*const u8> {
        let id = self.table.find(hash, |_| true)?;
        Some(NodeEntry::all_from(&self.entries, NodeId(id)).as_ptr())
    }

    /// The horizon of the steered owner nearest to the apex.
    #[inline]
    pub fn first_horizon(&self) -> Option<HorizonId> {
        self.steered.first().map(|(_, steered)| steered.horizon)
    }

    /// True if the zone has an NSEC3 chain.
    #[inline]
    pub(crate) fn has_hashes(&self) -> bool {
        self.hashed.is_some()
    }

    /// The result of a search for a name that does not exist, and of which only the apex does.
    pub(crate) fn below_apex(&self) -> Found {
        self.below(NodeId(0))
    }

    fn below(&self, encloser: NodeId) -> Found {
        Found::Below { encloser, wildcard: NodeEntry::at(&self.entries, encloser).wildcard() }
    }

    /// The node with an id that this zone gave; `NodeId(0)` is the apex.
    #[inline]
    pub fn node(&self, id: NodeId) -> Node<'_> {
        Node { zone: self, id }
    }

    /// All nodes, empty non-terminals too, parents before their children.
    pub fn nodes(&self) -> impl Iterator<Item = Node<'_>> {
        self.nodes_from(NodeId(0))
    }

    /// The nodes from one on, which is of this zone.
    pub(crate) fn nodes_from(&self, first: NodeId) -> impl Iterator<Item = Node<'_>> {
        let of = |id: NodeId| (!NodeEntry::all_from(&self.entries, id).is_empty()).then(|| self.node(id));
        std::iter::successors(of(first), move |node| of(node.entry().next(node.id)))
    }

    #[inline]
    fn owner(&self, id: u32) -> Name<'_> {
        NodeEntry::at(&self.entries, NodeId(id)).name()
    }
}

impl std::fmt::Debug for Zone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Zone({}, {} bytes of records)", self.apex(), self.wire_len)
    }
}

/// The steering of an owner's addresses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Steered {
    /// The horizon that decides.
    pub horizon: HorizonId,
    /// The TTL of the addresses.
    pub ttl: Ttl,
    /// The HTTPS record that goes with the addresses, if there is one.
    pub service: Option<ServiceId>,
}

#[cfg(test)]
mod tests;
