//! Private prefixes: the parts of reserved blocks that the operator's lists name.
//!
//! An address in a reserved block does not locate a client (RFC 7871 §10), except in a network whose operator says where
//! its private addresses are. A list says it, and its prefixes then locate clients like any other.
//!
//! **Invariants**: the prefixes are disjoint, each inside a reserved block, in address order, and as short as possible, so
//! that no scope is longer than needed.
//! **Not here**: the reserved blocks ([`super::special`]), the lists ([`crate::networks`]).

use std::net::IpAddr;

use super::prefix::{Bits, Block, Prefix};
use super::special;

/// The named prefixes of both families.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PrivatePrefixes {
    v4: Vec<Block<u32>>,
    v6: Vec<Block<u128>>,
}

impl PrivatePrefixes {
    /// Takes the prefixes that are inside a private block, and leaves out the others. A prefix that is wider than a block,
    /// like `0.0.0.0/0`, does not name the private addresses in it. A loopback or link-local address has no place at all.
    pub(crate) fn of(named: impl Iterator<Item = Prefix>) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        let is_private = |prefix: &Prefix| {
            let is_of_one_link = match prefix.first() {
                IpAddr::V4(v4) => v4.is_loopback() || v4.is_link_local(),
                IpAddr::V6(v6) => v6.is_loopback() || v6.is_unicast_link_local(),
            };
            !is_of_one_link && special::reserved_len(prefix.first(), prefix.prefix_len()).is_some()
        };
        for prefix in named.filter(is_private) {
            match prefix {
                Prefix::V4(block) => v4.push(block),
                Prefix::V6(block) => v6.push(block),
            }
        }
        PrivatePrefixes { v4: joined(v4), v6: joined(v6) }
    }

    /// The blocks of IPv4 inside which clients are located otherwise than around them.
    pub(crate) fn boundaries_v4(&self) -> Vec<Block<u32>> {
        special::reserved_v4().chain(self.v4.iter().copied()).collect()
    }

    /// The blocks of IPv6 inside which clients are located otherwise than around them.
    pub(crate) fn boundaries_v6(&self) -> Vec<Block<u128>> {
        special::reserved_v6().chain(special::embedding_v6()).chain(self.v6.iter().copied()).collect()
    }

    /// Length of the block around an address in which no address locates a client: the reserved block that holds all
    /// of the subnet, or the longest part of it around the address without a named prefix. `None` if the subnet is in no
    /// reserved block, or its address in a named prefix.
    #[inline]
    pub(crate) fn unlocated_len(&self, address: IpAddr, source: u8) -> Option<u8> {
        let len = special::reserved_len(address, source)?;
        match address {
            IpAddr::V4(v4) => unnamed_len(&self.v4, v4.to_bits(), len),
            IpAddr::V6(v6) => unnamed_len(&self.v6, v6.to_bits(), len),
        }
    }
}

fn unnamed_len<A: Bits>(named: &[Block<A>], address: A, reserved: u8) -> Option<u8> {
    let at = named.partition_point(|block| block.first() <= address);
    let below = at.checked_sub(1).map(|below| named[below]);
    if below.is_some_and(|block| block.contains(address)) {
        return None;
    }
    // A prefix outside of the reserved block shares fewer bits with the address than the block has.
    let apart = |neighbour: A| address.common_prefix_len(neighbour) + 1;
    let from_below = below.map_or(0, |block| apart(block.last()));
    let from_above = named.get(at).map_or(0, |block| apart(block.first()));
    Some(reserved.max(from_below).max(from_above))
}

