//! The memory layout of a zone's nodes: each node has its name and all its records in one piece.
//!
//! In: nodes in the order of the zone. Out: their bytes, back to back. A query for a name of a large zone waits for memory
//! twice: for the slot of the name's hash and for the node, however much of it is read.
//!
//! ```text
//! kind 1 │ length of the name 1 │ number of RRsets 2 │ name │ occluder 0 or 4 │ wildcard 0 or 4 │
//! for each RRset: type 2, records 2, bytes of them 2, TTL 4 │ the records │ up to 3 to the next multiple of 4
//! ```
//!
//! The RRSIGs of an RRset are behind its records, and count among its bytes; a bit of the number of records says so. So only
//! a signed zone has bytes for them, and no lookup has more to do.
//!
//! **Invariants**: a node's number is its position, in units of [`GRAIN`]; numbers are in the machine's byte order, because
//! none of this leaves the process.
//! **Not here**: the use of nodes ([`super::Node`]).

use super::RrSet;
use crate::base::ids::NodeId;
use crate::base::name::Name;
use crate::base::rr::Rtype;
use crate::base::time::Ttl;

/// The bytes that a node's place is a multiple of: with 32 bits for its number, 16 GiB, which are more than the names and
/// records that a zone may have.
pub(super) const GRAIN: usize = 4;

/// The bytes before the name.
const HEADER_LEN: usize = 4;

/// The bytes of an RRset's header.
const SET_LEN: usize = 10;

/// The bytes of another node's number.
const LINK_LEN: usize = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NodeKind {
    /// Data of this zone.
    Static,
    /// Addresses depend on the client.
    Steered,
    /// At or below the delegation that the number is of.
    Cut(NodeId),
    /// Below the DNAME at the node that the number is of.
    Dname(NodeId),
}

/// The codes of the kinds, in the lower bits of the first byte.
const STATIC: u8 = 0;
const STEERED: u8 = 1;
const CUT: u8 = 2;
const DNAME: u8 = 3;
const KINDS: u8 = 3;

/// The bit that says that there is a child `*`.
const HAS_WILDCARD: u8 = 4;

/// An RRset: the fields of its header.
#[derive(Clone, Copy, Debug)]
pub(super) struct RrSetEntry {
    pub(super) ttl: Ttl,
    pub(super) rtype: Rtype,
    /// The number of records, with [`super::rrset::IS_SIGNED`] if RRSIGs are behind them.
    pub(super) count: u16,
    /// The bytes of its records, and of the RRSIGs behind them.
    pub(super) len: u16,
}

/// A node, from its first byte to the last of its zone.
#[derive(Clone, Copy)]
pub(super) struct NodeEntry<'z>(&'z [u8]);

impl<'z> NodeEntry<'z> {
    /// The node of a number, among all of a zone.
    #[inline]
    pub(super) fn at(entries: &'z [u8], id: NodeId) -> Self {
        NodeEntry(&entries[id.index() * GRAIN..])
    }

    /// The bytes from a node on; empty behind the last.
    pub(super) fn all_from(entries: &[u8], id: NodeId) -> &[u8] {
        &entries[id.index() * GRAIN..]
    }

    /// The name.
    #[inline]
    pub(super) fn name(self) -> Name<'z> {
        Name::trusted(&self.0[HEADER_LEN..self.links()])
    }

    /// The kind.
    #[inline]
    pub(super) fn kind(self) -> NodeKind {
        match self.0[0] & KINDS {
            STATIC => NodeKind::Static,
            STEERED => NodeKind::Steered,
            CUT => NodeKind::Cut(self.link(self.links())),
            _ => NodeKind::Dname(self.link(self.links())),
        }
    }

    /// Returns whether it is at or below a delegation, or below a DNAME.
    #[inline]
    pub(super) fn is_occluded(self) -> bool {
        self.0[0] & KINDS >= CUT
    }

    /// Returns whether it is steered.
    #[inline]
    pub(super) fn is_steered(self) -> bool {
        self.0[0] & KINDS == STEERED
    }

    /// The child `*`.
    #[inline]
    pub(super) fn wildcard(self) -> Option<NodeId> {
        (self.0[0] & HAS_WILDCARD != 0).then(|| self.link(self.sets() - LINK_LEN))
    }

    /// The number of RRsets.
    #[inline]
    pub(super) fn count(self) -> usize {
        usize::from(u16::from_ne_bytes([self.0[2], self.0[3]]))
    }

    /// The headers of the RRsets, and their records.
    #[inline]
    fn split(self) -> (&'z [[u8; SET_LEN]], &'z [u8]) {
        let (headers, wire) = self.0[self.sets()..].split_at(self.count() * SET_LEN);
        (headers.as_chunks().0, wire)
    }

    /// The RRsets, in order of type.
    #[inline]
    pub(super) fn rrsets(self) -> impl Iterator<Item = RrSet<'z>> {
        let (headers, mut wire) = self.split();
        headers.iter().map(move |header| {
            let RrSetEntry { rtype, ttl, count, len } = RrSetEntry::read(header);
            let (own, rest) = wire.split_at(usize::from(len));
            wire = rest;
            RrSet::stored(rtype, ttl, count, own)
        })
    }

    /// The RRset of a type.
    #[inline]
    pub(super) fn rrset(self, rtype: Rtype) -> Option<RrSet<'z>> {
        let (headers, wire) = self.split();
        let mut start = 0;
        for header in headers {
            let RrSetEntry { rtype: other, ttl, count, len } = RrSetEntry::read(header);
            let len = usize::from(len);
            if other == rtype {
                return Some(RrSet::stored(rtype, ttl, count, &wire[start..start + len]));
            }
            start += len;
        }
        None
    }

    /// The number of the node behind this one, which has the number `id`.
    pub(super) fn next(self, id: NodeId) -> NodeId {
        let records: usize = self.split().0.iter().map(|header| usize::from(RrSetEntry::read(header).len)).sum();
        let len = self.sets() + self.count() * SET_LEN + records;
        NodeId::from_index(id.index() + len.div_ceil(GRAIN))
    }

    /// The offset of the links to other nodes: behind the name.
    #[inline]
    fn links(self) -> usize {
        HEADER_LEN + usize::from(self.0[1])
    }

    /// The offset of the RRsets.
    #[inline]
    fn sets(self) -> usize {
        let first = self.0[0];
        let occluder = if self.is_occluded() { LINK_LEN } else { 0 };
        let wildcard = if first & HAS_WILDCARD != 0 { LINK_LEN } else { 0 };
        self.links() + occluder + wildcard
    }

    #[inline]
    fn link(self, at: usize) -> NodeId {
        let octets = self.0[at..].first_chunk().expect("a node has the links that it says it has");
        NodeId(u32::from_ne_bytes(*octets))
    }
}

