//! Counters of the DNS listeners.
//!
//! Each UDP thread has a [`CounterBlock`] of its own, on cache lines of its own, and is its only writer. So adding is a load
//! and a store without a locked operation, and no thread waits for the cache line of another. The connections share one more
//! block. A scrape reads all blocks and adds them up.
//!
//! **Invariants**: one [`Own`] per block, so that no addition is lost.
//! **Not here**: the assignment of blocks to threads ([`crate::dns`]).

mod traffic;

use std::net::IpAddr;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::cells::{ByRegion, ByWord, SteeredCounts, counters};
use super::histogram::{Histogram, bucket, micros};
use super::recent::{QueryTable, RecentQueries};
use super::{Collect, Counter, Gauge, MetricsPage};
use crate::answer::{Outcome, Steering};
use crate::base::client::Vantage;
use crate::base::lock::locked;
use crate::base::prefix::Family;
use crate::base::rr::Rcode;
use crate::base::time::Moment;
use crate::base::words::words;
use crate::snapshot::{Meter, RegionMeter, Snapshot};
use crate::wire::{Cookie, EcsEffect, Limit, Peer, Summary, Transport};

words! {
    /// The reason why a datagram or message got no reply, or its reply was lost.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) enum LostReply {
        /// It was a response, or too short for a message.
        Unanswerable = "unanswerable",
        /// It came over UDP, and a question that its header announces cannot be read.
        NoQuestion = "no-question",
        /// It came over UDP from the port of a service that answers every datagram, or from port 0.
        SourcePort = "source-port",
        /// It was longer than the UDP payload size that we advertise.
        TooLong = "too-long",
        /// The system did not take the reply, because its queue was full.
        SendFull = "send-full",
        /// The system refused the reply: no route, a firewall, an impossible address.
        SendRefused = "send-refused",
        /// Answering it panicked, which is a bug.
        Panicked = "panicked",
    }
}

words! {
    /// The reason why a connection ended.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) enum Closed {
        /// The client closed it, or it broke.
        Client = "client",
        /// It was silent for too long.
        Idle = "idle",
        /// A message did not arrive whole in time.
        Unfinished = "unfinished",
        /// The client did not read its answers in time.
        SlowReader = "slow-reader",
        /// It was the connection idle longest when there was no room for a new one.
        Evicted = "evicted",
        /// The server stops.
        Stop = "stop",
        /// The TLS or QUIC handshake failed or took too long.
        Handshake = "handshake",
        /// The client broke the rules of its transport (RFC 9250 §4.3.3).
        Violation = "violation",
    }
}

words! {
    /// The result of a request for a zone over a stream.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) enum TransferEnd {
        /// All messages of the zone, or of its changes, were written to the connection.
        Complete = "complete",
        /// The connection ended during the transfer.
        Cut = "cut",
        /// The reply was an error: the client may not have the zone, or there is no such zone.
        Refused = "refused",
    }
}

words! {
    /// A socket call that failed.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) enum SocketFailure {
        /// Receiving datagrams.
        Receive = "receive",
        /// Accepting a connection.
        Accept = "accept",
    }
}

words! {
    /// A response code, or the cell that all others share.
    #[derive(Clone, Copy)]
    enum RcodeCell {
        NoError = "NOERROR",
        FormErr = "FORMERR",
        ServFail = "SERVFAIL",
        NxDomain = "NXDOMAIN",
        NotImp = "NOTIMP",
        Refused = "REFUSED",
        YxDomain = "YXDOMAIN",
        NotAuth = "NOTAUTH",
        BadVers = "BADVERS",
        BadCookie = "BADCOOKIE",
        Other = "other",
    }
}

