//! From bytes to a query.
//!
//! **Invariants**: borrows from the message; reads each byte once, except names behind pointers; a malformed part becomes a
//! [`QueryProblem`], and the parts that were read are kept.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::cookie::{CLIENT_LEN, MAX_COOKIE_LEN, MIN_COOKIE_LEN};
use super::record::{HEADER_LEN, rdata_names};
use crate::answer::{Ecs, Edns, Keepalive, Query, QueryProblem, Question};
use crate::base::client::{SourcePrefixLen, Subnet};
use crate::base::name::{MAX_NAME_LEN, Name};
use crate::base::rr::{Class, Rtype};

/// The opcode of a query (RFC 1035 §4.1.1).
pub(super) const OPCODE_QUERY: u8 = 0;

/// The opcode of a NOTIFY (RFC 1996 §4.5).
pub(super) const OPCODE_NOTIFY: u8 = 4;

/// The opcode of an update (RFC 2136 §1.3).
pub(super) const OPCODE_UPDATE: u8 = 5;

/// The option code of a client subnet (RFC 7871 §6).
pub(super) const OPTION_ECS: u16 = 8;

/// The option code of a keepalive (RFC 7828 §3.1).
pub(super) const OPTION_KEEPALIVE: u16 = 11;

/// The option code of padding (RFC 7830 §3).
pub(super) const OPTION_PADDING: u16 = 12;
/// The option code of a name server identity (RFC 5001 §2.3).
pub(super) const OPTION_NSID: u16 = 3;

/// The option code of a cookie (RFC 7873 §4).
pub(super) const OPTION_COOKIE: u16 = 10;

/// Maximum number of questions, and of the records behind them: one each for OPT, TSIG or SIG(0), and IXFR's SOA, and some
/// to spare. Without a limit, a message could hold hundreds, and cost as much to read as twenty queries.
const MAX_RECORDS: u32 = 8;

/// Maximum number of prerequisites and changes of an update together: a client changes one or two tokens by a message, and one
/// that collects the changes of all names of a certificate has room.
const MAX_UPDATE_RECORDS: u32 = 64;

/// Reads a message; `None` if it deserves no reply: it is shorter than a header, or itself a response.
pub fn decode(message: &[u8]) -> Option<Query<'_>> {
    let mut query = Query::EMPTY;
    (decode_into(message, &mut query) != Read::Undeserved).then_some(query)
}

/// The kind of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// The message is shorter than a header, or a response.
    Undeserved,
    /// One of the questions that the header announces is no name, type and class. The query has a problem.
    NoQuestion,
    /// The query has all parts that could be read. If a part could not be read, the query has a problem.
    Query,
}

/// As [`decode`], but fills an empty query in place, because moving a query costs a tenth of the time of reading it.
#[inline]
pub(super) fn decode_into<'m>(message: &'m [u8], query: &mut Query<'m>) -> Read {
    let Some(header) = message.first_chunk::<HEADER_LEN>() else { return Read::Undeserved };
    if header[2] & 0x80 != 0 {
        return Read::Undeserved;
    }
    query.id = u16::from_be_bytes([header[0], header[1]]);
    query.opcode = header[2] >> 3 & 0x0f;
    query.recursion_desired = header[2] & 0x01;
    let Some(at) = read_questions(message, header, query) else {
        query.problem = Some(problem(query.opcode));
        query.has_unread_question = true;
        return Read::NoQuestion;
    };
    if read_records(message, header, at, query).is_none() || !is_known(query.opcode) {
        query.problem = Some(problem(query.opcode));
    }
    Read::Query
}

#[inline]
fn is_known(opcode: u8) -> bool {
    matches!(opcode, OPCODE_QUERY | OPCODE_NOTIFY | OPCODE_UPDATE)
}

/// The problem of a message that is malformed or has an unknown opcode.
#[cold]
fn problem(opcode: u8) -> QueryProblem {
    if is_known(opcode) { QueryProblem::Malformed } else { QueryProblem::Opcode }
}

#[inline]
fn count(header: &[u8; HEADER_LEN], at: usize) -> u16 {
    u16::from_be_bytes([header[at], header[at + 1]])
}

