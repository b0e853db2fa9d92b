//! Address prefixes: blocks of addresses that can be read from text, ordered and compared.
//!
//! **Invariants**: a [`Block`] has no bit set beyond its length, and its length fits its family.
//! **Not here**: the meaning of prefixes ([`crate::networks`], [`super::special`]).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use ip_network::IpNetwork;
use ip_network_table::IpNetworkTable;

use super::text::parse_digits;
use super::words::words;

words! {
    /// An address family of clients and mirrors.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
    pub enum Family {
        /// IPv4: A records, prefixes up to 32 bits.
        V4 = "ipv4",
        /// IPv6: AAAA records, prefixes up to 128 bits.
        V6 = "ipv6",
    }
}

impl Family {
    /// The number of bits in an address.
    pub(crate) const fn width(self) -> u8 {
        match self {
            Family::V4 => 32,
            Family::V6 => 128,
        }
    }

    /// The other family.
    pub(crate) const fn other(self) -> Family {
        match self {
            Family::V4 => Family::V6,
            Family::V6 => Family::V4,
        }
    }

    /// The family of an address.
    pub(crate) fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Family::V4 } else { Family::V6 }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Family::V4 => "IPv4",
            Family::V6 => "IPv6",
        })
    }
}

/// An address as a number: `u32` for IPv4, `u128` for IPv6, most significant bit first.
///
/// Code over `Bits` is written once for both families.
pub trait Bits: Copy + Ord + Eq + std::hash::Hash + fmt::Debug + Send + Sync + 'static {
    /// The number of bits in an address.
    const WIDTH: u8;
    /// The family these bits belong to.
    const FAMILY: Family;
    /// The lowest address, all zeros.
    const MIN: Self;
    /// The highest address, all ones.
    const MAX: Self;

    /// The number of leading bits that two addresses share, 0 to `WIDTH`.
    fn common_prefix_len(self, other: Self) -> u8;
    /// The address with every bit from `len` on cleared.
    fn truncate(self, len: u8) -> Self;
    /// The address with every bit from `len` on set.
    fn fill(self, len: u8) -> Self;
    /// The next higher address; `None` after the last.
    fn next(self) -> Option<Self>;
    /// The next lower address; `None` before the first.
    fn previous(self) -> Option<Self>;
    /// The leading 32 bits.
    fn top32(self) -> u32;
    /// The address in the type of the standard library.
    fn to_ip(self) -> IpAddr;
    /// The number as 128 bits, right-aligned (IPv4 occupies the low 32).
    fn to_u128(self) -> u128;
    /// The address of a number; bits that do not fit are cut off.
    fn from_u128(number: u128) -> Self;
}

macro_rules! impl_bits {
    ($int:ty, $family:expr, $address:ty, $top:expr) => {
        impl Bits for $int {
            const WIDTH: u8 = <$int>::BITS as u8;
            const FAMILY: Family = $family;
            const MIN: Self = 0;
            const MAX: Self = <$int>::MAX;

            #[inline]
            fn common_prefix_len(self, other: Self) -> u8 {
                (self ^ other).leading_zeros() as u8
            }

            #[inline]
            fn truncate(self, len: u8) -> Self {
                if len == 0 { 0 } else { self & (Self::MAX << (Self::WIDTH - len)) }
            }

            #[inline]
            fn fill(self, len: u8) -> Self {
                if len >= Self::WIDTH { self } else { self | (Self::MAX >> len) }
            }

            #[inline]
            fn next(self) -> Option<Self> {
                self.checked_add(1)
            }

            #[inline]
            fn previous(self) -> Option<Self> {
                self.checked_sub(1)
            }

            #[inline]
            fn top32(self) -> u32 {
                $top(self)
            }

            fn to_ip(self) -> IpAddr {
                IpAddr::from(<$address>::from_bits(self))
            }

            #[inline]
            fn to_u128(self) -> u128 {
                self as u128
            }

            fn from_u128(number: u128) -> Self {
                number as Self
            }
        }
    };
}