counters! {
    struct DnsCells {
        "pharos_dns_requests_total" "Messages received by the DNS listeners." {
            requests: ByWord<Transport, ByWord<Family>> ["proto", "family"],
        }
        "pharos_dns_request_duration_seconds"
        "From taking a message to having sent or queued its reply; those of one batch each count with all of it." {
            durations: ByWord<Transport, Histogram> ["proto"],
        }
        "pharos_dns_responses_total" "Responses by response code." { rcodes: ByWord<RcodeCell> ["rcode"], }
        "pharos_dns_outcomes_total" "Responses by outcome." { outcomes: ByWord<Outcome> ["outcome"], }
        "pharos_dns_steering_decisions_total"
        "Steered answers by what decided: the subnet of an ECS option, or the resolver's address." {
            vantages: ByWord<Vantage> ["by"],
        }
        "pharos_dns_truncated_total" "Responses that lack something required (TC)." { truncated: Counter [], }
        "pharos_dns_cookies_total" "Queries answered by what their cookie proved." {
            cookies: ByWord<Cookie> ["cookie"],
        }
        "pharos_dns_rate_limit_total" "Responses by what rate limiting did to them." {
            limits: ByWord<Limit> ["limit"],
            dropped: Counter ["limit" = "dropped"],
        }
        "pharos_dns_ecs_compared_total"
        "Steered answers by subnet, sampled, by whether the resolver's address leads to the same mirrors." {
            ecs_same: Counter ["mirrors" = "same"],
            ecs_different: Counter ["mirrors" = "different"],
        }
        "pharos_dns_lost_total" "Messages without a reply, or whose reply was not sent." {
            lost: ByWord<LostReply> ["reason"],
        }
        "pharos_dns_socket_failures_total" "Socket calls that failed." { failures: ByWord<SocketFailure> ["call"], }
        "pharos_dns_transfers_total" "Zones asked for over streams, by how that ended." {
            transfers: ByWord<TransferEnd> ["outcome"],
        }
        "pharos_dns_connections" "TCP, TLS and QUIC connections open now." { connections: Gauge [], }
        "pharos_dns_connections_closed_total" "TCP, TLS and QUIC connections by the reason of their end." {
            closed: ByWord<Closed> ["reason"],
        }
        "pharos_dns_connections_refused_total" "Connections over the limit of one client." { refused: Counter [], }
    }
}

/// One in this many steered answers is attributed to the provider and region of its client, and counts for all of them. The
/// attribution is one more search, which for every answer would take a tenth of the time of a query.
const ATTRIBUTED_ONE_OF: u64 = 64;

/// The counters of one writer. Aligned to the two cache lines that CPUs fetch together, so that no two blocks share a line.
#[repr(align(128))]
#[derive(Debug, Default)]
pub(crate) struct CounterBlock {
    cells: DnsCells,
    steered: SteeredCounts,
    regions: ByRegion<Counter>,
}

/// All counters of the DNS listeners.
#[derive(Debug, Default)]
pub(crate) struct DnsCounters {
    blocks: Mutex<Vec<Arc<CounterBlock>>>,
    /// The recorded queries of all listeners.
    pub(crate) recent: RecentQueries,
}

/// A block with one writer.
#[derive(Debug)]
pub(crate) struct Own(Arc<CounterBlock>);

/// A block with many writers, and their table of recent queries.
#[derive(Clone, Debug)]
pub(crate) struct SharedBlock(Arc<CounterBlock>, Arc<QueryTable>);

/// Counting.
pub(crate) trait Count {
    #[doc(hidden)]
    fn block(&self) -> &CounterBlock;

    /// Adds to a cell of the block; only the methods below call it, which have the block by `&mut self`.
    #[doc(hidden)]
    fn add(cell: &Counter, count: u64);

    /// Counts a message received.
    #[inline]
    fn query(&mut self, peer: &Peer) {
        let family = match peer.address {
            IpAddr::V4(_) => Family::V4,
            IpAddr::V6(_) => Family::V6,
        };
        Self::add(self.block().cells.requests.of(peer.transport).of(family), 1);
    }

    /// Counts a reply made from a snapshot.
    #[inline]
    fn reply(&mut self, summary: &Summary, snapshot: &Snapshot) {
        let CounterBlock { cells, steered, regions } = self.block();
        if let Some(Steering { horizon, family, decision }) = summary.basis.steering {
            let by_vantage = cells.vantages.of(decision.location.vantage);
            Self::add(by_vantage, 1);
            // An exact count needs no randomness, and no client can keep itself out of the sample.
            if by_vantage.value().is_multiple_of(ATTRIBUTED_ONE_OF) {
                let (region, _) = snapshot.regions().of(decision.location.address);
                Self::add(regions.of(region), ATTRIBUTED_ONE_OF);
            }
            if let Some(meter) = snapshot.meter(horizon, decision.plan, family) {
                Self::add(steered.of(meter), 1);
            }
        }
        Self::add(cells.rcodes.of(RcodeCell::of(summary.rcode)), 1);
        Self::add(cells.outcomes.of(summary.basis.outcome), 1);
        Self::add(cells.cookies.of(summary.cookie), 1);
        Self::add(cells.limits.of(summary.limit), 1);
        match summary.ecs {
            EcsEffect::NotCompared => {}
            EcsEffect::Same => Self::add(&cells.ecs_same, 1),
            EcsEffect::Different => Self::add(&cells.ecs_different, 1),
        }
        if summary.truncated {
            Self::add(&cells.truncated, 1);
        }
    }

