//! The DNS listeners: UDP on threads; TCP, TLS and QUIC on tasks; all over the one engine.
//!
//! [`bind()`] binds the ports; [`Service::start`] answers on them until [`Service::stop`]. DNS over HTTPS is among the
//! listeners of [`crate::http`], because the engine is [`crate::wire`] and not in here.
//!
//! The encrypted listeners are our own and not those of hickory-server (0.26), which has these limits. Its QUIC server makes
//! handshakes within its accept loop, so that a client that goes silent in a handshake keeps all others out for five
//! seconds, again and again. It answers the streams of a connection one after the other. It limits neither all connections
//! nor those of one client. A stop drops the queries in flight. HTTP/1.1 and `Cache-Control` are missing. All of its
//! listeners take records to encode, but we have bytes. Our listeners use the same libraries: quinn, hyper and rustls.
//!
//! **Invariants**: every transport answers with [`wire::respond`]; a query sees one snapshot; remote input is counted,
//! never logged.
//! **Not here**: the answers ([`crate::wire`]), starting, reloading and stopping ([`crate::serve`]).
//!
//! RFC 1035 §4.2, RFC 7766 (TCP), RFC 9210 (TCP operation), RFC 7858 (TLS), RFC 9250 (QUIC).

mod ahead;
mod bind;
mod quic;
mod stream;
mod tcp;
mod udp;

#[cfg(test)]
mod fixture;

pub(crate) use bind::{BoundPorts, ListenAddresses, bind, udp_threads};

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::base::ends::SocketEnds;
use crate::base::rr::{Ede, Rcode};
use crate::base::time::Now;
use crate::config;
use crate::listen::{Clients, Common, Endpoints, Limits, Listeners, Terms};
use crate::live::{Loaded, Notices, PendingUpdate, Published, UpdateQueue, UpdateReplySender};
use crate::process::{self, Clock};
use crate::rates::Rates;
use crate::snapshot::{TapTerms, Way};
use crate::telemetry::dns::DnsCounters;
use crate::telemetry::tap::{SharedTap, TapReply};
use crate::tls::Tls;
use crate::wire::{self, Notice, Peer, Reply, Silence, Transport, update};

/// The application protocol of DNS over TLS (RFC 7858; registered with TLS ALPN as `dot`).
pub(crate) const TLS_PROTOCOLS: [&[u8]; 1] = [b"dot"];

/// The application protocol of DNS over QUIC (RFC 9250 §4.1).
pub(crate) const QUIC_PROTOCOLS: [&[u8]; 1] = [b"doq"];

/// The sources of every answer: the served snapshot and the time.
#[derive(Clone, Debug)]
pub(crate) struct Engine {
    /// The snapshot.
    pub(crate) published: Arc<Published>,
    /// The time.
    pub(crate) clock: Clock,
    /// Passes on NOTIFY messages about zones that have changed at their primaries.
    pub(crate) notices: Notices,
    /// Passes on dynamic updates.
    pub(crate) updates: UpdateQueue,
    /// Takes copies of responses for dnstap.
    pub(crate) tap: SharedTap,
}

/// The sender of a query, by both ends of the conversation.
#[derive(Clone, Copy, Debug)]
struct Sender {
    ends: SocketEnds,
    transport: Transport,
}

impl Sender {
    fn peer(&self) -> Peer {
        Peer { address: self.ends.peer.ip(), transport: self.transport }
    }
}

/// The engine for as long as one batch lasts: one snapshot, one reading of the clocks.
struct Session<'e> {
    snapshot: Loaded,
    now: Now,
    notices: &'e Notices,
    updates: &'e UpdateQueue,
}

impl Engine {
    /// Begins a batch. The caller must end it before it waits for anything, because it keeps its snapshot alive.
    #[inline]
    fn begin(&self) -> Session<'_> {
        let Engine { published, clock, notices, updates, tap: _ } = self;
        Session { snapshot: published.load(), now: clock.read(), notices, updates }
    }
}

