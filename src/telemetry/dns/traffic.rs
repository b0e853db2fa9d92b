//! Sums over all blocks of counters, for `pharos top` and the status page.
//!
//! **Not here**: counting ([`super`]), the page of metrics.

use super::{DnsCells, DnsCounters, LostReply, RcodeCell};
use crate::base::client::Vantage;
use crate::base::lock::locked;
use crate::base::prefix::Family;
use crate::base::words::Worded as _;
use crate::telemetry::histogram::quantile;
use crate::wire::Transport;

/// Counts since the start of the server.
#[derive(Debug)]
pub(crate) struct DnsTraffic {
    /// Messages received.
    pub(crate) queries: u64,
    /// Messages without a reply, or whose reply was not sent.
    pub(crate) lost: u64,
    /// Responses by response code, those that occurred.
    pub(crate) rcodes: Vec<(&'static str, u64)>,
    /// Steered answers by the address that decided.
    pub(crate) vantages: Vec<(&'static str, u64)>,
}

impl DnsCounters {
    /// The counts since the start of the server.
    pub(crate) fn traffic(&self) -> DnsTraffic {
        let rcodes = RcodeCell::ALL.iter().map(|word| (word.word(), self.sum(|cells| cells.rcodes.of(*word).value())));
        let vantages =
            Vantage::ALL.iter().map(|word| (word.word(), self.sum(|cells| cells.vantages.of(*word).value())));
        DnsTraffic {
            queries: self.queries(),
            lost: self.all_losses(),
            rcodes: rcodes.filter(|(_, count)| *count > 0).collect(),
            vantages: vantages.collect(),
        }
    }

    /// The sum of a cell over all blocks.
    pub(super) fn sum(&self, cell: impl Fn(&DnsCells) -> u64) -> u64 {
        locked(&self.blocks).iter().map(|block| cell(&block.cells)).sum()
    }

    /// The number of messages received.
    pub(crate) fn queries(&self) -> u64 {
        let each = Transport::ALL.into_iter().flat_map(|transport| Family::ALL.map(|family| (transport, family)));
        each.map(|(transport, family)| self.sum(|cells| cells.requests.of(transport).of(family).value())).sum()
    }

    /// The number of responses.
    pub(crate) fn answers(&self) -> u64 {
        self.sum(|cells| RcodeCell::ALL.iter().map(|rcode| cells.rcodes.of(*rcode).value()).sum())
    }

    /// The number of responses SERVFAIL.
    pub(crate) fn failures(&self) -> u64 {
        self.sum(|cells| cells.rcodes.of(RcodeCell::ServFail).value())
    }

    /// The number of steered answers for which this address decided.
    pub(crate) fn steered_by(&self, vantage: Vantage) -> u64 {
        self.sum(|cells| cells.vantages.of(vantage).value())
    }

    /// The number of messages without a reply, or whose reply was not sent.
    pub(crate) fn all_losses(&self) -> u64 {
        self.sum(|cells| LostReply::ALL.iter().map(|why| cells.lost.of(*why).value()).sum())
    }

    /// The duration within which this share of all messages were answered, in seconds; `None` before the first message.
    pub(crate) fn quantile(&self, share: f64) -> Option<f64> {
        let of = |at: usize| {
            self.sum(|cells| Transport::ALL.iter().map(|one| cells.durations.of(*one).buckets[at].value()).sum())
        };
        quantile(&std::array::from_fn(of), share)
    }
}
