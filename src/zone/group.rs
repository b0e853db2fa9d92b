//! Records gathered into RRsets, each with the RRSIGs that cover it behind it.
//!
//! **Invariants**: records with the same rdata are one (RFC 2181 §5), and keep their order; RRSIGs follow the RRset that
//! each of them covers.
//! **Not here**: the order of nodes ([`super::build`]), the place of RRsets in memory ([`super::entry`]).

use std::collections::HashSet;

use super::dnssec::covered;
use super::entry::RrSetEntry;
use super::problem::ZoneFault;
use super::rrset::{IS_SIGNED, MAX_RRSET_LEN, max_rrset_len, push_record};
use super::{RECORD_HEADER_LEN, ZoneProblem};
use crate::base::ids::NodeId;
use crate::base::name::Name;
use crate::base::rdata::canonical;
use crate::base::rr::Rtype;
use crate::base::time::Ttl;

/// Groups records, whose rdata is in `rdata`, into RRsets. `name_of` returns the name of a node.
pub(super) fn group<'n>(
    records: &[NewRecord],
    rdata: &[u8],
    name_of: impl Fn(u32) -> Name<'n>,
    steered: Vec<u32>,
    problems: &mut Vec<ZoneProblem>,
) -> (RrSets, Origins) {
    let mut order: Vec<(u64, u32)> = records.iter().zip(0..).map(|(record, at)| (record.key(rdata), at)).collect();
    order.sort_unstable();
    let wire = Vec::with_capacity(rdata.len() + records.len() * RECORD_HEADER_LEN);
    let sets = RrSets { nodes: Vec::new(), entries: Vec::new(), wire };
    let mut grouping = Grouping { rdata, name_of, sets, problems };
    let mut origins =
        Origins { nodes: Vec::new(), firsts: Vec::new(), records: Vec::with_capacity(records.len()), steered };
    let mut members: Vec<NewRecord> = Vec::new();
    for same in order.chunk_by(|a, b| a.0 == b.0) {
        members.clear();
        members.extend(same.iter().map(|&(_, at)| records[at as usize]));
        drop_duplicates(&mut members, rdata);
        if members[0].rtype == Rtype::RRSIG {
            grouping.push_signatures(&members);
            continue;
        }
        origins.firsts.push(origins.records.len() as u32);
        origins.records.extend(members.iter().map(|record| record.tag));
        grouping.push_rrset(&members);
    }
    origins.firsts.push(origins.records.len() as u32);
    grouping.sets.wire.shrink_to_fit();
    (grouping.sets, origins)
}

/// The RRsets made so far, and the input of the next.
struct Grouping<'b, F> {
    rdata: &'b [u8],
    name_of: F,
    sets: RrSets,
    problems: &'b mut Vec<ZoneProblem>,
}

