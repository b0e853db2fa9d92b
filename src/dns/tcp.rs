//! TCP: accepting connections, one task each, with TLS where the listener has it.
//!
//! A handshake is the first thing that a connection's own task does, so a slow one delays nobody, and it counts as a
//! connection, so there are never more of them.
//!
//! **Invariants**: an error of `accept` never ends a listener and never makes it spin; connections are limited before
//! a task exists for them.
//! **Not here**: what goes over a connection ([`super::stream`]), who may connect ([`crate::clients`]), certificates
//! ([`crate::tls`]).
//!
//! RFC 7766, RFC 9210, RFC 7858.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use super::stream::{self, Context};
use super::{Engine, HANDSHAKE_TIMEOUT};
use crate::clients::{Clients, Stage};
use crate::telemetry::dns::{Closed, Count, Dns as Counters, Failure, Shared};
use crate::tls::Tls;
use crate::wire::Transport;

/// How long a listener pauses when the system has nothing left to accept with; the connections wait in its queue.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

/// The listeners and their connections.
#[derive(Debug)]
pub(super) struct Listeners {
    clients: Arc<Clients>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Listeners {
    /// Starts to accept, on some sockets with TLS.
    pub(super) fn start(
        sockets: Vec<(std::net::TcpListener, Option<Arc<Tls>>)>,
        engine: Engine,
        clients: Arc<Clients>,
        counters: Arc<Counters>,
    ) -> io::Result<Self> {
        let from_std = |(socket, tls)| Ok((TcpListener::from_std(socket)?, tls));
        let listeners = sockets.into_iter().map(from_std).collect::<io::Result<Vec<_>>>()?;
        let all = Listeners { clients, tasks: TaskTracker::new(), stop: CancellationToken::new() };
        let shared = counters.shared();
        for (listener, tls) in listeners {
            let acceptor = Acceptor {
                listener,
                tls,
                engine: engine.clone(),
                clients: all.clients.clone(),
                counters: counters.clone(),
                shared: shared.clone(),
                tasks: all.tasks.clone(),
                stop: all.stop.clone(),
            };
            all.tasks.spawn(acceptor.run());
        }
        Ok(all)
    }

    /// Accepts no more, lets connections finish what has begun, and closes what is left after `grace`.
    pub(super) async fn stop(self, grace: Duration) {
        self.stop.cancel();
        self.tasks.close();
        if timeout(grace, self.tasks.wait()).await.is_err() {
            self.clients.evict_all();
            // The evicted have nothing left to wait for; this bounds what a fault of ours could cost.
            let _ = timeout(grace, self.tasks.wait()).await;
        }
    }
}

/// One listener.
struct Acceptor {
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
    engine: Engine,
    clients: Arc<Clients>,
    counters: Arc<Counters>,
    shared: Shared,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// Whether the system has what it takes to accept.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Supply {
    Enough,
    Exhausted,
}

impl Acceptor {
    async fn run(mut self) {
        let mut supply = Supply::Enough;
        loop {
            let accepted = tokio::select! {
                biased;
                () = self.stop.cancelled() => return,
                accepted = self.listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => {
                    if supply == Supply::Exhausted {
                        info!("TCP connections are accepted again");
                        supply = Supply::Enough;
                    }
                    self.admit(stream, peer);
                }
                // RFC-less but real (accept(2)): what went wrong with one connection says nothing of the next.
                Err(error) if of_one_connection(&error) => self.shared.failed(Failure::Accept),
                Err(error) => {
                    self.shared.failed(Failure::Accept);
                    if supply == Supply::Enough {
                        warn!(%error, "failed to accept TCP connections; closing the idlest to make room");
                        supply = Supply::Exhausted;
                    }
                    self.clients.evict_idlest();
                    tokio::select! {
                        () = self.stop.cancelled() => return,
                        () = sleep(EXHAUSTED_PAUSE) => {}
                    }
                }
            }
        }
    }

