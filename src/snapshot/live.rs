//! State that is learned, or set by operators, while serving. It outlives every load.
//!
//! **Invariants**: everything is kept by name or address, never by an id, because an id belongs to one load; the state of a
//! mirror or host that the configuration no longer has is dropped; overrides and dynamic records are kept until their mirror
//! or zone comes back.
//! **Not here**: data that follows from it ([`super::Derived`]), zones ([`crate::zone::ZoneSet`] keeps their histories).

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use super::{CompiledSteering, Snapshot};
use crate::challenge::ChallengeStore;
use crate::mirror::{AddressStanding, Health, HostAddresses, Mirror, Override, Standing};
use crate::zone::{DynamicRrSet, RrSetKey, Zone, ZoneOverlays};

/// Operators' overrides by the mirror's name.
pub(crate) type Overrides = BTreeMap<Arc<str>, Override>;

/// Something that happened to the served state.
#[derive(Clone, Debug)]
pub enum Change {
    /// New standings of addresses of the mirror of this name. Addresses that it no longer has are ignored: a probe may have
    /// ended after the mirror has moved.
    Health(Arc<str>, Vec<(IpAddr, AddressStanding)>),
    /// The addresses of a host, and so of every mirror that follows it.
    Addresses(Arc<str>, HostAddresses),
    /// The override of an operator for the mirror of this name; `None` if an override was taken back, or has ended.
    Force(Arc<str>, Option<Override>),
    /// Another version of a zone.
    Zone(Arc<Zone>),
    /// Other content of sources, compiled with the served configuration.
    Steering(Box<CompiledSteering>),
    /// A dynamic RRset of a zone; `None` removes it.
    Dynamic(Box<RrSetKey>, Option<DynamicRrSet>),
    /// The tokens of ACME challenges that credentials have set, all of them.
    Tokens(Arc<ChallengeStore>),
}

impl Change {
    /// The standing of a mirror, by its addresses.
    pub fn standing(mirror: &Mirror, standing: &Standing) -> Self {
        Change::Health(mirror.name.clone(), standing.by_address(mirror).collect())
    }
}

/// The state of mirrors, hosts and zones that is not in the files.
#[derive(Clone, Debug, Default)]
pub(crate) struct Live {
    /// The health of addresses that mirrors get while serving: up, or untried if probes run.
    pub(super) fresh: Health,
    /// The overrides in force, also those of mirrors that the configuration does not have now.
    pub(super) overrides: Overrides,
    /// The dynamic records of zones, also of zones that the configuration does not have now.
    pub(super) overlays: ZoneOverlays,
    /// The tokens of ACME challenges, also of credentials that the configuration does not have now.
    pub(super) tokens: Arc<ChallengeStore>,
    /// The addresses of hosts that were resolved after the load.
    hosts: HashMap<Arc<str>, HostAddresses>,
    /// By the mirror's name, the standing of its addresses; an address that is missing counts as up.
    health: HashMap<Arc<str>, Vec<(IpAddr, AddressStanding)>>,
}

impl Live {
    /// A mirror with its current addresses.
    pub(super) fn mirror(&self, compiled: &Mirror) -> Mirror {
        let found = compiled.followed_host().and_then(|host| self.hosts.get(host));
        found.map_or_else(|| compiled.clone(), |addresses| compiled.at(addresses))
    }

    /// The standing of a mirror, at its current addresses.
    pub(super) fn standing(&self, mirror: &Mirror) -> Standing {
        let known = self.health.get(&mirror.name).map_or(&[][..], |known| known);
        let of = |address: IpAddr| {
            let found = known.iter().find(|(of, _)| *of == address);
            found.map_or_else(AddressStanding::default, |(_, standing)| *standing)
        };
        Standing {
            v4: mirror.v4.iter().map(|v4| of((*v4).into())).collect(),
            v6: mirror.v6.iter().map(|v6| of((*v6).into())).collect(),
            forced: self.overrides.get(&mirror.name).map(|order| order.forced),
        }
    }

    /// Takes in standings of a mirror's addresses; addresses that the mirror does not have now are ignored.
    pub(super) fn note_health(&mut self, mirror: &Mirror, found: &[(IpAddr, AddressStanding)]) {
        let known = self.health.entry(mirror.name.clone()).or_default();
        for (address, standing) in found.iter().filter(|(address, _)| mirror.has(*address)) {
            match known.iter_mut().find(|(of, _)| of == address) {
                Some((_, known)) => *known = *standing,
                None => known.push((*address, *standing)),
            }
        }
    }

    /// Takes in an override of an operator; `None` takes the one in force back.
    pub(super) fn note_override(&mut self, mirror: &Arc<str>, order: Option<&Override>) {
        match order {
            Some(order) => self.overrides.insert(mirror.clone(), order.clone()),
            None => self.overrides.remove(mirror),
        };
    }

    /// Takes in the addresses of a host, of which `mirrors` follow some.
    pub(super) fn note_addresses(&mut self, host: &Arc<str>, addresses: &HostAddresses, mirrors: &[Mirror]) {
        self.hosts.insert(host.clone(), addresses.clone());
        for before in mirrors.iter().filter(|mirror| mirror.followed_host() == Some(host)) {
            self.move_mirror(Some(before), &before.at(addresses));
        }
    }

    /// Keeps the standings of addresses that the mirror still has; the others are fresh.
    fn move_mirror(&mut self, before: Option<&Mirror>, now: &Mirror) {
        let mut known = self.health.remove(&now.name).unwrap_or_default();
        known.retain(|(address, _)| now.has(*address));
        if self.fresh != Health::Up {
            // Probes run, so the health of a new address changes soon.
            let fresh = AddressStanding { health: self.fresh, stable_secs: Some(1) };
            let is_new = |address: &IpAddr| before.is_none_or(|before| !before.has(*address));
            known.extend(now.addresses().filter(is_new).map(|address| (address, fresh)));
        }
        if !known.is_empty() {
            self.health.insert(now.name.clone(), known);
        }
    }

    /// The state after a reload: all overrides and dynamic records, and the state of mirrors and hosts that both loads have.
    pub(super) fn following(before: &Snapshot, compiled: &[Mirror]) -> Self {
        let served: HashMap<&Arc<str>, &Mirror> =
            before.mirrors().iter().map(|mirror| (&mirror.name, mirror)).collect();
        let mut live = Live { hosts: HashMap::new(), health: HashMap::new(), ..Live::clone(&before.live) };
        for mirror in compiled {
            let before_it = served.get(&mirror.name).copied();
            // Of the served and the loaded addresses, the newer win.
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

    /// Sets the standings that `known` gives; a mirror without one is up.
    pub(super) fn set_standings(&mut self, mirrors: &[Mirror], mut known: impl FnMut(&Mirror) -> Option<Standing>) {
        self.health.clear();
        for mirror in mirrors {
            if let Some(standing) = known(mirror) {
                self.note_health(mirror, &standing.by_address(mirror).collect::<Vec<_>>());
            }
        }
    }
}
