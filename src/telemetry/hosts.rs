//! Counters of the hosts that mirrors follow: results of lookups, and the age of the addresses that are served.
//!
//! **Invariants**: only the service writes them, off the query path; a host that no mirror follows any more is forgotten.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use super::cells::{ByWord, counters};
use super::{Collect, Counter, MetricsPage};
use crate::base::lock::locked;
use crate::base::prefix::Family;
use crate::base::words::words;
use crate::mirror::Trouble;

/// One mirror that follows a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Following {
    /// The host.
    pub(crate) host: Arc<str>,
    /// The number of its IPv4 addresses, and of its IPv6 addresses.
    pub(crate) addresses: [usize; 2],
    /// The time of the last lookup that confirmed all addresses; `None` if no lookup has.
    pub(crate) resolved: Option<Instant>,
}

/// By mirror.
type FollowingMirrors = BTreeMap<Arc<str>, Following>;

words! {
    /// The result of a lookup.
    #[derive(Clone, Copy)]
    enum LookupOutcome {
        Found = "found",
        Timeout = "timeout",
        Server = "server",
        Loop = "loop",
        Refused = "refused",
        NoAddress = "no-address",
    }
}

counters! {
    /// Counts of lookups.
    pub(crate) struct HostCounters {
        "pharos_host_lookups_total" "Lookups of mirrors' hosts by outcome." { lookups: ByWord<LookupOutcome> ["outcome"], }
        "pharos_host_changes_total" "Changes of the addresses of mirrors' hosts." { pub(crate) changes: Counter [], }
    }
}

/// Results of lookups, and the host of each mirror.
#[derive(Debug, Default)]
pub(crate) struct Hosts {
    /// The counts.
    pub(crate) counters: HostCounters,
    mirrors: Mutex<FollowingMirrors>,
}

impl Hosts {
    /// Counts a lookup by how it ended.
    pub(crate) fn ended(&self, trouble: Option<&Trouble>) {
        let outcome = match trouble {
            None => LookupOutcome::Found,
            Some(Trouble::Timeout) => LookupOutcome::Timeout,
            Some(Trouble::Server(_)) => LookupOutcome::Server,
            Some(Trouble::Loop(_)) => LookupOutcome::Loop,
            Some(Trouble::Refused(_)) => LookupOutcome::Refused,
            Some(Trouble::NoAddress) => LookupOutcome::NoAddress,
        };
        self.counters.lookups.of(outcome).increment();
    }

    /// Replaces the mirrors and their hosts.
    pub(crate) fn set(&self, mirrors: FollowingMirrors) {
        *locked(&self.mirrors) = mirrors;
    }
}

impl Collect for Hosts {
    fn collect(&self, page: &mut MetricsPage) {
        self.counters.collect(page);
        let mirrors = locked(&self.mirrors).clone();
        let counts = mirrors.iter().flat_map(|(mirror, Following { host, addresses, .. })| {
            let counts = Family::ALL.into_iter().zip(addresses);
            counts.map(|(of, count)| ([&**mirror, &**host, of.as_str()], *count as u64))
        });
        page.gauge("pharos_host_addresses", "Addresses that a mirror has from its host.")
            .samples(["mirror", "host", "family"], counts);
        let ages = mirrors.iter().filter_map(|(mirror, Following { host, resolved, .. })| {
            Some(([mirror, host], resolved.as_ref()?.elapsed().as_secs()))
        });
        page.gauge("pharos_host_age_seconds", "Seconds since the addresses of a mirror's host were last confirmed.")
            .samples(["mirror", "host"], ages);
    }
}