    fn admit(&mut self, stream: TcpStream, peer: SocketAddr) {
        let (transport, stage) = match self.tls {
            Some(_) => (Transport::Tls, Stage::Handshake),
            None => (Transport::Tcp, Stage::Open),
        };
        let Ok(place) = self.clients.admit(peer.ip(), stage) else {
            self.shared.over_client_limit();
            return;
        };
        // Answers that are one write each gain nothing from waiting for more. Without it they are but slower.
        let _ = stream.set_nodelay(true);
        let context = Context {
            engine: self.engine.clone(),
            address: peer.ip(),
            transport,
            place,
            counters: self.shared.clone(),
            transfer: None,
            stop: self.stop.clone(),
        };
        let (tls, counters, mut shared) = (self.tls.clone(), self.counters.clone(), self.shared.clone());
        self.tasks.spawn(async move {
            let open = counters.connections.hold();
            let closed = match tls {
                None => stream::serve(stream, context).await,
                Some(tls) => match shake_hands(stream, &tls, &context).await {
                    Ok(stream) => stream::serve(stream, context).await,
                    Err(closed) => closed,
                },
            };
            drop(open);
            shared.closed(closed);
        });
    }
}

/// Begins TLS; until that is done the connection may be given up without harm.
async fn shake_hands(stream: TcpStream, tls: &Tls, context: &Context) -> Result<TlsStream<TcpStream>, Closed> {
    let handshake = TlsAcceptor::from(tls.config()).accept(stream);
    tokio::select! {
        biased;
        done = timeout(HANDSHAKE_TIMEOUT, handshake) => match done {
            Ok(Ok(stream)) => {
                context.place.touch();
                Ok(stream)
            }
            Ok(Err(_)) | Err(_) => Err(Closed::Handshake),
        },
        () = context.place.evicted() => Err(Closed::Evicted),
        () = context.stop.cancelled() => Err(Closed::Stop),
    }
}

/// Whether an error of `accept` is about the connection it would have returned.
fn of_one_connection(error: &io::Error) -> bool {
    let exhausted = [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM];
    let ours = [libc::EBADF, libc::EINVAL, libc::ENOTSOCK, libc::EOPNOTSUPP, libc::EFAULT];
    error.raw_os_error().is_some_and(|code| !exhausted.contains(&code) && !ours.contains(&code))
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::super::fixture::{self, frame, framed_reply, query};
    use super::super::{Bound, bind};
    use super::*;
    use crate::clients::Limits;

    const GRACE: Duration = Duration::from_secs(10);

    fn start(limits: Limits) -> (SocketAddr, Listeners, Arc<Counters>) {
        let bound: Bound = bind(&fixture::dns(&["127.0.0.1:0"])).unwrap();
        let counters = Arc::new(Counters::default());
        let address = bound.addresses().plain[0];
        let sockets = bound.tcp.into_iter().map(|socket| (socket, None)).collect();
        let listeners = Listeners::start(sockets, fixture::engine(), Clients::new(limits), counters.clone()).unwrap();
        (address, listeners, counters)
    }

    fn limits(connections: usize, per_client: usize) -> Limits {
        Limits { connections, per_client, idle: Duration::from_secs(60) }
    }

    async fn ask(stream: &mut TcpStream, id: u16) {
        stream.write_all(&frame(&query(id))).await.unwrap();
        let expected = framed_reply(&query(id), stream.local_addr().unwrap().ip());
        let mut received = vec![0; expected.len()];
        stream.read_exact(&mut received).await.unwrap();
        assert_eq!(received, expected);
    }

    #[tokio::test]
    async fn a_connection_serves_many_queries() {
        let (address, listeners, counters) = start(limits(9, 9));
        let mut stream = TcpStream::connect(address).await.unwrap();
        for id in 0..20 {
            ask(&mut stream, id).await;
        }
        assert_eq!(counters.connections.value(), 1);
        listeners.stop(GRACE).await;
        assert_eq!((counters.queries(), counters.closures(Closed::Stop)), (20, 1));
        assert_eq!(stream.read(&mut [0; 1]).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn over_the_limit_the_idlest_is_closed() {
        let (address, listeners, counters) = start(limits(2, 9));
        let mut streams = Vec::new();
        for id in 0..3 {
            let mut stream = TcpStream::connect(address).await.unwrap();
            ask(&mut stream, id).await;
            streams.push(stream);
        }
        assert_eq!(streams[0].read(&mut [0; 1]).await.unwrap_or(0), 0);
        ask(&mut streams[1], 7).await;
        ask(&mut streams[2], 8).await;
        listeners.stop(GRACE).await;
        assert_eq!(counters.closures(Closed::Evicted), 1);
    }

    #[tokio::test]
    async fn one_client_cannot_take_all() {
        let (address, listeners, counters) = start(limits(9, 1));
        let mut first = TcpStream::connect(address).await.unwrap();
        ask(&mut first, 1).await;
        let mut second = TcpStream::connect(address).await.unwrap();
        assert_eq!(second.read(&mut [0; 1]).await.unwrap_or(0), 0);
        ask(&mut first, 2).await;
        listeners.stop(GRACE).await;
        assert_eq!(counters.client_limits(), 1);
    }

    #[tokio::test]
    async fn what_is_unfinished_when_grace_ends_is_closed() {
        let (address, listeners, counters) = start(limits(9, 9));
        let mut stream = TcpStream::connect(address).await.unwrap();
        ask(&mut stream, 1).await;
        stream.write_all(&frame(&query(2))[..3]).await.unwrap();
        listeners.stop(Duration::from_millis(20)).await;
        assert_eq!(counters.closures(Closed::Evicted) + counters.closures(Closed::Stop), 1);
    }
}
