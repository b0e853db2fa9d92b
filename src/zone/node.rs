//! A name of a zone: whether it exists by itself, its RRsets, and the delegation or DNAME that occludes it.
//!
//! **Invariants**: an id is one of the zone of its node.
//! **Not here**: finding names ([`Zone::find`]), the bytes of an entry ([`super::entry`]).
//!
//! RFC 1034 §4.2 (cuts), RFC 4035 §2.2 (signatures), RFC 6672 (DNAME).

use super::entry::{NodeEntry, NodeKind};
use super::{RrSet, Steered, Zone};
use crate::base::ids::NodeId;
use crate::base::name::Name;
use crate::base::rr::Rtype;

/// A name of a zone, with its data.
#[derive(Clone, Copy)]
pub struct Node<'z> {
    pub(super) zone: &'z Zone,
    pub(super) id: NodeId,
}

impl<'z> Node<'z> {
    /// The id in its zone.
    pub fn id(self) -> NodeId {
        self.id
    }

    /// The name, in the case it was first written in.
    pub fn owner(self) -> Name<'z> {
        self.zone.owner(self.id.0)
    }

    /// The RRset of a type; `None` for RRSIG, because RRSIGs belong to the RRsets that carry them.
    #[inline]
    pub fn rrset(self, rtype: Rtype) -> Option<RrSet<'z>> {
        self.entry().rrset(rtype)
    }

    /// All RRsets with their signatures, in order of type; RRSIGs are no RRset of their own here (RFC 4035 §2.2).
    #[inline]
    pub fn rrsets(self) -> impl Iterator<Item = RrSet<'z>> {
        self.entry().rrsets()
    }

    /// The signatures of the first RRset that has any, as an RRset.
    pub(crate) fn signatures(self) -> Option<RrSet<'z>> {
        self.rrsets().find_map(RrSet::signatures)
    }

    /// The steering of this name; `None` if its addresses do not depend on the client.
    #[inline]
    pub(crate) fn steered(self) -> Option<Steered> {
        if !self.entry().is_steered() {
            return None;
        }
        let at = self.zone.steered.binary_search_by_key(&self.id, |(id, _)| *id).ok()?;
        Some(self.zone.steered[at].1)
    }

    /// True for an empty non-terminal: the node has no records.
    pub fn is_empty(self) -> bool {
        self.entry().count() == 0 && !self.entry().is_steered()
    }

    /// True if [`Node::cut`] or [`Node::dname`] returns a node.
    #[inline]
    pub(crate) fn is_occluded(self) -> bool {
        self.entry().is_occluded()
    }

    /// The topmost delegation (NS below the apex) at or above this node; `None` if a DNAME stands above it.
    pub fn cut(self) -> Option<NodeId> {
        match self.entry().kind() {
            NodeKind::Cut(id) => Some(id),
            _ => None,
        }
    }

    /// The topmost DNAME owner strictly above this node; `None` if a delegation stands at or above it.
    pub fn dname(self) -> Option<NodeId> {
        match self.entry().kind() {
            NodeKind::Dname(id) => Some(id),
            _ => None,
        }
    }

    #[inline]
    pub(super) fn entry(self) -> NodeEntry<'z> {
        NodeEntry::at(&self.zone.entries, self.id)
    }
}

impl std::fmt::Debug for Node<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Node({} {})", self.id.0, self.owner())
    }
}
