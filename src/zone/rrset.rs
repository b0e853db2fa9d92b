//! RRsets with their signatures, as the bytes that go into a message.
//!
//! **Invariants**: signatures are of the RRset that carries them, and of the same owner; no RRset of RRSIGs has signatures.
//! **Not here**: the place of RRsets in a zone ([`super::entry`]), compression ([`crate::wire`]).
//!
//! RFC 2181 §5 (RRsets), RFC 4034 §3 (RRSIG), RFC 4035 §2.2 (signatures of RRsets).

use crate::base::name::Name;
use crate::base::rr::{Class, Rtype};
use crate::base::time::Ttl;

/// The records of one owner and type, duplicates dropped, in the order of the source, and the RRSIGs that cover the RRset.
#[derive(Clone, Copy, Debug)]
pub struct RrSet<'z> {
    /// The type.
    pub rtype: Rtype,
    /// The TTL: the least, where records of the set were written with different ones (RFC 2181 §5.2).
    pub ttl: Ttl,
    /// The number of records, at least one; with [`IS_SIGNED`] if RRSIGs follow.
    count: u16,
    /// The records and the RRSIGs back to back, so that a signed answer is one copy. The end of the records is found when it
    /// is needed, because a field for it would cost every unsigned answer.
    signed: &'z [u8],
}

/// The bit of the number of records that says that RRSIGs follow. A set has fewer records: each takes [`RECORD_HEADER_LEN`]
/// bytes of at most 65,535.
pub(super) const IS_SIGNED: u16 = 0x8000;

/// The bytes of a record before its rdata: a pointer as owner, type, class, TTL and length.
pub(crate) const RECORD_HEADER_LEN: usize = 12;

/// The most bytes in an RRset whatever its owner: a message of 65,535 (RFC 1035 §4.2.2) without its header, the rest of the
/// question, and an OPT with a cookie of ours (RFC 9018 §4: 28 bytes), because many clients send one with each query.
pub(super) const MAX_RRSET_LEN: usize = 65_535 - 12 - 4 - 11 - 28;

/// The most bytes in an RRset of an owner: an answer has room for it beside a question for that name. Beside other options
/// it may not fit; then the answer is truncated.
pub(super) fn max_rrset_len(owner: Name<'_>) -> usize {
    // A wildcard answers for names of any length.
    MAX_RRSET_LEN - if owner.is_wildcard() { 255 } else { owner.len() }
}

/// The place of the TTL in a record of [`RrSet::wire`].
pub(super) const TTL: std::ops::Range<usize> = 6..10;

/// Appends a record in the form of [`RrSet::wire`].
pub(crate) fn push_record(rtype: Rtype, ttl: Ttl, rdata: &[u8], wire: &mut Vec<u8>) {
    wire.extend_from_slice(&[0xc0, 0x0c]);
    push_behind_owner(rtype, ttl, rdata, wire);
}

/// Appends a record of class IN without compression, except its owner.
pub(super) fn push_behind_owner(rtype: Rtype, ttl: Ttl, rdata: &[u8], wire: &mut Vec<u8>) {
    wire.extend_from_slice(&rtype.0.to_be_bytes());
    wire.extend_from_slice(&Class::IN.0.to_be_bytes());
    wire.extend_from_slice(&ttl.0.to_be_bytes());
    wire.extend_from_slice(&(rdata.len() as u16).to_be_bytes());
    wire.extend_from_slice(rdata);
}

impl<'z> RrSet<'z> {
    /// An RRset without signatures, from its records in the form of [`RrSet::wire`].
    #[inline]
    pub(crate) const fn unsigned(rtype: Rtype, ttl: Ttl, count: u16, wire: &'z [u8]) -> Self {
        RrSet { rtype, ttl, count, signed: wire }
    }

    /// An RRset with signatures: `signed` has so many records, and behind them RRSIGs in the same form.
    #[inline]
    pub(crate) const fn signed(rtype: Rtype, ttl: Ttl, count: u16, signed: &'z [u8]) -> Self {
        RrSet { rtype, ttl, count: count | IS_SIGNED, signed }
    }

