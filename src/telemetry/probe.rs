//! What probes find: how often each verdict, and how each address stands.
//!
//! **Invariants**: written by the watcher alone, off the query path.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use super::{Collect, Counter, Page};
use crate::mirror::{Health, VERDICTS, Verdict};

/// By mirror and address: the last verdict, and how the address stands.
type Addresses = BTreeMap<(Arc<str>, IpAddr), (Verdict, Health)>;

/// What has been found so far.
#[derive(Debug, Default)]
pub struct Probes {
    verdicts: [Counter; VERDICTS.len()],
    addresses: Mutex<Addresses>,
}

impl Probes {
    /// Counts a verdict, and how the address stands after it.
    pub fn found(&self, mirror: &Arc<str>, address: IpAddr, verdict: Verdict, health: Health) {
        self.verdicts[verdict as usize].increment();
        self.addresses().insert((mirror.clone(), address), (verdict, health));
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
        for ((mirror, address), (verdict, health)) in &addresses {
            let (address, up) = (address.to_string(), u64::from(*health == Health::Up));
            family.sample(&[("mirror", mirror), ("address", &address), ("verdict", verdict.as_str())], up);
        }
    }
}
