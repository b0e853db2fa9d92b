//! What probes find: how often each verdict, and how each address stands.
//!
//! **Invariants**: written by the watcher alone, off the query path.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use super::{Collect, Counter, Page};
use crate::base::time::UnixTime;
use crate::mirror::{Health, VERDICTS, Verdict};

type Addresses = BTreeMap<(Arc<str>, IpAddr), Found>;

/// What is known of one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// The last verdict.
    pub verdict: Verdict,
    /// How the address stands.
    pub health: Health,
    /// Since when it stands like this, as far as this process knows.
    pub since: UnixTime,
}

/// What has been found so far.
#[derive(Debug, Default)]
pub struct Probes {
    verdicts: [Counter; VERDICTS.len()],
    addresses: Mutex<Addresses>,
}

impl Probes {
    /// Counts a verdict, and how the address stands after it.
    pub fn found(&self, mirror: &Arc<str>, address: IpAddr, verdict: Verdict, health: Health, now: UnixTime) {
        self.verdicts[verdict as usize].increment();
        let mut addresses = self.addresses();
        let known = addresses.entry((mirror.clone(), address)).or_insert(Found { verdict, health, since: now });
        let since = if known.health == health { known.since } else { now };
        *known = Found { verdict, health, since };
    }

    /// What is known of an address; none before its first verdict.
    pub fn last(&self, mirror: &Arc<str>, address: IpAddr) -> Option<Found> {
        self.addresses().get(&(mirror.clone(), address)).copied()
    }

    /// Forgets addresses that are no longer probed.
    pub fn keep(&self, wanted: impl Fn(&str, IpAddr) -> bool) {
        self.addresses().retain(|(mirror, address), _| wanted(mirror, *address));
    }

    fn addresses(&self) -> std::sync::MutexGuard<'_, Addresses> {
        // A panic elsewhere leaves the map whole.
        self.addresses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Collect for Probes {
    fn collect(&self, page: &mut Page) {
        let mut family = page.counter("pharos_probes_total", "Probes of mirrors' addresses by verdict.");
        for verdict in VERDICTS {
            family.sample(&[("verdict", verdict.as_str())], self.verdicts[verdict as usize].value());
        }
        let addresses = self.addresses().clone();
        let mut family = page.gauge("pharos_mirror_up", "Whether an address is steered to, with its last verdict.");
        for ((mirror, address), Found { verdict, health, .. }) in &addresses {
            let (address, up) = (address.to_string(), u64::from(*health == Health::Up));
            family.sample(&[("mirror", mirror), ("address", &address), ("verdict", verdict.as_str())], up);
        }
    }
}
