//! Records of a message: written within a limit, or read in passing.
//!
//! **Invariants**: no byte is written at or behind the limit; any bytes are read without panicking or looping.
//! **Not here**: queries ([`super::decode()`]), the names that pointers point to ([`super::encode()`] and [`super::transfer`]
//! each keep their own).
//!
//! RFC 1035 §4.1.3 and §4.1.4.

use arrayvec::ArrayVec;

use crate::base::name::{MAX_NAME_LEN, Name, NameBuf};
use crate::base::rr::{Class, Rtype};
use crate::base::time::Ttl;

/// Length in bytes of a header (RFC 1035 §4.1.1).
pub(super) const HEADER_LEN: usize = 12;

/// A message that is being written.
pub(super) struct MessageWriter<'o> {
    pub(super) out: &'o mut [u8],
    /// Offset of the next byte.
    pub(super) at: usize,
    /// Maximum length in bytes of the message.
    pub(super) limit: usize,
}

impl MessageWriter<'_> {
    /// Appends bytes; `None` if the bytes do not fit.
    #[inline]
    pub(super) fn put(&mut self, octets: &[u8]) -> Option<()> {
        self.room(octets.len())?.copy_from_slice(octets);
        self.at += octets.len();
        Some(())
    }

    /// Returns the next `len` bytes; `None` if the bytes exceed the limit.
    #[inline]
    pub(super) fn room(&mut self, len: usize) -> Option<&mut [u8]> {
        self.out.get_mut(self.at..self.limit)?.get_mut(..len)
    }

    /// Writes a record of class IN behind its owner; `None` if the record does not fit. `put_name` writes a name that may be
    /// compressed.
    #[inline]
    pub(super) fn record<'r>(
        &mut self,
        rtype: Rtype,
        ttl: Ttl,
        rdata: &'r [u8],
        mut put_name: impl FnMut(&mut Self, Name<'r>) -> Option<()>,
    ) -> Option<()> {
        let mut fixed = [0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        fixed[..2].copy_from_slice(&rtype.0.to_be_bytes());
        fixed[4..8].copy_from_slice(&ttl.0.to_be_bytes());
        self.put(&fixed)?;
        let start = self.at;
        let mut rest = rdata;
        if let Some((before, names)) = rdata_names(rtype) {
            let (head, after) = rest.split_at_checked(before)?;
            self.put(head)?;
            rest = after;
            for _ in 0..names {
                let (name, after) = Name::split_from(rest)?;
                put_name(self, name)?;
                rest = after;
            }
        }
        self.put(rest)?;
        let len = (self.at - start) as u16;
        self.out[start - 2..start].copy_from_slice(&len.to_be_bytes());
        Some(())
    }
}

/// A pointer to the name at an offset of at most `0x3fff` (RFC 1035 §4.1.4).
#[inline]
pub(super) fn pointer(at: u16) -> [u8; 2] {
    (0xc000 | at).to_be_bytes()
}

/// Position of the compressible names in the rdata of a type: the number of bytes before the names, and the number of names.
///
/// RFC 3597 §4: only types of RFC 1035 have such names.
#[inline]
pub(super) fn rdata_names(rtype: Rtype) -> Option<(usize, usize)> {
    match rtype.0 {
        // NS, MD, MF, CNAME, MB, MG, MR, PTR
        2..=5 | 7..=9 | 12 => Some((0, 1)),
        // SOA, MINFO
        6 | 14 => Some((0, 2)),
        // MX
        15 => Some((2, 1)),
        _ => None,
    }
}

/// A record that was read in passing, without its owner.
pub(crate) struct PassedRecord<'m> {
    /// Its type.
    pub(crate) rtype: Rtype,
    /// Its class.
    pub(crate) class: Class,
    /// Its TTL.
    pub(crate) ttl: Ttl,
    /// Its data, in which names may be compressed.
    pub(crate) rdata: &'m [u8],
}

/// Reads the record at the start of `rest`, and shortens `rest` to the bytes behind it.
pub(crate) fn pass_record<'m>(rest: &mut &'m [u8]) -> Option<PassedRecord<'m>> {
    let (&[t0, t1, c0, c1, ttl @ .., l0, l1], after) = skip_name(rest)?.split_first_chunk::<10>()?;
    let (rdata, after) = after.split_at_checked(usize::from(u16::from_be_bytes([l0, l1])))?;
    *rest = after;
    let (rtype, class) = (Rtype(u16::from_be_bytes([t0, t1])), Class(u16::from_be_bytes([c0, c1])));
    Some(PassedRecord { rtype, class, ttl: Ttl(u32::from_be_bytes(ttl)), rdata })
}

/// The numbers of records in the answer, authority and additional sections of a message, and the bytes behind its questions.
pub(crate) fn skip_questions(message: &[u8]) -> Option<([u16; 3], &[u8])> {
    let (header, mut rest) = message.split_first_chunk::<HEADER_LEN>()?;
    let count = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
    for _ in 0..count(4) {
        // The type and the class.
        rest = skip_name(rest)?.get(4..)?;
    }
    Some(([count(6), count(8), count(10)], rest))
}

/// The bytes behind a name, which may end in a pointer.
fn skip_name(octets: &[u8]) -> Option<&[u8]> {
    let mut rest = octets;
    loop {
        let (&len, after) = rest.split_first()?;
        match len {
            0 => return Some(after),
            1..=63 => rest = after.get(usize::from(len)..)?,
            0xc0.. => return after.get(1..),
            _ => return None,
        }
    }
}

/// Returns a name with its pointers followed, and the offset behind it.
pub(super) fn expand(message: &[u8], start: usize) -> Option<(NameBuf, usize)> {
    let mut wire: ArrayVec<u8, MAX_NAME_LEN> = ArrayVec::new();
    let (mut at, mut after, mut earliest) = (start, None, start);
    loop {
        let len = *message.get(at)?;
        match len {
            0 => {
                wire.try_push(0).ok()?;
                return Some((Name::from_wire(&wire)?.to_owned(), after.unwrap_or(at + 1)));
            }
            1..=63 => {
                wire.try_extend_from_slice(message.get(at..at + 1 + usize::from(len))?).ok()?;
                at += 1 + usize::from(len);
            }
            0xc0.. => {
                let target = usize::from(u16::from_be_bytes([len & 0x3f, *message.get(at + 1)?]));
                after.get_or_insert(at + 2);
                // Each pointer must lead further back, so that the loop ends.
                if target >= earliest || target < HEADER_LEN {
                    return None;
                }
                (at, earliest) = (target, target);
            }
            _ => return None,
        }
    }
}
