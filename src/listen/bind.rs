//! Taking ports before anything else starts, so that failure is an error message and port 0 works.
//!
//! **Invariants**: a [`BoundListeners`] can be served only by [`super::Listeners::start`], and a [`BoundQuic`] only by
//! [`super::Endpoints::start`], both of which take limits; a TCP port is not shared, so that a second server on it fails.
//! **Not here**: datagrams of plain DNS ([`crate::dns`]), the path of a Unix socket ([`crate::control`]).

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::unix::net::UnixListener;

use socket2::{Domain, Protocol, Socket, Type};

use crate::process::{Holder, SocketKind, address, port_holder};

/// Connections that may wait to be accepted; the system cuts it to `net.core.somaxconn`, 4096 nearly everywhere.
const BACKLOG: i32 = 1024;

/// The bytes of datagrams that may wait for a QUIC endpoint, as asked of the system, which grants `net.core.rmem_max`.
const RECEIVE_BUFFER: usize = 4 << 20;

/// The bytes of datagrams that may wait for the network card.
const SEND_BUFFER: usize = 1 << 20;

/// Ports that are taken and not yet answered on.
#[derive(Debug, Default)]
pub struct BoundListeners {
    pub(super) sockets: Vec<Listening>,
    addresses: Vec<SocketAddr>,
}

/// A socket that connections can be accepted from.
#[derive(Debug)]
pub(super) enum Listening {
    Tcp(TcpListener),
    Local(UnixListener),
}

impl BoundListeners {
    /// A Unix socket that its owner has put in place.
    pub(crate) fn local(socket: UnixListener) -> Self {
        BoundListeners { sockets: vec![Listening::Local(socket)], addresses: Vec::new() }
    }

    /// The addresses, in the order asked for, with the ports that the system chose for port 0.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Adds the ports of another.
    pub(crate) fn extend(&mut self, other: BoundListeners) {
        self.sockets.extend(other.sockets);
        self.addresses.extend(other.addresses);
    }
}

/// UDP ports for QUIC that are taken and not yet answered on.
#[derive(Debug, Default)]
pub(crate) struct BoundQuic {
    pub(super) sockets: Vec<UdpSocket>,
    addresses: Vec<SocketAddr>,
}

impl BoundQuic {
    /// The addresses, as those of [`BoundListeners`].
    pub(crate) fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }
}

/// Takes TCP ports; `option` is the key of the config that names them.
pub fn bind(listen: &[SocketAddr], option: &'static str) -> Result<BoundListeners, BindError> {
    let mut bound = BoundListeners::default();
    for &address in listen {
        let taken = bind_tcp(address).and_then(|socket| Ok((socket.local_addr()?, socket)));
        let (taken, socket) = taken.map_err(|error| BindError::new(address, SocketKind::Tcp, option, error))?;
        bound.addresses.push(taken);
        bound.sockets.push(Listening::Tcp(socket));
    }
    Ok(bound)
}

/// Takes UDP ports for QUIC; `option` is the key of the config that names them.
pub(crate) fn bind_quic(listen: &[SocketAddr], option: &'static str) -> Result<BoundQuic, BindError> {
    let mut bound = BoundQuic::default();
    for &address in listen {
        let taken = bind_udp(address).and_then(|socket| Ok((socket.local_addr()?, socket)));
        let (taken, socket) = taken.map_err(|error| BindError::new(address, SocketKind::Udp, option, error))?;
        bound.addresses.push(taken);
        bound.sockets.push(socket);
    }
    Ok(bound)
}

fn bind_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    only_one_family(&socket, address)?;
    // Connections of the process before us, still in TIME_WAIT, are not in the way.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    address::allow_absent(&socket, address)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// One socket for an address: all packets of a connection must come to the endpoint that has its keys.
fn bind_udp(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    only_one_family(&socket, address)?;
    // Less than asked is granted without an error, and is no reason not to serve.
    let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER);
    let _ = socket.set_send_buffer_size(SEND_BUFFER);
    socket.set_nonblocking(true)?;
    address::allow_absent(&socket, address)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// `[::]` and `0.0.0.0` can then both be listed, and an IPv4 client is never seen in IPv6 form.
fn only_one_family(socket: &Socket, address: SocketAddr) -> io::Result<()> {
    if address.is_ipv6() { socket.set_only_v6(true) } else { Ok(()) }
}

/// The reason why the server cannot listen.
#[derive(Debug)]
pub struct BindError {
    /// The listen address.
    pub(crate) address: SocketAddr,
    /// The kind of socket.
    pub(crate) transport: SocketKind,
    /// The key of the config that names the address.
    pub(crate) option: &'static str,
    /// The error of the system.
    pub(crate) error: io::Error,
    /// The process that has the port, if that is the reason and the process is known.
    pub(crate) holder: Option<Holder>,
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reason = address::reason(&self.error, self.holder.as_ref());
        write!(f, "failed to listen on {} ({}): {reason}", self.address, self.transport)
    }
}

impl std::error::Error for BindError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

impl BindError {
    /// The error of a socket; `option` names the key that has the address.
    pub(crate) fn new(address: SocketAddr, transport: SocketKind, option: &'static str, error: io::Error) -> Self {
        let in_use = error.kind() == io::ErrorKind::AddrInUse;
        let holder = if in_use { port_holder(address, transport) } else { None };
        BindError { address, transport, option, error, holder }
    }

    /// The remedy.
    pub fn help(&self) -> String {
        address::remedy(self.address, self.option, &self.error, self.holder.as_ref())
    }
}
