//! Protocol numbers with names: record types, classes, response codes.

use std::fmt;
use std::str::FromStr;

use super::prefix::Family;
use super::text::parse_digits;

/// Declares a constant for each number that has a name, and the text forms of all numbers: a number without a name is written
/// behind `$prefix`. Of several names of a number, the first is written.
macro_rules! named_numbers {
    ($numbers:ident, $prefix:literal, $($name:ident $($text:literal)? = $number:literal,)*) => {
        #[allow(missing_docs, reason = "the names are those of the IANA registry")]
        impl $numbers {
            $(pub const $name: $numbers = $numbers($number);)*

            /// The names, in the order of their declaration.
            const NAMES: &[(u16, &str)] = &[$(($number, named_numbers!($name $($text)?))),*];
        }

        impl fmt::Display for $numbers {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match Self::NAMES.iter().find(|(number, _)| *number == self.0) {
                    Some((_, name)) => f.pad(name),
                    None => write!(f, concat!($prefix, "{}"), self.0),
                }
            }
        }

        impl fmt::Debug for $numbers {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    };
    ($name:ident) => { stringify!($name) };
    ($name:ident $text:literal) => { $text };
}

/// A record type or query type (RFC 1035 §3.2.2, §3.2.3).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Rtype(pub u16);

impl Rtype {
    /// The type of the addresses of a family.
    pub(crate) const fn of_addresses(family: Family) -> Rtype {
        match family {
            Family::V4 => Rtype::A,
            Family::V6 => Rtype::AAAA,
        }
    }

    /// The article before the name: `an` if the name is spoken with a vowel.
    pub(crate) fn article(self) -> &'static str {
        const INITIALS: &[&str] = &[
            "HTTPS", "HHIT", "L32", "L64", "LP", "MB", "MD", "MF", "MG", "MR", "MX", "NS", "NSAP", "NSEC", "NSEC3",
            "NXT", "RP", "RRSIG", "RT", "SOA", "SPF", "SRV", "SSHFP", "SVCB", "X25",
        ];
        let name = Rtype::NAMES.iter().find(|(number, _)| *number == self.0).map_or("TYPE", |(_, name)| name);
        if name.starts_with(['A', 'E', 'I', 'O']) || INITIALS.contains(&name) { "an" } else { "a" }
    }

    /// Tells whether this is only a query type or part of a message, and never in a zone (RFC 6895 §3.1).
    pub(crate) fn is_meta(self) -> bool {
        self == Rtype::OPT || (128..=255).contains(&self.0)
    }
}

impl FromStr for Rtype {
    type Err = UnknownRtype;

    /// Reads a mnemonic in any case, or `TYPE123` (RFC 3597 §5).
    fn from_str(text: &str) -> Result<Self, UnknownRtype> {
        if let Some((number, _)) = Rtype::NAMES.iter().find(|(_, name)| name.eq_ignore_ascii_case(text)) {
            return Ok(Rtype(*number));
        }
        let number = text.split_at_checked(4).filter(|(prefix, _)| prefix.eq_ignore_ascii_case("TYPE"));
        number.and_then(|(_, digits)| parse_digits(digits)).map(Rtype).ok_or(UnknownRtype)
    }
}

