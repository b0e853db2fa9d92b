//! The text of service parameters (RFC 9460 §2.1, Appendix A).
//!
//! **Invariants**: the rdata obeys [`params::are_valid`]; its keys ascend, whatever the order in the text.
//! **Not here**: names of keys, and rules for their values ([`params`]).

use std::net::{Ipv4Addr, Ipv6Addr};

use data_encoding::BASE64;

use super::RdataError;
use super::tokens::{RdataWord, Tokens};
use crate::base::rdata::params::{self, ALPN, ECH, IPV4HINT, IPV6HINT, MANDATORY, NO_DEFAULT_ALPN, PORT};

/// Writes the parameters that the tokens stand for: `key`, `key=value` or `key="value"`.
pub(super) fn scan(tokens: &mut Tokens<'_>, out: &mut Vec<u8>) -> Result<(), RdataError> {
    let mut all: Vec<(u16, Vec<u8>, RdataWord<'_>)> = Vec::new();
    while !tokens.are_over() {
        let word = tokens.bare()?;
        let text = word.text();
        let (name, value) = text.split_once('=').map_or((text, None), |(name, value)| (name, Some(value)));
        let key = params::key(name).ok_or_else(|| word.bad(format!("`{name}` is not a service parameter")))?;
        if all.iter().any(|(other, ..)| *other == key) {
            return Err(word.bad(format!("`{name}` is given twice")));
        }
        let value = match value {
            Some("") => tokens.joined().unwrap_or(RdataWord { bytes: b"", ..word }),
            Some(value) => RdataWord { bytes: value.as_bytes(), ..word },
            None => RdataWord { bytes: b"", ..word },
        };
        if let Some(more) = tokens.joined() {
            return Err(more.bad("expected a space after a value"));
        }
        let bytes = encode(key, value, name)?;
        if !params::is_value(key, &bytes) {
            return Err(value.bad(format!("not a value of `{name}`")));
        }
        all.push((key, bytes, word));
    }
    check_together(&all)?;
    all.sort_by_key(|(key, ..)| *key);
    for (key, value, word) in all {
        let len = u16::try_from(value.len()).map_err(|_| word.bad("the value is too long"))?;
        out.extend_from_slice(&key.to_be_bytes());
        out.extend_from_slice(&len.to_be_bytes());
        out.extend_from_slice(&value);
    }
    Ok(())
}

/// RFC 9460 §8 and §7.1.1: mandatory keys are there, and `no-default-alpn` has `alpn` beside it.
fn check_together(all: &[(u16, Vec<u8>, RdataWord<'_>)]) -> Result<(), RdataError> {
    let has = |key| all.iter().any(|(other, ..)| *other == key);
    for (key, value, word) in all {
        let mut named = value.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
        match *key {
            MANDATORY if !named.all(has) => return Err(word.bad("a key in `mandatory` is not there")),
            NO_DEFAULT_ALPN if !has(ALPN) => return Err(word.bad("`no-default-alpn` is used with `alpn` only")),
            _ => {}
        }
    }
    Ok(())
}

/// The wire form of a value.
fn encode(key: u16, value: RdataWord<'_>, name: &str) -> Result<Vec<u8>, RdataError> {
    let bytes = value.unescaped()?;
    let bad = || value.bad(format!("not a value of `{name}`"));
    let text = std::str::from_utf8(&bytes).unwrap_or_default();
    let mut out = Vec::new();
    match key {
        // RFC 9460 §2.1: by number, any value is as it is on the wire.
        _ if name.starts_with("key") => out = bytes,
        ALPN => {
            for protocol in items(&bytes).ok_or_else(bad)? {
                out.push(u8::try_from(protocol.len()).map_err(|_| bad())?);
                out.extend_from_slice(&protocol);
            }
        }
        MANDATORY => {
            let keys: Option<Vec<u16>> = text.split(',').map(params::key).collect();
            let mut keys = keys.ok_or_else(bad)?;
            keys.sort_unstable();
            out = keys.into_iter().flat_map(u16::to_be_bytes).collect();
        }
        PORT => {
            let port = RdataWord { bytes: &bytes, ..value }.number(u16::MAX.into()).map_err(|_| bad())? as u16;
            out.extend_from_slice(&port.to_be_bytes());
        }
        IPV4HINT => {
            for address in text.split(',') {
                out.extend_from_slice(&address.parse::<Ipv4Addr>().map_err(|_| bad())?.octets());
            }
        }
        IPV6HINT => {
            for address in text.split(',') {
                out.extend_from_slice(&address.parse::<Ipv6Addr>().map_err(|_| bad())?.octets());
            }
        }
        ECH => out = BASE64.decode(&bytes).map_err(|_| bad())?,
        _ => out = bytes,
    }
    Ok(out)
}

/// RFC 9460 Appendix A.1: items between commas; a backslash takes the meaning from a comma or another one.
fn items(list: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut items = vec![Vec::new()];
    let mut rest = list.iter();
    while let Some(byte) = rest.next() {
        match byte {
            b',' => items.push(Vec::new()),
            b'\\' => items.last_mut()?.push(*rest.next()?),
            _ => items.last_mut()?.push(*byte),
        }
    }
    items.iter().all(|item| !item.is_empty()).then_some(items)
}
