//! The text of addresses and of the hosts behind them: NSAP, ATMA, APL, WKS, A6, IPSECKEY, AMTRELAY, HIP.
//!
//! **Not here**: wire form ([`crate::base::rdata`]).

use std::net::IpAddr;

use data_encoding::{BASE64, HEXUPPER_PERMISSIVE};

use super::RdataError;
use super::tokens::{RdataWord, Tokens};
use super::words::{self, SERVICES, TRANSPORTS};
use crate::base::text::parse_digits;

/// RFC 1706 §6: `0x`, and hex digits with dots anywhere.
pub(super) fn nsap(word: RdataWord<'_>, out: &mut Vec<u8>) -> Result<(), RdataError> {
    let digits = word.text().strip_prefix("0x").or(word.text().strip_prefix("0X"));
    let bytes = digits.and_then(|digits| HEXUPPER_PERMISSIVE.decode(digits.replace('.', "").as_bytes()).ok());
    let bytes = bytes.filter(|bytes| !bytes.is_empty());
    out.extend_from_slice(&bytes.ok_or_else(|| word.bad("expected `0x` and pairs of hex digits"))?);
    Ok(())
}

/// `+` and digits (E.164), or pairs of hex digits with dots between them (ATM End System Address).
pub(super) fn atma(word: RdataWord<'_>, out: &mut Vec<u8>) -> Result<(), RdataError> {
    let bad = || word.bad("expected `+` and digits, or pairs of hex digits");
    if let Some(digits) = word.text().strip_prefix('+') {
        out.push(1);
        for part in digits.split('.') {
            if part.is_empty() || !part.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(bad());
            }
            out.extend_from_slice(part.as_bytes());
        }
        return Ok(());
    }
    out.push(0);
    for part in word.text().split('.') {
        let bytes = HEXUPPER_PERMISSIVE.decode(part.as_bytes()).ok().filter(|bytes| !bytes.is_empty());
        out.extend_from_slice(&bytes.ok_or_else(bad)?);
    }
    Ok(())
}

/// RFC 3123 §5: `[!]family:address/length`, any number of them.
pub(super) fn prefixes(tokens: &mut Tokens<'_>, out: &mut Vec<u8>) -> Result<(), RdataError> {
    while !tokens.are_over() {
        let word = tokens.bare()?;
        let (family, len, negation, address) = prefix(word.text())
            .ok_or_else(|| word.bad("expected a prefix like `1:192.0.2.0/24` or `!2:2001:db8::/32`"))?;
        let used = address.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        out.extend_from_slice(&family.to_be_bytes());
        out.extend_from_slice(&[len, negation | used as u8]);
        out.extend_from_slice(&address[..used]);
    }
    Ok(())
}

fn prefix(text: &str) -> Option<(u16, u8, u8, Vec<u8>)> {
    let (negation, text) = text.strip_prefix('!').map_or((0, text), |text| (0x80, text));
    let (family, text) = text.split_once(':')?;
    let (address, len) = text.split_once('/')?;
    let (family, most, address) = match (family.trim_start_matches('0'), address.parse().ok()?) {
        ("1", IpAddr::V4(address)) => (1, 32, address.octets().to_vec()),
        ("2", IpAddr::V6(address)) => (2, 128, address.octets().to_vec()),
        _ => return None,
    };
    let len = parse_digits(len).filter(|prefix| *prefix <= most)?;
    Some((family, len, negation, address))
}

/// RFC 1035 §3.4.2: a protocol, and a bit for each of its ports.
pub(super) fn services(tokens: &mut Tokens<'_>, out: &mut Vec<u8>) -> Result<(), RdataError> {
    out.push(words::number(tokens.bare()?, TRANSPORTS, u8::MAX.into())? as u8);
    let start = out.len();
    while !tokens.are_over() {
        let port = words::number(tokens.bare()?, SERVICES, u16::MAX.into())?;
        let at = start + usize::from(port) / 8;
        out.resize(out.len().max(at + 1), 0);
        out[at] |= 0x80 >> (port % 8);
    }
    Ok(())
}

/// RFC 2874 §3.2: the length of a prefix, the rest of an address if it is shorter than 128, a name if it is not 0.
pub(super) fn address_suffix(tokens: &mut Tokens<'_>, out: &mut Vec<u8>) -> Result<(), RdataError> {
    let prefix = tokens.number(128)? as u8;
    out.push(prefix);
    if prefix < 128 {
        let mut bytes = tokens.bare()?.v6()?.octets();
        let first = usize::from(prefix / 8);
        bytes[first] &= 0xff >> (prefix % 8);
        out.extend_from_slice(&bytes[first..]);
    }
    if prefix > 0 {
        out.extend_from_slice(tokens.name()?.as_name().as_wire());
    }
    Ok(())
}

/// RFC 4025 §3.1: the gateway's type, the algorithm, the gateway, the key in base64 unless the algorithm is 0.
pub(super) fn gateway(tokens: &mut Tokens<'_>, out: &mut Vec<u8>) -> Result<(), RdataError> {
    let kind = tokens.number(u8::MAX.into())? as u8;
    let algorithm = tokens.number(u8::MAX.into())? as u8;
    out.extend_from_slice(&[kind, algorithm]);
    endpoint(kind, tokens, out)?;
    if algorithm == 0 && tokens.are_over() { Ok(()) } else { tokens.encoded(&BASE64, "not base64", out) }
}

/// RFC 8777 §4.3: whether discovery is optional, the relay's type, the relay.
pub(super) fn relay(tokens: &mut Tokens<'_>, out: &mut Vec<u8>) -> Result<(), RdataError> {
    let optional = tokens.number(1)? as u8;
    let kind = tokens.number(127)? as u8;
    out.push(optional << 7 | kind);
    endpoint(kind, tokens, out)
}

/// A gateway or relay of a type: `.` for none, an address, a name.
fn endpoint(kind: u8, tokens: &mut Tokens<'_>, out: &mut Vec<u8>) -> Result<(), RdataError> {
    match kind {
        0 => {
            let word = tokens.bare()?;
            if word.bytes != b"." {
                return Err(word.bad("expected `.`, which stands for none"));
            }
        }
        1 => out.extend_from_slice(&tokens.bare()?.v4()?.octets()),
        2 => out.extend_from_slice(&tokens.bare()?.v6()?.octets()),
        3 => out.extend_from_slice(tokens.name()?.as_name().as_wire()),
        _ => return Err(RdataError::NoTextForm),
    }
    Ok(())
}

/// RFC 8005 §6: algorithm, identity in hex, key in base64 without spaces, names of rendezvous servers.
pub(super) fn host_identity(tokens: &mut Tokens<'_>, out: &mut Vec<u8>) -> Result<(), RdataError> {
    let algorithm = tokens.number(u8::MAX.into())? as u8;
    let word = tokens.bare()?;
    let identity = HEXUPPER_PERMISSIVE.decode(word.bytes).ok().filter(|bytes| matches!(bytes.len(), 1..=255));
    let identity = identity.ok_or_else(|| word.bad("not pairs of hex digits"))?;
    let word = tokens.bare()?;
    let key = BASE64.decode(word.bytes).ok().filter(|bytes| !bytes.is_empty()).ok_or_else(|| word.bad("not base64"))?;
    out.extend_from_slice(&[identity.len() as u8, algorithm]);
    let len = u16::try_from(key.len()).map_err(|_| word.bad("the key is too long"))?;
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(&identity);
    out.extend_from_slice(&key);
    while !tokens.are_over() {
        out.extend_from_slice(tokens.name()?.as_name().as_wire());
    }
    Ok(())
}