impl<'n, F: Fn(u32) -> Name<'n>> Grouping<'_, F> {
    /// Writes RRSIGs, at least one, behind the RRset that these cover. RRSIGs without an RRset are left out, because the
    /// answer could not carry them.
    fn push_signatures(&mut self, members: &[NewRecord]) {
        let (NewRecord { node, tag, .. }, covered) = (members[0], covered(members[0].rdata(self.rdata)));
        let before = self.sets.nodes.last().zip(self.sets.entries.last_mut());
        let owner = (self.name_of)(node);
        let Some((_, set)) = before.filter(|(other, set)| **other == node && set.rtype == covered) else {
            self.problems.push(ZoneFault::SignsNothing { rtype: covered }.at(owner, tag));
            return;
        };
        let start = self.sets.wire.len();
        for record in members {
            push_record(Rtype::RRSIG, record.ttl, record.rdata(self.rdata), &mut self.sets.wire);
        }
        let len = self.sets.wire.len() - start;
        // An answer has room for an RRset with its signatures.
        let most = max_rrset_len(owner).saturating_sub(set.len.into());
        if len > most {
            self.problems.push(ZoneFault::RrSetTooLong { rtype: Rtype::RRSIG, len, most }.at(owner, tag));
            self.sets.wire.truncate(start);
        } else {
            (set.count, set.len) = (set.count | IS_SIGNED, set.len + len as u16);
        }
    }

    /// Writes one RRset from its records, of which there is at least one.
    fn push_rrset(&mut self, members: &[NewRecord]) {
        let NewRecord { node, rtype, ttl: first_ttl, tag: first, .. } = members[0];
        let owner = (self.name_of)(node);
        // RFC 2181 §5.2: if the TTLs of an RRset differ, all records get the least.
        let least = members.iter().map(|record| record.ttl).min().unwrap_or(first_ttl);
        let odd = members.iter().find(|record| record.ttl != first_ttl);
        if let Some(&NewRecord { tag, .. }) = odd {
            let fault = ZoneFault::TtlsDiffer { rtype, least };
            self.problems.push(fault.at(owner, tag).with(first, "another TTL here"));
        }
        let start = self.sets.wire.len();
        for record in members {
            push_record(rtype, least, record.rdata(self.rdata), &mut self.sets.wire);
        }
        let len = self.sets.wire.len() - start;
        let most = max_rrset_len(owner);
        if len > most {
            self.problems.push(ZoneFault::RrSetTooLong { rtype, len, most }.at(owner, first));
        }
        // An RRset that passes has fewer records.
        let count = members.len().min(usize::from(IS_SIGNED - 1)) as u16;
        self.sets.nodes.push(node);
        // An RRset that passes is no longer than that; one that does not pass is an error, and is never served.
        let len = len.min(MAX_RRSET_LEN);
        self.sets.wire.truncate(start + len);
        self.sets.entries.push(RrSetEntry { ttl: least, rtype, count, len: len as u16 });
    }
}

/// A record as it came in.
#[derive(Clone, Copy)]
pub(super) struct NewRecord {
    pub(super) node: u32,
    pub(super) rtype: Rtype,
    pub(super) rdata_len: u16,
    pub(super) rdata: u32,
    pub(super) ttl: Ttl,
    pub(super) tag: u32,
}

/// The RRsets of a zone by node and type.
pub(super) struct RrSets {
    /// The node of each RRset.
    pub(super) nodes: Vec<u32>,
    pub(super) entries: Vec<RrSetEntry>,
    pub(super) wire: Vec<u8>,
}

/// The places where the records and steered owners of the zone were written, as tags.
pub(super) struct Origins {
    /// Each node that has records, in order, with its first RRset in `firsts`.
    pub(super) nodes: Vec<(NodeId, u32)>,
    /// Each RRset's first record in `records`, and one more that closes the last.
    firsts: Vec<u32>,
    /// The tag of each record except RRSIGs, in the order of the RRsets.
    records: Vec<u32>,
    /// The tag of each steered owner, in order of node.
    pub(super) steered: Vec<u32>,
}

impl Origins {
    /// The tags of the records of the `index`th RRset of a node.
    pub(super) fn of_rrset(&self, node: NodeId, index: usize) -> &[u32] {
        let at = self.nodes.partition_point(|(other, _)| *other < node);
        let index = self.nodes[at].1 as usize + index;
        &self.records[self.firsts[index] as usize..self.firsts[index + 1] as usize]
    }
}

impl NewRecord {
    /// The key that the records of one RRset share. It sorts by node, then type; RRSIGs are behind the type that each
    /// covers.
    fn key(&self, all: &[u8]) -> u64 {
        let is_signature = self.rtype == Rtype::RRSIG;
        let rtype = if is_signature { covered(self.rdata(all)) } else { self.rtype };
        u64::from(self.node) << 17 | u64::from(rtype.0) << 1 | u64::from(is_signature)
    }

    fn rdata<'a>(&self, all: &'a [u8]) -> &'a [u8] {
        &all[self.rdata as usize..][..usize::from(self.rdata_len)]
    }
}

/// Drops all but the first of records with the same rdata (RFC 2181 §5), and keeps the order.
fn drop_duplicates(members: &mut Vec<NewRecord>, rdata: &[u8]) {
    if members.len() < 2 {
        return;
    }
    let mut seen = HashSet::with_capacity(members.len());
    members.retain(|record| seen.insert(canonical(record.rtype, record.rdata(rdata))));
}