/// The blocks in address order, without those inside others, and with halves joined.
fn joined<A: Bits>(mut blocks: Vec<Block<A>>) -> Vec<Block<A>> {
    // Outer blocks come before the blocks in them.
    blocks.sort_unstable();
    let mut kept: Vec<Block<A>> = Vec::with_capacity(blocks.len());
    for block in blocks {
        if kept.last().is_some_and(|last| last.contains(block.first())) {
            continue;
        }
        kept.push(block);
        while let [.., low, high] = kept[..]
            && low.prefix_len() == high.prefix_len()
            && low.first().common_prefix_len(high.first()) + 1 == low.prefix_len()
        {
            kept.truncate(kept.len() - 2);
            kept.push(Block::holding(low.first(), low.prefix_len() - 1));
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(named: &[&str]) -> PrivatePrefixes {
        PrivatePrefixes::of(named.iter().map(|text| text.parse().unwrap()))
    }

    fn written<A: Bits>(blocks: &[Block<A>]) -> Vec<String> {
        blocks.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn prefixes_of_reserved_blocks_are_kept_and_joined() {
        let all = of(&[
            "0.0.0.0/0",
            "8.8.8.0/24",
            "10.0.1.0/24",
            "10.0.0.0/24",
            "10.0.0.7/32",
            "10.0.2.0/24",
            "172.16.0.0/12",
            "127.0.0.0/8",
            "169.254.1.0/24",
        ]);
        assert_eq!(written(&all.v4), ["10.0.0.0/23", "10.0.2.0/24", "172.16.0.0/12"]);
        let v6 = of(&["fc00::/8", "fd00::/8", "2001:db8::/32", "::/0", "fe80::/64", "::1/128"]);
        assert_eq!(written(&v6.v6), ["fc00::/7"]);
    }

    #[test]
    fn the_block_without_location_ends_at_a_named_prefix() {
        let named = of(&["10.10.72.0/24", "172.16.0.0/12", "fd00:1::/32"]);
        let len = |address: &str, source| named.unlocated_len(address.parse().unwrap(), source);
        assert_eq!(len("10.10.72.0", 24), None);
        assert_eq!(len("10.10.72.9", 32), None);
        // Of this subnet, the address is named, and a part is not.
        assert_eq!(len("10.10.72.0", 21), None);
        assert_eq!(len("10.10.73.0", 24), Some(24));
        assert_eq!(len("10.10.64.0", 24), Some(21));
        assert_eq!(len("10.128.0.0", 24), Some(9));
        assert_eq!(len("172.31.0.0", 16), None);
        assert_eq!(len("192.168.1.0", 24), Some(16));
        assert_eq!(len("8.8.8.0", 24), None);
        assert_eq!(len("fd00:1::", 48), None);
        assert_eq!(len("fd80::", 48), Some(9));
        assert_eq!(PrivatePrefixes::default().unlocated_len("10.10.72.0".parse().unwrap(), 24), Some(8));
    }

    proptest! {
        #[test]
        fn a_block_without_location_holds_no_named_address_and_is_as_wide_as_possible(
            named in prop::collection::vec((any::<u32>(), 9u8..=32), 0..12),
            random in prop::collection::vec(any::<u32>(), 20),
        ) {
            let within = |bits: u32| 10 << 24 | (bits & 0x0003_ffff) << 6;
            let blocks: Vec<Block<u32>> = named.iter().map(|(bits, len)| Block::holding(within(*bits), *len)).collect();
            let prefixes = PrivatePrefixes::of(blocks.iter().copied().map(Prefix::V4));
            let is_named = |block: Block<u32>| blocks.iter().any(|named| named.covers(block) || block.covers(*named));
            let edges = blocks.iter().flat_map(|block| [block.first().previous(), Some(block.last()), block.last().next()]);
            let all = edges.flatten().chain(random.iter().map(|bits| within(*bits)));
            for address in all.filter(|address| address >> 24 == 10) {
                let inside = blocks.iter().any(|block| block.contains(address));
                let len = prefixes.unlocated_len(address.to_ip(), 32);
                prop_assert_eq!(len.is_none(), inside);
                if let Some(len) = len {
                    prop_assert!(!is_named(Block::holding(address, len)));
                    prop_assert!(len == 8 || is_named(Block::holding(address, len - 1)));
                }
            }
        }
    }
}
