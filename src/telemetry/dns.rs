//! Counters of the DNS listeners.
//!
//! Each UDP thread has a [`CounterBlock`] of its own, on cache lines of its own, and is its only writer. So adding is a load
//! and a store without a locked operation, and no thread waits for the cache line of another. The connections share one more
//! block. A scrape reads all blocks and adds them up.
//!
//! **Invariants**: one [`Own`] per block, so that no addition is lost.
//! **Not here**: the metrics page ([`page`]), the assignment of blocks to threads ([`crate::dns`]).

mod page;

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::Gauge;
use super::histogram::{BUCKETS, bucket, micros};
use crate::answer::{Outcome, Steering};
use crate::base::client::Vantage;
use crate::snapshot::{METERS, Meter, Snapshot};
use crate::wire::{Cookie, EcsEffect, Limit, Peer, Summary, Transport};

/// The reason why a datagram or message got no reply, or its reply was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LostReply {
    /// It was a response, or too short for a message.
    Unanswerable,
    /// It came over UDP, and a question that its header announces cannot be read.
    NoQuestion,
    /// It came over UDP from the port of a service that answers every datagram, or from port 0.
    SourcePort,
    /// It was longer than the UDP payload size that we advertise.
    TooLong,
    /// The system did not take the reply, because its queue was full.
    SendFull,
    /// The system refused the reply: no route, a firewall, an impossible address.
    SendRefused,
    /// Answering it panicked, which is a bug.
    Panicked,
}

/// The reason why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Closed {
    /// The client closed it, or it broke.
    Client,
    /// It was silent for too long.
    Idle,
    /// A message did not arrive whole in time.
    Unfinished,
    /// The client did not read its answers in time.
    SlowReader,
    /// It was the connection idle longest when there was no room for a new one.
    Evicted,
    /// The server stops.
    Stop,
    /// The TLS or QUIC handshake failed or took too long.
    Handshake,
    /// The client broke the rules of its transport (RFC 9250 §4.3.3).
    Violation,
}

/// The result of a request for a zone over a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TransferEnd {
    /// All messages of the zone, or of its changes, were written to the connection.
    Complete,
    /// The connection ended during the transfer.
    Cut,
    /// The reply was an error: the client may not have the zone, or there is no such zone.
    Refused,
}

/// A socket call that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SocketFailure {
    /// Receiving datagrams.
    Receive,
    /// Accepting a connection.
    Accept,
}

const RCODES: [(u16, &str); 10] = [
    (0, "NOERROR"),
    (1, "FORMERR"),
    (2, "SERVFAIL"),
    (3, "NXDOMAIN"),
    (4, "NOTIMP"),
    (5, "REFUSED"),
    (6, "YXDOMAIN"),
    (9, "NOTAUTH"),
    (16, "BADVERS"),
    (23, "BADCOOKIE"),
];
const OUTCOMES: [(Outcome, &str); 12] = [
    (Outcome::Answer, "answer"),
    (Outcome::Steered, "steered"),
    (Outcome::NoData, "nodata"),
    (Outcome::NxDomain, "nxdomain"),
    (Outcome::Referral, "referral"),
    (Outcome::Alias, "alias"),
    (Outcome::NameTooLong, "name-too-long"),
    (Outcome::NotReady, "not-ready"),
    (Outcome::Refused, "refused"),
    (Outcome::Rejected, "rejected"),
    (Outcome::Identity, "identity"),
    (Outcome::Cookie, "cookie"),
];
const LOST: [(LostReply, &str); 7] = [
    (LostReply::Unanswerable, "unanswerable"),
    (LostReply::NoQuestion, "no-question"),
    (LostReply::SourcePort, "source-port"),
    (LostReply::TooLong, "too-long"),
    (LostReply::SendFull, "send-full"),
    (LostReply::SendRefused, "send-refused"),
    (LostReply::Panicked, "panicked"),
];
const CLOSED: [(Closed, &str); 8] = [
    (Closed::Client, "client"),
    (Closed::Idle, "idle"),
    (Closed::Unfinished, "unfinished"),
    (Closed::SlowReader, "slow-reader"),
    (Closed::Evicted, "evicted"),
    (Closed::Stop, "stop"),
    (Closed::Handshake, "handshake"),
    (Closed::Violation, "violation"),
];
const COOKIES: [(Cookie, &str); 4] = [
    (Cookie::None, "none"),
    (Cookie::ClientOnly, "client-only"),
    (Cookie::Invalid, "invalid"),
    (Cookie::Valid, "valid"),
];
const LIMITS: [(Limit, &str); 5] = [
    (Limit::Off, "off"),
    (Limit::Within, "within"),
    (Limit::ExemptByCookie, "exempt-by-cookie"),
    (Limit::ExemptByList, "exempt-by-list"),
    (Limit::Slipped, "slipped"),
];
const VANTAGES: [(Vantage, &str); 2] = [(Vantage::Resolver, "resolver"), (Vantage::Subnet, "subnet")];
const FAILURES: [(SocketFailure, &str); 2] = [(SocketFailure::Receive, "receive"), (SocketFailure::Accept, "accept")];
const GIVEN: [(TransferEnd, &str); 3] =
    [(TransferEnd::Complete, "complete"), (TransferEnd::Cut, "cut"), (TransferEnd::Refused, "refused")];
