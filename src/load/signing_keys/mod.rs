//! Keys that sign zones: files in, [`SigningTerms`] out.
//!
//! **Invariants**: a zone has all of its keys or is refused; a private key is in no diagnostic.
//! **Not here**: keys of TSIG ([`super::keys`]), signing and signed data ([`crate::zone`]).
//!
//! RFC 4034 §2 (DNSKEY), RFC 6605 (ECDSA), RFC 8080 (Ed25519).

mod check;
mod fault;
pub(crate) mod pair;
mod pem;
mod pkcs8;
mod private;

use std::sync::Arc;

pub(crate) use check::{check_validity, check_zone, longest_ttl};
pub(crate) use fault::KeyFault;
pub(crate) use private::RingKey;

use crate::base::diagnostic::{Diagnostic, Place};
use crate::base::name::NameBuf;
use crate::config::{InputFile, KeyFiles, SigningConfig, SigningKeyConfig, ZoneConfig};
use crate::files::{Contents, ReadError};
use crate::zone::{ECDSA_P256, ED25519, KeyRole, SigningTerms, ZoneKey};

/// The protocol of a DNSKEY record (RFC 4034 §2.1.2).
const PROTOCOL: u8 = 3;

/// The flags of a DNSKEY record: a key of a zone, one that a DS record points to, one that is revoked (RFC 4034 §2.1.1,
/// RFC 5011 §3).
const ZONE_KEY: u16 = 0x0100;
const ENTRY_POINT: u16 = 0x0001;
const REVOKED: u16 = 0x0080;

/// The code of a key file that cannot be used.
const BAD_KEY: &str = "bad-signing-key";

/// The keys of each zone, `None` for one that is not signed here; beside them are the warnings.
pub(crate) type AllTerms = (Vec<Option<Arc<SigningTerms>>>, Vec<Diagnostic>);

/// Reads the keys of all zones. Fails with all keys that cannot be used.
pub(crate) fn read(zones: &[ZoneConfig]) -> Result<AllTerms, Vec<Diagnostic>> {
    let (mut all, mut problems) = (Vec::with_capacity(zones.len()), Vec::new());
    for zone in zones {
        let terms = zone.signing.as_ref().and_then(|signing| terms(&zone.name, signing, &mut problems));
        all.push(terms.map(Arc::new));
    }
    if problems.iter().any(Diagnostic::is_error) { Err(problems) } else { Ok((all, problems)) }
}

/// The keys of one zone. `None` if one of them cannot be read, which has been reported.
fn terms(zone: &NameBuf, signing: &SigningConfig, problems: &mut Vec<Diagnostic>) -> Option<SigningTerms> {
    let mut keys = Vec::new();
    for key in &signing.keys {
        match read_key(zone, key) {
            Ok((key, warning)) => {
                keys.push(key);
                problems.extend(warning);
            }
            Err(problem) => problems.push(*problem),
        }
    }
    if keys.len() < signing.keys.len() || keys.is_empty() {
        return None;
    }
    // A year at most: the range of `validity`.
    let validity_secs = signing.validity.as_secs() as u32;
    let terms = SigningTerms { keys, validity_secs, deletes_ds: signing.deletes_ds };
    check::check(zone, signing, &terms, problems);
    Some(terms)
}

/// Reads a key; beside it is a warning if others may read its private file.
fn read_key(zone: &NameBuf, key: &SigningKeyConfig) -> Result<(ZoneKey, Option<Diagnostic>), Box<Diagnostic>> {
    let (private_file, KeyParts { dnskey, private, facts }) = match &key.files {
        KeyFiles::Pair { public, private } => (private, read_pair(zone, key, public, private)?),
        KeyFiles::Pem(file) => (file, read_pem(zone, key, file)?),
    };
    let reason = "a client with the private key can forge each answer of the zone";
    let warning = super::exposed(&private_file.path, &private_file.file, &facts.facts, key.place.clone(), reason);
    let flags = u16::from_be_bytes([dnskey[0], dnskey[1]]);
    let role = key.role.unwrap_or(if flags & ENTRY_POINT == 0 { KeyRole::Zsk } else { KeyRole::Csk });
    let read =
        ZoneKey { dnskey: dnskey.into(), role, state: key.state, has_ds: key.has_ds, private: Arc::new(private) };
    Ok((read, warning))
}

