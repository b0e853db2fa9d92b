//! Listening: ports taken first, connections accepted later.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};

use super::{BACKLOG, Handler, Shared, connection};
use crate::clients::{Place, Stage};
use crate::process::{Holder, Transport, address, port_holder};

/// How long to wait when no connection can be accepted, for want of file descriptors or memory: the connection stays
/// in the queue, and asking again at once would only burn the core that is to free some.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Ports that are taken and not yet answered on.
#[derive(Debug)]
pub struct Bound {
    pub(super) listeners: Vec<std::net::TcpListener>,
    addresses: Vec<SocketAddr>,
}

impl Bound {
    /// The addresses, in the order asked for, with the ports that the system chose for port 0.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }
}

/// Why we cannot listen.
#[derive(Debug)]
pub struct BindError {
    /// Where.
    pub address: SocketAddr,
    /// What the system said.
    pub error: io::Error,
    /// Who has the port, where that is the trouble and can be known.
    pub holder: Option<Holder>,
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reason = address::reason(&self.error, self.holder.as_ref());
        write!(f, "failed to listen on {} (TCP): {reason}", self.address)
    }
}

impl std::error::Error for BindError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

impl BindError {
    fn new(address: SocketAddr, error: io::Error) -> Self {
        let in_use = error.kind() == io::ErrorKind::AddrInUse;
        let holder = if in_use { port_holder(address, Transport::Tcp) } else { None };
        BindError { address, error, holder }
    }

    /// What to do about it.
    pub fn help(&self) -> String {
        address::remedy(self.address, "listen", &self.error, self.holder.as_ref())
    }
}

/// Takes the ports.
pub fn bind(listen: &[SocketAddr]) -> Result<Bound, BindError> {
    let mut bound = Bound { listeners: Vec::new(), addresses: Vec::new() };
    for &address in listen {
        let taken = bind_one(address).and_then(|listener| Ok((listener.local_addr()?, listener)));
        let (local, listener) = taken.map_err(|error| BindError::new(address, error))?;
        bound.addresses.push(local);
        bound.listeners.push(listener);
    }
    Ok(bound)
}

fn bind_one(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restart must not wait for connections of the last run to be forgotten.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        // `[::]` and `0.0.0.0` can then both be listed, and an IPv4 client is never seen in IPv6 form.
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    address::allow_absent(&socket, address)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Accepts connections until the server stops.
pub(super) async fn accept<H: Handler>(listener: std::net::TcpListener, shared: Arc<Shared<H>>) {
    let stop = shared.stop.clone();
    let accepting = async {
        match TcpListener::from_std(listener) {
            Ok(listener) => accept_all(listener, &shared).await,
            Err(error) => tracing::error!(%error, "HTTP connections cannot be accepted on an address"),
        }
    };
    // The listener is dropped with the future: the port is free from then on.
    let _ = stop.run_until_cancelled(accepting).await;
}

async fn accept_all<H: Handler>(listener: TcpListener, shared: &Arc<Shared<H>>) {
    let mut condition = Condition::Well;
    while let Ok(room) = shared.room.clone().acquire_owned().await {
        match listener.accept().await {
            Ok((stream, peer)) => {
                if condition == Condition::Failing {
                    tracing::info!("HTTP connections are accepted again");
                    condition = Condition::Well;
                }
                let place = match shared.clients.as_ref().map(|clients| clients.admit(peer.ip(), Stage::Handshake)) {
                    Some(Ok(place)) => Some(place),
                    // The client has as many as it may.
                    Some(Err(_)) => continue,
                    None => None,
                };
                shared.counters.accepted.increment();
                let serving = serve(stream, peer, place, shared.clone());
                shared.tasks.spawn(async move {
                    serving.await;
                    drop(room);
                });
            }
            // The client went away while it was queued; the next one is none the worse for it.
            Err(error) if is_of_one_client(&error) => {}
            Err(error) => {
                shared.counters.accept_errors.increment();
                if condition == Condition::Well {
                    tracing::warn!(%error, "HTTP connections cannot be accepted at present");
                    condition = Condition::Failing;
                }
                if let Some(clients) = &shared.clients {
                    clients.evict_idlest();
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Whether accepting works; its changes are logged, not each failure.
#[derive(Clone, Copy, PartialEq)]
enum Condition {
    Well,
    Failing,
}

fn is_of_one_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

async fn serve<H: Handler>(stream: TcpStream, peer: SocketAddr, place: Option<Place>, shared: Arc<Shared<H>>) {
    let _open = shared.counters.connections.hold();
    // Responses are single small writes, for which Nagle's algorithm only waits.
    let _ = stream.set_nodelay(true);
    let place = place.map(Arc::new);
    let evicted = async {
        match &place {
            Some(place) => place.evicted().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        () = connection::serve(stream, peer.ip(), place.clone(), &shared) => {}
        () = shared.cut.cancelled() => {}
        () = evicted => {}
    }
}
