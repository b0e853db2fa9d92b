//! The form of record data: for each type the fields that its data consists of, in order.
//!
//! [`fields`] returns the fields of a record type. The loader reads these from text, and [`is_valid`] from wire form.
//!
//! **Invariants**: a field that takes the rest of the data is the last one of its type.
//! **Not here**: text ([`crate::load`]).
//!
//! RFC 1035 §3.3, and for each type the RFC that its line names.

mod canonical;
mod check;
pub(crate) mod params;

pub(crate) use canonical::canonical;
pub(crate) use check::is_valid;

use super::rr::Rtype;

/// One field of record data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RdataField {
    /// A number of 8 bits.
    U8,
    /// A number of 16 bits.
    U16,
    /// A number of 32 bits.
    U32,
    /// A duration of 32 bits, written in seconds or with units.
    Seconds,
    /// A timestamp of 32 bits, written as seconds since 1970 or as `YYYYMMDDHHMMSS` (RFC 4034 §3.2).
    Timestamp,
    /// A record type.
    Type,
    /// A DNSSEC algorithm, 8 bits.
    Algorithm,
    /// A certificate type, 16 bits (RFC 4398 §2.1).
    CertType,
    /// The protocol of a key, 8 bits (RFC 2535 §3.1.3).
    Protocol,
    /// The flags of a key, 16 bits (RFC 2535 §3.1.2).
    KeyFlags,
    /// 16 bits that are zero.
    Zero16,
    /// A key in base64 to the end; absent if both upper bits of the flags are set (RFC 2535 §3.1.2).
    Key,
    /// A digest type of 8 bits, and a digest in hex to the end.
    Digest,
    /// The scheme of a DSYNC record, 8 bits (RFC 9859 §2.1).
    Scheme,
    /// A domain name.
    Name,
    /// An IPv4 address.
    V4,
    /// An IPv6 address.
    V6,
    /// A string of up to 255 bytes.
    Text,
    /// A string that may be absent.
    OptionalText,
    /// One or more strings to the end.
    Texts,
    /// A string of letters and digits, at least one (RFC 8659 §4.1).
    Tag,
    /// A string without a length byte, to the end.
    LongText,
    /// A string of at least four digits (RFC 1183 §3.1).
    Digits,
    /// Bytes in hex to the end, at least so many.
    Hex(usize),
    /// Up to 255 bytes in hex, or `-` for none, with a length byte (RFC 5155 §3.3).
    Salt,
    /// Up to 255 bytes in base32hex, with a length byte (RFC 5155 §3.3).
    Hash,
    /// Bytes in base64 to the end, at least one.
    Base64,
    /// Bytes in base64 to the end, or none.
    OptionalBase64,
    /// Bytes in base64 to the end, or `-` for none.
    Base64OrDash,
    /// A list of record types to the end (RFC 4034 §4.1.2).
    Types,
    /// A list of record types below 128 to the end (RFC 2535 §5.2).
    OldTypes,
    /// So many bytes in hex, with hyphens between them (RFC 7043).
    Eui(u8),
    /// 64 bits in four groups of hex (RFC 6742).
    Locator,
    /// `0x` and hex, with dots anywhere (RFC 1706).
    Nsap,
    /// An ATM address: hex, or `+` and digits.
    Atma,
    /// A position on Earth (RFC 1876).
    Location,
    /// Address prefixes (RFC 3123).
    Prefixes,
    /// A protocol of 8 bits, and its ports (RFC 1035 §3.4.2).
    Services,
    /// The length of a prefix, the rest of an IPv6 address, and the name that has the prefix (RFC 2874 §3.1).
    AddressSuffix,
    /// The type of a gateway, an algorithm, the gateway, and a key that may be absent (RFC 4025 §2).
    Gateway,
    /// The flag and type of a relay, and the relay (RFC 8777 §4).
    Relay,
    /// A host identity, its key, and its rendezvous servers (RFC 8005 §5).
    HostIdentity,
    /// Service parameters (RFC 9460 §2.2).
    Params,
}

