//! Protocol numbers with names: record types, classes, response codes.
//!
//! Only numbers on which decisions or bytes depend are constants here.

use std::fmt;
use std::str::FromStr;

use super::prefix::Family;

/// A record type or query type (RFC 1035 §3.2.2, §3.2.3).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Rtype(pub u16);

#[allow(missing_docs, clippy::missing_docs_in_private_items, reason = "the names are those of the IANA registry")]
impl Rtype {
    pub const A: Rtype = Rtype(1);
    pub const NS: Rtype = Rtype(2);
    pub(crate) const CNAME: Rtype = Rtype(5);
    pub const SOA: Rtype = Rtype(6);
    pub(crate) const PTR: Rtype = Rtype(12);
    pub(crate) const HINFO: Rtype = Rtype(13);
    pub const MX: Rtype = Rtype(15);
    pub const TXT: Rtype = Rtype(16);
    pub const AAAA: Rtype = Rtype(28);
    pub(crate) const SRV: Rtype = Rtype(33);
    pub(crate) const DNAME: Rtype = Rtype(39);
    pub(crate) const OPT: Rtype = Rtype(41);
    pub const DS: Rtype = Rtype(43);
    pub(crate) const RRSIG: Rtype = Rtype(46);
    pub(crate) const NSEC: Rtype = Rtype(47);
    pub(crate) const DNSKEY: Rtype = Rtype(48);
    pub(crate) const NSEC3: Rtype = Rtype(50);
    pub(crate) const NSEC3PARAM: Rtype = Rtype(51);
    pub(crate) const CDS: Rtype = Rtype(59);
    pub(crate) const CDNSKEY: Rtype = Rtype(60);
    pub(crate) const ZONEMD: Rtype = Rtype(63);
    pub(crate) const SVCB: Rtype = Rtype(64);
    pub(crate) const HTTPS: Rtype = Rtype(65);
    pub(crate) const TKEY: Rtype = Rtype(249);
    pub(crate) const TSIG: Rtype = Rtype(250);
    pub(crate) const IXFR: Rtype = Rtype(251);
    pub const AXFR: Rtype = Rtype(252);
    pub const ANY: Rtype = Rtype(255);
    pub(crate) const CAA: Rtype = Rtype(257);

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
        let name = TYPES.iter().find(|(number, _)| *number == self.0).map_or("TYPE", |(_, name)| name);
        if name.starts_with(['A', 'E', 'I', 'O']) || INITIALS.contains(&name) { "an" } else { "a" }
    }

    /// Tells whether this is only a query type or part of a message, and never in a zone (RFC 6895 §3.1).
    pub(crate) fn is_meta(self) -> bool {
        self == Rtype::OPT || (128..=255).contains(&self.0)
    }
}

impl fmt::Display for Rtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match TYPES.iter().find(|(number, _)| *number == self.0) {
            Some((_, name)) => f.pad(name),
            None => write!(f, "TYPE{}", self.0),
        }
    }
}

impl fmt::Debug for Rtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Rtype {
    type Err = UnknownRtype;

    /// Reads a mnemonic in any case, or `TYPE123` (RFC 3597 §5).
    fn from_str(text: &str) -> Result<Self, UnknownRtype> {
        if let Some((number, _)) = TYPES.iter().find(|(_, name)| name.eq_ignore_ascii_case(text)) {
            return Ok(Rtype(*number));
        }
        let number = text.split_at_checked(4).filter(|(prefix, _)| prefix.eq_ignore_ascii_case("TYPE"));
        let digits = number.map(|(_, digits)| digits).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
        digits.and_then(|digits| digits.parse().ok()).map(Rtype).ok_or(UnknownRtype)
    }
}