impl RrSetEntry {
    /// Reads the header of an RRset.
    #[inline]
    fn read(octets: &[u8; SET_LEN]) -> Self {
        let [type_a, type_b, count_a, count_b, len_a, len_b, ttl @ ..] = *octets;
        RrSetEntry {
            rtype: Rtype(u16::from_ne_bytes([type_a, type_b])),
            count: u16::from_ne_bytes([count_a, count_b]),
            len: u16::from_ne_bytes([len_a, len_b]),
            ttl: Ttl(u32::from_ne_bytes(ttl)),
        }
    }
}

/// A node to be written.
pub(super) struct NodeDraft<'b> {
    pub(super) name: Name<'b>,
    pub(super) kind: NodeKind,
    pub(super) wildcard: Option<NodeId>,
    pub(super) rrsets: &'b [RrSetEntry],
    /// The records of all its RRsets.
    pub(super) wire: &'b [u8],
}

impl NodeDraft<'_> {
    /// The size of the node in units of [`GRAIN`].
    pub(super) fn grains(&self) -> usize {
        let occluder = if matches!(self.kind, NodeKind::Cut(_) | NodeKind::Dname(_)) { LINK_LEN } else { 0 };
        let links = occluder + if self.wildcard.is_some() { LINK_LEN } else { 0 };
        (HEADER_LEN + self.name.len() + links + self.rrsets.len() * SET_LEN + self.wire.len()).div_ceil(GRAIN)
    }

    /// The same node, whose links have the numbers of nodes in place of places in the order of building.
    pub(super) fn renumbered(self, ids: &[NodeId]) -> Self {
        let kind = match self.kind {
            NodeKind::Cut(place) => NodeKind::Cut(ids[place.index()]),
            NodeKind::Dname(place) => NodeKind::Dname(ids[place.index()]),
            kind => kind,
        };
        NodeDraft { kind, wildcard: self.wildcard.map(|place| ids[place.index()]), ..self }
    }

    /// Appends the node.
    pub(super) fn write(&self, entries: &mut Vec<u8>) {
        let start = entries.len();
        let (kind, occluder) = match self.kind {
            NodeKind::Static => (STATIC, None),
            NodeKind::Steered => (STEERED, None),
            NodeKind::Cut(id) => (CUT, Some(id)),
            NodeKind::Dname(id) => (DNAME, Some(id)),
        };
        let has_wildcard = if self.wildcard.is_some() { HAS_WILDCARD } else { 0 };
        entries.extend_from_slice(&[kind | has_wildcard, self.name.len() as u8]);
        // There are fewer types than 2^16.
        entries.extend_from_slice(&(self.rrsets.len() as u16).to_ne_bytes());
        entries.extend_from_slice(self.name.as_wire());
        for id in occluder.into_iter().chain(self.wildcard) {
            entries.extend_from_slice(&id.0.to_ne_bytes());
        }
        for set in self.rrsets {
            for number in [set.rtype.0, set.count, set.len] {
                entries.extend_from_slice(&number.to_ne_bytes());
            }
            entries.extend_from_slice(&set.ttl.0.to_ne_bytes());
        }
        entries.extend_from_slice(self.wire);
        entries.resize(start + self.grains() * GRAIN, 0);
    }
}