impl Session<'_> {
    /// As [`Session::respond`], within the limits for datagrams, and continuing the prefetch of this snapshot.
    #[inline]
    fn respond_limited(
        &self,
        message: &[u8],
        peer: Peer,
        rates: &Rates,
        way: Option<&Way>,
        out: &mut [u8],
    ) -> Result<Reply, Silence> {
        let reply = wire::respond_limited(message, peer, &self.snapshot, self.now, rates, way, out)?;
        self.pass_on(&reply);
        Ok(reply)
    }

    #[inline]
    fn respond(&self, message: &[u8], peer: Peer, out: &mut [u8]) -> Result<Reply, Silence> {
        let reply = wire::respond_or_defer(message, peer, &self.snapshot, self.now, out)?;
        self.pass_on(&reply);
        Ok(reply)
    }

    /// Passes an update to the service of ACME challenges, which sends the reply once the change is on the disk. If the queue
    /// is full, the reply is SERVFAIL at once.
    #[cold]
    fn defer(&self, message: &[u8], peer: Peer, reply: UpdateReplySender) {
        // This snapshot has admitted the message: `Silence::Update`.
        let Some(update) = update::receive(message, peer, &self.snapshot, self.now) else { return };
        if let Err(pending) = self.updates.offer(Box::new(PendingUpdate { update, reply })) {
            let PendingUpdate { update, reply } = *pending;
            let busy = Err((Rcode::SERVFAIL, Some(Ede::NotReady)));
            let (message, summary) = update.reply(busy, &self.snapshot, self.now);
            reply(&message, &summary, &self.snapshot);
        }
    }

    /// The terms of copies for dnstap, and the time in nanoseconds since 1970. `None` if no response is copied.
    #[inline]
    fn tapped(&self) -> Option<(&TapTerms, u64)> {
        self.snapshot.settings().tap.as_ref().map(|terms| (terms, Clock::civil_nanos()))
    }

    /// The reply to copy for dnstap.
    #[inline]
    fn copy_of<'r>(&'r self, reply: &'r Reply, message: &'r [u8], sender: Sender, received_ns: u64) -> TapReply<'r> {
        let (summary, snapshot) = (&reply.summary, &*self.snapshot);
        let Sender { ends, transport } = sender;
        TapReply { message, summary, snapshot, ends, transport, http: None, received_ns }
    }

    /// Passes on a fact that a service needs.
    #[inline]
    fn pass_on(&self, reply: &Reply) {
        match reply.summary.notice {
            None => {}
            Some(Notice::Changed(zone)) => self.notices.tell(self.snapshot.zones().zone(zone).apex()),
            Some(Notice::OtherAlgorithm(key, algorithm)) => {
                self.updates.tell(self.snapshot.transfers().keys.key(key), algorithm);
            }
        }
    }
}

/// The TLS configurations of the encrypted listeners, each with its own application protocol.
#[derive(Clone, Debug)]
pub(crate) struct Certificates {
    /// For TLS, with [`TLS_PROTOCOLS`].
    pub(crate) tls: Arc<Tls>,
    /// For QUIC, with [`QUIC_PROTOCOLS`].
    pub(crate) quic: Arc<Tls>,
}

/// The listeners at work.
#[derive(Debug)]
pub(crate) struct Service {
    addresses: ListenAddresses,
    clients: Arc<Clients>,
    rates: Arc<Rates>,
    udp: udp::Threads,
    streams: Vec<Listeners>,
    quic: Option<Endpoints>,
}

impl Service {
    /// Starts to answer on bound ports, within a tokio runtime; without certificates, only on those that need none.
    ///
    /// Connections count towards the limits of `clients`, which other listeners may share.
    pub(crate) fn start(
        bound: BoundPorts,
        certificates: Option<Certificates>,
        engine: Engine,
        clients: Arc<Clients>,
        counters: Arc<DnsCounters>,
        common: &Common,
    ) -> io::Result<Self> {
        let BoundPorts { tcp, udp, batch, tls, quic, addresses } = bound;
        let over = |transport| tcp::DnsStreams { engine: engine.clone(), transport, shared: counters.shared() };
        let terms = |kind, tls| Terms { kind, clients: clients.clone(), tls, common: common.clone() };
        let mut streams = vec![Listeners::start(tcp, terms("TCP", None), over(Transport::Tcp))?];
        let mut endpoints = None;
        if let Some(certificates) = certificates {
            let terms = terms("TLS", Some(certificates.tls));
            streams.push(Listeners::start(tls, terms, over(Transport::Tls))?);
            let service = quic::Quic { engine: engine.clone(), shared: counters.shared() };
            endpoints =
                Some(Endpoints::start(quic, quic::terms(certificates.quic, clients.clone(), common.clone()), service)?);
        }
        let rates = Arc::new(Rates::new([process::seed(), process::seed()]));
        if engine.published.load().settings().rate_limit.is_some() {
            rates.prepare();
        }
        let udp = udp::Threads::start(udp, batch, engine, &rates, &counters)?;
        Ok(Service { addresses, clients, rates, udp, streams, quic: endpoints })
    }

    /// The addresses we listen on.
    pub(crate) fn addresses(&self) -> &ListenAddresses {
        &self.addresses
    }

    /// Changes the limits of connections: for new ones, and the time limits for open ones too.
    pub(crate) fn set_limits(&self, limits: Limits) {
        self.clients.set_limits(limits);
        if let Some(quic) = &self.quic {
            quic.renew_idle();
        }
    }

    /// Applies the UDP payload size of the config to the fragmentation of replies.
    pub(crate) fn set_payload(&self, dns: &config::DnsConfig) {
        self.udp.set_fragments(bind::fragments(dns));
    }

    /// Allocates the table of rate limiting. To be called before a snapshot with a rate limit is published.
    pub(crate) fn prepare_rates(&self) {
        self.rates.prepare();
    }

    /// Answers the queries received, and stops. Answers that are not sent within `grace` are given up.
    pub(crate) async fn stop(self, grace: Duration) {
        let Service { udp, streams, quic, .. } = self;
        let mut stopping = JoinSet::new();
        for listeners in streams {
            stopping.spawn(listeners.stop(grace));
        }
        if let Some(quic) = quic {
            stopping.spawn(quic.stop(grace));
        }
        // The threads stop within a bounded number of batches.
        tokio::join!(udp.end(), stopping.join_all());
    }
}
