//! UDP: threads that take a batch, answer it, and send the replies.
//!
//! There is one thread for each socket, that is for each address and core, which waits in `recvmmsg` itself. A thread
//! with several sockets would have to ask for readiness first, one more system call per batch; a thread that waits
//! costs nothing. The kernel spreads clients over threads (`SO_REUSEPORT`).
//!
//! **Invariants**: no allocation, lock, log line or system call per query beyond those of the batch; no error of a
//! socket and no panic ends a thread, only [`Threads::end`] does.
//! **Not here**: the system calls ([`crate::process::sys`]), the answers ([`crate::wire`]).

use std::io;
use std::net::{IpAddr, Shutdown, SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use socket2::SockRef;
use tokio::sync::mpsc;

use super::ahead::Ahead;
use super::bind::Datagrams;
use super::{Engine, Sender, Session};
use crate::base::ends::SocketEnds;
use crate::listen::is_service_port;
use crate::process::sys::{self, Batch, Datagram, Fragments, MAX_DATAGRAM, Wait};
use crate::rates::Rates;
use crate::snapshot::Snapshot;
use crate::telemetry::dns::{Count, DnsCounters, LostReply, Own, SharedBlock, SocketFailure};
use crate::telemetry::recent::QueryTable;
use crate::telemetry::tap::Tap;
use crate::wire::{MAX_UDP, Peer, Silence, Summary, Transport};

const _: () = assert!(MAX_DATAGRAM >= MAX_UDP);

/// The most datagrams answered after a stop was requested: as many as the largest receive buffer holds. Under a flood, the
/// buffer is never empty, and this limit ends the thread.
const MAX_LAST: usize = 16_384;

/// The pause of a thread after the system failed to receive datagrams, so that the thread does not spin.
const FAILURE_PAUSE: Duration = Duration::from_millis(10);

/// The threads.
#[derive(Debug)]
pub(super) struct Threads {
    stopping: Arc<AtomicBool>,
    threads: Vec<(Arc<UdpSocket>, JoinHandle<()>)>,
    /// Closed once every thread has ended.
    ends: mpsc::Receiver<()>,
}

impl Threads {
    /// Starts one thread per socket, which takes at most so many datagrams at once.
    pub(super) fn start(
        sockets: Vec<Datagrams>,
        most: usize,
        engine: Engine,
        rates: &Arc<Rates>,
        counters: &DnsCounters,
    ) -> io::Result<Self> {
        let (running, ends) = mpsc::channel(1);
        let shared = counters.shared();
        let mut all = Threads { stopping: Arc::default(), threads: Vec::new(), ends };
        for (at, Datagrams { socket, is_wildcard }) in sockets.into_iter().enumerate() {
            let socket = Arc::new(socket);
            let worker = Worker {
                bound: socket.local_addr()?,
                tap: engine.tap.own(),
                socket: socket.clone(),
                batch: Batch::new(is_wildcard, most),
                ahead: Ahead::new(),
                engine: engine.clone(),
                rates: rates.clone(),
                counters: counters.own(),
                recent: counters.recent.table(),
                shared: shared.clone(),
                stopping: all.stopping.clone(),
                _running: running.clone(),
            };
            match thread::Builder::new().name(format!("dns-udp-{at}")).spawn(move || worker.run()) {
                Ok(thread) => all.threads.push((socket, thread)),
                Err(error) => {
                    all.stop();
                    return Err(error);
                }
            }
        }
        Ok(all)
    }

    /// Sets the fragmentation of replies from now on.
    pub(super) fn set_fragments(&self, fragments: Fragments) {
        for (socket, _) in &self.threads {
            // The system accepted these options when the socket was made, so it accepts them again.
            let _ = socket.local_addr().and_then(|address| sys::set_fragments(socket.as_fd(), address, fragments));
        }
    }

    /// Has every thread answer the datagrams in its buffer, and end; waits for that without blocking.
    pub(super) async fn end(mut self) {
        self.tell();
        // Nothing is sent: the channel closes with the last thread.
        while self.ends.recv().await.is_some() {}
    }

    /// As [`Threads::end`], but blocks the thread it is called on.
    pub(super) fn stop(self) {
        self.tell();
        for (_, thread) in self.threads {
            // A panic was logged and counted where it happened.
            let _ = thread.join();
        }
    }

    /// Tells every thread to end.
    fn tell(&self) {
        self.stopping.store(true, Ordering::Relaxed);
        for (socket, _) in &self.threads {
            // Wakes the thread if it waits, and keeps it from ever waiting again, so that the thread need not poll. The
            // call reports that the socket is not connected, but has shut it down.
            let _ = SockRef::from(&**socket).shutdown(Shutdown::Read);
        }
    }
}

/// The state of one thread.
struct Worker {
    socket: Arc<UdpSocket>,
    /// The address of the socket.
    bound: SocketAddr,
    /// Takes copies of responses for dnstap.
    tap: Tap,
    batch: Batch,
    ahead: Ahead,
    engine: Engine,
    rates: Arc<Rates>,
    counters: Own,
    recent: Arc<QueryTable>,
    /// For replies that come after their batch.
    shared: SharedBlock,
    stopping: Arc<AtomicBool>,
    _running: mpsc::Sender<()>,
}

impl Worker {
    /// Answers until told to stop.
    fn run(mut self) {
        while let Err(panic) = catch_unwind(AssertUnwindSafe(|| self.answer())) {
            // The panic hook has said where. The rest of the batch is lost; the service is not.
            drop(panic);
            self.counters.lost(LostReply::Panicked, 1);
        }
    }

    fn answer(&mut self) {
        while !self.stopping.load(Ordering::Relaxed) {
            self.answer_batch(Wait::Forever);
        }
        for _ in 0..MAX_LAST.div_ceil(self.batch.most()) {
            if self.answer_batch(Wait::Never) < self.batch.most() {
                break;
            }
        }
    }

    /// Takes a batch of datagrams, answers it, and sends the replies; returns the number of datagrams taken.
    #[inline]
    fn answer_batch(&mut self, wait: Wait) -> usize {
        let Worker { socket, bound, tap, batch, ahead, engine, rates, counters, recent, shared, .. } = self;
        let taken = match batch.receive(socket.as_fd(), wait) {
            Ok(taken) => taken,
            Err(error) => {
                if !matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock) {
                    counters.failed(SocketFailure::Receive);
                    thread::sleep(FAILURE_PAUSE);
                }
                return 0;
            }
        };
        let begun = Instant::now();
        let session = engine.begin();
        let mut watched = recent.watched(session.now.monotonic);
        let tapped = session.tapped();
        let mut ways = ahead.look(batch, &session.snapshot).iter();
        let mut replies = 0;
        // Without an update it stays empty, and takes no memory.
        let mut updates: Vec<usize> = Vec::new();
        let mut places = 0..;
        batch.reply(|datagram, out| {
            let place = places.next().unwrap_or_default();
            let way = ways.next();
            let (bytes, from, local) = match datagram {
                Datagram::Whole { bytes, peer, local } => (bytes, peer, local),
                // We advertise no payload of this length, so it is not from a resolver; a truncated query gets no reply.
                Datagram::TooLong => {
                    counters.lost(LostReply::TooLong, 1);
                    return None;
                }
                Datagram::None => return None,
            };
            let peer = Peer { address: from.ip(), transport: Transport::Udp };
            counters.query(&peer);
            if is_service_port(from.port()) {
                counters.lost(LostReply::SourcePort, 1);
                return None;
            }
            match session.respond_limited(bytes, peer, rates, way, out) {
                Ok(reply) => {
                    counters.reply(&reply.summary, &session.snapshot);
                    if let Some(watched) = &mut watched {
                        watched.record(peer.address, bytes);
                    }
                    if let Some((terms, received_ns)) = tapped {
                        tap.note(terms, &reply.summary, || {
                            session.copy_of(&reply, &out[..reply.len], sender(from, local, *bound), received_ns)
                        });
                    }
                    replies += 1;
                    Some(reply.len)
                }
                Err(silence) => {
                    count_silence(silence, counters);
                    if silence == Silence::Update {
                        updates.push(place);
                    }
                    None
                }
            }
        });
        drop(watched);
        for place in updates {
            defer(&session, batch, place, socket, shared);
        }
        // The snapshot may be freed from here on; sending may take a while.
        drop(session);
        batch.send(socket.as_fd(), |error, count| match error.kind() {
            io::ErrorKind::WouldBlock => counters.lost(LostReply::SendFull, count),
            _ => counters.lost(LostReply::SendRefused, count),
        });
        counters.took(Transport::Udp, replies, begun.elapsed());
        taken
    }
}

