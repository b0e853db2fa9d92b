//! The counts of a running server that operators look at first, added up over threads and listeners.
//!
//! **Not here**: counting ([`super::dns`], [`super::http`]), the page of all metrics ([`super::render`]).

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::dns::DnsCounters;
use super::http::Http;
use crate::base::client::Vantage;
use crate::snapshot::Meters;

/// The counters of the listeners for clients.
#[derive(Clone, Debug)]
pub(crate) struct Traffic {
    /// Those of the DNS listeners.
    pub(crate) dns: Arc<DnsCounters>,
    /// Those of the registry listener; `None` without it.
    pub(crate) http: Option<Arc<Http>>,
}

/// Counts since the process started; in `/status` by these names.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct TrafficTotals {
    /// DNS responses.
    pub(crate) answers: u64,
    /// Steered answers for which the client's subnet decided.
    pub(crate) by_subnet: u64,
    /// Steered answers for which the resolver's address decided.
    pub(crate) by_resolver: u64,
    /// DNS messages without a reply, or whose reply was not sent.
    pub(crate) lost: u64,
    /// The duration within which 99 % of DNS messages were answered, in seconds; `None` before the first message.
    pub(crate) p99_seconds: Option<f64>,
    /// Responses SERVFAIL.
    pub(crate) servfail: u64,
    /// Requests to the registry listener; `None` without it.
    pub(crate) http_requests: Option<u64>,
}

impl Traffic {
    /// The counts until now.
    pub(crate) fn totals(&self) -> TrafficTotals {
        TrafficTotals {
            answers: self.dns.answers(),
            by_subnet: self.dns.steered_by(Vantage::Subnet),
            by_resolver: self.dns.steered_by(Vantage::Resolver),
            lost: self.dns.all_losses(),
            p99_seconds: self.dns.quantile(0.99),
            servfail: self.dns.failures(),
            http_requests: self.http.as_ref().map(|http| http.all_requests()),
        }
    }

    /// The number of DNS answers with each mirror in the first place, by name. Mirrors that share a place have none.
    pub(crate) fn by_mirror<'m>(&self, meters: &'m Meters) -> BTreeMap<&'m str, u64> {
        let mut counts = BTreeMap::new();
        for (meter, mirror) in meters.own() {
            *counts.entry(mirror).or_default() += self.dns.steered(meter);
        }
        counts
    }
}