/// The names of types (IANA, Resource Record TYPEs): the common ones first, then by number.
pub(crate) const TYPES: [(u16, &str); 95] = [
    (1, "A"),
    (28, "AAAA"),
    (5, "CNAME"),
    (16, "TXT"),
    (15, "MX"),
    (2, "NS"),
    (33, "SRV"),
    (12, "PTR"),
    (3, "MD"),
    (4, "MF"),
    (6, "SOA"),
    (7, "MB"),
    (8, "MG"),
    (9, "MR"),
    (10, "NULL"),
    (11, "WKS"),
    (13, "HINFO"),
    (14, "MINFO"),
    (17, "RP"),
    (18, "AFSDB"),
    (19, "X25"),
    (20, "ISDN"),
    (21, "RT"),
    (22, "NSAP"),
    (23, "NSAP-PTR"),
    (24, "SIG"),
    (25, "KEY"),
    (26, "PX"),
    (27, "GPOS"),
    (29, "LOC"),
    (30, "NXT"),
    (31, "EID"),
    (32, "NIMLOC"),
    (34, "ATMA"),
    (35, "NAPTR"),
    (36, "KX"),
    (37, "CERT"),
    (38, "A6"),
    (39, "DNAME"),
    (40, "SINK"),
    (41, "OPT"),
    (42, "APL"),
    (43, "DS"),
    (44, "SSHFP"),
    (45, "IPSECKEY"),
    (46, "RRSIG"),
    (47, "NSEC"),
    (48, "DNSKEY"),
    (49, "DHCID"),
    (50, "NSEC3"),
    (51, "NSEC3PARAM"),
    (52, "TLSA"),
    (53, "SMIMEA"),
    (55, "HIP"),
    (56, "NINFO"),
    (57, "RKEY"),
    (58, "TALINK"),
    (59, "CDS"),
    (60, "CDNSKEY"),
    (61, "OPENPGPKEY"),
    (62, "CSYNC"),
    (63, "ZONEMD"),
    (64, "SVCB"),
    (65, "HTTPS"),
    (66, "DSYNC"),
    (67, "HHIT"),
    (68, "BRID"),
    (99, "SPF"),
    (100, "UINFO"),
    (101, "UID"),
    (102, "GID"),
    (103, "UNSPEC"),
    (104, "NID"),
    (105, "L32"),
    (106, "L64"),
    (107, "LP"),
    (108, "EUI48"),
    (109, "EUI64"),
    (128, "NXNAME"),
    (249, "TKEY"),
    (250, "TSIG"),
    (251, "IXFR"),
    (252, "AXFR"),
    (253, "MAILB"),
    (254, "MAILA"),
    (255, "ANY"),
    (256, "URI"),
    (257, "CAA"),
    (258, "AVC"),
    (259, "DOA"),
    (260, "AMTRELAY"),
    (261, "RESINFO"),
    (262, "WALLET"),
    (32768, "TA"),
    (32769, "DLV"),
];

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

#[allow(missing_docs, clippy::missing_docs_in_private_items, reason = "the names are those of the IANA registry")]
impl Rcode {
    pub const NOERROR: Rcode = Rcode(0);
    pub const FORMERR: Rcode = Rcode(1);
    pub(crate) const SERVFAIL: Rcode = Rcode(2);
    pub(crate) const NXDOMAIN: Rcode = Rcode(3);
    pub(crate) const NOTIMP: Rcode = Rcode(4);
    pub(crate) const REFUSED: Rcode = Rcode(5);
    pub(crate) const YXDOMAIN: Rcode = Rcode(6);
    pub(crate) const YXRRSET: Rcode = Rcode(7);
    pub(crate) const NXRRSET: Rcode = Rcode(8);
    pub(crate) const NOTAUTH: Rcode = Rcode(9);
    pub(crate) const NOTZONE: Rcode = Rcode(10);
    pub(crate) const BADVERS: Rcode = Rcode(16);
    pub(crate) const BADSIG: Rcode = Rcode(16);
    pub(crate) const BADKEY: Rcode = Rcode(17);
    pub const BADTIME: Rcode = Rcode(18);
    pub(crate) const BADTRUNC: Rcode = Rcode(22);
    pub(crate) const BADCOOKIE: Rcode = Rcode(23);
}

impl fmt::Display for Rcode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match *self {
            Rcode::NOERROR => "NOERROR",
            Rcode::FORMERR => "FORMERR",
            Rcode::SERVFAIL => "SERVFAIL",
            Rcode::NXDOMAIN => "NXDOMAIN",
            Rcode::NOTIMP => "NOTIMP",
            Rcode::REFUSED => "REFUSED",
            Rcode::YXDOMAIN => "YXDOMAIN",
            Rcode::YXRRSET => "YXRRSET",
            Rcode::NXRRSET => "NXRRSET",
            Rcode::NOTAUTH => "NOTAUTH",
            Rcode::NOTZONE => "NOTZONE",
            Rcode::BADVERS => "BADVERS",
            Rcode::BADKEY => "BADKEY",
            Rcode::BADTIME => "BADTIME",
            Rcode::BADTRUNC => "BADTRUNC",
            Rcode::BADCOOKIE => "BADCOOKIE",
            Rcode(other) => return write!(f, "RCODE{other}"),
        };
        f.write_str(name)
    }
}

impl fmt::Debug for Rcode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An extended DNS error (RFC 8914): the code and its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ede {
    /// 14: the server has not finished starting.
    NotReady,
    /// 18: the client is not permitted to ask this.
    Prohibited,
    /// 20: no zone here holds the name.
    NotAuthoritative,
    /// 21: the operation or type is not provided here.
    NotSupported,
    /// 0 with a text: every mirror looks unreachable, and the answer is the best available. Code 22 (No Reachable Authority)
    /// is for resolvers, about the servers of a zone (RFC 8914 §4.23).
    NoMirrorReachable,
    /// 24: there is no usable copy of the zone.
    InvalidData,
}

impl Ede {
    /// Maximum length in bytes of a text, so that 512 bytes have room for it beside the longest question, all options and a
    /// signature.
    pub(crate) const MAX_TEXT_LEN: usize = 20;

    /// The INFO-CODE.
    pub(crate) fn code(self) -> u16 {
        match self {
            Ede::NotReady => 14,
            Ede::Prohibited => 18,
            Ede::NotAuthoritative => 20,
            Ede::NotSupported => 21,
            Ede::NoMirrorReachable => 0,
            Ede::InvalidData => 24,
        }
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