/// Reads the question section and returns the offset of its end; `None` if it is malformed.
#[inline]
fn read_questions<'m>(message: &'m [u8], header: &[u8; HEADER_LEN], query: &mut Query<'m>) -> Option<usize> {
    let mut rest = OctetReader { octets: message, at: HEADER_LEN };
    // RFC 9619 §4: one question. With none or several, the OPT record is still read (RFC 6891 §6.1.1).
    match count(header, 4) {
        1 => query.question = Some(rest.question()?),
        questions if u32::from(questions) <= MAX_RECORDS => rest.skip_questions(questions)?,
        // More questions are not read. The message then counts as one without a question.
        _ => return None,
    }
    Some(rest.at)
}

/// Reads the sections behind the questions, which begin at `at`, into `query`; `None` if the message is malformed.
#[inline]
fn read_records<'m>(message: &'m [u8], header: &[u8; HEADER_LEN], at: usize, query: &mut Query<'m>) -> Option<()> {
    let (questions, answers) = (count(header, 4), count(header, 6));
    let (authorities, additionals) = (count(header, 8), count(header, 10));
    let mut rest = OctetReader { octets: message, at };
    let before = u32::from(answers) + u32::from(authorities);
    let mut is_misplaced = false;
    let mut most = MAX_RECORDS;
    if before != 0 {
        is_misplaced = !may_have_records(query, answers, authorities);
        // The changes of an update are no part of the question that is read here, so that its limit is its own.
        most = if query.opcode == OPCODE_UPDATE { MAX_UPDATE_RECORDS } else { most };
        rest.at = skip_records(message, rest.at, before, most)?;
        most = if query.opcode == OPCODE_UPDATE { MAX_RECORDS } else { most - before };
    }
    for _ in 0..u32::from(additionals).min(most) {
        let start = rest.at;
        // RFC 8945 §5.1: a TSIG record is the last.
        if query.tsig.is_some() {
            return None;
        }
        let record = rest.record()?;
        if record.rtype == Rtype::OPT {
            // RFC 6891 §6.1.1: one OPT, with the root as its name.
            if query.edns.is_some() || !record.is_of_root {
                return None;
            }
            read_opt(&record, query)?;
        } else if record.rtype == Rtype::TSIG {
            // The offset fits in 16 bits, because no message is longer than that.
            query.tsig = Some(start as u16);
        } else if !is_well_formed(&message[..rest.at], record.rtype, record.class, record.rdata.len()) {
            return None;
        }
    }
    if u32::from(additionals) > most {
        return None;
    }
    let is_asking = match questions {
        // RFC 7873 §5.4: a query may ask for a cookie alone.
        0 => query.edns.is_some_and(|edns| edns.cookie.is_some()),
        _ => questions == 1,
    };
    (rest.at == message.len() && is_asking && !is_misplaced).then_some(())
}

/// Tells whether a message may have records in its answer and authority sections.
///
/// The OPT record behind misplaced records is still read, so that the reply has one too (RFC 6891 §6.1.1).
#[cold]
fn may_have_records(query: &Query<'_>, answers: u16, authorities: u16) -> bool {
    // RFC 1995 §3: only an IXFR query has a record in its authority section. No query has one in its answer section.
    let is_ixfr = query.question.is_some_and(|question| question.qtype == Rtype::IXFR);
    match query.opcode {
        // RFC 2136 §2: the sections are those of prerequisites and changes.
        OPCODE_UPDATE => true,
        // RFC 1996 §3.7: a NOTIFY may carry the new SOA in its answer section.
        OPCODE_NOTIFY => authorities == 0,
        _ => answers == 0 && is_ixfr && query.opcode == OPCODE_QUERY,
    }
}

/// Skips the records before the additional section and returns the offset of their end; `None` if the records are malformed
/// or too many.
///
/// Cold, and takes values, because plain queries have no such records and the reader then stays in registers.
#[cold]
fn skip_records(message: &[u8], at: usize, count: u32, most: u32) -> Option<usize> {
    if count > most {
        return None;
    }
    let mut rest = OctetReader { octets: message, at };
    for _ in 0..count {
        let record = rest.record()?;
        is_well_formed(&message[..rest.at], record.rtype, record.class, record.rdata.len()).then_some(())?;
    }
    Some(rest.at)
}

