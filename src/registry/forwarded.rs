//! The client's address: the TCP peer's, or the one that trusted proxies report in `X-Forwarded-For`.
//!
//! **Invariants**: elements to the left of the first untrusted address are ignored, because the client may have written
//! them.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::base::prefix::PrefixSet;
use crate::base::text::parse_digits;

/// An `X-Forwarded-For` from a trusted proxy has something other than an address where the client should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MalformedForwarded;

impl fmt::Display for MalformedForwarded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`X-Forwarded-For` does not hold an address where the client's should be")
    }
}

impl std::error::Error for MalformedForwarded {}

/// Finds the address of the client.
///
/// `forwarded` yields the `X-Forwarded-For` lines in the order received; together the lines are one list (RFC 9110 §5.3).
/// From the right, trusted proxies are skipped, and the first other address is the client's. If all addresses are
/// trusted, the leftmost is the client's. An IPv4-mapped IPv6 address counts as IPv4.
///
/// `unknown` (RFC 7239 §6.2; Squid sends it in this header too) ends the list: the proxy before it counts as the client.
pub fn client_address<'h>(
    peer: IpAddr,
    forwarded: impl DoubleEndedIterator<Item = &'h [u8]>,
    trusted: &PrefixSet,
) -> Result<IpAddr, MalformedForwarded> {
    let mut client = peer.to_canonical();
    for element in forwarded.rev().flat_map(|line| line.rsplit(|byte| *byte == b',')) {
        if !trusted.contains(client) {
            return Ok(client);
        }
        // RFC 9110 §5.6.1.2: empty elements do not count.
        let element = element.trim_ascii();
        if element.eq_ignore_ascii_case(b"unknown") {
            return Ok(client);
        }
        if !element.is_empty() {
            client = parse(element).ok_or(MalformedForwarded)?;
        }
    }
    Ok(client)
}

/// `1.2.3.4`, `1.2.3.4:80`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:443`.
fn parse(element: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(element).ok()?;
    let address = if let Some(rest) = text.strip_prefix('[') {
        let (address, port) = rest.split_once(']')?;
        let port_fits = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
        port_fits.then(|| address.parse::<Ipv6Addr>().ok())??.into()
    } else if let Ok(address) = text.parse::<IpAddr>() {
        address
    } else {
        let (address, port) = text.split_once(':')?;
        is_port(port).then(|| address.parse::<Ipv4Addr>().ok())??.into()
    };
    Some(address.to_canonical())
}

fn is_port(text: &str) -> bool {
    parse_digits::<u16>(text).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(peer: &str, lines: &[&str]) -> Result<String, MalformedForwarded> {
        let trusted = PrefixSet::new(&["10.0.0.0/8", "2001:db8:1::/48"].map(|text| text.parse().unwrap()));
        client_address(peer.parse().unwrap(), lines.iter().map(|line| line.as_bytes()), &trusted)
            .map(|address| address.to_string())
    }

    fn is(address: &str) -> Result<String, MalformedForwarded> {
        Ok(address.to_string())
    }

    #[test]
    fn the_header_of_an_untrusted_peer_is_not_read() {
        assert_eq!(client("192.0.2.1", &["198.51.100.1"]), is("192.0.2.1"));
        assert_eq!(client("192.0.2.1", &["banana"]), is("192.0.2.1"));
        assert_eq!(client("::ffff:192.0.2.1", &[]), is("192.0.2.1"));
    }

    #[test]
    fn trusted_proxies_are_passed_over_from_the_right() {
        assert_eq!(client("10.0.0.1", &[]), is("10.0.0.1"));
        assert_eq!(client("10.0.0.1", &["198.51.100.1"]), is("198.51.100.1"));
        assert_eq!(client("10.0.0.1", &["8.8.8.8, 198.51.100.1 ,10.0.0.2"]), is("198.51.100.1"));
        assert_eq!(client("::ffff:10.0.0.1", &["198.51.100.1, ::ffff:10.0.0.9"]), is("198.51.100.1"));
        assert_eq!(client("10.0.0.1", &["10.0.0.3,10.0.0.2"]), is("10.0.0.3"));
        assert_eq!(client("2001:db8:1::1", &["2001:db8:2::1"]), is("2001:db8:2::1"));
    }

    #[test]
    fn several_lines_are_one_list() {
        assert_eq!(client("10.0.0.1", &["8.8.8.8", "198.51.100.1, 10.0.0.2", "10.0.0.3"]), is("198.51.100.1"));
        assert_eq!(client("10.0.0.1", &["198.51.100.1", "", " , 10.0.0.3,"]), is("198.51.100.1"));
    }

    #[test]
    fn ports_and_brackets_are_understood() {
        for (text, address) in [
            ("198.51.100.1:80", "198.51.100.1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:443", "2001:db8::1"),
            ("[::ffff:198.51.100.1]:443", "198.51.100.1"),
            ("\t2001:db8::1 ", "2001:db8::1"),
        ] {
            assert_eq!(client("10.0.0.1", &[text]), is(address), "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_malformed_where_the_client_should_be() {
        for text in [
            "banana",
            "_hidden",
            "1.2.3",
            "1.2.3.4:",
            "1.2.3.4:x",
            "1.2.3.4:+1",
            "1.2.3.4:70000",
            "[::1",
            "[::1]x",
            "[1.2.3.4]",
            "[::1]:",
            "fe80::1%eth0",
            "[fe80::1%1]:80",
            "1.2.3.4 5.6.7.8",
            "\u{e9}",
            "banana, 10.0.0.2",
        ] {
            assert_eq!(client("10.0.0.1", &[text]), Err(MalformedForwarded), "{text}");
        }
        assert_eq!(client("10.0.0.1", &["banana, 198.51.100.1"]), is("198.51.100.1"));
    }

    #[test]
    fn a_proxy_that_does_not_know_its_client_counts_as_the_client() {
        for lines in [&["unknown"][..], &["Unknown"], &["198.51.100.1, UNKNOWN"], &["198.51.100.1", "unknown"], &[""]] {
            assert_eq!(client("10.0.0.1", lines), is("10.0.0.1"), "{lines:?}");
        }
        assert_eq!(client("10.0.0.1", &["8.8.8.8, unknown, 10.0.0.2"]), is("10.0.0.2"));
        assert_eq!(client("10.0.0.1", &["unknown, 198.51.100.1"]), is("198.51.100.1"));
    }
}
