//! The contents of a certificate: names, times, key, issuer.
//!
//! **Invariants**: everything is read by the same library that verifies, so that both see the same certificate.
//! **Not here**: the judgement ([`super::judge()`]).
//!
//! RFC 5280 §4.1 (fields), RFC 8017 §A.1.1 (RSA keys), RFC 5480 §2.1.1 (curves), RFC 8410 §3 (Ed25519).

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, Error, RootCertStore};
use webpki::EndEntityCert;

/// A time that lies after the end of any certificate: the last that RFC 5280 §4.1.2.5 can write.
const AFTER_ALL: UnixTime = UnixTime::since_unix_epoch(Duration::from_secs(253_402_300_799));

/// A name that no certificate is for (RFC 6761 §6.4).
const NOBODY: &str = "nobody.invalid";

/// The contents of a leaf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeafFacts {
    /// The DNS names and IP addresses in it.
    pub names: Vec<String>,
    /// The begin of its validity.
    pub not_before: Option<UnixTime>,
    /// The end of its validity.
    pub not_after: Option<UnixTime>,
    /// Its key.
    pub key: KeyKind,
    /// The common name or the organization of its issuer.
    pub issuer: String,
}

/// The kind of a public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// RSA, with the bits of its modulus.
    Rsa(usize),
    /// ECDSA on the curve P-256.
    P256,
    /// ECDSA on the curve P-384.
    P384,
    /// ECDSA on the curve P-521.
    P521,
    /// Ed25519.
    Ed25519,
    /// Something else.
    Other,
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeyKind::Rsa(bits) => write!(f, "RSA, {bits} bits"),
            KeyKind::P256 => f.write_str("ECDSA, P-256"),
            KeyKind::P384 => f.write_str("ECDSA, P-384"),
            KeyKind::P521 => f.write_str("ECDSA, P-521"),
            KeyKind::Ed25519 => f.write_str("Ed25519"),
            KeyKind::Other => f.write_str("of an unknown kind"),
        }
    }
}

impl LeafFacts {
    /// Reads a certificate.
    pub(super) fn read(leaf: &CertificateDer<'_>) -> Result<Self, Error> {
        let parsed = ParsedCertificate::try_from(leaf)?;
        Ok(LeafFacts {
            names: names(&parsed),
            not_before: begin_of(&parsed),
            not_after: end_of(&parsed),
            key: key_kind(&parsed.subject_public_key_info()),
            issuer: Parties::read(leaf).map_or_else(String::new, |parties| shown_name(&parties.issuer)),
        })
    }
}

/// The begin, if it can be read, and the end of a certificate's validity, in seconds since 1970.
pub(super) fn validity(certificate: &CertificateDer<'_>) -> Option<(Option<u64>, u64)> {
    let parsed = ParsedCertificate::try_from(certificate).ok()?;
    Some((begin_of(&parsed).map(|begin| begin.as_secs()), end_of(&parsed)?.as_secs()))
}

fn begin_of(parsed: &ParsedCertificate<'_>) -> Option<UnixTime> {
    match time_fault(parsed, UnixTime::since_unix_epoch(Duration::ZERO)) {
        Some(CertificateError::NotValidYetContext { not_before, .. }) => Some(not_before),
        _ => None,
    }
}

fn end_of(parsed: &ParsedCertificate<'_>) -> Option<UnixTime> {
    match time_fault(parsed, AFTER_ALL) {
        Some(CertificateError::ExpiredContext { not_after, .. }) => Some(not_after),
        _ => None,
    }
}

/// The first error of a leaf at a time.
///
/// The leaf is verified against no roots, so that the verification always fails. An error of its validity comes before that
/// of its issuer, because the verifier looks at the time first.
pub(super) fn time_fault(leaf: &ParsedCertificate<'_>, at: UnixTime) -> Option<CertificateError> {
    let algorithms = super::provider().signature_verification_algorithms.all;
    match verify_server_cert_signed_by_trust_anchor(leaf, &RootCertStore::empty(), &[], at, algorithms) {
        Err(Error::InvalidCertificate(error)) => Some(error),
        _ => None,
    }
}

