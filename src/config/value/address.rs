//! Addresses and prefixes.
//!
//! **Invariants**: each refusal shows the right form.
//! **Not here**: whether an address is on this machine ([`crate::process`]).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{Fault, bracketed};
use crate::base::name::NameBuf;
use crate::base::prefix::{Prefix, PrefixError};
use crate::base::special;

/// An address and port to listen on.
pub(in crate::config) fn socket_address(text: &str) -> Result<SocketAddr, Fault> {
    text.parse().map_err(|_| {
        let help = match text.rsplit_once(':') {
            _ if text.parse::<IpAddr>().is_ok_and(|address| address.is_ipv4()) => {
                format!("add the port: `{text}:PORT`")
            }
            Some((address, port)) if address.parse::<Ipv6Addr>().is_ok() && port.parse::<u16>().is_ok() => {
                format!("did you mean `[{address}]:{port}`? an IPv6 address is in brackets before its port")
            }
            _ if text.parse::<IpAddr>().is_ok() => format!("add the port: `[{text}]:PORT`"),
            Some((address, port)) if is_number(port) && address.parse::<Ipv4Addr>().is_ok() => PORT_RANGE.to_string(),
            Some((address, port)) if is_number(port) && is_bracketed(address) => PORT_RANGE.to_string(),
            Some(("", port)) => format!("write `0.0.0.0:{port}` for all IPv4 addresses, `[::]:{port}` for all of IPv6"),
            Some(("localhost", port)) => format!("write addresses: `127.0.0.1:{port}` and `[::1]:{port}`"),
            _ => "write an address and a port, like `127.0.0.1:5300` or `[::1]:5300`".to_string(),
        };
        Fault::new("bad-address", format!("`{text}` is not an address with a port"), "not a listen address", help)
    })
}

/// The range of ports, for the help of a port beyond it.
const PORT_RANGE: &str = "ports are 0 to 65535";

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_digit())
}

fn is_bracketed(address: &str) -> bool {
    bracketed(address).is_some_and(|inner| inner.parse::<Ipv6Addr>().is_ok())
}

/// The address of a server to send to: with a port, or with the default one.
pub(in crate::config) fn server_address(text: &str, default_port: u16) -> Result<SocketAddr, Fault> {
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Ok(SocketAddr::new(ip, default_port));
    }
    text.parse().map_err(|_| {
        let help = match text.rsplit_once(':') {
            Some((address, port))
                if is_number(port) && (address.parse::<Ipv4Addr>().is_ok() || is_bracketed(address)) =>
            {
                "ports are 1 to 65535".to_string()
            }
            None if NameBuf::parse(text).is_ok() && text.contains(|letter: char| letter.is_ascii_alphabetic()) => {
                "write its address: names of servers are not resolved here".to_string()
            }
            _ => "write an address like `192.0.2.1`, `192.0.2.1:5353` or `[2001:db8::1]:5353`".to_string(),
        };
        Fault::new("bad-address", format!("`{text}` is not the address of a server"), "not an address", help)
    })
}

/// Either an address of a server or a prefix of clients.
pub(in crate::config) fn server_or_prefix(text: &str) -> Result<(), Fault> {
    match address_or_prefix(text) {
        Err(fault) if text.contains('/') => Err(fault),
        Err(_) => server_address(text, 53).map(drop),
        Ok(_) => Ok(()),
    }
}

/// An address and port to listen on for DNS that is encrypted.
pub(in crate::config) fn encrypted_address(text: &str) -> Result<SocketAddr, Fault> {
    let address = socket_address(text)?;
    // RFC 7858 §3.1, RFC 9250 §4.1.1.
    if address.port() == 53 {
        return Err(Fault::new(
            "plain-port",
            format!("`{text}` has the port of unencrypted DNS"),
            "encrypted DNS must not be here",
            "use port 853 for TLS and QUIC, 443 for HTTPS",
        ));
    }
    Ok(address)
}

/// The address of a mirror.
pub(in crate::config) fn mirror_address(text: &str) -> Result<IpAddr, Fault> {
    let address: IpAddr = text.parse().map_err(|_| {
        let help = if text.parse::<SocketAddr>().is_ok() {
            "write the address without a port; clients come to the port of the blobs URL"
        } else if text.contains('/') {
            "write one address, not a prefix"
        } else if NameBuf::parse(text).is_ok() && text.contains(|letter: char| letter.is_ascii_alphabetic()) {
            "write an address, or put the name under `host` to have it resolved"
        } else {
            "write an address like `192.0.2.10` or `2001:db8::10`"
        };
        Fault::new("bad-address", format!("`{text}` is not an address"), "not an address", help)
    })?;
    let Some(why) = special::impossible(address) else { return Ok(address) };
    let help = match address {
        IpAddr::V6(v6) if v6.is_unicast_link_local() => "write an address that clients elsewhere can reach".to_string(),
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => format!("write `{v4}`"),
            None => "write the mirror's own address".to_string(),
        },
        IpAddr::V4(_) => "write the mirror's own address".to_string(),
    };
    Err(Fault::new("unusable-address", format!("`{text}` is {why}"), "no mirror can be here", help))
}