impl_bits!(u32, Family::V4, Ipv4Addr, |bits: u32| bits);
impl_bits!(u128, Family::V6, Ipv6Addr, |bits: u128| (bits >> 96) as u32);

/// All addresses that share the first `len` bits, in one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Block<A: Bits> {
    first: A,
    len: u8,
}

impl<A: Bits> Block<A> {
    /// The block of `len` bits that holds `address`; bits beyond `len` are dropped.
    ///
    /// `len` is capped at the family's width.
    pub fn holding(address: A, len: u8) -> Self {
        let len = len.min(A::WIDTH);
        Block { first: address.truncate(len), len }
    }

    /// The lowest address.
    pub fn first(self) -> A {
        self.first
    }

    /// The highest address.
    pub(crate) fn last(self) -> A {
        self.first.fill(self.len)
    }

    /// The prefix length in bits.
    pub fn prefix_len(self) -> u8 {
        self.len
    }

    /// Tells whether the address lies in this block.
    pub(crate) fn contains(self, address: A) -> bool {
        address.truncate(self.len) == self.first
    }

    /// Tells whether every address of `other` lies in this block.
    #[cfg(test)]
    pub(crate) fn covers(self, other: Self) -> bool {
        self.len <= other.len && self.contains(other.first)
    }
}

impl<A: Bits> fmt::Display for Block<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first.to_ip(), self.len)
    }
}

/// A prefix of either family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Prefix {
    /// An IPv4 prefix.
    V4(Block<u32>),
    /// An IPv6 prefix.
    V6(Block<u128>),
}

impl Prefix {
    /// The prefix of `len` bits that holds `address`; bits beyond `len` are dropped.
    pub fn holding(address: IpAddr, len: u8) -> Self {
        match address {
            IpAddr::V4(v4) => Prefix::V4(Block::holding(v4.to_bits(), len)),
            IpAddr::V6(v6) => Prefix::V6(Block::holding(v6.to_bits(), len)),
        }
    }

    /// The family.
    pub(crate) fn family(self) -> Family {
        match self {
            Prefix::V4(_) => Family::V4,
            Prefix::V6(_) => Family::V6,
        }
    }

    /// The lowest address.
    pub fn first(self) -> IpAddr {
        match self {
            Prefix::V4(block) => block.first.to_ip(),
            Prefix::V6(block) => block.first.to_ip(),
        }
    }

    /// The lowest and the highest address as numbers.
    pub(crate) fn bounds(self) -> (u128, u128) {
        match self {
            Prefix::V4(block) => (block.first().to_u128(), block.last().to_u128()),
            Prefix::V6(block) => (block.first(), block.last()),
        }
    }

    /// The prefix length in bits.
    pub fn prefix_len(self) -> u8 {
        match self {
            Prefix::V4(block) => block.len,
            Prefix::V6(block) => block.len,
        }
    }

    /// Tells whether the address is of this family and lies in this prefix.
    pub(crate) fn contains(self, address: IpAddr) -> bool {
        match (self, address) {
            (Prefix::V4(block), IpAddr::V4(v4)) => block.contains(v4.to_bits()),
            (Prefix::V6(block), IpAddr::V6(v6)) => block.contains(v6.to_bits()),
            _ => false,
        }
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Prefix::V4(block) => block.fmt(f),
            Prefix::V6(block) => block.fmt(f),
        }
    }
}

/// A set of prefixes that tells whether it holds an address, for access lists and trusted proxies.
pub struct PrefixSet {
    table: IpNetworkTable<()>,
    prefixes: Vec<Prefix>,
}

impl PrefixSet {
    /// Builds a set of prefixes.
    pub fn new(prefixes: &[Prefix]) -> Self {
        let mut table = IpNetworkTable::new();
        for prefix in prefixes {
            let network = IpNetwork::new_truncate(prefix.first(), prefix.prefix_len());
            table.insert(network.expect("a prefix's length fits its family"), ());
        }
        PrefixSet { table, prefixes: prefixes.to_vec() }
    }