/// Tells whether the rdata of a record that the protocol does not use has the form of its type. The rdata is the last `len`
/// bytes of `read`.
///
/// A well-formed record is ignored. A malformed one makes the message malformed, because other servers answer it with
/// FORMERR too. A, AAAA, SOA, DNAME, SRV and the types with compressible names are checked; the rdata of other types is
/// opaque.
#[cold]
fn is_well_formed(read: &[u8], rtype: Rtype, class: u16, len: usize) -> bool {
    if class != Class::IN.0 {
        return true;
    }
    let mut rest = OctetReader { octets: read, at: read.len() - len };
    let (before, names, behind) = match rtype {
        Rtype::A => (4, 0, 0),
        Rtype::AAAA => (16, 0, 0),
        Rtype::SOA => (0, 2, 20),
        Rtype::DNAME => (0, 1, 0),
        Rtype::SRV => (6, 1, 0),
        rtype => match rdata_names(rtype) {
            Some((before, names)) => (before, names, 0),
            None => return true,
        },
    };
    let is_read =
        rest.take(before).is_some() && (0..names).all(|_| rest.skip_name().is_some()) && rest.take(behind).is_some();
    is_read && rest.at == read.len()
}

/// Reads an OPT record. If an option is malformed, the fixed part is kept, so that the reply carries an OPT record (RFC 6891
/// §7).
#[inline]
fn read_opt<'m>(record: &QueryRecord<'m>, query: &mut Query<'m>) -> Option<()> {
    let [_, version, flags, _] = record.ttl;
    let dnssec_ok = flags & 0x80 != 0;
    let edns = query.edns.insert(Edns {
        payload: record.class,
        dnssec_ok,
        ecs: None,
        cookie: None,
        nsid: false,
        keepalive: Keepalive::No,
        padding: false,
    });
    if version > 0 {
        query.problem = Some(QueryProblem::EdnsVersion);
        return Some(());
    }
    let mut options = OctetReader { octets: record.rdata, at: 0 };
    // RFC 6891 §6.1.2: unknown options are ignored, in any number. Each takes at least four bytes of the message, so reading
    // them costs less than sending them.
    while options.at < record.rdata.len() {
        let code = options.u16()?;
        let len = options.u16()?;
        let data = options.take(usize::from(len))?;
        match code {
            OPTION_ECS => {
                // RFC 7871 does not define a second ECS option.
                if edns.ecs.is_some() {
                    edns.ecs = None;
                    return None;
                }
                edns.ecs = Some(read_ecs(data)?);
            }
            // RFC 7873 §5.2: only the first cookie counts, and one of a wrong length is malformed.
            OPTION_COOKIE if edns.cookie.is_none() => match data.len() {
                CLIENT_LEN | MIN_COOKIE_LEN..=MAX_COOKIE_LEN => edns.cookie = Some(data),
                _ => return None,
            },
            // RFC 5001 §2.1: the data of the option in a query is ignored.
            OPTION_NSID => edns.nsid = true,
            OPTION_KEEPALIVE => edns.keepalive = if data.is_empty() { Keepalive::Yes } else { Keepalive::Malformed },
            OPTION_PADDING => edns.padding = true,
            _ => {}
        }
    }
    Some(())
}

