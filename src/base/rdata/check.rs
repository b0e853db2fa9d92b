//! Record data in wire form, checked against the fields of its type.
//!
//! **Invariants**: data that passes can be written as text and read back as the same bytes.
//! **Not here**: compressed names, because record data is expanded before it is checked.

use super::{RdataField, fields, params};
use crate::base::name::Name;
use crate::base::rr::Rtype;

/// Tells whether data has the form of its type; always true for a type without [`fields`].
pub(crate) fn is_valid(rtype: Rtype, rdata: &[u8]) -> bool {
    let Some(fields) = fields(rtype) else { return true };
    let end = fields.iter().try_fold(0, |at, field| Some(at + field_len(*field, rdata, at)?));
    end == Some(rdata.len())
}

/// The length of digests whose algorithm fixes it (RFC 3658, RFC 4509, RFC 5933, RFC 6605).
fn digest_len(digest_type: u8) -> Option<usize> {
    match digest_type {
        1 => Some(20),
        2 | 3 => Some(32),
        4 => Some(48),
        _ => None,
    }
}

/// The length of the field that starts at `at`; `None` if the bytes are not such a field.
fn field_len(field: RdataField, rdata: &[u8], at: usize) -> Option<usize> {
    let rest = rdata.get(at..)?;
    let fixed = |len: usize| (rest.len() >= len).then_some(len);
    let all = |is_valid: bool| is_valid.then_some(rest.len());
    match field {
        RdataField::U8 | RdataField::Algorithm | RdataField::Protocol | RdataField::Scheme => fixed(1),
        RdataField::U16 | RdataField::Type | RdataField::CertType | RdataField::KeyFlags => fixed(2),
        RdataField::Zero16 => rest.starts_with(&[0, 0]).then_some(2),
        RdataField::U32 | RdataField::Seconds | RdataField::Timestamp | RdataField::V4 => fixed(4),
        RdataField::Locator => fixed(8),
        RdataField::V6 => fixed(16),
        RdataField::Eui(len) => fixed(len.into()),
        RdataField::Name => name_len(rest),
        RdataField::Text | RdataField::Salt | RdataField::Hash => text_len(rest),
        RdataField::OptionalText if rest.is_empty() => Some(0),
        RdataField::OptionalText => text_len(rest),
        RdataField::Texts => all(!rest.is_empty() && are_texts(rest)),
        RdataField::Tag => {
            let tag = &rest[..text_len(rest)?][1..];
            (!tag.is_empty() && tag.iter().all(u8::is_ascii_alphanumeric)).then_some(tag.len() + 1)
        }
        RdataField::Digits => {
            let digits = &rest[..text_len(rest)?][1..];
            (digits.len() >= 4 && digits.iter().all(u8::is_ascii_digit)).then_some(digits.len() + 1)
        }
        RdataField::Hex(least) => all(rest.len() >= least),
        RdataField::Base64 | RdataField::Nsap => all(!rest.is_empty()),
        RdataField::LongText | RdataField::OptionalBase64 | RdataField::Base64OrDash => all(true),
        RdataField::Key => all(rest.is_empty() == is_without_key(rdata)),
        RdataField::Digest => {
            let (&digest_type, digest) = rest.split_first()?;
            all(!digest.is_empty() && digest_len(digest_type).is_none_or(|len| len == digest.len()))
        }
        RdataField::Types => all(are_windows(rest)),
        // The first bit says that the list has another form.
        RdataField::OldTypes => {
            all(rest.len() <= 16 && rest.last() != Some(&0) && rest.first().is_none_or(|bits| bits & 0x80 == 0))
        }
        RdataField::Atma => {
            let (&format, address) = rest.split_first()?;
            all(!address.is_empty() && (format != 1 || address.iter().all(u8::is_ascii_digit)))
        }
        RdataField::Location => all(is_location(rest)),
        RdataField::Prefixes => all(are_prefixes(rest)),
        RdataField::Services => all((1..=1 + 8192).contains(&rest.len())),
        RdataField::AddressSuffix => all(is_address_suffix(rest)),
        RdataField::Gateway => gateway_len(rest),
        RdataField::Relay => {
            let (&kind, relay) = rest.split_first()?;
            all(endpoint_len(kind & 0x7f, relay)? == relay.len())
        }
        RdataField::HostIdentity => all(is_host_identity(rest)),
        RdataField::Params => all(params::are_valid(rest)),
    }
}

/// Tells whether the flags at the start of a key's data mean that there is no key (RFC 2535 §3.1.2).
fn is_without_key(rdata: &[u8]) -> bool {
    rdata.first().is_some_and(|flags| flags & 0xc0 == 0xc0)
}