// The types (IANA, Resource Record TYPEs): the common ones first, then by number.
named_numbers! {
    Rtype, "TYPE",
    A = 1,
    AAAA = 28,
    CNAME = 5,
    TXT = 16,
    MX = 15,
    NS = 2,
    SRV = 33,
    PTR = 12,
    MD = 3,
    MF = 4,
    SOA = 6,
    MB = 7,
    MG = 8,
    MR = 9,
    NULL = 10,
    WKS = 11,
    HINFO = 13,
    MINFO = 14,
    RP = 17,
    AFSDB = 18,
    X25 = 19,
    ISDN = 20,
    RT = 21,
    NSAP = 22,
    NSAP_PTR "NSAP-PTR" = 23,
    SIG = 24,
    KEY = 25,
    PX = 26,
    GPOS = 27,
    LOC = 29,
    NXT = 30,
    EID = 31,
    NIMLOC = 32,
    ATMA = 34,
    NAPTR = 35,
    KX = 36,
    CERT = 37,
    A6 = 38,
    DNAME = 39,
    SINK = 40,
    OPT = 41,
    APL = 42,
    DS = 43,
    SSHFP = 44,
    IPSECKEY = 45,
    RRSIG = 46,
    NSEC = 47,
    DNSKEY = 48,
    DHCID = 49,
    NSEC3 = 50,
    NSEC3PARAM = 51,
    TLSA = 52,
    SMIMEA = 53,
    HIP = 55,
    NINFO = 56,
    RKEY = 57,
    TALINK = 58,
    CDS = 59,
    CDNSKEY = 60,
    OPENPGPKEY = 61,
    CSYNC = 62,
    ZONEMD = 63,
    SVCB = 64,
    HTTPS = 65,
    DSYNC = 66,
    HHIT = 67,
    BRID = 68,
    SPF = 99,
    UINFO = 100,
    UID = 101,
    GID = 102,
    UNSPEC = 103,
    NID = 104,
    L32 = 105,
    L64 = 106,
    LP = 107,
    EUI48 = 108,
    EUI64 = 109,
    NXNAME = 128,
    TKEY = 249,
    TSIG = 250,
    IXFR = 251,
    AXFR = 252,
    MAILB = 253,
    MAILA = 254,
    ANY = 255,
    URI = 256,
    CAA = 257,
    AVC = 258,
    DOA = 259,
    AMTRELAY = 260,
    RESINFO = 261,
    WALLET = 262,
    TA = 32768,
    DLV = 32769,
}

/// The text is no record type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownRtype;

impl fmt::Display for UnknownRtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a record type; write a mnemonic like `AAAA`, or `TYPE123`")
    }
}

impl std::error::Error for UnknownRtype {}

/// A class (RFC 1035 §3.2.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Class(pub(crate) u16);

#[allow(clippy::missing_docs_in_private_items, reason = "the names are those of the IANA registry")]
impl Class {
    pub(crate) const IN: Class = Class(1);
    pub(crate) const CH: Class = Class(3);
    pub(crate) const NONE: Class = Class(254);
    pub(crate) const ANY: Class = Class(255);
}

/// A response code of up to 12 bits (RFC 6891 §6.1.3).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rcode(pub u16);

named_numbers! {
    Rcode, "RCODE",
    NOERROR = 0,
    FORMERR = 1,
    SERVFAIL = 2,
    NXDOMAIN = 3,
    NOTIMP = 4,
    REFUSED = 5,
    YXDOMAIN = 6,
    YXRRSET = 7,
    NXRRSET = 8,
    NOTAUTH = 9,
    NOTZONE = 10,
    BADVERS = 16,
    BADSIG = 16,
    BADKEY = 17,
    BADTIME = 18,
    BADTRUNC = 22,
    BADCOOKIE = 23,
}

/// An extended DNS error (RFC 8914): the code and its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ede {
    /// 14: the server has not finished starting.
    NotReady = 14,
    /// 18: the client is not permitted to ask this.
    Prohibited = 18,
    /// 20: no zone here holds the name.
    NotAuthoritative = 20,
    /// 21: the operation or type is not provided here.
    NotSupported = 21,
    /// 0 with a text: every mirror looks unreachable, and the answer is the best available. Code 22 (No Reachable Authority)
    /// is for resolvers, about the servers of a zone (RFC 8914 §4.23).
    NoMirrorReachable = 0,
    /// 24: there is no usable copy of the zone.
    InvalidData = 24,
}

impl Ede {
    /// Maximum length in bytes of a text, so that 512 bytes have room for it beside the longest question, all options and a
    /// signature.
    pub(crate) const MAX_TEXT_LEN: usize = 20;

    /// The INFO-CODE.
    pub(crate) fn code(self) -> u16 {
        self as u16
    }

    /// The EXTRA-TEXT, [`Ede::MAX_TEXT_LEN`] bytes at most: empty if the code says enough.
    #[inline]
    pub(crate) fn text(self) -> &'static str {
        match self {
            Ede::NoMirrorReachable => "no mirror reachable",
            _ => "",
        }
    }
}
