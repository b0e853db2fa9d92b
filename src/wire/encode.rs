//! From a response to bytes: header, question, sections, OPT.
//!
//! Records whose rdata holds no name that may be compressed are copied from the bytes that the zone stores. In these bytes,
//! the owner is already a pointer to the question's name.
//!
//! **Invariants**: room for OPT is set aside first, so it always fits; an RRset that does not fit is removed whole; a
//! pointer points to an earlier name.

mod opt;

use arrayvec::ArrayVec;
pub(super) use opt::bare_opt;
use opt::{opt_len, stream_options_len};

use super::Transport;
use super::extras::Extras;
use super::record::{HEADER_LEN, MessageWriter, pointer, rdata_names};
use crate::answer::{Data, Glue, Need, Owner, Query, Response, Rr};
use crate::base::name::Name;
use crate::base::rr::Rtype;
use crate::base::time::Ttl;
use crate::snapshot::Settings;
use crate::zone::{RECORD_HEADER_LEN, RrSet};

/// Length in bytes of a UDP message that every DNS client accepts (RFC 1035 §4.2.1).
const MIN_UDP: usize = 512;

/// Length in bytes of an OPT record without options: root, type, class, TTL, length.
pub(super) const OPT_LEN: usize = 11;

/// The TC bit, in byte 2.
const TC: u8 = 0x02;

/// Maximum number of names that pointers can point to. The names beyond it are never pointed to.
const MAX_POINTEES: usize = 64;

/// Maximum offset that a pointer can hold (RFC 1035 §4.1.4).
const MAX_POINTER: usize = 0x3fff;

/// Position of the TTL in a record whose owner is a pointer.
const TTL: std::ops::Range<usize> = 6..10;

/// Result of [`encode`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Written {
    /// The length of the message.
    pub(super) len: usize,
    /// A required RRset was left out.
    pub(super) truncated: bool,
}

/// Writes the response to a query, within the limits of the transport, the client and `out`.
///
/// # Panics
/// When `out` is shorter than [`MIN_UDP`] bytes.
#[inline]
pub(super) fn encode(
    query: &Query<'_>,
    response: &Response<'_>,
    extras: &Extras<'_>,
    transport: Transport,
    settings: &Settings,
    out: &mut [u8],
) -> Written {
    let size = size_limit(query, transport, settings).min(out.len());
    let opt_len = query
        .edns
        .as_ref()
        .map_or(0, |edns| opt_len(edns, response) + extras.len() + stream_options_len(edns, transport));
    let question = query.question.as_ref().map(|question| question.name);
    let dnssec_ok = query.edns.as_ref().is_some_and(|edns| edns.dnssec_ok);
    let mut writer = ResponseWriter {
        message: MessageWriter { out, at: HEADER_LEN, limit: size - opt_len },
        dnssec_ok,
        names: Pointees { question, known: ArrayVec::new() },
    };
    let mut counts = [0u16; 4];
    // A question takes 259 bytes at most, so it fits beside the longest OPT.
    if let Some(question) = &query.question
        && writer.message.put(question.wire).is_some()
    {
        counts[0] = 1;
    }
    let truncated = writer.sections(response, &mut counts);
    writer.message.limit = size;
    if let Some(edns) = &query.edns
        && writer.opt(edns, response, extras, transport, settings).is_some()
    {
        counts[3] += 1;
    }
    let len = writer.message.at;
    write_header(query, response, truncated, counts, out);
    Written { len, truncated }
}

/// Maximum length in bytes of the reply.
#[inline]
pub(super) fn size_limit(query: &Query<'_>, transport: Transport, settings: &Settings) -> usize {
    match (transport, &query.edns) {
        (Transport::Udp, None) => MIN_UDP,
        // RFC 6891 §6.2.3: less than 512 means 512. The server's default is 1232 (DNS flag day 2020).
        (Transport::Udp, Some(edns)) => usize::from(edns.payload.min(settings.udp_payload)).max(MIN_UDP),
        (Transport::Tcp | Transport::Tls | Transport::Https | Transport::Quic, _) => super::MAX_STREAM,
    }
}

#[inline]
fn write_header(query: &Query<'_>, response: &Response<'_>, truncated: bool, counts: [u16; 4], out: &mut [u8]) {
    let aa = if response.aa { 0x04 } else { 0 };
    let tc = if truncated { TC } else { 0 };
    let [id_high, id_low] = query.id.to_be_bytes();
    let [[q_high, q_low], [an_high, an_low], [ns_high, ns_low], [ar_high, ar_low]] = counts.map(u16::to_be_bytes);
    let flags = 0x80 | query.opcode << 3 | aa | tc | query.recursion_desired;
    // RFC 4035 §3.1.6: CD is clear in an authoritative response, and AD too.
    let code = (response.rcode.0 & 0x0f) as u8;
    let header: [u8; HEADER_LEN] =
        [id_high, id_low, flags, code, q_high, q_low, an_high, an_low, ns_high, ns_low, ar_high, ar_low];
    out[..HEADER_LEN].copy_from_slice(&header);
}

