//! What is found out and ordered while serving. It outlives every load.
//!
//! **Invariants**: everything is kept by name or address, never by an id, which is that of one load; of a mirror and of a
//! host nothing is kept that the configuration does not have, but overrides and dynamic records are: they wait for their mirror
//! or zone to come back.
//! **Not here**: what follows from it ([`super::Derived`]), zones ([`crate::zone::ZoneSet`] keeps their histories).

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use super::Snapshot;
use crate::mirror::{AddressStanding, Health, HostAddresses, Mirror, Override, Standing};
use crate::zone::{DynamicRrSet, RrSetKey, Zone, ZoneOverlays};

/// Operators' overrides by the mirror's name.
pub type Overrides = BTreeMap<Arc<str>, Override>;

/// Something that happened to the served state.
#[derive(Clone, Debug)]
pub enum Change {
    /// The addresses of the mirror of this name stand like this now. Of addresses that it has no longer, nothing changes:
    /// whoever found this out may not know yet that the mirror has moved.
    Health(Arc<str>, Vec<(IpAddr, AddressStanding)>),
    /// A host has these addresses, and so has every mirror that follows it.
    Addresses(Arc<str>, HostAddresses),
    /// An operator has ordered this of the mirror of this name; none: an override was taken back, or has ended.
    Force(Arc<str>, Option<Override>),
    /// A zone has another version.
    Zone(Arc<Zone>),
    /// A zone has this dynamic RRset, or with `None`, has it no longer.
    Dynamic(Box<RrSetKey>, Option<DynamicRrSet>),
}

impl Change {
    /// What was found out of a mirror at its addresses.
    pub fn standing(mirror: &Mirror, standing: &Standing) -> Self {
        Change::Health(mirror.name.clone(), standing.by_address(mirror).collect())
    }
}

/// What is known of mirrors and hosts beyond what files say.
#[derive(Clone, Debug, Default)]
pub struct Live {
    /// What is thought of addresses that mirrors get while we serve: up, or untried where somebody looks.
    pub(super) fresh: Health,
    /// The overrides in force, also those of mirrors that the configuration does not have now.
    pub(super) orders: Overrides,
    /// The dynamic records of zones, also of zones that the configuration does not have now.
    pub(super) overlays: ZoneOverlays,
    /// The addresses of hosts, where they were found after the load.
    hosts: HashMap<Arc<str>, HostAddresses>,
    /// By the mirror's name, how its addresses stand; of one that is missing nothing is known, and it counts as up.
    health: HashMap<Arc<str>, Vec<(IpAddr, AddressStanding)>>,
}

impl Live {
    /// A mirror as it is now.
    pub(super) fn mirror(&self, compiled: &Mirror) -> Mirror {
        let found = compiled.followed_host().and_then(|host| self.hosts.get(host));
        found.map_or_else(|| compiled.clone(), |addresses| compiled.at(addresses))
    }

    /// How a mirror stands, at the addresses that it has now.
    pub(super) fn standing(&self, mirror: &Mirror) -> Standing {
        let known = self.health.get(&mirror.name).map_or(&[][..], |known| known);
        let of = |address: IpAddr| {
            let found = known.iter().find(|(of, _)| *of == address);
            found.map_or_else(AddressStanding::default, |(_, standing)| *standing)
        };
        Standing {
            v4: mirror.v4.iter().map(|v4| of((*v4).into())).collect(),
            v6: mirror.v6.iter().map(|v6| of((*v6).into())).collect(),
            forced: self.orders.get(&mirror.name).map(|order| order.forced),
        }
    }

    /// Takes in what was found out of the addresses that a mirror has now.
    pub(super) fn note_health(&mut self, mirror: &Mirror, found: &[(IpAddr, AddressStanding)]) {
        let known = self.health.entry(mirror.name.clone()).or_default();
        for (address, standing) in found.iter().filter(|(address, _)| mirror.has(*address)) {
            match known.iter_mut().find(|(of, _)| of == address) {
                Some((_, known)) => *known = *standing,
                None => known.push((*address, *standing)),
            }
        }
    }

    /// Takes in what an operator has ordered, or has taken back.
    pub(super) fn note_override(&mut self, mirror: &Arc<str>, order: Option<&Override>) {
        match order {
            Some(order) => self.orders.insert(mirror.clone(), order.clone()),
            None => self.orders.remove(mirror),
        };
    }

    /// Takes in the addresses of a host, of which `mirrors` follow some.
    pub(super) fn note_addresses(&mut self, host: &Arc<str>, addresses: &HostAddresses, mirrors: &[Mirror]) {
        self.hosts.insert(host.clone(), addresses.clone());
        for before in mirrors.iter().filter(|mirror| mirror.followed_host() == Some(host)) {
            self.move_mirror(Some(before), &before.at(addresses));
        }
    }

    /// Keeps how those addresses of a mirror stand that it had before; the others are fresh.
    fn move_mirror(&mut self, before: Option<&Mirror>, now: &Mirror) {
        let mut known = self.health.remove(&now.name).unwrap_or_default();
        known.retain(|(address, _)| now.has(*address));
        if self.fresh != Health::Up {
            // Somebody looks, so that soon changes.
            let fresh = AddressStanding { health: self.fresh, stable_secs: Some(1) };
            let is_new = |address: &IpAddr| before.is_none_or(|before| !before.has(*address));
            known.extend(now.addresses().filter(is_new).map(|address| (address, fresh)));
        }
        if !known.is_empty() {
            self.health.insert(now.name.clone(), known);
        }
    }

    /// What is known once another load is served instead: of mirrors and hosts that both have, everything.
    pub(super) fn following(before: &Snapshot, compiled: &[Mirror]) -> Self {
        let served: HashMap<&Arc<str>, &Mirror> =
            before.mirrors().iter().map(|mirror| (&mirror.name, mirror)).collect();
        let mut live = Live { hosts: HashMap::new(), health: HashMap::new(), ..Live::clone(&before.live) };
        for mirror in compiled {
            let before_it = served.get(&mirror.name).copied();
            // What the load has resolved counts where it is newer.
            if let Some(host) = mirror.followed_host()
                && let Some(known) = before_it.filter(|served| served.followed_host() == Some(host))
                && let (Some(known), Some(loaded)) = (known.host_addresses(), mirror.host_addresses())
                && known.at >= loaded.at
            {
                live.hosts.insert(host.clone(), known);
            }
        }
        for mirror in compiled {
            if let Some(known) = before.live.health.get(&mirror.name) {
                live.health.insert(mirror.name.clone(), known.clone());
            }
            live.move_mirror(served.get(&mirror.name).copied(), &live.mirror(mirror));
        }
        live
    }

    /// Has mirrors stand as `known` says; those that it does not know are up.
    pub(super) fn set_standings(&mut self, mirrors: &[Mirror], mut known: impl FnMut(&Mirror) -> Option<Standing>) {
        self.health.clear();
        for mirror in mirrors {
            if let Some(standing) = known(mirror) {
                self.note_health(mirror, &standing.by_address(mirror).collect::<Vec<_>>());
            }
        }
    }
}
