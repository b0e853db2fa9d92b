//! What became of the hosts that mirrors follow: how lookups ended, and how old what is served is.
//!
//! **Invariants**: written by the service alone, off the query path; a host that nobody follows any more is forgotten.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::{Collect, Counter, MetricsPage};
use crate::mirror::{TROUBLES, Trouble};

/// One mirror that follows a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Following {
    /// The host.
    pub host: Arc<str>,
    /// How many addresses it has, of IPv4 and of IPv6.
    pub addresses: [usize; 2],
    /// When all of it was last found to be so; none where it never was.
    pub resolved: Option<Instant>,
}

/// By mirror.
type FollowingMirrors = BTreeMap<Arc<str>, Following>;

/// What has been found so far.
#[derive(Debug, Default)]
pub struct Hosts {
    found: Counter,
    changed: Counter,
    troubles: [Counter; TROUBLES.len()],
    mirrors: Mutex<FollowingMirrors>,
}

impl Hosts {
    /// Counts a lookup by how it ended.
    pub fn ended(&self, trouble: Option<&Trouble>) {
        match trouble {
            Some(trouble) => self.troubles[trouble.kind()].increment(),
            None => self.found.increment(),
        }
    }

    /// Counts a change of addresses.
    pub fn changed(&self) {
        self.changed.increment();
    }

    /// Says how mirrors stand from now on.
    pub fn set(&self, mirrors: FollowingMirrors) {
        *self.mirrors() = mirrors;
    }

    fn mirrors(&self) -> MutexGuard<'_, FollowingMirrors> {
        // A panic elsewhere leaves the map whole.
        self.mirrors.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Collect for Hosts {
    fn collect(&self, page: &mut MetricsPage) {
        let mut family = page.counter("pharos_host_lookups_total", "Lookups of mirrors' hosts by outcome.");
        family.sample(&[("outcome", "found")], self.found.value());
        for (word, counter) in TROUBLES.iter().zip(&self.troubles) {
            family.sample(&[("outcome", word)], counter.value());
        }
        page.counter("pharos_host_changes_total", "Changes of the addresses of mirrors' hosts.")
            .sample(&[], self.changed.value());
        let mirrors = self.mirrors().clone();
        let mut family = page.gauge("pharos_host_addresses", "Addresses that a mirror has from its host.");
        for (mirror, following) in &mirrors {
            for (word, count) in ["ipv4", "ipv6"].into_iter().zip(following.addresses) {
                family.sample(&[("mirror", mirror), ("host", &following.host), ("family", word)], count as u64);
            }
        }
        let help = "Seconds since the addresses of a mirror's host were last confirmed.";
        let mut family = page.gauge("pharos_host_age_seconds", help);
        for (mirror, following) in &mirrors {
            if let Some(resolved) = following.resolved {
                family.sample(&[("mirror", mirror), ("host", &following.host)], resolved.elapsed().as_secs());
            }
        }
    }
}