/// Writes the sections of a response.
struct ResponseWriter<'w, 'r> {
    message: MessageWriter<'w>,
    /// RRsets are written with their signatures (RFC 4035 §3.1).
    dnssec_ok: bool,
    names: Pointees<'r>,
}

impl<'r> ResponseWriter<'_, 'r> {
    /// Writes the sections and tells whether the response is truncated.
    ///
    /// RFC 2181 §9: a response is truncated only if a required RRset is missing. An optional RRset is left out without TC.
    #[inline]
    fn sections(&mut self, response: &'r Response<'r>, counts: &mut [u16; 4]) -> bool {
        let sections = [&response.answer[..], &response.authority, &response.additional.rrsets];
        for (section, count) in sections.into_iter().zip(&mut counts[1..]) {
            for rr in section {
                if !self.whole(rr, response, count) {
                    return true;
                }
            }
        }
        match response.additional.glue {
            Some(glue) => !self.glue(glue, response, &mut counts[3]),
            None => response.truncated,
        }
    }

    fn glue(&mut self, glue: Glue<'r>, response: &'r Response<'r>, count: &mut u16) -> bool {
        glue.rrsets().all(|rr| self.whole(&rr, response, count))
    }

    /// Writes an RRset whole or not at all, with its signatures if the query asks for them, and counts its records. Returns
    /// false if the RRset is required and does not fit.
    #[inline]
    fn whole(&mut self, rr: &Rr<'r>, response: &'r Response<'r>, count: &mut u16) -> bool {
        let (at, known) = (self.message.at, self.names.known.len());
        let written = if self.dnssec_ok { self.with_signatures(rr, response) } else { self.rrset(rr, response) };
        if let Some(records) = written {
            *count += records;
            return true;
        }
        self.message.at = at;
        self.names.known.truncate(known);
        rr.need == Need::Optional
    }

    /// Writes an RRset with its signatures, and returns the number of both; `None` if these do not fit. Apart, so that queries
    /// without DO do not pay for it.
    #[inline(never)]
    fn with_signatures(&mut self, rr: &Rr<'r>, response: &'r Response<'r>) -> Option<u16> {
        match copied_whole(rr) {
            Some(set) => self.signed(set, matches!(rr.data, Data::Tailored(_))),
            None => Some(self.rrset(rr, response)? + self.signatures(rr, response)?),
        }
    }

    /// Copies an RRset with its signatures, and returns the number of both; `None` if these do not fit.
    fn signed(&mut self, set: RrSet<'r>, is_tailored: bool) -> Option<u16> {
        let wire = set.signed_wire();
        let mut rest = self.message.room(wire.len())?;
        rest.copy_from_slice(wire);
        let mut count = 0;
        while let Some((header, after)) = rest.split_at_mut_checked(RECORD_HEADER_LEN) {
            // RFC 4034 §3: the TTL of a signature is that of its RRset, and the TTL of a tailored RRset is shortened.
            if is_tailored {
                header[TTL].copy_from_slice(&set.ttl.0.to_be_bytes());
            }
            let len = u16::from_be_bytes([header[10], header[11]]);
            rest = after.split_at_mut_checked(len.into())?.1;
            count += 1;
        }
        self.message.at += wire.len();
        Some(count)
    }

    /// Writes an RRset and returns its number of records; `None` if the RRset does not fit.
    #[inline]
    fn rrset(&mut self, rr: &Rr<'r>, response: &'r Response<'r>) -> Option<u16> {
        match rr.data {
            Data::Stored(set) if matches!(rr.owner, Owner::Question) && rdata_names(set.rtype).is_none() => {
                self.message.put(set.wire())?;
                Some(set.count())
            }
            Data::Stored(set) => {
                for (ttl, rdata) in set.records() {
                    self.record(rr.owner, set.rtype, ttl, rdata, response)?;
                }
                Some(set.count())
            }
            Data::Negative(soa) => {
                if matches!(rr.owner, Owner::Stored(apex) if self.is_behind_question_in(apex)) {
                    let (at, limit) = (self.message.at, self.message.limit);
                    self.message.at += soa.write(at, self.message.out.get_mut(at..limit)?)?;
                    return Some(1);
                }
                for (ttl, rdata) in soa.rrset().records() {
                    self.record(rr.owner, Rtype::SOA, ttl, rdata, response)?;
                }
                Some(1)
            }
            Data::Tailored(set) if matches!(rr.owner, Owner::Question) => {
                let wire = set.wire();
                let room = self.message.room(wire.len())?;
                room.copy_from_slice(wire);
                // Addresses of one family are of one length, so the records are too.
                for record in room.chunks_exact_mut(wire.len() / usize::from(set.count())) {
                    record[TTL].copy_from_slice(&set.ttl.0.to_be_bytes());
                }
                self.message.at += wire.len();
                Some(set.count())
            }
            Data::Tailored(set) => {
                for (_, rdata) in set.records() {
                    self.record(rr.owner, set.rtype, set.ttl, rdata, response)?;
                }
                Some(set.count())
            }
            Data::Cname { ttl, target } => {
                let target = response.made[usize::from(target)].as_name();
                self.record(rr.owner, Rtype::CNAME, ttl, target.as_wire(), response)?;
                Some(1)
            }
        }
    }

    /// Writes the signatures of an RRset, if it has any, and returns their number; `None` if the signatures do not fit.
    #[inline]
    fn signatures(&mut self, rr: &Rr<'r>, response: &'r Response<'r>) -> Option<u16> {
        match rr.kept() {
            Some(set) if set.is_signed() => self.signatures_of(set, rr, response),
            _ => Some(0),
        }
    }

    #[cold]
    fn signatures_of(&mut self, set: RrSet<'r>, rr: &Rr<'r>, response: &'r Response<'r>) -> Option<u16> {
        // RFC 4034 §3: the TTL of a signature is that of its RRset, and the TTL of a tailored RRset is shortened.
        let shortened = if let Data::Tailored(set) = rr.data { Some(set.ttl) } else { None };
        let mut count = 0;
        for (ttl, rdata) in set.signature_records() {
            self.record(rr.owner, Rtype::RRSIG, shortened.unwrap_or(ttl), rdata, response)?;
            count += 1;
        }
        Some(count)
    }

    /// Tells whether the next byte is the first behind the question, and the question's name ends in `apex`, byte for byte.
    #[inline]
    fn is_behind_question_in(&self, apex: Name<'_>) -> bool {
        self.names.question.is_some_and(|question| {
            self.message.at == HEADER_LEN + question.len() + 4 && question.as_wire().ends_with(apex.as_wire())
        })
    }

    fn record(
        &mut self,
        owner: Owner<'r>,
        rtype: Rtype,
        ttl: Ttl,
        rdata: &'r [u8],
        response: &'r Response<'r>,
    ) -> Option<()> {
        match owner {
            Owner::Question => self.message.put(&pointer(HEADER_LEN as u16))?,
            Owner::Stored(name) => self.names.write(name, &mut self.message)?,
            Owner::Made(index) => {
                self.names.write(response.made[usize::from(index)].as_name(), &mut self.message)?;
            }
        }
        let names = &mut self.names;
        self.message.record(rtype, ttl, rdata, |message, name| names.write(name, message))
    }
}

