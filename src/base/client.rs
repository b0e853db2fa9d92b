//! The client of an answer: the resolver that asked, the subnet that it named, and the resulting location.
//!
//! A [`Client`] has the addresses from the transport and the ECS option. [`Client::locate`] returns the one address that
//! steering looks up, and the rule for the scope to return. RFC 7871 §7.1.2, §7.2.1, §10.
//!
//! Deviates from §10: private prefixes that a list names locate clients ([`super::private`]), because their operator knows
//! the place of each.
//!
//! **Invariants**: a [`Subnet`] has no bit beyond its source prefix; a [`Location`] is in its canonical family (embedded
//! IPv4 is IPv4).
//! **Not here**: the option's bytes ([`crate::wire`]), the decision ([`crate::steer`]).

use std::net::IpAddr;

use super::prefix::Family;
use super::private::PrivatePrefixes;
use super::special;
use super::words::words;

/// The number of leading address bits that a resolver disclosed (RFC 7871 §6, SOURCE PREFIX-LENGTH).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SourcePrefixLen(pub u8);

/// The number of leading address bits for which an answer holds (RFC 7871 §6, SCOPE PREFIX-LENGTH).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct ScopePrefixLen(pub u8);

/// The client's subnet in an ECS option: an address of which only the source prefix is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subnet {
    /// The address, zero beyond the source prefix.
    pub address: IpAddr,
    /// The number of known bits; 0 asks for an answer that uses no client address.
    pub source: SourcePrefixLen,
}

/// The resolver of a query, and the subnet of its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client {
    /// The address the query came from.
    pub resolver: IpAddr,
    /// The ECS subnet; `None` if the query has none, or if ECS is not accepted from the resolver.
    pub subnet: Option<Subnet>,
}

words! {
    /// Address of a client that decides.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Vantage {
        /// The resolver's own address: no subnet, SOURCE 0, or a reserved subnet.
        Resolver = "resolver",
        /// The ECS subnet.
        Subnet = "subnet",
    }
}

/// Rule that derives the scope of the answer from the scope that steering finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ScopeRule {
    /// This scope, whatever steering finds (0, or the length of a reserved block).
    Fixed(ScopePrefixLen),
    /// The scope that steering finds, plus the bits before an embedded IPv4 address.
    Exact {
        /// The number of those bits.
        offset: u8,
    },
}

/// Location of a client for steering.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Location {
    /// The address to look up.
    pub address: IpAddr,
    /// The number of known bits; the family's width for a resolver's own address.
    pub source: SourcePrefixLen,
    /// The origin of the address.
    pub vantage: Vantage,
    /// The rule for the scope to return.
    pub(crate) scope: ScopeRule,
}

impl Client {
    /// Chooses the address that decides, as RFC 7871 and its forms of IPv4 in IPv6 require. `named` has the private prefixes
    /// that locate clients.
    pub(crate) fn locate(&self, named: &PrivatePrefixes) -> Location {
        // RFC 7871 §7.1.2: SOURCE 0 means the client's address must not be used; the resolver's own may.
        let Some(subnet) = self.subnet.filter(|subnet| subnet.source.0 > 0) else {
            return self.at_resolver(ScopePrefixLen(0));
        };
        let (address, source, offset) = canonical(subnet.address, subnet.source.0);
        // RFC 7871 §10: an address that is not routed does not locate the client; the answer holds for its whole block, as
        // far as no list names a part of it.
        if let Some(len) = named.unlocated_len(address, source) {
            return self.at_resolver(ScopePrefixLen(len + offset));
        }
        Location {
            address,
            source: SourcePrefixLen(source),
            vantage: Vantage::Subnet,
            scope: ScopeRule::Exact { offset },
        }
    }

    fn at_resolver(&self, scope: ScopePrefixLen) -> Location {
        let width = Family::of(self.resolver).width();
        let (address, source, _) = canonical(self.resolver, width);
        Location {
            address,
            source: SourcePrefixLen(source),
            vantage: Vantage::Resolver,
            scope: ScopeRule::Fixed(scope),
        }
    }
}

