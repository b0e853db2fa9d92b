//! Addresses to listen on that this machine does not have, or does not have yet.
//!
//! **Invariants**: nothing here keeps a port.
//! **Not here**: binding ([`crate::dns`], [`crate::http`]), the configured addresses ([`crate::config`]).

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};

use socket2::Socket;

use super::Holder;

/// Lets a socket be bound to an address that no interface has yet; to be called before binding.
///
/// Addresses may come after the start: from DHCP, by a routing daemon, by a failover. The alternative, to wait or to end
/// with an error, leaves the other addresses unserved meanwhile. Replies leave from the bound address as usual.
pub(crate) fn allow_absent(socket: &Socket, address: SocketAddr) -> io::Result<()> {
    match address {
        SocketAddr::V4(_) => socket.set_freebind_v4(true),
        SocketAddr::V6(_) => socket.set_freebind_v6(true),
    }
}

/// Returns whether no interface has an address now, or the system has no addresses of its family.
pub(crate) fn is_absent(address: IpAddr) -> bool {
    UdpSocket::bind((address, 0)).is_err_and(|error| means_absent(&error))
}

/// Returns whether an error of a socket says that its address is absent.
pub(crate) fn means_absent(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrNotAvailable || error.raw_os_error() == Some(libc::EAFNOSUPPORT)
}

/// The reason why a port cannot be bound.
pub(crate) fn reason(error: &io::Error, holder: Option<&Holder>) -> String {
    match (holder, error.kind()) {
        (Some(holder), _) if holder.pid == std::process::id() => {
            "another key of the configuration has the port".to_string()
        }
        (Some(Holder { pid, command }), _) => format!("`{command}` (process {pid}) has the port"),
        (None, io::ErrorKind::AddrInUse) => "another process has the port".to_string(),
        (None, io::ErrorKind::PermissionDenied) => "permission denied".to_string(),
        (None, io::ErrorKind::AddrNotAvailable) => "no network interface has this address".to_string(),
        (None, _) if error.raw_os_error() == Some(libc::EAFNOSUPPORT) => "this system has no IPv6".to_string(),
        (None, _) => error.to_string(),
    }
}

/// The remedy for a port that cannot be bound; `option` is the key that names the address.
pub(crate) fn remedy(address: SocketAddr, option: &str, error: &io::Error, holder: Option<&Holder>) -> String {
    let port = address.port();
    match error.kind() {
        io::ErrorKind::AddrInUse => match holder {
            Some(holder) if holder.command == "systemd-resolve" => {
                "list the addresses to serve instead of the wildcard address, or set `DNSStubListener=no` in \
                 resolved.conf"
                    .to_string()
            }
            Some(holder) if holder.pid == std::process::id() => {
                format!("choose another address or port in `{option}`, or in the other `listen` with port {port}")
            }
            Some(_) => format!("stop that process, or choose another address or port in `{option}`"),
            None => format!("`ss -lptun 'sport = :{port}'` as root shows which"),
        },
        io::ErrorKind::PermissionDenied if port < 1024 => format!(
            "port {port} is below 1024: give the process CAP_NET_BIND_SERVICE (systemd: \
             `AmbientCapabilities=CAP_NET_BIND_SERVICE`), start its container with \
             `--sysctl net.ipv4.ip_unprivileged_port_start={port}`, or choose a port above 1023 in `{option}` and \
             publish it as {port}"
        ),
        _ if means_absent(error) && address.is_ipv6() => format!(
            "remove the address from `{option}`, or give this machine IPv6 (a container: a network with IPv6 enabled, \
             and `--sysctl net.ipv6.conf.all.disable_ipv6=0`)"
        ),
        io::ErrorKind::AddrNotAvailable => {
            format!("`ip address` lists the addresses of this machine; choose one of them in `{option}`")
        }
        _ => format!("check `{option}`"),
    }
}

#[cfg(test)]
mod tests {
    use socket2::{Domain, Type};

    use super::*;

    #[test]
    fn an_absent_address_is_known_and_can_be_bound() {
        for (absent, present) in [("192.0.2.1:0", "127.0.0.1:0"), ("[2001:db8::1]:0", "[::1]:0")] {
            let (absent, present): (SocketAddr, SocketAddr) = (absent.parse().unwrap(), present.parse().unwrap());
            assert!(is_absent(absent.ip()) && !is_absent(present.ip()));
            let socket = Socket::new(Domain::for_address(absent), Type::STREAM, None).unwrap();
            assert!(means_absent(&socket.bind(&absent.into()).unwrap_err()));
            allow_absent(&socket, absent).unwrap();
            socket.bind(&absent.into()).unwrap();
        }
    }
}
