//! QUIC endpoints: connections whose transport quinn has, under the limits of all listeners.
//!
//! A client first shows by a Retry that it receives packets at its address (RFC 9000 §8.1.2), and then has a place before
//! its handshake begins. quinn would answer a handshake of an address that may be forged with up to a datagram more than
//! three times the bytes received (§8.1 allows no more than three times), and would keep state for it. A Retry is a tenth of
//! the packet it answers and keeps no state. It costs a resolver a round trip for each new connection; a resolver keeps its
//! connections.
//!
//! 0-RTT stays off: a replayed query changes nothing here, but its answer would go, three times as long and more, to an
//! address that may be forged; and a resolver keeps its connection anyway. Resumption with tickets works.
//!
//! **Invariants**: an address that is not validated gets fewer bytes than it sent; a connection has its place before a
//! task exists for it; an evicted connection is closed at once.
//! **Not here**: streams and messages ([`crate::dns`]).

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::QuicServerConfig;
use quinn::{
    Connection, Endpoint, EndpointConfig, Incoming, Runtime as _, ServerConfig, TokioRuntime, TransportConfig, VarInt,
};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::bind::BoundQuic;
use super::clients::{Clients, ConnectionPeer, ConnectionPlace, PER_CONNECTION};
use super::quic_socket::QuicSocket;
use super::{Closed, Common, Event, HANDSHAKE_TIMEOUT, Protocol};
use crate::tls::Tls;

/// Streams at once on one connection: each is a request.
const MAX_STREAMS: u32 = 100;

/// Bytes that may be in flight to us on one connection.
const RECEIVE_WINDOW: u32 = 64 << 10;

/// Connections that may wait to be looked at.
const MAX_INCOMING: usize = 1024;

/// Bytes that may wait with them: for one, a long ClientHello; for all of them.
const INCOMING_BUFFERS: [u64; 2] = [16 << 10, 4 << 20];

/// The longest time that the notice of a closed connection may take to leave.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(250);

/// The properties of an endpoint.
#[derive(Clone, Debug)]
pub(crate) struct QuicTerms {
    /// The group whose limits hold.
    pub(crate) clients: Arc<Clients>,
    /// The certificate and the application protocols.
    pub(crate) tls: Arc<Tls>,
    /// The most bytes of a request.
    pub(crate) max_request_len: u32,
    /// The code to close a connection with whose place another needs.
    pub(crate) overload: VarInt,
    /// The code to close a connection with when the server stops.
    pub(crate) stopped: VarInt,
    /// Shared by all listeners.
    pub(crate) common: Common,
}

/// A connection that has its place and has completed its handshake.
#[derive(Debug)]
pub(crate) struct QuicConnection {
    /// Its streams.
    pub(crate) connection: Connection,
    /// The address of this server that the client has asked.
    pub(crate) local: SocketAddr,
    /// Its place; a service touches it when a request is complete.
    pub(crate) place: Arc<ConnectionPlace>,
    /// Cancelled when the connection must not wait for new requests.
    pub(crate) stop: CancellationToken,
}

