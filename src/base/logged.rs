//! The part of a client's address that leaves the server, in a log or in the copy of a response.
//!
//! **Invariants**: an address that embeds IPv4 keeps no more of it than an IPv4 address would.
//! **Not here**: the keys by which an operator chooses ([`crate::config`]).

use std::net::IpAddr;

use super::prefix::Prefix;
use super::special;
use super::words::words;

/// The bits of an IPv4 address that its network has.
const V4_LEN: u8 = 24;

/// The bits of an IPv6 address that its network has: those of one site (RFC 6177).
const V6_LEN: u8 = 48;

words! {
    /// The part of a client's address that leaves the server.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub enum LoggedClients {
        /// No part of it.
        #[default]
        Nothing = "none",
        /// The /24 of IPv4, or the /48 of IPv6.
        Network = "24/48",
        /// All of it.
        Whole = "whole",
    }
}

impl LoggedClients {
    /// The number of leading bits of an address that are kept.
    pub(crate) fn kept_len(self, address: IpAddr) -> u8 {
        match (self, address) {
            (LoggedClients::Nothing, _) => 0,
            (LoggedClients::Whole, IpAddr::V4(_)) => 32,
            (LoggedClients::Whole, IpAddr::V6(_)) => 128,
            (LoggedClients::Network, IpAddr::V4(_)) => V4_LEN,
            // The /48 of 6to4 would have the whole IPv4 address.
            (LoggedClients::Network, IpAddr::V6(v6)) => {
                special::embedded_v4(v6).map_or(V6_LEN, |(_, before)| before + V4_LEN)
            }
        }
    }

    /// The address with zeros behind the kept bits. `None` if no bit is kept.
    pub(crate) fn cut(self, address: IpAddr) -> Option<IpAddr> {
        match self.kept_len(address) {
            0 => None,
            len => Some(Prefix::holding(address, len).first()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_hides_the_host_in_every_form() {
        let cut = |part: LoggedClients, text: &str| part.cut(text.parse().unwrap()).map(|left| left.to_string());
        let network = |text: &str| cut(LoggedClients::Network, text).unwrap();
        assert_eq!(network("198.51.100.77"), "198.51.100.0");
        assert_eq!(network("2001:db8:1:2::3"), "2001:db8:1::");
        assert_eq!(network("::ffff:198.51.100.77"), "::ffff:198.51.100.0");
        assert_eq!(network("64:ff9b::198.51.100.77"), "64:ff9b::c633:6400");
        assert_eq!(network("2002:c633:644d:1::1"), "2002:c633:6400::");
        assert_eq!(cut(LoggedClients::Whole, "2001:db8::1").unwrap(), "2001:db8::1");
        assert_eq!(cut(LoggedClients::Nothing, "198.51.100.77"), None);
    }
}
