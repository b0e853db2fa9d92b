//! All zones of a snapshot: which one holds a name.
//!
//! In: zones with distinct apexes. Out: the zone with the longest apex at or above a name (RFC 1034 §4.3.2 step 2).
//!
//! **Invariants**: ids are indexes in the order the zones were given.
//! **Not here**: what the zone says about the name.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::table::Table;
use super::{History, Zone, is_newer};
use crate::base::ids::ZoneId;
use crate::base::name::{Name, Suffixes};

/// Zones by apex.
pub struct ZoneSet {
    zones: Vec<Arc<Zone>>,
    /// The last changes of each zone.
    histories: Vec<History>,
    table: Table,
    /// The numbers of labels that apexes have, the greatest first.
    depths: Vec<usize>,
    /// The octets that all zones take.
    memory: usize,
}

impl std::fmt::Debug for ZoneSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(&self.zones).finish()
    }
}

impl ZoneSet {
    /// Puts zones together whose apexes differ; of two with one apex only the first is found.
    pub fn new(zones: Vec<Zone>) -> Self {
        let histories = zones.iter().map(|_| History::default()).collect();
        ZoneSet::of(zones.into_iter().map(Arc::new).collect(), histories)
    }

    fn of(zones: Vec<Arc<Zone>>, histories: Vec<History>) -> Self {
        let mut table = Table::new();
        for (index, zone) in (0..).zip(&zones) {
            let suffixes = zone.apex().suffixes();
            table.insert(suffixes.hash(suffixes.labels()), index);
        }
        let depths: BTreeSet<usize> = zones.iter().map(|zone| zone.apex_labels).collect();
        let depths = depths.into_iter().rev().collect();
        let areas = zones.iter().flat_map(|zone| zone.areas());
        let memory = areas.map(|area| area.end.addr() - area.start.addr()).sum();
        ZoneSet { zones, histories, table, depths, memory }
    }

    /// These zones as the next versions of those of `before`, whose changes are added to what is known of each.
    ///
    /// Where both have a copy of a zone that is kept elsewhere (`is_copy`), the newer copy stays: a transfer may have
    /// overtaken whoever read the files.
    pub fn following(&self, before: &ZoneSet, is_copy: impl Fn(ZoneId) -> bool) -> Self {
        let (mut zones, mut histories) = (self.zones.clone(), self.histories.clone());
        for (at, (zone, history)) in zones.iter_mut().zip(&mut histories).enumerate() {
            let apex = zone.apex();
            let Some((id, old)) = before.find(apex, &apex.suffixes()).filter(|(_, old)| old.apex() == apex) else {
                continue;
            };
            let old_history = &before.histories[id.index()];
            let overtaken = !zone.is_available() || (old.is_available() && is_newer(old.serial(), zone.serial()));
            if is_copy(ZoneId::from_index(at)) && overtaken {
                *zone = before.zones[id.index()].clone();
                *history = old_history.clone();
            } else {
                *history = old_history.after(old, zone);
            }
        }
        ZoneSet::of(zones, histories)
    }

    /// These zones, with another version of one of them; the same where there is none of that name.
    pub fn with(&self, zone: Arc<Zone>) -> Self {
        let (mut zones, mut histories) = (self.zones.clone(), self.histories.clone());
        if let Some(at) = zones.iter().position(|known| known.apex() == zone.apex()) {
            histories[at] = histories[at].after(&zones[at], &zone);
            zones[at] = zone;
        }
        ZoneSet::of(zones, histories)
    }

    /// The last changes of a zone.
    pub fn history(&self, id: ZoneId) -> &History {
        &self.histories[id.index()]
    }

    /// A zone to be kept for longer.
    pub fn shared(&self, id: ZoneId) -> &Arc<Zone> {
        &self.zones[id.index()]
    }

    /// Takes in the suffixes of a name that were left out, where an apex may be one of them.
    #[inline]
    pub fn reach(&self, name: Name<'_>, suffixes: &mut Suffixes) {
        if suffixes.is_partial() && self.depths.first().is_some_and(|deepest| suffixes.known() < *deepest) {
            suffixes.fill(name);
        }
    }

    /// The octets that queries may read of all zones.
    #[inline]
    pub fn memory(&self) -> usize {
        self.memory
    }

    /// The zone that holds a name: the one with the longest apex at or above it; `suffixes` are those of `name`,
    /// all or as [`ZoneSet::reach`] left them.
    #[inline]
    pub fn find(&self, name: Name<'_>, suffixes: &Suffixes) -> Option<(ZoneId, &Zone)> {
        self.find_within(name, suffixes, suffixes.labels())
    }

    /// The zone to ask for what stands on the parent's side of a cut (DS, RFC 4035 §3.1.4.1): where `name` is an apex
    /// and the zone above it is here too, that one; otherwise as [`ZoneSet::find`].
    pub fn find_parent_side(&self, name: Name<'_>, suffixes: &Suffixes) -> Option<(ZoneId, &Zone)> {
        let found = self.find(name, suffixes)?;
        if found.1.apex_labels < suffixes.labels() || found.1.apex_labels == 0 {
            return Some(found);
        }
        self.find_within(name, suffixes, suffixes.labels() - 1).or(Some(found))
    }

    /// The zone with the longest apex among the suffixes of at most `most` labels: a probe for each length that apexes have.
    fn find_within(&self, name: Name<'_>, suffixes: &Suffixes, most: usize) -> Option<(ZoneId, &Zone)> {
        for &labels in self.depths.iter().filter(|labels| **labels <= most) {
            let is_it = |index: u32| self.zones[index as usize].apex() == suffixes.suffix(name, labels);
            if let Some(index) = self.table.find(suffixes.hash(labels), is_it) {
                return Some((ZoneId::from_index(index as usize), &self.zones[index as usize]));
            }
        }
        None
    }

    /// The zone with an id that this set gave.
    #[inline]
    pub fn zone(&self, id: ZoneId) -> &Zone {
        &self.zones[id.index()]
    }

    /// All zones, in the order they were given.
    pub fn iter(&self) -> impl Iterator<Item = (ZoneId, &Zone)> {
        self.zones.iter().enumerate().map(|(index, zone)| (ZoneId::from_index(index), &**zone))
    }

    /// The number of zones.
    pub fn len(&self) -> usize {
        self.zones.len()
    }

    /// Whether there is no zone.
    pub fn is_empty(&self) -> bool {
        self.zones.is_empty()
    }
}
