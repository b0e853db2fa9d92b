//! The builder of a [`Zone`]: nodes are made as records are added, RRsets are grouped at the end.
//!
//! In: owners in any order, rdata in uncompressed wire form, and a *tag* for each record: a number by which the caller finds
//! the place where the record was written. Out: the zone with its warnings, or all errors and warnings.
//!
//! **Invariants**: a node is made after its parent; the properties of rdata that lookups rely on (lengths, names) are
//! checked when a record is added.
//! **Not here**: the rules for a whole zone ([`super::check`]).

use super::check;
use super::entry::{self, NodeDraft, NodeKind};
use super::group::{NewRecord, Origins, RrSets, group};
use super::problem::ReservedOwner;
use super::rrset::{IS_SIGNED, max_rrset_len};
use super::table::HashTable;
use super::{
    CanonicalOrder, HashedOrder, NegativeSoa, Node, RECORD_HEADER_LEN, Record, RrSet, SignatureCount, Steered, Zone,
    ZoneProblem,
};
use crate::base::diagnostic::Severity;
use crate::base::ids::NodeId;
use crate::base::name::{Name, NameBuf, Suffixes};
use crate::base::rdata;
use crate::base::rr::Rtype;
use crate::base::time::{Ttl, UnixTime};
use crate::base::words::words;

/// The most names in a zone, empty non-terminals among them: 50 million take some 6 GB. A larger zone is likely a mistake.
pub(crate) const MAX_NODES: usize = 50_000_000;

/// The most bytes of all names, and of all records, of a zone: offsets have 32 bits.
const MAX_ARENA_LEN: usize = u32::MAX as usize;

/// Builds a zone from its records.
pub struct ZoneBuilder {
    apex_labels: usize,
    deepest_labels: usize,
    table: HashTable,
    /// The offset of each node's name in `names`.
    nodes: Vec<u32>,
    names: Vec<u8>,
    /// The child `*` of a node and the node.
    wildcards: Vec<(u32, u32)>,
    /// Each node's parent; the apex is its own.
    parents: Vec<u32>,
    records: Vec<NewRecord>,
    /// The records' rdata, back to back in their order.
    rdata: Vec<u8>,
    steered: Vec<(NodeId, Steered, u32)>,
    reserved: Vec<ReservedOwner>,
    /// The node of the record added last: the next one often has the same owner.
    last: u32,
}

impl ZoneBuilder {
    /// A zone without records.
    pub fn new(apex: NameBuf) -> Self {
        let apex = apex.as_name();
        let suffixes = apex.suffixes();
        let mut builder = ZoneBuilder {
            apex_labels: suffixes.labels(),
            deepest_labels: suffixes.labels(),
            table: HashTable::new(),
            nodes: Vec::new(),
            names: Vec::new(),
            wildcards: Vec::new(),
            parents: Vec::new(),
            records: Vec::new(),
            rdata: Vec::new(),
            steered: Vec::new(),
            reserved: Vec::new(),
            last: 0,
        };
        builder.push_node(apex, suffixes.hash(suffixes.labels()), 0);
        builder
    }

    /// A zone with the records and steered owners of another.
    pub(super) fn like(zone: &Zone) -> Result<Self, AddError> {
        let mut builder = ZoneBuilder::with_records_of(zone)?;
        for (owner, steered) in zone.steered_owners() {
            builder.steer(owner, steered, 0)?;
        }
        Ok(builder)
    }

    /// A zone with the records of another, and without steered owners.
    pub(super) fn with_records_of(zone: &Zone) -> Result<Self, AddError> {
        let mut builder = ZoneBuilder::new(zone.apex().to_owned());
        for Record { owner, rtype, ttl, rdata } in zone.nodes().flat_map(Node::records) {
            builder.add(owner, rtype, ttl, rdata, 0)?;
        }
        Ok(builder)
    }

    /// Makes an owner exist, with records or without.
    pub(super) fn add_owner(&mut self, owner: Name<'_>) -> Result<(), AddError> {
        self.intern(owner).map(|_| ())
    }

    /// Adds a record of class IN; `tag` comes back in a [`ZoneProblem`] that is about it.
    pub fn add(&mut self, owner: Name<'_>, rtype: Rtype, ttl: Ttl, rdata: &[u8], tag: u32) -> Result<(), AddError> {
        if rtype.is_meta() || rtype.0 == 0 {
            return Err(AddError::MetaType);
        }
        if !rdata::is_valid(rtype, rdata) {
            return Err(AddError::BadRdata);
        }
        let rdata_len = u16::try_from(rdata.len()).map_err(|_| AddError::TooLong)?;
        if RECORD_HEADER_LEN + rdata.len() > max_rrset_len(owner) {
            return Err(AddError::TooLong);
        }
        let node = self.intern(owner)?;
        if self.rdata.len() + rdata.len() + (self.records.len() + 1) * RECORD_HEADER_LEN > MAX_ARENA_LEN {
            return Err(AddError::TooMany);
        }
        let start = self.rdata.len() as u32;
        self.rdata.extend_from_slice(rdata);
        self.records.push(NewRecord { node, rtype, rdata_len, rdata: start, ttl, tag });
        Ok(())
    }

