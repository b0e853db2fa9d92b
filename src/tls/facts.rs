//! The contents of a certificate: names, times, key, issuer.
//!
//! **Invariants**: the verifier and this module read the same bytes; an empty or damaged field is left out, never guessed.
//! **Not here**: the judgement ([`super::judge()`]).
//!
//! RFC 5280 §4.1 (fields), RFC 8017 §A.1.1 (RSA keys), RFC 5480 §2.1.1 (curves), RFC 8410 §3 (Ed25519).

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use rustls::pki_types::{CertificateDer, UnixTime};
use x509_parser::certificate::X509Certificate;
use x509_parser::der_parser::asn1_rs::{Any, FromDer as _};
use x509_parser::extensions::GeneralName;
use x509_parser::oid_registry::{
    OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_NIST_EC_P384, OID_NIST_EC_P521, OID_PKCS1_RSAENCRYPTION,
    OID_SIG_ED25519,
};
use x509_parser::public_key::PublicKey;
use x509_parser::time::ASN1Time;
use x509_parser::x509::{SubjectPublicKeyInfo, X509Name};

/// The contents of a leaf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeafFacts {
    /// The DNS names and IP addresses in it.
    pub(crate) names: Vec<String>,
    /// The begin of its validity.
    pub(crate) not_before: UnixTime,
    /// The end of its validity.
    pub(crate) not_after: UnixTime,
    /// Its key.
    pub(crate) key: KeyKind,
    /// The common name or the organization of its issuer.
    pub issuer: String,
}

/// RSA keys below this are refused by clients (CA/Browser Forum Baseline Requirements §6.1.5).
pub(super) const LEAST_RSA_BITS: usize = 2048;

/// The kind of a public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyKind {
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
    /// Reads a certificate; `None` if it cannot be parsed.
    pub(super) fn read(leaf: &CertificateDer<'_>) -> Option<Self> {
        let parsed = parse(leaf)?;
        Some(LeafFacts {
            names: names(&parsed),
            not_before: unix(parsed.validity().not_before),
            not_after: unix(parsed.validity().not_after),
            key: key_kind(parsed.public_key()),
            issuer: shown_name(parsed.issuer()),
        })
    }
}

/// The begin and the end of a certificate's validity; `None` if it cannot be parsed.
pub(super) fn validity(certificate: &CertificateDer<'_>) -> Option<(UnixTime, UnixTime)> {
    let validity = parse(certificate)?.validity().clone();
    Some((unix(validity.not_before), unix(validity.not_after)))
}

/// The subject of a certificate, for people.
pub(super) fn subject(certificate: &CertificateDer<'_>) -> String {
    parse(certificate).map_or_else(String::new, |parsed| shown_name(parsed.subject()))
}

fn parse<'c>(certificate: &'c CertificateDer<'_>) -> Option<X509Certificate<'c>> {
    X509Certificate::from_der(certificate).ok().map(|(_, parsed)| parsed)
}

/// A timestamp; one before 1970 is 1970.
fn unix(at: ASN1Time) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(at.timestamp()).unwrap_or_default()))
}

/// The DNS names and addresses that a certificate is for. The common name is none of them (RFC 9525 §2).
fn names(parsed: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(extension)) = parsed.subject_alternative_name() else { return Vec::new() };
    let names = extension.value.general_names.iter();
    names
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some((*name).to_string()),
            GeneralName::IPAddress(bytes) => address(bytes).map(|address| address.to_string()),
            _ => None,
        })
        .collect()
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v6 = || <[u8; 16]>::try_from(bytes).map(IpAddr::from);
    <[u8; 4]>::try_from(bytes).map(IpAddr::from).or_else(|_| v6()).ok()
}

/// Issuer and subject of a certificate: the contents of their DER sequences, which is the form of a trust anchor's subject.
pub(super) struct Parties {
    pub(super) issuer: Box<[u8]>,
    pub(super) subject: Box<[u8]>,
    /// The issuer, for people.
    pub(super) shown_issuer: String,
}

