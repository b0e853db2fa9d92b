//! The records by which a zone is signed.
//!
//! **Not here**: what becomes of them ([`crate::load`] for files, transfer for copies).
//!
//! RFC 4034, RFC 5155, RFC 7344 (CDS), RFC 8976 (ZONEMD).

use crate::base::rr::Rtype;

/// The dependence of a record on the signatures of its zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dnssec {
    /// It makes the zone a signed one: RRSIG, NSEC, NSEC3, NSEC3PARAM, and DNSKEY at the apex.
    Signs,
    /// It is wrong without them: CDS and CDNSKEY ask the parent for a DS, ZONEMD is the digest of all records.
    Depends,
    /// It does not. A DS at a delegation speaks of another zone.
    Apart,
}

impl Dnssec {
    /// The part of a record of this type, at the apex or below.
    pub(crate) fn of(rtype: Rtype, is_apex: bool) -> Self {
        match rtype {
            Rtype::RRSIG | Rtype::NSEC | Rtype::NSEC3 | Rtype::NSEC3PARAM => Dnssec::Signs,
            Rtype::DNSKEY if is_apex => Dnssec::Signs,
            Rtype::CDS | Rtype::CDNSKEY | Rtype::ZONEMD if is_apex => Dnssec::Depends,
            _ => Dnssec::Apart,
        }
    }
}
