//! Address blocks with a special purpose: IANA's special-purpose registries, and IPv6 blocks that embed IPv4.
//!
//! **Invariants**: one table per family has every block; the blocks whose addresses do not locate a client do not overlap.
//! **Not here**: the use of the blocks ([`super::client`], [`crate::steer`]).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::prefix::{Bits, Block, Prefix};

/// A block with a special purpose.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Special {
    /// The block.
    pub(crate) block: Prefix,
    /// Its purpose, as it is shown.
    pub(crate) name: &'static str,
    /// The document that sets it aside.
    pub(crate) rfc: &'static str,
}

/// The consequence of a block's purpose for steering.
#[derive(Clone, Copy)]
enum Use {
    /// An address in it does not locate a client (RFC 7871 §10), and is refused for a host.
    Local,
    /// An address in it is refused for a host.
    Refused,
}

/// A row of a registry: first address, prefix length, consequence, purpose, document.
type BlockRow<A> = (A, u8, Use, &'static str, &'static str);

const fn v4(a: u8, b: u8, c: u8, d: u8) -> u32 {
    u32::from_be_bytes([a, b, c, d])
}

/// The first four groups of an IPv6 address; the others are zero.
const fn v6(a: u16, b: u16, c: u16, d: u16) -> u128 {
    (a as u128) << 112 | (b as u128) << 96 | (c as u128) << 80 | (d as u128) << 64
}

/// IANA IPv4 Special-Purpose Address Registry (RFC 6890), whole, and multicast. In address order; a smaller block wins.
const SPECIAL_V4: [BlockRow<u32>; 26] = [
    (v4(0, 0, 0, 0), 8, Use::Refused, "this network", "RFC 791"),
    (v4(10, 0, 0, 0), 8, Use::Local, "private use", "RFC 1918"),
    (v4(100, 64, 0, 0), 10, Use::Local, "shared address space", "RFC 6598"),
    (v4(127, 0, 0, 0), 8, Use::Local, "loopback", "RFC 1122"),
    (v4(169, 254, 0, 0), 16, Use::Local, "link-local", "RFC 3927"),
    (v4(172, 16, 0, 0), 12, Use::Local, "private use", "RFC 1918"),
    (v4(192, 0, 0, 0), 24, Use::Refused, "IETF protocol assignments", "RFC 6890"),
    (v4(192, 0, 0, 0), 29, Use::Refused, "IPv4 service continuity", "RFC 7335"),
    (v4(192, 0, 0, 8), 32, Use::Refused, "IPv4 dummy address", "RFC 7600"),
    (v4(192, 0, 0, 9), 32, Use::Refused, "Port Control Protocol anycast", "RFC 7723"),
    (v4(192, 0, 0, 10), 32, Use::Refused, "TURN anycast", "RFC 8155"),
    (v4(192, 0, 0, 170), 32, Use::Refused, "NAT64 discovery", "RFC 8880"),
    (v4(192, 0, 0, 171), 32, Use::Refused, "NAT64 discovery", "RFC 8880"),
    (v4(192, 0, 2, 0), 24, Use::Refused, "documentation", "RFC 5737"),
    (v4(192, 31, 196, 0), 24, Use::Refused, "AS112", "RFC 7535"),
    (v4(192, 52, 193, 0), 24, Use::Refused, "multicast tunneling", "RFC 7450"),
    (v4(192, 88, 99, 0), 24, Use::Refused, "6to4 relay anycast", "RFC 7526"),
    (v4(192, 168, 0, 0), 16, Use::Local, "private use", "RFC 1918"),
    (v4(192, 175, 48, 0), 24, Use::Refused, "AS112", "RFC 7534"),
    (v4(198, 18, 0, 0), 15, Use::Refused, "benchmarking", "RFC 2544"),
    (v4(198, 51, 100, 0), 24, Use::Refused, "documentation", "RFC 5737"),
    (v4(203, 0, 113, 0), 24, Use::Refused, "documentation", "RFC 5737"),
    (v4(224, 0, 0, 0), 4, Use::Refused, "multicast", "RFC 5771"),
    (v4(233, 252, 0, 0), 24, Use::Refused, "documentation", "RFC 6676"),
    (v4(240, 0, 0, 0), 4, Use::Refused, "reserved for future use", "RFC 1112"),
    (v4(255, 255, 255, 255), 32, Use::Refused, "limited broadcast", "RFC 8190"),
];