/// A prefix.
pub(in crate::config) fn prefix(text: &str) -> Result<Prefix, Fault> {
    let prefix = text.parse().map_err(|error: PrefixError| match error {
        PrefixError::HostBits(meant) => Fault::new(
            "bad-prefix",
            format!("`{text}` has bits set beyond its prefix length"),
            "not the start of its block",
            format!("write `{meant}`, or `{}` for the one address", text.split('/').next().unwrap_or(text)),
        ),
        other => Fault::new(
            "bad-prefix",
            format!("`{text}` is not a prefix: {other}"),
            "not a prefix",
            "write an address and a length, like `192.0.2.0/24` or `2001:db8::/32`",
        ),
    })?;
    not_mapped(text, prefix)
}

/// Refuses IPv4 addresses in the form `::ffff:192.0.2.1`, in which no address is compared.
fn not_mapped(text: &str, prefix: Prefix) -> Result<Prefix, Fault> {
    let is_mapped = matches!(prefix.first(), IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some());
    match special::embedded_prefix(prefix).filter(|_| is_mapped) {
        None => Ok(prefix),
        Some(meant) => Err(Fault::new(
            "bad-prefix",
            format!("`{text}` has IPv4 addresses in IPv6 form"),
            "no address matches it",
            format!("write `{meant}`"),
        )),
    }
}

/// A prefix, or an address as the prefix that holds it alone.
pub(in crate::config) fn address_or_prefix(text: &str) -> Result<Prefix, Fault> {
    match text.parse::<IpAddr>() {
        Ok(address) => not_mapped(text, Prefix::holding(address, if address.is_ipv4() { 32 } else { 128 })),
        Err(_) => prefix(text),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::fault;
    use super::*;

    #[test]
    fn listen_addresses_need_a_port() {
        assert!(socket_address("[::1]:0").is_ok());
        assert!(fault(socket_address("127.0.0.1")).ends_with("add the port: `127.0.0.1:PORT`"));
        assert!(fault(socket_address("::1")).ends_with("add the port: `[::1]:PORT`"));
        assert!(fault(socket_address(":53")).contains("`0.0.0.0:53`"));
        assert!(fault(socket_address("localhost:53")).contains("`127.0.0.1:53`"));
        assert!(fault(socket_address("127.0.0.1:99999")).contains("0 to 65535"));
        assert!(fault(socket_address("[::1]:99999")).contains("0 to 65535"));
        assert!(fault(socket_address("127.0.0.1:x")).contains("like `127.0.0.1:5300`"));
    }

    #[test]
    fn servers_need_an_address_and_have_a_default_port() {
        assert_eq!(server_address("192.0.2.1", 53), Ok("192.0.2.1:53".parse().unwrap()));
        assert_eq!(server_address("[2001:db8::1]:5353", 53), Ok("[2001:db8::1]:5353".parse().unwrap()));
        assert!(fault(server_address("ns.example.org", 53)).ends_with("names of servers are not resolved here"));
        assert!(fault(server_address("192.0.2.1:99999", 53)).ends_with("1 to 65535"));
        assert!(fault(server_address("?", 53)).contains("`192.0.2.1:5353`"));
    }

    #[test]
    fn mirror_addresses_are_those_that_clients_can_reach() {
        for text in ["192.0.2.10", "127.0.0.1", "10.0.0.1", "2001:db8::10", "::1", "fd00::1"] {
            assert!(mirror_address(text).is_ok(), "{text}");
        }
        for text in ["0.0.0.0", "0.1.2.3", "::", "224.0.0.1", "ff02::1", "255.255.255.255", "fe80::1", "::ffff:1.2.3.4"]
        {
            assert!(fault(mirror_address(text)).starts_with("unusable-address"), "{text}");
        }
        assert!(fault(mirror_address("192.0.2.10:443")).contains("without a port"));
        assert!(fault(mirror_address("192.0.2.0/24")).contains("not a prefix"));
        assert!(fault(mirror_address("mirror.example")).contains("under `host`"));
        assert!(fault(mirror_address("192.0.2.256")).contains("an address like"));
    }

    #[test]
    fn a_prefix_with_host_bits_says_what_was_meant() {
        assert!(fault(prefix("10.1.2.3/8")).ends_with("write `10.0.0.0/8`, or `10.1.2.3` for the one address"));
        assert!(fault(prefix("10.0.0.0/33")).contains("0 to 32"));
        assert!(fault(prefix("::ffff:192.0.2.0/120")).ends_with("write `192.0.2.0/24`"));
        assert!(fault(address_or_prefix("::ffff:192.0.2.1")).ends_with("write `192.0.2.1/32`"));
        assert!(prefix("::/0").is_ok() && prefix("64:ff9b::/96").is_ok());
    }
}