impl Parties {
    pub(super) fn read(certificate: &CertificateDer<'_>) -> Option<Self> {
        let parsed = parse(certificate)?;
        let contents = |name: &X509Name<'_>| Some(Any::from_der(name.as_raw()).ok()?.1.data.into());
        Some(Parties {
            issuer: contents(parsed.issuer())?,
            subject: contents(parsed.subject())?,
            shown_issuer: shown_name(parsed.issuer()),
        })
    }

    pub(super) fn is_self_issued(&self) -> bool {
        self.issuer == self.subject
    }
}

/// The common name, or else the organization, in a name.
fn shown_name(name: &X509Name<'_>) -> String {
    let attribute = name.iter_common_name().next().or_else(|| name.iter_organization().next());
    // A string of two bytes a character is left out, because authorities of the web write UTF-8 or ASCII.
    let text = attribute.and_then(|attribute| attribute.as_str().ok());
    text.filter(|text| !text.is_empty()).unwrap_or("an authority without a name").to_string()
}

fn key_kind(info: &SubjectPublicKeyInfo<'_>) -> KeyKind {
    let algorithm = &info.algorithm.algorithm;
    if *algorithm == OID_PKCS1_RSAENCRYPTION {
        let Ok(PublicKey::RSA(key)) = info.parsed() else { return KeyKind::Other };
        return rsa_bits(key.modulus).map_or(KeyKind::Other, KeyKind::Rsa);
    }
    if *algorithm == OID_SIG_ED25519 {
        return KeyKind::Ed25519;
    }
    let curve = info.algorithm.parameters.as_ref().and_then(|parameters| parameters.as_oid().ok());
    match curve.filter(|_| *algorithm == OID_KEY_TYPE_EC_PUBLIC_KEY) {
        Some(curve) if curve == OID_EC_P256 => KeyKind::P256,
        Some(curve) if curve == OID_NIST_EC_P384 => KeyKind::P384,
        Some(curve) if curve == OID_NIST_EC_P521 => KeyKind::P521,
        _ => KeyKind::Other,
    }
}

/// The bits of a modulus. The crate's `key_size` counts whole bytes, and takes 0 for one without a leading zero.
fn rsa_bits(modulus: &[u8]) -> Option<usize> {
    let first = modulus.iter().position(|&byte| byte != 0)?;
    Some((modulus.len() - first) * 8 - modulus[first].leading_zeros() as usize)
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    use super::*;

    #[test]
    fn names_are_those_that_clients_compare_and_an_issuer_without_a_common_name_has_its_organization() {
        let mut params = CertificateParams::new(vec!["*.a.example".to_string(), "2001:db8::1".to_string()]).unwrap();
        params.subject_alt_names.push(SanType::Rfc822Name("a@b.example".try_into().unwrap()));
        params.subject_alt_names.push(SanType::URI("https://c.example/".try_into().unwrap()));
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "An Organization");
        let facts = |params: &CertificateParams| {
            let made = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
            LeafFacts::read(made.der()).unwrap()
        };
        assert_eq!(facts(&params).names, ["*.a.example", "2001:db8::1"]);
        assert_eq!(facts(&params).issuer, "An Organization");
        params
            .distinguished_name
            .push(DnType::CommonName, "A name of more than sixty-four characters, which X.520 forbids, is kept");
        assert!(facts(&params).issuer.ends_with("forbids, is kept"));
        params.distinguished_name = rcgen::DistinguishedName::new();
        assert_eq!(facts(&params).issuer, "an authority without a name");
        assert_eq!(LeafFacts::read(&CertificateDer::from(&b"\x30\x00"[..])), None);
    }

    #[test]
    fn bits_of_a_modulus_are_counted_without_leading_zeros() {
        assert_eq!(rsa_bits(&[0, 0x80, 0]), Some(16));
        assert_eq!(rsa_bits(&[0x7f]), Some(7));
        assert_eq!(rsa_bits(&[0, 0]), None);
    }
}