/// IANA IPv6 Special-Purpose Address Registry (RFC 6890), whole; multicast; and the deprecated blocks of RFC 4291. In address
/// order; a smaller block wins. An address in a block of [`EMBEDDING`] is judged by the IPv4 address in it.
const SPECIAL_V6: [BlockRow<u128>; 25] = [
    // The registry has `::` and `::1` alone; the rest are the deprecated IPv4-compatible addresses.
    (0, 96, Use::Refused, "IPv4-compatible", "RFC 4291"),
    (0, 128, Use::Refused, "unspecified", "RFC 4291"),
    (1, 128, Use::Local, "loopback", "RFC 4291"),
    (v6(0x64, 0xff9b, 1, 0), 48, Use::Refused, "local-use NAT64", "RFC 8215"),
    (v6(0x100, 0, 0, 0), 64, Use::Refused, "discard-only", "RFC 6666"),
    (v6(0x100, 0, 0, 1), 64, Use::Refused, "dummy prefix", "RFC 9780"),
    (v6(0x2001, 0, 0, 0), 23, Use::Refused, "IETF protocol assignments", "RFC 2928"),
    (v6(0x2001, 0, 0, 0), 32, Use::Refused, "Teredo", "RFC 4380"),
    (v6(0x2001, 1, 0, 0) | 1, 128, Use::Refused, "Port Control Protocol anycast", "RFC 7723"),
    (v6(0x2001, 1, 0, 0) | 2, 128, Use::Refused, "TURN anycast", "RFC 8155"),
    (v6(0x2001, 1, 0, 0) | 3, 128, Use::Refused, "DNS-SD registration anycast", "RFC 9665"),
    (v6(0x2001, 2, 0, 0), 48, Use::Refused, "benchmarking", "RFC 5180"),
    (v6(0x2001, 3, 0, 0), 32, Use::Refused, "multicast tunneling", "RFC 7450"),
    (v6(0x2001, 4, 0x112, 0), 48, Use::Refused, "AS112", "RFC 7535"),
    (v6(0x2001, 0x10, 0, 0), 28, Use::Refused, "deprecated ORCHID", "RFC 4843"),
    (v6(0x2001, 0x20, 0, 0), 28, Use::Refused, "ORCHIDv2", "RFC 7343"),
    (v6(0x2001, 0x30, 0, 0), 28, Use::Refused, "drone identifiers", "RFC 9374"),
    (v6(0x2001, 0xdb8, 0, 0), 32, Use::Refused, "documentation", "RFC 3849"),
    (v6(0x2620, 0x4f, 0x8000, 0), 48, Use::Refused, "AS112", "RFC 7534"),
    (v6(0x3fff, 0, 0, 0), 20, Use::Refused, "documentation", "RFC 9637"),
    (v6(0x5f00, 0, 0, 0), 16, Use::Refused, "segment routing identifiers", "RFC 9602"),
    (v6(0xfc00, 0, 0, 0), 7, Use::Local, "unique local", "RFC 4193"),
    (v6(0xfe80, 0, 0, 0), 10, Use::Local, "link-local", "RFC 4291"),
    (v6(0xfec0, 0, 0, 0), 10, Use::Refused, "deprecated site-local", "RFC 3879"),
    (v6(0xff00, 0, 0, 0), 8, Use::Refused, "multicast", "RFC 4291"),
];

/// IPv4 blocks whose addresses do not locate a client (RFC 7871 §10).
const LOCAL_V4: [(u32, u8); 6] = local(&SPECIAL_V4, 0);

/// IPv6 blocks whose addresses do not locate a client (RFC 7871 §10).
const LOCAL_V6: [(u128, u8); 3] = local(&SPECIAL_V6, 0);