/// Endpoints and their connections.
#[derive(Debug)]
pub(crate) struct Endpoints {
    endpoints: Vec<Endpoint>,
    terms: QuicTerms,
    config: ServerConfig,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Endpoints {
    /// Starts to accept; needs a tokio runtime with time and network.
    pub(crate) fn start<S: Protocol<QuicConnection>>(
        bound: BoundQuic,
        terms: QuicTerms,
        service: S,
    ) -> io::Result<Self> {
        let config = config(&terms)?;
        let mut all = Endpoints {
            endpoints: Vec::new(),
            terms,
            config,
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        };
        let service = Arc::new(service);
        let Common { vital, groups } = all.terms.common.clone();
        groups.add(&all.terms.clients);
        for socket in bound.sockets {
            let runtime = Arc::new(TokioRuntime);
            let socket = Arc::new(QuicSocket(runtime.wrap_udp_socket(socket)?));
            let server = Some(all.config.clone());
            let endpoint = Endpoint::new_with_abstract_socket(EndpointConfig::default(), server, socket, runtime)?;
            let acceptor = QuicAcceptor {
                endpoint: endpoint.clone(),
                terms: all.terms.clone(),
                service: service.clone(),
                tasks: all.tasks.clone(),
                stop: all.stop.clone(),
            };
            let name = "acceptor of QUIC connections".into();
            all.tasks.spawn(vital.guard_until(all.stop.clone(), name, acceptor.run()));
            all.endpoints.push(endpoint);
        }
        Ok(all)
    }

    /// Applies the current idle limit to new connections.
    pub(crate) fn renew_idle(&self) {
        for endpoint in &self.endpoints {
            let mut config = self.config.clone();
            config.transport_config(transport(&self.terms));
            endpoint.set_server_config(Some(config));
        }
    }

    /// Stops accepting at once, lets connections finish begun queries, and closes those left after `grace`. Returns
    /// the number of connections that were cut so.
    pub(crate) async fn stop(self, grace: Duration) -> usize {
        self.stop.cancel();
        for endpoint in &self.endpoints {
            endpoint.set_server_config(None);
        }
        self.tasks.close();
        let mut cut = 0;
        if timeout(grace, self.tasks.wait()).await.is_err() {
            cut = self.tasks.len();
            for endpoint in &self.endpoints {
                endpoint.close(self.terms.stopped, b"");
            }
        }
        for endpoint in &self.endpoints {
            let _ = timeout(CLOSE_TIMEOUT, endpoint.wait_idle()).await;
        }
        cut
    }
}

fn config(terms: &QuicTerms) -> io::Result<ServerConfig> {
    let crypto = QuicServerConfig::try_from(terms.tls.config()).map_err(io::Error::other)?;
    let mut config = ServerConfig::with_crypto(Arc::new(crypto));
    let [each, all] = INCOMING_BUFFERS;
    config
        .transport_config(transport(terms))
        .max_incoming(MAX_INCOMING)
        .incoming_buffer_size(each)
        .incoming_buffer_size_total(all);
    Ok(config)
}

fn transport(terms: &QuicTerms) -> Arc<TransportConfig> {
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(MAX_STREAMS.into())
        // RFC 9250 §4.2: queries come on bidirectional streams, and nothing else comes.
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .datagram_receive_buffer_size(None)
        .stream_receive_window(VarInt::from_u32(terms.max_request_len))
        .receive_window(VarInt::from_u32(RECEIVE_WINDOW))
        .send_window(PER_CONNECTION as u64)
        // RFC 9250 §5.5.2. Ten minutes at most: the range of `[dns] tcp-idle`.
        .max_idle_timeout(terms.clients.idle().try_into().ok());
    Arc::new(transport)
}

struct QuicAcceptor<S> {
    endpoint: Endpoint,
    terms: QuicTerms,
    service: Arc<S>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl<S: Protocol<QuicConnection>> QuicAcceptor<S> {
    async fn run(self) {
        while let Some(Some(incoming)) = self.stop.run_until_cancelled(self.endpoint.accept()).await {
            self.admit(incoming);
        }
    }

    fn admit(&self, incoming: Incoming) {
        if !incoming.remote_address_validated() {
            // It may: its address is not validated.
            let _ = incoming.retry();
            return;
        }
        let Ok(place) = self.terms.clients.admit(ConnectionPeer::Address(incoming.remote_address().ip())) else {
            self.service.note(Event::OverClientLimit);
            return incoming.refuse();
        };
        self.service.note(Event::Accepted);
        // The address of a socket that answers is known.
        let Ok(bound) = self.endpoint.local_addr() else { return incoming.refuse() };
        let (service, terms, stop) = (self.service.clone(), self.terms.clone(), self.stop.clone());
        self.tasks.spawn(async move {
            let open = service.open().hold();
            let closed = serve(incoming, bound, Arc::new(place), &terms, &stop, &service).await;
            drop(open);
            service.note(Event::Ended(closed));
        });
    }
}

async fn serve<S: Protocol<QuicConnection>>(
    incoming: Incoming,
    bound: SocketAddr,
    place: Arc<ConnectionPlace>,
    terms: &QuicTerms,
    stop: &CancellationToken,
    service: &Arc<S>,
) -> Closed {
    let Ok(connecting) = incoming.accept() else { return Closed::Handshake };
    let connection = tokio::select! {
        biased;
        done = timeout(HANDSHAKE_TIMEOUT, connecting) => match done {
            Ok(Ok(connection)) => connection,
            Ok(Err(_)) | Err(_) => return Closed::Handshake,
        },
        () = place.evicted() => return Closed::Evicted,
        () = stop.cancelled() => return Closed::Stop,
    };
    place.touch();
    let local = SocketAddr::new(connection.local_ip().unwrap_or(bound.ip()), bound.port());
    let accepted = QuicConnection { connection: connection.clone(), local, place: place.clone(), stop: stop.clone() };
    tokio::select! {
        biased;
        closed = service.clone().serve(accepted) => closed,
        () = place.evicted() => {
            connection.close(terms.overload, b"");
            Closed::Evicted
        }
    }
}