/// The transports in the order of their kinds, each with both families.
const QUERIES: [(&str, &str); 10] = [
    ("udp", "ipv4"),
    ("udp", "ipv6"),
    ("tcp", "ipv4"),
    ("tcp", "ipv6"),
    ("tls", "ipv4"),
    ("tls", "ipv6"),
    ("https", "ipv4"),
    ("https", "ipv6"),
    ("quic", "ipv4"),
    ("quic", "ipv6"),
];

// The cells of a block, kind by kind; a table above gives the order within its kind.
const QUERY: usize = 0;
const OUTCOME: usize = QUERY + QUERIES.len();
const TRUNCATED: usize = OUTCOME + OUTCOMES.len();
const LOSS: usize = TRUNCATED + 1;
const RCODE: usize = LOSS + LOST.len();
/// Response codes that have no cell of their own share one.
const OTHER_RCODE: usize = RCODE + RCODES.len();
const CLOSE: usize = OTHER_RCODE + 1;
const FAILURE: usize = CLOSE + CLOSED.len();
const CLIENT_LIMIT: usize = FAILURE + FAILURES.len();
const COOKIE: usize = CLIENT_LIMIT + 1;
const LIMIT: usize = COOKIE + COOKIES.len();
const DROPPED: usize = LIMIT + LIMITS.len();
const ECS_SAME: usize = DROPPED + 1;
const ECS_DIFFERENT: usize = ECS_SAME + 1;
const VANTAGE: usize = ECS_DIFFERENT + 1;
/// For each transport its buckets, then the sum in microseconds.
const DURATION: usize = VANTAGE + VANTAGES.len();
const STEERED: usize = DURATION + Transport::ALL.len() * (BUCKETS + 1);
const TRANSFER: usize = STEERED + METERS;
const CELLS: usize = TRANSFER + GIVEN.len();

/// The counters of one writer. Aligned to the two cache lines that CPUs fetch together, so that no two blocks share a line.
#[repr(align(128))]
#[derive(Debug)]
struct CounterBlock([AtomicU64; CELLS]);

/// All counters of the DNS listeners.
#[derive(Debug, Default)]
pub(crate) struct DnsCounters {
    blocks: Mutex<Vec<Arc<CounterBlock>>>,
    /// Open connections: TCP, TLS and QUIC.
    pub(crate) connections: Gauge,
}

/// A block with one writer.
#[derive(Debug)]
pub(crate) struct Own(Arc<CounterBlock>);

/// A block with many writers.
#[derive(Clone, Debug)]
pub(crate) struct SharedBlock(Arc<CounterBlock>);

/// Counting.
pub(crate) trait Count {
    #[doc(hidden)]
    fn add(&mut self, cell: usize, count: u64);

    /// Counts a message received.
    #[inline]
    fn query(&mut self, peer: &Peer) {
        let transport = 2 * peer.transport as usize;
        let family = match peer.address {
            IpAddr::V4(_) => 0,
            IpAddr::V6(_) => 1,
        };
        self.add(QUERY + transport + family, 1);
    }