/// The [`Use::Local`] rows, selected at compile time, so that a query searches only these.
const fn local<A: Copy, const N: usize>(rows: &[BlockRow<A>], zero: A) -> [(A, u8); N] {
    let (mut found, mut at, mut count) = ([(zero, 0); N], 0, 0);
    while at < rows.len() {
        if matches!(rows[at].2, Use::Local) {
            found[count] = (rows[at].0, rows[at].1);
            count += 1;
        }
        at += 1;
    }
    assert!(count == N, "the length of the list is that of the rows selected");
    found
}

/// IPv6 blocks that carry an IPv4 address right behind their prefix.
///
/// RFC 4291 §2.5.5.2 (v4-mapped), RFC 6052 §2.1 (NAT64 well-known), RFC 3056 §2 (6to4).
const EMBEDDING: [(u128, u8); 3] = [(0xffff << 32, 96), (0x0064_ff9b << 96, 96), (0x2002 << 112, 16)];

/// The reserved IPv4 blocks, in address order.
pub(crate) fn reserved_v4() -> impl Iterator<Item = Block<u32>> {
    LOCAL_V4.into_iter().map(|(first, len)| Block::holding(first, len))
}

/// The reserved IPv6 blocks, in address order.
pub(crate) fn reserved_v6() -> impl Iterator<Item = Block<u128>> {
    LOCAL_V6.into_iter().map(|(first, len)| Block::holding(first, len))
}

/// The IPv6 blocks that embed an IPv4 address.
pub(crate) fn embedding_v6() -> impl Iterator<Item = Block<u128>> {
    EMBEDDING.into_iter().map(|(first, len)| Block::holding(first, len))
}

/// Length of the reserved block that holds the whole block of `source` bits at `address`; `None` if there is none.
#[inline]
pub(crate) fn reserved_len(address: IpAddr, source: u8) -> Option<u8> {
    match address {
        IpAddr::V4(v4) => reserved_in(&LOCAL_V4, v4.to_bits(), source),
        IpAddr::V6(v6) => reserved_in(&LOCAL_V6, v6.to_bits(), source),
    }
}

#[inline]
fn reserved_in<A: Bits>(blocks: &[(A, u8)], address: A, source: u8) -> Option<u8> {
    blocks.iter().find(|(first, len)| source >= *len && address.truncate(*len) == *first).map(|(_, len)| *len)
}

/// The smallest special-purpose block that holds an address, or the IPv4 address that it embeds ([`judged`]). `None` if the
/// address is an ordinary one.
///
/// The few blocks of the registries that are globally reachable (AS112, anycast services) count too, because no mirror is
/// there.
pub(crate) fn special_purpose(address: IpAddr) -> Option<Special> {
    match judged(address) {
        IpAddr::V4(v4) => smallest(&SPECIAL_V4, v4.to_bits()),
        IpAddr::V6(v6) => smallest(&SPECIAL_V6, v6.to_bits()),
    }
}

/// The address that decides the purpose of `address`: the IPv4 address that it embeds, or `address` itself.
pub(crate) fn judged(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) => embedded_v4(v6).map_or(address, |(v4, _)| v4.into()),
        IpAddr::V4(_) => address,
    }
}

fn smallest<A: Bits>(rows: &[BlockRow<A>], address: A) -> Option<Special> {
    let holding = rows.iter().filter(|(first, len, ..)| address.truncate(*len) == *first);
    let (first, len, _, name, rfc) = holding.max_by_key(|(_, len, ..)| *len)?;
    Some(Special { block: Prefix::holding(first.to_ip(), *len), name, rfc })
}

/// Description of an address at which no host can be reached from elsewhere; `None` for any other address.
pub(crate) fn impossible(address: IpAddr) -> Option<&'static str> {
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

/// The embedded IPv4 address and the number of bits before it; `None` if the address embeds none.
#[inline]
pub(crate) fn embedded_v4(address: Ipv6Addr) -> Option<(Ipv4Addr, u8)> {
    let bits = address.to_bits();
    EMBEDDING
        .iter()
        .find(|(first, len)| bits.truncate(*len) == *first)
        .map(|(_, len)| (Ipv4Addr::from_bits((bits >> (96 - *len)) as u32), *len))
}