    /// Makes the addresses of `owner` depend on the client.
    pub fn steer(&mut self, owner: Name<'_>, steered: Steered, tag: u32) -> Result<(), AddError> {
        let node = NodeId(self.intern(owner)?);
        if self.steered.iter().any(|(other, ..)| *other == node) {
            return Err(AddError::SteeredTwice);
        }
        self.steered.push((node, steered, tag));
        Ok(())
    }

    /// Reserves a name for records that are added while the zone is served. The name does not exist by that.
    pub(crate) fn reserve(&mut self, owner: ReservedOwner) {
        self.reserved.push(owner);
    }

    /// Finishes the zone: gives the zone and its warnings, or all errors and warnings, by tag.
    pub fn finish(mut self) -> Result<(Zone, Vec<ZoneProblem>), Vec<ZoneProblem>> {
        let mut problems = Vec::new();
        self.steered.sort_by_key(|(node, ..)| *node);
        let steered_tags = self.steered.iter().map(|(.., tag)| *tag).collect();
        let (nodes, names) = (&self.nodes, &self.names);
        let name_of = |node| name_at(nodes, names, node);
        let (sets, mut origins) = group(&self.records, &self.rdata, name_of, steered_tags, &mut problems);
        (self.records, self.rdata) = Default::default();
        let reserved = std::mem::take(&mut self.reserved);
        let is_signed = sets.entries.iter().any(|set| set.count & IS_SIGNED != 0);
        let mut zone = self.into_zone(sets, &mut origins);
        check::check(&zone, &origins, &reserved, &mut problems);
        problems.sort_by_key(|problem| problem.tag);
        if problems.iter().any(|problem| problem.fault.severity() == Severity::Error) {
            return Err(problems);
        }
        zone.negative_soa = NegativeSoa::of(zone.soa(), zone.apex());
        zone.order = is_signed.then(|| CanonicalOrder::of(&zone));
        zone.hashed = if is_signed { HashedOrder::of(&zone) } else { None };
        zone.signatures = if is_signed { count_signatures(&zone) } else { SignatureCount::default() };
        Ok((zone, problems))
    }

    /// The node of a name, made with all its missing ancestors if need be.
    fn intern(&mut self, name: Name<'_>) -> Result<u32, AddError> {
        if self.name_of(self.last) == name {
            return Ok(self.last);
        }
        if !name.ends_with(self.name_of(0)) {
            return Err(AddError::OutOfZone);
        }
        let suffixes = name.suffixes();
        let (labels, mut node) = self.nearest(name, &suffixes);
        for labels in labels + 1..=suffixes.labels() {
            if self.nodes.len() >= MAX_NODES || self.names.len() + name.len() > MAX_ARENA_LEN {
                return Err(AddError::TooMany);
            }
            let suffix = Name::trusted(&name.as_wire()[suffixes.start(labels)..]);
            node = self.push_node(suffix, suffixes.hash(labels), node);
            self.deepest_labels = self.deepest_labels.max(labels);
        }
        self.last = node;
        Ok(node)
    }

    /// The longest suffix of a name in the zone that has a node: its number of labels, and the node.
    fn nearest(&self, name: Name<'_>, suffixes: &Suffixes) -> (usize, u32) {
        for labels in (self.apex_labels + 1..=suffixes.labels()).rev() {
            let suffix = Name::trusted(&name.as_wire()[suffixes.start(labels)..]);
            if let Some(node) = self.table.find(suffixes.hash(labels), |node| self.name_of(node) == suffix) {
                return (labels, node);
            }
        }
        (self.apex_labels, 0)
    }

    fn push_node(&mut self, name: Name<'_>, hash: u64, parent: u32) -> u32 {
        let node = self.nodes.len() as u32;
        self.nodes.push(self.names.len() as u32);
        self.names.extend_from_slice(name.as_wire());
        self.parents.push(parent);
        if name.is_wildcard() && node > 0 {
            self.wildcards.push((parent, node));
        }
        self.table.insert(hash, node);
        node
    }

