//! The successor of a snapshot in the making.
//!
//! The publisher folds in all waiting changes, one after the other, and then derives the snapshot once: a probe round of a
//! thousand mirrors costs one encoding of answers.
//!
//! **Invariants**: each change applies to the state that the changes before it have made.
//! **Not here**: the effect of changes on mirrors and hosts ([`super::Live`]).

use std::sync::Arc;

use super::{Change, Live, Snapshot};
use crate::base::time::Generation;
use crate::mirror::Mirror;
use crate::zone::Zone;

/// A snapshot that is being made from the one before.
#[derive(Debug)]
pub struct Next {
    snapshot: Snapshot,
    /// True if [`super::Derived`] follows from the rest. Its mirrors always do.
    is_derived: bool,
    /// True if the dynamic records of zones are those that follow from the rest.
    is_overlaid: bool,
}

impl Next {
    /// Begins with the served snapshot.
    pub fn of(served: &Snapshot) -> Self {
        Next { snapshot: served.clone(), is_derived: true, is_overlaid: true }
    }

    /// Folds in a change, and gives the generation that has it.
    pub fn apply(&mut self, change: &Change) -> Generation {
        let next = &mut self.snapshot;
        match change {
            Change::Zone(zone) => next.zones = Arc::new(next.zones.with(zone.clone(), &next.overlays)),
            Change::Dynamic(key, set) => {
                Arc::make_mut(&mut next.live).overlays.set((**key).clone(), set.clone());
                self.is_overlaid = false;
            }
            Change::Tokens(tokens) => {
                Arc::make_mut(&mut next.live).tokens = tokens.clone();
                self.is_overlaid = false;
            }
            Change::Steering(steering) => {
                next.steer(steering);
                self.is_derived = false;
            }
            Change::Health(name, found) => {
                if let Some(id) = next.mirror(name) {
                    Arc::make_mut(&mut next.live).note_health(&next.derived.mirrors[id.index()], found);
                    self.is_derived = false;
                }
            }
            Change::Force(name, order) => {
                Arc::make_mut(&mut next.live).note_override(name, order.as_ref());
                self.is_derived = false;
            }
            Change::Addresses(host, addresses) => {
                Arc::make_mut(&mut next.live).note_addresses(host, addresses, &next.derived.mirrors);
                next.derived.mirrors = mirrors_now(next);
                self.is_derived = false;
                self.is_overlaid = next.challenges().mirrors.is_empty() && self.is_overlaid;
            }
        }
        next.generation = Generation(next.generation.0 + 1);
        next.generation
    }

    /// Continues with a newly compiled snapshot. Histories of zones stay, and so do copies of zones that were fetched
    /// meanwhile, the state of mirrors and hosts, and the places of mirrors and regions in tables of counters.
    pub fn replace(&mut self, compiled: Snapshot) -> Generation {
        let served = std::mem::replace(&mut self.snapshot, compiled);
        let next = &mut self.snapshot;
        let is_copy = |id| !next.compiled.transfers.policy(id).primaries.is_empty();
        next.live = Arc::new(Live::following(&served, &next.compiled.mirrors));
        next.meters = served.meters.following(&next.compiled.mirrors);
        next.regions = served.regions.following(next.compiled.regions.clone());
        next.derived.mirrors = mirrors_now(next);
        next.overlays = Arc::new(next.overlays_now());
        next.zones = Arc::new(next.zones.following(&served.zones, &next.overlays, is_copy));
        self.is_overlaid = true;
        next.generation = Generation(served.generation.0 + 1);
        self.is_derived = false;
        next.generation
    }

    /// Takes in signed versions of zones, each with the zone that it was made of; one of a zone that has changed is left out.
    pub(crate) fn sign(&mut self, signed: Vec<(Arc<Zone>, Arc<Zone>)>) {
        self.snapshot.zones = Arc::new(self.snapshot.zones.with_signed(signed));
    }

    /// The snapshot.
    pub fn derive(self) -> Snapshot {
        let Next { mut snapshot, is_derived, is_overlaid } = self;
        if !is_overlaid {
            snapshot = snapshot.overlay();
        }
        if !is_derived {
            snapshot = snapshot.derive();
        }
        snapshot
    }
}

fn mirrors_now(snapshot: &Snapshot) -> Arc<[Mirror]> {
    snapshot.compiled.mirrors.iter().map(|mirror| snapshot.live.mirror(mirror)).collect()
}
