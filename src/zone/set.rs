//! All zones of a snapshot: which one holds a name.
//!
//! In: zones with distinct apexes. Out: the zone with the longest apex at or above a name (RFC 1034 §4.3.2 step 2).
//!
//! Each zone is here three times: as its base; folded, with its dynamic records ([`super::overlay`]); and as queries see it,
//! which is the folded zone, or its signed version if it is signed here. All three are one zone in memory where nothing is added.
//!
//! **Invariants**: ids are indexes in the order the zones were given; histories are of the bases.
//! **Not here**: the answer of a zone for a name.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::overlay::{ZoneOverlays, fold};
use super::table::HashTable;
use super::{History, Zone, is_newer};
use crate::base::ids::ZoneId;
use crate::base::name::{Name, Suffixes};

/// Zones by apex.
pub struct ZoneSet {
    /// The zones to answer from.
    zones: Vec<Arc<Zone>>,
    /// The same without the signatures that are made here.
    folded: Vec<Arc<Zone>>,
    /// The same without their dynamic records, too.
    bases: Vec<Arc<Zone>>,
    /// The last changes of each base.
    histories: Vec<History>,
    table: HashTable,
    /// The numbers of labels that apexes have, the greatest first.
    depths: Vec<usize>,
    /// The bytes that all zones take.
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
        ZoneSet::sharing(zones.into_iter().map(Arc::new).collect())
    }

    /// The same of zones that others use too.
    pub(crate) fn sharing(zones: Vec<Arc<Zone>>) -> Self {
        let histories = zones.iter().map(|_| History::default()).collect();
        ZoneSet::of(zones.clone(), zones.clone(), zones, histories)
    }

    fn of(zones: Vec<Arc<Zone>>, folded: Vec<Arc<Zone>>, bases: Vec<Arc<Zone>>, histories: Vec<History>) -> Self {
        let mut table = HashTable::new();
        for (index, zone) in (0..).zip(&zones) {
            let suffixes = zone.apex().suffixes();
            table.insert(suffixes.hash(suffixes.labels()), index);
        }
        let depths: BTreeSet<usize> = zones.iter().map(|zone| zone.apex_labels).collect();
        let depths = depths.into_iter().rev().collect();
        let areas = zones.iter().flat_map(|zone| zone.areas());
        let memory = areas.map(|area| area.end.addr() - area.start.addr()).sum();
        ZoneSet { zones, folded, bases, histories, table, depths, memory }
    }

    /// These bases as the next versions of those of `before`, whose changes are added to the history of each, with the
    /// dynamic records of `overlays`, which are those of `before`.
    ///
    /// Where both have a copy of a zone that is kept elsewhere (`is_copy`), the newer copy stays: a transfer may have
    /// overtaken the load of the files.
    pub(crate) fn following(
        &self,
        before: &ZoneSet,
        overlays: &ZoneOverlays,
        is_copy: impl Fn(ZoneId) -> bool,
    ) -> Self {
        let (mut zones, mut folded) = (Vec::new(), Vec::new());
        let (mut bases, mut histories) = (self.bases.clone(), self.histories.clone());
        for (at, (base, history)) in bases.iter_mut().zip(&mut histories).enumerate() {
            let known = before.at_apex(base.apex()).map(|(id, _)| id);
            if let Some(id) = known {
                let (old, old_history) = (before.base(id), before.history(id));
                let overtaken = !base.is_available() || (old.is_available() && is_newer(old.serial(), base.serial()));
                if is_copy(ZoneId::from_index(at)) && overtaken {
                    *base = old.clone();
                    *history = old_history.clone();
                    // Unsigned, because the keys may be others now.
                    zones.push(before.folded[id.index()].clone());
                    folded.push(before.folded[id.index()].clone());
                    continue;
                }
                *history = old_history.after(old, base);
            }
            let now = fold(base, overlays);
            // Without dynamic records, a signature that was made ahead holds.
            let is_signed_ahead = Arc::ptr_eq(&now, &self.folded[at]);
            zones.push(if is_signed_ahead { self.zones[at].clone() } else { now.clone() });
            folded.push(now);
        }
        ZoneSet::of(zones, folded, bases, histories)
    }

    /// These zones, with another base of one of them; the same where there is none of that name.
    pub(crate) fn with(&self, base: Arc<Zone>, overlays: &ZoneOverlays) -> Self {
        let (mut zones, mut folded) = (self.zones.clone(), self.folded.clone());
        let (mut bases, mut histories) = (self.bases.clone(), self.histories.clone());
        if let Some(at) = self.position(base.apex()) {
            histories[at] = histories[at].after(&bases[at], &base);
            folded[at] = fold(&base, overlays);
            zones[at] = folded[at].clone();
            bases[at] = base;
        }
        ZoneSet::of(zones, folded, bases, histories)
    }

    /// These zones, with the dynamic records that some of them have now.
    pub(crate) fn with_overlays<'n>(&self, apexes: impl Iterator<Item = Name<'n>>, overlays: &ZoneOverlays) -> Self {
        let (mut zones, mut folded) = (self.zones.clone(), self.folded.clone());
        for at in apexes.filter_map(|apex| self.position(apex)) {
            folded[at] = fold(&self.bases[at], overlays);
            zones[at] = folded[at].clone();
        }
        ZoneSet::of(zones, folded, self.bases.clone(), self.histories.clone())
    }

    /// These zones, with signed versions of some: each of the folded zone that comes before it. A version of another folded
    /// zone is left out, because the zone has changed since.
    pub(crate) fn with_signed(&self, signed: impl IntoIterator<Item = (Arc<Zone>, Arc<Zone>)>) -> Self {
        let mut zones = self.zones.clone();
        for (of, signed) in signed {
            if let Some(at) = self.folded.iter().position(|folded| Arc::ptr_eq(folded, &of)) {
                zones[at] = signed;
            }
        }
        ZoneSet::of(zones, self.folded.clone(), self.bases.clone(), self.histories.clone())
    }

    /// A zone without the signatures that are made here.
    pub(crate) fn folded(&self, id: ZoneId) -> &Arc<Zone> {
        &self.folded[id.index()]
    }

    /// True if no signature was made here for the current version of a zone.
    pub(crate) fn is_unsigned(&self, id: ZoneId) -> bool {
        Arc::ptr_eq(&self.zones[id.index()], &self.folded[id.index()])
    }

    fn position(&self, apex: Name<'_>) -> Option<usize> {
        self.bases.iter().position(|known| known.apex() == apex)
    }

    /// The last changes of a zone's base.
    pub fn history(&self, id: ZoneId) -> &History {
        &self.histories[id.index()]
    }

    /// A zone without its dynamic records: the version that its serial stands for, to be transferred, compared or kept.
    pub fn base(&self, id: ZoneId) -> &Arc<Zone> {
        &self.bases[id.index()]
    }

    /// Takes in the suffixes of a name that were left out, where an apex may be one of them.
    #[inline]
    pub(crate) fn reach(&self, name: Name<'_>, suffixes: &mut Suffixes) {
        if suffixes.is_partial() && self.depths.first().is_some_and(|deepest| suffixes.known() < *deepest) {
            suffixes.fill(name);
        }
    }

    /// The bytes that queries may read of all zones.
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

    /// Finds the zone with this apex.
    pub(crate) fn at_apex(&self, apex: Name<'_>) -> Option<(ZoneId, &Zone)> {
        self.find(apex, &apex.suffixes()).filter(|(_, zone)| zone.apex() == apex)
    }

    /// Finds the zone for records on the parent's side of a cut (DS, RFC 4035 §3.1.4.1). If `name` is an apex and the zone
    /// above it is here too, that is the zone above; otherwise it is as [`ZoneSet::find`].
    pub(crate) fn find_parent_side(&self, name: Name<'_>, suffixes: &Suffixes) -> Option<(ZoneId, &Zone)> {
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

    /// All zones, in the order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = (ZoneId, &Zone)> {
        self.zones.iter().enumerate().map(|(index, zone)| (ZoneId::from_index(index), &**zone))
    }

    /// The number of zones.
    pub fn len(&self) -> usize {
        self.zones.len()
    }

    /// Returns whether there is no zone.
    pub fn is_empty(&self) -> bool {
        self.zones.is_empty()
    }
}
