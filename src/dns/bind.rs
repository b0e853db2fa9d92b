//! Binding the ports before anything else starts, so that a failure is an error message, and port 0 works.
//!
//! For each address there is one TCP listener, and as many UDP sockets as there are threads, which share the port by
//! `SO_REUSEPORT`: the kernel spreads clients over them.
//!
//! TLS has a TCP listener for each of its addresses, QUIC a UDP socket.
//!
//! **Invariants**: UDP and TCP of an address have the same port; the TCP listener does not share its port, so that a
//! second server on it fails, where UDP sockets alone would silently take half of the queries.
//! **Not here**: TCP and QUIC ports alone ([`crate::listen`]), reading from the sockets.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd;

use socket2::{Domain, Protocol, Socket, Type};
use tracing::info;

use crate::config;
use crate::listen::{self, BindError};
use crate::process::sys::{self, Fragments};
use crate::process::{SocketKind, address, work};

/// The bytes of datagrams that may wait for a UDP thread, as asked of the system, which grants `net.core.rmem_max`.
///
/// The system counts about 800 bytes for a small datagram, and grants twice the size requested. So 10,000 queries fit, which
/// are 40 ms of a busy core. That is longer than a thread is ever kept from running, and shorter than a resolver waits.
const RECEIVE_BUFFER: usize = 4 << 20;

/// The bytes of replies that may wait for the network card: some forty full batches of small ones.
const SEND_BUFFER: usize = 1 << 20;

/// The most attempts to find a port for both transports: a port that the system chose for TCP may be taken for UDP.
const MAX_PORT_TRIES: usize = 32;

/// The bound ports.
#[derive(Debug, Default)]
pub(crate) struct BoundPorts {
    pub(super) tcp: listen::BoundListeners,
    pub(super) udp: Vec<Datagrams>,
    /// The most datagrams that one system call takes or sends.
    pub(super) batch: usize,
    pub(super) tls: listen::BoundListeners,
    pub(super) quic: listen::BoundQuic,
    pub(super) addresses: ListenAddresses,
}

/// The addresses we listen on: in the order of the config, with the ports that the system chose for port 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ListenAddresses {
    /// UDP and TCP.
    pub(crate) plain: Vec<SocketAddr>,
    /// TLS.
    pub(crate) tls: Vec<SocketAddr>,
    /// QUIC.
    pub(crate) quic: Vec<SocketAddr>,
}

/// A UDP socket for one thread.
#[derive(Debug)]
pub(super) struct Datagrams {
    pub(super) socket: UdpSocket,
    pub(super) is_wildcard: bool,
}

const PLAIN: &str = "[dns] listen";
const TLS: &str = "[dns.tls] listen";
const QUIC: &str = "[dns.quic] listen";

/// Binds the ports of `[dns] listen`, and those of TLS and QUIC if configured.
pub(crate) fn bind(dns: &config::DnsConfig) -> Result<BoundPorts, BindError> {
    let threads = threads_of_one(dns);
    let mut bound = BoundPorts { batch: dns.udp_batch, ..BoundPorts::default() };
    let mut absent = None;
    for &address in &dns.listen {
        if dns.listen_is_default && address::is_absent(address.ip()) {
            info!("not listening on {address} (default of `{PLAIN}`): no network interface has this address");
            absent = Some(address);
            continue;
        }
        let (tcp, udp) = bind_both(address, threads, fragments(dns))?;
        bound.addresses.plain.extend(tcp.addresses());
        bound.tcp.extend(tcp);
        bound.udp.extend(udp);
    }
    if let (Some(address), true) = (absent, bound.tcp.addresses().is_empty()) {
        return Err(BindError::new(address, SocketKind::Tcp, PLAIN, io::ErrorKind::AddrNotAvailable.into()));
    }
    if let Some(encrypted) = &dns.encrypted {
        bound.tls = listen::bind(&encrypted.tls, TLS)?;
        bound.quic = listen::bind_quic(&encrypted.quic, QUIC)?;
        bound.addresses.tls = bound.tls.addresses().to_vec();
        bound.addresses.quic = bound.quic.addresses().to_vec();
    }
    Ok(bound)
}

/// RFC 9715 §3.1: replies of the default payload fit any link, and are not fragmented. If the operator sets a larger payload,
/// the network has a larger MTU, or fragments are acceptable.
pub(super) fn fragments(dns: &config::DnsConfig) -> Fragments {
    if dns.udp_payload <= config::UDP_PAYLOAD_DEFAULT { Fragments::Never } else { Fragments::Allowed }
}

/// The UDP threads of all addresses together.
pub(crate) fn udp_threads(dns: &config::DnsConfig) -> usize {
    threads_of_one(dns) * dns.listen.len()
}

/// The UDP threads of one address.
fn threads_of_one(dns: &config::DnsConfig) -> usize {
    dns.udp_threads.unwrap_or_else(work::cores).max(1)
}

