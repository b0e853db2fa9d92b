//! The TSIG record of a message: its position and its fields.
//!
//! **Invariants**: a record that was read ends the message.
//! **Not here**: the verification of the MAC and the time ([`super`]).
//!
//! RFC 8945 §4.2.

use crate::base::name::NameBuf;
use crate::base::rr::{Class, Rcode, Rtype};
use crate::base::time::{Ttl, UnixTime};
use crate::wire::record::{PassedRecord, expand, pass_record, skip_questions};

/// The TSIG record at the end of a message.
#[derive(Debug)]
pub(super) struct TsigRecord<'m> {
    /// Its offset in the message.
    pub(super) start: usize,
    pub(super) name: NameBuf,
    pub(super) algorithm: NameBuf,
    pub(super) time: UnixTime,
    pub(super) fudge: u16,
    pub(super) mac: &'m [u8],
    pub(super) original_id: u16,
    pub(super) error: Rcode,
    pub(super) other: &'m [u8],
}

/// Reads the TSIG record that starts at `start` and ends the message.
pub(super) fn read(message: &[u8], start: usize) -> Option<TsigRecord<'_>> {
    let (name, _) = expand(message, start)?;
    let mut behind = message.get(start..)?;
    let PassedRecord { rtype, class, ttl, rdata } = pass_record(&mut behind)?;
    // §4.2: class ANY, TTL 0.
    if (rtype, class, ttl) != (Rtype::TSIG, Class::ANY, Ttl(0)) || !behind.is_empty() {
        return None;
    }
    let (algorithm, at) = expand(message, message.len() - rdata.len())?;
    let (&[a, b, c, d, e, f, fudge_high, fudge_low, mac_high, mac_low], rest) =
        message.get(at..)?.split_first_chunk()?;
    let (mac, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes([mac_high, mac_low])))?;
    let (&[id_high, id_low, error_high, error_low, other_high, other_low], other) = rest.split_first_chunk()?;
    (other.len() == usize::from(u16::from_be_bytes([other_high, other_low]))).then_some(TsigRecord {
        start,
        name,
        algorithm,
        time: UnixTime(u64::from_be_bytes([0, 0, a, b, c, d, e, f])),
        fudge: u16::from_be_bytes([fudge_high, fudge_low]),
        mac,
        original_id: u16::from_be_bytes([id_high, id_low]),
        error: Rcode(u16::from_be_bytes([error_high, error_low])),
        other,
    })
}

/// Offset of the last record of a message, if that is a TSIG record.
pub(super) fn find(message: &[u8]) -> Option<usize> {
    let (counts, mut rest) = skip_questions(message)?;
    let mut last = None;
    for _ in 0..counts.into_iter().map(u32::from).sum::<u32>() {
        last = Some((message.len() - rest.len(), pass_record(&mut rest)?.rtype));
    }
    last.filter(|(_, rtype)| *rtype == Rtype::TSIG && counts[2] > 0).map(|(start, _)| start)
}