fn names(leaf: &ParsedCertificate<'_>) -> Vec<String> {
    let nobody = ServerName::try_from(NOBODY).expect("a name of DNS");
    match verify_server_name(leaf, &nobody) {
        Err(Error::InvalidCertificate(CertificateError::NotValidForNameContext { presented, .. })) => {
            presented.iter().map(|name| plain_name(name)).collect()
        }
        _ => Vec::new(),
    }
}

/// The name within `DnsName("a.example")` or `IpAddress(192.0.2.1)`, as the library shows them.
pub(super) fn plain_name(shown: &str) -> String {
    let inside = shown.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
    let inside = inside.unwrap_or(shown).trim_matches('"');
    // An address in its canonical text form.
    inside.parse::<IpAddr>().map_or_else(|_| inside.to_string(), |address| address.to_string())
}

/// Issuer and subject of a certificate, in DER for comparison.
pub(super) struct Parties {
    pub(super) issuer: Vec<u8>,
    pub(super) subject: Vec<u8>,
}

impl Parties {
    pub(super) fn read(certificate: &CertificateDer<'_>) -> Option<Self> {
        let parsed = EndEntityCert::try_from(certificate).ok()?;
        Some(Parties { issuer: parsed.issuer().to_vec(), subject: parsed.subject().to_vec() })
    }

    pub(super) fn is_self_issued(&self) -> bool {
        self.issuer == self.subject
    }
}

/// The common name, or else the organization, in a name.
pub(super) fn shown_name(name: &[u8]) -> String {
    // X.520: id-at 3 and 10, behind the tag and length of an object identifier.
    let [common, organization] = [3, 10].map(|kind| attribute(name, &[0x06, 0x03, 0x55, 0x04, kind]));
    common.or(organization).unwrap_or_else(|| "an issuer without a name".to_string())
}

fn attribute(name: &[u8], kind: &[u8]) -> Option<String> {
    let at = name.windows(kind.len()).position(|window| window == kind)?;
    let (&[_tag, length], rest) = name.get(at + kind.len()..)?.split_first_chunk()?;
    // Longer ones have another form of length; X.520 allows 64 characters.
    let value = rest.get(..usize::from(length)).filter(|_| length < 0x80)?;
    Some(String::from_utf8_lossy(value).into_owned())
}

fn key_kind(key_info: &[u8]) -> KeyKind {
    const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
    const KINDS: [(&[u8], KeyKind); 4] = [
        (&[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07], KeyKind::P256),
        (&[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22], KeyKind::P384),
        (&[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x23], KeyKind::P521),
        (&[0x06, 0x03, 0x2b, 0x65, 0x70], KeyKind::Ed25519),
    ];
    // The algorithm is the first element; the key follows.
    let head = &key_info[..key_info.len().min(40)];
    let has = |oid: &[u8]| head.windows(oid.len()).any(|window| window == oid);
    if has(RSA) {
        return rsa_bits(key_info).map_or(KeyKind::Other, KeyKind::Rsa);
    }
    KINDS.iter().find(|(oid, _)| has(oid)).map_or(KeyKind::Other, |(_, kind)| *kind)
}

/// The bits of the modulus: the first INTEGER in the BIT STRING.
fn rsa_bits(key_info: &[u8]) -> Option<usize> {
    let bit_string = der_value(der_after(der_value(key_info, 0x30)?)?, 0x03)?;
    let modulus = der_value(der_value(bit_string.get(1..)?, 0x30)?, 0x02)?;
    let first = modulus.iter().position(|&octet| octet != 0)?;
    Some((modulus.len() - first) * 8 - modulus[first].leading_zeros() as usize)
}

/// The value of the first element, if it has this tag.
fn der_value(der: &[u8], tag: u8) -> Option<&[u8]> {
    let (header, length) = der_length(der)?;
    (der[0] == tag).then(|| der.get(header..header + length)).flatten()
}

/// The bytes after the first element.
fn der_after(der: &[u8]) -> Option<&[u8]> {
    let (header, length) = der_length(der)?;
    der.get(header + length..)
}

/// The lengths of the header and the value of the first element, in bytes; `None` if the value has 64 KiB or more.
fn der_length(der: &[u8]) -> Option<(usize, usize)> {
    match *der {
        [_, length @ 0..=0x7f, ..] => Some((2, length.into())),
        [_, 0x81, length, ..] => Some((3, length.into())),
        [_, 0x82, high, low, ..] => Some((4, u16::from_be_bytes([high, low]).into())),
        _ => None,
    }
}
