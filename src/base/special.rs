//! Address blocks with a meaning of their own for steering: reserved ones and those that embed IPv4.
//!
//! **Invariants**: the blocks of one list do not overlap.
//! **Not here**: what is done with them ([`super::client`], [`crate::steer`]).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::prefix::{Bits, Block};

const fn v4(a: u8, b: u8, c: u8, d: u8, len: u8) -> (u32, u8) {
    (u32::from_be_bytes([a, b, c, d]), len)
}

/// IPv4 blocks whose addresses say nothing about where a client is.
///
/// RFC 1918, RFC 6598 (shared), RFC 1122 §3.2.1.3 (loopback), RFC 3927 (link-local).
const RESERVED_V4: [(u32, u8); 6] = [
    v4(10, 0, 0, 0, 8),
    v4(100, 64, 0, 0, 10),
    v4(127, 0, 0, 0, 8),
    v4(169, 254, 0, 0, 16),
    v4(172, 16, 0, 0, 12),
    v4(192, 168, 0, 0, 16),
];

/// IPv6 blocks whose addresses say nothing about where a client is.
///
/// RFC 4291 §2.5.3 (loopback) and §2.5.6 (link-local), RFC 4193 (unique local).
const RESERVED_V6: [(u128, u8); 3] = [(1, 128), (0xfc00 << 112, 7), (0xfe80 << 112, 10)];

/// IPv6 blocks that carry an IPv4 address right behind their prefix.
///
/// RFC 4291 §2.5.5.2 (v4-mapped), RFC 6052 §2.1 (NAT64 well-known), RFC 3056 §2 (6to4).
const EMBEDDING: [(u128, u8); 3] = [(0xffff << 32, 96), (0x0064_ff9b << 96, 96), (0x2002 << 112, 16)];

/// The reserved IPv4 blocks, in address order.
pub fn reserved_v4() -> impl Iterator<Item = Block<u32>> {
    RESERVED_V4.into_iter().map(|(first, len)| Block::holding(first, len))
}

/// The reserved IPv6 blocks, in address order.
pub fn reserved_v6() -> impl Iterator<Item = Block<u128>> {
    RESERVED_V6.into_iter().map(|(first, len)| Block::holding(first, len))
}

/// The IPv6 blocks that embed an IPv4 address.
pub fn embedding_v6() -> impl Iterator<Item = Block<u128>> {
    EMBEDDING.into_iter().map(|(first, len)| Block::holding(first, len))
}

/// The reserved block that wholly holds the block of `source` bits at `address`.
#[inline]
pub fn reserved_len(address: IpAddr, source: u8) -> Option<u8> {
    match address {
        IpAddr::V4(v4) => reserved_in(&RESERVED_V4, v4.to_bits(), source),
        IpAddr::V6(v6) => reserved_in(&RESERVED_V6, v6.to_bits(), source),
    }
}

#[inline]
fn reserved_in<A: Bits>(blocks: &[(A, u8)], address: A, source: u8) -> Option<u8> {
    blocks.iter().find(|(first, len)| source >= *len && address.truncate(*len) == *first).map(|(_, len)| *len)
}

/// Whether an address, or the IPv4 address that it embeds, is in a reserved block.
pub fn is_reserved(address: IpAddr) -> bool {
    let embedded = match address {
        IpAddr::V4(_) => None,
        IpAddr::V6(v6) => embedded_v4(v6),
    };
    let width = if address.is_ipv4() { 32 } else { 128 };
    reserved_len(address, width).is_some() || embedded.is_some_and(|(v4, _)| is_reserved(v4.into()))
}

/// What an address is at which nobody can be reached from elsewhere.
pub fn impossible(address: IpAddr) -> Option<&'static str> {
    match address {
        _ if address.is_unspecified() => Some("the unspecified address"),
        _ if address.is_multicast() => Some("a multicast address"),
        IpAddr::V4(v4) if v4.is_broadcast() => Some("the broadcast address"),
        IpAddr::V4(v4) if v4.octets()[0] == 0 => Some("in 0.0.0.0/8, which is never a destination"),
        IpAddr::V6(v6) if v6.is_unicast_link_local() => Some("a link-local address"),
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => Some("an IPv4 address in IPv6 clothes"),
        IpAddr::V4(_) | IpAddr::V6(_) => None,
    }
}

/// The embedded IPv4 address and the number of bits before it.
#[inline]
pub fn embedded_v4(address: Ipv6Addr) -> Option<(Ipv4Addr, u8)> {
    let bits = address.to_bits();
    EMBEDDING
        .iter()
        .find(|(first, len)| bits.truncate(*len) == *first)
        .map(|(_, len)| (Ipv4Addr::from_bits((bits >> (96 - *len)) as u32), *len))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn embedded_addresses_are_found() {
        let of = |text: &str| embedded_v4(text.parse().unwrap());
        let v4 = Ipv4Addr::new(192, 0, 2, 1);
        assert_eq!(of("::ffff:192.0.2.1"), Some((v4, 96)));
        assert_eq!(of("64:ff9b::192.0.2.1"), Some((v4, 96)));
        assert_eq!(of("2002:c000:0201::"), Some((v4, 16)));
        assert_eq!(of("2002::"), Some((Ipv4Addr::UNSPECIFIED, 16)));
        assert_eq!(of("2001:db8::"), None);
    }

    #[test]
    fn reserved_needs_the_whole_block() {
        let of = |text: &str, source| reserved_len(text.parse().unwrap(), source);
        assert_eq!(of("10.1.0.0", 16), Some(8));
        assert_eq!(of("10.0.0.0", 7), None);
        assert_eq!(of("100.127.0.0", 16), Some(10));
        assert_eq!(of("fd00::", 8), Some(7));
        assert_eq!(of("::1", 128), Some(128));
        assert_eq!(of("11.0.0.0", 8), None);
    }
}
