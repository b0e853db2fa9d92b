//! The bytes that a signature covers, and the window of time in which it is valid.
//!
//! Windows follow from the clock alone, so that all servers of a zone sign for the same windows without talking to each other.
//! A new window begins every quarter of the validity, at another moment for each owner and type, so that the signatures of a
//! zone are not all made at once.
//!
//! **Invariants**: a signature made now is valid for at least three quarters of the validity; the bytes do not depend on the
//! order of the records, nor on the case of names that have no case.
//!
//! RFC 4034 §3 (RRSIG) and §6 (canonical form), RFC 6840 §5.1.

use std::borrow::Cow;

use ring::digest;

use crate::base::name::Name;
use crate::base::rdata::canonical;
use crate::base::rr::Rtype;
use crate::base::time::{Ttl, UnixTime};
use crate::zone::rrset::push_behind_owner;
use crate::zone::{SignatureOctets, ZoneKey};

/// The time before the start of a window at which its signatures are valid already, because clocks of resolvers may be behind.
pub(super) const INCEPTION_SECS: u64 = 3600;

/// The number of windows that begin within the validity of a signature.
const WINDOWS: u64 = 4;

/// The time of signing. The two moments differ only while the clock is in doubt: it was ahead before, or is behind now. Signatures
/// are then valid at both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SigningTime {
    /// The earlier moment, or the only one.
    pub(crate) from: UnixTime,
    /// The later moment.
    pub(crate) to: UnixTime,
}

impl From<UnixTime> for SigningTime {
    fn from(now: UnixTime) -> Self {
        SigningTime { from: now, to: now }
    }
}

/// The window of time in which a signature is valid, in seconds since 1970 modulo 2^32 (RFC 4034 §3.1.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SigningWindow {
    /// The start.
    pub(crate) inception: u32,
    /// The end.
    pub(crate) expiration: u32,
}

impl SigningWindow {
    /// The window of the signatures of an RRset that are made at a time.
    pub(crate) fn at(time: SigningTime, validity_secs: u32, owner: Name<'_>, rtype: Rtype) -> Self {
        let period = (u64::from(validity_secs) / WINDOWS).max(1);
        let phase = phase(owner, rtype) % period;
        let start = |now: UnixTime| now.0.saturating_sub((now.0 + phase) % period);
        SigningWindow {
            inception: start(time.from).saturating_sub(INCEPTION_SECS) as u32,
            expiration: (start(time.to) + u64::from(validity_secs)) as u32,
        }
    }
}

/// A number that differs among RRsets and is the same on all servers (FNV-1a).
fn phase(owner: Name<'_>, rtype: Rtype) -> u64 {
    let octets = owner.as_wire().iter().map(u8::to_ascii_lowercase).chain(rtype.0.to_be_bytes());
    octets.fold(0xcbf2_9ce4_8422_2325, |hash, octet| (hash ^ u64::from(octet)).wrapping_mul(0x0100_0000_01b3))
}

/// An RRset to sign.
#[derive(Clone, Debug)]
pub(crate) struct RrSetToSign<'r> {
    /// The apex of its zone, which signs it.
    pub(crate) apex: Name<'r>,
    /// The owner.
    pub(crate) owner: Name<'r>,
    /// The type.
    pub(crate) rtype: Rtype,
    /// The TTL in the zone, not a shortened one (RFC 4034 §3.1.4).
    pub(crate) ttl: Ttl,
    /// The rdata of each record, in any order.
    pub(crate) rdatas: Vec<&'r [u8]>,
}

/// The signed bytes of one signature to make.
pub(crate) struct ToSign<'k> {
    /// The key that signs.
    pub(crate) key: &'k ZoneKey,
    /// The end of validity.
    pub(crate) expiration: u32,
    /// The RRSIG's rdata without the signature, then the records.
    octets: Vec<u8>,
}

impl RrSetToSign<'_> {
    /// The bytes to sign with a key (RFC 4034 §3.1.8.1).
    pub(crate) fn by<'k>(&self, key: &'k ZoneKey, window: SigningWindow) -> ToSign<'k> {
        let mut octets = self.head(key, window);
        self.put_records(self.ttl, &mut octets);
        ToSign { key, expiration: window.expiration, octets }
    }

    /// The bytes that an RRSIG of this RRset covers, and its signature; `None` if its rdata is damaged, or of another signer.
    pub(crate) fn covered_by<'s>(&self, rrsig: &'s [u8]) -> Option<(Vec<u8>, &'s [u8])> {
        let (fixed, rest) = rrsig.split_at_checked(18)?;
        let apex = self.apex.as_wire();
        let (signer, signature) = rest.split_at_checked(apex.len())?;
        let ttl = Ttl(u32::from_be_bytes(*fixed.get(4..)?.first_chunk()?));
        let mut octets = [fixed, &apex.to_ascii_lowercase()].concat();
        self.put_records(ttl, &mut octets);
        signer.eq_ignore_ascii_case(apex).then_some((octets, signature))
    }

    /// Adds the records in canonical form and order.
    fn put_records(&self, ttl: Ttl, octets: &mut Vec<u8>) {
        let mut rdatas: Vec<Cow<'_, [u8]>> = self.rdatas.iter().map(|rdata| canonical(self.rtype, rdata)).collect();
        rdatas.sort_unstable();
        let owner = self.owner.as_wire().to_ascii_lowercase();
        for rdata in rdatas {
            octets.extend_from_slice(&owner);
            push_behind_owner(self.rtype, ttl, &rdata, octets);
        }
    }

    /// The rdata of the RRSIG with a signature that was made of [`RrSetToSign::by`].
    pub(crate) fn rrsig(&self, key: &ZoneKey, window: SigningWindow, signature: &SignatureOctets) -> Vec<u8> {
        let mut rdata = self.head(key, window);
        rdata.extend_from_slice(signature);
        rdata
    }

    /// The rdata of the RRSIG without its signature.
    fn head(&self, key: &ZoneKey, window: SigningWindow) -> Vec<u8> {
        // RFC 4034 §3.1.3: without the root, and without the `*` of a wildcard.
        let labels = self.owner.labels().count() - usize::from(self.owner.is_wildcard());
        let mut head = self.rtype.0.to_be_bytes().to_vec();
        head.extend_from_slice(&[key.algorithm(), labels as u8]);
        for number in [self.ttl.0, window.expiration, window.inception] {
            head.extend_from_slice(&number.to_be_bytes());
        }
        head.extend_from_slice(&key.tag().to_be_bytes());
        head.extend_from_slice(&self.apex.as_wire().to_ascii_lowercase());
        head
    }
}

impl ToSign<'_> {
    /// The bytes that the key signs.
    pub(crate) fn octets(&self) -> &[u8] {
        &self.octets
    }

    /// A number by which a signature of the same bytes with the same key is found again.
    pub(crate) fn id(&self) -> u128 {
        let mut digest = digest::Context::new(&digest::SHA256);
        digest.update(&self.key.dnskey);
        digest.update(&self.octets);
        digest.finish().as_ref().first_chunk().map_or(0, |octets| u128::from_be_bytes(*octets))
    }
}
