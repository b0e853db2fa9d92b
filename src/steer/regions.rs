//! The provider and the region of every address, so that a request can be attributed to the cloud that it comes from.
//!
//! The steering tables know only plans: neighbours with one plan are one range there, whatever their labels.
//!
//! **Invariants**: the labels are those that rules see, also for addresses that embed IPv4; the first name is that of
//! addresses without a provider.
//! **Not here**: the counters ([`crate::telemetry`]), and their places ([`crate::snapshot`]).

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::horizon::Laid;
use crate::base::prefix::Bits;
use crate::base::special;
use crate::networks::{LabelKind, Networks, Overlay};

/// Distinct pairs of provider and region that a table tells apart: all that its ids can express. The feeds of all clouds
/// together have some 300.
const MAX_NAMES: usize = u16::MAX as usize;

/// A provider and one of its regions; empty if there is none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct RegionName {
    /// The provider, as rules name it.
    pub(crate) provider: Arc<str>,
    /// The region, as the provider writes it.
    pub(crate) region: Arc<str>,
}

/// The region of every address.
#[derive(Clone, Debug)]
pub struct RegionTable {
    names: Box<[RegionName]>,
    v4: Spans<u32>,
    v6: Spans<u128>,
}

impl Default for RegionTable {
    fn default() -> Self {
        RegionTable { names: [RegionName::default()].into(), v4: Spans::default(), v6: Spans::default() }
    }
}

impl RegionTable {
    /// Reads the labels of each range once.
    pub(crate) fn build(networks: &Networks, laid: &Laid) -> Self {
        let mut names = vec![RegionName::default()];
        let mut ids: HashMap<RegionName, u16> = HashMap::new();
        let mut id_of = |provider: &str, region: &str| {
            let name = RegionName { provider: provider.into(), region: region.into() };
            if name == RegionName::default() || names.len() >= MAX_NAMES {
                return ids.get(&name).copied().unwrap_or_default();
            }
            *ids.entry(name).or_insert_with_key(|name| {
                names.push(name.clone());
                (names.len() - 1) as u16
            })
        };
        let by_combination: Vec<u16> = laid
            .combinations()
            .map(|entries| {
                let labels = networks.facts(entries).labels;
                let text = |kind| labels.text(kind).unwrap_or_default();
                id_of(text(LabelKind::Provider), text(LabelKind::Region))
            })
            .collect();
        let (v4, v6) = laid.overlays();
        RegionTable { v4: Spans::of(v4, &by_combination), v6: Spans::of(v6, &by_combination), names: names.into() }
    }

    /// Every name; the first is that of addresses without a provider.
    pub(crate) fn names(&self) -> &[RegionName] {
        &self.names
    }

    /// The index of the name of an address.
    pub(crate) fn at(&self, address: IpAddr) -> usize {
        usize::from(match special::judged(address) {
            IpAddr::V4(v4) => self.v4.at(v4.to_bits()),
            IpAddr::V6(v6) => self.v6.at(v6.to_bits()),
        })
    }
}

/// The ranges of one family, in address order.
#[derive(Clone, Debug, Default)]
struct Spans<A> {
    firsts: Box<[A]>,
    ids: Box<[u16]>,
}

impl<A: Bits> Spans<A> {
    fn of(overlay: &Overlay<A>, by_combination: &[u16]) -> Self {
        let mut spans: Vec<(A, u16)> =
            overlay.ranges.iter().map(|(first, at)| (*first, by_combination[*at as usize])).collect();
        spans.dedup_by_key(|(_, id)| *id);
        let (firsts, ids): (Vec<A>, Vec<u16>) = spans.into_iter().unzip();
        Spans { firsts: firsts.into(), ids: ids.into() }
    }

    fn at(&self, address: A) -> u16 {
        let behind = self.firsts.partition_point(|first| *first <= address);
        behind.checked_sub(1).map_or(0, |at| self.ids[at])
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::networks::{Labels, SourceBuilder};

    /// A source of prefixes with provider and region.
    fn source(entries: &[(&str, &str, &str)]) -> Arc<crate::networks::Source> {
        let mut builder = SourceBuilder::new("test", "test.json");
        for (prefix, provider, region) in entries {
            let labels =
                builder.intern(Labels::default().with(LabelKind::Provider, *provider).with(LabelKind::Region, *region));
            builder.add(prefix.parse().unwrap(), labels, 1);
        }
        Arc::new(builder.finish().0)
    }

    fn of(networks: &Networks) -> RegionTable {
        RegionTable::build(networks, &Laid::over(networks))
    }

    #[test]
    fn every_address_has_the_labels_that_rules_see() {
        let aws = source(&[
            ("198.51.0.0/16", "aws", "GLOBAL"),
            ("198.51.100.0/24", "aws", "us-east-1"),
            ("2001:db8::/32", "aws", "us-east-1"),
        ]);
        let gcp = source(&[("198.51.100.128/25", "gcp", "us-west1"), ("203.0.113.0/24", "gcp", "us-west1")]);
        let networks = Networks { sources: vec![aws, gcp] };
        let table = of(&networks);
        for address in [
            "198.50.255.255",
            "198.51.0.0",
            "198.51.100.0",
            "198.51.100.200",
            "198.51.101.0",
            "198.52.0.0",
            "203.0.113.9",
            "2001:db8::1",
            "2001:db9::",
            "::1",
            "0.0.0.0",
            "255.255.255.255",
        ] {
            let address: IpAddr = address.parse().unwrap();
            let entries: Vec<_> =
                networks.entries_at(address).iter().map(|entry| entry.map(|entry| entry.labels)).collect();
            let labels = networks.facts(&entries).labels;
            let name = &table.names()[table.at(address)];
            let text = |kind| labels.text(kind).unwrap_or_default();
            assert_eq!(
                (&*name.provider, &*name.region),
                (text(LabelKind::Provider), text(LabelKind::Region)),
                "{address}"
            );
        }
        assert_eq!(table.names().len(), 4, "each name is kept once");
    }

    #[test]
    fn an_address_that_embeds_ipv4_has_its_region() {
        let networks = Networks { sources: vec![source(&[("198.51.100.0/24", "aws", "us-east-1")])] };
        let table = of(&networks);
        let plain = table.at("198.51.100.7".parse().unwrap());
        assert_ne!(plain, 0);
        for form in ["::ffff:198.51.100.7", "2002:c633:6407::1", "64:ff9b::198.51.100.7"] {
            assert_eq!(table.at(form.parse().unwrap()), plain, "{form}");
        }
    }

    #[test]
    fn without_sources_no_address_has_a_region() {
        for table in [RegionTable::default(), of(&Networks::default())] {
            assert_eq!(table.at("192.0.2.1".parse().unwrap()), 0);
            assert_eq!(table.names(), [RegionName::default()]);
        }
    }
}
