//! The keys by which a zone is signed here, and the validity of its signatures.
//!
//! **Invariants**: the rdata of a key is that of a DNSKEY record with protocol 3; a key tag is that of its rdata; the signatures
//! of both algorithms have 64 bytes.
//! **Not here**: key files (load), making signatures ([`SignOctets`] is implemented there too), signed data
//! ([`super::signing`]).
//!
//! RFC 4034 §2 (DNSKEY), §5 (DS) and appendix B (key tags), RFC 6605 (ECDSA), RFC 7344 (CDS), RFC 8080 (Ed25519).

use std::fmt;
use std::sync::Arc;

use ring::digest;

use crate::base::name::Name;
use crate::base::words::words;

/// The bytes of a signature by [`ECDSA_P256`] or [`ED25519`].
pub(crate) type SignatureOctets = [u8; 64];

/// ECDSA on curve P-256 with SHA-256 (RFC 6605): the algorithm that every validator knows.
pub(crate) const ECDSA_P256: u8 = 13;

/// Ed25519 (RFC 8080).
pub(crate) const ED25519: u8 = 15;

/// The digest type SHA-256 of a DS record (RFC 4509).
pub(crate) const DS_SHA256: u8 = 2;

/// A private key.
pub(crate) trait SignOctets: Send + Sync + fmt::Debug {
    /// Signs bytes. `None` if the system has no randomness to give.
    fn sign(&self, octets: &[u8]) -> Option<SignatureOctets>;
}

words! {
    /// The RRsets that a key signs (RFC 6781 §3.1).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) enum KeyRole {
        /// All: the DNSKEY RRset, and the data of the zone.
        Csk = "csk",
        /// The DNSKEY RRset, to which a DS record at the parent points.
        Ksk = "ksk",
        /// The data of the zone.
        Zsk = "zsk",
    }
}

words! {
    /// The state of a key in a roll-over (RFC 7583).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) enum KeyState {
        /// It is in the DNSKEY RRset, so that resolvers know it before the first signature of the zone's data by it.
        Published = "published",
        /// It signs.
        Active = "active",
        /// It is in the DNSKEY RRset, because resolvers still have signatures by it.
        Retired = "retired",
    }
}

/// A key of a zone.
#[derive(Clone, Debug)]
pub(crate) struct ZoneKey {
    /// The rdata of its DNSKEY record.
    pub(crate) dnskey: Arc<[u8]>,
    /// Its role.
    pub(crate) role: KeyRole,
    /// Its state.
    pub(crate) state: KeyState,
    /// True if CDS and CDNSKEY records ask the parent for a DS record of it.
    pub(crate) has_ds: bool,
    /// Its private half.
    pub(crate) private: Arc<dyn SignOctets>,
}

impl ZoneKey {
    /// The number of its algorithm.
    pub(crate) fn algorithm(&self) -> u8 {
        self.dnskey[3]
    }

    /// Its key tag.
    pub(crate) fn tag(&self) -> u16 {
        key_tag(&self.dnskey)
    }

    /// True if it signs the DNSKEY, CDS and CDNSKEY RRsets. A key does in each of its states, so that a DS record of the
    /// parent may change at any moment of a roll-over.
    pub(crate) fn signs_keys(&self) -> bool {
        self.role != KeyRole::Zsk
    }

    /// True if it signs the other RRsets of the zone.
    pub(crate) fn signs_data(&self) -> bool {
        self.role != KeyRole::Ksk && self.state == KeyState::Active
    }
}

/// The keys of a zone, and the validity of its signatures.
#[derive(Clone, Debug)]
pub struct SigningTerms {
    /// The keys, in the order of the configuration.
    pub(crate) keys: Vec<ZoneKey>,
    /// The time from the start of a signature's window to its expiration, in seconds.
    pub(crate) validity_secs: u32,
    /// True if the CDS and CDNSKEY records ask the parent to remove its DS records (RFC 8078 §4).
    pub(crate) deletes_ds: bool,
}

impl SigningTerms {
    /// The time for which a signature that is sent is valid at least, in seconds: without the longest time that it was served before.
    pub(crate) fn least_validity_secs(&self) -> u32 {
        self.validity_secs - self.validity_secs / 4
    }
}

/// The key tag of a DNSKEY's rdata (RFC 4034, appendix B).
pub(crate) fn key_tag(dnskey: &[u8]) -> u16 {
    let mut sum: u32 = 0;
    for (at, octet) in dnskey.iter().enumerate() {
        sum += if at % 2 == 0 { u32::from(*octet) << 8 } else { u32::from(*octet) };
    }
    (sum + (sum >> 16)) as u16
}

/// True if a DNSKEY's rdata has the flag of a key to which a DS record may point (RFC 4034 §2.1.1).
pub(crate) fn is_entry_point(dnskey: &[u8]) -> bool {
    dnskey.get(1).is_some_and(|flags| flags & 1 != 0)
}

/// The rdata of the DS record of a key, with digest type SHA-256 (RFC 4034 §5.1.4).
pub(crate) fn ds_rdata(owner: Name<'_>, dnskey: &[u8]) -> Vec<u8> {
    let mut digest = digest::Context::new(&digest::SHA256);
    digest.update(&owner.as_wire().to_ascii_lowercase());
    digest.update(dnskey);
    let mut rdata = key_tag(dnskey).to_be_bytes().to_vec();
    rdata.extend_from_slice(&[dnskey[3], DS_SHA256]);
    rdata.extend_from_slice(digest.finish().as_ref());
    rdata
}
