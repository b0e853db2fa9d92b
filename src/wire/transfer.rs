//! Zone transfers: the whole zone (RFC 5936), or the changes since a serial (RFC 1995).
//!
//! [`begin`] tells whether a message asks for a transfer that is permitted. The [`Transfer`] then fills one message after
//! another. If the transfer is refused, [`super::respond`] replies with the reason.
//!
//! Owners are compressed only against the apex and the previous owner, because nearly all repetition is there. So a record
//! costs the same anywhere in a zone.
//!
//! **Invariants**: all messages are of one version of the zone; the first record and the last are its SOA (RFC 5936 §2.2);
//! every message of a signed request is signed; a transfer keeps its zone alive, and nothing else of a snapshot.
//! **Not here**: the permissions ([`crate::snapshot`]), streams.

mod pack;

use std::sync::Arc;

use arrayvec::ArrayVec;

use pack::Packer;

use super::decode::{OPCODE_QUERY, decode};
use super::encode::{OPT_LEN, bare_opt};
use super::record::{HEADER_LEN, MessageWriter, PassedRecord, expand, pass_record};
use super::tsig::{self, Signer, TsigVerdict};
use super::{Cookie, EcsEffect, Limit, MAX_STREAM, Peer, Summary};
use crate::answer::{Basis, Edns, Outcome, Query, Question};
use crate::base::ids::{KeyId, NodeId, ZoneId};
use crate::base::name::MAX_NAME_LEN;
use crate::base::prefix::Family;
use crate::base::rr::{Class, Ede, Rcode, Rtype};
use crate::base::time::{Now, UnixTime};
use crate::snapshot::{Snapshot, SteeredExport};
use crate::zone::{Difference, Record, Records, Zone, is_newer, soa_numbers};

/// Length in bytes at which a message of a transfer is full. Pointers reach no further (RFC 1035 §4.1.4), so longer messages
/// save nothing. A single record may be longer.
const FULL_AT: usize = 1 << 14;

/// Maximum length in bytes of a question: a name, a type and a class.
const MAX_QUESTION_LEN: usize = MAX_NAME_LEN + 4;

/// Reason for refusing a transfer: the response code, and the extended error to add.
pub type Denial = (Rcode, Option<Ede>);

/// A transfer that has been permitted.
#[derive(Debug)]
pub struct Transfer {
    id: u16,
    recursion_desired: u8,
    question: ArrayVec<u8, MAX_QUESTION_LEN>,
    /// The payload size to announce, and the DO bit; `None` if the query has no OPT record.
    edns: Option<(u16, bool)>,
    signer: Option<Signer>,
    zone: Arc<Zone>,
    /// The records sent instead of steered ones.
    steered: Records,
    /// The changes sent instead of the whole zone.
    changes: Vec<Arc<Difference>>,
    next: TransferStage,
    summary: Summary,
}

/// Position of the next record to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TransferStage {
    /// The SOA at the front, and the content that follows it.
    FirstSoa(Content),
    /// A record of the zone, by node, set and place in it.
    Zone((usize, usize, usize)),
    /// A record sent instead of steered ones, by offset.
    Steered(usize),
    /// A part of a change, counted from the first part of the first change, and a record in it by offset.
    Changes(usize, usize),
    /// The SOA at the end.
    LastSoa,
    /// The transfer is complete.
    Done,
}

/// Content of a transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Content {
    /// The whole zone.
    Zone,
    /// Changes.
    Changes,
    /// The SOA alone: the client has the current version (RFC 1995 §2).
    Soa,
}

