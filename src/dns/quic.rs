//! QUIC: connections whose every stream is one query and its answer.
//!
//! quinn has the transport; here are who may connect, what a stream may hold, and when a connection ends. A handshake is
//! a task of its own, so a slow one delays nobody. Handshakes of addresses that may be forged are few: beyond
//! [`MAX_UNPROVEN`] of them a client first shows, by a Retry, that it receives what is sent to it (RFC 9000 §8.1.2), and
//! then has a place among all clients before its handshake goes on.
//!
//! 0-RTT stays off: a replayed query changes nothing here, but its answer would go, three times as long and more, to an
//! address that nobody has proven; and a resolver keeps its connection anyway. Resumption with tickets works.
//!
//! **Invariants**: a query is read only to [`MAX_QUERY_LEN`]; every wait has an end; an answer is acknowledged, or given
//! up, before its connection is closed in good order.
//! **Not here**: limits ([`crate::clients`]), certificates ([`crate::tls`]), what to answer ([`crate::wire`]).
//!
//! RFC 9250: §4.1 (connections), §4.2 (streams and IDs), §4.3 (errors), §5.5 (lifetime).

use std::io;
use std::net::UdpSocket;
use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::QuicServerConfig;
use quinn::{
    Connection, ConnectionError, Endpoint, EndpointConfig, Incoming, ReadToEndError, RecvStream, SendStream,
    ServerConfig, TokioRuntime, TransportConfig, VarInt,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::stream::{MESSAGE_TIMEOUT, ROOM, WRITE_TIMEOUT};
use super::{Engine, HANDSHAKE_TIMEOUT};
use crate::answer::Keepalive;
use crate::clients::{Clients, Place, Stage};
use crate::telemetry::dns::{Closed, Count, Dns as Counters, Lost, Shared};
use crate::tls::Tls;
use crate::wire::{self, Peer, Transport};

/// The longest query, in octets; the same as over UDP. A hundred streams at once are 400 KB.
const MAX_QUERY_LEN: usize = 4096;

/// Queries at once on one connection (RFC 9250 §5.6 leaves it to us); answers take no time but the network's.
const MAX_STREAMS: u32 = 100;

/// What may be under way to us on one connection, in octets.
const RECEIVE_WINDOW: u32 = 64 << 10;

/// What may wait for a client's acknowledgement on one connection, in octets: a few of the longest answers.
const SEND_WINDOW: u64 = 256 << 10;

/// Handshakes at once with addresses that may be forged.
const MAX_UNPROVEN: usize = 64;

/// Connections that may wait to be looked at.
const MAX_INCOMING: usize = 1024;

/// What may wait with them, in octets: for one, a long ClientHello; for all of them.
const INCOMING_BUFFERS: [u64; 2] = [16 << 10, 4 << 20];

/// How long the word that a connection is closed may take to leave.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(250);

/// The octets of a length (RFC 9250 §4.2).
const PREFIX: usize = 2;

/// DOQ_NO_ERROR and the others of RFC 9250 §4.3.
const NO_ERROR: VarInt = VarInt::from_u32(0);
const PROTOCOL_ERROR: VarInt = VarInt::from_u32(2);
const REQUEST_CANCELLED: VarInt = VarInt::from_u32(3);
const EXCESSIVE_LOAD: VarInt = VarInt::from_u32(4);
const UNSPECIFIED_ERROR: VarInt = VarInt::from_u32(5);

/// The sockets and their connections.
#[derive(Debug, Default)]
pub(super) struct Endpoints {
    endpoints: Vec<Endpoint>,
    config: Option<ServerConfig>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Endpoints {
    /// Starts to accept.
    pub(super) fn start(
        sockets: Vec<UdpSocket>,
        tls: &Tls,
        engine: &Engine,
        clients: &Arc<Clients>,
        counters: &Arc<Counters>,
    ) -> io::Result<Self> {
        let config = config(tls, clients.idle())?;
        let mut all = Endpoints { config: Some(config.clone()), ..Endpoints::default() };
        let shared = counters.shared();
        let unproven = Arc::new(Semaphore::new(MAX_UNPROVEN));
        for socket in sockets {
            let runtime = Arc::new(TokioRuntime);
            let endpoint = Endpoint::new(EndpointConfig::default(), Some(config.clone()), socket, runtime)?;
            let acceptor = Acceptor {
                endpoint: endpoint.clone(),
                unproven: unproven.clone(),
                engine: engine.clone(),
                clients: clients.clone(),
                counters: counters.clone(),
                shared: shared.clone(),
                tasks: all.tasks.clone(),
                stop: all.stop.clone(),
            };
            all.tasks.spawn(acceptor.run());
            all.endpoints.push(endpoint);
        }
        Ok(all)
    }

    /// Tells new connections for how long they may be silent.
    pub(super) fn set_idle(&self, idle: Duration) {
        let Some(config) = &self.config else { return };
        for endpoint in &self.endpoints {
            let mut config = config.clone();
            config.transport_config(transport(idle));
            endpoint.set_server_config(Some(config));
        }
    }

    /// Accepts no more, lets connections finish what has begun, and closes what is left after `grace`.
    pub(super) async fn stop(self, grace: Duration) {
        self.stop.cancel();
        for endpoint in &self.endpoints {
            endpoint.set_server_config(None);
        }
        self.tasks.close();
        if timeout(grace, self.tasks.wait()).await.is_err() {
            for endpoint in &self.endpoints {
                endpoint.close(NO_ERROR, b"");
            }
        }
        for endpoint in &self.endpoints {
            let _ = timeout(CLOSE_TIMEOUT, endpoint.wait_idle()).await;
        }
    }
}

fn config(tls: &Tls, idle: Duration) -> io::Result<ServerConfig> {
    let crypto = QuicServerConfig::try_from(tls.config()).map_err(io::Error::other)?;
    let mut config = ServerConfig::with_crypto(Arc::new(crypto));
    let [each, all] = INCOMING_BUFFERS;
    config
        .transport_config(transport(idle))
        .max_incoming(MAX_INCOMING)
        .incoming_buffer_size(each)
        .incoming_buffer_size_total(all);
    Ok(config)
}

fn transport(idle: Duration) -> Arc<TransportConfig> {
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(MAX_STREAMS.into())
        // RFC 9250 §4.2: queries come on bidirectional streams, and nothing else comes.
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .datagram_receive_buffer_size(None)
        .stream_receive_window(VarInt::from_u32((PREFIX + MAX_QUERY_LEN) as u32))
        .receive_window(VarInt::from_u32(RECEIVE_WINDOW))
        .send_window(SEND_WINDOW)
        // RFC 9250 §5.5.2. Ten minutes are the most it can be: `config::limits`.
        .max_idle_timeout(idle.try_into().ok());
    Arc::new(transport)
}

/// One socket.
struct Acceptor {
    endpoint: Endpoint,
    unproven: Arc<Semaphore>,
    engine: Engine,
    clients: Arc<Clients>,
    counters: Arc<Counters>,
    shared: Shared,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// What a handshake has besides itself.
enum Ticket {
    /// Its address is proven.
    Place(Place),
    /// It is one of the few whose address may be forged.
    Unproven { _permit: OwnedSemaphorePermit },
}

impl Acceptor {
    async fn run(mut self) {
        loop {
            let incoming = tokio::select! {
                biased;
                () = self.stop.cancelled() => return,
                incoming = self.endpoint.accept() => incoming,
            };
            match incoming {
                Some(incoming) => self.admit(incoming),
                None => return,
            }
        }
    }

    fn admit(&mut self, incoming: Incoming) {
        let ticket = if incoming.remote_address_validated() {
            match self.clients.admit(incoming.remote_address().ip(), Stage::Handshake) {
                Ok(place) => Ticket::Place(place),
                Err(_) => {
                    self.shared.over_client_limit();
                    return incoming.refuse();
                }
            }
        } else {
            match self.unproven.clone().try_acquire_owned() {
                Ok(permit) => Ticket::Unproven { _permit: permit },
                Err(_) => {
                    // It may: its address is not validated.
                    let _ = incoming.retry();
                    return;
                }
            }
        };
        let (engine, clients, stop) = (self.engine.clone(), self.clients.clone(), self.stop.clone());
        let (counters, mut shared) = (self.counters.clone(), self.shared.clone());
        self.tasks.spawn(async move {
            let open = counters.connections.hold();
            let served = async {
                let connection = shake_hands(incoming, &ticket, &stop).await?;
                let Some(place) = seat(ticket, &clients, &connection) else {
                    connection.close(EXCESSIVE_LOAD, b"");
                    return Ok(());
                };
                place.touch();
                Err(serve(&connection, &place, &engine, &shared, &stop).await)
            };
            let served = served.await;
            drop(open);
            match served {
                Ok(()) => shared.over_client_limit(),
                Err(closed) => shared.closed(closed),
            }
        });
    }
}

/// Begins TLS; until that is done the connection may be given up without harm.
async fn shake_hands(incoming: Incoming, ticket: &Ticket, stop: &CancellationToken) -> Result<Connection, Closed> {
    let connecting = incoming.accept().map_err(|_| Closed::Handshake)?;
    let evicted = async {
        match ticket {
            Ticket::Place(place) => place.evicted().await,
            Ticket::Unproven { .. } => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        done = timeout(HANDSHAKE_TIMEOUT, connecting) => match done {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(_)) | Err(_) => Err(Closed::Handshake),
        },
        () = evicted => Err(Closed::Evicted),
        () = stop.cancelled() => Err(Closed::Stop),
    }
}

/// The place of a connection that is open; none where its client has as many as it may.
fn seat(ticket: Ticket, clients: &Arc<Clients>, connection: &Connection) -> Option<Place> {
    match ticket {
        Ticket::Place(place) => Some(place),
        Ticket::Unproven { .. } => clients.admit(connection.remote_address().ip(), Stage::Handshake).ok(),
    }
}

/// Answers stream by stream, until either side ends it.
async fn serve(
    connection: &Connection,
    place: &Place,
    engine: &Engine,
    counters: &Shared,
    stop: &CancellationToken,
) -> Closed {
    let mut exchanges = JoinSet::new();
    let mut active = Instant::now();
    let (closed, code) = loop {
        tokio::select! {
            biased;
            // What has arrived is answered, whatever else is the matter.
            accepted = connection.accept_bi() => match accepted {
                Ok((send, receive)) => {
                    let peer = Peer { address: connection.remote_address().ip(), transport: Transport::Quic };
                    exchanges.spawn(exchange(send, receive, peer, engine.clone(), counters.clone()));
                }
                Err(ConnectionError::TimedOut) => return Closed::Idle,
                Err(_) => return Closed::Client,
            },
            Some(done) = exchanges.join_next(), if !exchanges.is_empty() => {
                if let Ok(Exchange::Violation) = done {
                    break (Closed::Violation, PROTOCOL_ERROR);
                }
                active = Instant::now();
                place.touch();
            }
            () = place.evicted() => break (Closed::Evicted, EXCESSIVE_LOAD),
            () = stop.cancelled(), if exchanges.is_empty() => break (Closed::Stop, NO_ERROR),
            () = sleep_until(active + place.idle()), if exchanges.is_empty() => break (Closed::Idle, NO_ERROR),
        }
    };
    connection.close(code, b"");
    closed
}

/// How the exchange on a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exchange {
    /// The answer has arrived, or its time is over.
    Answered,
    /// There was no query, as far as we know.
    Abandoned,
    /// The client did what RFC 9250 §4.3.3 ends a connection for.
    Violation,
}

/// Reads a query to the end of its stream, and answers it.
async fn exchange(
    mut send: SendStream,
    mut receive: RecvStream,
    peer: Peer,
    engine: Engine,
    mut counters: Shared,
) -> Exchange {
    let give_up = |send: &mut SendStream, code| {
        // It may be over already.
        let _ = send.reset(code);
        Exchange::Abandoned
    };
    let octets = match timeout(MESSAGE_TIMEOUT, receive.read_to_end(PREFIX + MAX_QUERY_LEN)).await {
        Ok(Ok(octets)) => octets,
        Ok(Err(ReadToEndError::TooLong)) => {
            counters.lost(Lost::TooLong, 1);
            let _ = receive.stop(EXCESSIVE_LOAD);
            return give_up(&mut send, EXCESSIVE_LOAD);
        }
        Ok(Err(ReadToEndError::Read(_))) => return give_up(&mut send, REQUEST_CANCELLED),
        Err(_) => {
            let _ = receive.stop(UNSPECIFIED_ERROR);
            return give_up(&mut send, UNSPECIFIED_ERROR);
        }
    };
    let Some(message) = only_message(&octets) else { return Exchange::Violation };
    counters.query(&peer);
    let Some(answer) = answer(message, peer, &engine, &mut counters) else {
        counters.lost(Lost::Unanswerable, 1);
        return Exchange::Violation;
    };
    let sent = async {
        send.write_all(&answer).await.ok()?;
        send.finish().ok()?;
        // Closing the connection throws away what has not been acknowledged.
        send.stopped().await.ok()
    };
    match timeout(WRITE_TIMEOUT, sent).await {
        Ok(_) => Exchange::Answered,
        Err(_) => give_up(&mut send, UNSPECIFIED_ERROR),
    }
}

/// RFC 9250 §4.2, §4.3.3: one message with its length, all of it there, and nothing behind it.
fn only_message(octets: &[u8]) -> Option<&[u8]> {
    let (length, message) = octets.split_first_chunk::<PREFIX>()?;
    (message.len() == usize::from(u16::from_be_bytes(*length))).then_some(message)
}

/// The answer with its length before it; none where the message is none that a client may send over QUIC.
fn answer(message: &[u8], peer: Peer, engine: &Engine, counters: &mut Shared) -> Option<Vec<u8>> {
    let query = wire::decode(message)?;
    // RFC 9250 §4.2.1: the ID is 0. §5.5.2: no keepalive option.
    if query.id != 0 || query.edns.is_some_and(|edns| edns.keepalive != Keepalive::No) {
        return None;
    }
    let (session, begun) = (engine.begin(), Instant::now());
    ROOM.with_borrow_mut(|room| {
        let reply = session.respond(message, peer, room)?;
        counters.reply(&reply.summary, &session.snapshot);
        counters.took(peer.transport, 1, begun.elapsed());
        // It fits: the room is of the most octets that a length can tell.
        Some([&(reply.len as u16).to_be_bytes(), &room[..reply.len]].concat())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc9250_s4_2_a_stream_is_one_message() {
        assert_eq!(only_message(&[0, 3, 1, 2, 3]), Some(&[1, 2, 3][..]));
        for octets in [&[][..], &[0], &[0, 3, 1, 2], &[0, 3, 1, 2, 3, 4], &[0, 1, 1, 0, 1, 1]] {
            assert_eq!(only_message(octets), None, "{octets:?}");
        }
    }

    #[test]
    fn rfc9000_s10_1_ten_minutes_of_silence_can_be_told() {
        assert!(quinn::IdleTimeout::try_from(*crate::config::limits::TCP_IDLE.end()).is_ok());
    }
}