/// Reads an ECS option (RFC 7871 §6): family, source, scope 0, and exactly the address bytes that the source prefix needs.
#[inline]
fn read_ecs(data: &[u8]) -> Option<Ecs<'_>> {
    let (&[family_high, family_low, source, scope], address) = data.split_first_chunk()?;
    if scope != 0 || address.len() != usize::from(source).div_ceil(8) {
        return None;
    }
    // No bit may be set beyond the source prefix.
    if let Some(last) = address.last()
        && source % 8 != 0
        && last << (source % 8) != 0
    {
        return None;
    }
    let subnet = match u16::from_be_bytes([family_high, family_low]) {
        1 if source <= 32 => {
            let mut octets = [0; 4];
            octets[..address.len()].copy_from_slice(address);
            Some(IpAddr::V4(Ipv4Addr::from(octets)))
        }
        2 if source <= 128 => {
            let mut octets = [0; 16];
            octets[..address.len()].copy_from_slice(address);
            Some(IpAddr::V6(Ipv6Addr::from(octets)))
        }
        // dig sends this for `+subnet=0`.
        0 if source == 0 => None,
        _ => return None,
    };
    Some(Ecs { subnet: subnet.map(|address| Subnet { address, source: SourcePrefixLen(source) }), data })
}

/// Reads bytes in order, never beyond their end.
struct OctetReader<'m> {
    octets: &'m [u8],
    at: usize,
}

/// The fields of a record that a query needs.
struct QueryRecord<'m> {
    is_of_root: bool,
    rtype: Rtype,
    class: u16,
    ttl: [u8; 4],
    rdata: &'m [u8],
}

impl<'m> OctetReader<'m> {
    #[inline]
    fn take(&mut self, len: usize) -> Option<&'m [u8]> {
        let taken = self.octets.get(self.at..)?.get(..len)?;
        self.at += len;
        Some(taken)
    }

    #[inline]
    fn u16(&mut self) -> Option<u16> {
        self.take(2).map(|octets| u16::from_be_bytes([octets[0], octets[1]]))
    }

    /// Reads a question. Its name cannot be compressed, because no name comes before it.
    #[inline]
    fn question(&mut self) -> Option<Question<'m>> {
        let (name, tail) = Name::read_from(self.octets.get(self.at..)?)?;
        let start = self.at;
        self.at += name.len();
        let qtype = Rtype(self.u16()?);
        let qclass = Class(self.u16()?);
        Some(Question { name, tail, qtype, qclass, wire: &self.octets[start..self.at] })
    }

    /// Skips questions that are not answered. Each takes at least five bytes, so their end is near.
    #[cold]
    fn skip_questions(&mut self, questions: u16) -> Option<()> {
        for _ in 0..questions {
            self.skip_name()?;
            self.take(4)?;
        }
        Some(())
    }

    #[inline]
    fn record(&mut self) -> Option<QueryRecord<'m>> {
        let is_of_root = self.skip_name()?;
        let fixed: &[u8; 10] = self.octets.get(self.at..)?.first_chunk()?;
        self.at += fixed.len();
        let &[type_high, type_low, class_high, class_low, ref ttl @ .., len_high, len_low] = fixed;
        let rdata = self.take(usize::from(u16::from_be_bytes([len_high, len_low])))?;
        let rtype = Rtype(u16::from_be_bytes([type_high, type_low]));
        Some(QueryRecord { is_of_root, rtype, class: u16::from_be_bytes([class_high, class_low]), ttl: *ttl, rdata })
    }

    /// Skips a name and tells whether it is the root, written as a zero byte. A pointer must lead to before the labels that
    /// it ends, so every name ends.
    #[inline]
    fn skip_name(&mut self) -> Option<bool> {
        if self.octets.get(self.at) == Some(&0) {
            self.at += 1;
            return Some(true);
        }
        let (mut at, mut labels_start, mut name_len) = (self.at, self.at, 1);
        let mut end = None;
        loop {
            let len = *self.octets.get(at)?;
            match len {
                0 => {
                    self.at = end.unwrap_or(at + 1);
                    return Some(false);
                }
                1..=63 => {
                    at += 1 + usize::from(len);
                    name_len += 1 + usize::from(len);
                    if name_len > MAX_NAME_LEN {
                        return None;
                    }
                }
                0xc0.. => {
                    let target = usize::from(len & 0x3f) << 8 | usize::from(*self.octets.get(at + 1)?);
                    if !(HEADER_LEN..labels_start).contains(&target) {
                        return None;
                    }
                    end.get_or_insert(at + 2);
                    (at, labels_start) = (target, target);
                }
                _ => return None,
            }
        }
    }
}
