//! Places in tables of counters for providers and regions of clients, so that a count stays with its region over reloads.
//!
//! As with mirrors ([`super::meters`]), a pair of provider and region keeps its place for as long as the process runs.
//!
//! **Invariants**: pure; a place is below [`REGION_METERS`]; labels come from the configuration's sources, so no client
//! makes the table grow; pairs beyond it share the last place.
//! **Not here**: the region of an address ([`crate::steer`]), the counters ([`crate::telemetry`]).

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use crate::steer::{RegionName, RegionTable};

/// Pairs of provider and region that have counts of their own. The feeds of all clouds together have some 300.
pub(crate) const REGION_METERS: usize = 1024;

/// The name for all pairs that have no count of their own.
const OTHERS: &str = "others";

/// A place in a table by provider and region.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RegionMeter(u16);

impl RegionMeter {
    /// The index into the table.
    #[inline]
    pub(crate) fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// The regions of addresses, and the place of each region.
#[derive(Clone, Debug, Default)]
pub(crate) struct Regions {
    table: Arc<RegionTable>,
    /// By place: the names of all regions there ever were.
    names: Arc<[RegionName]>,
    /// By index in the table: the place.
    places: Arc<[u16]>,
}

impl Regions {
    /// Places for a first table.
    pub(crate) fn new(table: Arc<RegionTable>) -> Self {
        Regions::default().following(table)
    }

    /// Places for the table of a successor.
    pub(crate) fn following(&self, table: Arc<RegionTable>) -> Self {
        let mut names = self.names.to_vec();
        let mut known: HashMap<RegionName, u16> = names.iter().cloned().zip(0..).collect();
        let mut place = |name: &RegionName| {
            if let Some(at) = known.get(name) {
                return *at;
            }
            if names.len() >= REGION_METERS - 1 {
                return (REGION_METERS - 1) as u16;
            }
            let at = names.len() as u16;
            names.push(name.clone());
            known.insert(name.clone(), at);
            at
        };
        let places = table.names().iter().map(&mut place).collect();
        Regions { names: names.into(), places, table }
    }

    /// The region of an address, with the place of its counts.
    #[inline]
    pub(crate) fn of(&self, address: IpAddr) -> (RegionMeter, &RegionName) {
        let at = self.table.at(address);
        (RegionMeter(self.places.get(at).copied().unwrap_or_default()), &self.table.names()[at])
    }

    /// Every place with its provider and region.
    pub(crate) fn all(&self) -> impl Iterator<Item = (RegionMeter, &str, &str)> {
        let named = (0..).zip(self.names.iter().map(|name| (&*name.provider, &*name.region)));
        let all = named.chain([((REGION_METERS - 1) as u16, (OTHERS, OTHERS))]);
        all.map(|(at, (provider, region))| (RegionMeter(at), provider, region))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::networks::{LabelKind, Labels, Networks, SourceBuilder};
    use crate::steer::Laid;

    /// A table with a /24 for each region, in order from 1.0.0.0.
    fn table(regions: &[String]) -> Arc<RegionTable> {
        let mut builder = SourceBuilder::new("test", "test.json");
        for (at, region) in (0u32..).zip(regions) {
            let labels = builder
                .intern(Labels::default().with(LabelKind::Provider, "cloud").with(LabelKind::Region, region.as_str()));
            let first = std::net::Ipv4Addr::from_bits((1 << 24) + (at << 8));
            builder.add(format!("{first}/24").parse().unwrap(), labels, 1);
        }
        let networks = Networks { sources: vec![Arc::new(builder.finish().0)] };
        Arc::new(RegionTable::build(&networks, &Laid::over(&networks)))
    }

    fn meter(regions: &Regions, at: u32) -> RegionMeter {
        regions.of(std::net::Ipv4Addr::from_bits((1 << 24) + (at << 8)).into()).0
    }

    #[test]
    fn a_region_keeps_its_place_over_reloads() {
        let names = ["a", "b", "c"].map(String::from);
        let first = Regions::new(table(&names));
        let second = first.following(table(&["c".into(), "d".into(), "a".into()]));
        assert_eq!(meter(&first, 2), meter(&second, 0));
        assert_eq!(meter(&first, 0), meter(&second, 2));
        let places: Vec<_> = (0..3).map(|at| meter(&second, at)).collect();
        let shown: Vec<_> = places.iter().map(|place| second.all().find(|(of, ..)| of == place).unwrap().2).collect();
        assert_eq!(shown, ["c", "d", "a"]);
        assert_eq!(meter(&second.following(table(&names)), 1), meter(&first, 1));
    }

    #[test]
    fn too_many_regions_share_the_last_place() {
        let names: Vec<String> = (0..3000).map(|number| format!("r{number}")).collect();
        let regions = Regions::new(table(&names));
        assert_eq!(meter(&regions, 2999).index(), REGION_METERS - 1);
        assert_eq!(meter(&regions, 2000), meter(&regions, 2999));
        assert_eq!(&*regions.of("1.0.0.1".parse().unwrap()).1.region, "r0");
        assert_eq!(&*regions.of("1.11.183.1".parse().unwrap()).1.region, "r2999", "the log has the region itself");
        assert!(regions.all().all(|(place, ..)| place.index() < REGION_METERS));
    }
}
