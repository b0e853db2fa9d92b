//! The TSIG record of a message: its position and its fields.
//!
//! **Invariants**: a record that was read ends the message.
//! **Not here**: the verification of the MAC and the time ([`super`]).
//!
//! RFC 8945 §4.2.

use crate::base::name::NameBuf;
use crate::base::rr::{Class, Rcode, Rtype};
use crate::base::time::UnixTime;
use crate::wire::record::{HEADER_LEN, expand, pass_record, skip_name};

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
    let (name, at) = expand(message, start)?;
    let fixed: &[u8; 10] = message.get(at..)?.first_chunk()?;
    let [t0, t1, c0, c1, 0, 0, 0, 0, l0, l1] = *fixed else { return None };
    // §4.2: class ANY, TTL 0.
    if Rtype(u16::from_be_bytes([t0, t1])) != Rtype::TSIG || Class(u16::from_be_bytes([c0, c1])) != Class::ANY {
        return None;
    }
    let rdata_at = at + 10;
    if rdata_at + usize::from(u16::from_be_bytes([l0, l1])) != message.len() {
        return None;
    }
    let (algorithm, at) = expand(message, rdata_at)?;
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
    let (header, mut rest) = message.split_first_chunk::<HEADER_LEN>()?;
    let count = |at: usize| usize::from(u16::from_be_bytes([header[at], header[at + 1]]));
    for _ in 0..count(4) {
        rest = skip_name(rest)?.get(4..)?;
    }
    let (mut last, mut last_type) = (None, None);
    for _ in 0..count(6) + count(8) + count(10) {
        last = Some(message.len() - rest.len());
        last_type = Some(pass_record(&mut rest)?.rtype);
    }
    last.filter(|_| last_type == Some(Rtype::TSIG) && count(10) > 0)
}