/// Counts a datagram without a reply.
#[inline]
fn count_silence(silence: Silence, counters: &mut Own) {
    match silence {
        Silence::Undeserved => counters.lost(LostReply::Unanswerable, 1),
        Silence::NoQuestion => counters.lost(LostReply::NoQuestion, 1),
        Silence::Limited => counters.dropped(),
        // Its reply is counted once it is sent.
        Silence::Update => {}
    }
}

/// The sender of a datagram to a socket that is bound to this address. `local` is the address that was asked; `None` if that is
/// the bound one.
fn sender(peer: SocketAddr, local: Option<IpAddr>, bound: SocketAddr) -> Sender {
    let local = local.map_or(bound, |address| SocketAddr::new(address, bound.port()));
    Sender { ends: SocketEnds { peer, local }, transport: Transport::Udp }
}

/// Passes the update at a place of the batch to its service, which sends the reply when the batch is long over.
#[cold]
fn defer(session: &Session<'_>, batch: &mut Batch, place: usize, socket: &Arc<UdpSocket>, counters: &SharedBlock) {
    let Some((message, back)) = batch.way_back(place) else { return };
    let peer = Peer { address: back.peer().ip(), transport: Transport::Udp };
    let (socket, mut counters) = (socket.clone(), counters.clone());
    let reply = move |message: &[u8], summary: &Summary, snapshot: &Snapshot| {
        counters.reply(summary, snapshot);
        if let Err(error) = back.send(&socket, message) {
            let is_full = error.kind() == io::ErrorKind::WouldBlock;
            counters.lost(if is_full { LostReply::SendFull } else { LostReply::SendRefused }, 1);
        }
    };
    session.defer(message, peer, Box::new(reply));
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::super::{bind, fixture};
    use super::*;

    fn start(listen: &[&str]) -> (Vec<SocketAddr>, Threads, Arc<DnsCounters>) {
        let bound = bind(&fixture::dns(listen)).unwrap();
        let counters = Arc::new(DnsCounters::default());
        let threads =
            Threads::start(bound.udp, bound.batch, fixture::engine(), &Arc::new(Rates::new([1, 2])), &counters)
                .unwrap();
        // The TCP listeners are dropped here: nothing below needs them.
        (bound.tcp.addresses().to_vec(), threads, counters)
    }

    fn client(server: SocketAddr) -> UdpSocket {
        let socket = UdpSocket::bind(if server.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" }).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        socket
    }

    #[test]
    fn queries_are_answered_over_both_families() {
        let (addresses, threads, counters) = start(&["127.0.0.1:0", "[::1]:0"]);
        let mut room = [0; MAX_UDP];
        for address in &addresses {
            let client = client(*address);
            for id in 0..100 {
                client.send_to(&fixture::query(id), address).unwrap();
                let (len, from) = client.recv_from(&mut room).unwrap();
                assert_eq!(from, *address);
                assert_eq!(room[..len], fixture::reply(&fixture::query(id), client.local_addr().unwrap().ip()));
            }
        }
        threads.stop();
        assert_eq!(counters.queries(), 200);
    }

    #[test]
    fn replies_leave_from_the_address_asked_on_wildcards() {
        let (addresses, threads, _) = start(&["0.0.0.0:0", "[::]:0"]);
        let ports: Vec<u16> = addresses.iter().map(SocketAddr::port).collect();
        let asked = [("127.0.0.1", ports[0]), ("127.0.0.2", ports[0]), ("127.3.2.1", ports[0]), ("::1", ports[1])];
        for (ip, port) in asked {
            let asked = SocketAddr::new(ip.parse().unwrap(), port);
            let client = client(asked);
            client.send_to(&fixture::query(7), asked).unwrap();
            assert_eq!(client.recv_from(&mut [0; MAX_UDP]).unwrap().1, asked);
        }
        threads.stop();
    }

    #[test]
    fn what_deserves_no_reply_gets_none_and_holds_up_nobody() {
        let (addresses, threads, counters) = start(&["127.0.0.1:0"]);
        let client = client(addresses[0]);
        let mut response = fixture::query(1);
        response[2] |= 0x80;
        for datagram in [&[][..], &[1, 2, 3], &response, &[0; MAX_DATAGRAM + 1], &fixture::query(9)] {
            client.send_to(datagram, addresses[0]).unwrap();
        }
        let mut room = [0; MAX_UDP];
        let len = client.recv(&mut room).unwrap();
        assert_eq!(room[..len], fixture::reply(&fixture::query(9), client.local_addr().unwrap().ip()));
        threads.stop();
        assert_eq!((counters.losses(LostReply::Unanswerable), counters.losses(LostReply::TooLong)), (3, 1));
    }

    #[test]
    fn what_was_received_before_the_stop_is_answered() {
        let mut config = fixture::dns(&["127.0.0.1:0"]);
        config.udp_threads = Some(1);
        let bound = bind(&config).unwrap();
        let address = bound.addresses.plain[0];
        let client = client(address);
        for id in 0..100 {
            client.send_to(&fixture::query(id), address).unwrap();
        }
        let threads =
            Threads::start(bound.udp, 7, fixture::engine(), &Arc::new(Rates::new([1, 2])), &DnsCounters::default())
                .unwrap();
        threads.stop();
        for _ in 0..100 {
            client.recv(&mut [0; MAX_UDP]).unwrap();
        }
    }
}
