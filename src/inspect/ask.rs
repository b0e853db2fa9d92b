//! Queries to the engine as a resolver sends them: encode the query, let the engine respond, decode the reply.
//!
//! **Invariants**: a query is well-formed for every name, type and subnet; the transport is TCP, so that no reply is
//! truncated.
//! **Not here**: the expected reply ([`super::sweep()`]).

use std::net::IpAddr;

use crate::base::client::{Client, ScopePrefixLen, Subnet};
use crate::base::name::Name;
use crate::base::prefix::Block;
use crate::base::rr::{Class, Rtype};
use crate::base::time::{Now, Ttl};
use crate::snapshot::Snapshot;
use crate::wire::{self, MAX_STREAM, PassedRecord, Peer, Summary, Transport, pass_record, skip_questions};

/// The option code of a client subnet (RFC 7871 §6).
const OPTION_ECS: u16 = 8;

/// Sends many queries with the same buffers.
pub(super) struct Asker<'s> {
    snapshot: &'s Snapshot,
    query: Vec<u8>,
    reply: Box<[u8]>,
}

impl<'s> Asker<'s> {
    pub(super) fn new(snapshot: &'s Snapshot) -> Self {
        Asker { snapshot, query: Vec::with_capacity(512), reply: vec![0; MAX_STREAM].into() }
    }

    /// Sends a query of a resolver, with a client subnet if the resolver has one; returns the engine's summary, and the reply.
    /// `None` if the engine does not reply; it replies to every well-formed query.
    pub(super) fn ask(&mut self, name: Name<'_>, qtype: Rtype, client: &Client) -> Option<(Summary, &[u8])> {
        write_query(name, qtype, client.subnet, &mut self.query);
        let peer = Peer { address: client.resolver, transport: Transport::Tcp };
        let reply = wire::respond(&self.query, peer, self.snapshot, Now::default(), &mut self.reply)?;
        Some((reply.summary, self.reply.get(..reply.len)?))
    }
}

/// Writes a query with one question and an OPT record, which has no ECS option without a subnet.
fn write_query(name: Name<'_>, qtype: Rtype, subnet: Option<Subnet>, query: &mut Vec<u8>) {
    query.clear();
    // ID 0, no flag, one question, one additional record.
    query.extend_from_slice(&[0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1]);
    query.extend_from_slice(name.as_wire());
    query.extend_from_slice(&qtype.0.to_be_bytes());
    query.extend_from_slice(&Class::IN.0.to_be_bytes());
    query.push(0);
    query.extend_from_slice(&Rtype::OPT.0.to_be_bytes());
    query.extend_from_slice(&[0xff, 0xff, 0, 0, 0, 0]);
    let Some(subnet) = subnet else { return query.extend_from_slice(&[0, 0]) };
    // RFC 7871 §6: as many bytes as the source prefix needs, zero beyond it.
    let used = usize::from(subnet.source.0).div_ceil(8);
    query.extend_from_slice(&((8 + used) as u16).to_be_bytes());
    query.extend_from_slice(&OPTION_ECS.to_be_bytes());
    query.extend_from_slice(&((4 + used) as u16).to_be_bytes());
    match subnet.address {
        IpAddr::V4(v4) => {
            query.extend_from_slice(&[0, 1, subnet.source.0, 0]);
            query.extend_from_slice(&Block::holding(v4.to_bits(), subnet.source.0).first().to_be_bytes()[..used]);
        }
        IpAddr::V6(v6) => {
            query.extend_from_slice(&[0, 2, subnet.source.0, 0]);
            query.extend_from_slice(&Block::holding(v6.to_bits(), subnet.source.0).first().to_be_bytes()[..used]);
        }
    }
}

/// The parts of a reply that a resolver uses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// The rdata of the answer section's records of the queried type, concatenated.
    pub(super) rdata: Vec<u8>,
    /// The least TTL of these records.
    pub(super) ttl: Option<Ttl>,
    /// The scope in the ECS option.
    pub(super) scope: Option<ScopePrefixLen>,
}

impl Seen {
    /// Reads a reply with one question, keeping the buffer; `None` if it cannot be read.
    pub(super) fn read(&mut self, octets: &[u8], qtype: Rtype) -> Option<()> {
        self.rdata.clear();
        (self.ttl, self.scope) = (None, None);
        let (counts, mut rest) = skip_questions(octets)?;
        let [answers, authorities, additional] = counts.map(u32::from);
        for index in 0..answers + authorities + additional {
            let PassedRecord { rtype, ttl, rdata, .. } = pass_record(&mut rest)?;
            if rtype == qtype && index < answers {
                self.rdata.extend_from_slice(rdata);
                self.ttl = Some(self.ttl.map_or(ttl, |least| least.min(ttl)));
            } else if rtype == Rtype::OPT {
                self.scope = scope_in(rdata);
            }
        }
        Some(())
    }
}

/// The scope prefix of the ECS option among an OPT record's options.
fn scope_in(options: &[u8]) -> Option<ScopePrefixLen> {
    let mut rest = options;
    while let Some((&[code_high, code_low, len_high, len_low], after)) = rest.split_first_chunk() {
        let (data, after) = after.split_at_checked(usize::from(u16::from_be_bytes([len_high, len_low])))?;
        if u16::from_be_bytes([code_high, code_low]) == OPTION_ECS {
            return data.get(3).copied().map(ScopePrefixLen);
        }
        rest = after;
    }
    None
}