    /// Counts the duration of `count` messages that were answered together. Each counts with the whole `time`, because the
    /// replies leave together.
    #[inline]
    fn took(&mut self, transport: Transport, count: u64, time: Duration) {
        let (us, durations) = (micros(time), self.block().cells.durations.of(transport));
        Self::add(&durations.buckets[bucket(us)], count);
        Self::add(&durations.sum_us, us * count);
    }

    /// Counts messages that got no reply.
    #[inline]
    fn lost(&mut self, why: LostReply, count: usize) {
        Self::add(self.block().cells.lost.of(why), count as u64);
    }

    /// Counts a response that rate limiting dropped.
    #[inline]
    fn dropped(&mut self) {
        Self::add(&self.block().cells.dropped, 1);
    }

    /// Counts a request for a zone by its result.
    fn given(&mut self, how: TransferEnd) {
        Self::add(self.block().cells.transfers.of(how), 1);
    }

    /// Counts the end of a connection.
    fn closed(&mut self, how: Closed) {
        Self::add(self.block().cells.closed.of(how), 1);
    }

    /// Counts a socket call that failed.
    fn failed(&mut self, what: SocketFailure) {
        Self::add(self.block().cells.failures.of(what), 1);
    }

    /// Counts a connection that was refused because its client had as many as it may.
    fn over_client_limit(&mut self) {
        Self::add(&self.block().cells.refused, 1);
    }
}

impl Count for Own {
    #[inline]
    fn block(&self) -> &CounterBlock {
        &self.0
    }

    #[inline]
    fn add(cell: &Counter, count: u64) {
        // No other thread writes to it: `Own` is not `Clone`, and `&mut self` belongs to one thread.
        cell.0.store(cell.0.load(Relaxed) + count, Relaxed);
    }
}

impl Count for SharedBlock {
    #[inline]
    fn block(&self) -> &CounterBlock {
        &self.0
    }

    #[inline]
    fn add(cell: &Counter, count: u64) {
        cell.add(count);
    }
}

impl SharedBlock {
    /// Open connections: TCP, TLS and QUIC.
    pub(crate) fn connections(&self) -> &Gauge {
        &self.0.cells.connections
    }

    /// Records a query that was answered, if an operator watches.
    #[inline]
    pub(crate) fn record(&self, peer: &Peer, message: &[u8], now: Moment) {
        if let Some(mut watched) = self.1.watched(now) {
            watched.record(peer.address, message);
        }
    }
}

impl RcodeCell {
    #[inline]
    fn of(rcode: Rcode) -> Self {
        match rcode {
            Rcode::NOERROR => RcodeCell::NoError,
            Rcode::FORMERR => RcodeCell::FormErr,
            Rcode::SERVFAIL => RcodeCell::ServFail,
            Rcode::NXDOMAIN => RcodeCell::NxDomain,
            Rcode::NOTIMP => RcodeCell::NotImp,
            Rcode::REFUSED => RcodeCell::Refused,
            Rcode::YXDOMAIN => RcodeCell::YxDomain,
            Rcode::NOTAUTH => RcodeCell::NotAuth,
            Rcode::BADVERS => RcodeCell::BadVers,
            Rcode::BADCOOKIE => RcodeCell::BadCookie,
            _ => RcodeCell::Other,
        }
    }
}

impl DnsCounters {
    /// Counters for one thread.
    pub(crate) fn own(&self) -> Own {
        Own(self.block())
    }

    /// Counters for many tasks.
    pub(crate) fn shared(&self) -> SharedBlock {
        SharedBlock(self.block(), self.recent.table())
    }

    fn block(&self) -> Arc<CounterBlock> {
        let block: Arc<CounterBlock> = Arc::default();
        locked(&self.blocks).push(block.clone());
        block
    }

    /// The estimated number of steered answers for clients in a region.
    pub(crate) fn in_region(&self, region: RegionMeter) -> u64 {
        locked(&self.blocks).iter().map(|block| block.regions.of(region).value()).sum()
    }

    /// The number of answers with a mirror in the first place.
    pub(crate) fn steered(&self, meter: Meter) -> u64 {
        locked(&self.blocks).iter().map(|block| block.steered.of(meter).value()).sum()
    }
}

impl Collect for DnsCounters {
    fn collect(&self, page: &mut MetricsPage) {
        let blocks = locked(&self.blocks);
        DnsCells::collect_all(&blocks.iter().map(|block| &block.cells).collect::<Vec<_>>(), page);
    }
}

#[cfg(test)]
mod tests;
