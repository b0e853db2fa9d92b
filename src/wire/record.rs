//! Bytes and records written into a message, within a limit.
//!
//! **Invariants**: no byte is written at or behind the limit.
//! **Not here**: the names that pointers point to ([`super::encode`] and [`super::transfer`] each keep their own).
//!
//! RFC 1035 §4.1.3 and §4.1.4.

use crate::base::name::Name;
use crate::base::rr::Rtype;
use crate::base::time::Ttl;

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