    /// An RRset as a node has it: `count` has [`IS_SIGNED`] if RRSIGs are behind the records.
    #[inline]
    pub(super) fn stored(rtype: Rtype, ttl: Ttl, count: u16, signed: &'z [u8]) -> Self {
        RrSet { rtype, ttl, count, signed }
    }

    /// The number of records, at least one.
    #[inline]
    pub fn count(self) -> u16 {
        self.count & !IS_SIGNED
    }

    /// Returns whether RRSIGs cover the set.
    #[inline]
    pub(crate) fn is_signed(self) -> bool {
        self.count & IS_SIGNED != 0
    }

    /// The records back to back, in the form for a message in which the owner is the question's name:
    /// `C0 0C`, type, class IN, TTL, rdata length, rdata without compression.
    #[inline]
    pub fn wire(self) -> &'z [u8] {
        if self.is_signed() { self.split().0 } else { self.signed }
    }

    /// The records, then the RRSIGs, in the form of [`RrSet::wire`].
    #[inline]
    pub(crate) fn signed_wire(self) -> &'z [u8] {
        self.signed
    }

    /// The RRSIGs, in the form of [`RrSet::wire`]; empty if the set is not signed.
    pub(crate) fn signature_wire(self) -> &'z [u8] {
        if self.is_signed() { self.split().1 } else { &[] }
    }

    /// The RRSIGs as an RRset; `None` if the set is not signed.
    pub(crate) fn signatures(self) -> Option<RrSet<'z>> {
        let count = self.signature_records().count() as u16;
        self.is_signed().then_some(RrSet::unsigned(Rtype::RRSIG, self.ttl, count, self.signature_wire()))
    }

    /// The records, and the RRSIGs behind them.
    #[cold]
    fn split(self) -> (&'z [u8], &'z [u8]) {
        let own = records(self.signed).take(usize::from(self.count()));
        let len = own.map(|(_, rdata)| RECORD_HEADER_LEN + rdata.len()).sum();
        self.signed.split_at(len)
    }

    /// The rdata of each record.
    pub fn rdatas(self) -> impl Iterator<Item = &'z [u8]> {
        self.records().map(|(_, rdata)| rdata)
    }

    /// The TTL and rdata of each record.
    pub fn records(self) -> impl Iterator<Item = (Ttl, &'z [u8])> {
        records(self.wire())
    }

    /// The TTL and rdata of each RRSIG that covers the RRset.
    pub(crate) fn signature_records(self) -> impl Iterator<Item = (Ttl, &'z [u8])> {
        records(self.signature_wire())
    }

    /// The type, TTL and rdata of each record, then of each RRSIG: all that a copy of the zone needs.
    pub(crate) fn all_records(self) -> impl Iterator<Item = (Rtype, Ttl, &'z [u8])> {
        let own = self.records().map(move |(ttl, rdata)| (self.rtype, ttl, rdata));
        own.chain(self.signature_records().map(|(ttl, rdata)| (Rtype::RRSIG, ttl, rdata)))
    }
}

/// The TTL and rdata of records in the form of [`RrSet::wire`].
fn records(wire: &[u8]) -> impl Iterator<Item = (Ttl, &[u8])> {
    let mut rest = wire;
    std::iter::from_fn(move || {
        let (header, after) = rest.split_at_checked(RECORD_HEADER_LEN)?;
        let (rdata, after) = after.split_at_checked(usize::from(u16::from_be_bytes([header[10], header[11]])))?;
        rest = after;
        Some((Ttl(u32::from_be_bytes([header[6], header[7], header[8], header[9]])), rdata))
    })
}

/// Gives all records in the form of [`RrSet::wire`] one TTL.
pub(super) fn set_ttls(wire: &mut [u8], ttl: Ttl) {
    let mut rest = wire;
    while let Some((header, after)) = rest.split_at_mut_checked(RECORD_HEADER_LEN) {
        header[TTL].copy_from_slice(&ttl.0.to_be_bytes());
        let len = usize::from(u16::from_be_bytes([header[10], header[11]]));
        rest = after.split_at_mut(len).1;
    }
}