fn name_len(rest: &[u8]) -> Option<usize> {
    Name::split_from(rest).map(|(name, _)| name.len())
}

fn text_len(rest: &[u8]) -> Option<usize> {
    let len = 1 + usize::from(*rest.first()?);
    (rest.len() >= len).then_some(len)
}

fn are_texts(mut rest: &[u8]) -> bool {
    while !rest.is_empty() {
        let Some(len) = text_len(rest) else { return false };
        rest = &rest[len..];
    }
    true
}

/// RFC 4034 §4.1.2: windows in ascending order, of 1 to 32 bytes, the last of which is not 0.
fn are_windows(mut rest: &[u8]) -> bool {
    let mut least = 0u16;
    while let [window, len, after @ ..] = rest {
        let Some((bits, after)) = after.split_at_checked((*len).into()) else { return false };
        if !matches!(len, 1..=32) || bits.last() == Some(&0) || u16::from(*window) < least {
            return false;
        }
        (least, rest) = (u16::from(*window) + 1, after);
    }
    rest.is_empty()
}

/// RFC 1876 §2: degrees in range, and sizes whose digits are decimal. Later versions are opaque.
fn is_location(rest: &[u8]) -> bool {
    const EQUATOR: u32 = 1 << 31;
    let [version, sizes @ ..] = rest else { return false };
    if *version != 0 {
        return true;
    }
    let Some((&[size, horizontal, vertical, ref latitude @ .., e, f, g, h], altitude)) =
        sizes.split_first_chunk::<11>()
    else {
        return false;
    };
    let is_size = |byte: u8| byte == 0 || (byte & 0x0f <= 9 && matches!(byte >> 4, 1..=9));
    let latitude = u32::from_be_bytes([latitude[0], latitude[1], latitude[2], latitude[3]]);
    let longitude = u32::from_be_bytes([e, f, g, h]);
    altitude.len() == 4
        && [size, horizontal, vertical].into_iter().all(is_size)
        && latitude.abs_diff(EQUATOR) <= 90 * 3_600_000
        && longitude.abs_diff(EQUATOR) <= 180 * 3_600_000
}

/// RFC 3123 §4: family, prefix length, length of the address, address without trailing zeros.
fn are_prefixes(mut rest: &[u8]) -> bool {
    while let [a, b, prefix, len, after @ ..] = rest {
        let Some((address, after)) = after.split_at_checked(usize::from(len & 0x7f)) else { return false };
        let (bytes, bits) = match u16::from_be_bytes([*a, *b]) {
            1 => (4, 32),
            2 => (16, 128),
            _ => return false,
        };
        if address.len() > bytes || *prefix > bits || address.last() == Some(&0) {
            return false;
        }
        rest = after;
    }
    rest.is_empty()
}

/// RFC 2874 §3.1.1: the address has the bytes that the prefix does not cover whole; a prefix has a name.
fn is_address_suffix(rest: &[u8]) -> bool {
    let Some((&prefix, after)) = rest.split_first() else { return false };
    let Some(len) = 128u8.checked_sub(prefix).map(|bits| usize::from(bits.div_ceil(8))) else { return false };
    let Some((suffix, name)) = after.split_at_checked(len) else { return false };
    let covered = suffix.first().is_some_and(|first| prefix % 8 != 0 && first >> (8 - prefix % 8) != 0);
    !covered && if prefix == 0 { name.is_empty() } else { name_len(name) == Some(name.len()) }
}

/// The length of a gateway or relay of a type: none, IPv4, IPv6, name.
fn endpoint_len(kind: u8, rest: &[u8]) -> Option<usize> {
    let len = match kind {
        0 => 0,
        1 => 4,
        2 => 16,
        3 => name_len(rest)?,
        _ => return None,
    };
    (rest.len() >= len).then_some(len)
}

/// RFC 4025 §2.1: type, algorithm, gateway, key.
fn gateway_len(rest: &[u8]) -> Option<usize> {
    let [kind, algorithm, after @ ..] = rest else { return None };
    let key = after.len() - endpoint_len(*kind, after)?;
    (*algorithm == 0 || key > 0).then_some(rest.len())
}

/// RFC 8005 §5: lengths and algorithm, identity, key, names.
fn is_host_identity(rest: &[u8]) -> bool {
    let &[identity, _, high, low, ref after @ ..] = rest else { return false };
    let key = usize::from(u16::from_be_bytes([high, low]));
    let Some(mut names) = after.get(usize::from(identity) + key..) else { return false };
    while let Some((_, more)) = Name::split_from(names) {
        names = more;
    }
    identity > 0 && key > 0 && names.is_empty()
}
