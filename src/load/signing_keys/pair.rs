//! BIND's two files of a key: a DNSKEY record, and the private key as lines of `Field: value`.
//!
//! The times that BIND keeps in both files (`Publish`, `Activate`, …) are not read, because the configuration has the state of
//! a key.
//!
//! **Invariants**: bytes of a private key are in no diagnostic.
//! **Not here**: matching the two halves ([`super::private`]).

use data_encoding::BASE64;

use super::fault::KeyFault;
use super::pkcs8::{PRIVATE_LEN, scalar};

use crate::base::diagnostic::Diagnostic;
use crate::base::name::{Name, NameBuf};
use crate::base::rr::Rtype;
use crate::load::zone::{TextRecord, records_of};
use crate::zone::ECDSA_P256;

/// The beginning of a file with a private key.
const FORMAT: &str = "Private-key-format: v1.";

/// The one DNSKEY record of a file: its owner and rdata.
pub(super) fn public(file: &str, text: Vec<u8>) -> Result<(NameBuf, Vec<u8>), KeyFault> {
    // The text stays out of the fault: it may be that of a private key by mistake.
    let unreadable = |problem: Box<Diagnostic>| KeyFault::Line(problem.place.map_or(0, |place| place.line));
    let mut records = records_of(file, text, Name::ROOT).map_err(unreadable)?;
    match (records.len(), records.pop()) {
        (1, Some(TextRecord { owner, rtype: Rtype::DNSKEY, rdata })) => Ok((owner, rdata)),
        (count, _) => Err(KeyFault::Records(if count == 1 { 0 } else { count })),
    }
}

/// The algorithm and the bytes of a private key.
pub(super) fn private(text: &[u8]) -> Result<(u8, Vec<u8>), KeyFault> {
    let text = std::str::from_utf8(text).map_err(|_| KeyFault::NotBind)?;
    if !text.starts_with(FORMAT) {
        return Err(KeyFault::NotBind);
    }
    let field = |name: &str| {
        let mut lines = text.lines().filter_map(|line| line.split_once(':'));
        lines.find(|(field, _)| field.trim() == name).map(|(_, value)| value.trim())
    };
    // `13 (ECDSAP256SHA256)`
    let algorithm = field("Algorithm").and_then(|value| value.split_whitespace().next()?.parse().ok());
    let algorithm = algorithm.ok_or(KeyFault::Field("Algorithm"))?;
    if field("Engine").is_some() || field("Label").is_some() {
        return Err(KeyFault::Module);
    }
    match field("PrivateKey").map(|value| BASE64.decode(value.as_bytes())) {
        Some(Ok(key)) if algorithm == ECDSA_P256 && !key.is_empty() => {
            scalar(&key).map(|key| (algorithm, key.to_vec())).ok_or(KeyFault::Field("PrivateKey"))
        }
        Some(Ok(key)) if key.len() == PRIVATE_LEN => Ok((algorithm, key)),
        // A key of RSA has other fields.
        None if field("Modulus").is_some() => Err(KeyFault::Algorithm(algorithm)),
        Some(Ok(_)) if !super::is_known(algorithm) => Err(KeyFault::Algorithm(algorithm)),
        _ => Err(KeyFault::Field("PrivateKey")),
    }
}

/// The text of both files of a key: that of the record, and that of the private key. `created` is the time in BIND's form, like
/// `20261231235959`; BIND's tools use no key without a time of activation.
pub(crate) fn written(zone: &NameBuf, dnskey: &[u8], private: &[u8; PRIVATE_LEN], created: &str) -> [String; 2] {
    let flags = u16::from_be_bytes([dnskey[0], dnskey[1]]);
    let (algorithm, public) = (dnskey[3], BASE64.encode(&dnskey[4..]));
    let name = if algorithm == ECDSA_P256 { "ECDSAP256SHA256" } else { "ED25519" };
    [
        format!("{} IN DNSKEY {flags} {} {algorithm} {public}\n", zone.as_name().absolute(), dnskey[2]),
        format!("{FORMAT}3\nAlgorithm: {algorithm} ({name})\nPrivateKey: {}\n", BASE64.encode(private))
            + &["Created", "Publish", "Activate"].map(|time| format!("{time}: {created}\n")).concat(),
    ]
}
