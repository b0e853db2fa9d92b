//! Accepting connections: one task each, with TLS where the listener has it.
//!
//! A handshake is the first part of a connection's own task, so that a slow one delays no other connection. The connection
//! has a place by then, so that there are never more handshakes than places.
//!
//! **Invariants**: a temporary error of `accept` never ends a listener and never makes it spin; an error that means that the
//! socket is unusable ends the process; a connection has its place before a task exists for it; an evicted connection ends
//! at once, whatever it waits for.
//! **Not here**: requests and answers ([`crate::dns`], [`crate::http`], [`crate::control`]).

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, UnixListener};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::either::Either;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, info, warn};

use super::bind::{BoundListeners, Listening};
use super::clients::{Clients, ConnectionPeer, ConnectionPlace};
use super::stream::{Stream, StreamSocket, TLS_BUFFER};
use super::{Closed, Common, Connection, Event, HANDSHAKE_TIMEOUT, Protocol};
use crate::base::ends::SocketEnds;
use crate::tls::Tls;

/// The pause of a listener when the system has no descriptor or memory left; the connections wait in its queue.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

/// The properties of a listener.
#[derive(Clone, Debug)]
pub struct Terms {
    /// The kind of connections, for the log.
    pub kind: &'static str,
    /// The group whose limits hold.
    pub clients: Arc<Clients>,
    /// `None` if connections are in the clear.
    pub tls: Option<Arc<Tls>>,
    /// Shared by all listeners.
    pub common: Common,
}

/// Listeners and their connections.
#[derive(Debug)]
pub struct Listeners {
    tasks: TaskTracker,
    stop: CancellationToken,
    cut: CancellationToken,
}

impl Listeners {
    /// Starts to accept; needs a tokio runtime with time and network.
    pub(crate) fn start<S: Protocol>(bound: BoundListeners, terms: Terms, service: S) -> io::Result<Self> {
        let sockets = bound.sockets.into_iter().map(Accepting::new).collect::<io::Result<Vec<_>>>()?;
        let all =
            Listeners { tasks: TaskTracker::new(), stop: CancellationToken::new(), cut: CancellationToken::new() };
        let service = Arc::new(service);
        let Common { vital, groups } = &terms.common;
        groups.add(&terms.clients);
        for socket in sockets {
            let acceptor = Acceptor {
                terms: terms.clone(),
                service: service.clone(),
                tasks: all.tasks.clone(),
                stop: all.stop.clone(),
                cut: all.cut.clone(),
            };
            let name = format!("acceptor of {} connections", terms.kind).into();
            all.tasks.spawn(vital.guard_until(all.stop.clone(), name, acceptor.run(socket)));
        }
        Ok(all)
    }

    /// Stops accepting at once, lets connections finish begun requests, and closes those left after `grace`. Returns
    /// the number of connections that were cut so.
    pub async fn stop(self, grace: Duration) -> usize {
        self.stop.cancel();
        self.tasks.close();
        if timeout(grace, self.tasks.wait()).await.is_ok() {
            return 0;
        }
        let connections = self.tasks.len();
        self.cut.cancel();
        self.tasks.wait().await;
        connections
    }
}

/// A socket that accepts within the runtime.
enum Accepting {
    Tcp(TcpListener),
    Local(UnixListener),
}

impl Accepting {
    fn new(socket: Listening) -> io::Result<Self> {
        Ok(match socket {
            Listening::Tcp(socket) => Accepting::Tcp(TcpListener::from_std(socket)?),
            Listening::Local(socket) => Accepting::Local(UnixListener::from_std(socket)?),
        })
    }

    async fn accept(&self) -> io::Result<(StreamSocket, ConnectionPeer, Option<SocketEnds>)> {
        match self {
            Accepting::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                // An answer is one write, which gains nothing from waiting for more. If this fails, answers are only slower.
                let _ = stream.set_nodelay(true);
                let ends = SocketEnds { peer, local: stream.local_addr()? };
                Ok((Either::Left(stream), ConnectionPeer::Address(peer.ip()), Some(ends)))
            }
            Accepting::Local(listener) => {
                let (stream, _) = listener.accept().await?;
                let user = stream.peer_cred()?.uid();
                Ok((Either::Right(Either::Right(stream)), ConnectionPeer::User(user), None))
            }
        }
    }
}

struct Acceptor<S> {
    terms: Terms,
    service: Arc<S>,
    tasks: TaskTracker,
    stop: CancellationToken,
    cut: CancellationToken,
}

impl<S: Protocol> Acceptor<S> {
    /// Accepts until `stop` is cancelled, or until the socket does not listen any more, which ends the process. The socket is
    /// dropped at the end, so that its port is free from then on.
    async fn run(self, socket: Accepting) {
        // The system has no descriptors or memory to accept with. A change is logged, not each failure.
        let (kind, mut is_exhausted) = (self.terms.kind, false);
        while let Some(accepted) = self.stop.run_until_cancelled(socket.accept()).await {
            match accepted {
                Ok((stream, peer, ends)) => {
                    if is_exhausted {
                        info!("{kind} connections are accepted again");
                        is_exhausted = false;
                    }
                    self.admit(stream, peer, ends);
                }
                // accept(2): an error of one connection does not affect the next.
                Err(error) if is_of_one_connection(&error) => self.service.note(Event::AcceptFailed),
                Err(error) if is_of_the_socket(&error) => {
                    error!(%error, "failed to accept {kind} connections: the socket does not listen any more");
                    return;
                }
                Err(error) => {
                    self.service.note(Event::AcceptFailed);
                    if !is_exhausted {
                        warn!(%error, "failed to accept {kind} connections; closing the idlest to make room");
                        is_exhausted = true;
                    }
                    self.terms.common.groups.evict_idlest();
                    self.stop.run_until_cancelled(sleep(EXHAUSTED_PAUSE)).await;
                }
            }
        }
    }

