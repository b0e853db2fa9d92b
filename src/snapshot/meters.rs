//! Places in tables of counters for mirrors, so that a count stays with its mirror when ids change.
//!
//! A mirror gets the next free place when it first appears, by its name, and keeps it for as long as the process runs:
//! a reload that reorders mirrors moves no count, and one that drops a mirror keeps its count.
//!
//! **Invariants**: pure; a place is below [`METERS`]; mirrors beyond [`MAX_METERED`] share the last one.
//! **Not here**: the counters ([`crate::telemetry`]).

use std::sync::Arc;

use crate::mirror::Mirror;
use crate::steer::Tier;

/// Mirrors that have a count of their own in a process; a counter is 8 bytes for each thread, mirror and tier, so these
/// are 12 KiB a thread.
pub(super) const MAX_METERED: usize = 256;

/// The number of places in a table by mirror and tier.
pub(crate) const METERS: usize = MAX_METERED * Tier::ALL.len();

/// The name for all mirrors that have no count of their own.
const OTHERS: &str = "others";

/// A place in a table by mirror and tier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Meter(u16);

impl Meter {
    /// The index into the table.
    #[inline]
    pub(crate) fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// The place of each mirror.
#[derive(Clone, Debug, Default)]
pub(crate) struct Meters {
    /// By place: the names of all mirrors there ever were.
    names: Arc<[Arc<str>]>,
    /// By mirror's id: the place.
    places: Arc<[u16]>,
}

impl Meters {
    /// Places for a first set of mirrors.
    pub(crate) fn new(mirrors: &[Mirror]) -> Self {
        Meters::default().following(mirrors)
    }

    /// Places for the mirrors of a successor.
    pub(crate) fn following(&self, mirrors: &[Mirror]) -> Self {
        let mut names = self.names.to_vec();
        let mut place = |mirror: &Mirror| {
            let found = names.iter().position(|name| *name == mirror.name);
            let at = found.unwrap_or_else(|| match names.len() {
                free if free < MAX_METERED - 1 => {
                    names.push(mirror.name.clone());
                    free
                }
                _ => MAX_METERED - 1,
            });
            at as u16
        };
        let places = mirrors.iter().map(&mut place).collect();
        Meters { names: names.into(), places }
    }

    /// The place of a mirror, by the index of its id, in a tier.
    #[inline]
    pub(crate) fn meter(&self, mirror: usize, tier: Tier) -> Option<Meter> {
        Some(Meter(self.places.get(mirror)? * Tier::ALL.len() as u16 + tier as u16))
    }

    /// The places of mirrors that have counts of their own, in every tier, each with the mirror's name.
    pub(crate) fn own(&self) -> impl Iterator<Item = (Meter, &str)> {
        self.all()
            .filter(|(meter, ..)| meter.index() < (MAX_METERED - 1) * Tier::ALL.len())
            .map(|(meter, name, _)| (meter, name))
    }

    /// Every place with its mirror's name and the tier's word.
    pub(crate) fn all(&self) -> impl Iterator<Item = (Meter, &str, &'static str)> {
        let named = (0..).zip(self.names.iter().map(|name| &**name));
        let all = named.chain([(MAX_METERED - 1, OTHERS)]);
        all.flat_map(|(at, name)| {
            Tier::ALL.map(|tier| (Meter((at * Tier::ALL.len() + tier as usize) as u16), name, tier.as_str()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mirrors(names: &[String]) -> Vec<Mirror> {
        names.iter().map(|name| Mirror::named(name.as_str())).collect()
    }

    fn name_of(meters: &Meters, mirror: usize) -> String {
        let meter = meters.meter(mirror, Tier::Panic).unwrap();
        let (_, name, tier) = meters.all().find(|(other, ..)| *other == meter).unwrap();
        format!("{name} {tier}")
    }

    #[test]
    fn a_mirror_keeps_its_place_whatever_its_id_becomes() {
        let names: Vec<String> = ["a", "b", "c"].map(String::from).to_vec();
        let first = Meters::new(&mirrors(&names));
        let second = first.following(&mirrors(&[names[2].clone(), "d".into(), names[0].clone()]));
        assert_eq!(first.meter(2, Tier::Default), second.meter(0, Tier::Default));
        assert_eq!(first.meter(0, Tier::Default), second.meter(2, Tier::Default));
        let said: Vec<String> = (0..3).map(|mirror| name_of(&second, mirror)).collect();
        assert_eq!(said, ["c panic", "d panic", "a panic"]);
        assert_eq!(second.following(&mirrors(&names)).meter(1, Tier::Panic), first.meter(1, Tier::Panic));
    }

    #[test]
    fn too_many_mirrors_share_the_last_place() {
        let names: Vec<String> = (0..1000).map(|number| format!("m{number}")).collect();
        let meters = Meters::new(&mirrors(&names));
        assert_eq!(name_of(&meters, MAX_METERED - 2), format!("m{} panic", MAX_METERED - 2));
        assert_eq!(name_of(&meters, MAX_METERED - 1), "others panic");
        assert_eq!(name_of(&meters, 999), "others panic");
        assert!(meters.all().all(|(meter, ..)| meter.index() < METERS));
    }
}