/// Returns an address and its known bits, as IPv4 if it embeds one, and the number of bits before the IPv4 address.
fn canonical(address: IpAddr, source: u8) -> (IpAddr, u8, u8) {
    match address {
        IpAddr::V6(v6) => match special::embedded_v4(v6) {
            // Behind the IPv4 address, 6to4 has the site's own bits; these do not steer. If a block ends before the IPv4
            // address, no bit of that address is known, but the scope must still reach into it.
            Some((v4, before)) => (IpAddr::V4(v4), source.saturating_sub(before).min(32), before),
            None => (address, source, 0),
        },
        IpAddr::V4(_) => (address, source, 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn locate(resolver: &str, subnet: Option<(&str, u8)>) -> Location {
        let subnet = subnet
            .map(|(address, source)| Subnet { address: address.parse().unwrap(), source: SourcePrefixLen(source) });
        let named = ["10.10.72.0/24".parse().unwrap()];
        Client { resolver: resolver.parse().unwrap(), subnet }.locate(&PrivatePrefixes::of(named.into_iter()))
    }

    #[test]
    fn rfc7871_s7_1_2_source_zero_is_the_resolver_with_scope_zero() {
        let location = locate("192.0.2.1", Some(("0.0.0.0", 0)));
        assert_eq!(location, locate("192.0.2.1", None));
        assert_eq!(location.scope, ScopeRule::Fixed(ScopePrefixLen(0)));
        assert_eq!(location.vantage, Vantage::Resolver);
    }

    #[test]
    fn rfc7871_s10_reserved_is_the_resolver_with_the_blocks_scope() {
        let location = locate("192.0.2.1", Some(("172.16.2.0", 24)));
        assert_eq!(location.address, "192.0.2.1".parse::<IpAddr>().unwrap());
        assert_eq!(location.scope, ScopeRule::Fixed(ScopePrefixLen(12)));
        // 6to4 of 172.16.0.0/12 has sixteen bits before the IPv4 address.
        let location = locate("192.0.2.1", Some(("2002:ac10:0203::", 48)));
        assert_eq!(location.scope, ScopeRule::Fixed(ScopePrefixLen(28)));
    }

    #[test]
    fn a_private_subnet_that_a_list_names_locates_the_client() {
        let location = locate("192.0.2.1", Some(("10.10.72.0", 24)));
        assert_eq!((location.address, location.vantage), ("10.10.72.0".parse().unwrap(), Vantage::Subnet));
        assert_eq!(location.scope, ScopeRule::Exact { offset: 0 });
        let location = locate("192.0.2.1", Some(("2002:0a0a:4801::", 48)));
        assert_eq!((location.address, location.vantage), ("10.10.72.1".parse().unwrap(), Vantage::Subnet));
        // The next one is located by the resolver, with a scope that leaves the named prefix out.
        let location = locate("192.0.2.1", Some(("10.10.73.0", 24)));
        assert_eq!(location.vantage, Vantage::Resolver);
        assert_eq!(location.scope, ScopeRule::Fixed(ScopePrefixLen(24)));
    }

    #[test]
    fn embedded_v4_is_judged_as_v4() {
        let location = locate("192.0.2.1", Some(("2002:c633:6401::", 56)));
        assert_eq!(location.address, "198.51.100.1".parse::<IpAddr>().unwrap());
        assert_eq!(location.source, SourcePrefixLen(32));
        assert_eq!(location.scope, ScopeRule::Exact { offset: 16 });
        // All of 6to4 is judged as all of IPv4, so that the scope does not cover addresses with different answers.
        let location = locate("192.0.2.1", Some(("2002::", 16)));
        assert_eq!((location.address, location.source), ("0.0.0.0".parse().unwrap(), SourcePrefixLen(0)));
        assert_eq!(location.scope, ScopeRule::Exact { offset: 16 });
        let resolver = locate("::ffff:198.51.100.1", None);
        assert_eq!(resolver.address, "198.51.100.1".parse::<IpAddr>().unwrap());
    }
}