    fn admit(&self, socket: StreamSocket, peer: ConnectionPeer, ends: Option<SocketEnds>) {
        let Ok(place) = self.terms.clients.admit(peer) else {
            self.service.note(Event::OverClientLimit);
            return;
        };
        self.service.note(Event::Accepted);
        let (service, tls, place) = (self.service.clone(), self.terms.tls.clone(), Arc::new(place));
        let (stop, cut) = (self.stop.clone(), self.cut.clone());
        self.tasks.spawn(async move {
            let open = service.open().hold();
            let served = async {
                let socket = match shake_hands(socket, tls, &place, &stop).await {
                    Ok(socket) => socket,
                    Err(closed) => return closed,
                };
                let (stream, place) = (Stream::new(socket, &place), place.clone());
                service.clone().serve(Connection { stream, peer, ends, place, stop }).await
            };
            let closed = tokio::select! {
                biased;
                closed = served => closed,
                () = place.evicted() => Closed::Evicted,
                () = cut.cancelled() => Closed::Stop,
            };
            drop(open);
            service.note(Event::Ended(closed));
        });
    }
}

/// Makes the handshake of a connection if its listener has TLS.
async fn shake_hands(
    socket: StreamSocket,
    tls: Option<Arc<Tls>>,
    place: &ConnectionPlace,
    stop: &CancellationToken,
) -> Result<StreamSocket, Closed> {
    let (tls, stream) = match (tls, socket) {
        (Some(tls), Either::Left(stream)) => (tls, stream),
        (_, socket) => return Ok(socket),
    };
    let handshake = timeout(HANDSHAKE_TIMEOUT, TlsAcceptor::from(tls.config()).accept(stream));
    let shaken = stop.run_until_cancelled(handshake).await.ok_or(Closed::Stop)?;
    let Ok(Ok(mut stream)) = shaken else { return Err(Closed::Handshake) };
    stream.get_mut().1.set_buffer_limit(Some(TLS_BUFFER));
    place.touch();
    Ok(Either::Right(Either::Left(Box::new(stream))))
}

/// Returns whether an error of `accept` is about the connection it would have returned.
fn is_of_one_connection(error: &io::Error) -> bool {
    let exhausted = [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM];
    error.raw_os_error().is_some_and(|code| !exhausted.contains(&code)) && !is_of_the_socket(error)
}

/// Returns whether an error of `accept` will come again for ever.
fn is_of_the_socket(error: &io::Error) -> bool {
    let ours = [libc::EBADF, libc::EINVAL, libc::ENOTSOCK, libc::EOPNOTSUPP, libc::EFAULT];
    error.raw_os_error().is_some_and(|code| ours.contains(&code))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::listen::{BeyondLimit, Limits};
    use crate::process::Vital;
    use crate::telemetry::Gauge;

    /// Panics instead of counting.
    #[derive(Default)]
    struct Faulty(Gauge);

    impl Protocol for Faulty {
        async fn serve(self: Arc<Self>, _: Connection) -> Closed {
            Closed::Client
        }

        fn note(&self, event: Event) {
            assert!(event != Event::Accepted, "a test");
        }

        fn open(&self) -> &Gauge {
            &self.0
        }
    }

    fn listeners(vital: &Vital) -> (std::net::SocketAddr, Listeners) {
        let bound = crate::listen::bind(&["127.0.0.1:0".parse().unwrap()], "a test").unwrap();
        (bound.addresses()[0], start(bound, vital))
    }

    fn start(bound: BoundListeners, vital: &Vital) -> Listeners {
        let idle = Duration::from_secs(10);
        let limits = Limits { connections: 10, per_client: 10, beyond: BeyondLimit::Refuse, idle };
        let common = Common::new(vital.clone());
        let terms = Terms { kind: "test", clients: Clients::new(limits), tls: None, common };
        Listeners::start(bound, terms, Faulty::default()).unwrap()
    }

    #[tokio::test]
    async fn an_acceptor_that_ends_is_reported_and_one_that_is_stopped_is_not() {
        let (vital, mut ends) = Vital::new();
        let (_, stopped) = listeners(&vital);
        assert_eq!(stopped.stop(Duration::from_secs(10)).await, 0);
        let (address, _listeners) = listeners(&vital);
        let _client = tokio::net::TcpStream::connect(address).await.unwrap();
        let ended = tokio::time::timeout(Duration::from_secs(30), ends.next()).await.unwrap();
        assert_eq!(ended.to_string(), "the acceptor of test connections panicked");
    }

    #[tokio::test]
    async fn a_socket_that_does_not_listen_any_more_ends_its_acceptor() {
        let (vital, mut ends) = Vital::new();
        let bound = crate::listen::bind(&["127.0.0.1:0".parse().unwrap()], "a test").unwrap();
        let Listening::Tcp(socket) = &bound.sockets[0] else { panic!("a TCP socket") };
        let shared = socket.try_clone().unwrap();
        let _listeners = start(bound, &vital);
        // As a process that shares the socket can.
        socket2::SockRef::from(&shared).shutdown(std::net::Shutdown::Both).unwrap();
        let ended = tokio::time::timeout(Duration::from_secs(30), ends.next()).await.unwrap();
        assert_eq!(ended.to_string(), "the acceptor of test connections ended");
    }
}
