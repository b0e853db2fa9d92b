//! DNS over TCP and TLS: the service that [`crate::listen`] runs on each connection.
//!
//! **Not here**: accepting, handshakes and limits ([`crate::listen`]), messages ([`super::stream`]).
//!
//! RFC 7766, RFC 9210, RFC 7858.

use std::sync::Arc;

use rustls::ProtocolVersion;

use super::stream::{self, StreamContext};
use super::{Engine, Sender};
use crate::listen::{Closed, Connection, Event, Protocol};
use crate::telemetry::Gauge;
use crate::telemetry::dns::{Count, SharedBlock, SocketFailure};
use crate::wire::Transport;

/// DNS over TCP, or over TLS.
pub(super) struct DnsStreams {
    pub(super) engine: Engine,
    pub(super) transport: Transport,
    pub(super) shared: SharedBlock,
}

impl Protocol for DnsStreams {
    async fn serve(self: Arc<Self>, connection: Connection) -> Closed {
        let Connection { stream, ends, place, stop, .. } = connection;
        // A Unix socket has no client address; no DNS listener has a Unix socket.
        let Some(ends) = ends else { return Closed::Violation };
        let context = StreamContext {
            engine: self.engine.clone(),
            sender: Sender { ends, transport: self.transport },
            place,
            counters: self.shared.clone(),
            // RFC 9103 §7.1
            gives_zones: stream.tls_version().is_none_or(|version| version == ProtocolVersion::TLSv1_3),
            transfer: None,
            update: None,
            stop,
        };
        stream::serve(stream, context).await
    }

    fn note(&self, event: Event) {
        note(&self.shared, event);
    }

    fn open(&self) -> &Gauge {
        self.shared.connections()
    }
}

/// Counts an event of a connection over any transport.
pub(super) fn note(shared: &SharedBlock, event: Event) {
    let mut shared = shared.clone();
    match event {
        Event::Accepted => {}
        Event::AcceptFailed => shared.failed(SocketFailure::Accept),
        Event::OverClientLimit => shared.over_client_limit(),
        Event::Ended(closed) => shared.closed(closed),
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::super::fixture::{self, frame, framed_reply, query};
    use super::super::{BoundPorts, bind};
    use super::*;
    use crate::listen::{BeyondLimit, Clients, Common, Limits, Listeners, Terms};
    use crate::process::Vital;
    use crate::telemetry::dns::DnsCounters;

    const GRACE: Duration = Duration::from_secs(10);

    fn start(limits: Limits) -> (SocketAddr, Listeners, Arc<DnsCounters>) {
        let bound: BoundPorts = bind(&fixture::dns(&["127.0.0.1:0"])).unwrap();
        let counters = Arc::new(DnsCounters::default());
        let address = bound.addresses.plain[0];
        let terms =
            Terms { kind: "TCP", clients: Clients::new(limits), tls: None, common: Common::new(Vital::new().0) };
        let service = DnsStreams { engine: fixture::engine(), transport: Transport::Tcp, shared: counters.shared() };
        let listeners = Listeners::start(bound.tcp, terms, service).unwrap();
        (address, listeners, counters)
    }

    fn limits(connections: usize, per_client: usize) -> Limits {
        Limits { connections, per_client, beyond: BeyondLimit::Refuse, idle: Duration::from_secs(60) }
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
        assert_eq!(counters.connections(), 1);
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
