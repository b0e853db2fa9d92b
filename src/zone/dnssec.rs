//! The records by which a zone is signed, and their treatment when a zone comes in from a file or a primary.
//!
//! **Not here**: the signatures of a zone that is served as it is ([`super::presigned`]), signing ([`super::keys`]).
//!
//! RFC 4034, RFC 5155, RFC 7344 (CDS), RFC 8976 (ZONEMD).

use super::{SigningTerms, ZoneKey};
use crate::base::rr::Rtype;
use crate::base::time::UnixTime;
use crate::base::words::words;

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

/// The treatment of the DNSSEC records of a zone that comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignedZone {
    /// All stay: the zone is served as it is.
    Kept,
    /// None stays: the zone is served without signatures.
    Stripped,
    /// The zone is signed here: DNSKEY, CDS and CDNSKEY records at the apex stay, because other keys than those here may be
    /// published.
    SignedHere,
    /// As [`SignedZone::SignedHere`], and the RRSIGs of these records stay too: their key is kept off line.
    SignedHereExceptKeys,
}

impl SignedZone {
    /// The treatment of a zone with these keys, or without any; `is_stripped` is `unsigned` of its configuration.
    pub(crate) fn of(terms: Option<&SigningTerms>, is_stripped: bool) -> Self {
        match terms {
            Some(terms) if terms.signs_keys() => SignedZone::SignedHere,
            Some(_) => SignedZone::SignedHereExceptKeys,
            None if is_stripped => SignedZone::Stripped,
            None => SignedZone::Kept,
        }
    }

    /// Returns whether a record stays.
    pub(crate) fn keeps(self, rtype: Rtype, is_apex: bool, rdata: &[u8]) -> bool {
        let is_of_keys = |rtype| matches!(rtype, Rtype::DNSKEY | Rtype::CDS | Rtype::CDNSKEY) && is_apex;
        match self {
            _ if Dnssec::of(rtype, is_apex) == Dnssec::Apart => true,
            SignedZone::Kept => true,
            SignedZone::Stripped => false,
            SignedZone::SignedHere => is_of_keys(rtype),
            SignedZone::SignedHereExceptKeys => {
                is_of_keys(rtype) || (rtype == Rtype::RRSIG && is_of_keys(covered(rdata)))
            }
        }
    }
}

impl SigningTerms {
    /// True if one of the keys signs the DNSKEY RRset. Otherwise the RRset was signed off line, and comes in with the zone.
    pub(crate) fn signs_keys(&self) -> bool {
        self.keys.iter().any(ZoneKey::signs_keys)
    }
}

/// The type that an RRSIG covers (RFC 4034 §3.1.1).
pub(super) fn covered(rdata: &[u8]) -> Rtype {
    Rtype(rdata.first_chunk().map_or(0, |octets| u16::from_be_bytes(*octets)))
}

/// The fault if none of these RRSIGs, of which there is one at least, is valid at a time.
pub(crate) fn validity_of_rrsigs<'r>(
    rrsigs: impl IntoIterator<Item = &'r [u8]>,
    now: UnixTime,
) -> Option<ValidityFault> {
    // RFC 4034 §3.1.5: the times of RRSIGs are serial numbers of 32 bits.
    let now = now.0 as u32;
    let is_before = |one: u32, other: u32| (one.wrapping_sub(other) as i32) < 0;
    let fault = |rdata: &[u8]| {
        let time = |at: usize| rdata.get(at..)?.first_chunk().map(|octets| u32::from_be_bytes(*octets));
        let (expiration, inception) = (time(8)?, time(12)?);
        match () {
            () if is_before(expiration, now) => Some(ValidityFault::Expired),
            () if is_before(now, inception) => Some(ValidityFault::NotYetValid),
            () => None,
        }
    };
    let mut faults = rrsigs.into_iter().map(fault);
    let first = faults.next().flatten()?;
    faults.all(|fault| fault.is_some()).then_some(first)
}

words! {
    /// The fault of a signature at a time.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) enum ValidityFault: Display {
        /// Its expiration has passed.
        Expired = "has expired",
        /// Its inception is ahead.
        NotYetValid = "is not valid yet",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_that_is_signed_here_keeps_keys_and_no_other_signature() {
        let rrsig = |covered: Rtype| covered.0.to_be_bytes();
        let apex = [
            (Rtype::A, rrsig(Rtype(0))),
            (Rtype::DNSKEY, rrsig(Rtype(0))),
            (Rtype::CDS, rrsig(Rtype(0))),
            (Rtype::ZONEMD, rrsig(Rtype(0))),
            (Rtype::NSEC, rrsig(Rtype(0))),
            (Rtype::NSEC3PARAM, rrsig(Rtype(0))),
            (Rtype::RRSIG, rrsig(Rtype::DNSKEY)),
            (Rtype::RRSIG, rrsig(Rtype::CDS)),
            (Rtype::RRSIG, rrsig(Rtype::SOA)),
        ];
        let kept = |treatment: SignedZone| {
            let kept = apex.iter().map(|(rtype, rdata)| treatment.keeps(*rtype, true, rdata));
            kept.map(|kept| if kept { '1' } else { '0' }).collect::<String>()
        };
        assert_eq!(kept(SignedZone::Kept), "111111111");
        assert_eq!(kept(SignedZone::Stripped), "100000000");
        assert_eq!(kept(SignedZone::SignedHere), "111000000");
        assert_eq!(kept(SignedZone::SignedHereExceptKeys), "111000110");
        // Below the apex, a DNSKEY is any record, and its RRSIG one of the zone's.
        assert!(SignedZone::Stripped.keeps(Rtype::DNSKEY, false, &[]));
        assert!(!SignedZone::SignedHereExceptKeys.keeps(Rtype::RRSIG, false, &rrsig(Rtype::DNSKEY)));
    }
}