/// The parts of a key.
struct KeyParts {
    /// The rdata of its DNSKEY record.
    dnskey: Vec<u8>,
    private: RingKey,
    /// The file of the private key.
    facts: Contents,
}

fn read_pair(
    zone: &NameBuf,
    key: &SigningKeyConfig,
    public: &InputFile,
    private: &InputFile,
) -> Result<KeyParts, Box<Diagnostic>> {
    let fault = |file: &InputFile, fault: KeyFault| unusable(zone, key, file, &fault);
    let contents = read_file(public, key)?;
    let (owner, dnskey) = pair::public(&public.file, contents.bytes).map_err(|found| fault(public, found))?;
    if owner != *zone {
        return Err(fault(public, KeyFault::OtherOwner(Box::new(owner))));
    }
    check_dnskey(&dnskey).map_err(|found| fault(public, found))?;
    let facts = read_file(private, key)?;
    let (algorithm, octets) = pair::private(&facts.bytes).map_err(|found| fault(private, found))?;
    let made = if algorithm == dnskey[3] {
        RingKey::of_pair(algorithm, &octets, &dnskey[4..])
    } else {
        Err(KeyFault::Mismatch)
    };
    Ok(KeyParts { private: made.map_err(|found| fault(private, found))?, dnskey, facts })
}

fn read_pem(zone: &NameBuf, key: &SigningKeyConfig, file: &InputFile) -> Result<KeyParts, Box<Diagnostic>> {
    let facts = read_file(file, key)?;
    let private = pem::key(&facts.bytes).map_err(|fault| unusable(zone, key, file, &fault))?;
    let dnskey = dnskey(flags(key.role.unwrap_or(KeyRole::Csk)), &private);
    Ok(KeyParts { dnskey, private, facts })
}

/// Returns whether Pharos signs with an algorithm.
fn is_known(algorithm: u8) -> bool {
    matches!(algorithm, ECDSA_P256 | ED25519)
}

/// The flags of a new key of a role.
pub(crate) fn flags(role: KeyRole) -> u16 {
    if role == KeyRole::Zsk { ZONE_KEY } else { ZONE_KEY | ENTRY_POINT }
}

/// The rdata of the DNSKEY record of a key.
pub(crate) fn dnskey(flags: u16, key: &RingKey) -> Vec<u8> {
    [&flags.to_be_bytes()[..], &[PROTOCOL, key.algorithm()], &key.public()].concat()
}

fn check_dnskey(rdata: &[u8]) -> Result<(), KeyFault> {
    let &[high, low, protocol, algorithm, ref public @ ..] = rdata else { return Err(KeyFault::BadDnskey) };
    let flags = u16::from_be_bytes([high, low]);
    let len = match algorithm {
        ECDSA_P256 => 64,
        ED25519 => 32,
        other => return Err(KeyFault::Algorithm(other)),
    };
    match flags {
        _ if flags & REVOKED != 0 => Err(KeyFault::Revoked),
        _ if flags & !ENTRY_POINT != ZONE_KEY => Err(KeyFault::Flags(flags)),
        _ if protocol != PROTOCOL || public.len() != len => Err(KeyFault::BadDnskey),
        _ => Ok(()),
    }
}

fn read_file(file: &InputFile, key: &SigningKeyConfig) -> Result<Contents, Box<Diagnostic>> {
    file.read().map_err(|error| {
        let message = format!("cannot read key file `{}`: {error}", file.file);
        let mut help = error.help(&file.path);
        if matches!(error, ReadError::Missing) && matches!(key.files, KeyFiles::Pair { .. }) {
            help += "; the DNSKEY record of a key that is kept off line goes into the zone file, signed";
        }
        Box::new(Diagnostic::error("unreadable-key", message).at(key.place.clone(), "named here").help(help))
    })
}

fn unusable(zone: &NameBuf, key: &SigningKeyConfig, file: &InputFile, fault: &KeyFault) -> Box<Diagnostic> {
    let place: Place = key.place.clone();
    let message = format!("key `{}` cannot sign zone `{zone}`: {fault}", file.file);
    Box::new(Diagnostic::error(BAD_KEY, message).at(place, "this key").help(fault.help(zone, key.role)))
}

#[cfg(test)]
mod tests;
