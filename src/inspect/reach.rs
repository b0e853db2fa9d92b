//! The clients that rules lead to each mirror: their share of the addresses, and the labels in the conditions of these rules.
//!
//! **Invariants**: only IPv4 counts, because no table of IPv6 says how much of a prefix is used; health has no say.
//! **Not here**: the addresses themselves ([`super::space()`]), JSON ([`crate::control`]).

use std::collections::BTreeMap;
use std::sync::Arc;

use super::space::{defaults, each_stretch, firsts};
use super::tally::share;
use crate::base::ids::{HorizonId, MirrorId, PlanId};
use crate::base::prefix::{Block, Prefix};
use crate::networks::{LabelKind, LabelValue};
use crate::snapshot::Snapshot;
use crate::steer::{Condition, Rule};

/// The kinds of labels that tell the place of a mirror.
const KINDS: [LabelKind; 3] = [LabelKind::Provider, LabelKind::Region, LabelKind::Continent];

/// The clients that rules lead to a mirror.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct MirrorReach {
    /// Its share of the addresses for which rules decide, 0 to 1.
    pub(crate) share: f64,
    /// The provider, the region and the continent in the conditions of the rules that lead to it most.
    pub(crate) labels: [Option<Arc<str>>; KINDS.len()],
}

/// The clients that the rules of a horizon lead to each of its mirrors; takes time linear in the ranges of IPv4.
pub(crate) fn reach(snapshot: &Snapshot, id: HorizonId) -> BTreeMap<MirrorId, MirrorReach> {
    let horizon = &snapshot.horizons()[id.index()];
    let is_default = defaults(horizon);
    let mut by_plan = vec![0u128; horizon.plans().len()];
    each_stretch(horizon, Prefix::V4(Block::holding(0, 0)), &mut |first, last, plan| {
        if let Some(plan) = plan {
            by_plan[plan.index()] += last - first + 1;
        }
    });
    let mut addresses: BTreeMap<MirrorId, u128> = horizon.mirrors().map(|mirror| (mirror, 0)).collect();
    let mut decided = 0;
    for (at, count) in by_plan.iter().enumerate().filter(|(at, _)| !is_default[*at]) {
        decided += count;
        for (mirror, slots) in firsts(horizon, PlanId::from_index(at)) {
            if let Some(sum) = mirror.and_then(|mirror| addresses.get_mut(&mirror)) {
                *sum += share(*count, slots);
            }
        }
    }
    let mut labels: BTreeMap<MirrorId, [Labelled; KINDS.len()]> = BTreeMap::new();
    for (at, rule) in horizon.rules.iter().enumerate() {
        let plan = horizon.plan_of(crate::steer::Won::Rule(at));
        // A rule without addresses of IPv4 still says where its mirror is.
        let weight = by_plan[plan.index()] + 1;
        for mirror in firsts(horizon, plan).into_keys().flatten() {
            for (kind, sums) in KINDS.into_iter().zip(labels.entry(mirror).or_default()) {
                if let Some(label) = label_of(rule, kind) {
                    *sums.entry(label).or_default() += weight;
                }
            }
        }
    }
    let of = |(mirror, addresses): (MirrorId, u128)| {
        let most = |sums: &Labelled| Some(sums.iter().max_by_key(|(_, sum)| **sum)?.0.clone());
        let mut labels = labels.get(&mirror).map(|all| all.each_ref().map(most)).unwrap_or_default();
        if let [Some(provider), Some(region), continent @ None] = &mut labels {
            *continent = continent_of(provider, region).map(Into::into);
        }
        (mirror, MirrorReach { share: addresses as f64 / (decided.max(1)) as f64, labels })
    };
    addresses.into_iter().map(of).collect()
}

/// Labels of one kind, each with the addresses of the rules that have it.
type Labelled = BTreeMap<Arc<str>, u128>;