/// Binds one port for both transports. TCP is first, because binding it fails if a second server of ours has the port.
fn bind_both(
    address: SocketAddr,
    threads: usize,
    fragments: Fragments,
) -> Result<(listen::BoundListeners, Vec<Datagrams>), BindError> {
    let mut tries = 0;
    loop {
        tries += 1;
        let tcp = listen::bind(&[address], PLAIN)?;
        let taken = tcp.addresses()[0];
        let udp: io::Result<Vec<_>> = (0..threads).map(|_| bind_udp(taken, fragments)).collect();
        match udp {
            Ok(udp) => return Ok((tcp, udp)),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && address.port() == 0 && tries < MAX_PORT_TRIES => {
            }
            Err(error) => return Err(BindError::new(taken, SocketKind::Udp, PLAIN, error)),
        }
    }
}

fn bind_udp(address: SocketAddr, fragments: Fragments) -> io::Result<Datagrams> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_port(true)?;
    // If the system grants a smaller buffer, there is no error, and the server starts all the same.
    let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER);
    let _ = socket.set_send_buffer_size(SEND_BUFFER);
    let is_wildcard = sys::prepare_udp(socket.as_fd(), address, fragments)?;
    address::allow_absent(&socket, address)?;
    socket.bind(&address.into())?;
    Ok(Datagrams { socket: socket.into(), is_wildcard })
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    #[test]
    fn udp_and_tcp_share_the_port_that_the_system_chose() {
        let bound = bind(&fixture::dns(&["127.0.0.1:0", "[::1]:0"])).unwrap();
        let ports: Vec<u16> = bound.addresses.plain.iter().map(SocketAddr::port).collect();
        assert!(ports.iter().all(|port| *port != 0));
        assert_eq!((bound.tcp.addresses().len(), bound.udp.len()), (2, 4));
        for (at, datagrams) in bound.udp.iter().enumerate() {
            assert_eq!(datagrams.socket.local_addr().unwrap().port(), ports[at / 2]);
        }
    }

    #[test]
    fn a_port_of_our_own_is_told_as_one_of_another_key() {
        let bound = bind(&fixture::dns(&["127.0.0.1:0"])).unwrap();
        let again = bind(&fixture::dns(&[&bound.addresses.plain[0].to_string()])).unwrap_err();
        assert_eq!(again.transport, SocketKind::Tcp);
        assert_eq!(again.holder.as_ref().map(|holder| holder.pid), Some(std::process::id()));
        let text = again.to_string();
        let ours = "another key of the configuration has the port";
        assert_eq!(text, format!("failed to listen on {} (TCP): {ours}", bound.addresses.plain[0]));
        assert!(again.help().contains("[dns] listen") && !again.help().contains("stop that process"));
    }

    #[test]
    fn a_port_taken_for_udp_alone_is_noticed() {
        let other = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = other.local_addr().unwrap();
        let error = bind(&fixture::dns(&[&address.to_string()])).unwrap_err();
        assert_eq!((error.address, error.transport), (address, SocketKind::Udp));
    }

    #[test]
    fn a_port_of_an_encrypted_listener_is_told_by_its_option() {
        let bound = bind(&fixture::dns(&["127.0.0.1:0"])).unwrap();
        let taken = bound.addresses.plain[0];
        let [cert, key] = ["cert.pem", "key.pem"].map(|name| config::InputFile::at(name, config::FileUse::Pem));
        let files = config::TlsFiles { cert, key };
        let encrypted = |tls: &[SocketAddr], quic: &[SocketAddr]| {
            let encrypted =
                config::Encrypted { files: files.clone(), tls: tls.to_vec(), https: None, quic: quic.to_vec() };
            bind(&config::DnsConfig { encrypted: Some(encrypted), ..fixture::dns(&["127.0.0.1:0"]) })
        };
        let error = encrypted(&[taken], &[]).unwrap_err();
        assert_eq!((error.transport, error.option), (SocketKind::Tcp, TLS));
        assert!(error.help().contains("[dns.tls] listen"), "{}", error.help());
        let error = encrypted(&[], &[taken]).unwrap_err();
        assert_eq!((error.address, error.transport, error.option), (taken, SocketKind::Udp, QUIC));
        let free: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let bound = encrypted(&[free], &[free]).unwrap();
        let ListenAddresses { tls, quic, .. } = &bound.addresses;
        assert!(tls[0].port() != 0 && quic[0].port() != 0);
    }

    #[test]
    fn an_address_that_comes_later_is_bound_for_udp_and_tcp() {
        let bound = bind(&fixture::dns(&["192.0.2.1:0", "[2001:db8::1]:0"])).unwrap();
        assert_eq!((bound.tcp.addresses().len(), bound.udp.len()), (2, 4));
    }

    #[test]
    fn an_absent_address_is_left_out_if_it_is_a_default() {
        let of = |listen: &[&str]| bind(&config::DnsConfig { listen_is_default: true, ..fixture::dns(listen) });
        let bound = of(&["127.0.0.1:0", "[2001:db8::1]:0"]).unwrap();
        assert_eq!((bound.tcp.addresses().len(), bound.addresses.plain.len()), (1, 1));
        let error = of(&["192.0.2.1:0"]).unwrap_err();
        assert!(error.to_string().ends_with("no network interface has this address"), "{error}");
        assert!(error.help().contains("ip address"));
    }
}