/// The fields of a type; `None` if its data has no form, or its form is unknown here.
pub(crate) fn fields(rtype: Rtype) -> Option<&'static [RdataField]> {
    use RdataField::*;
    Some(match rtype.0 {
        1 => &[V4],
        // NS, MD, MF, CNAME, MB, MG, MR, PTR, NSAP-PTR (RFC 1706), DNAME (RFC 6672).
        2..=5 | 7..=9 | 12 | 23 | 39 => &[Name],
        6 => &[Name, Name, U32, Seconds, Seconds, Seconds, Seconds],
        11 => &[V4, Services],
        13 => &[Text, Text],
        // MINFO, RP (RFC 1183), TALINK.
        14 | 17 | 58 => &[Name, Name],
        // MX, AFSDB and RT (RFC 1183), KX (RFC 2230), LP (RFC 6742).
        15 | 18 | 21 | 36 | 107 => &[U16, Name],
        // RFC 1183.
        19 => &[Digits],
        20 => &[Text, OptionalText],
        // RFC 1706.
        22 => &[Nsap],
        // RFC 2535 §4.1, RFC 4034 §3.1.
        24 | 46 => &[Type, Algorithm, U8, U32, Timestamp, Timestamp, U16, Name, Base64],
        // RFC 2535 §3.
        25 => &[KeyFlags, Protocol, Algorithm, Key],
        // DNSKEY (RFC 4034 §2), CDNSKEY (RFC 7344).
        48 | 60 => &[KeyFlags, Protocol, Algorithm, Base64],
        // RFC 2163.
        26 => &[U16, Name, Name],
        // RFC 1712.
        27 => &[Text, Text, Text],
        // RFC 3596.
        28 => &[V6],
        29 => &[Location],
        // RFC 2535 §5.
        30 => &[Name, OldTypes],
        // EID and NIMLOC.
        31 | 32 => &[Hex(1)],
        // RFC 2782.
        33 => &[U16, U16, U16, Name],
        34 => &[Atma],
        // RFC 3403.
        35 => &[U16, U16, Text, Text, Text, Name],
        // RFC 4398.
        37 => &[CertType, U16, Algorithm, Base64],
        38 => &[AddressSuffix],
        // SINK.
        40 => &[U8, U8, U8, OptionalBase64],
        42 => &[Prefixes],
        // DS (RFC 4034 §5), CDS (RFC 7344), TA, DLV (RFC 4431).
        43 | 59 | 32768 | 32769 => &[U16, Algorithm, Digest],
        // RFC 4255.
        44 => &[U8, U8, Hex(1)],
        45 => &[U8, Gateway],
        // RFC 4034 §4.
        47 => &[Name, Types],
        // NSEC3 and NSEC3PARAM (RFC 5155).
        50 => &[U8, U8, U16, Salt, Hash, Types],
        51 => &[U8, U8, U16, Salt],
        // DHCID (RFC 4701), OPENPGPKEY (RFC 7929), HHIT and BRID (RFC 9886).
        49 | 61 | 67 | 68 => &[Base64],
        // TLSA (RFC 6698), SMIMEA (RFC 8162).
        52 | 53 => &[U8, U8, U8, Hex(1)],
        55 => &[HostIdentity],
        // TXT, NINFO, SPF (RFC 7208), AVC, RESINFO (RFC 9606), WALLET.
        16 | 56 | 99 | 258 | 261 | 262 => &[Texts],
        // RKEY.
        57 => &[Zero16, Protocol, Algorithm, Base64],
        // RFC 7477.
        62 => &[U32, U16, Types],
        // RFC 8976 §2.2.4.
        63 => &[U32, U8, U8, Hex(12)],
        // RFC 9460.
        64 | 65 => &[U16, Name, Params],
        // RFC 9859.
        66 => &[Type, Scheme, U16, Name],
        // RFC 6742.
        104 | 106 => &[U16, Locator],
        105 => &[U16, V4],
        108 => &[Eui(6)],
        109 => &[Eui(8)],
        // RFC 7553.
        256 => &[U16, U16, LongText],
        257 => &[U8, Tag, LongText],
        // DOA.
        259 => &[U32, U32, U8, Text, Base64OrDash],
        260 => &[U8, Relay],
        _ => return None,
    })
}
