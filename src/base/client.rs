//! For whom an answer is: the resolver that asked, the subnet it named, and where that puts the client.
//!
//! A [`Client`] comes in as the transport and the ECS option say it; [`Client::locate`] turns it into the one
//! address that steering looks at and the rule for the scope to return. RFC 7871 §7.1.2, §7.2.1, §10.
//!
//! **Invariants**: a [`Subnet`] has no bit beyond its source prefix; a [`Location`] is in its canonical family
//! (embedded IPv4 is IPv4).
//! **Not here**: the option's bytes ([`crate::wire`]), the decision ([`crate::steer`]).

use std::net::IpAddr;

use super::prefix::Family;
use super::special;

/// The number of leading address bits that a resolver disclosed (RFC 7871 §6, SOURCE PREFIX-LENGTH).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SourcePrefixLen(pub u8);

/// The number of leading address bits for which an answer holds (RFC 7871 §6, SCOPE PREFIX-LENGTH).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct ScopePrefixLen(pub u8);

/// What an ECS option says of a client: an address of which only the source prefix is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subnet {
    /// The address, zero beyond the source prefix.
    pub address: IpAddr,
    /// How much of it is known; 0 asks for an answer that uses no client address.
    pub source: SourcePrefixLen,
}

/// Who asked, and for whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client {
    /// The address the query came from.
    pub resolver: IpAddr,
    /// The ECS subnet, where the query carried one and we listen to it.
    pub subnet: Option<Subnet>,
}

/// Which of a client's addresses was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vantage {
    /// The resolver's own address: no subnet, SOURCE 0, or a reserved subnet.
    Resolver,
    /// The ECS subnet.
    Subnet,
}

/// How the scope of the answer follows from the scope that steering finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScopeRule {
    /// It is this, whatever steering finds (0, or the length of a reserved block).
    Fixed(ScopePrefixLen),
    /// It is what steering finds, plus the bits that stand before an embedded IPv4 address.
    Exact {
        /// The number of those bits.
        offset: u8,
    },
}

/// The place at which a client is judged to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Location {
    /// The address to look up.
    pub address: IpAddr,
    /// How many of its bits are known; the family's width for a resolver's own address.
    pub source: SourcePrefixLen,
    /// Whose address it is.
    pub vantage: Vantage,
    /// What scope to return.
    pub scope: ScopeRule,
}

impl Client {
    /// Chooses the address that decides, as RFC 7871 and its forms of IPv4 in IPv6 demand.
    pub fn locate(&self) -> Location {
        let Some(subnet) = self.subnet else { return self.at_resolver(ScopePrefixLen(0)) };
        // RFC 7871 §7.1.2: SOURCE 0 means the client's address must not be used; the resolver's own may.
        if subnet.source.0 == 0 {
            return self.at_resolver(ScopePrefixLen(0));
        }
        let (address, source, offset) = canonical(subnet.address, subnet.source.0);
        // RFC 7871 §10: an address that is not routed says nothing; the answer holds for all of its block.
        if let Some(len) = special::reserved_len(address, source) {
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

/// An address with its known bits, as IPv4 where it embeds one, and the number of bits before that.
fn canonical(address: IpAddr, source: u8) -> (IpAddr, u8, u8) {
    match address {
        IpAddr::V6(v6) => match special::embedded_v4(v6) {
            // 6to4 goes on behind the IPv4 address with the site's own bits; those do not steer. Of a block that ends
            // before the IPv4 address nothing of that is known: its scope must reach into it all the same.
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
        Client { resolver: resolver.parse().unwrap(), subnet }.locate()
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
        let location = locate("192.0.2.1", Some(("10.1.2.0", 24)));
        assert_eq!(location.address, "192.0.2.1".parse::<IpAddr>().unwrap());
        assert_eq!(location.scope, ScopeRule::Fixed(ScopePrefixLen(8)));
        // 6to4 of 10.0.0.0/8: sixteen bits before it.
        let location = locate("192.0.2.1", Some(("2002:0a01:0203::", 48)));
        assert_eq!(location.scope, ScopeRule::Fixed(ScopePrefixLen(24)));
    }

    #[test]
    fn embedded_v4_is_judged_as_v4() {
        let location = locate("192.0.2.1", Some(("2002:c633:6401::", 56)));
        assert_eq!(location.address, "198.51.100.1".parse::<IpAddr>().unwrap());
        assert_eq!(location.source, SourcePrefixLen(32));
        assert_eq!(location.scope, ScopeRule::Exact { offset: 16 });
        // All of 6to4 is judged as all of IPv4, so that the scope does not cover what is told apart inside.
        let location = locate("192.0.2.1", Some(("2002::", 16)));
        assert_eq!((location.address, location.source), ("0.0.0.0".parse().unwrap(), SourcePrefixLen(0)));
        assert_eq!(location.scope, ScopeRule::Exact { offset: 16 });
        let resolver = locate("::ffff:198.51.100.1", None);
        assert_eq!(resolver.address, "198.51.100.1".parse::<IpAddr>().unwrap());
    }
}