/// The RRset, if the message has its records and signatures in their stored form.
fn copied_whole<'r>(rr: &Rr<'r>) -> Option<RrSet<'r>> {
    let (Data::Stored(set) | Data::Tailored(set)) = rr.data else { return None };
    let is_verbatim = matches!(rr.owner, Owner::Question) && rdata_names(set.rtype).is_none();
    (is_verbatim && set.is_signed()).then_some(set)
}

/// The names of a message that pointers can point to.
struct Pointees<'r> {
    /// The question's name, at [`HEADER_LEN`]; `None` after its labels have been added to `known`, with the first other name.
    question: Option<Name<'r>>,
    known: ArrayVec<Pointee<'r>, MAX_POINTEES>,
}

/// A name in the message, or the end of one.
#[derive(Clone, Copy)]
struct Pointee<'r> {
    name: Name<'r>,
    at: u16,
}

impl<'r> Pointees<'r> {
    /// Writes a name, compressed by a pointer to an earlier name (RFC 1035 §4.1.4).
    ///
    /// The names must be the same byte for byte, because a zone's names keep their case, whatever the case of the question.
    fn write(&mut self, name: Name<'r>, message: &mut MessageWriter<'_>) -> Option<()> {
        if let Some(question) = self.question.take() {
            self.remember(question, HEADER_LEN);
        }
        let mut rest = name;
        let known = loop {
            let Some(parent) = rest.parent() else { break None };
            let same = |pointee: &&Pointee<'_>| pointee.name.as_wire() == rest.as_wire();
            if let Some(pointee) = self.known.iter().find(same) {
                break Some(pointee.at);
            }
            rest = parent;
        };
        let new = name.len() - rest.len();
        let start = message.at;
        message.put(&name.as_wire()[..new])?;
        match known {
            Some(at) => message.put(&pointer(at))?,
            None => message.put(&[0])?,
        }
        let mut rest = name;
        while name.len() - rest.len() < new {
            self.remember_one(rest, start + (name.len() - rest.len()));
            rest = rest.parent().unwrap_or(Name::ROOT);
        }
        Some(())
    }

    fn remember(&mut self, name: Name<'r>, start: usize) {
        let mut rest = name;
        while let Some(parent) = rest.parent() {
            self.remember_one(rest, start + (name.len() - rest.len()));
            rest = parent;
        }
    }

    fn remember_one(&mut self, name: Name<'r>, at: usize) {
        if at <= MAX_POINTER {
            // If the list is full, later names are only written longer than necessary.
            let _ = self.known.try_push(Pointee { name, at: at as u16 });
        }
    }
}