    fn name_of(&self, node: u32) -> Name<'_> {
        name_at(&self.nodes, &self.names, node)
    }

    /// Puts the zone together; the SOA of negative answers is still missing.
    fn into_zone(mut self, sets: RrSets, origins: &mut Origins) -> Zone {
        // Until here a node's number is its place in the order of building; in the zone, it is its position in memory.
        let kinds = self.kinds(&sets);
        let mut wildcards: Vec<Option<NodeId>> = vec![None; self.nodes.len()];
        for &(parent, child) in &self.wildcards {
            wildcards[parent as usize] = Some(NodeId(child));
        }
        let mut ids: Vec<NodeId> = Vec::with_capacity(self.nodes.len());
        let mut grains = 0;
        for draft in self.drafts(&sets, &kinds, &wildcards) {
            ids.push(NodeId::from_index(grains));
            grains += draft.grains();
        }
        let mut entries = Vec::with_capacity(grains * entry::GRAIN);
        for draft in self.drafts(&sets, &kinds, &wildcards) {
            draft.renumbered(&ids).write(&mut entries);
        }
        self.table.renumber(|node| ids[node as usize].0);
        let mut set = 0;
        for owners in sets.nodes.chunk_by(|a, b| a == b) {
            origins.nodes.push((ids[owners[0] as usize], set));
            set += owners.len() as u32;
        }
        Zone {
            table: self.table,
            entries,
            wire_len: sets.wire.len(),
            steered: self.steered.iter().map(|(node, steered, _)| (ids[node.index()], *steered)).collect(),
            apex_labels: self.apex_labels,
            deepest_labels: self.deepest_labels,
            lack: None,
            negative_soa: NegativeSoa::default(),
            order: None,
            hashed: None,
            dynamic: Vec::new(),
            signatures: SignatureCount::default(),
        }
    }

    /// The kind of each node; the nodes that occlude others by place.
    fn kinds(&self, sets: &RrSets) -> Vec<NodeKind> {
        let mut kinds: Vec<NodeKind> = Vec::with_capacity(self.nodes.len());
        let firsts = self.firsts(sets);
        let holds = |node: u32, rtype| {
            let own = firsts[node as usize] as usize..firsts[node as usize + 1] as usize;
            sets.entries[own].iter().any(|entry| entry.rtype == rtype)
        };
        for (node, &parent) in (0..).zip(&self.parents) {
            let kind = match kinds.get(parent as usize) {
                None => NodeKind::Static,
                Some(kind @ (NodeKind::Cut(_) | NodeKind::Dname(_))) => *kind,
                Some(_) if holds(parent, Rtype::DNAME) => NodeKind::Dname(NodeId(parent)),
                Some(_) if holds(node, Rtype::NS) => NodeKind::Cut(NodeId(node)),
                Some(_) => NodeKind::Static,
            };
            kinds.push(kind);
        }
        for (node, ..) in &self.steered {
            let kind = &mut kinds[node.index()];
            if *kind == NodeKind::Static {
                *kind = NodeKind::Steered;
            }
        }
        kinds
    }

    /// Each node's first RRset, and one more that closes the last.
    fn firsts(&self, sets: &RrSets) -> Vec<u32> {
        let mut firsts = Vec::with_capacity(self.nodes.len() + 1);
        for (set, &owner) in (0..).zip(&sets.nodes) {
            firsts.resize(firsts.len().max(owner as usize + 1), set);
        }
        firsts.resize(self.nodes.len() + 1, sets.nodes.len() as u32);
        firsts
    }

    /// The nodes in the form to write, except that other nodes in them are still numbered by place.
    fn drafts<'b>(
        &'b self,
        sets: &'b RrSets,
        kinds: &'b [NodeKind],
        wildcards: &'b [Option<NodeId>],
    ) -> impl Iterator<Item = NodeDraft<'b>> {
        let (mut first, mut start) = (0, 0);
        kinds.iter().zip(wildcards).zip(0..).map(move |((&kind, &wildcard), node)| {
            let count = sets.nodes[first..].iter().take_while(|owner| **owner == node).count();
            let rrsets = &sets.entries[first..first + count];
            let len: usize = rrsets.iter().map(|set| usize::from(set.len)).sum();
            let wire = &sets.wire[start..start + len];
            (first, start) = (first + count, start + len);
            NodeDraft { name: self.name_of(node), kind, wildcard, rrsets, wire }
        })
    }
}

fn count_signatures(zone: &Zone) -> SignatureCount {
    let mut signatures = SignatureCount::default();
    for (_, rdata) in zone.nodes().flat_map(Node::rrsets).flat_map(RrSet::signature_records) {
        // RFC 4034 §3.1: type, algorithm, labels, TTL, expiration.
        let expires =
            rdata.get(8..).and_then(|rest| rest.first_chunk()).map_or(0, |octets| u32::from_be_bytes(*octets));
        signatures.add(UnixTime(expires.into()));
    }
    signatures
}

fn name_at<'a>(starts: &[u32], names: &'a [u8], node: u32) -> Name<'a> {
    let node = node as usize;
    let end = starts.get(node + 1).map_or(names.len(), |end| *end as usize);
    Name::trusted(&names[starts[node] as usize..end])
}

words! {
    /// The reason why a record or a steered owner cannot be part of a zone.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum AddError: Display {
        /// The owner is neither the apex nor below it.
        OutOfZone = "the owner is not in the zone",
        /// The type is one that is asked for or made for one message, never stored (RFC 6895 §3.1).
        MetaType = "records of this type cannot be stored in a zone",
        /// The rdata is not that of its type.
        BadRdata = "the record data is not that of its type",
        /// The record does not fit into an answer.
        TooLong = "the record is too long for an answer",
        /// The zone has [`MAX_NODES`] names, or 4 GiB of names or records.
        TooMany = "the zone is too large",
        /// The owner is steered already.
        SteeredTwice = "the owner is steered twice",
    }
}

impl std::error::Error for AddError {}