/// The label of a kind on which a rule depends; `None` if it names several, or none.
fn label_of(rule: &Rule, kind: LabelKind) -> Option<Arc<str>> {
    rule.conditions.iter().find_map(|condition| match condition {
        Condition::Label { kind: of, values } if *of == kind => match &values[..] {
            [LabelValue::Text(text)] => Some(text.clone()),
            _ => None,
        },
        _ => None,
    })
}

/// The beginnings of the names of regions by provider and continent: AWS, Google, Oracle. The longest one decides.
const CONTINENTS: [(&str, &str, &[&str]); 18] = [
    ("aws", "AF", &["af-"]),
    (
        "aws",
        "AS",
        &["ap-", "ap-southeast-1", "ap-southeast-3", "ap-southeast-5", "ap-southeast-7", "cn-", "il-", "me-"],
    ),
    ("aws", "EU", &["eu-", "eusc-"]),
    ("aws", "NA", &["us-", "ca-", "mx-"]),
    ("aws", "OC", &["ap-southeast-"]),
    ("aws", "SA", &["sa-"]),
    ("gcp", "AF", &["africa-"]),
    ("gcp", "AS", &["asia-", "me-"]),
    ("gcp", "EU", &["europe-"]),
    ("gcp", "NA", &["us-", "northamerica-"]),
    ("gcp", "OC", &["australia-"]),
    ("gcp", "SA", &["southamerica-"]),
    ("oci", "AF", &["af-"]),
    ("oci", "AS", &["ap-", "il-", "me-"]),
    ("oci", "EU", &["eu-", "uk-"]),
    ("oci", "NA", &["us-", "ca-", "mx-"]),
    ("oci", "OC", &["ap-sydney-", "ap-melbourne-"]),
    ("oci", "SA", &["sa-"]),
];

/// The continent of a cloud's region; `None` if its name does not tell.
fn continent_of(provider: &str, region: &str) -> Option<&'static str> {
    // Google writes `us-east1`, but feeds have names without a direction too, such as `us`.
    let region = format!("{region}-");
    let of_provider = CONTINENTS.iter().filter(|(known, ..)| *known == provider);
    let all = of_provider.flat_map(|(_, continent, beginnings)| beginnings.iter().map(move |one| (*one, *continent)));
    all.filter(|(one, _)| region.starts_with(one)).max_by_key(|(one, _)| one.len()).map(|(_, continent)| continent)
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{AWS_APNE1, AWS_USE1, GCP_US, snapshot};
    use super::*;

    #[test]
    fn a_mirror_is_where_the_rules_that_lead_to_it_most_say() {
        let reach = reach(&snapshot(), HorizonId(0));
        let of = |mirror: MirrorId| {
            let MirrorReach { share, labels } = &reach[&mirror];
            let labels = labels.each_ref().map(Option::as_deref);
            (format!("{share:.6}"), labels)
        };
        // 52.94.0.0/16, and 133.0.0.0/8 with 15.193.10.0/24. The rule of the office has the plan of the default.
        let decided = f64::from(65_536 + (1 << 24) + 256);
        let part = |addresses: u32| format!("{:.6}", f64::from(addresses) / decided);
        assert_eq!(of(AWS_USE1), (part(65_536), [Some("aws"), Some("us-east-1"), Some("NA")]));
        assert_eq!(of(AWS_APNE1), (part((1 << 24) + 256), [Some("aws"), Some("ap-northeast-1"), Some("AS")]));
        let (_, labels) = of(GCP_US);
        assert_eq!(labels, [None; 3]);
    }

    #[test]
    fn the_name_of_a_region_tells_its_continent() {
        let of = |provider, region| continent_of(provider, region);
        assert_eq!(of("aws", "ap-southeast-2"), Some("OC"));
        assert_eq!(of("aws", "ap-southeast-1"), Some("AS"));
        assert_eq!(of("gcp", "europe-west4"), Some("EU"));
        assert_eq!(of("gcp", "us"), Some("NA"));
        assert_eq!(of("oci", "uk-london-1"), Some("EU"));
        assert_eq!((of("aws", "GLOBAL"), of("azure", "eastus")), (None, None));
    }
}
