//! Record data field by field, by the table of types.
//!
//! **Invariants**: each field takes at least one token, except a field that may be absent or is a list.
//! **Not here**: the fields of a type ([`crate::base::rdata`]), rules for all of their bytes
//! ([`crate::base::rdata::is_valid`]).

use std::str::FromStr;

use data_encoding::{BASE32_DNSSEC, BASE64, Encoding, HEXUPPER_PERMISSIVE};
use time::PrimitiveDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

use super::tokens::{RdataWord, Tokens};
use super::words::{self, ALGORITHMS, CERT_TYPES, DIGESTS, PROTOCOLS, SCHEMES};
use super::{RdataError, endpoints, location, params};
use crate::base::rdata::RdataField;
use crate::base::rr::Rtype;
use crate::load::zone::names;

/// `YYYYMMDDHHMMSS`
const TIMESTAMP: &[BorrowedFormatItem<'_>] = format_description!("[year][month][day][hour][minute][second]");

/// Writes the data that the tokens stand for to `out`, which is empty.
pub(super) fn scan(fields: &[RdataField], mut tokens: Tokens<'_>, out: &mut Vec<u8>) -> Result<(), RdataError> {
    fields.iter().try_for_each(|field| scan_field(*field, &mut tokens, out))?;
    tokens.finish()
}

fn scan_field(field: RdataField, tokens: &mut Tokens<'_>, out: &mut Vec<u8>) -> Result<(), RdataError> {
    match field {
        RdataField::U8 => out.push(tokens.number(u8::MAX.into())? as u8),
        RdataField::U16 => push_u16(out, tokens.number(u16::MAX.into())? as u16),
        RdataField::U32 => out.extend_from_slice(&tokens.number(u32::MAX)?.to_be_bytes()),
        RdataField::Seconds => out.extend_from_slice(&seconds(tokens.bare()?)?.to_be_bytes()),
        RdataField::Timestamp => out.extend_from_slice(&timestamp(tokens.bare()?)?.to_be_bytes()),
        RdataField::Type => push_u16(out, rtype(tokens.bare()?)?.0),
        RdataField::Algorithm => out.push(words::number(tokens.bare()?, ALGORITHMS, u8::MAX.into())? as u8),
        RdataField::Protocol => out.push(words::number(tokens.bare()?, PROTOCOLS, u8::MAX.into())? as u8),
        RdataField::Scheme => out.push(words::number(tokens.bare()?, SCHEMES, u8::MAX.into())? as u8),
        RdataField::CertType => push_u16(out, words::number(tokens.bare()?, CERT_TYPES, u16::MAX.into())?),
        RdataField::KeyFlags => push_u16(out, words::key_flags(tokens.bare()?)?),
        RdataField::Zero16 => push_u16(out, zero(tokens.bare()?)?),
        RdataField::OptionalBase64 if tokens.are_over() => {}
        // RFC 2535 §3.1.2: flags that say that there is no key.
        RdataField::Key if out.first().is_some_and(|flags| flags & 0xc0 == 0xc0) => {}
        RdataField::Key | RdataField::Base64 | RdataField::OptionalBase64 => {
            tokens.encoded(&BASE64, "not base64", out)?
        }
        RdataField::Digest => {
            out.push(words::number(tokens.bare()?, DIGESTS, u8::MAX.into())? as u8);
            tokens.encoded(&HEXUPPER_PERMISSIVE, NOT_HEX, out)?;
        }
        RdataField::Base64OrDash => {
            if !tokens.take(b"-") {
                tokens.encoded(&BASE64, "not base64", out)?;
            }
        }
        RdataField::Hex(_) => tokens.encoded(&HEXUPPER_PERMISSIVE, NOT_HEX, out)?,
        RdataField::Name => out.extend_from_slice(tokens.name()?.as_name().as_wire()),
        RdataField::V4 => out.extend_from_slice(&tokens.bare()?.v4()?.octets()),
        RdataField::V6 => out.extend_from_slice(&tokens.bare()?.v6()?.octets()),
        RdataField::Salt => match tokens.bare()? {
            RdataWord { bytes: b"-", .. } => out.push(0),
            word => counted(word, &HEXUPPER_PERMISSIVE, NOT_HEX, out)?,
        },
        RdataField::Hash => counted(tokens.bare()?, &BASE32_DNSSEC, "not base32hex", out)?,
        RdataField::OptionalText if tokens.are_over() => {}
        RdataField::Text | RdataField::OptionalText => text(tokens.next()?, out)?,
        RdataField::Texts => {
            text(tokens.next()?, out)?;
            while !tokens.are_over() {
                text(tokens.next()?, out)?;
            }
        }
        RdataField::LongText => out.extend_from_slice(&tokens.next()?.unescaped()?),
        RdataField::Tag => text(tag(tokens.next()?)?, out)?,
        RdataField::Digits => text(digits(tokens.next()?)?, out)?,
        RdataField::Types => types(tokens, out)?,
        RdataField::OldTypes => old_types(tokens, out)?,
        RdataField::Eui(len) => eui(tokens.bare()?, len.into(), out)?,
        RdataField::Locator => locator(tokens.bare()?, out)?,
        RdataField::Nsap => endpoints::nsap(tokens.bare()?, out)?,
        RdataField::Atma => endpoints::atma(tokens.bare()?, out)?,
        RdataField::Location => location::scan(tokens, out)?,
        RdataField::Prefixes => endpoints::prefixes(tokens, out)?,
        RdataField::Services => endpoints::services(tokens, out)?,
        RdataField::AddressSuffix => endpoints::address_suffix(tokens, out)?,
        RdataField::Gateway => endpoints::gateway(tokens, out)?,
        RdataField::Relay => endpoints::relay(tokens, out)?,
        RdataField::HostIdentity => endpoints::host_identity(tokens, out)?,
        RdataField::Params => params::scan(tokens, out)?,
    }
    Ok(())
}

const NOT_HEX: &str = "not pairs of hex digits";

/// RFC 3597 §5: after `\#`, the number of bytes, and the bytes in hex.
pub(super) fn generic(mut tokens: Tokens<'_>, out: &mut Vec<u8>) -> Result<(), RdataError> {
    tokens.are_quotes_taken = true;
    let len = tokens.number(u16::MAX.into())?;
    if !tokens.are_over() {
        tokens.encoded(&HEXUPPER_PERMISSIVE, NOT_HEX, out)?;
    }
    if out.len() == len as usize { Ok(()) } else { Err(tokens.bad("generic data has incorrect length")) }
}

fn push_u16(out: &mut Vec<u8>, number: u16) {
    out.extend_from_slice(&number.to_be_bytes());
}

fn zero(word: RdataWord<'_>) -> Result<u16, RdataError> {
    match word.number(u16::MAX.into())? {
        0 => Ok(0),
        _ => Err(word.bad("expected `0`")),
    }
}

fn tag(word: RdataWord<'_>) -> Result<RdataWord<'_>, RdataError> {
    let is_tag = !word.bytes.is_empty() && word.bytes.iter().all(u8::is_ascii_alphanumeric);
    if is_tag { Ok(word) } else { Err(word.bad("expected letters and digits")) }
}

fn digits(word: RdataWord<'_>) -> Result<RdataWord<'_>, RdataError> {
    let are_digits = word.bytes.len() >= 4 && word.bytes.iter().all(u8::is_ascii_digit);
    if are_digits { Ok(word) } else { Err(word.bad("expected at least four digits")) }
}

/// A string with its length.
fn text(word: RdataWord<'_>, out: &mut Vec<u8>) -> Result<(), RdataError> {
    push_counted(word, &word.unescaped()?, "bad charstr", out)
}

/// Bytes in an encoding, with their number before them.
fn counted(word: RdataWord<'_>, encoding: &Encoding, reason: &str, out: &mut Vec<u8>) -> Result<(), RdataError> {
    push_counted(word, &encoding.decode(word.bytes).map_err(|_| word.bad(reason))?, "longer than 255 bytes", out)
}

fn push_counted(word: RdataWord<'_>, bytes: &[u8], reason: &str, out: &mut Vec<u8>) -> Result<(), RdataError> {
    out.push(u8::try_from(bytes.len()).map_err(|_| word.bad(reason))?);
    out.extend_from_slice(bytes);
    Ok(())
}

/// A type by name or number.
fn rtype(word: RdataWord<'_>) -> Result<Rtype, RdataError> {
    match Rtype::from_str(word.text()) {
        Ok(rtype) => Ok(rtype),
        Err(_) if word.bytes.first().is_some_and(u8::is_ascii_digit) => {
            word.number(u16::MAX.into()).map(|number| Rtype(number as u16))
        }
        Err(_) => Err(word.bad("not a record type")),
    }
}

/// A duration as in `$TTL`.
fn seconds(word: RdataWord<'_>) -> Result<u32, RdataError> {
    let seconds = names::parse_time(word.bytes).and_then(|seconds| seconds.try_into().ok());
    seconds.map_or_else(|| word.number(u32::MAX), Ok)
}

/// RFC 4034 §3.2: up to ten digits are seconds, fourteen a date; beyond 2106 both wrap around.
fn timestamp(word: RdataWord<'_>) -> Result<u32, RdataError> {
    if word.bytes.len() <= 10 {
        return word.number(u32::MAX);
    }
    let is_date = word.bytes.len() == 14 && word.bytes.iter().all(u8::is_ascii_digit);
    let date = PrimitiveDateTime::parse(word.text(), TIMESTAMP).ok().filter(|_| is_date);
    let date = date.ok_or_else(|| word.bad("expected seconds or `YYYYMMDDHHMMSS`"))?;
    Ok(date.assume_utc().unix_timestamp() as u32)
}

/// RFC 4034 §4.1.2: windows of 256 types, each with the bytes up to its last type.
fn types(tokens: &mut Tokens<'_>, out: &mut Vec<u8>) -> Result<(), RdataError> {
    let mut types = Vec::new();
    while !tokens.are_over() {
        let word = tokens.bare()?;
        types.push(Rtype::from_str(word.text()).map_err(|_| word.bad("not a record type"))?.0);
    }
    types.sort_unstable();
    for window in types.chunk_by(|a, b| a >> 8 == b >> 8) {
        let mut bits = [0u8; 32];
        window.iter().for_each(|rtype| bits[usize::from(rtype & 0xff) / 8] |= 0x80 >> (rtype % 8));
        let len = window.last().map_or(0, |last| usize::from(last & 0xff) / 8 + 1);
        out.extend_from_slice(&[(window[0] >> 8) as u8, len as u8]);
        out.extend_from_slice(&bits[..len]);
    }
    Ok(())
}

/// RFC 2535 §5.2: one bit for each of the types 1 to 127, up to the last.
fn old_types(tokens: &mut Tokens<'_>, out: &mut Vec<u8>) -> Result<(), RdataError> {
    let mut bits = [0u8; 16];
    let mut len = 0;
    while !tokens.are_over() {
        let word = tokens.bare()?;
        let rtype = rtype(word)?.0;
        if !matches!(rtype, 1..=127) {
            return Err(word.bad("only types from 1 to 127 can be listed"));
        }
        bits[usize::from(rtype) / 8] |= 0x80 >> (rtype % 8);
        len = len.max(usize::from(rtype) / 8 + 1);
    }
    out.extend_from_slice(&bits[..len]);
    Ok(())
}

/// RFC 7043 §3.2, §4.2: pairs of hex digits with hyphens between them; a leading zero may be left out.
fn eui(word: RdataWord<'_>, len: usize, out: &mut Vec<u8>) -> Result<(), RdataError> {
    let is_hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit()) && text.len() <= 2;
    let byte = |text: &str| u8::from_str_radix(text, 16).ok().filter(|_| is_hex(text));
    let bytes: Option<Vec<u8>> = word.text().split('-').map(byte).collect();
    let bytes = bytes.filter(|bytes| bytes.len() == len);
    out.extend_from_slice(&bytes.ok_or_else(|| word.bad("expected pairs of hex digits joined by `-`"))?);
    Ok(())
}

/// RFC 6742 §2.1.2: four groups of one to four hex digits.
fn locator(word: RdataWord<'_>, out: &mut Vec<u8>) -> Result<(), RdataError> {
    let is_group = |group: &str| matches!(group.len(), 1..=4) && group.bytes().all(|byte| byte.is_ascii_hexdigit());
    let group = |group| u16::from_str_radix(group, 16).ok().filter(|_| is_group(group));
    let groups: Option<Vec<u16>> = word.text().split(':').map(group).collect();
    let groups = groups.filter(|groups| groups.len() == 4);
    let groups = groups.ok_or_else(|| word.bad("expected four groups of hex digits, like `2001:db8:1140:1000`"))?;
    groups.into_iter().for_each(|group| push_u16(out, group));
    Ok(())
}
