//! Mnemonics: numbers of record data that may be written as words.
//!
//! Words are read in any case, as BIND reads them; the numbers are always accepted.
//!
//! **Not here**: names of types and of service parameters ([`crate::base`]).

use super::RdataError;
use super::tokens::RdataWord;

/// A word and its number.
type WordTable = &'static [(&'static str, u16)];

/// DNSSEC algorithms (IANA, DNS Security Algorithm Numbers), with BIND's words and those of the registry.
pub(super) const ALGORITHMS: WordTable = &[
    ("RSAMD5", 1),
    ("RSA", 1),
    ("DH", 2),
    ("DSA", 3),
    ("ECC", 4),
    ("RSASHA1", 5),
    ("NSEC3DSA", 6),
    ("DSA-NSEC3-SHA1", 6),
    ("NSEC3RSASHA1", 7),
    ("RSASHA1-NSEC3-SHA1", 7),
    ("RSASHA256", 8),
    ("RSASHA512", 10),
    ("ECCGOST", 12),
    ("ECC-GOST", 12),
    ("ECDSAP256SHA256", 13),
    ("ECDSA256", 13),
    ("ECDSAP384SHA384", 14),
    ("ECDSA384", 14),
    ("ED25519", 15),
    ("ED448", 16),
    ("INDIRECT", 252),
    ("PRIVATEDNS", 253),
    ("PRIVATEOID", 254),
];

/// Digest types of DS records (IANA, DS RR Type Digest Algorithms).
pub(super) const DIGESTS: WordTable =
    &[("SHA-1", 1), ("SHA1", 1), ("SHA-256", 2), ("SHA256", 2), ("GOST", 3), ("SHA-384", 4), ("SHA384", 4)];

/// Certificate types (RFC 4398 §2.1).
pub(super) const CERT_TYPES: WordTable = &[
    ("PKIX", 1),
    ("SPKI", 2),
    ("PGP", 3),
    ("IPKIX", 4),
    ("ISPKI", 5),
    ("IPGP", 6),
    ("ACPKIX", 7),
    ("IACPKIX", 8),
    ("URI", 253),
    ("OID", 254),
];

/// Protocols of keys (RFC 2535 §7.1).
pub(super) const PROTOCOLS: WordTable =
    &[("NONE", 0), ("TLS", 1), ("EMAIL", 2), ("DNSSEC", 3), ("IPSEC", 4), ("ALL", 255)];

/// Schemes of DSYNC records (RFC 9859 §2.1).
pub(super) const SCHEMES: WordTable = &[("NOTIFY", 1)];

/// Flags of keys, joined by `|` (RFC 2535 §7.1, and KSK for the bit of RFC 4034 §2.1.1).
const KEY_FLAGS: WordTable = &[
    ("NOCONF", 0x4000),
    ("NOAUTH", 0x8000),
    ("NOKEY", 0xc000),
    ("EXTEND", 0x1000),
    ("USER", 0),
    ("ZONE", 0x0100),
    ("HOST", 0x0200),
    ("NTYP3", 0x0300),
    ("KSK", 1),
];

/// The bits of a key's flags that are written as `FLAG` and their number, the highest being 0. `SIG0` to `SIG15` are the values of
/// the lowest four (RFC 2535 §7.1).
const KEY_BITS: [u16; 7] = [2, 4, 5, 8, 9, 10, 11];

/// Transport protocols of WKS records (RFC 1035 §3.4.2, IANA Protocol Numbers).
pub(super) const TRANSPORTS: WordTable = &[
    ("icmp", 1),
    ("igmp", 2),
    ("ggp", 3),
    ("ipencap", 4),
    ("st", 5),
    ("tcp", 6),
    ("egp", 8),
    ("igp", 9),
    ("pup", 12),
    ("udp", 17),
    ("hmp", 20),
    ("xns-idp", 22),
    ("rdp", 27),
    ("iso-tp4", 29),
    ("dccp", 33),
    ("gre", 47),
    ("esp", 50),
    ("ah", 51),
    ("ospf", 89),
    ("sctp", 132),
    ("udplite", 136),
];

/// Services of WKS records (RFC 1010, and the later ones that master files name).
pub(super) const SERVICES: WordTable = &[
    ("tcpmux", 1),
    ("echo", 7),
    ("discard", 9),
    ("systat", 11),
    ("daytime", 13),
    ("netstat", 15),
    ("qotd", 17),
    ("chargen", 19),
    ("ftp-data", 20),
    ("ftp", 21),
    ("ssh", 22),
    ("telnet", 23),
    ("smtp", 25),
    ("mail", 25),
    ("time", 37),
    ("whois", 43),
    ("nicname", 43),
    ("tacacs", 49),
    ("domain", 53),
    ("bootps", 67),
    ("bootpc", 68),
    ("tftp", 69),
    ("gopher", 70),
    ("finger", 79),
    ("http", 80),
    ("www", 80),
    ("kerberos", 88),
    ("iso-tsap", 102),
    ("pop3", 110),
    ("sunrpc", 111),
    ("auth", 113),
    ("nntp", 119),
    ("ntp", 123),
    ("imap2", 143),
    ("imap", 143),
    ("snmp", 161),
    ("snmp-trap", 162),
    ("bgp", 179),
    ("ldap", 389),
    ("https", 443),
    ("submission", 587),
    ("ldaps", 636),
    ("domain-s", 853),
    ("imaps", 993),
    ("pop3s", 995),
];

/// The number that a token is or stands for, of at most `most`.
pub(super) fn number(word: RdataWord<'_>, table: WordTable, most: u32) -> Result<u16, RdataError> {
    if word.bytes.first().is_some_and(u8::is_ascii_digit) {
        return word.number(most).map(|number| number as u16);
    }
    let found = table.iter().find(|(name, _)| name.as_bytes().eq_ignore_ascii_case(word.bytes));
    found.map(|(_, number)| *number).ok_or_else(|| word.bad("neither a number nor a known word"))
}

/// The flags of a key.
pub(super) fn key_flags(word: RdataWord<'_>) -> Result<u16, RdataError> {
    if word.bytes.first().is_some_and(u8::is_ascii_digit) {
        return word.number(u16::MAX.into()).map(|number| number as u16);
    }
    let is = |known: &str, name: &str| known.eq_ignore_ascii_case(name);
    let named = |name: &str| KEY_FLAGS.iter().find(|(known, _)| is(known, name)).map(|(_, bits)| *bits);
    let numbered =
        |name: &str| KEY_BITS.into_iter().find(|bit| is(&format!("FLAG{bit}"), name)).map(|bit| 0x8000 >> bit);
    let signatory = |name: &str| (0..16).find(|number| is(&format!("SIG{number}"), name));
    word.text().split('|').try_fold(0, |flags, name| {
        let bits = named(name).or_else(|| numbered(name)).or_else(|| signatory(name));
        Ok(flags | bits.ok_or_else(|| word.bad("neither a number nor known flags joined by `|`"))?)
    })
}