    /// Counts a reply made from a snapshot.
    #[inline]
    fn reply(&mut self, summary: &Summary, snapshot: &Snapshot) {
        if let Some(Steering { horizon, family, decision }) = summary.basis.steering {
            self.add(VANTAGE + decision.location.vantage as usize, 1);
            if let Some(meter) = snapshot.meter(horizon, decision.plan, family) {
                self.add(STEERED + meter.index(), 1);
            }
        }
        let rcode = match summary.rcode.0 {
            code @ 0..=6 => RCODE + usize::from(code),
            code => RCODES.iter().position(|(known, _)| *known == code).map_or(OTHER_RCODE, |at| RCODE + at),
        };
        self.add(rcode, 1);
        self.add(OUTCOME + summary.basis.outcome as usize, 1);
        self.add(COOKIE + summary.cookie as usize, 1);
        self.add(LIMIT + summary.limit as usize, 1);
        match summary.ecs {
            EcsEffect::NotCompared => {}
            EcsEffect::Same => self.add(ECS_SAME, 1),
            EcsEffect::Different => self.add(ECS_DIFFERENT, 1),
        }
        if summary.truncated {
            self.add(TRUNCATED, 1);
        }
    }

    /// Counts the duration of `count` messages that were answered together. Each counts with the whole `time`, because the
    /// replies leave together.
    #[inline]
    fn took(&mut self, transport: Transport, count: u64, time: Duration) {
        let (us, cell) = (micros(time), DURATION + transport as usize * (BUCKETS + 1));
        self.add(cell + bucket(us), count);
        self.add(cell + BUCKETS, us * count);
    }

    /// Counts messages that got no reply.
    #[inline]
    fn lost(&mut self, why: LostReply, count: usize) {
        self.add(LOSS + why as usize, count as u64);
    }

    /// Counts a response that rate limiting dropped.
    #[inline]
    fn dropped(&mut self) {
        self.add(DROPPED, 1);
    }

    /// Counts a request for a zone by its result.
    fn given(&mut self, how: TransferEnd) {
        self.add(TRANSFER + how as usize, 1);
    }

    /// Counts the end of a connection.
    fn closed(&mut self, how: Closed) {
        self.add(CLOSE + how as usize, 1);
    }

    /// Counts a socket call that failed.
    fn failed(&mut self, what: SocketFailure) {
        self.add(FAILURE + what as usize, 1);
    }

    /// Counts a connection that was refused because its client had as many as it may.
    fn over_client_limit(&mut self) {
        self.add(CLIENT_LIMIT, 1);
    }
}

impl Count for Own {
    #[inline]
    fn add(&mut self, cell: usize, count: u64) {
        let cell = &self.0.0[cell];
        // No other thread writes to it: `Own` is not `Clone`, and `&mut self` belongs to one thread.
        cell.store(cell.load(Relaxed) + count, Relaxed);
    }
}

impl Count for SharedBlock {
    #[inline]
    fn add(&mut self, cell: usize, count: u64) {
        self.0.0[cell].fetch_add(count, Relaxed);
    }
}

impl DnsCounters {
    /// Counters for one thread.
    pub(crate) fn own(&self) -> Own {
        Own(self.block())
    }

    /// Counters for many tasks.
    pub(crate) fn shared(&self) -> SharedBlock {
        SharedBlock(self.block())
    }

    fn block(&self) -> Arc<CounterBlock> {
        let block = Arc::new(CounterBlock([const { AtomicU64::new(0) }; CELLS]));
        self.blocks.lock().unwrap_or_else(PoisonError::into_inner).push(block.clone());
        block
    }

    fn sum(&self, cell: usize) -> u64 {
        self.blocks.lock().unwrap_or_else(PoisonError::into_inner).iter().map(|block| block.0[cell].load(Relaxed)).sum()
    }

    /// The number of answers with a mirror in the first place.
    pub(crate) fn steered(&self, meter: Meter) -> u64 {
        self.sum(STEERED + meter.index())
    }
}

#[cfg(test)]
impl DnsCounters {
    /// The number of messages received.
    pub(crate) fn queries(&self) -> u64 {
        (0..QUERIES.len()).map(|at| self.sum(QUERY + at)).sum()
    }

    /// The number of messages that got no reply for this reason.
    pub(crate) fn losses(&self, why: LostReply) -> u64 {
        self.sum(LOSS + why as usize)
    }

    /// The number of connections that ended for this reason.
    pub(crate) fn closures(&self, how: Closed) -> u64 {
        self.sum(CLOSE + how as usize)
    }

    /// The number of connections that were refused because their client had as many as it may.
    pub(crate) fn client_limits(&self) -> u64 {
        self.sum(CLIENT_LIMIT)
    }
}

#[cfg(test)]
mod tests;