    /// Tells whether one of the prefixes holds the address; IPv4 in IPv6 form counts as IPv4.
    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        self.table.longest_match(address.to_canonical()).is_some()
    }
}

impl Clone for PrefixSet {
    fn clone(&self) -> Self {
        PrefixSet::new(&self.prefixes)
    }
}

impl fmt::Debug for PrefixSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.prefixes.iter().map(Prefix::to_string)).finish()
    }
}

/// Reason why a text is not a prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PrefixError {
    /// The part before the slash is not an address.
    Address(String),
    /// The part after the slash is not a number of bits in the family's range.
    Length {
        /// The text after the slash.
        text: String,
        /// The family of the address before it.
        family: Family,
    },
    /// Bits are set beyond the prefix length; the prefix that was likely meant.
    HostBits(Prefix),
}

impl fmt::Display for PrefixError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PrefixError::Address(text) => write!(f, "`{text}` is not an IPv4 or IPv6 address"),
            PrefixError::Length { text, family } => {
                write!(f, "`{text}` is not a prefix length for {family} (0 to {})", family.width())
            }
            PrefixError::HostBits(meant) => {
                write!(f, "bits are set beyond the prefix length; did you mean `{meant}`?")
            }
        }
    }
}

impl std::error::Error for PrefixError {}

impl FromStr for Prefix {
    type Err = PrefixError;

    /// Reads `address/length`; an address alone is a prefix of its full length.
    fn from_str(text: &str) -> Result<Self, PrefixError> {
        let (address, len) = match text.split_once('/') {
            Some((address, len)) => (address, Some(len)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| PrefixError::Address(address.to_string()))?;
        let family = Family::of(address);
        let len = match len {
            None => family.width(),
            Some(text) => {
                let len = parse_digits(text).filter(|len| *len <= family.width());
                len.ok_or_else(|| PrefixError::Length { text: text.to_string(), family })?
            }
        };
        let prefix = Prefix::holding(address, len);
        if prefix.first() == address { Ok(prefix) } else { Err(PrefixError::HostBits(prefix)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_round_trips() {
        for text in ["0.0.0.0/0", "10.0.0.0/8", "1.2.3.4/32", "::/0", "2001:db8::/32", "::1/128"] {
            assert_eq!(text.parse::<Prefix>().unwrap().to_string(), text);
        }
        assert_eq!("192.0.2.1".parse::<Prefix>().unwrap().to_string(), "192.0.2.1/32");
    }

    #[test]
    fn bad_text_is_refused_with_what_was_meant() {
        let message = |text: &str| text.parse::<Prefix>().unwrap_err().to_string();
        assert!(message("10.1.0.0/8").contains("did you mean `10.0.0.0/8`"));
        assert!(message("10.0.0.0/33").contains("0 to 32"));
        assert!(message("10.0.0.0/+8").contains("not a prefix length"));
        assert!(message("10.0.0.0/").contains("not a prefix length"));
        assert!(message("banana/8").contains("`banana`"));
    }

    #[test]
    fn a_set_holds_what_its_prefixes_hold() {
        let set = PrefixSet::new(&["10.0.0.0/8", "2001:db8::/32"].map(|text| text.parse().unwrap()));
        let holds = |text: &str| set.contains(text.parse().unwrap());
        assert!(holds("10.1.2.3") && holds("::ffff:10.1.2.3") && holds("2001:db8::1"));
        assert!(!holds("11.0.0.0") && !holds("2001:db9::"));
    }

    #[test]
    fn blocks_have_ends() {
        let block = Block::holding(0x0a010203u32, 16);
        assert_eq!((block.first(), block.last()), (0x0a010000, 0x0a01ffff));
        assert!(block.covers(Block::holding(0x0a01ff00, 24)));
        assert!(!block.covers(Block::holding(0x0a000000, 8)));
        assert_eq!(Block::holding(7u128, 0).last(), u128::MAX);
    }
}
