//! Service parameters (RFC 9460 §2.2): keys by name, and the rules that a list of them must obey.
//!
//! **Invariants**: a list that passes is in ascending order of keys, each there once, each value that of its key.
//! **Not here**: text ([`crate::load`]), the parameters of steered owners ([`crate::snapshot`]).

use crate::base::text::parse_digits;

/// Keys of parameters.
pub(crate) const MANDATORY: u16 = 0;
/// Protocols.
pub(crate) const ALPN: u16 = 1;
/// No default protocol.
pub(crate) const NO_DEFAULT_ALPN: u16 = 2;
/// The port.
pub(crate) const PORT: u16 = 3;
/// IPv4 addresses.
pub(crate) const IPV4HINT: u16 = 4;
/// The configuration of Encrypted Client Hello.
pub(crate) const ECH: u16 = 5;
/// IPv6 addresses.
pub(crate) const IPV6HINT: u16 = 6;
/// The template of DNS over HTTPS (RFC 9461).
pub(crate) const DOHPATH: u16 = 7;
/// Oblivious HTTP (RFC 9540).
pub(crate) const OHTTP: u16 = 8;

/// The names of keys, from key 0 on.
const NAMES: [&str; 9] =
    ["mandatory", "alpn", "no-default-alpn", "port", "ipv4hint", "ech", "ipv6hint", "dohpath", "ohttp"];

/// The key of a name, `keyNNNNN` among them (RFC 9460 §2.1: no leading zeros).
pub(crate) fn key(name: &str) -> Option<u16> {
    if let Some((key, _)) = (0..).zip(NAMES).find(|(_, known)| *known == name) {
        return Some(key);
    }
    let digits = name.strip_prefix("key")?;
    parse_digits(digits).filter(|_| digits.len() == 1 || !digits.starts_with('0'))
}

/// Tells whether a list of parameters in wire form obeys RFC 9460 §2.2, §7 and §8.
pub(crate) fn are_valid(params: &[u8]) -> bool {
    let mut keys = Vec::new();
    let mut mandatory: &[u8] = &[];
    let mut rest = params;
    while let [a, b, c, d, after @ ..] = rest {
        let key = u16::from_be_bytes([*a, *b]);
        let Some((value, after)) = after.split_at_checked(u16::from_be_bytes([*c, *d]).into()) else { return false };
        if keys.last().is_some_and(|last| *last >= key) || !is_value(key, value) {
            return false;
        }
        if key == MANDATORY {
            mandatory = value;
        }
        keys.push(key);
        rest = after;
    }
    let named = |pair: &[u8]| u16::from_be_bytes([pair[0], pair[1]]);
    rest.is_empty()
        && mandatory.chunks_exact(2).all(|pair| keys.binary_search(&named(pair)).is_ok())
        && (!keys.contains(&NO_DEFAULT_ALPN) || keys.contains(&ALPN))
}

/// Tells whether a value fits its key; a key without a name may have any value.
pub(crate) fn is_value(key: u16, value: &[u8]) -> bool {
    match key {
        MANDATORY => {
            let keys = value.as_chunks::<2>();
            !value.is_empty() && keys.1.is_empty() && keys.0[0] != [0, 0] && keys.0.is_sorted_by(|a, b| a < b)
        }
        ALPN => !value.is_empty() && are_protocols(value),
        NO_DEFAULT_ALPN | OHTTP => value.is_empty(),
        PORT => value.len() == 2,
        IPV4HINT => !value.is_empty() && value.len().is_multiple_of(4),
        IPV6HINT => !value.is_empty() && value.len().is_multiple_of(16),
        // RFC 9461 §5: a relative URI template with the variable `dns`.
        DOHPATH => {
            value.starts_with(b"/") && std::str::from_utf8(value).is_ok_and(|template| template.contains("{?dns}"))
        }
        _ => true,
    }
}

/// RFC 9460 §7.1.1: protocols with a length byte each, none of them empty.
fn are_protocols(mut rest: &[u8]) -> bool {
    while let Some((&len, after)) = rest.split_first() {
        if len == 0 || after.len() < usize::from(len) {
            return false;
        }
        rest = &after[usize::from(len)..];
    }
    true
}
