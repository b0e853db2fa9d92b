//! Sums over all blocks of counters, for `pharos top` and the status page.
//!
//! **Not here**: counting ([`super`]), the page of metrics.

use super::{DnsCells, DnsCounters, LostReply, RcodeCell};
use crate::base::client::Vantage;
use crate::base::lock::locked;
use crate::base::prefix::Family;
use crate::telemetry::histogram::quantile;
use crate::wire::Transport;

impl DnsCounters {
    /// Responses by response code, those that occurred.
    pub(crate) fn rcodes(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let count = |rcode| self.sum(|cells| cells.rcodes.of(rcode).value());
        RcodeCell::ALL.into_iter().map(move |rcode| (rcode.as_str(), count(rcode))).filter(|(_, count)| *count > 0)
    }

    /// Steered answers by the address that decided.
    pub(crate) fn vantages(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Vantage::ALL.into_iter().map(|vantage| (vantage.as_str(), self.steered_by(vantage)))
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