/// The IPv4 addresses that all addresses of a prefix embed; `None` if it holds others too.
pub(crate) fn embedded_prefix(prefix: Prefix) -> Option<Prefix> {
    let Prefix::V6(block) = prefix else { return None };
    let (first, before) = embedded_v4(Ipv6Addr::from_bits(block.first()))?;
    Some(Prefix::holding(first.into(), block.prefix_len().checked_sub(before)?.min(32)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_of_embedded_addresses_is_one_of_ipv4() {
        let of = |text: &str| embedded_prefix(text.parse().unwrap()).map(|prefix| prefix.to_string());
        assert_eq!(of("::ffff:192.0.2.0/120").as_deref(), Some("192.0.2.0/24"));
        assert_eq!(of("64:ff9b::/96").as_deref(), Some("0.0.0.0/0"));
        assert_eq!(of("2002:c000:0200::/40").as_deref(), Some("192.0.2.0/24"));
        assert_eq!(of("2002:c000:0201:1::/64").as_deref(), Some("192.0.2.1/32"));
        for other in ["::/0", "2000::/3", "2001:db8::/32", "192.0.2.0/24"] {
            assert_eq!(of(other), None, "{other}");
        }
    }

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
    fn rfc6890_every_block_of_the_registries_is_special_purpose() {
        let of = |text: &str| special_purpose(text.parse().unwrap()).map(|special| special.block.to_string());
        for (address, block) in [
            ("0.1.2.3", "0.0.0.0/8"),
            ("10.0.0.1", "10.0.0.0/8"),
            ("192.0.0.1", "192.0.0.0/29"),
            ("192.0.0.9", "192.0.0.9/32"),
            ("192.0.0.200", "192.0.0.0/24"),
            ("192.0.2.1", "192.0.2.0/24"),
            ("192.88.99.1", "192.88.99.0/24"),
            ("198.18.0.1", "198.18.0.0/15"),
            ("198.19.255.255", "198.18.0.0/15"),
            ("198.51.100.1", "198.51.100.0/24"),
            ("203.0.113.1", "203.0.113.0/24"),
            ("233.252.0.1", "233.252.0.0/24"),
            ("240.0.0.1", "240.0.0.0/4"),
            ("255.255.255.255", "255.255.255.255/32"),
            ("::127.0.0.1", "::/96"),
            ("::8.8.8.8", "::/96"),
            ("::1", "::1/128"),
            ("64:ff9b:1::1", "64:ff9b:1::/48"),
            ("100::1", "100::/64"),
            ("2001::1", "2001::/32"),
            ("2001:1::5", "2001::/23"),
            ("2620:4f:8000::1", "2620:4f:8000::/48"),
            ("2001:2::1", "2001:2::/48"),
            ("2001:db8::1", "2001:db8::/32"),
            ("3fff::1", "3fff::/20"),
            ("5f00::1", "5f00::/16"),
            ("fd00::1", "fc00::/7"),
            ("fe80::1", "fe80::/10"),
            ("fec0::1", "fec0::/10"),
            ("ff02::1", "ff00::/8"),
            // By the IPv4 address within.
            ("::ffff:240.0.0.1", "240.0.0.0/4"),
            ("64:ff9b::198.18.0.1", "198.18.0.0/15"),
            ("2002:c000:0201::", "192.0.2.0/24"),
        ] {
            assert_eq!(of(address).as_deref(), Some(block), "{address}");
        }
        for address in [
            "1.1.1.1",
            "8.8.8.8",
            "192.0.1.1",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2001:200::1",
            "2600::1",
            "2a00::1",
            "64:ff9b::8.8.8.8",
            "2002:808:808::1",
            "101::1",
        ] {
            assert_eq!(of(address), None, "{address}");
        }
    }

    #[test]
    fn the_tables_are_in_address_order_and_without_host_bits() {
        fn check<A: Bits>(rows: &[BlockRow<A>]) {
            assert!(rows.is_sorted_by_key(|(first, len, ..)| (*first, *len)));
            assert!(rows.iter().all(|(first, len, ..)| first.truncate(*len) == *first));
        }
        check(&SPECIAL_V4);
        check(&SPECIAL_V6);
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
