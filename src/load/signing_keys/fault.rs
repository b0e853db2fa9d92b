//! The faults of key files, each with its remedy.
//!
//! **Invariants**: no fault has a part of a private key.

use std::fmt;

use crate::base::name::NameBuf;
use crate::zone::KeyRole;

/// The reason why a key file cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum KeyFault {
    /// The algorithm, by its number of RFC 8624, is not one that Pharos signs with.
    Algorithm(u8),
    /// The PKCS #8 document is of neither algorithm; this is the name of its own one, if it is known.
    Kind(Option<&'static str>),
    /// The private key and the public one do not belong together.
    Mismatch,
    /// The DNSKEY is that of another zone.
    OtherOwner(Box<NameBuf>),
    /// The file has this number of DNSKEY records, not one.
    Records(usize),
    /// The line of this number is not a record.
    Line(u32),
    /// The flags of the DNSKEY are not 256 or 257.
    Flags(u16),
    /// The DNSKEY is revoked (RFC 5011).
    Revoked,
    /// The protocol of the DNSKEY is not 3, or its public key has not the length of its algorithm.
    BadDnskey,
    /// The PEM file has no section, or one with this label.
    Label(Option<String>),
    /// The PEM file is damaged.
    BadPem,
    /// The private key is encrypted.
    Encrypted,
    /// The file is that of BIND's form, and its name is not.
    BindName,
    /// The file has no private key in BIND's form.
    NotBind,
    /// The private key is on a hardware module.
    Module,
    /// The field of this name is missing or damaged.
    Field(&'static str),
}

impl fmt::Display for KeyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeyFault::Algorithm(number) => match algorithm_name(*number) {
                Some(name) => write!(f, "its algorithm is {number} ({name})"),
                None => write!(f, "its algorithm is {number}"),
            },
            KeyFault::Kind(Some(name)) => write!(f, "it is {name}"),
            KeyFault::Kind(None) => f.write_str("it is of an unknown algorithm, or damaged"),
            KeyFault::Mismatch => f.write_str("its private key does not belong to its public one"),
            KeyFault::OtherOwner(owner) => write!(f, "it is a key of zone `{owner}`"),
            KeyFault::Records(0) => f.write_str("the file has no DNSKEY record"),
            KeyFault::Records(count) => write!(f, "the file has {count} records, not one"),
            KeyFault::Line(line) => write!(f, "line {line} of the file is not a DNSKEY record"),
            KeyFault::Flags(flags) => write!(f, "the flags of its DNSKEY record are {flags}"),
            KeyFault::Revoked => f.write_str("it is revoked (RFC 5011)"),
            KeyFault::BadDnskey => f.write_str("its DNSKEY record is damaged"),
            KeyFault::Label(Some(label)) => write!(f, "the PEM file has `{label}`, not `PRIVATE KEY`"),
            KeyFault::Label(None) => f.write_str("it is neither PEM nor named as BIND names keys"),
            KeyFault::BadPem => f.write_str("the PEM file is damaged"),
            KeyFault::Encrypted => f.write_str("it is encrypted"),
            KeyFault::BindName => f.write_str("it is a file of BIND's form, and its name has not the end `.private`"),
            KeyFault::NotBind => f.write_str("the file does not begin with `Private-key-format: v1.`"),
            KeyFault::Module => f.write_str("its private key is on a hardware module"),
            KeyFault::Field(name) => write!(f, "its field `{name}` is missing or damaged"),
        }
    }
}

impl KeyFault {
    /// The remedy, for a key of a zone.
    pub(super) fn help(&self, zone: &NameBuf, role: Option<KeyRole>) -> String {
        let generate = format!("make a key: `pharos key generate {zone}`");
        let role = role.map_or(String::new(), |role| format!(" --role {}", role.as_str()));
        match self {
            KeyFault::Algorithm(_) | KeyFault::Kind(_) => format!(
                "Pharos signs with algorithms 13 (ECDSA P-256) and 15 (Ed25519): make such a key with `pharos key generate \
                 {zone}{role}`, and roll over to it"
            ),
            KeyFault::Mismatch => "put the two files of one key together; their names have the same tag".to_string(),
            KeyFault::OtherOwner(_) => format!("name a key of this zone; {generate}"),
            KeyFault::Records(_) | KeyFault::Line(_) => "name a file with the one DNSKEY record of the key".to_string(),
            KeyFault::Flags(_) => format!("a key of a zone has flags 256 or 257; {generate}"),
            KeyFault::Revoked => "remove the key, or name another one".to_string(),
            KeyFault::BadDnskey | KeyFault::BadPem | KeyFault::Field(_) | KeyFault::NotBind => {
                "copy the file again from where the key was made".to_string()
            }
            KeyFault::Label(Some(label)) if label == "EC PRIVATE KEY" => {
                "convert it: `openssl pkcs8 -topk8 -nocrypt -in KEY -out NEW.pem`".to_string()
            }
            KeyFault::Label(_) => format!(
                "name BIND's pair of files by `KZONE+ALGORITHM+TAG`, or a PEM file with a PKCS #8 key; {generate}"
            ),
            KeyFault::Encrypted => "decrypt it: `openssl pkcs8 -in KEY -out NEW.pem`".to_string(),
            KeyFault::BindName => "name the pair as BIND does: `KZONE+ALGORITHM+TAG.key` and `….private`".to_string(),
            KeyFault::Module => "Pharos reads keys from files alone; make one, and roll over to it".to_string(),
        }
    }
}

/// The name of an algorithm that other servers sign with.
fn algorithm_name(number: u8) -> Option<&'static str> {
    Some(match number {
        3 | 6 => "DSA",
        1 | 5 | 7 | 8 | 10 => "RSA",
        12 => "GOST",
        14 => "ECDSA P-384",
        16 => "Ed448",
        _ => return None,
    })
}