/// Begins a transfer over a stream; `None` if the message asks for none, or if the transfer is refused.
pub fn begin(message: &[u8], peer: Peer, snapshot: &Snapshot, now: Now) -> Option<Transfer> {
    let query = decode(message)?;
    let question = query.question.filter(|question| is_asked(&query, question))?;
    let (key, signer) = match tsig::authenticate(message, query.tsig, &snapshot.transfers().keys, now.unix) {
        TsigVerdict::Unsigned => (None, None),
        TsigVerdict::Signed(key, signer) => (Some(key), Some(signer)),
        TsigVerdict::Refused(_) | TsigVerdict::Malformed => return None,
    };
    let id = permit(&question, peer, key, snapshot).ok()?;
    let zone = snapshot.zones().base(id);
    let (content, changes) = match question.qtype {
        Rtype::IXFR => changes(serial(message, &question)?, id, snapshot),
        _ => (Content::Zone, Vec::new()),
    };
    let basis = Basis { outcome: Outcome::Answer, zone: Some(id), node: None, steering: None };
    Some(Transfer {
        id: query.id,
        recursion_desired: query.recursion_desired,
        question: question.wire.iter().copied().collect(),
        edns: query.edns.map(|edns: Edns<'_>| (snapshot.settings().udp_payload, edns.dnssec_ok)),
        signer,
        zone: zone.clone(),
        steered: if content == Content::Zone { steered(zone, snapshot) } else { Records::default() },
        changes,
        next: TransferStage::FirstSoa(content),
        summary: Summary {
            qtype: Some(question.qtype),
            rcode: Rcode::NOERROR,
            aa: true,
            truncated: false,
            cookie: Cookie::None,
            limit: Limit::Off,
            ecs: EcsEffect::NotCompared,
            basis,
            notice: None,
        },
    })
}

/// Tells whether a query is for a transfer.
pub(super) fn is_asked(query: &Query<'_>, question: &Question<'_>) -> bool {
    let is_transfer = matches!(question.qtype, Rtype::AXFR | Rtype::IXFR);
    is_transfer && question.qclass == Class::IN && query.opcode == OPCODE_QUERY && query.problem.is_none()
}

/// Returns the zone if its transfer is permitted, or the reason for refusing it.
pub(super) fn permit(
    question: &Question<'_>,
    peer: Peer,
    key: Option<KeyId>,
    snapshot: &Snapshot,
) -> Result<ZoneId, Denial> {
    // RFC 5936 §2.2.1: the name must be the apex of a zone that is served here.
    let Some((id, zone)) = snapshot.zones().at_apex(question.name) else {
        return Err((Rcode::NOTAUTH, Some(Ede::NotAuthoritative)));
    };
    let policy = snapshot.transfers().policy(id);
    if !policy.allow.iter().any(|party| party.is(peer.address, key)) {
        return Err((Rcode::REFUSED, Some(Ede::Prohibited)));
    }
    if zone.is_steered() && policy.steered == SteeredExport::Refused {
        return Err((Rcode::REFUSED, Some(Ede::NotSupported)));
    }
    // Signatures change without a new serial, so a secondary would keep those that have expired.
    if snapshot.signing_terms(id).is_some() {
        return Err((Rcode::REFUSED, Some(Ede::NotSupported)));
    }
    match zone.lack() {
        None => Ok(id),
        Some(ede) => Err((Rcode::SERVFAIL, Some(ede))),
    }
}

/// Returns the serial of the version that the sender of an IXFR query has: that of the SOA in its authority section (RFC
/// 1995 §3). `None` if there is no such SOA.
pub(super) fn serial(message: &[u8], question: &Question<'_>) -> Option<u32> {
    let start = HEADER_LEN + question.wire.len();
    let (owner, _) = expand(message, start)?;
    let PassedRecord { rtype, rdata, .. } = pass_record(&mut message.get(start..)?)?;
    let is_soa = rtype == Rtype::SOA && owner.as_name() == question.name;
    (is_soa && rdata.len() >= 20).then(|| soa_numbers(rdata)[0])
}

/// Selects the content that brings a client with `serial` to the current version of the zone.
fn changes(serial: u32, id: ZoneId, snapshot: &Snapshot) -> (Content, Vec<Arc<Difference>>) {
    let zone = snapshot.zones().zone(id);
    if serial == zone.serial() || is_newer(serial, zone.serial()) {
        return (Content::Soa, Vec::new());
    }
    // The records sent instead of steered ones change without a new serial.
    match snapshot.zones().history(id).since(serial).filter(|_| !zone.is_steered()) {
        Some(changes) => (Content::Changes, changes.to_vec()),
        None => (Content::Zone, Vec::new()),
    }
}

/// The records of all steered owners of a zone, as sent to a client that no rule matches.
fn steered(zone: &Zone, snapshot: &Snapshot) -> Records {
    let mut records = Records::default();
    if !zone.is_steered() {
        return records;
    }
    for node in zone.nodes() {
        let Some(steered) = node.steered() else { continue };
        let plan = snapshot.default_plan(steered.horizon);
        for family in Family::ALL {
            let addresses = snapshot.addresses(steered.horizon, plan, family);
            let Some(set) = addresses.rrset(family, steered.ttl) else { continue };
            records.push_set(node.owner(), set);
        }
        let Some(service) = steered.service else { continue };
        records.push_set(node.owner(), snapshot.service_record(service, plan).rrset(steered.ttl));
    }
    records
}

impl Transfer {
    /// Its summary, for counters and logs.
    pub(crate) fn summary(&self) -> &Summary {
        &self.summary
    }

    /// Fills the next message and returns its length in bytes; `None` if all has been sent.
    ///
    /// # Panics
    /// When `out` has less than [`MAX_STREAM`] bytes.
    pub fn next(&mut self, now: UnixTime, out: &mut [u8]) -> Option<usize> {
        if self.next == TransferStage::Done {
            return None;
        }
        let zone = self.zone.clone();
        let opt_len = self.edns.map_or(0, |_| OPT_LEN);
        let reserved = opt_len + self.signer.as_ref().map_or(0, Signer::room);
        let message = MessageWriter { out: &mut out[..MAX_STREAM], at: HEADER_LEN, limit: MAX_STREAM - reserved };
        let mut packer = Packer::new(message, zone.apex());
        let mut questions = 0u16;
        if matches!(self.next, TransferStage::FirstSoa(_)) {
            // RFC 5936 §2.2.2: the first message has the question; the others need none.
            questions = 1;
            packer.question(&self.question);
        }
        self.fill(&zone, &mut packer);
        let (records, mut len) = (packer.count, packer.message.at);
        out[..2].copy_from_slice(&self.id.to_be_bytes());
        out[2] = 0x84 | self.recursion_desired;
        out[3] = 0;
        for (count, field) in [questions, records, 0, 0].iter().zip(out[4..HEADER_LEN].chunks_exact_mut(2)) {
            field.copy_from_slice(&count.to_be_bytes());
        }
        if let Some((payload, dnssec_ok)) = self.edns {
            out[len..len + OPT_LEN].copy_from_slice(&bare_opt(payload, Rcode::NOERROR, dnssec_ok));
            out[11] = 1;
            len += OPT_LEN;
        }
        if let Some(signer) = &mut self.signer {
            len = signer.sign(out, len, now);
        }
        Some(len)
    }

    /// Writes records until the message is full or there are no more.
    fn fill(&mut self, zone: &Zone, packer: &mut Packer<'_, '_>) {
        while self.next != TransferStage::Done && packer.message.at < FULL_AT {
            let after = match self.next {
                TransferStage::FirstSoa(content) => packer.soa(zone).map(|()| match content {
                    Content::Zone => TransferStage::Zone((0, 0, 0)),
                    Content::Changes => TransferStage::Changes(0, 0),
                    Content::Soa => TransferStage::Done,
                }),
                TransferStage::Zone(from) => match fill_from_zone(zone, from, packer) {
                    Some(stopped) => {
                        self.next = TransferStage::Zone(stopped);
                        return;
                    }
                    None => Some(TransferStage::Steered(0)),
                },
                TransferStage::Steered(offset) => match self.steered.at(offset) {
                    Some((record, after)) => packer.record(record).map(|()| TransferStage::Steered(after)),
                    None => Some(TransferStage::LastSoa),
                },
                TransferStage::Changes(part, offset) => match self.changes.get(part / 4) {
                    None => Some(TransferStage::LastSoa),
                    Some(change) => match change.parts()[part % 4].at(offset) {
                        None => Some(TransferStage::Changes(part + 1, 0)),
                        Some((record, after)) => packer.record(record).map(|()| TransferStage::Changes(part, after)),
                    },
                },
                TransferStage::LastSoa => packer.soa(zone).map(|()| TransferStage::Done),
                TransferStage::Done => None,
            };
            // A record that did not fit is the first of the next message.
            let Some(after) = after else { return };
            self.next = after;
        }
    }
}

/// Writes the records of a zone except its SOA, from a position on. Returns the position of the first record that is left,
/// if any.
fn fill_from_zone(
    zone: &Zone,
    (first_node, mut first_set, mut first_place): (usize, usize, usize),
    packer: &mut Packer<'_, '_>,
) -> Option<(usize, usize, usize)> {
    for node in zone.nodes_from(NodeId::from_index(first_node)) {
        let at = node.id().index();
        for (set_at, set) in node.rrsets().enumerate().skip(first_set) {
            for (place, (rtype, ttl, rdata)) in set.all_records().enumerate().skip(first_place) {
                let record = Record { owner: node.owner(), rtype, ttl, rdata };
                if rtype != Rtype::SOA && (packer.message.at >= FULL_AT || packer.record(record).is_none()) {
                    return Some((at, set_at, place));
                }
            }
            first_place = 0;
        }
        first_set = 0;
    }
    None
}

#[cfg(test)]
mod tests;
